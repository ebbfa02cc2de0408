"""Air, vacuum, rest frame and the named windows."""

import astropy.units as u
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from specutils.utils.wcs_utils import air_to_vac, vac_to_air

from quietspec.wavelengths import (
    EMISSION_LINES,
    LINE_WINDOWS,
    STRONG_LINES,
    air_to_vacuum,
    in_window,
    rest_air,
    vacuum_to_air,
)


def test_air_and_vacuum_of_known_lines():
    """Hα, Hβ and [O III] 5007 in air and in vacuum, as NIST and SDSS list them."""
    air, vacuum = np.array([6562.80, 4861.33, 5006.84]), np.array([6564.61, 4862.68, 5008.24])
    np.testing.assert_allclose(air_to_vacuum(air), vacuum, atol=0.02)
    np.testing.assert_allclose(vacuum_to_air(vacuum), air, atol=0.02)


def test_refraction_is_that_of_specutils():
    wavelength = np.linspace(2001.0, 25_000.0, 1000)
    vacuum = air_to_vac(wavelength * u.AA, scheme="iteration", method="Ciddor1996").to_value(u.AA)
    np.testing.assert_allclose(air_to_vacuum(wavelength), vacuum, rtol=1e-14)
    air = vac_to_air(wavelength * u.AA, method="Ciddor1996").to_value(u.AA)
    np.testing.assert_allclose(vacuum_to_air(wavelength), air, rtol=1e-14)


def test_wavelengths_below_2000_are_vacuum_by_convention():
    np.testing.assert_array_equal(air_to_vacuum(np.array([1216.0, 1999.0])), [1216.0, 1999.0])
    np.testing.assert_array_equal(vacuum_to_air(np.array([1216.0, 1999.0])), [1216.0, 1999.0])


@given(st.floats(3000, 10000))
def test_air_and_vacuum_are_inverse(wavelength):
    assert vacuum_to_air(air_to_vacuum(np.array([wavelength])))[0] == pytest.approx(wavelength, abs=1e-5)


@given(st.floats(0, 0.5), st.sampled_from(["air", "vacuum"]))
def test_redshifted_line_comes_back_to_rest(redshift, medium):
    observed = air_to_vacuum(np.array([5006.84])) * (1 + redshift)
    if medium == "air":
        observed = vacuum_to_air(observed)
    assert rest_air(observed, redshift, medium)[0] == pytest.approx(5006.84, abs=1e-4)


def test_rest_frame_air_spectra_are_left_alone():
    wavelength = np.linspace(3700, 7400, 5)
    np.testing.assert_array_equal(rest_air(wavelength, 0.0, "air"), wavelength)


def test_windows_lie_between_or_beside_their_continua():
    for window in LINE_WINDOWS.values():
        assert window.blue[0] < window.blue[1]
        assert window.red[0] < window.red[1]
        assert window.blue[0] < window.feature[0] < window.feature[1] < window.red[1]
    assert set(STRONG_LINES) <= set(EMISSION_LINES)


def test_window_includes_its_ends():
    np.testing.assert_array_equal(in_window(np.array([1.0, 2.0, 3.0, 4.0]), (2.0, 3.0)), [False, True, True, False])
