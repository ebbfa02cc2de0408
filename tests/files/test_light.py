"""Brightness as the MaNGA DAP states it: properties of weighted means."""

from __future__ import annotations

import numpy as np
import pytest

from quietspec.files.light import light_of
from quietspec.spectra import Spectra

RNG = np.random.default_rng(0)
WAVELENGTH = np.arange(3700.0, 6000.0, 1.5)
FLUX = RNG.uniform(1, 3, (4, len(WAVELENGTH)))


def made(flux=FLUX, error=0.5, mask=None, wavelength=WAVELENGTH) -> Spectra:
    return Spectra.from_arrays(wavelength, flux, error, mask=mask, medium="air", redshift=0.0)


def test_constant_flux_and_error_are_their_own_mean():
    light = light_of(made(np.full_like(FLUX, 2.0)))
    for found, want in ((light.flux, 2.0), (light.median, 2.0), (light.variance, 0.25), (light.snr, 4.0)):
        np.testing.assert_allclose(found, want)


def test_masked_pixels_do_not_count_whatever_they_hold():
    mask = RNG.uniform(size=FLUX.shape) < 0.3
    one, other = (light_of(made(np.where(mask, junk, FLUX), mask=mask)) for junk in (-1e6, 7.0))
    for name in ("flux", "variance", "snr", "median"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("factor", [1e-20, 1e6])
def test_flux_scales_and_the_ratio_stays(factor):
    one, other = light_of(made()), light_of(made(factor * FLUX, 0.5 * factor))
    np.testing.assert_allclose(other.flux, factor * one.flux, rtol=1e-6)
    np.testing.assert_allclose(other.variance, factor**2 * one.variance, rtol=1e-6)
    np.testing.assert_allclose(other.snr, one.snr, rtol=1e-6)


def test_light_outside_the_band_does_not_count():
    red = WAVELENGTH > 5850
    brighter = light_of(made(np.where(red, 50.0, FLUX)))
    np.testing.assert_array_equal(brighter.flux, light_of(made()).flux)


def test_spectra_beyond_the_band_have_a_median_alone():
    light = light_of(made(wavelength=WAVELENGTH + 3000))
    assert np.isnan(light.flux).all()
    assert np.isnan(light.snr).all()
    np.testing.assert_allclose(light.median, np.median(FLUX, axis=1))


def test_empty_spectra_have_none():
    mask = np.zeros(FLUX.shape, dtype=bool)
    mask[1] = True
    light = light_of(made(mask=mask))
    for name in ("flux", "variance", "snr", "median"):
        np.testing.assert_array_equal(np.isnan(getattr(light, name)), [False, True, False, False])
