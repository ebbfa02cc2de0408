"""One impossible pixel, or too few pixels: no other pixel and no other spectrum suffers, and failures are flagged."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from quietspec.denoised import Flag, ModelId
from quietspec.denoisers import (
    Butterworth,
    Gaussian,
    Posterior,
    PrincipalComponents,
    SavitzkyGolay,
    Wavelet,
    load_denoiser,
)
from quietspec.denoisers.base import finish
from quietspec.denoisers.outliers import gross_outliers
from quietspec.denoisers.posterior import denoiser as denoiser_module
from quietspec.spectra import Spectra

from .conftest import draw, small_prior

SMOOTHERS = (Gaussian(10), SavitzkyGolay(40), Butterworth(40), Wavelet(60))
PIXEL = 400


def tools():
    prior = small_prior()
    return (Posterior("posterior", prior), PrincipalComponents("pca", prior), *SMOOTHERS, load_denoiser("eut-small"))


each = pytest.mark.parametrize("tool", tools(), ids=lambda tool: tool.name)


def observed(n=3, snr=10.0):
    return draw(small_prior(), n, snr, np.random.default_rng(0))[0]


def with_pixel(spectra, flux=1.0, sigma=1.0, rows=slice(None)):
    """The spectra with one pixel's flux and error multiplied."""
    fluxes, ivar = spectra.flux.copy(), spectra.ivar.copy()
    fluxes[rows, PIXEL] *= flux
    ivar[rows, PIXEL] *= float(sigma) ** -2
    return replace(spectra, flux=fluxes, ivar=ivar)


def without_pixel(spectra):
    ivar = spectra.ivar.copy()
    ivar[:, PIXEL] = 0
    return replace(spectra, ivar=ivar)


@each
@pytest.mark.parametrize(
    ("flux", "sigma"), [(1e6, 1), (1e10, 1), (1e25, 1), (-1e30, 1), (1, 1e-3), (1, 1e-10), (1, 1e10), (1e30, 1e30)]
)
def test_an_impossible_pixel_is_as_good_as_masked(tool, flux, sigma):
    spectra = observed()
    found, expected = tool.denoise(with_pixel(spectra, flux, sigma)), tool.denoise(without_pixel(spectra))
    assert found.ignored[:, PIXEL].all()
    for name in ("flux", "sigma", "chi2", "dof", "flags"):
        assert_array_equal(getattr(found, name), getattr(expected, name))


@each
def test_an_impossible_pixel_does_not_matter_to_other_spectra(tool):
    spectra = observed()
    found, quiet = tool.denoise(with_pixel(spectra, flux=1e20, rows=1)), tool.denoise(spectra)
    np.testing.assert_allclose(found.flux[[0, 2]], quiet.flux[[0, 2]], rtol=1e-5)
    assert not found.ignored[0, PIXEL]


@settings(max_examples=40, deadline=None)
@given(flux=st.floats(-150, 150), sigma=st.floats(-150, 150), negative=st.booleans())
@example(flux=20.0, sigma=0.0, negative=False)
@example(flux=0.0, sigma=-5.0, negative=False)
def test_any_value_and_error_of_one_pixel_are_endured(flux, sigma, negative):
    spectra = observed()
    tool = Posterior("posterior", small_prior())
    found = tool.denoise(with_pixel(spectra, (-1) ** negative * 10.0**flux, 10.0**sigma))
    expected = tool.denoise(without_pixel(spectra))
    assert np.isfinite(found.flux).all()
    far = np.abs(found.flux - expected.flux) > 10 * expected.sigma
    assert not far[found.flags == 0].any()


def test_real_features_are_no_outliers():
    spectra = observed(snr=100.0)
    lines = with_pixel(spectra, flux=3000.0)
    assert not gross_outliers(lines).any()
    noisy = replace(spectra, ivar=np.where(np.arange(spectra.n_pixels) < 300, 1e-6, 1) * spectra.ivar)
    assert not gross_outliers(noisy).any()
    deep = replace(spectra, ivar=np.where(np.arange(spectra.n_pixels) < 300, 1e6, 1) * spectra.ivar)
    assert not gross_outliers(deep).any()
    assert not gross_outliers(replace(spectra, flux=np.zeros(spectra.flux.shape))).any()


@settings(max_examples=30, deadline=None)
@given(factor=st.floats(-20, 20), value=st.floats(allow_nan=True, allow_infinity=True), seed=st.integers(0, 99))
def test_outliers_depend_neither_on_the_unit_nor_on_masked_values(factor, value, seed):
    rng, spectra = np.random.default_rng(seed), observed()
    masked = rng.random(spectra.flux.shape) < 0.3
    odd = rng.random(spectra.flux.shape) < 0.002
    flux, ivar = np.where(odd, 1e9, spectra.flux), np.where(masked, 0, spectra.ivar)
    found = gross_outliers(replace(spectra, flux=flux, ivar=ivar))
    assert_array_equal(found, odd & ~masked)
    scaled = np.where(masked, value, flux * 10.0**factor)
    assert_array_equal(gross_outliers(replace(spectra, flux=scaled, ivar=ivar * 10.0 ** (-2 * factor))), found)


def test_no_spectra_hold_no_outliers():
    assert gross_outliers(observed()[[]]).shape == (0, observed().n_pixels)


@each
@pytest.mark.parametrize("n_inside", [1, 2, 3, 5, 6, 9])
def test_few_pixels_are_flagged_and_lose_no_other_spectrum(tool, n_inside):
    """Spectra of which only the first pixels lie within the wavelengths of a model; the smoothers see only these."""
    spectra = observed(2)
    inside = spectra.wavelength[10 : 10 + n_inside]
    wavelength = np.concatenate([inside, 20000 + 4.0 * np.arange(60)])
    flux = np.ones((2, len(wavelength)))
    ivar = np.full(flux.shape, 100.0)
    if tool.name in {smoother.name for smoother in SMOOTHERS}:
        ivar[:, n_inside:] = 0
    ivar[1, : min(n_inside, 2) - 1] = 0
    found = tool.denoise(Spectra(wavelength=wavelength, flux=flux, ivar=ivar, redshift=0.0, medium="air"))
    n_good = (ivar > 0)[:, :n_inside].sum(axis=1)
    assert_array_equal(found.flags == Flag.UNDETERMINED, n_good < 6)
    assert_array_equal(np.isfinite(found.flux).any(axis=1), n_good >= 6)


@pytest.mark.parametrize("smoother", SMOOTHERS, ids=lambda smoother: smoother.name)
def test_spectra_too_gappy_to_smooth_are_flagged(smoother):
    spectra = observed(2)
    ivar = spectra.ivar.copy()
    ivar[0, np.arange(spectra.n_pixels) % 300 > 0] = 0
    found = smoother.denoise(replace(spectra, ivar=ivar))
    assert_array_equal(found.flags, [Flag.UNDETERMINED, Flag.OK])
    assert np.isnan(found.flux[0]).all()


@pytest.mark.parametrize("snr", [1e8, 1e13, 1e30, 1e100])
def test_unbelievable_errors_give_a_result_or_a_flag(snr):
    spectra = observed(snr=snr)
    odd = spectra.flux * (1 + 0.3 * np.sin(np.linspace(0, 400, spectra.n_pixels)))
    for tool in (Posterior("posterior", small_prior()), PrincipalComponents("pca", small_prior())):
        found = tool.denoise(replace(spectra, flux=odd))
        assert (found.flags != 0).all()
        assert_array_equal(np.isfinite(found.flux).all(axis=1), (found.flags & Flag.UNDETERMINED) == 0)


def test_a_spectrum_that_breaks_the_algebra_is_flagged_alone(monkeypatch):
    spectra, tool = observed(5), Posterior("posterior", small_prior())
    expected = tool.denoise(spectra)
    bright = replace(spectra, flux=spectra.flux * np.array([1, 1, 7, 1, 1])[:, None])
    infer = denoiser_module.infer

    def breaking(projections, coordinates, scale, *breadth):
        if (scale > 5 * np.median(expected.flux[0] / np.sqrt(1 / spectra.ivar[0]))).any():
            raise np.linalg.LinAlgError("Matrix is not positive definite")
        return infer(projections, coordinates, scale, *breadth)

    monkeypatch.setattr(denoiser_module, "infer", breaking)
    found = tool.denoise(bright)
    assert_array_equal(found.flags, [0, 0, Flag.UNDETERMINED, 0, 0])
    assert np.isnan(found.flux[2]).all()
    assert np.isnan(found.parameters["mh_mw"][0][2])
    np.testing.assert_allclose(found.flux[[0, 1, 3, 4]], expected.flux[[0, 1, 3, 4]], rtol=1e-6)


def test_an_estimate_without_a_finite_value_is_flagged():
    spectra = observed(3)
    flux, sigma = np.ones(spectra.flux.shape), np.ones(spectra.flux.shape)
    flux[0], sigma[1] = np.inf, np.nan
    found = finish(spectra, flux, sigma, model=ModelId("test"))
    assert_array_equal(found.flags, [Flag.UNDETERMINED, Flag.UNDETERMINED, Flag.OK])
    assert_array_equal(np.isnan(found.flux), np.isnan(found.sigma))
