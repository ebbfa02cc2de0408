"""The scan over velocities and dispersions against direct evaluation at the points of its lattice."""

import numpy as np
import pytest

from quietspec.denoisers.posterior.kinematics import KinematicCoordinates
from quietspec.denoisers.posterior.losvd import LosvdBasis, log_width
from quietspec.denoisers.posterior.velocity_scan import VelocityScan, prior_sigma_of_motions

from .rest_frame import rest_prior
from .test_kinematic_denoiser import REST


@pytest.fixture(scope="module")
def basis():
    return LosvdBasis(KinematicCoordinates(rest_prior()).table, REST)


def observed(basis, velocity, sigma, snr, seed):
    """The prior's mean populations in motion, with noise."""
    coordinates = KinematicCoordinates(rest_prior()).populations.centre
    flux = basis.at(velocity, float(log_width(sigma))) @ coordinates
    noise = np.random.default_rng(seed).normal(size=flux.shape) / snr
    return (flux + noise)[None].astype(np.float32), np.full((1, len(REST)), snr**2, dtype=np.float32), flux


@pytest.mark.parametrize(("velocity", "sigma"), [(0.0, 150.0), (-420.0, 90.0), (600.0, 250.0)])
def test_the_peak_is_where_the_spectrum_was_put(basis, velocity, sigma):
    scan = VelocityScan(basis, KinematicCoordinates(rest_prior()).populations.centre)
    flux, weight, truth = observed(basis, velocity, sigma, 40, 1)
    found = scan(flux, weight)
    assert found.peak[0, 0] == pytest.approx(velocity, abs=40)
    assert found.mean[0, 0] == pytest.approx(velocity, abs=40)
    assert np.sqrt(np.mean((found.model[0] - truth) ** 2)) < 0.05  # of the nearest point of the lattice
    assert found.populations.shape == (1, basis.size)


def test_the_best_populations_solve_the_normal_equations(basis):
    centre = KinematicCoordinates(rest_prior()).populations.centre
    scan = VelocityScan(basis, centre)
    flux, weight, _ = observed(basis, 0.0, 120.0, 5, 2)
    scale = np.maximum(*scan.scale(flux, weight))
    logs, factors = scan.on_lattice(flux, weight, scale)
    populations, model = scan._best(logs, factors, scale)
    velocities, widths = np.linspace(-750, 750, 17), np.linspace(float(log_width(15.0)), float(log_width(500.0)), 6)
    candidates = [basis.at(v, w) for v in velocities for w in widths]
    vectors = min(candidates, key=lambda one: np.abs(one @ populations[0] - model[0]).max())
    np.testing.assert_allclose(vectors @ populations[0], model[0], atol=1e-4)
    q = min(8, basis.size)
    left = weight[0] * (flux[0] - model[0])
    gradient = vectors[:, :q].T @ left - (populations[0, :q] - scale[0] * centre[:q]) / scale[0] ** 2
    np.testing.assert_allclose(gradient, 0, atol=0.05)


def test_the_prior_of_motions_has_the_stated_spread():
    spread = prior_sigma_of_motions()
    assert 150 < spread["velocity"] < 200
    assert 90 < spread["sigma"] < 150
