"""A cube, or images with their noise, beside tables that could hold spectra too."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from quietspec.errors import ReadError
from quietspec.io import read

from . import layouts
from .layouts import N_PIXELS, NX, NY, SIGMA

SKY = {"wave": np.linspace(4000, 4100, N_PIXELS), "flux": np.full(N_PIXELS, 5.0), "err": np.ones(N_PIXELS)}
LINES = {"wave": [5006.84, 6562.8], "flux": [1.0, 2.0], "name": ["[OIII]", "Ha"]}


def table(columns, name):
    hdu = fits.BinTableHDU(Table(columns), name=name)
    hdu.header["AIRORVAC"] = "air"
    return hdu


@pytest.mark.parametrize("columns", [SKY, LINES])
@pytest.mark.parametrize("name", ["SKY", "LINES", "INTEGRATED"])
@pytest.mark.parametrize("first", [True, False])
def test_the_cube_is_read_and_the_table_is_said(save, columns, name, first):
    primary, *cube = layouts.muse(instrument=None)
    beside = table(columns, name)
    spectra = read(save(fits.HDUList([primary, beside, *cube] if first else [primary, *cube, beside])))
    assert spectra.spatial_shape == (NY, NX)
    assert any(f"{name} could hold spectra too and is passed over" in warning for warning in spectra.meta["warnings"])


def test_the_table_can_be_asked_for(save):
    path = save(fits.HDUList([*layouts.muse(instrument=None), table(SKY, "SKY")]))
    for key in ("SKY", "sky", 4, "4"):
        np.testing.assert_array_equal(read(path, flux_hdu=key).flux, 5)


def test_a_column_can_be_asked_for_by_name(save):
    columns = SKY | {"other": np.full(N_PIXELS, 7.0)}
    path = save(fits.HDUList([fits.PrimaryHDU(), table(columns, "SPEC")]))
    np.testing.assert_array_equal(read(path, flux_hdu="other").flux, 7)
    with pytest.raises(ReadError, match="has no HDU 'none', nor a column of that name among wave, flux, err, other"):
        read(path, flux_hdu="none")


def test_a_white_light_image_is_not_the_flux(save):
    primary, *cube = layouts.muse(instrument=None)
    white = fits.ImageHDU(np.ones((NY, NX)), name="FLUX")
    assert read(save(fits.HDUList([primary, white, *cube]))).spatial_shape == (NY, NX)


def test_a_spectrum_beside_a_preview_is_read(save):
    preview = fits.ImageHDU(np.ones((50, 50)), name="PREVIEW")
    spectra = read(save(fits.HDUList([fits.PrimaryHDU(), preview, table(SKY, "SPEC")])))
    np.testing.assert_array_equal(spectra.flux, 5)


def test_the_spectrum_is_told_from_the_sky_and_models_by_name(save):
    spectrum = SKY | {"flux": np.full(N_PIXELS, 3.0)}
    hdus = [fits.PrimaryHDU(), table(SKY, "SKY"), table(spectrum, "SPECTRUM"), table(SKY, "MODEL")]
    np.testing.assert_array_equal(read(save(fits.HDUList(hdus))).flux, 3)


def test_two_spectra_are_asked_about(save):
    path = save(fits.HDUList([fits.PrimaryHDU(), table(SKY, "A"), table(SKY, "B")]))
    with pytest.raises(ReadError, match=r"It could be 1 A, 2 B.*flux_hdu=1"):
        read(path)
    assert read(path, flux_hdu="B").n_spectra == 1


def test_two_columns_of_flux_are_asked_about(save):
    columns = {"wave": SKY["wave"], "OPT_FLAM": SKY["flux"], "BOX_FLAM": 2 * SKY["flux"]}
    columns |= {"OPT_FLAM_SIG": SKY["err"] * SIGMA, "BOX_FLAM_SIG": SKY["err"]}
    path = save(fits.HDUList([fits.PrimaryHDU(), table(columns, "SPEC")]))
    with pytest.raises(ReadError, match="could be any of the columns OPT_FLAM, BOX_FLAM"):
        read(path)
    np.testing.assert_allclose(read(path, flux_hdu="OPT_FLAM").sigma, SIGMA)
    np.testing.assert_allclose(read(path, flux_hdu="BOX_FLAM").sigma, 1)


def test_all_columns_may_be_named(save):
    columns = {"a": SKY["wave"], "b": SKY["flux"], "c": np.full(N_PIXELS, 4.0)}
    path = save(fits.HDUList([fits.PrimaryHDU(), table(columns, "T")]))
    with pytest.raises(ReadError, match='flux_hdu=1 with columns="wave=COLUMN,flux=COLUMN,err=COLUMN"'):
        read(path)
    spectra = read(path, flux_hdu=1, columns="wave=a,flux=b,var=c")
    np.testing.assert_allclose(spectra.sigma, 2)


def test_facts_of_the_primary_header_hold_for_tables(save):
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(Table(SKY))])
    hdus[0].header["Z"], hdus[0].header["VACUUM"], hdus[0].header["SPEC_RES"] = 0.07, True, 1800.0
    spectra = read(save(hdus))
    assert (spectra.redshift[0], spectra.medium) == (0.07, "vacuum")
    np.testing.assert_allclose(spectra.fwhm, spectra.wavelength / 1800)


def test_redshifts_that_differ_are_said(save):
    hdus = fits.HDUList([fits.PrimaryHDU(), table(SKY | {"flux": SKY["flux"]}, "SPEC")])
    hdus[0].header["Z"], hdus[1].header["REDSHIFT"] = 0.07, 0.07
    assert not any("contradictory" in warning for warning in read(save(hdus, "a")).meta["warnings"])
    rows = {name: np.array([values, values]) for name, values in SKY.items()}
    hdus = fits.HDUList([fits.PrimaryHDU(), table(rows | {"z": [0.1, 0.2]}, "SPEC")])
    hdus[0].header["REDSHIFT"] = 0.3
    spectra = read(save(hdus, "b"))
    np.testing.assert_allclose(spectra.redshift, [0.1, 0.2])
    assert any("the redshift is contradictory" in warning for warning in spectra.meta["warnings"])
