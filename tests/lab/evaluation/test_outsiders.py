"""Outsiders are what they claim to be: lines where they belong, noise and errors of the right size."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from quietspec.errors import SpectraError
from quietspec.lab.evaluation.outsiders import (
    QUASAR_LINES,
    detection_rate,
    moved,
    observed_at_rest,
    quasar_spectra,
    rescaled_errors,
    sky_residuals,
    without_signal,
)
from quietspec.lab.simulate import SurveyRecipe
from quietspec.wavelengths import SPEED_OF_LIGHT

WAVELENGTH = np.arange(3600.0, 7400.0, 1.0)


@pytest.fixture(scope="module")
def recipe(tiny_library) -> SurveyRecipe:
    return SurveyRecipe(tiny_library, emission=False, instruments=("SAMI",))


def test_quasar_has_its_lines_where_the_redshift_puts_them() -> None:
    flux = quasar_spectra(WAVELENGTH, np.array([2.0]), np.random.default_rng(0), scatter=0)[0]
    assert flux.mean() == pytest.approx(1)
    near = np.abs(WAVELENGTH - 4650) < 250
    values, place = flux[near], WAVELENGTH[near]
    centre, width, _ = QUASAR_LINES["CIV"]
    assert place[values.argmax()] == pytest.approx(3 * centre, abs=6)
    ends = np.polyfit(place[[0, -1]], values[[0, -1]], 1)
    assert np.sum(values / np.polyval(ends, place) - 1) / 3 == pytest.approx(width, rel=0.15)


def test_stars_are_observed_at_rest_and_called_galaxies(recipe) -> None:
    rng = np.random.default_rng(1)
    flux = np.ones((40, len(recipe.wavelength)))
    flux[:, np.abs(recipe.wavelength - 5000) < 10] = 3
    spectra = observed_at_rest(recipe, flux, rng, 50.0)
    assert len(set(spectra.redshift)) == 1
    assert spectra.redshift[0] > 0
    mean = np.where(spectra.good, spectra.flux, np.nan)
    peak = np.nanmedian(mean[:, np.abs(spectra.wavelength - 5000) < 5])
    assert peak == pytest.approx(3, rel=0.15)


def test_stars_with_gas_are_refused(tiny_library) -> None:
    with pytest.raises(SpectraError, match="emission=False"):
        observed_at_rest(SurveyRecipe(tiny_library), np.ones((1, 10)), np.random.default_rng(0), 10)


def test_noise_and_sky_have_the_errors_quoted(recipe) -> None:
    rng = np.random.default_rng(2)
    simulated = recipe.simulate(40, rng, 10.0)
    noise = without_signal(simulated)
    pull = (noise.flux * np.sqrt(noise.ivar))[noise.good]
    assert np.median(np.abs(pull)) / 0.6745 == pytest.approx(1, abs=0.03)
    assert abs(np.median(pull)) < 0.03
    sky = sky_residuals(simulated, rng, 30.0)
    difference = np.abs(sky.flux - noise.flux).mean(axis=0)
    far = np.abs(sky.wavelength - 5577.34) > 20
    assert difference[~far].max() > 5 * np.median(noise.sigma[noise.good])
    assert difference[(sky.wavelength > 5000) & (sky.wavelength < 5150)].max() < 1e-3 * difference.max()


def test_redshift_and_errors_change_as_asked(recipe) -> None:
    spectra = recipe.simulate(3, np.random.default_rng(3), 10.0).observed
    wrong = moved(spectra, np.array([0.0, 3000.0, -3000.0]))
    assert_allclose((1 + wrong.redshift) / (1 + spectra.redshift) - 1, np.array([0, 3000, -3000]) / SPEED_OF_LIGHT)
    double = rescaled_errors(spectra, 2.0)
    assert_array_equal(double.good, spectra.good)
    assert_allclose(double.sigma[double.good], 2 * spectra.sigma[spectra.good], rtol=1e-5)


def test_detection_rate_of_known_laws() -> None:
    rng = np.random.default_rng(4)
    galaxies = rng.random(20000)
    assert_allclose(detection_rate(galaxies, rng.random(20000), np.array([0.01, 0.1])), [0.01, 0.1], atol=0.01)
    assert detection_rate(galaxies, np.array([1e-9, np.nan, 0.5, 0.9])) == 0.5
