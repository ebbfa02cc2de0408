"""Resolutions, redshifts and the medium as a file states them: used where they can be, otherwise said to be unused."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

import quietspec
from quietspec.errors import ReadError
from quietspec.io import ReadOptions, read
from quietspec.io.reading.options import ReadKeywords

N = 400
WAVELENGTH = 4000.0 + 2.0 * np.arange(N)
FLUX = 1 + 0.1 * np.random.default_rng(2).standard_normal((4, N))


def stack(*more, medium="AWAV", **cards):
    axis = {"CTYPE1": medium, "CUNIT1": "Angstrom", "CRVAL1": 4000.0, "CDELT1": 2.0, "CRPIX1": 1.0}
    header = fits.Header(axis | {"BUNIT": "1e-17 erg/s/cm2/Angstrom"} | cards)
    flux, error = fits.ImageHDU(FLUX, header, name="FLUX"), fits.ImageHDU(np.full(FLUX.shape, 0.1), name="ERR")
    return fits.HDUList([fits.PrimaryHDU(), flux, error, *more])


def image(values, name, unit=None):
    hdu = fits.ImageHDU(np.asarray(values, dtype=np.float64), name=name)
    if unit:
        hdu.header["BUNIT"] = unit
    return hdu


def noted(found, text):
    return any(text in note for note in found.meta["warnings"])


# Resolution


@pytest.mark.parametrize(
    ("hdu", "fwhm"),
    [
        (image(np.full(N, 2.5), "FWHM"), np.full(N, 2.5)),
        (image(np.full(N, 0.25), "FWHM", "nm"), np.full(N, 2.5)),
        (image(np.full(N, 150.0), "FWHM", "km/s"), WAVELENGTH * 150 / 299792.458),
        (image(np.full(N, 1.25), "FWHM", "pixel"), np.full(N, 2.5)),
        (image(np.full(N, 2000.0), "SRES"), WAVELENGTH / 2000),
        (image(np.where(np.arange(N) < 20, 0, 2000.0), "SRES"), WAVELENGTH / 2000),
        (image(np.where(np.arange(N) < 20, np.nan, 2000.0), "SPECRES"), WAVELENGTH / 2000),
        (image([2.5] * 4, "FWHM"), np.full((4, N), 2.5)),
    ],
)
def test_resolutions_become_fwhm(save, hdu, fwhm):
    found = read(save(stack(hdu)))
    np.testing.assert_allclose(found.fwhm[..., 20:], fwhm[..., 20:])
    assert np.isfinite(found.fwhm).all()


@pytest.mark.parametrize(
    ("hdu", "reason"),
    [
        (image(np.full(N, 2.5), "RESOLUTION"), "HDU 3 RESOLUTION: 2.5 cannot be R.*could be a FWHM in Å"),
        (image(np.full(N, 150.0), "FWHM"), "HDU 3 FWHM: 150 cannot be the FWHM.*could be a FWHM in km/s"),
        (image(np.zeros(N), "FWHM"), "HDU 3 FWHM: no resolution is positive"),
        (image(np.full(N, -1.0), "SRES"), "HDU 3 SRES: no resolution is positive"),
        (image(np.ones((11, N)), "RESOLUTION"), "does not fit 4 spectra"),
    ],
)
def test_what_cannot_be_a_resolution_is_not_used_and_the_cure_works(save, hdu, reason):
    path = save(stack(hdu))
    found = read(path)
    assert found.fwhm is None
    assert re.search(f"{reason}.*fwhm=", " ".join(found.meta["warnings"]))
    np.testing.assert_array_equal(read(path, fwhm=2.7).fwhm, 2.7)


def test_columns_of_resolution(tmp_path):
    table = Table({"wave": WAVELENGTH, "flux": FLUX[0], "err": np.full(N, 0.1), "resolution": np.full(N, 2.5)})
    table.write(tmp_path / "t.fits")
    found = read(tmp_path / "t.fits", medium="air")
    assert found.fwhm is None
    assert noted(found, "column resolution: 2.5 cannot be R")


@pytest.mark.parametrize("fwhm", [2000.0, 300.0, 0.01])
def test_a_fwhm_that_no_instrument_has_is_refused(save, fwhm):
    with pytest.raises(ReadError, match=f"fwhm={fwhm:g}: .* cannot be the FWHM"):
        read(save(stack()), fwhm=fwhm)


# Redshift


@pytest.mark.parametrize("values", [np.linspace(0.1, 0.6, 6), np.linspace(0, 1, 500), [0.1, 0.2]])
def test_redshifts_of_another_number_are_not_used(save, values):
    found = read(save(stack(image(values, "Z"), REDSHIFT=0.05)))
    np.testing.assert_array_equal(found.redshift, 0.05)
    assert noted(found, f"HDU 3 Z: {len(values)} redshifts for 4 spectra; not used")


def test_redshifts_that_cannot_be_one_are_unknown(save):
    found = read(save(stack(image([0.05, -9999.0, np.inf, np.nan], "Z"))))
    np.testing.assert_array_equal(found.redshift, [0.05, np.nan, np.nan, np.nan])
    assert noted(found, "HDU 3 Z: 2 of 4 redshifts cannot be one, such as -9999")
    assert noted(found, "no redshift for 3 spectra")


# Air and vacuum


@pytest.mark.parametrize(
    ("ctype", "cards", "medium"),
    [
        ("WAVE", {"AIRORVAC": "air"}, "vacuum"), ("WAVE", {"VACUUM": False}, "vacuum"),
        ("AWAV", {"VACUUM": True}, "air"), ("AWAV", {"AIRORVAC": "vacuum"}, "air"),
    ],
)  # fmt: skip
def test_a_header_that_contradicts_itself_is_warned_of(save, ctype, cards, medium):
    path = save(stack(medium=ctype, **cards))
    found = read(path)
    assert found.medium == medium
    assert noted(found, f"air or vacuum is contradictory: {medium} by CTYPE1")
    assert not noted(read(save(stack(medium=ctype), "plain.fits")), "contradictory")


def test_a_medium_given_against_the_file_is_warned_of(save):
    found = read(save(stack(medium="AWAV")), medium="vacuum")
    assert found.medium == "vacuum"
    assert noted(found, "contradictory")


def test_a_medium_against_the_night_sky_is_warned_of(save):
    hdus = stack(CRVAL1=5400.0)
    wavelength = 5400.0 + 2.0 * np.arange(N)
    for line in (5577.338, 6300.304):
        hdus["ERR"].data *= 1 + 5 * np.exp(-0.5 * ((wavelength - line) / 1.5) ** 2)
    path = save(hdus)
    assert not noted(read(path), "night-sky")
    assert noted(read(path, medium="vacuum"), "night-sky lines lie in air")


# Arms, keywords


def test_arms_in_different_units_are_joined(save):
    blue, red = stack(BUNIT="1e-17 erg/s/cm2/Angstrom"), stack(BUNIT="1e-16 erg/s/cm2/Angstrom", CRVAL1=5200.0)
    red["FLUX"].data = red["FLUX"].data / 10
    red["ERR"].data = red["ERR"].data / 10
    found = read(save(blue, "blue.fits"), save(red, "red.fits"))
    np.testing.assert_allclose(found.flux, np.hstack([FLUX, FLUX]), rtol=1e-5)
    np.testing.assert_allclose(found.sigma, 0.1, rtol=1e-5)


@pytest.mark.parametrize("function", [quietspec.read, quietspec.open_spectra])
def test_help_shows_the_options(function):
    options = {each.name: each.type for each in fields(ReadOptions)}
    assert ReadKeywords.__annotations__.keys() == options.keys()
    assert {name: each.__forward_arg__ for name, each in ReadKeywords.__annotations__.items()} == options
    shown = inspect.signature(function).parameters
    assert {name: shown[name].annotation for name in options} == options
    assert shown["no_mask"].default is False


def test_headers_that_contradict_themselves_on_the_redshift(save):
    spectra = read(save(stack(Z_SPEC=0.05, REDSHIFT=0.0502, Z=0.3)))
    assert (spectra.redshift == 0.05).all()
    assert any("by Z_SPEC of the header, but 0.3 by Z of the header" in note for note in spectra.meta["warnings"])
    given = read(save(stack(Z_SPEC=0.05, Z=0.3), "given.fits"), redshift=0.3)
    assert not any("contradictory" in note for note in given.meta["warnings"])
