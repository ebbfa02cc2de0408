"""Broad Gaussians added to a prior, and the floor subtracted from it again."""

import numpy as np
import pytest

from quietspec.lab.simulate import RestSpectra
from quietspec.lab.training import MixtureSettings, PriorSettings, fit_prior
from quietspec.lab.training.prior import without_floor

OUTSKIRTS = ((4.0, 0.05), (25.0, 0.01))
FLOOR = 0.02
KEPT = 0.1


def fitted(outskirts):
    """A prior of spectra with four components and skewed coefficients, the last of which is weaker than the floor."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, 100)
    coefficients = rng.exponential(size=(800, 4)) * [0.3, 0.1, 0.03, 1e-4]
    flux = 2 + coefficients @ np.cos(np.outer([1, 2, 3, 4], np.pi * x))
    rest = RestSpectra(
        wavelength=4000 + 1000 * x, flux=flux.astype(np.float32), parameters={"age": coefficients[:, 0] ** 2}
    )
    mixture = MixtureSettings(n_mixture=3, max_iter=4, floor=FLOOR)
    settings = PriorSettings(n_components=4, mixture=mixture, outskirts=outskirts)
    return fit_prior(rest, np.ones(100), np.full(100, 2.5), rng, settings)


@pytest.fixture(scope="module")
def plain():
    return fitted(())


@pytest.fixture(scope="module")
def broad():
    return fitted(OUTSKIRTS)


def test_weights_still_sum_to_1(plain, broad):
    assert broad.n_mixture == plain.n_mixture + 2
    assert broad.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(broad.weights[-2:], [0.05, 0.01])
    np.testing.assert_allclose(broad.weights[:-2], 0.94 * plain.weights)


def test_what_was_learned_stays(plain, broad):
    np.testing.assert_array_equal(broad.components, plain.components)
    for name in ("means", "covariances", "labels", "slopes", "label_covariances"):
        np.testing.assert_array_equal(getattr(broad, name)[:-2], getattr(plain, name))


def test_the_whole_keeps_its_mean_and_its_covariance_grows_accordingly(plain, broad):
    before, after = plain.collapsed(), broad.collapsed()
    np.testing.assert_allclose(after.means, before.means, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(after.labels, before.labels, rtol=1e-9)
    removed = (1 - KEPT) * FLOOR * np.eye(plain.n_components)
    learned = before.covariances[0] + removed
    growth = 1 + sum(weight * (factor - 1) for factor, weight in OUTSKIRTS)
    np.testing.assert_allclose(after.covariances[0], growth * learned - removed, rtol=1e-9, atol=1e-9)


def test_covariances_are_positive_definite_and_keep_a_tenth_of_the_floor(plain, broad):
    for prior in (plain, broad):
        assert np.linalg.eigvalsh(prior.covariances).min() >= KEPT * FLOOR * (1 - 1e-6)
        assert np.linalg.eigvalsh(prior.label_covariances).min() > -1e-9


def test_without_floor_subtracts_the_same_in_every_direction_of_every_gaussian(plain):
    less = without_floor(plain, 1e-3)
    np.testing.assert_allclose(
        np.linalg.eigvalsh(less.covariances), np.linalg.eigvalsh(plain.covariances) - 0.9e-3, rtol=1e-9, atol=1e-12
    )
    np.testing.assert_array_equal(less.means, plain.means)
    np.testing.assert_array_equal(without_floor(plain, 0.0).covariances, plain.covariances)


def test_labels_of_outskirts_have_the_distribution_of_all_spectra(plain, broad):
    """Far from the simulated spectra, a regression would leave the range of ages and metallicities."""
    whole = fitted(()).collapsed()
    assert not broad.slopes[-2:].any()
    np.testing.assert_allclose(broad.labels[-2:, 0], whole.labels[0, 0], rtol=1e-6)
    rng = np.random.default_rng(0)
    ages = (rng.exponential(size=(800, 4)) * [0.3, 0.1, 0.03, 1e-4])[:, 0] ** 2
    np.testing.assert_allclose(broad.label_covariances[-2:, 0, 0], ages.var(), rtol=0.1)  # EM nearly keeps moments
