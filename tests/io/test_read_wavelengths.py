"""Wavelengths wherever they stand: beside the flux, in rows, logarithmic, padded, in tables."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from quietspec.errors import ReadError
from quietspec.io import ReadOptions, read
from quietspec.io.reading.grids import grid_of

from . import layouts
from .layouts import N_PIXELS, NX, NY, SIGMA

WAVE = 4000 + np.arange(N_PIXELS) ** 1.2


def stack(wave, name="WAVE", *, unit=None, prefix=""):
    """Row-stacked spectra whose header says nothing of their wavelengths."""
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(layouts.rows(), name=f"{prefix}FLUX")]
    hdus += [
        fits.ImageHDU(np.full(layouts.rows().shape, SIGMA), name=f"{prefix}ERR"),
        fits.ImageHDU(wave, name=prefix + name),
    ]
    if unit:
        hdus[-1].header["BUNIT"] = unit
    return fits.HDUList(hdus)


@pytest.mark.parametrize(
    ("name", "values", "unit"),
    [
        ("WAVE", WAVE, "Angstrom"),
        ("WAVELENGTH", WAVE / 10, "nm"),
        ("LAMBDA", WAVE / 1e4, "um"),
        ("LOGLAM", np.log10(WAVE), None),
        ("LOGLAM", np.log(WAVE), None),
        ("LNWAVE", np.log(WAVE), "Angstrom"),
        ("LOG10WAVE", np.log10(WAVE / 10), "nm"),
        ("WAVE", np.log10(WAVE), "log10(Angstrom)"),
        ("WAVE", np.tile(WAVE, (3, 1)), "Angstrom"),
        ("WAVE", WAVE.astype(np.float32), "Angstrom"),
    ],
)
def test_an_hdu_of_wavelengths(save, name, values, unit):
    spectra = read(save(stack(values, name, unit=unit)), medium="air")
    np.testing.assert_allclose(spectra.wavelength, WAVE, rtol=1e-6)
    np.testing.assert_allclose(spectra.flux, layouts.rows())


@pytest.mark.parametrize("prefix", ["B_", "RED_"])
def test_prefixed_names_belong_together(save, prefix):
    np.testing.assert_allclose(read(save(stack(WAVE, "WAVELENGTH", prefix=prefix)), medium="air").wavelength, WAVE)


@pytest.mark.parametrize("empty", [0.0, np.nan, -1.0])
def test_pixels_without_a_wavelength_are_passed_over(save, empty):
    wave = WAVE.copy()
    wave[:3] = wave[20] = empty
    spectra = read(save(stack(wave)), medium="air")
    kept = np.delete(np.arange(N_PIXELS), [0, 1, 2, 20])
    np.testing.assert_allclose(spectra.wavelength, WAVE[kept])
    np.testing.assert_allclose(spectra.flux, layouts.rows()[:, kept])
    np.testing.assert_allclose(spectra.sigma, SIGMA)
    assert "4 pixel(s) without a wavelength are passed over" in spectra.meta["warnings"]


def test_rows_padded_at_different_ends_share_their_wavelengths(save):
    wave = np.tile(WAVE, (3, 1))
    wave[0, :4] = wave[2, -4:] = np.nan
    np.testing.assert_allclose(read(save(stack(wave)), medium="air").wavelength, WAVE)


def test_spectra_of_different_wavelengths_are_read_one_at_a_time(save):
    wave = np.array([WAVE, WAVE + 7, WAVE * 1.01])
    path = save(stack(wave))
    with pytest.raises(ReadError, match=r"the 3 spectra have different wavelengths .* Read one at a time: rows=0"):
        read(path, medium="air")
    for row in range(3):
        spectra = read(path, medium="air", rows=str(row))
        np.testing.assert_allclose(spectra.wavelength, wave[row])
        np.testing.assert_allclose(spectra.flux, layouts.rows()[[row]])


def test_wavelengths_of_every_spaxel(save):
    hdus = layouts.muse(instrument=None)
    wave = 4750 + 1.25 * np.arange(N_PIXELS)
    for hdu in hdus[1:]:
        hdu.header.remove("CRVAL3", ignore_missing=True)
    hdus.append(fits.ImageHDU(np.tile(wave[:, None, None], (1, NY, NX)), name="WAVELENGTH"))
    np.testing.assert_allclose(read(save(hdus), medium="air").wavelength, wave)


def test_wave_hdu_names_any_hdu_or_column(save):
    hdus = layouts.generic()
    hdus.append(fits.ImageHDU(WAVE, name="X"))
    hdus.append(fits.BinTableHDU(Table({"a": WAVE, "b": WAVE + 1}), name="GRID"))
    path = save(hdus)
    np.testing.assert_allclose(read(path, wave_hdu="X").wavelength, WAVE)
    np.testing.assert_allclose(read(path, wave_hdu=3).wavelength, WAVE)
    np.testing.assert_allclose(read(path, wave_hdu="GRID:b").wavelength, WAVE + 1)
    with pytest.raises(ReadError, match=r"no column of wavelengths; it has a, b\. Name one: wave_hdu=HDU:COLUMN"):
        read(path, wave_hdu="GRID")


def test_a_table_never_beats_the_axis_of_the_flux(save):
    hdus = layouts.muse(instrument=None)
    hdus.append(fits.BinTableHDU(Table({"wavelength": np.linspace(3000, 9000, N_PIXELS)}), name="SENSITIVITY"))
    np.testing.assert_allclose(read(save(hdus)).wavelength, 4750 + 1.25 * np.arange(N_PIXELS))


def test_wavelengths_of_another_number_are_said(save):
    hdus = layouts.muse(instrument=None)
    hdus.append(fits.ImageHDU(np.linspace(3000, 9000, 7), name="WAVE"))
    spectra = read(save(hdus))
    np.testing.assert_allclose(spectra.wavelength, 4750 + 1.25 * np.arange(N_PIXELS))
    assert "HDU 4 WAVE has 7 wavelengths for 40 pixels and is passed over" in spectra.meta["warnings"]


def test_an_hdu_that_contradicts_the_header_is_said(save):
    hdus = layouts.generic()
    hdus.append(fits.ImageHDU(WAVE, name="WAVE"))
    warnings = read(save(hdus)).meta["warnings"]
    assert any("differ from the header's by up to" in warning for warning in warnings)


@pytest.mark.parametrize("stated", [True, False])
def test_look_up_tables(save, stated):
    """FITS WCS Paper III, Section 6: PSi_0 and PSi_1 name the table; JWST's WCS-TABLE may be found by its column."""
    hdus = layouts.jwst(table=True)
    if stated:
        hdus["SCI"].header["PS3_0"], hdus["SCI"].header["PS3_1"] = "WCS-TABLE", "wavelength"
        hdus.append(fits.ImageHDU(np.ones(N_PIXELS), name="WAVE"))  # not what the header names
    expected = 1e4 * (1 + 4e-4 * np.arange(N_PIXELS) ** 1.1)
    np.testing.assert_allclose(read(save(hdus)).wavelength, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("column", "values", "unit"),
    [
        ("WAVE_AIR", WAVE, None),
        ("lambda_obs", WAVE, None),
        ("wave_nm", WAVE / 10, None),
        ("frequency", 2.99792458e18 / WAVE, "Hz"),
        ("loglam", np.log10(WAVE), None),
        ("ln_lambda", np.log(WAVE), None),
        ("angstrom", WAVE, None),
    ],
)
def test_columns_of_wavelengths(save, column, values, unit):
    table = fits.BinTableHDU(Table({column: values, "flux": layouts.rows(1)[0], "err": np.full(N_PIXELS, SIGMA)}))
    if unit:
        table.header["TUNIT1"] = unit
    spectra = read(save(fits.HDUList([fits.PrimaryHDU(), table])), medium="air")
    np.testing.assert_allclose(spectra.wavelength, np.sort(WAVE), rtol=1e-9)


def test_the_name_of_a_column_settles_the_medium_and_contradictions_are_said(save):
    table = fits.BinTableHDU(Table({"WAVE_AIR": WAVE, "flux": np.ones(N_PIXELS), "err": np.ones(N_PIXELS)}))
    assert read(save(fits.HDUList([fits.PrimaryHDU(), table]), "a")).medium == "air"
    table.header["VACUUM"] = True
    spectra = read(save(fits.HDUList([fits.PrimaryHDU(), table]), "b"))
    assert spectra.medium == "air"
    assert any("air or vacuum is contradictory" in warning for warning in spectra.meta["warnings"])


def test_wavelengths_at_rest_ask_for_the_redshift_left_in_them(save):
    table = fits.BinTableHDU(Table({"lambda_rest": WAVE, "flux": np.ones(N_PIXELS), "err": np.ones(N_PIXELS)}))
    path = save(fits.HDUList([fits.PrimaryHDU(), table]))
    with pytest.raises(ReadError, match="redshift=0"):
        read(path, medium="air")
    assert read(path, medium="air", redshift=0).redshift == 0


def test_rows_of_a_table_with_wavelengths_elsewhere(save):
    table = fits.BinTableHDU(Table({"flux": layouts.rows(), "ivar": np.full(layouts.rows().shape, SIGMA**-2)}))
    hdus = fits.HDUList([fits.PrimaryHDU(), table, fits.ImageHDU(WAVE, name="WAVE")])
    spectra = read(save(hdus), medium="air")
    np.testing.assert_allclose(spectra.wavelength, WAVE)
    np.testing.assert_allclose(spectra.flux, layouts.rows())


def test_variable_length_columns(save):
    columns = [
        fits.Column(name, "PD()", array=np.array([values, values[:-5]], dtype=object))
        for name, values in (("wave", WAVE), ("flux", layouts.rows(1)[0]), ("err", np.full(N_PIXELS, SIGMA)))
    ]
    spectra = read(save(fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)])), medium="air")
    np.testing.assert_array_equal(spectra.good.sum(axis=1), [N_PIXELS, N_PIXELS - 5])
    np.testing.assert_allclose(spectra.wavelength, WAVE)


@given(st.floats(1500, 20000), st.floats(0.1, 3), st.sampled_from(["log", "ln", "log10"]), st.booleans())
def test_logarithms_are_told_apart(start, step, name, natural):
    wave = start + step * np.arange(50)
    log = np.log if name == "ln" or (name == "log" and natural) else np.log10
    grid = grid_of(log(wave), f"{name}lam", None, ReadOptions(), "file")
    np.testing.assert_allclose(grid.wavelength, wave, rtol=1e-9)
