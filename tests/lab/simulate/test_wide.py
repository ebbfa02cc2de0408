"""The recipe `wide`: several libraries, nuclei, and the same observations as `survey`."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.lab.simulate import INSTRUMENTS, WideRecipe
from quietspec.lab.simulate.survey_prior import SurveyPrior
from quietspec.wavelengths import SNR_WINDOW, in_window

IRON = {"b4F": np.array([[4549.5, 1.0], [4583.8, 1.3]])}
OPTIONS = {"limits": (3600.0, 7350.0), "velocity_scale": 150.0, "prior": SurveyPrior()}


@pytest.fixture(scope="module")
def recipe(tiny_library):
    other = replace(tiny_library, name="bluer", spectra=tiny_library.spectra * (tiny_library.wavelength / 5000) ** -2.0)
    return WideRecipe(tiny_library, {"bluer": (other, 0.4)}, IRON, **OPTIONS)


def test_galaxies_are_of_all_libraries_in_their_shares(recipe):
    rest = recipe.rest(400, np.random.default_rng(1))
    assert rest.flux.shape == (400, len(recipe.wavelength))
    np.testing.assert_allclose(rest.flux[:, in_window(rest.wavelength, SNR_WINDOW)].mean(axis=1), 1, rtol=1e-4)
    assert recipe.libraries == "tiny, bluer"
    assert set(rest.parameters) >= {"nucleus", "log_age_mw", "a_v", "velocity"}


def test_nuclei_are_part_of_the_flux(recipe):
    rest = recipe.rest(300, np.random.default_rng(2))
    stars = rest.flux - rest.nucleus
    assert stars.min() > 0
    assert 0.08 < np.mean(rest.nucleus.any(axis=1)) < 0.24
    seen = rest.parameters["nucleus"] > 0
    assert rest.nucleus[seen].any(axis=1).all()
    assert rest.nucleus[~seen].any(axis=1).sum() <= 2  # lines alone may leave 5000 Å free


def test_without_iron_lines_there_are_no_nuclei(tiny_library):
    rest = WideRecipe(tiny_library, **OPTIONS).rest(20, np.random.default_rng(3))
    assert rest.nucleus is None
    assert "nucleus" not in rest.parameters


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_every_instrument_observes_it(recipe, instrument):
    made = recipe.simulate(6, np.random.default_rng(4), 20.0, instrument=instrument)
    assert made.observed.meta["instrument"] == instrument
    known = np.isfinite(made.truth) & made.observed.good & ~made.contaminated
    pulls = ((made.observed.flux - made.truth) / made.observed.sigma)[known]
    assert abs(pulls.std() - 1) < 0.1


def test_at_rest_it_keeps_libraries_and_nuclei(recipe):
    still = recipe.at_rest()
    rest = still.rest(200, np.random.default_rng(5))
    np.testing.assert_allclose(still.wavelength[[0, -1]], recipe.wavelength[[0, -1]], rtol=1e-3)
    assert still.libraries == recipe.libraries
    assert not np.any(rest.parameters["sigma"])
    assert np.any(rest.parameters["nucleus"] > 0.1)


def test_mixed_galaxies_lie_on_a_wandering_way_between_two_libraries(tiny_library):
    slope = -2.0
    other = replace(
        tiny_library, name="bluer", spectra=tiny_library.spectra * (tiny_library.wavelength / 5000) ** slope
    )
    still = WideRecipe(tiny_library, {"bluer": (other, 0.4)}, mixed=1.0, **OPTIONS).at_rest()
    for pair, sign in (((0, 1), 1), ((1, 0), -1)):
        seed = np.random.default_rng(6).integers(2**63)
        one = still._stars(pair[0], 200, np.random.default_rng(seed))
        mixed = still._mixture(*pair, 200, np.random.default_rng(6))
        np.testing.assert_allclose(mixed.flux[:, in_window(mixed.wavelength, SNR_WINDOW)].mean(axis=1), 1, rtol=1e-4)
        np.testing.assert_array_equal(mixed.parameters["log_age_mw"], one.parameters["log_age_mw"])
        change = np.log(mixed.flux / one.flux)
        # The way is a half on average, scatters by 0.57, and differs between the ends of a spectrum.
        span = np.log(still.wavelength[-1] / still.wavelength[0])
        ends = (change[:, -1] - change[:, 0]) / (sign * slope * span)
        assert ends.mean() == pytest.approx(0.5, abs=0.2)
        assert 0.4 < ends.std() < 1.6
        assert np.abs(np.diff(change, n=2, axis=1)).max() < 0.05


def test_the_share_of_mixed_galaxies_is_as_asked(tiny_library):
    far = replace(tiny_library, name="far", spectra=tiny_library.spectra * (1 + 0.2 * (tiny_library.wavelength > 5500)))
    for share in (0.0, 0.3):
        recipe = WideRecipe(tiny_library, {"far": (far, 0.4)}, mixed=share, **OPTIONS)
        still = recipe.at_rest()
        assert still._mixed == share
        assert len(still.rest(90, np.random.default_rng(7))) == 90
    assert WideRecipe(tiny_library, mixed=0.3, **OPTIONS)._mixed == 0
