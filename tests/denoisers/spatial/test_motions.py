"""What data say of motions, as Gaussians that have the same effect."""

from __future__ import annotations

import numpy as np
import pytest

from quietspec.denoisers.posterior.velocity_scan import LATTICE
from quietspec.denoisers.spatial.frame import Likelihoods
from quietspec.denoisers.spatial.motions import MotionLikelihoods

VELOCITIES, WIDTHS = LATTICE


def scanned(logs: np.ndarray) -> MotionLikelihoods:
    """Spaxels of which only a scan is known."""
    n = len(logs)
    return MotionLikelihoods(np.ones(n, dtype=bool), logs, np.zeros((n, 2)), np.tile(np.eye(2), (n, 1, 1)))


def lattice(*peaks: tuple[float, float, float]) -> np.ndarray:
    """Log of a sum of Gaussians of velocity (place, 1σ, share), even in u, on the lattice of a scan."""
    density = sum(share * np.exp(-0.5 * ((VELOCITIES - place) / sigma) ** 2) for place, sigma, share in peaks)
    return np.tile(np.log(density + 1e-30)[:, None], (1, len(WIDTHS)))


KNOWN = np.array([[30.0, 4.6]]), np.array([[[100.0**2, 0.0], [0.0, 0.2**2]]])


def test_a_gaussian_likelihood_comes_back() -> None:
    precision, gradient = scanned(lattice((80.0, 150.0, 1.0))[None]).gaussians(*KNOWN)
    assert precision[0, 0, 0] == pytest.approx(150.0**-2, rel=0.02)
    assert gradient[0, 0] == pytest.approx(50 * 150.0**-2, rel=0.02)
    assert precision[0, 1, 1] < 0.1 * 0.2**-2  # nothing is known of u


def test_of_two_peaks_the_one_counts_that_others_make_likely() -> None:
    both = scanned(lattice((-300.0, 120.0, 1.0), (300.0, 120.0, 1.0))[None])
    near = np.array([[280.0, 4.6]]), np.array([[[60.0**2, 0.0], [0.0, 0.2**2]]])
    precision, gradient = both.gaussians(*near)
    posterior = near[0][0, 0] + np.linalg.solve(precision[0] + np.linalg.inv(near[1][0]), gradient[0])[0]
    assert 280 < posterior < 300
    nothing = np.array([[0.0, 4.6]]), np.array([[[400.0**2, 0.0], [0.0, 0.2**2]]])
    assert both.gaussians(*nothing)[0][0, 0, 0] < 120.0**-2 / 4


def test_a_likelihood_that_says_nothing_moves_nothing() -> None:
    precision, gradient = scanned(np.zeros((1, len(VELOCITIES), len(WIDTHS)))).gaussians(*KNOWN)
    moved = np.linalg.solve(precision[0] + np.linalg.inv(KNOWN[1][0]), gradient[0])
    assert abs(moved[0]) < 5
    assert abs(moved[1]) < 0.02


def test_motions_are_replaced_and_the_rest_stays_possible() -> None:
    rng = np.random.default_rng(3)
    root = rng.normal(size=(20, 6, 6))
    data = Likelihoods(root @ np.swapaxes(root, 1, 2), rng.normal(size=(20, 6)))
    wanted = np.tile(np.diag([0.3, 0.02]), (20, 1, 1)), rng.normal(size=(20, 2))
    changed = data.with_motions(*wanted)
    assert np.linalg.eigvalsh(changed.precision).min() > -1e-9
    # Motions, other modes marginalised under the base.
    mean, covariance = changed.posterior(np.zeros(6), np.eye(6))
    precision = np.linalg.inv(covariance[:, :2, :2]) - np.eye(2)
    assert precision == pytest.approx(wanted[0], abs=1e-4)
    pull = np.linalg.solve(covariance[:, :2, :2], mean[:, :2, None])[..., 0]
    assert pull == pytest.approx(wanted[1], abs=1e-3)


def test_the_same_motions_change_nothing() -> None:
    rng = np.random.default_rng(4)
    root = rng.normal(size=(5, 4, 4))
    data = Likelihoods(root @ np.swapaxes(root, 1, 2), rng.normal(size=(5, 4)))
    mean, covariance = data.posterior(np.zeros(4), np.eye(4))
    same = np.linalg.inv(covariance[:, :2, :2]) - np.eye(2)
    pull = np.linalg.solve(covariance[:, :2, :2], mean[:, :2, None])[..., 0]
    changed = data.with_motions(same, pull)
    assert changed.precision == pytest.approx(data.precision, abs=1e-4)
    assert changed.gradient == pytest.approx(data.gradient, abs=1e-4)
