"""SspLibrary: the grid, cuts, smoothing, resampling."""

import dataclasses

import numpy as np
import pytest

from quietspec.errors import TemplateError
from quietspec.wavelengths import FWHM_PER_SIGMA, SNR_WINDOW


def test_spectra_are_sorted_by_age_then_metallicity_whatever_their_order(tiny_library):
    order = np.random.default_rng(1).permutation(tiny_library.n_ssp)
    shuffled = dataclasses.replace(
        tiny_library,
        spectra=tiny_library.spectra[order],
        log_age=tiny_library.log_age[order],
        metallicity=tiny_library.metallicity[order],
        remaining_mass=tiny_library.log_age[order],
    )
    assert shuffled.grid_shape == (6, 3)
    np.testing.assert_array_equal(shuffled.log_age.reshape(6, 3), np.repeat(shuffled.log_ages[:, None], 3, axis=1))
    np.testing.assert_array_equal(shuffled.metallicity[:3], shuffled.metallicities)
    np.testing.assert_array_equal(shuffled.spectra, tiny_library.spectra)
    np.testing.assert_array_equal(shuffled.remaining_mass, shuffled.log_age)


def test_a_grid_with_holes_is_refused(tiny_library):
    with pytest.raises(TemplateError, match="do not form a full grid of 18"):
        dataclasses.replace(
            tiny_library,
            spectra=tiny_library.spectra[1:],
            log_age=tiny_library.log_age[1:],
            metallicity=tiny_library.metallicity[1:],
        )


def test_values_that_are_not_finite_are_refused_with_their_place(tiny_library):
    spectra = tiny_library.spectra.copy()
    spectra[4, 7] = np.nan
    with pytest.raises(TemplateError, match=r"log age 8\.280, \[M/H\] -0\.60"):
        dataclasses.replace(tiny_library, spectra=spectra)


def test_shapes_that_do_not_fit_are_refused(tiny_library):
    with pytest.raises(TemplateError, match=r"spectra has shape \(18, 4300\)"):
        dataclasses.replace(tiny_library, wavelength=tiny_library.wavelength[:-1])


def test_wavelengths_that_fall_are_refused(tiny_library):
    with pytest.raises(TemplateError, match="strictly increasing"):
        dataclasses.replace(tiny_library, wavelength=tiny_library.wavelength[::-1])


def test_normalised_has_unit_light(tiny_library):
    np.testing.assert_allclose(tiny_library.normalised().light(SNR_WINDOW), 1)


def test_light_of_a_window_outside_is_an_error(tiny_library):
    with pytest.raises(TemplateError, match=r"no pixel in 8000\.0–8100\.0"):
        tiny_library.light((8000, 8100))


def test_between_keeps_pixels_and_refuses_what_is_not_there(tiny_library):
    cut = tiny_library.between(4000, 5000)
    assert cut.wavelength[0] >= 4000
    assert cut.wavelength[-1] <= 5000
    assert cut.spectra.shape == (18, len(cut.wavelength)) == (18, len(cut.fwhm))
    for limits in ((3000, 5000), (4000, 9000), (5000, 4000)):
        with pytest.raises(TemplateError, match="covers"):
            tiny_library.between(*limits)


def test_smoothing_adds_widths_in_quadrature(tiny_library):
    wavelength = tiny_library.wavelength
    own, wanted = 2.51 / FWHM_PER_SIGMA, 4.5 / FWHM_PER_SIGMA
    line = np.exp(-0.5 * ((wavelength - 5000) / own) ** 2)
    library = dataclasses.replace(tiny_library, spectra=np.tile(line, (18, 1))).to_fwhm(4.5)
    expected = own / wanted * np.exp(-0.5 * ((wavelength - 5000) / wanted) ** 2)
    np.testing.assert_allclose(library.spectra[0], expected, atol=2e-4)
    np.testing.assert_array_equal(library.fwhm, 4.5)


def test_a_flat_library_stays_flat_under_varying_smoothing(tiny_library):
    flat = dataclasses.replace(tiny_library, spectra=np.ones_like(tiny_library.spectra))
    fwhm = np.linspace(2.51, 8, len(flat.wavelength))
    np.testing.assert_allclose(flat.to_fwhm(fwhm).spectra, 1, rtol=1e-9)


def test_the_librarys_own_resolution_changes_nothing(tiny_library):
    np.testing.assert_allclose(tiny_library.to_fwhm(2.51).spectra, tiny_library.spectra, rtol=1e-9)


def test_sharpening_is_refused(tiny_library):
    with pytest.raises(TemplateError, match="cannot be sharpened"):
        tiny_library.to_fwhm(2.0)


def test_resampling_there_and_back_keeps_the_spectra(tiny_library):
    log_grid = np.exp(np.arange(np.log(3600), np.log(7300), 50 / 299792.458))
    back = tiny_library.at(log_grid).at(tiny_library.between(3700, 7200).wavelength)
    original = tiny_library.between(3700, 7200).spectra
    assert np.abs(back.spectra / original - 1).max() < 4e-2  # in the sharpest lines, of FWHM 2 pixels
    assert np.sqrt(np.mean((back.spectra / original - 1) ** 2)) < 1e-3


def test_resampling_beyond_the_library_is_refused(tiny_library):
    with pytest.raises(TemplateError, match="requested, but the library covers"):
        tiny_library.at(np.linspace(3500, 7000, 100))


@pytest.mark.fetched
def test_miles_is_the_grid_it_is_known_to_be(miles):
    assert miles.grid_shape == (25, 6)
    np.testing.assert_allclose(miles.metallicities, [-1.71, -1.31, -0.71, -0.40, 0, 0.22])
    np.testing.assert_allclose(10 ** (miles.log_ages[[0, -1]] - 9), [0.0631, 15.8489], rtol=1e-6)
    np.testing.assert_allclose(miles.wavelength[[0, -1]], [3540.5, 7409.6], atol=1e-3)
    assert miles.remaining_mass is not None
    assert np.all((miles.remaining_mass > 0.3) & (miles.remaining_mass < 1))
    # Starlight fades: the light per solar mass falls by more than a factor 20 from 63 Myr to 15.8 Gyr.
    light = miles.light().reshape(miles.grid_shape)
    assert np.all(light[0] / light[-1] > 20)


def test_within_keeps_a_part_of_the_grid(tiny_library):
    with_masses = dataclasses.replace(tiny_library, remaining_mass=1 / tiny_library.log_age)
    old = with_masses.within(log_age=(9.0, 10.2))
    np.testing.assert_allclose(old.log_ages, tiny_library.log_ages[tiny_library.log_ages >= 9])
    np.testing.assert_array_equal(old.metallicities, tiny_library.metallicities)
    np.testing.assert_array_equal(old.spectra, tiny_library.spectra[tiny_library.log_age >= 9])
    np.testing.assert_array_equal(old.remaining_mass, 1 / old.log_age)
    assert old.within(metallicity=(-0.6, 0.2)).grid_shape == (3, 2)  # ends included
    assert tiny_library.within().n_ssp == tiny_library.n_ssp


def test_within_refuses_to_keep_nothing(tiny_library):
    with pytest.raises(TemplateError, match=r"log ages 7\.80–10\.20 and \[M/H\] -1\.50 to \+0\.20"):
        tiny_library.within(log_age=(11, 12))


def test_normalised_libraries_are_not_per_mass(tiny_library):
    assert tiny_library.per_mass
    assert not tiny_library.normalised().per_mass
    assert not tiny_library.normalised().between(4000, 5000).within(log_age=(9, 11)).to_fwhm(5).per_mass
