"""What the recipe `survey` adds to starlight: calibration errors, contamination, correlated noise."""

import dataclasses

import numpy as np
import pytest

from quietspec.denoisers.posterior.calibration import CalibrationLaw
from quietspec.lab.simulate import SurveyRecipe, SurveySwitches, get_recipe
from quietspec.lab.simulate.noise import correlated_noise, lag_correlations
from quietspec.lab.simulate.survey_prior import SurveyPrior
from quietspec.wavelengths import EMISSION_LINES, rest_air

NOTHING = {field.name: False for field in dataclasses.fields(SurveySwitches)}
Z = 0.02


def only(library, *names, **options):
    """The recipe with only the ingredients named."""
    return SurveyRecipe(library, **(NOTHING | dict.fromkeys(names, True)), **options)


@pytest.mark.parametrize(
    "law",
    [CalibrationLaw(), CalibrationLaw(0.0, 0.05, ()), CalibrationLaw(0.02, 0.0, ((200.0, 0.03),))],
    ids=["default", "grey", "waves"],
)
@pytest.mark.parametrize("instrument", ["SAMI", "MUSE"])
def test_calibration_errors_have_the_covariance_of_the_law(tiny_library, law, instrument):
    n, prior = 800, SurveyPrior(calibration=law)
    wrong, right = (
        only(tiny_library, *names, prior=prior).simulate(
            n, np.random.default_rng(0), 20.0, instrument=instrument, redshift=Z
        )
        for names in (("calibration_error",), ())
    )
    deviation = (wrong.truth / right.truth - 1)[:, ::40]
    knots = law.knots(wrong.observed.wavelength)
    expected = (knots.hats @ knots.covariance @ knots.hats.T)[::40, ::40]
    size = np.sqrt(np.diag(expected))
    scatter = np.sqrt((size[:, None] * size) ** 2 + expected**2) / np.sqrt(n)  # of a covariance estimated from n draws
    np.testing.assert_array_less(np.abs(deviation.T @ deviation / n - expected), 5.5 * scatter + 1e-9)
    np.testing.assert_array_less(np.abs(deviation.mean(axis=0)), 5.5 * size / np.sqrt(n) + 1e-6)


def test_the_default_law_is_that_of_denoisers():
    assert SurveyPrior().calibration == CalibrationLaw()


def test_no_calibration_error_makes_light_negative(tiny_library):
    wild = SurveyPrior(calibration=CalibrationLaw(smooth=2.0))
    found = only(tiny_library, "calibration_error", prior=wild).simulate(100, np.random.default_rng(1), 20.0)
    assert (found.truth > 0).all()


def test_the_recipe_at_rest_has_neither_motions_nor_calibration_errors(tiny_library):
    recipe = SurveyRecipe(tiny_library, dust=False, velocity_scale=100.0, instruments=["MUSE"])
    still = recipe.at_rest()
    rest = still.rest(20, np.random.default_rng(0))
    for name in ("velocity", "sigma", "h3", "h4", "a_v"):
        assert not rest.parameters[name].any()
    assert rest.wavelength[0] < tiny_library.wavelength[0] + 5
    assert rest.wavelength[-1] > tiny_library.wavelength[-1] - 5
    assert np.diff(np.log(rest.wavelength)).mean() == pytest.approx(np.diff(np.log(recipe.wavelength)).mean())
    assert (still.instruments, still.prior) == (recipe.instruments, recipe.prior)
    again = still.at_rest().rest(20, np.random.default_rng(0))
    np.testing.assert_array_equal(again.flux, rest.flux)


@pytest.mark.parametrize("instrument", ["SAMI", "SDSS"])
def test_noise_free_flux_is_the_truth_of_the_same_draws(tiny_library, instrument):
    recipe = get_recipe("survey", tiny_library)
    simulated = recipe.simulate(6, np.random.default_rng(6), 20.0, instrument=instrument, redshift=Z)
    made = recipe.noise_free(simulated.observed)(6, np.random.default_rng(6))
    np.testing.assert_allclose(made, simulated.truth, rtol=1e-6)


def test_noise_free_flux_of_the_paper_is_the_truth_of_the_same_draws(tiny_library):
    recipe = get_recipe("paper", tiny_library)
    simulated = recipe.simulate(4, np.random.default_rng(7), 20.0)
    made = recipe.noise_free(simulated.observed)(4, np.random.default_rng(7))
    np.testing.assert_array_equal(made, simulated.truth)


def test_gas_and_spikes_are_marked_where_they_were_added(tiny_library):
    for ingredient in ("emission", "spikes"):
        pair = [
            only(tiny_library, *names).simulate(60, np.random.default_rng(8), 30.0, instrument="SAMI", redshift=Z)
            for names in ((), (ingredient,))
        ]
        clean, spoilt = pair
        np.testing.assert_array_equal(clean.truth, spoilt.truth)
        assert not clean.contaminated.any()
        added = (spoilt.observed.flux - clean.observed.flux) / spoilt.observed.sigma
        assert spoilt.contaminated.any(axis=1).sum() > 15
        assert spoilt.contaminated[added > 0.06].all()
        assert not spoilt.contaminated[np.abs(added) < 0.04].any()
    rest = rest_air(spoilt.observed.wavelength, Z, spoilt.observed.medium)
    assert spoilt.contaminated.mean() < 0.01 < (np.abs(rest - 5006.84) < 40).mean()


def test_gas_is_marked_at_its_lines_only(tiny_library):
    recipe = only(tiny_library, "emission")
    found = recipe.simulate(60, np.random.default_rng(9), 30.0, instrument="SAMI", redshift=Z)
    rest = rest_air(found.observed.wavelength, Z, found.observed.medium)
    far = np.min([np.abs(rest - line) for line in EMISSION_LINES.values()], axis=0) > 60
    assert far.any()
    assert not found.contaminated[:, far].any()
    assert found.contaminated[:, np.abs(rest - EMISSION_LINES["Halpha"]).argmin()].mean() > 0.3


def test_slicing_selects_all_that_belongs_to_a_spectrum(tiny_library):
    for name, has_contamination in (("survey", True), ("paper", False)):
        whole = get_recipe(name, tiny_library).simulate(8, np.random.default_rng(10), 20.0)
        part = whole[2:5]
        assert len(part) == 3
        np.testing.assert_array_equal(part.observed.flux, whole.observed.flux[2:5])
        np.testing.assert_array_equal(part.truth, whole.truth[2:5])
        assert part.parameters.keys() == whole.parameters.keys()
        for parameter, values in whole.parameters.items():
            np.testing.assert_array_equal(part.parameters[parameter], values[2:5])
        assert (part.contaminated is not None) == has_contamination
        if has_contamination:
            np.testing.assert_array_equal(part.contaminated, whole.contaminated[2:5])


@pytest.mark.parametrize("correlation", [0.0, 0.1, 0.35, 0.5, 0.66])
def test_lag_correlations_are_those_of_the_noise(correlation):
    noise = correlated_noise((300, 2000), np.random.default_rng(11), correlation)
    measured = [np.mean(noise[:, lag:] * noise[:, :-lag]) for lag in (1, 2, 3)]
    np.testing.assert_allclose([*lag_correlations(correlation), 0.0], measured, atol=8e-3)


def test_the_stated_noise_correlation_is_that_of_the_noise(tiny_library):
    recipe = only(tiny_library, "noise_correlation")
    found = recipe.simulate(40, np.random.default_rng(12), 20.0, instrument="SAMI", redshift=Z)
    pull = (found.observed.flux - found.truth) / found.observed.sigma
    measured = (pull[:, 1:] * pull[:, :-1]).mean(axis=1)
    stated = found.parameters["noise_correlation"]
    assert np.std(measured - stated) < 0.03
    assert np.mean(measured - stated) == pytest.approx(0, abs=0.01)
    assert stated.std() > 0.05
