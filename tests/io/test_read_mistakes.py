"""What people give by mistake: one clear sentence each."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from quietspec.errors import ReadError
from quietspec.io import read
from quietspec.io.reading.mistakes import mistaken_for

from . import layouts


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
            "Git LFS.*git lfs pull",
        ),
        (b"/annex/objects/MD5-s3--00\n", "git annex get"),
        (b"<!DOCTYPE html><html><title>Log in</title></html>", "is a web page"),
        (b"\xef\xbb\xbf  <html><body>404</body></html>", "is a web page"),
        (b'<?xml version="1.0"?>\n<VOTABLE version="1.3"></VOTABLE>', "is a VOTable"),
        (b"#ASDF 1.0.0\n%YAML 1.1\n", "is an ASDF file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file"),
        (b"\x93NUMPY\x01\x00", "numpy.load"),
        (b"PK\x03\x04" + bytes(50), "is a zip archive"),
        (b"\x89PNG\r\n\x1a\n", "is a picture"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "is a picture"),
        (b"%PDF-1.7\n", "is a PDF"),
        (b'{"wave": [1, 2]}', "is a JSON document"),
        (b"\x80\x04\x95\x10", "is a pickle"),
        (b"a".ljust(257) + b"ustar", "is a tar archive"),
        (b"404 Not Found\n", "is text, but neither FITS nor a table of numbers"),
        (b"root:x:0:0:root:/root:/bin/bash\nbin:x:1:1:bin:/bin:/sbin/nologin\n", "is text, but neither FITS"),
        (b"127.0.0.1 localhost\n::1 localhost\n", "is text, but neither FITS"),
        (b"#!/bin/sh\nexit 0\n", "is a script"),
        (bytes(range(256)), "neither FITS nor a text table"),
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else None,
)
def test_other_files(tmp_path, content, says):
    path = tmp_path / "spectrum.fits"
    path.write_bytes(content)
    with pytest.raises(ReadError, match=says) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 400


def test_arrays_of_numpy(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    np.savez(tmp_path / "a.npz", flux=np.ones(3))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ReadError, match=r"array of NumPy|zip archive"):
            read(tmp_path / name)


def test_a_picture_of_the_sky(save):
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CDELT1": 1e-4, "CUNIT1": "deg"})
    with pytest.raises(ReadError, match="HDU 0 PRIMARY is an image of the sky, with no axis of wavelengths"):
        read(save(fits.HDUList([fits.PrimaryHDU(np.ones((50, 60)), header)])))


def test_a_catalogue(tmp_path):
    Table({"ra": [1.0, 2], "dec": [3.0, 4], "z": [0.1, 0.2]}).write(tmp_path / "t.fits")
    with pytest.raises(ReadError, match=r"no table with columns of wavelength and flux\. It has HDU 1: ra, dec, z"):
        read(tmp_path / "t.fits")
    Table({"ra": [1.0, 2], "dec": [3.0, 4], "z": [0.1, 0.2]}).write(tmp_path / "t.csv")
    with pytest.raises(ReadError, match="no column of flux among ra, dec, z"):
        read(tmp_path / "t.csv")


def test_maps_of_the_manga_pipeline(save):
    with pytest.raises(ReadError, match=r"holds maps that the MaNGA DAP measured .* no spectra. Give the LOGCUBE"):
        read(save(layouts.manga_dap(maps=True)))


def test_a_table_is_not_mistaken():
    assert mistaken_for(b"wave flux err\n4000 1 0.1\n") is None


def test_a_map_with_a_third_axis_of_one_pixel_is_an_image_of_the_sky(save):
    hdu = fits.PrimaryHDU(np.ones((1, 5, 5)))
    hdu.header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CUNIT1="deg", CUNIT2="deg", CRVAL1=1.0, CRVAL2=2.0)
    hdu.header.update(CDELT1=-1e-4, CDELT2=1e-4, CRPIX1=1.0, CRPIX2=1.0, BUNIT="km/s")
    with pytest.raises(ReadError, match="is an image of the sky, with no axis of wavelengths"):
        read(save(fits.HDUList([hdu, fits.ImageHDU(np.ones((1, 5, 5)), name="VDISP_ERR")])))
