"""Resolutions as people state them, brought to a FWHM in Å or refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quietspec.errors import UnitError
from quietspec.resolution import instrumental_fwhm, possible_fwhm
from quietspec.wavelengths import SPEED_OF_LIGHT

WAVELENGTH = 4000 + 2.0 * np.arange(800)


@given(st.floats(1, 10))
def test_all_ways_to_state_a_resolution_agree(fwhm):
    readings = [
        instrumental_fwhm(fwhm, WAVELENGTH),
        instrumental_fwhm(fwhm / 10, WAVELENGTH, unit="nm"),
        instrumental_fwhm(SPEED_OF_LIGHT * fwhm / WAVELENGTH, WAVELENGTH, unit="km/s"),
        instrumental_fwhm(WAVELENGTH / fwhm, WAVELENGTH, what="resolving power"),
        instrumental_fwhm(np.full(len(WAVELENGTH), fwhm / 2), WAVELENGTH, unit="pixel"),
    ]
    for found, warning in readings:
        assert warning is None
        np.testing.assert_allclose(found, np.full(len(WAVELENGTH), fwhm), rtol=1e-12)


@pytest.mark.parametrize("bad", [0.0, np.nan, -8103.0, np.inf])
def test_values_that_are_not_positive_are_interpolated(bad):
    power = np.linspace(1800, 2200, len(WAVELENGTH))
    holed = power.copy()
    holed[100:110] = bad
    found, warning = instrumental_fwhm(holed, WAVELENGTH, what="resolving power")
    np.testing.assert_allclose(found, WAVELENGTH / power)
    assert "10 of 800" in warning


def test_spectra_without_resolution_get_the_median_of_the_others():
    rows = np.array([[2.0], [3.0], [4.0], [0.0]]) * np.ones(len(WAVELENGTH))
    found, _ = instrumental_fwhm(rows, WAVELENGTH)
    np.testing.assert_allclose(found[:, 0], [2, 3, 4, 3])


@pytest.mark.parametrize(
    ("values", "options", "reason"),
    [
        (150.0, {}, "could be a FWHM in km/s"),
        (2000.0, {}, "could be R = λ/FWHM"),
        (2.5, {"what": "resolving power"}, "could be a FWHM in Å"),
        (0.0, {}, "no resolution is positive"),
        (np.full(800, np.nan), {}, "no resolution is positive"),
        (np.ones((4, 11, 800)), {}, "does not fit 800 wavelengths"),
        (np.ones(11), {}, "does not fit 800 wavelengths"),
        (2.5, {"unit": "Jy"}, "not understood"),
    ],
)
def test_what_no_instrument_has_is_refused(values, options, reason):
    with pytest.raises(UnitError, match=reason):
        instrumental_fwhm(values, WAVELENGTH, **options)


@pytest.mark.parametrize("impossible", [1e3, 1e120, np.inf])
def test_impossible_pixels_are_interpolated(impossible):
    wavelength, fwhm = np.linspace(4000.0, 5000.0, 11), np.linspace(2.0, 3.0, 11)
    found, note = possible_fwhm(np.where(np.arange(11) == 4, impossible, fwhm), wavelength)
    np.testing.assert_allclose(found, fwhm)
    assert note == "1 of 11 FWHM are impossible; interpolated"


def test_good_and_unknown_pixels_stay():
    fwhm = np.where(np.arange(11) == 3, np.nan, np.where(np.arange(11) == 5, 0.0, 2.5))
    found, note = possible_fwhm(fwhm, np.linspace(4000.0, 5000.0, 11))
    np.testing.assert_array_equal(found, fwhm)
    assert note is None


def test_no_possible_pixel_is_said():
    with pytest.raises(UnitError, match="no FWHM is above 0"):
        possible_fwhm(np.full((2, 11), 1e9), np.linspace(4000.0, 5000.0, 11))
