"""Modes of a galaxy, likelihoods and messages in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from quietspec.denoisers.posterior.coordinates import Gaussians
from quietspec.denoisers.posterior.linear import Projections
from quietspec.denoisers.spatial.frame import Frame, Likelihoods, Messages

SIZE = 7  # of ξ: two motions, five of populations


def likelihoods(n: int, k: int, rng: np.random.Generator) -> Likelihoods:
    """Data of n spaxels: k numbers with noise of random covariance."""
    root = rng.normal(size=(n, k, k))
    return Likelihoods(root @ np.swapaxes(root, 1, 2) + 0.1 * np.eye(k), rng.normal(size=(n, k)))


def made_frame(rng: np.random.Generator) -> tuple[Frame, Gaussians]:
    """Frame of a mixture of three Gaussians whose shapes all have unit brightness."""
    centre = np.zeros(SIZE)
    centre[2] = 1.0
    mean = rng.normal(size=(3, SIZE))
    mean[:, :2], mean[:, 2] = 0, 1
    root = rng.normal(size=(3, SIZE, SIZE))
    root[:, 2] = 0
    root[:, :2] = 0
    shape = root @ np.swapaxes(root, 1, 2)
    shape[:, [0, 1], [0, 1]] = 1
    mixture = Gaussians(
        np.log(np.full(3, 1 / 3)), mean, shape + mean[:, :, None] * mean[:, None], np.zeros((3, 0)), np.zeros((3, 0, 0))
    )
    information = rng.normal(size=(SIZE, SIZE))
    frame = Frame.of(mixture, centre, np.array([0.5, 0.3, 0.2]), information @ information.T)
    return frame, mixture


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_log_evidence_is_that_of_a_gaussian_up_to_what_the_prior_does_not_change(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data, k = likelihoods(3, 4, rng), 4
    value, noise = np.linalg.solve(data.precision, data.gradient[..., None])[..., 0], np.linalg.inv(data.precision)
    root = rng.normal(size=(k, k))
    mean, covariance = rng.normal(size=k), root @ root.T + 0.1 * np.eye(k)
    both = [(mean, covariance), (np.zeros(k), np.eye(k))]
    found = data.log_evidence(*both[0]) - data.log_evidence(*both[1])
    for row in range(3):
        one, other = (multivariate_normal(m, c + noise[row]).logpdf(value[row]) for m, c in both)
        assert found[row] == pytest.approx(one - other, rel=1e-6, abs=1e-6)


def test_packed_likelihoods_are_the_same_and_get_motions_block_by_block() -> None:
    rng = np.random.default_rng(6)
    data = likelihoods(1100, 4, rng)
    assert data.packed().unpacked().precision == pytest.approx(data.precision)
    motions = np.tile([[2.0, 0.3], [0.3, 1.0]], (1100, 1, 1)), rng.normal(size=(1100, 2))
    wanted, found = data.with_motions(*motions), data.packed().with_motions(*motions).unpacked()
    assert found.precision == pytest.approx(wanted.precision)
    assert found.gradient == pytest.approx(wanted.gradient)
    assert sum(len(part.gradient) for part in data.packed().parts()) == 1100


def test_turned_likelihoods_have_the_turned_posterior() -> None:
    rng = np.random.default_rng(1)
    data, mean, root = likelihoods(5, 3, rng), rng.normal(size=3), np.tril(rng.normal(size=(3, 3))) + 2 * np.eye(3)
    here, spread = data.turned(mean, root).posterior(np.zeros(3), np.eye(3))
    there, wanted = data.posterior(mean, root @ root.T)
    assert there == pytest.approx(mean + here @ root.T)
    assert wanted == pytest.approx(root @ spread @ root.T)


def test_messages_turn_the_base_into_themselves_and_say_nothing_where_they_are_wider() -> None:
    rng = np.random.default_rng(2)
    axes = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    mean = rng.normal(size=4)
    precision, gradient = Messages(mean[None], np.array([[0.1, 0.5, 0.9, 3.0]]), axes).beyond_base()
    posterior = np.linalg.inv(np.eye(4) + precision[0])
    assert posterior == pytest.approx(axes @ np.diag([0.1, 0.5, 0.9, 1.0]) @ axes.T)
    assert axes[:, :3].T @ posterior @ gradient[0] == pytest.approx(axes[:, :3].T @ mean)
    assert axes[:, 3] @ gradient[0] == pytest.approx(0)


def test_the_modes_whiten_the_mixture_and_do_not_see_brightness() -> None:
    frame, mixture = made_frame(np.random.default_rng(3))
    share = np.array([0.5, 0.3, 0.2])
    assert frame.modes @ frame.vectors == pytest.approx(np.eye(frame.vectors.shape[1]), abs=1e-9)
    assert frame.modes @ frame.base == pytest.approx(np.zeros(frame.modes.shape[0]), abs=1e-9)
    modes = (mixture.mean - frame.base) @ frame.modes.T
    within = np.einsum("k,kij->ij", share, frame.modes @ mixture.shape_covariance @ frame.modes.T)
    total = within + (share[:, None] * modes).T @ modes
    assert total[2:, 2:] == pytest.approx(np.eye(len(total) - 2), abs=1e-8)


def test_exact_data_give_the_modes_of_a_shape_whatever_its_brightness() -> None:
    rng = np.random.default_rng(4)
    frame, _ = made_frame(rng)
    truth = rng.normal(size=(4, frame.vectors.shape[1]))
    shape = frame.base + truth @ frame.vectors.T
    scale = rng.uniform(1, 3, 4)
    gram = np.broadcast_to(1e9 * np.eye(SIZE), (4, SIZE, SIZE))
    start = np.zeros((4, SIZE))
    seen = shape * (1.02 * scale)[:, None]
    seen[:, :2] = shape[:, :2] * scale[:, None]
    projections = Projections(start, gram, np.einsum("nij,nj->ni", gram, seen), np.zeros((4, 0)), np.zeros(4))
    about = shape.copy()
    about[:, :2] = 0
    data = frame.likelihoods(projections, scale, about)
    found, _ = data.posterior(np.zeros(frame.size), np.eye(frame.size))
    assert found == pytest.approx(truth[:, : frame.size], abs=0.1)


def test_shapes_of_given_modes_keep_the_others() -> None:
    rng = np.random.default_rng(5)
    frame, _ = made_frame(rng)
    like = frame.base + rng.normal(size=(3, frame.vectors.shape[1])) @ frame.vectors.T
    wanted = rng.normal(size=(3, frame.size))
    made = frame.shapes(wanted, like)
    assert made @ frame.modes[: frame.size].T == pytest.approx(wanted)
    assert (made - like) @ frame.modes[frame.size :].T == pytest.approx(0)
