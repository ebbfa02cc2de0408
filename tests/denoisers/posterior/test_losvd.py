"""Bases under a velocity distribution: equal to direct convolution, with right derivatives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.denoisers.posterior.losvd import BroadeningTable, LosvdBasis, dispersion, log_width
from quietspec.errors import ModelError
from quietspec.lab.simulate.kinematics import FourierLibrary, Losvd
from quietspec.resampling import Resampler
from quietspec.wavelengths import FWHM_PER_SIGMA

from ..conftest import small_prior
from .rest_frame import rest_prior

REST = np.arange(4200.0, 6400.0, 1.1)


def directly(prior, velocity, sigma, h3=0.0, h4=0.0, fwhm=None):
    """The prior's vectors by convolution in Fourier space and the resampler."""
    basis = np.vstack([prior.mean, prior.components])
    step = float(np.diff(np.log(prior.wavelength)).mean() * 299792.458)
    motions = Losvd(*(np.full(len(basis), float(value)) for value in (velocity, sigma, h3, h4)))
    moved = FourierLibrary(basis, step).mix(np.eye(len(basis)), motions)
    smoothing = 0.0
    if fwhm is not None:
        own = np.interp(REST, prior.wavelength, prior.fwhm)
        smoothing = np.sqrt(np.clip(fwhm**2 - own**2, 0, None)) / FWHM_PER_SIGMA
    return Resampler(prior.wavelength, REST, smoothing)(moved.astype(np.float64)).T


@pytest.fixture(scope="module")
def prior():
    return rest_prior()


@pytest.fixture(scope="module")
def basis(prior):
    return LosvdBasis(BroadeningTable(prior), REST)


@settings(max_examples=15, deadline=None)
@given(velocity=st.floats(-700, 700), sigma=st.floats(40, 450))
def test_vectors_are_those_of_direct_convolution(prior, basis, velocity, sigma):
    expected = directly(prior, velocity, sigma)
    np.testing.assert_allclose(
        basis.at(velocity, float(log_width(sigma))), expected, atol=2e-3 * np.abs(expected).max()
    )


def test_line_spread_of_the_instrument_is_one_more_broadening(prior):
    fwhm = np.linspace(3.0, 6.0, len(REST))
    basis = LosvdBasis(BroadeningTable(prior), REST, fwhm)
    expected = directly(prior, 150.0, 120.0, fwhm=fwhm)
    np.testing.assert_allclose(basis.at(150.0, float(log_width(120.0))), expected, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize(("velocity", "sigma"), [(0.0, 60.0), (-240.0, 130.0), (80.0, 350.0)])
def test_derivatives_are_those_of_finite_differences(prior, basis, velocity, sigma):
    shape = np.concatenate([[1.0], prior.means[0]])
    width = float(log_width(sigma))
    found = basis.linearise(velocity, width, shape)

    def flux(v, u):
        return basis.at(v, u).astype(np.float64) @ shape

    by_velocity = (flux(velocity + 4, width) - flux(velocity - 4, width)) / 8
    by_width = (flux(velocity, width + 0.02) - flux(velocity, width - 0.02)) / 0.04
    np.testing.assert_allclose(found.vectors @ shape, flux(velocity, width), rtol=1e-5)
    np.testing.assert_allclose(found.with_velocity, by_velocity, atol=0.01 * np.abs(by_velocity).max())
    np.testing.assert_allclose(found.with_width, by_width, atol=0.01 * np.abs(by_width).max())


@pytest.mark.parametrize("which", [0, 1])
def test_responses_to_higher_moments_are_those_of_finite_differences(prior, basis, which):
    shape = np.concatenate([[1.0], prior.means[0]])
    moments = np.eye(2)[which] * 0.02
    difference = directly(prior, 50.0, 200.0, *moments) - directly(prior, 50.0, 200.0, *-moments)
    added = np.array([0.0, 12 / np.sqrt(384)])[which]  # light, by h4 in the usual definition; here the area stays
    expected = difference @ shape / 0.04 - added * directly(prior, 50.0, 200.0) @ shape
    found = basis.linearise(50.0, float(log_width(200.0)), shape).with_shape[:, which]
    np.testing.assert_allclose(found, expected, atol=0.03 * np.abs(expected).max())


@pytest.mark.parametrize("sigma", [40.0, 120.0, 300.0])
def test_higher_moments_neither_add_nor_take_light(prior, basis, sigma):
    found = basis.linearise(0.0, float(log_width(sigma)), np.concatenate([[1.0], prior.means[0]]))
    assert (np.abs(found.with_shape.mean(axis=0)) < 0.01 * found.spectrum.mean()).all()


def test_combinations_of_vectors(basis):
    transform = np.random.default_rng(0).normal(size=(basis.size, 2))
    width = float(log_width(90.0))
    np.testing.assert_allclose(basis.combined(transform).at(30.0, width), basis.at(30.0, width) @ transform, atol=1e-4)


def test_width_and_dispersion_are_inverse():
    sigma = np.array([0.0, 10.0, 60.0, 300.0])
    np.testing.assert_allclose(dispersion(log_width(sigma)), sigma, atol=1e-5)
    assert dispersion(log_width(0.0) - 1) == 0


def test_uneven_wavelengths_are_refused():
    with pytest.raises(ModelError, match="not even in ln"):
        BroadeningTable(small_prior())
