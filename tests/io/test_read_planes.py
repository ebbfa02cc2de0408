"""Images whose rows hold different things, and rows of different wavelengths."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from quietspec.errors import ReadError
from quietspec.io import read

from . import layouts
from .layouts import N_PIXELS, SIGMA, rows

BANDS = {
    "BANDID1": "spectrum - background fit, weights variance, clean no",
    "BANDID2": "raw - background fit",
    "BANDID3": "background - background fit",
    "BANDID4": "sigma - background fit",
}
ROWS = {"ROW1": "Calibrated spectrum", "ROW2": "Uncalibrated", "ROW3": "Sky", "ROW4": "Error"}


def assert_is_the_spectrum(spectra):
    assert spectra.n_spectra == 1
    np.testing.assert_allclose(spectra.wavelength, 4000 + 2.0 * np.arange(N_PIXELS))
    np.testing.assert_allclose(spectra.flux, rows(1))
    np.testing.assert_allclose(spectra.sigma, SIGMA)


@pytest.mark.parametrize(("labels", "bands"), [(BANDS, True), (ROWS, False)])
def test_labelled_rows(save, labels, bands):
    spectra = read(save(layouts.planes(labels, bands=bands)))
    assert_is_the_spectrum(spectra)
    assert any("the rows of HDU 0 are taken as 0 " in warning for warning in spectra.meta["warnings"])


@pytest.mark.parametrize("bands", [False, True])
def test_rows_without_labels_are_named_by_the_user(save, bands):
    path = save(layouts.planes({}, bands=bands))
    with pytest.raises(ReadError, match="rows=flux,err"):
        read(path)
    assert_is_the_spectrum(read(path, rows="flux,-,-,err"))
    assert_is_the_spectrum(read(path, rows="flux=0,err=3"))
    with pytest.raises(ReadError, match=r"has 4 row\(s\)"):
        read(path, rows="flux=0,err=9")


def test_sdss_spectra_before_the_eighth_release(save):
    hdus = layouts.planes({})
    hdus[0].data = np.array([rows(1)[0], rows(1)[0] - 1, np.full(N_PIXELS, SIGMA), np.zeros(N_PIXELS)])
    hdus[0].data[3, 5] = 1 << 22  # NOSKY
    header = hdus[0].header
    header["TELESCOP"], header["COEFF0"], header["COEFF1"], header["Z"] = "SDSS 2.5-M", 3.6, 1e-4, 0.08
    header["CRVAL1"], header["CDELT1"], header["DC-FLAG"], header["VACUUM"] = 3.6, 1e-4, 1, 1
    del header["CUNIT1"], header["AIRORVAC"]
    spectra = read(save(hdus))
    assert (spectra.medium, spectra.redshift[0]) == ("vacuum", 0.08)
    np.testing.assert_allclose(np.log10(spectra.wavelength), 3.6 + 1e-4 * np.arange(N_PIXELS))
    np.testing.assert_array_equal(np.flatnonzero(~spectra.good[0]), [5])


def test_orders_of_multispec(save):
    path = save(layouts.multispec())
    with pytest.raises(ReadError, match="rows=0"):
        read(path)
    first, second = (read(path, rows=str(row)) for row in (0, 1))
    np.testing.assert_allclose(first.wavelength, 4000 + 2.0 * np.arange(N_PIXELS))
    np.testing.assert_allclose(second.wavelength, np.linspace(5000, 5200, N_PIXELS))
    np.testing.assert_allclose(np.vstack([first.flux, second.flux]), rows(2))


def test_orders_in_a_way_that_is_not_read(save):
    hdus = layouts.multispec()
    hdus[0].header["WAT2_001"] = 'spec1 = "1 1 2 0 0 40 0 1 2 1. 0. 5 0 1" spec2 = "2 2 -1 1 1 40 0 3 4"'
    del hdus[0].header["WAT2_002"]
    path = save(fits.HDUList([*hdus, fits.ImageHDU(np.linspace(4000, 4100, N_PIXELS), name="WAVE")]))
    with pytest.raises(ReadError, match=r"wavelengths of row 0 .* wave_hdu=NAME"):
        read(path)
    np.testing.assert_allclose(read(path, wave_hdu="WAVE").wavelength, np.linspace(4000, 4100, N_PIXELS))


def test_several_images_of_one_name_are_told_by_number(save):
    parts = []
    for version, start in ((1, 4000.0), (2, 6000.0)):
        one = layouts.generic(CRVAL=start)
        one["FLUX"].data = one["FLUX"].data * version
        one["ERR"].data = one["ERR"].data * version
        for hdu, name in zip(one[1:], ("SCI", "ERR"), strict=True):
            hdu.name, hdu.ver = name, version
            parts.append(hdu)
    path = save(fits.HDUList([fits.PrimaryHDU(), *parts]))
    with pytest.raises(ReadError, match="It could be 1 SCI, 3 SCI,2"):
        read(path)
    spectra = read(path, flux_hdu=3)
    assert spectra.wavelength[0] == 6000
    np.testing.assert_allclose(spectra.sigma, 2 * SIGMA)


def test_rows_choose_spectra_of_any_file(save):
    path = save(layouts.muse())
    whole = read(path)
    some = read(path, rows="7,1:3")
    assert some.spatial_shape is None
    np.testing.assert_array_equal(some.flux, whole.flux[[7, 1, 2]])
    np.testing.assert_array_equal(some.ivar, whole.ivar[[7, 1, 2]])


def test_bands_of_several_apertures_by_irafs_own_unit(save):
    hdus = layouts.planes(BANDS, bands=True)
    data = np.repeat(hdus[0].data, 2, axis=1)
    hdu = fits.PrimaryHDU(data, hdus[0].header)
    del hdu.header["CUNIT1"]
    hdu.header["WAT1_001"] = "wtype=linear label=Wavelength units=angstroms"
    spectra = read(save(fits.HDUList([hdu])))
    np.testing.assert_allclose(spectra.wavelength, 4000 + 2.0 * np.arange(N_PIXELS))
    np.testing.assert_allclose(spectra.flux, np.repeat(rows(1), 2, axis=0))
