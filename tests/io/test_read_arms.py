"""Arms of a spectrograph: joined, also where they overlap."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from quietspec.errors import ReadError
from quietspec.io import open_spectra, read
from quietspec.io.reading.joint import Joint
from quietspec.wavelengths import air_to_vacuum

from . import layouts
from .layouts import SIGMA


def arm(low, high, step=1.0, *, scale=1.0, unit="1e-17 erg/s/cm2/Angstrom", ctype="AWAV", name="G1", noise=0.0, seed=0):
    """A spectrum that rises along the wavelength, 1 at 5000 Å."""
    wave = np.arange(low, high, step)
    flux = scale * (wave / 5000 + noise * np.random.default_rng(seed).normal(size=len(wave)))
    header = fits.Header({"CTYPE1": ctype, "CUNIT1": "Angstrom", "CRVAL1": float(low), "CRPIX1": 1.0, "CDELT1": step})
    header["BUNIT"], header["OBJECT"], header["REDSHIFT"] = unit, name, 0.05
    error = fits.ImageHDU(np.full(len(wave), scale * SIGMA), name="ERR")
    return fits.HDUList([fits.PrimaryHDU(flux, header), error])


@pytest.mark.parametrize(("blue", "red"), [(1.0, 1.0), (1.05, 0.6), (0.6, 1.05), (2.0, 1.0)])
def test_arms_that_overlap_are_joined(save, blue, red):
    paths = save(arm(3800, 5840, blue), "a"), save(arm(5800.3, 7600, red), "b")
    spectra = read(*paths)
    np.testing.assert_array_equal(read(*reversed(paths)).flux, spectra.flux)
    np.testing.assert_allclose(spectra.flux[0], spectra.wavelength / 5000, rtol=1e-4)
    steps = np.diff(spectra.wavelength)
    assert 0.49 * min(blue, red) < steps.min()
    assert steps.max() < 1.51 * max(blue, red)
    inside = (spectra.wavelength > 5803) & (spectra.wavelength < 5837)
    assert np.all(spectra.sigma[0, inside] < SIGMA)
    np.testing.assert_allclose(spectra.sigma[0, spectra.wavelength < 5798], SIGMA)
    assert any("arms overlap at 5800.3–58" in warning for warning in spectra.meta["warnings"])


def test_errors_in_the_overlap_are_those_of_sums():
    """The joined flux averaged over the overlap scatters as its errors say, whatever the pixels' phase."""
    rng = np.random.default_rng(5)
    blue, red = np.arange(4000.0, 4400), np.arange(4100.4, 4600, 0.7)
    joint = Joint(blue, red)
    shape = (4000, 1)
    flux, ivar = joint.join(
        rng.normal(size=(shape[0], len(blue))), np.ones((shape[0], len(blue))),
        rng.normal(size=(shape[0], len(red))), np.ones((shape[0], len(red))),
    )  # fmt: skip
    inside = (joint.wavelength > 4110) & (joint.wavelength < 4390)
    weight = ivar[0, inside]
    mean = np.average(flux[:, inside], axis=1, weights=weight)
    np.testing.assert_allclose(mean.std() * np.sqrt(weight.sum()), 1, atol=0.08)


@given(st.integers(0, 39), st.integers(0, 39))
def test_a_masked_pixel_never_matters(bad_blue, bad_red):
    blue, red = np.arange(4000.0, 4040), np.arange(4020.5, 4060.5)
    joint = Joint(blue, red)
    first, second = np.sin(blue)[None], np.cos(red)[None]
    ivar, other = np.ones((1, 40)), np.full((1, 40), 2.0)
    ivar[0, bad_blue] = other[0, bad_red] = 0
    once = joint.join(first, ivar, second, other)
    first, second = first.copy(), second.copy()
    first[0, bad_blue] = second[0, bad_red] = np.nan
    again = joint.join(first, ivar, second, other)
    good = once[1] > 0
    np.testing.assert_array_equal(again[1], once[1])
    np.testing.assert_array_equal(again[0][good], once[0][good])


def test_without_an_overlap_nothing_is_changed():
    blue, red = np.arange(4000.0, 4010), np.arange(4100.0, 4110)
    flux = np.random.default_rng(1).normal(size=(2, 10)).astype(np.float32)
    joined, ivar = Joint(blue, red).join(flux, flux**2, 2 * flux, flux**2)
    np.testing.assert_array_equal(joined, np.hstack([flux, 2 * flux]))
    assert joined.dtype == ivar.dtype == np.float32


def test_arms_calibrated_differently_are_said(save):
    paths = save(arm(3800, 5840, noise=SIGMA), "a"), save(arm(5600, 7600, scale=1.5, noise=SIGMA, seed=1), "b")
    warnings = read(*paths).meta["warnings"]
    (off,) = [warning for warning in warnings if "off the bluer one" in warning]
    assert 40 < int(off.split(" % off")[0].rpartition("+")[2]) < 60


def test_arms_in_other_units_are_converted(save):
    red = arm(5800, 7600, scale=0.1, unit="1e-16 erg/s/cm2/Angstrom")
    spectra = read(save(arm(3800, 5840), "a"), save(red, "b"))
    np.testing.assert_allclose(spectra.flux[0], spectra.wavelength / 5000, rtol=1e-4)
    np.testing.assert_allclose(spectra.sigma[0, -100:], SIGMA, rtol=1e-6)


def test_arms_in_another_medium_are_converted(save):
    spectra = read(save(arm(3800, 5840, ctype="WAVE"), "a"), save(arm(5900, 7600), "b"))
    assert spectra.medium == "vacuum"
    np.testing.assert_allclose(spectra.wavelength[-1], air_to_vacuum(np.array([7599.0])))
    assert any("wavelengths in air are given in vacuum" in warning for warning in spectra.meta["warnings"])


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (arm(5800, 7600, name="G2"), "different objects, G1 and G2"),
        (arm(3900, 5900), "wavelengths overlap by .* more than arms"),
        (arm(5800, 7600, unit="count"), "different flux units"),
    ],
)
def test_what_are_no_arms_of_one_object_is_refused_and_readable_alone(save, other, says):
    paths = save(arm(3800, 5840), "a"), save(other, "b")
    with pytest.raises(ReadError, match=f"{says}(?s:.)*Read them one at a time"):
        read(*paths)
    assert all(read(path).n_spectra == 1 for path in paths)


def test_rows_of_tiles_are_those_of_the_whole(save):
    with open_spectra(save(layouts.desi(n=5))) as source:
        whole, tiles = source.read(), list(source.tiles(2))
    np.testing.assert_array_equal(np.vstack([tile.flux for tile in tiles]), whole.flux)


def test_resolution_in_the_overlap_is_the_mean_of_both():
    joint = Joint(np.arange(4000.0, 4010), np.arange(4006.0, 4016))
    fwhm = joint.resolution(np.full(10, 2.0), np.full(10, 3.0))
    np.testing.assert_allclose(fwhm, [2.0] * 6 + [2.5] * 4 + [3.0] * 6)
