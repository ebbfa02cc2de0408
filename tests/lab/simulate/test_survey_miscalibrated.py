"""What the recipe `survey` adds to starlight: calibration errors, contamination, correlated noise."""

import dataclasses

import numpy as np
import pytest

from quietspec.lab.simulate import INSTRUMENTS, SurveyRecipe, SurveySwitches, get_recipe
from quietspec.lab.simulate.noise import correlated_noise, lag_correlations
from quietspec.wavelengths import EMISSION_LINES, rest_air

NOTHING = {field.name: False for field in dataclasses.fields(SurveySwitches)}
Z = 0.02


def only(library, *names, **options):
    """The recipe with only the ingredients named."""
    return SurveyRecipe(library, **(NOTHING | dict.fromkeys(names, True)), **options)


@pytest.fixture(scope="module")
def sami(tiny_library):
    return only(tiny_library, "calibration_error", instruments=["SAMI"])


def test_calibration_errors_are_smooth_factors_of_the_priors_size(sami):
    rest = sami.rest(200, np.random.default_rng(0))
    before = rest.flux.copy()
    found = sami.miscalibrated(rest, np.random.default_rng(1))
    np.testing.assert_array_equal(rest.flux, before)
    np.testing.assert_array_equal(found.wavelength, rest.wavelength)
    assert found.parameters is rest.parameters
    error = np.log(found.flux / rest.flux)
    assert found.flux.dtype == np.float32
    inner = (rest.wavelength > 3800) & (rest.wavelength < 7000)
    # Polynomials of RMS `calibration`, and a grey factor that scatters by half of it for each of two arms.
    assert error[:, inner].std() == pytest.approx(np.hypot(1, 0.5) * sami.prior.calibration, rel=0.15)
    step = np.abs(np.diff(error[:, rest.wavelength < 5500], axis=1)) / sami.prior.calibration
    assert step.max() < 0.1
    assert np.abs(np.corrcoef(error[:40])[np.triu_indices(40, 1)]).mean() < 0.5  # each spectrum has its own


def test_beyond_the_pixels_of_an_instrument_the_error_is_constant(tiny_library):
    recipe = only(tiny_library, "calibration_error", instruments=["MUSE"])
    rest = recipe.rest(30, np.random.default_rng(2))
    error = recipe.miscalibrated(rest, np.random.default_rng(3)).flux / rest.flux
    seen = INSTRUMENTS["MUSE"]
    outside = rest.wavelength < rest_air(seen.wavelength[:1], seen.redshift[1], seen.medium)[0]
    assert outside.any()
    np.testing.assert_allclose(error[:, outside], error[:, :1] * np.ones(outside.sum()), rtol=1e-5)
    assert np.ptp(error[:, ~outside], axis=1).min() > 1e-3


def test_without_calibration_error_nothing_changes(tiny_library):
    recipe = SurveyRecipe(tiny_library, calibration_error=False)
    rest = recipe.rest(5, np.random.default_rng(4))
    np.testing.assert_array_equal(recipe.miscalibrated(rest, np.random.default_rng(5)).flux, rest.flux)


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
