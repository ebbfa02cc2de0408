"""Input that is damaged, incomplete or not spectra: each a message that says what is wrong and what to do."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from quietspec.errors import ReadError
from quietspec.io import describe, open_spectra, read

from . import layouts


def refused(path, match, **options):
    """Whether reading raises a `ReadError` that names the file and leaves it as it was."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ReadError, match=match) as caught:
        read(path, **options)
    assert str(path) in str(caught.value)
    assert before is None or path.read_bytes() == before


def test_missing_file(tmp_path):
    refused(tmp_path / "none.fits", "no such file")


def test_directory(tmp_path):
    refused(tmp_path, "is a directory")


def test_empty_file(tmp_path):
    path = tmp_path / "empty.fits"
    path.touch()
    refused(path, "the file is empty")


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\0\0\0", b"dear diary,\nthis is no table\n", b"one\ntwo\n"])
def test_not_fits(tmp_path, content):
    path = tmp_path / "picture.fits"
    path.write_bytes(content)
    refused(path, "is a picture|neither FITS nor a table")


@pytest.mark.parametrize("hdu", ["DATA", "STAT", "DQ"])
def test_truncated_fits(save, hdu):
    path = save(layouts.muse())
    with fits.open(path) as file:
        end = file[hdu].fileinfo()["datLoc"] + file[hdu].size
    path.write_bytes(path.read_bytes()[: end - 1])
    refused(path, f"truncated: HDU . .{hdu}. ends at byte {end:,} but the file has {end - 1:,}")


def test_truncation_within_a_header(save):
    path = save(layouts.muse())
    path.write_bytes(path.read_bytes()[:4000])
    refused(path, "HDU 1 has no END; the file is truncated or damaged")


def test_only_the_padding_is_missing(save):
    """Some writers leave it out; nothing is lost."""
    path = save(layouts.legac())
    with fits.open(path) as file:
        info = file.fileinfo(1)
        end = info["datLoc"] + file[1].size
    path.write_bytes(path.read_bytes()[:end])
    assert read(path).n_spectra == 1


def test_header_without_end_is_not_read_to_the_end_of_the_disk(tmp_path):
    path = tmp_path / "endless.fits"
    with path.open("wb") as file:
        file.write(b"SIMPLE  =                    T".ljust(80))
        file.truncate(2**30)
    refused_quickly = "HDU 0 has no END"
    with pytest.raises(ReadError, match=refused_quickly):
        read(path)


@pytest.mark.parametrize("cut", [4, 200])
def test_truncated_gzip(tmp_path, cut):
    """Also where only the checksum at the very end is cut off, which astropy does not see."""
    plain, packed = tmp_path / "plain", tmp_path / "file.fits.gz"
    layouts.muse().writeto(plain)
    packed.write_bytes(gzip.compress(plain.read_bytes())[:-cut])
    refused(packed, "the gzip file is truncated or damaged")


def test_damaged_gzip(tmp_path):
    path = tmp_path / "file.fits.gz"
    path.write_bytes(b"\x1f\x8bnot really")
    refused(path, "cannot be unpacked")


def test_whole_gzip_is_read_by_whatever_name(tmp_path):
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    layouts.muse().writeto(plain)
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    np.testing.assert_array_equal(read(plain).flux, read(packed).flux)


def test_no_image_and_no_table(save):
    refused(save(fits.HDUList([fits.PrimaryHDU()])), "holds neither an image nor a table")


def test_no_noise(save):
    path = save(fits.HDUList(layouts.generic()[:2]))
    refused(
        path, r"found flux \(HDU 1 FLUX\) but no variance, error or ivar beside it.\nGive the noise: noise_hdu=NAME"
    )
    spectra = read(path, noise_from_residuals=True)
    assert spectra.good.all()
    assert any("estimated from the residuals" in warning for warning in spectra.meta["warnings"])


def test_all_that_is_missing_is_asked_at_once(save):
    hdus = layouts.generic(CTYPE=None)
    refused(save(fits.HDUList(hdus[:2])), r'(?s)noise_hdu=NAME.*medium="air"')


def test_no_column_of_noise(tmp_path):
    path = tmp_path / "t.csv"
    Table({"wave": [4000.0, 4001, 4002], "flux": [1.0, 2, 3]}).write(path)
    refused(path, r"no column of variance, error or ivar(?s:.)*noise_hdu=COLUMN", medium="air")


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_all_fluxes_missing(save, value):
    hdus = layouts.generic()
    hdus["FLUX"].data[:] = value
    path = save(hdus)
    refused(path, "no spectrum has a usable pixel")
    with open_spectra(path) as source:
        assert "none of the spectra looked at has a usable pixel" in describe(source)["warnings"]
        with pytest.raises(ReadError, match="no spectrum has a usable pixel"):
            list(source.tiles(2))


@pytest.mark.parametrize(("value", "reason"), [(0.0, "variance zero"), (-1.0, "variance negative"), (np.nan, "NaN")])
def test_no_variance_usable(save, value, reason):
    hdus = layouts.generic("VAR", "variance")
    hdus["VAR"].data[:] = value
    refused(save(hdus), f"no spectrum has a usable pixel .*{reason}.*noise_kind=")


@pytest.mark.parametrize(("value", "reason"), [(0.0, "variance zero"), (-1.0, "variance negative")])
def test_some_variances_unusable(save, value, reason):
    hdus = layouts.generic("VAR", "variance")
    hdus["VAR"].data[1, :3] = value
    spectra = read(save(hdus))
    np.testing.assert_array_equal(np.argwhere(~spectra.good), [[1, 0], [1, 1], [1, 2]])
    assert f"3 pixel(s) masked: {reason}" in spectra.meta["warnings"]


def test_wrong_unit_of_wavelength(save):
    refused(save(layouts.generic(CUNIT="Jy")), "'Jy' is not a unit of wavelength.*wavelength_unit=")


def test_unit_of_wavelength_that_cannot_be(save):
    path = save(layouts.generic(CUNIT="m"))
    refused(path, "from 4e.13 to .* Å when read in 'm', which no spectrum does. .*wavelength_unit=")
    assert read(path, wavelength_unit="Angstrom").wavelength[0] == 4000


def test_unsaid_unit_of_wavelength(save):
    path = save(layouts.generic(CUNIT=None, CRVAL=0.4, CDELT=2e-4))
    refused(path, "have no unit; they could be um. Give the unit: wavelength_unit=")
    np.testing.assert_allclose(read(path, wavelength_unit="um").wavelength[0], 4000)


def test_wrong_unit_of_flux(save):
    hdus = layouts.generic()
    hdus["FLUX"].header["BUNIT"] = "mag"
    refused(save(hdus), "the unit 'mag' is not one of a flux")


def test_unknown_unit_of_flux_is_asked_for(save):
    hdus = layouts.generic()
    hdus["FLUX"].header["BUNIT"] = "furlongs"
    path = save(hdus)
    refused(path, "the unit 'furlongs' is not understood.*flux_unit=")
    assert read(path, flux_unit="mJy").meta["units"] == "mJy"


def test_no_redshift(save):
    spectra = read(save(layouts.generic()))
    assert np.isnan(spectra.redshift).all()
    assert "no redshift for 3 spectra; give it: redshift=Z" in spectra.meta["warnings"]


def test_one_pixel(save):
    hdus = layouts.generic()
    for hdu in hdus[1:]:
        hdu.data = hdu.data[:, :1]
    refused(save(hdus), "1 wavelength pixel; at least 2 are needed")


def test_wavelengths_that_turn_back(save):
    hdus = layouts.generic()
    wave = 4000 + 2.0 * np.arange(layouts.N_PIXELS)
    wave[7] = wave[5]
    refused(save(fits.HDUList([*hdus, fits.ImageHDU(wave, name="WAVE")])), "not monotonic at pixel 6")


def test_no_wavelengths(save):
    refused(save(layouts.generic(CRVAL=None)), "has no wavelengths: neither CRVAL1")


def test_wavelengths_of_another_number(save):
    wave = fits.ImageHDU(np.linspace(4000, 5000, 7), name="WAVE")
    path = save(fits.HDUList([*layouts.generic(), wave]))
    refused(path, "40 pixels per spectrum but 7 wavelengths", wave_hdu="WAVE")
    assert read(path).n_pixels == layouts.N_PIXELS  # the header's own are used


def test_noise_of_another_shape(save):
    hdus = layouts.generic()
    hdus["ERR"].data = hdus["ERR"].data[:2]
    refused(save(hdus), "2 spectra of 40 pixels do not match the flux, 3 of 40", noise_hdu="ERR")


def test_hdu_that_is_not_there(save):
    refused(save(layouts.generic()), "has no HDU 'NOISE'; it has 0 PRIMARY, 1 FLUX, 2 ERR", noise_hdu="NOISE")


def test_flux_that_is_not_found(save):
    images = [fits.ImageHDU(np.ones((3, 9)), name=name) for name in ("ONE", "TWO")]
    refused(save(fits.HDUList([fits.PrimaryHDU(), *images])), "which HDU holds the flux.*flux_hdu=1")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"noise_kind": "rms"}, "noise_kind='rms': expected 'sigma' or 'variance' or 'ivar'"),
        ({"medium": "water"}, "medium='water'"),
        ({"redshift": -2}, "redshift=-2"),
        ({"fwhm": 0}, "fwhm=0"),
    ],
)
def test_options_that_make_no_sense(save, options, match):
    with pytest.raises(ReadError, match=match):
        read(save(layouts.generic()), **options)


def test_no_file_named():
    with pytest.raises(ReadError, match="no file given"):
        read()


def test_a_file_that_shrinks_while_open(save):
    path = save(layouts.muse())
    with open_spectra(path) as source:
        path.write_bytes(path.read_bytes()[:9000])
        with pytest.raises(ReadError, match="did it change while it was open"):
            source.read()


def test_of_many_hdus_a_message_lists_the_first(save):
    hdus = [fits.ImageHDU(np.ones(3), name=f"E{number}") for number in range(200)]
    with pytest.raises(ReadError, match=r"which HDU holds the flux\?.* and 170 more.* and 171 more") as caught:
        read(save(fits.HDUList([fits.PrimaryHDU(), *hdus])))
    assert len(str(caught.value)) < 1000
