"""V-band luminosities and mass-to-light ratios."""

import dataclasses

import numpy as np
import pytest
from astropy import units as u
from astropy.constants import L_sun
from astropy.modeling.physical_models import BlackBody

from quietspec.errors import TemplateError
from quietspec.io.fetching import cached
from quietspec.templates import mass_to_light, v_luminosity
from quietspec.wavelengths import air_to_vacuum


def test_luminosity_follows_the_flux_and_ratio_the_mass(tiny_library):
    twice = dataclasses.replace(tiny_library, spectra=2 * tiny_library.spectra)
    np.testing.assert_allclose(v_luminosity(twice), 2 * v_luminosity(tiny_library))
    half_left = dataclasses.replace(tiny_library, remaining_mass=np.full(tiny_library.n_ssp, 0.5))
    formed, now = mass_to_light(tiny_library), mass_to_light(half_left)
    assert (formed.mass, now.mass) == ("formed", "stars and remnants")
    np.testing.assert_allclose(now.ratio, 0.5 * formed.ratio)
    np.testing.assert_allclose(formed.ratio * v_luminosity(tiny_library), 1)


def test_light_outside_the_band_does_not_count(tiny_library):
    outside = (tiny_library.wavelength < 4700) | (tiny_library.wavelength > 7000)
    brighter = dataclasses.replace(tiny_library, spectra=np.where(outside, 9.0, tiny_library.spectra))
    np.testing.assert_array_equal(v_luminosity(brighter), v_luminosity(tiny_library))


def test_the_medium_of_the_wavelengths_makes_no_difference(tiny_library):
    vacuum = dataclasses.replace(tiny_library, wavelength=air_to_vacuum(tiny_library.wavelength), medium="vacuum")
    np.testing.assert_allclose(v_luminosity(vacuum), v_luminosity(tiny_library), rtol=1e-6)


def test_a_black_body_of_the_suns_temperature_has_nearly_the_suns_ratio(tiny_library):
    """One solar luminosity at 5772 K: bolometric and V luminosities agree up to the Sun's lines (12 % in V)."""
    wavelength = tiny_library.wavelength * u.AA
    temperature = 5772 * u.K
    body = BlackBody(temperature, scale=1 * u.erg / u.s / u.cm**2 / u.AA / u.sr)(wavelength) * np.pi * u.sr
    radius = 1 * u.R_sun
    density = (4 * np.pi * radius**2 * body / L_sun).to_value(1 / u.AA)
    sun = dataclasses.replace(tiny_library, spectra=np.tile(density, (tiny_library.n_ssp, 1)))
    np.testing.assert_allclose(v_luminosity(sun), 1, atol=0.12)


def test_a_library_without_the_band_or_without_masses_is_refused(tiny_library):
    with pytest.raises(TemplateError, match=r"not the V band \(4800–6900 Å\)"):
        mass_to_light(tiny_library.between(4000, 6000))
    with pytest.raises(TemplateError, match="scaled by light"):
        mass_to_light(tiny_library.normalised())


@pytest.mark.fetched
def test_miles_ratios_are_those_of_its_photometric_tables(miles):
    """Column (M/L)V of the tables that Vazdekis et al. computed from stellar photometry, with a Sun of V = 4.82."""
    folder = cached("miles")
    assert folder is not None
    table = {}
    for line in (folder / "Vazdekis2012_ssp_phot_Padova00_UN_v10.0.txt").read_text().splitlines():
        words = line.split()
        if words[:2] == ["UN", "1.30"]:
            table[round(float(words[2]), 2), round(float(words[3]), 4)] = float(words[21])
    keys = zip(miles.metallicity.round(2), (10 ** (miles.log_age - 9)).round(4), strict=True)
    ratio = mass_to_light(miles)
    deviation = ratio.ratio / [table[key] for key in keys] - 1
    assert ratio.mass == "stars and remnants"
    assert np.abs(deviation).max() < 0.015  # 0.009 of it is the Sun's magnitude
