"""Labels of a prior: mixtures of the residuals, and refits that leave the spectra alone."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest

from quietspec.denoisers import Posterior
from quietspec.errors import ModelError
from quietspec.lab.simulate import RestSpectra
from quietspec.lab.training import MixtureSettings, PriorSettings, fit_prior
from quietspec.lab.training.prior import _drawn_members, _label_parts, refit_labels
from quietspec.spectra import Spectra

WAVELENGTH = np.linspace(4000, 5000, 100)
FLAT = np.ones(100)
SETTINGS = PriorSettings(n_components=3, mixture=MixtureSettings(n_mixture=3, max_iter=10, floor=0.02))
SPECTRAL = ("wavelength", "fwhm", "mean", "components", "truncation", "weights", "means", "covariances")


def world(n, seed):
    """Spectra of three coefficients, and two labels that follow these except for a tail, as of dim old populations."""
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(size=(n, 3)) * [0.2, 0.1, 0.05]
    waves = np.cos(np.outer([1, 2, 3], np.linspace(0, np.pi, 100)))
    tail = np.where(rng.random(n) < 0.15, rng.exponential(1.0, n), 0.0)
    age = 9 + 2 * coefficients[:, 0] + 0.1 * rng.normal(size=n) + tail
    metallicity = coefficients[:, 1] - 0.3 * tail + 0.1 * rng.normal(size=n)
    flux = (2 + coefficients @ waves).astype(np.float32)
    return RestSpectra(
        wavelength=WAVELENGTH, flux=flux, parameters={"age": age, "mh": metallicity, "fixed": np.ones(n)}
    )


def fitted(rest, settings=SETTINGS):
    card = {"settings": settings.model_dump(), "emission": "none", "noise": "quoted"}
    return fit_prior(rest, FLAT, 2.5 * FLAT, np.random.default_rng(1), settings, card=card)


def moments(weights, means, covariances):
    """Mean and covariance of a mixture."""
    mean = weights @ means
    around = means - mean
    return mean, np.einsum("k,kij->ij", weights, covariances + around[:, :, None] * around[:, None, :])


@pytest.fixture(scope="module")
def prior():
    return fitted(world(4000, 0))


def test_members_are_drawn_as_often_as_responsibilities_say():
    chances = np.tile([0.5, 0.0, 0.3, 0.2], (20_000, 1))
    drawn = _drawn_members(chances, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 20_000, chances[0], atol=0.02)
    np.testing.assert_array_equal(_drawn_members(np.eye(4), np.random.default_rng(0)), np.arange(4))


def test_parts_together_have_mean_0_and_nearly_the_covariance(prior):
    assert prior.label_names == ("age", "mh")
    ratios = []
    for k in range(prior.n_mixture):
        parts = [array[k] for array in prior.label_parts()]
        mean, covariance = moments(*parts)
        size = np.diag(prior.label_covariances[k]) ** 0.5
        assert parts[0].sum() == pytest.approx(1)
        np.testing.assert_allclose(mean / size, 0, atol=1e-9)
        assert np.linalg.eigvalsh(parts[2]).min() > 0
        ratios.append(np.linalg.solve(prior.label_covariances[k], covariance))
    np.testing.assert_allclose(np.median(ratios, axis=0), np.eye(2), atol=0.15)


def test_parts_describe_a_tail():
    rng = np.random.default_rng(2)
    residual = rng.standard_t(3, size=(5000, 1)) * 0.1
    weights, offsets, spreads = _label_parts(residual, residual.var().reshape(1, 1), rng)
    assert (weights > 0).sum() > 1
    widths = spreads[weights > 0, 0, 0] ** 0.5
    assert widths.max() > 2 * widths.min()
    assert abs(weights @ offsets) < 1e-9


def test_too_few_spectra_give_one_gaussian():
    residual = np.random.default_rng(3).normal(size=(31, 2))
    weights, offsets, spreads = _label_parts(residual, 2 * np.eye(2), np.random.default_rng(3))
    np.testing.assert_array_equal(weights, [1, 0, 0, 0])
    np.testing.assert_array_equal(offsets, 0)
    np.testing.assert_array_equal(spreads, np.tile(2 * np.eye(2), (4, 1, 1)))


@pytest.mark.parametrize("residual", [np.zeros((500, 2)), np.ones((500, 2)) * np.linspace(-1, 1, 500)[:, None]])
def test_labels_that_follow_from_the_spectrum_or_from_one_another_are_no_error(residual):
    """The residuals have no scatter in one direction, so their covariance has no Cholesky factor."""
    covariance = np.cov(residual.T)
    weights, offsets, spreads = _label_parts(residual, covariance, np.random.default_rng(4))
    mean, whole = moments(weights, offsets, spreads)
    np.testing.assert_allclose(mean, 0, atol=1e-9)
    np.testing.assert_allclose(whole, covariance, atol=1e-9)


def observed(rest, snr=300):
    flux = rest.flux.astype(float)
    noise = np.random.default_rng(5).normal(size=flux.shape) * 2 / snr
    ivar = np.full(flux.shape, (snr / 2) ** 2.0)
    return Spectra(wavelength=rest.wavelength, flux=flux + noise, ivar=ivar, redshift=0.0, medium="air")


def test_heavy_tailed_labels_have_calibrated_quantiles(prior):
    rest = world(1500, 6)
    one = replace(prior, part_weights=None, part_offsets=None, part_covariances=None)
    distance = {}
    for kind, each in (("parts", prior), ("one", one)):
        posterior = Posterior("tiny", each).denoise(observed(rest)).parameter_posterior
        distance[kind] = [
            kstest(posterior.cdf(name, rest.parameters[name]), "uniform").statistic for name in ("age", "mh")
        ]
    assert max(distance["parts"]) < 0.05
    assert distance["one"][0] > 0.1


def test_refitting_labels_leaves_the_spectra_alone(prior):
    rest = world(4000, 0)
    other = replace(rest, parameters={"age": 1 + 2 * rest.parameters["age"], "dust": rest.parameters["mh"]})
    found = refit_labels(prior, other, FLAT, np.random.default_rng(7))
    assert found.label_names == ("age", "dust")
    for name in SPECTRAL:
        np.testing.assert_array_equal(getattr(found, name), getattr(prior, name))
    assert found.hash != prior.hash
    assert found.card == prior.card
    np.testing.assert_allclose(found.labels[:, 0], 1 + 2 * prior.labels[:, 0], atol=0.1)
    spectra = observed(world(50, 8))
    one, two = (Posterior("tiny", each).denoise(spectra) for each in (prior, found))
    np.testing.assert_array_equal(one.flux, two.flux)
    np.testing.assert_array_equal(one.sigma, two.sigma)
    np.testing.assert_allclose(two.parameters["age"][0], 1 + 2 * one.parameters["age"][0], atol=0.1)


def test_refitting_labels_of_a_saved_prior_is_the_same(prior, tmp_path):
    prior.save(tmp_path / "prior.npz")
    again = type(prior).load(tmp_path / "prior.npz")
    one, other = (refit_labels(each, world(4000, 0), FLAT, np.random.default_rng(7)) for each in (prior, again))
    np.testing.assert_allclose(other.labels, one.labels, rtol=1e-3, atol=1e-3)
    for name in SPECTRAL:
        np.testing.assert_array_equal(getattr(other, name), getattr(again, name))


def test_priors_that_cannot_be_refitted_say_why(prior):
    rng = np.random.default_rng(0)
    with pytest.raises(ModelError, match="does not say how it was trained"):
        refit_labels(replace(prior, card={}), world(100, 0), FLAT, rng)
    rest = world(100, 0)
    with pytest.raises(ModelError, match="wavelengths; take the library it was trained on"):
        refit_labels(prior, replace(rest, wavelength=rest.wavelength + 1), FLAT, rng)
    with pytest.raises(ModelError, match="wavelengths; take the library it was trained on"):
        refit_labels(prior, replace(rest, wavelength=rest.wavelength[:-1], flux=rest.flux[:, :-1]), FLAT[:-1], rng)
