"""Scores: hand cases, invariances, and independent implementations."""

import astropy.units as u
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm, pearsonr
from specutils import SpectralRegion, Spectrum
from specutils.analysis import equivalent_width as specutils_width

from quietspec.lab.evaluation import (
    coverage,
    equivalent_width,
    line_scores,
    recovery_rate,
    reduced_chi2,
    rms,
    rms_reduction,
    width_bias,
)
from quietspec.wavelengths import LINE_WINDOWS, LineWindow

LINES = sorted(LINE_WINDOWS)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_rms_by_hand() -> None:
    assert_allclose(rms(np.array([[3.0, -4.0], [np.nan, 2.0], [np.nan, np.nan]])), [np.sqrt(12.5), 2, np.nan])
    assert_allclose(rms(np.array([[3.0, -4.0]]), np.array([[True, False]])), [3])


def test_rms_of_tiny_fluxes_in_single_precision_does_not_underflow() -> None:
    assert_allclose(rms(np.full((1, 10), 1e-30, dtype=np.float32)), [1e-30], rtol=1e-6)


@given(factor=st.floats(-2, 3))
def test_reduction_of_scaled_noise_is_known(factor: float) -> None:
    rng = np.random.default_rng(1)
    clean, noise = rng.random((4, 50)), rng.standard_normal((4, 50))
    assert_allclose(rms_reduction(clean, clean + noise, clean + factor * noise), 1 - abs(factor), atol=1e-9)


def test_reduction_is_nan_without_pixels_and_without_noise(rng) -> None:
    clean = rng.random((2, 9))
    assert np.isnan(rms_reduction(clean, clean + 1, clean, np.zeros((2, 9), dtype=bool))).all()
    assert np.isnan(rms_reduction(clean, clean, clean)).all()


def test_pixels_that_do_not_count_do_not_matter(rng) -> None:
    clean = rng.random((3, 60))
    noisy, denoised = clean + rng.standard_normal((3, 60)), clean + 0.1 * rng.standard_normal((3, 60))
    good = rng.random((3, 60)) > 0.3
    for spoil in (np.nan, 1e9):
        spoiled = np.where(good, denoised, spoil)
        assert_array_equal(rms_reduction(clean, noisy, spoiled, good), rms_reduction(clean, noisy, denoised, good))
        assert_array_equal(recovery_rate(clean, spoiled, good), recovery_rate(clean, denoised, good))
        assert_array_equal(
            coverage(clean, spoiled, np.ones_like(clean), 0.9, good),
            coverage(clean, denoised, np.ones_like(clean), 0.9, good),
        )


def test_recovery_is_pearsons(rng) -> None:
    clean = rng.random((5, 80)) + 100
    compared = 2 * clean + rng.standard_normal((5, 80))
    expected = [pearsonr(a, b).statistic for a, b in zip(clean, compared, strict=True)]
    assert_allclose(recovery_rate(clean, compared), expected, rtol=1e-10)
    assert_allclose(recovery_rate(clean.astype("f4"), compared.astype("f4")), expected, rtol=1e-4)
    assert np.isnan(recovery_rate(np.ones((1, 8)), np.arange(8.0)[None])).all()


@settings(max_examples=20)
@given(level=st.sampled_from([0.5, 0.6827, 0.95, 0.9545]), error=st.floats(0.5, 2))
def test_coverage_of_gaussian_errors(level: float, error: float) -> None:
    rng = np.random.default_rng(2)
    sigma = rng.uniform(0.5, 2, (100, 400))
    flux = sigma * rng.standard_normal(sigma.shape)
    expected = 2 * norm.cdf(error * norm.ppf((1 + level) / 2)) - 1
    assert coverage(np.zeros_like(flux), flux, error * sigma, level).mean() == pytest.approx(expected, abs=0.01)


def test_reduced_chi2(rng) -> None:
    ivar = rng.uniform(0.5, 2, (50, 400))
    ivar[:, :10] = 0
    flux = rng.standard_normal(ivar.shape) / np.sqrt(np.where(ivar > 0, ivar, 1))
    assert reduced_chi2(flux, np.zeros_like(flux), ivar).mean() == pytest.approx(1, abs=0.03)


def test_line_scores_look_only_into_their_window(rng) -> None:
    wavelength = np.arange(3900.0, 5000.0)
    clean = np.ones((2, len(wavelength)))
    noisy = clean + rng.standard_normal(clean.shape)
    low, high = LINE_WINDOWS["Hbeta"].feature
    inside = (wavelength >= low) & (wavelength <= high)
    scores = line_scores(wavelength, clean, noisy, np.where(inside, clean, noisy))
    assert list(scores) == list(LINE_WINDOWS)
    assert_allclose(scores["Hbeta"].reduction, 1)
    assert_allclose(scores["Hbeta"].rms, 0)
    assert_allclose(scores["Hdelta"].reduction, 0)
    for values in vars(scores["Na D"]).values():  # not covered
        assert np.isnan(values).all()


@pytest.mark.parametrize("line", LINES)
def test_line_scores_are_those_of_the_cut_spectra(line: str, rng) -> None:
    wavelength, window = np.arange(3900, 6000, 0.9), LINE_WINDOWS[line]
    clean = 2 + np.cos(wavelength / 5) * rng.uniform(0.2, 0.8, (3, 1))
    noisy, denoised = (clean + size * rng.standard_normal(clean.shape) for size in (0.5, 0.1))
    good = rng.random(clean.shape) > 0.02
    scores = line_scores(wavelength, clean, noisy, denoised, good)[line]
    for row in range(3):
        seen = (wavelength >= window.feature[0]) & (wavelength <= window.feature[1]) & good[row]
        a, b, c = clean[row, seen], noisy[row, seen], denoised[row, seen]
        assert scores.rms[row] == pytest.approx(np.sqrt(np.mean((c - a) ** 2)))
        assert scores.reduction[row] == pytest.approx(1 - np.linalg.norm(c - a) / np.linalg.norm(b - a))
        assert scores.recovery[row] == pytest.approx(pearsonr(a, c).statistic)
    assert_allclose(scores.width, equivalent_width(wavelength, denoised, window, good))
    assert_allclose(scores.true_width, equivalent_width(wavelength, clean, window, good))


@given(shift=st.floats(-3, 3), scatter=st.floats(0.01, 2))
def test_bias_of_widths_is_the_mean_error(shift: float, scatter: float) -> None:
    true = np.random.default_rng(3).uniform(0, 8, 4000)
    measured = true + shift + scatter * np.random.default_rng(4).standard_normal(4000)
    bias, spread, outliers = width_bias(measured, true)
    assert bias == pytest.approx(shift, abs=4 * scatter / np.sqrt(4000))
    assert spread == pytest.approx(scatter, rel=0.05)
    assert outliers < 0.002


def test_bias_of_widths_stands_what_is_left_of_no_continuum(rng) -> None:
    true = np.full(1000, 2.0)
    measured = true + 0.5 + rng.standard_normal(1000)
    expected = width_bias(measured, true)
    measured[:30] = [np.nan, np.inf, -np.inf, 1e9, -1e300, 5e4] * 5
    bias, spread, outliers = width_bias(measured, true)
    assert_allclose((bias, spread), expected[:2], atol=0.1)
    assert outliers == pytest.approx(0.03, abs=0.002)
    true[:30] = np.nan  # no true width: the spectrum does not count
    assert width_bias(measured, true)[2] < 0.002


def test_bias_of_widths_by_hand_and_of_none() -> None:
    assert width_bias(np.array([1.0, 2.0, 3.0]), np.ones(3)) == pytest.approx((1, np.sqrt(2 / 3), 0))
    assert width_bias(np.array([4.0]), np.array([1.0])) == (3, 0, 0)
    assert width_bias(np.ones(5), np.ones(5)) == (0, 0, 0)
    assert_array_equal(width_bias(np.full(2, np.nan), np.ones(2)), (np.nan, np.nan, 1))
    assert_array_equal(width_bias(np.ones(2), np.full(2, np.nan)), (np.nan, np.nan, np.nan))
    assert_array_equal(width_bias(np.empty(0), np.empty(0)), (np.nan, np.nan, np.nan))


def test_shapes_that_differ_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\), \(2, 4\)"):
        rms_reduction(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 4)))


@pytest.mark.parametrize("line", LINES)
def test_equivalent_width_of_a_box_on_a_slope(line: str) -> None:
    window = LINE_WINDOWS[line]
    wavelength = np.arange(3900, 6000, 0.5)
    continuum = 1 + (wavelength - 3900) / 1000
    centre, depth = np.mean(window.feature), 0.3
    flux = continuum * np.where(abs(wavelength - centre) < 2.4, 1 - depth, 1)
    n_pixels = np.sum(abs(wavelength - centre) < 2.4)
    # the continuum changes within the pixels at the ends of the band, hence not exact
    assert_allclose(equivalent_width(wavelength, flux[None], window), depth * 0.5 * n_pixels, rtol=1e-5)


@pytest.mark.parametrize("line", LINES)
def test_equivalent_width_agrees_with_specutils(line: str, rng) -> None:
    window = LINE_WINDOWS[line]
    wavelength = np.arange(3900, 6000, 0.01)  # fine, since specutils takes whole pixels
    flux = 1 - 0.5 * np.exp(-0.5 * ((wavelength - np.mean(window.feature)) / 3) ** 2)
    flux = flux * (2 + 1e-4 * wavelength)

    def mean(band: tuple[float, float]) -> float:
        return float(flux[(wavelength >= band[0]) & (wavelength <= band[1])].mean())

    position = (wavelength - np.mean(window.blue)) / (np.mean(window.red) - np.mean(window.blue))
    continuum = mean(window.blue) + (mean(window.red) - mean(window.blue)) * position
    expected = specutils_width(
        Spectrum(flux=flux / continuum * u.one, spectral_axis=wavelength * u.AA),
        continuum=1,
        regions=SpectralRegion(*(window.feature * u.AA)),
    )
    assert equivalent_width(wavelength, flux[None], window)[0] == pytest.approx(expected.value, rel=2e-3)


def test_equivalent_width_counts_fractions_of_pixels() -> None:
    window = LineWindow((100.0, 101.0), (90.0, 95.0), (105.0, 110.0), "test")
    wavelength = np.arange(80.0, 120.0)
    flux = np.ones((1, 40))
    flux[0, 20] = 0  # the pixel from 99.5 to 100.5
    assert_allclose(equivalent_width(wavelength, flux, window), 0.5)


def test_equivalent_width_is_nan_where_a_band_is_cut_or_masked() -> None:
    window = LINE_WINDOWS["Mg b"]
    wavelength = np.arange(5000.0, 5300.0)
    flux = np.ones((3, 300))
    good = np.ones(flux.shape, dtype=bool)
    good[1, wavelength == 5170] = False
    flux[2, wavelength == 5200] = np.nan
    assert_allclose(equivalent_width(wavelength, flux, window, good), [0, np.nan, np.nan], atol=1e-12)
    assert np.isnan(equivalent_width(wavelength[:195], flux[:, :195], window)).all()


@pytest.mark.parametrize("line", LINES)
def test_equivalent_width_looks_only_at_its_bands(line: str, rng) -> None:
    window = LINE_WINDOWS[line]
    wavelength = np.arange(3900.0, 6000.0)
    flux = rng.uniform(1, 2, (2, len(wavelength)))
    expected = equivalent_width(wavelength, flux, window)
    bands = (window.blue, window.feature, window.red)
    near = np.any([(wavelength > low - 1) & (wavelength < high + 1) for low, high in bands], axis=0)
    assert_allclose(equivalent_width(wavelength, np.where(near, flux, np.nan), window), expected)


def test_equivalent_width_does_not_reach_over_a_gap() -> None:
    window = LINE_WINDOWS["Na D"]
    wavelength = np.concatenate([np.arange(5000.0, 5890.0), np.arange(5915.0, 6100.0)])
    assert np.isnan(equivalent_width(wavelength, np.ones((1, len(wavelength))), window)).all()
    wavelength = np.concatenate([np.arange(5000.0, 5855.0), np.arange(5950.0, 6100.0)])
    assert np.isnan(equivalent_width(wavelength, np.ones((1, len(wavelength))), window)).all()
    wavelength = np.concatenate([np.arange(5000.0, 5840.0), np.arange(5858.0, 6100.0)])  # beside the bands
    assert_allclose(equivalent_width(wavelength, np.ones((1, len(wavelength))), window), 0, atol=1e-9)


@pytest.mark.parametrize("wavelength", [np.arange(3000.0, 3100.0), np.arange(9000.0, 9100.0), np.array([5170.0])])
def test_equivalent_width_is_nan_where_nothing_is_covered(wavelength) -> None:
    assert np.isnan(equivalent_width(wavelength, np.ones((2, len(wavelength))), LINE_WINDOWS["Mg b"])).all()
