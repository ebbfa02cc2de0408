"""EM, and the prior that is made with it."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from quietspec.lab.simulate import RestSpectra
from quietspec.lab.training import Mixture, MixtureSettings, PriorSettings, fit_mixture, fit_prior
from quietspec.lab.training.mixture import _maximised, _start, quadratic_features
from quietspec.lab.training.prior import without_floor


def blobs(n, rng):
    centres = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 9.0]])
    member = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    return centres[member] + rng.normal(size=(n, 2)) * [1.0, 0.5], centres


def test_log_joint_equals_scipy():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 4, 4))
    mixture = Mixture(np.array([0.2, 0.3, 0.5]), rng.normal(size=(3, 4)), root @ np.swapaxes(root, 1, 2) + np.eye(4))
    points = rng.normal(size=(50, 4))
    expected = [
        np.log(w) + multivariate_normal(m, c).logpdf(points)
        for w, m, c in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    ]
    np.testing.assert_allclose(mixture.log_joint(quadratic_features(points)), np.array(expected).T)
    weights, likelihood = mixture.responsibilities(points)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert likelihood == pytest.approx(np.logaddexp.reduce(np.array(expected), axis=0).mean())


def test_separate_blobs_are_found():
    rng = np.random.default_rng(1)
    points, centres = blobs(6000, rng)
    mixture, weights = fit_mixture(points, MixtureSettings(n_mixture=3, floor=0.0), rng)
    order = [int(np.argmin(np.sum((mixture.means - centre) ** 2, axis=1))) for centre in centres]
    np.testing.assert_allclose(mixture.means[order], centres, atol=0.1)
    np.testing.assert_allclose(mixture.weights[order], [0.5, 0.3, 0.2], atol=0.03)
    np.testing.assert_allclose(mixture.covariances[order[0]], np.diag([1.0, 0.25]), atol=0.08)
    assert weights.shape == (6000, 3)


def test_every_round_raises_the_likelihood_of_the_training_points():
    rng = np.random.default_rng(2)
    points, _ = blobs(3000, rng)
    mixture = _start(points, MixtureSettings(n_mixture=5, floor=0.0), rng)
    seen = []
    for _ in range(15):
        seen.append(mixture.responsibilities(points)[1])
        mixture = _maximised(points, mixture, floor=0.0)
    assert (np.diff(seen) > -1e-9).all()
    assert seen[-1] > seen[0] + 1e-3


def test_fit_stops_when_the_held_out_likelihood_no_longer_rises():
    rng = np.random.default_rng(2)
    points, _ = blobs(2000, rng)
    seen = []
    settings = MixtureSettings(n_mixture=4, max_iter=100, patience=3)
    fit_mixture(points, settings, rng, lambda number, value: seen.append(value))
    assert len(seen) == np.argmax(seen) + 1 + settings.patience


def test_one_gaussian_has_the_moments_of_the_points():
    points, _ = blobs(1000, np.random.default_rng(3))
    mixture, weights = fit_mixture(points, MixtureSettings(n_mixture=1, floor=0.5), np.random.default_rng(4))
    np.testing.assert_allclose(mixture.means[0], points.mean(axis=0))
    np.testing.assert_allclose(mixture.covariances[0], np.cov(points.T, bias=True) + 0.5 * np.eye(2))
    assert (weights == 1).all()


def test_prior_reconstructs_spectra_and_predicts_labels():
    """Spectra of three components and a label that is linear in one of them, at any scale."""
    rng = np.random.default_rng(5)
    x = np.linspace(0, 1, 200)
    coefficients = rng.normal(size=(3000, 3)) * [0.3, 0.1, 0.05]
    shapes = 2 + coefficients @ np.stack([np.sin(4 * x), np.cos(7 * x), np.sin(11 * x)])
    rest = RestSpectra(
        wavelength=4000 + 1000 * x,
        flux=(shapes * rng.uniform(0.5, 50, (3000, 1))).astype(np.float32),
        parameters={"log_age_mw": 9 + coefficients[:, 0], "same": np.ones(3000)},
    )
    settings = PriorSettings(n_components=3, reference_snr=50, mixture=MixtureSettings(n_mixture=2, max_iter=10))
    prior = fit_prior(rest, np.ones(200), np.full(200, 2.5), rng, settings)
    assert prior.label_names == ("log_age_mw",)
    assert prior.truncation.max() < 5e-3
    scaled = shapes / shapes.mean(axis=1, keepdims=True)
    fitted = np.linalg.lstsq(prior.components.T, (scaled - prior.mean).T, rcond=None)[0].T
    np.testing.assert_allclose(prior.mean + fitted @ prior.components, scaled, atol=0.02)
    one = prior.collapsed()
    predicted = one.labels[0] + (fitted - one.means[0]) @ one.slopes[0].T
    assert np.std(predicted[:, 0] - rest.parameters["log_age_mw"]) < 0.05


def test_a_prior_keeps_a_tenth_of_the_floor_in_every_direction_of_every_gaussian():
    """Of four components, the last is weaker than the floor."""
    rng, x, floor = np.random.default_rng(0), np.linspace(0, 1, 100), 0.02
    coefficients = rng.exponential(size=(800, 4)) * [0.3, 0.1, 0.03, 1e-4]
    flux = (2 + coefficients @ np.cos(np.outer([1, 2, 3, 4], np.pi * x))).astype(np.float32)
    rest = RestSpectra(wavelength=4000 + 1000 * x, flux=flux, parameters={"age": coefficients[:, 0] ** 2})
    settings = PriorSettings(n_components=4, mixture=MixtureSettings(n_mixture=3, max_iter=4, floor=floor))
    prior = fit_prior(rest, np.ones(100), np.full(100, 2.5), rng, settings)
    least = np.linalg.eigvalsh(prior.covariances).min(axis=1)
    np.testing.assert_array_less(0.1 * floor * (1 - 1e-6), least)
    assert least.min() < 0.5 * floor
    assert np.linalg.eigvalsh(prior.label_covariances).min() > -1e-9
    less = without_floor(prior, 1e-3)
    expected = np.linalg.eigvalsh(prior.covariances) - 0.9e-3
    np.testing.assert_allclose(np.linalg.eigvalsh(less.covariances), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(less.means, prior.means)
