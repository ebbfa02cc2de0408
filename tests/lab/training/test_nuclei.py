"""Priors that know active nuclei: components of their own, their share as a label, host and nucleus told apart."""

import numpy as np
import pytest

from quietspec.denoisers import SpectralPrior, posterior_of
from quietspec.errors import ModelError, SpectraError
from quietspec.lab.simulate import SurveyRecipe, WideRecipe
from quietspec.lab.simulate.nucleus import NucleusPrior
from quietspec.lab.simulate.survey_prior import SurveyPrior
from quietspec.lab.training import MixtureSettings, PriorSettings, relabelled_prior, train_prior
from quietspec.wavelengths import in_window, rest_air

IRON = {"b4F": np.array([[4549.5, 1.0], [4583.8, 1.3]])}
OPTIONS = {"limits": (3600.0, 7330.0), "velocity_scale": 150.0, "prior": SurveyPrior()}
SETTINGS = PriorSettings(
    n_components=6, n_nucleus=4, n_mixture_nuclei=4, mixture=MixtureSettings(n_mixture=4, max_iter=6, start=300)
)


@pytest.fixture(scope="module")
def recipe(tiny_library):
    return WideRecipe(tiny_library, iron=IRON, nuclei=NucleusPrior(fraction=0.5, hidden=0.0), **OPTIONS)


@pytest.fixture(scope="module")
def prior(recipe):
    return train_prior(recipe, 3000, 1, SETTINGS)


@pytest.fixture(scope="module")
def observed(recipe):
    return recipe.simulate(60, np.random.default_rng(8), 30.0, instrument="SDSS", redshift=0.03)


@pytest.fixture(scope="module")
def denoised(prior, observed):
    return posterior_of("posterior", prior).denoise(observed.observed)


def test_nuclei_have_components_of_their_own(prior):
    assert prior.n_components == 10
    assert prior.n_nucleus == 4
    assert "nucleus" in prior.label_names
    active = np.abs(prior.means[:, -4:]).max(axis=1) > 0
    assert 0.3 < prior.weights[active].sum() < 0.7
    assert abs(prior.labels[~active, prior.label_names.index("nucleus")]).max() < 1e-6


def test_such_a_prior_is_stored_without_loss(prior, tmp_path):
    prior.save(tmp_path / "prior.npz")
    again = SpectralPrior.load(tmp_path / "prior.npz")
    assert again.n_nucleus == 4
    np.testing.assert_allclose(again.covariances, prior.covariances, rtol=1e-12)
    assert again.hash == prior.hash


def test_the_share_of_a_nucleus_is_recovered(denoised, observed):
    mean, sigma = denoised.parameters["nucleus"]
    truth = observed.parameters["nucleus"]
    assert np.corrcoef(mean, truth)[0, 1] > 0.9
    assert np.mean(np.abs(mean - truth) < 2 * np.maximum(sigma, 0.02)) > 0.75


def test_host_and_nucleus_add_up_and_are_told_apart(denoised, observed):
    host, host_error = denoised.component("host")
    nucleus, error = denoised.component("nucleus")
    known = denoised.valid
    np.testing.assert_allclose((host + nucleus)[known], denoised.flux[known], rtol=1e-4, atol=1e-5)
    assert np.all(error[known] > 0)
    assert np.all(host_error[known] > 0)
    at_5000 = in_window(rest_air(observed.observed.wavelength, 0.03, "vacuum"), (4980.0, 5020.0))
    share = nucleus[:, at_5000].mean(axis=1) / denoised.flux[:, at_5000].mean(axis=1)
    truth = observed.parameters["nucleus"]
    assert np.corrcoef(share, truth)[0, 1] > 0.8  # black bodies as stars are easily taken for power laws
    assert abs(np.mean(share - truth)) < 0.05


def test_components_follow_a_selection(denoised):
    nucleus, error = denoised.component("nucleus")
    some, some_error = denoised[5:8].component("nucleus")
    np.testing.assert_array_equal(some, nucleus[5:8])
    np.testing.assert_array_equal(some_error, error[5:8])


def test_an_unknown_component_is_refused(denoised, prior, observed):
    with pytest.raises(SpectraError, match="host and nucleus"):
        denoised.component("disc")
    plain = posterior_of("pca", prior).denoise(observed.observed[:1])
    assert plain.nucleus_of is not None


def test_its_labels_cannot_be_fitted_again(prior, recipe):
    with pytest.raises(ModelError, match="train it again"):
        relabelled_prior(prior, recipe, 100, 1)


def test_components_of_nuclei_need_nuclei(tiny_library):
    with pytest.raises(ModelError, match="no nuclei"):
        train_prior(SurveyRecipe(tiny_library, velocity_scale=150.0), 500, 1, SETTINGS)
