"""Following what the model lacks: against dense Gaussian-process algebra, and in the denoiser."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.denoisers import Posterior
from quietspec.denoisers.posterior.discrepancy import Discrepancy

from ..conftest import draw, small_prior

REST = np.cumsum(np.r_[4000.0, np.random.default_rng(0).uniform(0.8, 3.0, 149)])
LAW = Discrepancy(np.array([4000.0, 4200.0]), np.array([0.01, 0.04]), 25.0)
MODEL = np.stack([1 + 0.3 * np.sin(REST / 40), 2.0 - 0.002 * (REST - 4000)])


def dense_prior(model):
    """Pixel covariance: linear interpolation between independent knots, of rms 1 over an interval of them."""
    knots = REST[0] + LAW.length * np.arange(int((REST[-1] - REST[0]) // LAW.length) + 2)
    hats = np.stack([np.interp(REST, knots, row) for row in np.eye(len(knots))], axis=1)
    size = np.sqrt(1.5) * np.interp(REST, LAW.wavelength, LAW.fraction) * np.abs(model)
    return size[:, None] * (hats @ hats.T) * size


def data(seed=1, masked=0.2):
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.2, 2.0, MODEL.shape) * 40**2
    weight[rng.random(MODEL.shape) < masked] = 0
    return 0.05 * rng.normal(size=MODEL.shape), weight


def test_mean_variance_and_covariance_are_those_of_the_dense_process():
    residual, weight = data()
    found = LAW.fit(residual, weight, MODEL, REST)
    for row in range(2):
        prior, used = dense_prior(MODEL[row]), weight[row] > 0
        total = prior[np.ix_(used, used)] + np.diag(1 / weight[row, used])
        gain = np.linalg.solve(total, prior[used]).T
        covariance = prior - gain @ prior[used]
        np.testing.assert_allclose(found.flux[row], gain @ residual[row, used], rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(found.variance[row], np.diag(covariance), rtol=1e-7)
        factor = found.factor(row)
        np.testing.assert_allclose(factor @ factor.T, covariance, rtol=1e-6, atol=1e-12)
        assert found.dof[row] == pytest.approx(np.trace(gain[used]), rel=1e-8)


def test_without_data_it_is_the_prior():
    found = LAW.fit(np.full(MODEL.shape, np.nan), np.zeros(MODEL.shape), MODEL, REST)
    np.testing.assert_array_equal(found.flux, 0)
    np.testing.assert_allclose(found.variance, [np.diag(dense_prior(model)) for model in MODEL], rtol=1e-12)
    np.testing.assert_allclose(found.dof, 0, atol=1e-12)


def test_the_fraction_is_its_rms_over_an_interval_of_knots():
    law = replace(LAW, fraction=np.full(2, 0.03))
    rest = np.arange(4000.0, 4250.0, 0.5)
    nothing = np.zeros((1, len(rest)))
    found = law.fit(nothing, nothing, np.full_like(nothing, 7.0), rest)
    assert np.sqrt(found.variance.mean()) == pytest.approx(0.03 * 7.0, rel=1e-3)


def test_perfect_data_are_followed():
    knots = REST[0] + LAW.length * np.arange(20)
    relative = np.interp(REST, knots, np.random.default_rng(2).normal(size=20))
    residual = relative * np.interp(REST, LAW.wavelength, LAW.fraction) * MODEL
    found = LAW.fit(residual, np.full(MODEL.shape, 1e14), MODEL, REST)
    np.testing.assert_allclose(found.flux, residual, atol=1e-6)
    assert found.variance.max() < 1e-12
    np.testing.assert_allclose(found.dof, np.ceil((REST[-1] - REST[0]) / LAW.length) + 1, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(1e-18, 1e18), seed=st.integers(0, 50))
def test_flux_scale_goes_through(factor, seed):
    residual, weight = data(seed)
    one = LAW.fit(residual, weight, MODEL, REST)
    other = LAW.fit(residual * factor, weight / factor**2, MODEL * factor, REST)
    np.testing.assert_allclose(other.flux, one.flux * factor, rtol=1e-8, atol=1e-14 * factor)
    np.testing.assert_allclose(other.variance, one.variance * factor**2, rtol=1e-8)
    np.testing.assert_allclose(other.dof, one.dof, rtol=1e-8)


@settings(max_examples=20, deadline=None)
@given(bad=st.sampled_from([np.nan, np.inf, -1e30, 0.0]), seed=st.integers(0, 50))
def test_masked_pixels_never_matter(bad, seed):
    residual, weight = data(seed, masked=0.5)
    one = LAW.fit(residual, weight, MODEL, REST)
    other = LAW.fit(np.where(weight > 0, residual, bad), weight, MODEL, REST)
    np.testing.assert_array_equal(one.flux, other.flux)
    np.testing.assert_array_equal(one.variance, other.variance)


def test_data_never_raise_the_variance():
    residual, weight = data()
    more = LAW.fit(residual, 2 * weight, MODEL, REST).variance
    less = LAW.fit(residual, weight, MODEL, REST).variance
    assert np.all(more <= less * (1 + 1e-12))
    assert np.all(less <= np.array([np.diag(dense_prior(model)) for model in MODEL]) * (1 + 1e-12))


def test_noise_of_pixels_has_the_same_mean_over_a_length():
    rest = np.arange(4000.0, 4200.0, 0.5)
    sigma = LAW.as_noise(rest, np.full(rest.shape, -3.0))
    expected = 3.0 * np.interp(rest, LAW.wavelength, LAW.fraction)
    np.testing.assert_allclose(sigma / np.sqrt(LAW.length / 0.5), expected, rtol=1e-12)
    coarse = np.arange(4000.0, 4200.0, 2 * LAW.length)
    np.testing.assert_allclose(
        LAW.as_noise(coarse, np.ones(coarse.shape)), np.interp(coarse, LAW.wavelength, LAW.fraction)
    )


CARD = {"wavelength": [3700.0, 7400.0], "fraction": [0.02, 0.02], "length": 40.0}


def with_discrepancy(prior):
    return replace(prior, card={**prior.card, "discrepancy": CARD})


def test_a_card_says_it_or_not():
    found = Discrepancy.from_card({"discrepancy": CARD})
    np.testing.assert_array_equal(found.fraction, CARD["fraction"])
    assert found.length == 40.0
    assert Discrepancy.from_card({}) is None
    prior = with_discrepancy(small_prior())
    assert Posterior("posterior", prior).discrepancy is not None
    assert Posterior("posterior", prior, discrepancy=False).discrepancy is None


def test_left_out_it_is_as_if_the_card_had_none():
    prior = small_prior()
    spectra, *_ = draw(prior, 5, 20, np.random.default_rng(3))
    without = Posterior("posterior", prior).denoise(spectra)
    left_out = Posterior("posterior", with_discrepancy(prior), discrepancy=False).denoise(spectra)
    np.testing.assert_array_equal(left_out.flux, without.flux)
    np.testing.assert_array_equal(left_out.sigma, without.sigma)


def both(spectra, prior):
    prior = with_discrepancy(prior)
    return [Posterior("posterior", prior, discrepancy=allowed).denoise(spectra) for allowed in (False, True)]


@pytest.mark.parametrize("snr", [3, 30, 300])
def test_errors_grow_and_their_covariance_with_them(snr):
    prior = small_prior(n_mixture=1, truncation=1e-3)
    spectra, *_ = draw(prior, 6, snr, np.random.default_rng(4))
    without, allowed = both(spectra, prior)
    assert np.all(allowed.sigma > without.sigma)
    for row in range(2):
        factor = allowed.covariance_factor(row)
        total = np.sqrt((factor**2).sum(axis=1) + allowed.remainder[row] ** 2)
        np.testing.assert_allclose(total, allowed.sigma[row], rtol=1e-5)  # sums in single precision


def test_bright_spectra_with_a_bump_are_followed_and_faint_ones_are_not():
    prior = small_prior()
    bump = 0.04 * np.exp(-0.5 * ((prior.wavelength - 5500) / 70) ** 2)
    near = np.abs(prior.wavelength - 5500) < 100
    for snr, gain in ((400, 0.15), (2, None)):
        spectra, truth, *_ = draw(prior, 20, snr, np.random.default_rng(5))
        truth = truth * (1 + bump)
        without, allowed = both(replace(spectra, flux=spectra.flux + truth - truth / (1 + bump)), prior)
        left, before = (np.sqrt(np.mean((d.flux - truth)[:, near] ** 2)) for d in (allowed, without))
        if gain is None:
            np.testing.assert_allclose(allowed.flux, without.flux, atol=0.1)
            assert np.median(allowed.sigma[:, near] ** 2 - without.sigma[:, near] ** 2) > 0.7 * 0.02**2
        else:
            assert left < gain * before
            pull = ((allowed.flux - truth) / allowed.sigma)[:, near]
            assert np.mean(pull**2) < 4 < np.mean(((without.flux - truth) / without.sigma)[:, near] ** 2)


def test_errors_cover_truth_that_has_the_discrepancy_told():
    prior = small_prior()
    rng = np.random.default_rng(6)
    knots = np.arange(3700.0, 7450.0, 40.0)
    for snr in (5, 50, 200):
        spectra, truth, *_ = draw(prior, 40, snr, rng)
        process = [np.interp(prior.wavelength, knots, np.sqrt(1.5) * rng.normal(size=len(knots))) for _ in range(40)]
        extra = 0.02 * truth * np.array(process)
        without, allowed = both(replace(spectra, flux=spectra.flux + extra), prior)
        chi2 = [np.mean(((d.flux - truth - extra) / d.sigma) ** 2) for d in (without, allowed)]
        assert 0.8 < chi2[1] < 1.25
        assert chi2[1] < chi2[0]
