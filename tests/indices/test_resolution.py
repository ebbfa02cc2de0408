"""Indices at another resolution, and the correction for velocity dispersion."""

from __future__ import annotations

import numpy as np
import pytest

from quietspec.errors import SpectraError
from quietspec.indices import (
    FactoredCovariance,
    IndexFlag,
    added_sigma_to,
    constant_sigma,
    corrected_for_dispersion,
    dispersion_correction,
    lick_fwhm,
    measure_indices,
)
from quietspec.resampling import Resampler
from quietspec.wavelengths import FWHM_PER_SIGMA, SPEED_OF_LIGHT

from .made import LINEAR, LOG, spectra

each_grid = pytest.mark.parametrize("wavelength", [LINEAR, LOG], ids=["linear", "log"])


def sigma_to_lick(wavelength):
    return added_sigma_to("lick", wavelength, np.full(wavelength.size, 2.51))


@each_grid
def test_smoothing_inside_is_smoothing_before(wavelength):
    flux = spectra(wavelength)
    sigma = sigma_to_lick(wavelength)
    before = measure_indices("all", wavelength, Resampler(wavelength, wavelength, sigma)(flux))
    inside = measure_indices("all", wavelength, flux, smoothing=sigma)
    np.testing.assert_allclose(inside.values, before.values, atol=1e-4)


def test_errors_after_smoothing_are_those_of_the_smoothed_covariance():
    wavelength = LINEAR[1200:2200]
    smooth = Resampler(wavelength, wavelength, sigma_to_lick(wavelength))
    flux = spectra(wavelength, 1)
    factor = 0.01 * np.random.default_rng(0).standard_normal((1000, 5))
    remainder = np.full(1000, 0.02)
    matrix = smooth(np.eye(1000)).T
    whole = factor @ factor.T + np.diag(remainder**2)
    names = ["Hbeta", "Fe5015", "Mg_b", "Fe5270"]
    expected = measure_indices(names, wavelength, smooth(flux), matrix @ whole @ matrix.T)
    before = FactoredCovariance(factor=factor, remainder=remainder)
    found = measure_indices(names, wavelength, flux, before, smoothing=sigma_to_lick(wavelength))
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-3, atol=1e-5)


def test_lines_made_at_the_wanted_width_have_the_same_indices():
    def lines(width):
        sigma = width / FWHM_PER_SIGMA
        return 1 - sum(
            0.8 / sigma * np.exp(-0.5 * ((LINEAR - centre) / sigma) ** 2) for centre in np.arange(3610, 10060, 27.3)
        )

    sigma = added_sigma_to(8.4, LINEAR, np.array(3.5))
    found = measure_indices("lick", LINEAR, lines(3.5)[None], smoothing=sigma)
    np.testing.assert_allclose(found.values, measure_indices("lick", LINEAR, lines(8.4)[None]).values, atol=1e-3)


def test_bands_near_an_end_need_room_for_the_kernel():
    start = LINEAR[LINEAR > 4825]
    sharp, smooth = (
        measure_indices("Hbeta", start, spectra(start, 1), smoothing=sigma)
        for sigma in (None, np.full(start.size, 3.0))
    )
    assert sharp.flags.item() == IndexFlag.OK
    assert smooth.flags.item() == IndexFlag.NOT_COVERED


def test_smoothing_never_crosses_a_gap():
    gap = (LINEAR > 4893 + 15) & (LINEAR < 5060)
    wavelength, flux = LINEAR[~gap], spectra(LINEAR, 1)
    sigma = np.full(LINEAR.size, 2.0)
    whole = measure_indices("Hbeta", LINEAR, flux, smoothing=sigma).values
    parts = measure_indices(["Hbeta", "Mg_1"], wavelength, flux[:, ~gap], smoothing=sigma[~gap])
    np.testing.assert_allclose(parts.values[:, :1], whole, atol=1e-6)
    assert parts.flags[0, 1] == IndexFlag.NOT_COVERED


def test_a_spectrum_that_is_too_coarse_has_no_index_there():
    own = np.where(LINEAR < 5000, 5.0, 9.0)
    found = measure_indices(
        ["Hbeta", "Mg_b", "Na_D"], LINEAR, spectra(LINEAR, 1), smoothing=added_sigma_to("lick", LINEAR, own)
    )
    assert found.flags[0].tolist() == [0, IndexFlag.TOO_COARSE, 0]
    assert found.reasons[0, 1] == "the spectrum is coarser than the resolution asked for"


def test_the_resolution_asked_for_is_understood():
    at = np.array([4000.0, 5000.0, 7000.0])
    assert added_sigma_to("own", at, None) is None
    np.testing.assert_allclose(lick_fwhm(at), [11.5, 8.4, 9.8])
    sigma = added_sigma_to("lick", at, np.array([11.5, 5.0, 9.8]))
    np.testing.assert_allclose(sigma * FWHM_PER_SIGMA, [0, np.sqrt(8.4**2 - 25), 0], atol=1e-6)
    np.testing.assert_allclose(
        added_sigma_to(constant_sigma(100.0), at, np.zeros(3) + 1e-3), at * 100 / SPEED_OF_LIGHT, rtol=1e-6
    )
    assert np.isnan(added_sigma_to(5.0, at, np.array([0.0, np.nan, 6.0]))).all()


@pytest.mark.parametrize(
    ("resolution", "own", "message"),
    [("sharp", 2.0, "'sharp' is neither"), (-1.0, 2.0, "must be positive"), (5.0, None, "the spectra is unknown")],
)
def test_a_resolution_that_cannot_be_had_says_so(resolution, own, message):
    with pytest.raises(SpectraError, match=message):
        added_sigma_to(resolution, LINEAR, own)


# --- velocity dispersion ---


def test_a_spectrum_like_its_model_gets_the_unbroadened_indices():
    sharp = spectra(LINEAR)
    broad = Resampler(LINEAR, LINEAR, LINEAR * 200 / SPEED_OF_LIGHT)(sharp)
    names = ["Hbeta", "Mg_b", "Mg_2", "Dn4000", "CaT_star"]
    measured = measure_indices(names, LINEAR, broad, FactoredCovariance(remainder=np.full(LINEAR.size, 0.01)))
    correction = dispersion_correction(names, LINEAR, sharp, broad)
    corrected = corrected_for_dispersion(measured, correction)
    np.testing.assert_allclose(corrected.values, measure_indices(names, LINEAR, sharp).values, rtol=1e-9)
    np.testing.assert_allclose(corrected.errors, measured.errors * np.abs(correction.factor))
    np.testing.assert_array_equal(correction.factor[:, 2], 1)
    np.testing.assert_array_equal(correction.offset[:, [0, 1, 3, 4]], 0)


def test_without_dispersion_there_is_nothing_to_correct():
    flux = spectra(LINEAR)
    factor, offset = dispersion_correction("lick", LINEAR, flux, flux)
    np.testing.assert_array_equal(factor, 1)
    np.testing.assert_array_equal(offset, 0)


def test_a_model_that_has_no_index_gives_no_correction():
    short = LINEAR[LINEAR < 6000]
    factor, offset = dispersion_correction(["Mg_b", "TiO_2"], short, spectra(short, 1), spectra(short, 1))
    assert np.isnan(factor).tolist() == np.isnan(offset).tolist() == [[False, True]]
