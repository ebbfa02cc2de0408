"""`WithErrors`: residuals of validation spectra, interpolated between the levels at which they were measured."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pydantic")

from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.lab.networks import EUTSettings, WithErrors, make_network

N_PIXELS = 24
SIZES = {"encoder": (4,), "last": 3, "n_blocks": 1, "n_heads": 2, "kernel": 3}
LEVELS = np.array([4.0, 6.0, 11.0, 20.0])
RESIDUAL = np.linspace(0.08, 0.01, 4)[:, None] * np.linspace(1, 2, N_PIXELS)


@pytest.fixture(scope="module")
def model() -> WithErrors:
    tables = (torch.tensor(values, dtype=torch.float32) for values in (LEVELS, RESIDUAL))
    return WithErrors(make_network(EUTSettings(**SIZES)), *tables).eval()


def errors(model, snr, factor=1.0):
    """Flux and error of spectra whose mean |flux| over mean σ is `snr`."""
    flux = np.random.default_rng(1).uniform(0.5, 1.5, (len(snr), N_PIXELS))
    flux /= np.abs(flux).mean(axis=1, keepdims=True)
    sigma = np.tile(1 / np.asarray(snr)[:, None], N_PIXELS) * np.linspace(0.5, 1.5, N_PIXELS)
    given = [torch.tensor(factor * values, dtype=torch.float32) for values in (flux[:, None], sigma)]
    with torch.no_grad():
        flux, error = model(*given)
    return flux.numpy() / factor, error.numpy() / factor


def expected(snr):
    return np.stack([np.interp(np.log(snr), np.log(LEVELS), column) for column in RESIDUAL.T], axis=1)


@given(snr=st.lists(st.floats(4, 20), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_errors_are_interpolated_in_the_logarithm_of_the_level(model, snr):
    np.testing.assert_allclose(errors(model, snr)[1], expected(snr), rtol=1e-4)


def test_errors_at_the_levels_are_the_measured_ones(model):
    np.testing.assert_allclose(errors(model, LEVELS)[1], RESIDUAL, rtol=1e-4)


@given(below=st.floats(1e-3, 4), above=st.floats(20, 1e4))
@settings(max_examples=10, deadline=None)
def test_errors_are_constant_beyond_the_levels(model, below, above):
    np.testing.assert_allclose(errors(model, [below, above])[1], RESIDUAL[[0, -1]], rtol=1e-4)


@given(exponent=st.floats(-17, 4))
@settings(max_examples=10, deadline=None)
def test_estimates_scale_with_the_flux(model, exponent):
    for one, other in zip(errors(model, [5, 13]), errors(model, [5, 13], 10**exponent), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


def test_a_network_with_variance_gives_its_own_errors():
    network = make_network(EUTSettings(**SIZES, log_variance=True)).eval()
    spectra = torch.rand(2, 1, N_PIXELS) + 0.5
    with torch.no_grad():
        flux, error = WithErrors(network)(spectra, torch.ones(2, N_PIXELS))
        mean, log_variance = network(spectra).unbind(1)
    torch.testing.assert_close(flux, mean)
    torch.testing.assert_close(error.square().log(), log_variance)


def test_a_network_without_variance_needs_residuals():
    network = make_network(EUTSettings(**SIZES))
    with pytest.raises(ValueError, match="needs the residuals of validation spectra"):
        WithErrors(network)
