"""Resampler: interpolation and Gaussian smoothing in one linear step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from quietspec.errors import TemplateError
from quietspec.resampling import Resampler, added_sigma
from quietspec.wavelengths import FWHM_PER_SIGMA

LINEAR = 4000 + 0.9 * np.arange(800)
LOG = 4000 * np.exp(np.arange(1000) * 50 / 299792.458)


def line(wavelength, centre, sigma):
    return np.exp(-0.5 * ((wavelength - centre) / sigma) ** 2) / sigma


@pytest.mark.parametrize("wavelength", [LINEAR, LOG])
def test_the_same_pixels_give_the_same_values(wavelength):
    flux = np.random.default_rng(0).uniform(1, 2, (3, len(wavelength)))
    np.testing.assert_allclose(Resampler(wavelength, wavelength)(flux), flux, rtol=1e-10)
    single = flux.astype(np.float32)
    np.testing.assert_allclose(Resampler(wavelength, wavelength)(single), single, rtol=1e-6)


def test_targets_outside_give_nan_and_only_they():
    target = np.array([3999.0, 4000.0, 4500.0, LINEAR[-1], LINEAR[-1] + 0.1])
    result = Resampler(LINEAR, target)(np.ones((2, 800)))
    np.testing.assert_array_equal(np.isnan(result), [[True, False, False, False, True]] * 2)


@pytest.mark.parametrize("wavelength", [LINEAR, LOG])
def test_without_smoothing_it_is_the_natural_spline_up_to_the_ends(wavelength):
    flux = np.random.default_rng(1).uniform(1, 2, (3, len(wavelength)))
    target = np.linspace(wavelength[0], wavelength[-1], 1999)
    expected = CubicSpline(wavelength, flux, axis=1, bc_type="natural")(target)
    np.testing.assert_allclose(Resampler(wavelength, target)(flux), expected, atol=3e-4)


def test_a_slope_is_kept_up_to_the_ends():
    target = np.linspace(LINEAR[0], LINEAR[-1], 3000)
    np.testing.assert_allclose(Resampler(LINEAR, target)(LINEAR[None] / 4000)[0], target / 4000, rtol=1e-9)


@settings(deadline=None, max_examples=40)
@given(
    ratio=st.floats(0, 4), width=st.floats(2.7, 6.0), centre=st.floats(4250, 4450), linear=st.booleans(),
)  # fmt: skip
def test_gaussian_lines_widen_in_quadrature(ratio, width, centre, linear):
    wavelength, target = LINEAR if linear else LOG, np.linspace(4110, 4590, 701)
    total = np.hypot(ratio * width, width)
    result = Resampler(wavelength, target, ratio * width)(line(wavelength, centre, width)[None])[0]
    np.testing.assert_allclose(result, line(target, centre, total), atol=2e-4 / total)


@settings(deadline=None, max_examples=20)
@given(ratio=st.floats(0, 4), centre=st.floats(4250, 4450))
def test_lines_as_narrow_as_those_of_miles_widen_in_quadrature(ratio, centre):
    width, target = 2.51 / FWHM_PER_SIGMA, np.linspace(4110, 4590, 701)
    total = np.hypot(ratio * width, width)
    result = Resampler(LINEAR, target, ratio * width)(line(LINEAR, centre, width)[None])[0]
    # A cubic spline through pixels of 0.84σ misses a line by up to 0.86 % of its height, scipy's as well as this one;
    # smoothing only makes that smaller.
    np.testing.assert_allclose(result, line(target, centre, total), atol=(9e-3 if ratio < 0.5 else 3e-3) / total)


def test_the_width_may_change_along_the_spectrum():
    centres, sigmas = np.array([4150.0, 4300.0, 4550.0]), np.array([0.0, 3.0, 9.0])
    target = np.concatenate([centre + np.linspace(-20, 20, 81) for centre in centres])
    flux = sum(line(LINEAR, centre, 4.0) for centre in centres)[None]
    result = Resampler(LINEAR, target, np.repeat(sigmas, 81))(flux)[0].reshape(3, 81)
    for values, sigma in zip(result, sigmas, strict=True):
        expected = line(np.linspace(-20, 20, 81), 0.0, np.hypot(4, sigma))
        np.testing.assert_allclose(values, expected, atol=1e-5)


def test_smoothing_agrees_with_scipy_on_noise_free_structure():
    rng = np.random.default_rng(5)
    flux = gaussian_filter1d(rng.standard_normal((4, 800)), 3.0, axis=1, truncate=6)
    expected = gaussian_filter1d(flux, 5.0, axis=1, truncate=6, mode="nearest")
    result = Resampler(LINEAR, LINEAR, 4.5)(flux)
    np.testing.assert_allclose(result[:, 40:-40], expected[:, 40:-40], atol=2e-5)


def test_dtype_is_kept_and_nothing_is_a_valid_number_of_spectra():
    resample = Resampler(LINEAR, LINEAR[10:20])
    assert resample(np.ones((2, 800), dtype=np.float32)).dtype == np.float32
    assert resample(np.ones((0, 800), dtype=np.float32)).shape == (0, 10)


def test_added_sigma_is_the_root_of_the_difference_of_squares_and_refuses_to_sharpen():
    np.testing.assert_allclose(added_sigma(np.array([5.0]), np.array([3.0])) * FWHM_PER_SIGMA, 4.0)
    with pytest.raises(TemplateError, match="pixel 1"):
        added_sigma(np.array([3.0, 2.0]), np.array([3.0, 2.5]))
