"""Libraries as corrections of a reference: what both know is kept, what one lacks is the other's."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.errors import TemplateError
from quietspec.templates.blend import between, extended, like


def test_a_reference_is_like_itself(tiny_library):
    same = like(tiny_library, tiny_library)
    np.testing.assert_allclose(same.spectra, tiny_library.spectra, rtol=1e-9)
    np.testing.assert_array_equal(same.fwhm, tiny_library.fwhm)


def test_a_smooth_correction_is_kept_and_held_beyond_its_wavelengths(tiny_library):
    tilt = (tiny_library.wavelength / 5500) ** 0.4
    coarse = tiny_library.to_fwhm(3.4)
    other = replace(coarse, name="tilted", spectra=coarse.spectra * tilt)
    found = like(other.between(4000.0, 7000.0), tiny_library)
    ratio = found.spectra / tiny_library.spectra
    inside = (tiny_library.wavelength > 4020) & (tiny_library.wavelength < 6980)
    window = tilt[(tiny_library.wavelength > 4500) & (tiny_library.wavelength < 4560)].mean()
    np.testing.assert_allclose(ratio[:, inside], np.tile(tilt[inside] / window, (len(ratio), 1)), rtol=3e-3)
    beyond = tiny_library.wavelength > 7000
    assert np.ptp(ratio[:, beyond], axis=1).max() < 1e-12
    assert found.name == "tilted"


def test_what_is_smoothed_alike_gives_no_correction(tiny_library):
    coarse = tiny_library.to_fwhm(4.0)
    found = like(coarse, tiny_library)
    inside = slice(60, -60)
    np.testing.assert_allclose(found.spectra[:, inside], tiny_library.spectra[:, inside], rtol=2e-3)


def test_ages_and_metallicities_beyond_a_library_have_its_nearest_correction(tiny_library):
    part = tiny_library.within(log_age=(8.5, 9.5), metallicity=(-1.0, 0.3))
    brighter = replace(part, spectra=part.spectra * np.where(part.metallicity > 0, 1.3, 1.1)[:, None])
    ratio = like(brighter, tiny_library).spectra / tiny_library.spectra
    mean = (1.3 * 1.1) ** 0.5  # the flux per mass of old stars is the reference's on average
    np.testing.assert_allclose(ratio[tiny_library.metallicity == 0.2], 1.3 / mean, rtol=1e-6)
    np.testing.assert_allclose(ratio[tiny_library.metallicity == -1.5], 1.1 / mean, rtol=1e-6)


def test_a_library_without_masses_takes_those_of_the_reference(tiny_library):
    found = like(tiny_library.normalised(), tiny_library)
    np.testing.assert_allclose(found.light(), tiny_library.light(), rtol=1e-9)
    assert found.per_mass


def test_libraries_must_share_medium_and_wavelengths(tiny_library):
    with pytest.raises(TemplateError, match="is in vacuum"):
        like(replace(tiny_library, medium="vacuum"), tiny_library)
    with pytest.raises(TemplateError, match="share only"):
        like(tiny_library.between(7350.0, 7400.0), tiny_library)


def test_younger_stars_and_the_red_end_are_another_librarys(tiny_library):
    old = tiny_library.within(log_age=(8.7, 11.0))
    ragged = old.spectra.copy()
    ragged[np.ix_(old.log_age < 9, old.wavelength > 7000)] = 0
    old = replace(old, spectra=ragged)
    brighter = replace(tiny_library, spectra=2 * tiny_library.spectra)
    wavelength = tiny_library.wavelength[50:-50]
    whole = extended(old, brighter, wavelength)
    np.testing.assert_array_equal(whole.log_ages, tiny_library.log_ages)
    np.testing.assert_allclose(whole.spectra, tiny_library.at(wavelength).spectra, rtol=5e-3)


def test_remaining_masses_come_from_both(tiny_library):
    mass = 0.5 + 0.05 * (10 - tiny_library.log_age)
    library = replace(tiny_library, remaining_mass=mass)
    whole = extended(library.within(log_age=(8.7, 11.0)), library, library.wavelength[50:-50])
    np.testing.assert_allclose(whole.remaining_mass, mass)


def test_further_metallicities_follow_the_other_library(tiny_library):
    old = tiny_library.within(metallicity=(-1.0, 0.3))
    brighter = replace(tiny_library, spectra=2 * tiny_library.spectra)
    wavelength = tiny_library.wavelength[50:-50]
    whole = extended(old, brighter, wavelength, (-2.0, 0.3))
    np.testing.assert_array_equal(whole.metallicities, tiny_library.metallicities)
    np.testing.assert_allclose(whole.spectra, tiny_library.at(wavelength).spectra, rtol=1e-3)
    assert extended(old, brighter, wavelength).metallicities[0] == -0.6


def test_between_libraries_the_logarithm_of_the_flux_is_interpolated_and_beyond_extrapolated(tiny_library):
    other = replace(tiny_library, name="bluer", spectra=tiny_library.spectra * (tiny_library.wavelength / 5000) ** -2.0)
    for fraction in (0.0, 0.5, 1.0, -0.25):
        found = between(tiny_library, other, fraction)
        ratio = found.spectra / tiny_library.spectra
        expected = (tiny_library.wavelength / 5000) ** (-2.0 * fraction)
        np.testing.assert_allclose(ratio, np.tile(expected, (len(ratio), 1)), rtol=1e-6)
    assert found.name == "tiny -0.25 bluer"
