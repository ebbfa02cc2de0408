"""Sky coordinates survive whatever the axis of wavelength says, and are left out with a word, never invented."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from quietspec.io import read
from quietspec.io.reading.sky import sky_wcs

from .test_read_axes import CUBE, NX, NY, SKY, SPECTRAL, N, cube

PLACES = [[0, 0], [1, 1], [3, 2]]


def expected(sky=SKY):
    return WCS(fits.Header(sky), naxis=2).wcs_pix2world(PLACES, 0)


@pytest.mark.parametrize("unit", ["Angstrom", "ANGSTROM", "Ang", "A", "AA", "Ang.", "0.1nm", "10^-10 m", "Å"[:0]])
def test_any_spelling_of_the_wavelengths_unit(save, unit):
    found = read(save(cube(CUNIT3=unit)))
    np.testing.assert_allclose(found.wcs.wcs_pix2world(PLACES, 0), expected(), atol=1e-12)


@pytest.mark.parametrize(
    "cards",
    [
        {"CTYPE3": "LOGLAM", "CUNIT3": "log10(Angstrom)", "CRVAL3": 3.6, "CD3_3": 1e-4},
        {"CTYPE3": "LAMBDA"},
        {"WCSAXES": 4, "CTYPE4": "STOKES", "CRVAL4": 1.0, "CDELT4": 1.0, "CRPIX4": 1.0, "CUNIT4": ""},
        {"CRVAL1": "150.0", "CRPIX2": "2"},
        {"CUNIT1": "degrees", "CUNIT2": "DEG"},
        {"PLATEID": "Y13SAR1_P014_12T001_15T029"},
    ],
)
def test_odd_headers(save, cards):
    found = read(save(cube(cards)), medium="air")
    np.testing.assert_allclose(found.wcs.wcs_pix2world(PLACES, 0), expected(), atol=1e-12)


def test_rotation_is_kept(save):
    turned = {"CD1_1": -4e-5, "CD1_2": 3e-5, "CD2_1": 3e-5, "CD2_2": 4e-5}
    found = read(save(cube(turned)))
    np.testing.assert_allclose(found.wcs.wcs_pix2world(PLACES, 0), expected(SKY | turned), atol=1e-12)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("spectral", [1, 2, 3])
def test_places_are_those_of_the_spectra_for_every_order_of_axes(save, spectral, swapped):
    """Right ascension grows along the faster spatial axis, or along the slower one."""
    x, y = (axis for axis in (1, 2, 3) if axis != spectral)
    ra, dec = (y, x) if swapped else (x, y)
    header = {f"{key[:-1]}{spectral}": value for key, value in SPECTRAL.items() if key != "CD3_3"}
    header |= {f"CD{spectral}_{spectral}": 2.0}
    for axis, kind, value, step in ((ra, "RA---TAN", 150.0, -5e-5), (dec, "DEC--TAN", 2.0, 7e-5)):
        header |= {f"CTYPE{axis}": kind, f"CUNIT{axis}": "deg", f"CRVAL{axis}": value, f"CD{axis}_{axis}": step}
        header |= {f"CRPIX{axis}": 2.0 if axis == x else 3.0}
    data = np.moveaxis(CUBE, 0, 3 - spectral)
    found = read(save(cube(header, data, sky={}, spectral={})))
    assert found.spatial_shape == (NY, NX)
    np.testing.assert_allclose(found.wcs.wcs_pix2world([[1, 2]], 0), [[150, 2]], atol=1e-12)
    step_x, step_y = (found.wcs.wcs_pix2world([place], 0)[0] - [150, 2] for place in ([2, 2], [1, 3]))
    along_x = np.array([0, 7e-5]) if swapped else np.array([-5e-5, 0])
    along_y = np.array([-5e-5, 0]) if swapped else np.array([0, 7e-5])
    np.testing.assert_allclose(step_x, along_x, atol=1e-7)
    np.testing.assert_allclose(step_y, along_y, atol=1e-7)
    again = WCS(found.wcs.celestial.to_header())
    np.testing.assert_allclose(again.wcs_pix2world(PLACES, 0), found.wcs.wcs_pix2world(PLACES, 0), atol=1e-9)


@pytest.mark.parametrize(
    "cards",
    [
        {"CD1_1": 0.0, "CD2_2": 0.0},
        {"CD1_1": None, "CD2_2": None},
        {"CD1_1": None, "CD2_2": None, "CD3_3": None, "CDELT1": 0.0, "CDELT2": 0.0, "CDELT3": 2.0},
        {"CD1_1": 1e-5, "CD1_2": 1e-5, "CD2_1": 1e-5, "CD2_2": 1e-5},
        {"CTYPE2": "LINEAR"},
        {"CTYPE1": "LINEAR"},
        {"CTYPE2": "RA---TAN"},
        {"CTYPE2": "DEC--SIN"},
        {"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"},
        {"CUNIT1": "spaxel", "CUNIT2": "spaxel"},
        {"CRVAL1": "unknown"},
    ],
)
def test_coordinates_that_cannot_be_used_are_left_out_with_a_word(save, cards):
    found = read(save(cube(cards)))
    assert found.wcs is None
    assert found.flux.shape == (NY * NX, N)
    assert any("sky coordinates cannot be used" in note for note in found.meta["warnings"])


@pytest.mark.parametrize("cards", [{"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}, {"CTYPE1": None, "CTYPE2": None}])
def test_a_header_without_sky_coordinates_is_no_reason_for_a_word(cards):
    assert sky_wcs(cube(cards)["FLUX"].header, (1, 2)) == (None, None)
