"""Coordinates of a pixel grid: the prior is white in them, few of them do, and nothing depends on company."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from quietspec.denoisers import Posterior, load_prior
from quietspec.denoisers.posterior import inference
from quietspec.denoisers.posterior.conditioning import likely
from quietspec.denoisers.posterior.coordinates import Coordinates, PreparedPrior
from quietspec.denoisers.posterior.inference import infer
from quietspec.denoisers.posterior.linear import project
from quietspec.spectra import Spectra

from ..conftest import draw, small_prior
from .test_contamination import gas_lines


def many_directions(n_components=40, n_mixture=3):
    """A prior of many components, each of less variance than the one before."""
    prior = small_prior(n_mixture=n_mixture, n_components=n_components)
    fall = 0.75 ** np.arange(n_components)
    covariances = prior.covariances * fall * fall[:, None] + 1e-9 * np.eye(n_components)
    return replace(prior, means=prior.means * fall, covariances=covariances)


def posterior_of(prior, spectra, scale, rank=None):
    coordinates = Coordinates(PreparedPrior(prior), np.vstack([prior.mean, prior.components]).T)
    information = coordinates.information(spectra.ivar)
    chosen = int(coordinates.ranks(information, scale, 0.003).max()) if rank is None else rank
    start = scale[:, None] * coordinates.centre
    residual = spectra.flux - start @ coordinates.vectors.T
    projections = project(residual, spectra.ivar, start, coordinates, information, chosen)
    return infer(projections.full(), coordinates, scale), coordinates, chosen


def test_the_prior_is_white():
    prior = small_prior()
    coordinates = Coordinates(PreparedPrior(prior), np.vstack([prior.mean, prior.components]).T)
    size = coordinates.size
    one = PreparedPrior(prior.collapsed()).in_coordinates(coordinates.transform)
    np.testing.assert_allclose(one.covariance[0], np.eye(size), atol=1e-9)
    np.testing.assert_allclose(one.mean[0], coordinates.centre, atol=1e-9)


def test_even_noise_informs_directions_independently_and_the_first_most():
    prior = small_prior()
    coordinates = Coordinates(PreparedPrior(prior), np.vstack([prior.mean, prior.components]).T)
    gram = coordinates.gram(np.ones((20, len(prior.wavelength)), dtype=np.float32), coordinates.size)[0]
    diagonal = np.diag(gram)
    assert (np.diff(diagonal) < 0).all()
    np.testing.assert_allclose(gram / np.sqrt(np.outer(diagonal, diagonal)), np.eye(len(gram)), atol=1e-3)


@pytest.mark.parametrize("snr", [2.0, 5.0])
def test_neglected_directions_change_next_to_nothing(snr):
    prior = many_directions()
    spectra, *_ = draw(prior, 40, snr, np.random.default_rng(1))
    scale = np.ones(40)
    few, coordinates, rank = posterior_of(prior, spectra, scale)
    every, *_ = posterior_of(prior, spectra, scale, coordinates.size)
    assert rank < coordinates.size
    variance = np.array(
        [np.einsum("pi,ij,pj->p", coordinates.vectors, c, coordinates.vectors) for c in every.covariance]
    )
    difference = (few.mean - every.mean) @ coordinates.vectors.T
    assert np.sqrt(np.mean(difference**2) / np.mean(variance)) < 0.01
    np.testing.assert_allclose(coordinates.variance(few.covariance), variance, rtol=0.02)
    np.testing.assert_allclose(few.log_evidence, every.log_evidence, atol=0.05)
    for name in prior.label_names:
        assert np.max(np.abs(few.labels.mean(name) - every.labels.mean(name)) / every.labels.sigma(name)) < 0.02


def test_bright_spectra_need_all_directions():
    prior = many_directions()
    coordinates = Coordinates(PreparedPrior(prior), np.vstack([prior.mean, prior.components]).T)
    weight = np.full((3, len(prior.wavelength)), 1e12)
    assert (coordinates.ranks(coordinates.information(weight), np.ones(3), 0.003) == coordinates.size).all()
    faint = coordinates.ranks(coordinates.information(1e-14 * weight), np.ones(3), 0.003)
    assert (faint < coordinates.size).all()


def dense_posterior(gram, gradient, start, scale, coordinates):
    """Log weights (but for a constant), means and covariances of each component, by d × d matrices in float64."""
    mixture, one = coordinates.mixture, np.eye(len(start))
    logs, means, covariances = [], [], []
    for weight, location, covariance in zip(
        mixture.log_weight, scale * mixture.mean, scale**2 * mixture.covariance, strict=True
    ):
        left = np.linalg.solve(one + gram @ covariance, np.c_[gram, gradient - gram @ (location - start)])
        step = location - start
        told = gradient @ step - 0.5 * step @ gram @ step + 0.5 * (gradient - gram @ step) @ covariance @ left[:, -1]
        logs.append(weight + told - 0.5 * np.linalg.slogdet(one + gram @ covariance)[1])
        means.append(location + covariance @ left[:, -1])
        covariances.append(covariance - covariance @ left[:, :-1] @ covariance)
    return np.array(logs), np.array(means), np.array(covariances)


@pytest.mark.parametrize("snr", [2.0, 10.0, 60.0])
def test_a_shipped_prior_against_dense_matrices(snr):
    """Some of its Gaussians are a thousand times narrower in some directions than in others."""
    prior = load_prior("survey")
    inside = prior.wavelength < 7000
    basis = np.vstack([prior.mean, prior.components])[:, inside].T
    coordinates = Coordinates(PreparedPrior(prior), basis)
    rng = np.random.default_rng(6)
    n = 12
    member = rng.choice(prior.n_mixture, n, p=prior.weights)
    half = np.linalg.cholesky(prior.covariances)[member]
    shapes = prior.means[member] + np.einsum("nij,nj->ni", half, rng.normal(size=(n, prior.n_components)))
    truth = basis[:, 0] + shapes @ basis[:, 1:].T
    sigma = np.linspace(1.5, 0.7, len(basis)) / snr
    flux, weight = truth + sigma * rng.normal(size=truth.shape), np.tile(sigma**-2, (n, 1))
    start, scale = np.tile(coordinates.centre, (n, 1)), np.ones(n)
    information = coordinates.information(weight)
    projections = project(flux - start @ coordinates.vectors.T, weight, start, coordinates, information, len(start[0]))
    found = infer(projections, coordinates, scale)
    screened = infer(projections, coordinates, scale, screened=True)
    assert np.where(screened.weights == 0, found.weights, 0).sum(axis=1).max() < 1e-3
    for row in range(n):
        logs, means, covariances = dense_posterior(
            projections.gram[row], projections.gradient[row], start[row], scale[row], coordinates
        )
        weights = np.exp(logs - np.logaddexp.reduce(logs))
        mean = weights @ means
        offset = means - mean
        covariance = np.einsum("k,kij->ij", weights, covariances + offset[:, :, None] * offset[:, None, :])
        error = np.sqrt(np.einsum("pi,ij,pj->p", coordinates.vectors, covariance, coordinates.vectors))
        moved = (found.mean[row] - mean) @ coordinates.vectors.T / error
        assert np.sqrt(np.mean(moved**2)) < 0.05
        moved = (screened.mean[row] - found.mean[row]) @ coordinates.vectors.T / error
        assert np.sqrt(np.mean(moved**2)) < 0.01
        change = np.sqrt(coordinates.variance(found.covariance[[row]])[0]) / error - 1
        assert np.sqrt(np.mean(change**2)) < 0.02
        evidence = np.logaddexp.reduce(logs) - 0.5 * projections.chi2[row]
        assert found.log_evidence[row] == pytest.approx(evidence, abs=0.3)


@pytest.mark.parametrize("snr", [2.0, 8.0])
def test_components_that_are_screened_out_have_no_weight(snr, monkeypatch):
    prior = many_directions(n_mixture=40)
    spectra, *_ = draw(prior, 6, snr, np.random.default_rng(4))
    coordinates = Coordinates(PreparedPrior(prior), np.vstack([prior.mean, prior.components]).T)
    start = coordinates.centre[None]
    kept = []
    monkeypatch.setattr(inference, "likely", lambda *given: kept.append(likely(*given)) or kept[-1])
    for row in range(len(spectra)):
        one, scale = spectra[row], np.ones(1)
        information = coordinates.information(one.ivar)
        difference = one.flux - start @ coordinates.vectors.T
        projections = project(difference, one.ivar, start, coordinates, information, coordinates.size)
        every, some = infer(projections, coordinates, scale), infer(projections, coordinates, scale, screened=True)
        np.testing.assert_allclose(some.mean, every.mean, atol=1e-3 * np.sqrt(every.covariance.max()))
        np.testing.assert_allclose(some.covariance, every.covariance, atol=1e-3 * every.covariance.max())
        np.testing.assert_allclose(some.log_evidence, every.log_evidence, atol=1e-3)
    assert len(kept) == len(spectra)  # there are enough numbers to screen by
    assert min(near.sum() for near in kept) < 40


@pytest.mark.parametrize("noise", ["quoted", "measured"])
@pytest.mark.parametrize("emission", ["none", "auto"])
def test_one_spectrum_alone_is_as_in_company(noise, emission):
    """Gas too faint to tell its width included."""
    prior = many_directions()
    rng = np.random.default_rng(2)
    spectra, *_ = draw(prior, 60, 4, rng)
    gas = np.array([gas_lines(prior.wavelength, *rng.normal([0, 150], [100, 30]), 1) for _ in range(60)])
    spectra = replace(spectra, flux=spectra.flux + np.linspace(0, 1.5, 60)[:, None] * gas)
    tool = Posterior("posterior", prior, noise=noise, emission=emission)
    together = tool.denoise(spectra)
    for row in (0, 10, 17, 25, 40, 59):
        alone = tool.denoise(spectra[row])
        np.testing.assert_array_equal(alone.ignored[0], together.ignored[row])
        np.testing.assert_allclose(alone.flux[0], together.flux[row], rtol=1e-5)
        np.testing.assert_allclose(alone.sigma[0], together.sigma[row], rtol=1e-5)
        assert alone.evidence[0] == pytest.approx(together.evidence[row], rel=1e-5)


def test_no_spectra_at_all():
    prior = load_prior("survey")
    flux = np.ones((1, len(prior.wavelength)))
    spectra = Spectra(wavelength=prior.wavelength, flux=flux, ivar=flux, redshift=0.0, medium="air")
    found = Posterior("posterior", prior).denoise(spectra[:0])
    assert found.flux.shape == (0, spectra.n_pixels)
    assert len(found.p_value) == 0


def test_denoiser_and_result_can_be_sent_to_other_processes():
    prior = small_prior()
    spectra, *_ = draw(prior, 20, 4, np.random.default_rng(4))
    tool = Posterior("posterior", prior)
    found = tool.denoise(spectra)
    sent = pickle.dumps(found)
    assert len(sent) < 3e6
    other, received = pickle.loads(pickle.dumps(tool)), pickle.loads(sent)  # noqa: S301  (our own)
    np.testing.assert_array_equal(other.denoise(spectra).flux, found.flux)
    np.testing.assert_array_equal(received.covariance(3), found.covariance(3))
