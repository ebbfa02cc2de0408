"""Priors of the recipe `survey`: stars and dust at rest, for the posterior that has motions as parameters."""

import numpy as np
import pytest

from quietspec.denoisers import load_prior
from quietspec.denoisers.posterior.kinematics import KinematicCoordinates
from quietspec.errors import ModelError
from quietspec.lab.simulate import SurveyRecipe
from quietspec.lab.training import MixtureSettings, PriorSettings, relabelled_prior, train_prior, training_spectra

LABELS = {"log_age_mw", "mh_mw", "log_age_lw", "mh_lw", "log_t50", "log_t90", "log_ml_v", "a_v"}
SETTINGS = PriorSettings(n_components=6, mixture=MixtureSettings(n_mixture=3, max_iter=3, start=300))


@pytest.fixture(scope="module")
def recipe(tiny_library):
    return SurveyRecipe(tiny_library, velocity_scale=150.0)


@pytest.fixture(scope="module")
def trained(recipe):
    lines = []
    return train_prior(recipe, 1500, 1, SETTINGS, progress=lines.append), lines


def test_training_spectra_are_at_rest_over_the_whole_library(recipe, tiny_library):
    rest = training_spectra(recipe, 30, 1)
    np.testing.assert_array_equal(rest.wavelength, recipe.at_rest().wavelength)
    assert rest.wavelength[0] < tiny_library.wavelength[0] + 5
    assert {name for name, values in rest.parameters.items() if np.ptp(values) > 0} == LABELS


def test_the_trained_prior_serves_the_posterior_of_motions(trained, tiny_library):
    prior, lines = trained
    assert set(prior.label_names) == LABELS
    np.testing.assert_allclose(prior.fwhm, tiny_library.fwhm[0])
    assert lines[0].startswith("1500 of 1500 training spectra of ")
    assert any(line.startswith("EM round 1: held-out log likelihood") for line in lines)
    coordinates = KinematicCoordinates(prior)
    assert coordinates.size == prior.n_components + 3
    assert coordinates.mixture.mean.shape == (prior.n_mixture, coordinates.size)


def test_the_card_says_that_kinematics_are_explicit(trained):
    card = trained[0].card
    expected = {"recipe": "survey", "library": "tiny", "n": 1500, "seed": 1, "settings": SETTINGS.model_dump()}
    assert 2 <= card["pca_components"] <= 12
    expected |= {"emission": "auto", "noise": "measured", "pca_components": card["pca_components"]}
    assert card == expected | {"kinematics": "explicit"}


def test_the_shipped_prior_is_one_of_them():
    prior = load_prior("survey")
    assert set(prior.label_names) == LABELS | {"nucleus"}
    assert prior.card["kinematics"] == "explicit"
    assert "kinematics" not in load_prior("paper").card


def test_labels_can_be_fitted_again(trained, recipe):
    prior, _ = trained
    again = relabelled_prior(prior, recipe, 1500, 1)
    assert again.label_names == prior.label_names
    assert again.card == prior.card
    np.testing.assert_array_equal(again.components, prior.components)
    np.testing.assert_allclose(again.collapsed().labels, prior.collapsed().labels, atol=0.05)


def test_labels_cannot_be_fitted_to_spectra_on_other_pixels(trained, tiny_library):
    prior, _ = trained
    with pytest.raises(ModelError, match="take the library it was trained on"):
        relabelled_prior(prior, SurveyRecipe(tiny_library, velocity_scale=200.0), 1500, 1)
