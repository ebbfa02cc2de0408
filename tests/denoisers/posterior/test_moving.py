"""Draws from a prior at rest as galaxies show them, and the basis of principal components made of them."""

import numpy as np
import pytest

from quietspec.denoisers import KinematicPosterior, Posterior, PrincipalComponents, posterior_of
from quietspec.denoisers.posterior.moving import drawn_spectra, with_usual_motions

from ..conftest import small_prior
from .rest_frame import rest_prior
from .test_kinematic_denoiser import moving


def roughness(flux):
    """Mean square of second differences: what narrow lines have."""
    return float(np.mean(np.diff(flux, 2, axis=1) ** 2))


def test_draws_of_a_prior_at_rest_are_broadened():
    prior = rest_prior()
    unbroadened = prior.mean + prior.means @ prior.components
    assert roughness(drawn_spectra(prior, 50, np.random.default_rng(0))) < 0.7 * roughness(unbroadened)


def test_draws_of_another_prior_have_its_mean_and_variance():
    prior = small_prior()
    flux = drawn_spectra(prior, 4000, np.random.default_rng(1))
    whole = prior.collapsed()
    expected = whole.mean + whole.means[0] @ whole.components
    variance = np.einsum("ip,ij,jp->p", whole.components, whole.covariances[0], whole.components)
    np.testing.assert_allclose(flux.mean(axis=0), expected, atol=5 * np.sqrt(variance.max() / 4000))
    np.testing.assert_allclose(flux.var(axis=0), variance, rtol=0.15, atol=1e-5)


def test_principal_components_account_for_motions():
    spectra, truth, *_ = moving(20, 30, np.random.default_rng(2))
    found = PrincipalComponents("pca", rest_prior(), 12, emission="none", noise="quoted").denoise(spectra)
    left = np.sqrt(np.nanmean((found.flux - truth) ** 2))
    assert left < 0.6 / 30
    assert found.model.hash == rest_prior().hash


def test_the_basis_of_usual_motions_is_no_longer_at_rest():
    broadened = with_usual_motions(rest_prior())
    assert not broadened.at_rest
    assert broadened.truncation.max() < 0.02
    assert np.diagonal(broadened.covariances[0]) == pytest.approx(np.sort(np.diagonal(broadened.covariances[0]))[::-1])


def test_each_kind_of_prior_has_its_posterior():
    assert isinstance(posterior_of("posterior", rest_prior()), KinematicPosterior)
    assert isinstance(posterior_of("wiener", rest_prior().collapsed()), KinematicPosterior)
    assert isinstance(posterior_of("posterior", small_prior()), Posterior)
