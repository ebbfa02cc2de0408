"""Noise as the channels show it, and the broad lines of active nuclei."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quietspec.denoisers import Posterior
from quietspec.denoisers.posterior.contamination import TRACERS, channel_noise, measure_gas, noise_scale
from quietspec.lab.simulate.noise import correlated_noise, lag_correlations
from quietspec.wavelengths import EMISSION_LINES, SPEED_OF_LIGHT, STRONG_LINES

from ..conftest import draw, small_prior

REST = np.arange(3700.0, 7400.0, 1.0)
FWHM = np.full(REST.shape, 2.5)


def noisy(correlation, scale=1.0, shape=(100, 2000), seed=0):
    """Residuals of quoted errors that vary from pixel to pixel and are wrong by `scale`; some pixels masked."""
    rng = np.random.default_rng(seed)
    sigma = rng.uniform(0.5, 2.0, shape)
    weight = np.where(rng.random(shape) < 0.1, 0.0, sigma**-2)
    return scale * sigma * correlated_noise(shape, rng, correlation), weight


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
def test_scale_and_correlation_are_recovered(correlation, scale):
    found = channel_noise(*noisy(correlation, scale))
    assert found.scale == pytest.approx(scale, rel=0.03)
    np.testing.assert_allclose(found.correlation, [*lag_correlations(correlation), 0.0], atol=0.03)


def test_outliers_misfits_and_masked_pixels_hardly_count():
    residual, weight = noisy(0.3)
    rng = np.random.default_rng(1)
    residual[rng.random(residual.shape) < 0.005] += 50
    residual[weight == 0] = np.nan
    slow = 2 * np.sin(np.arange(residual.shape[1]) / 100)
    found = channel_noise(residual + slow / np.sqrt(np.where(weight > 0, weight, 1.0)), weight)
    assert found.scale == pytest.approx(1, rel=0.03)
    np.testing.assert_allclose(found.correlation, [*lag_correlations(0.3), 0.0], atol=0.03)


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(1e-18, 1e18))
def test_units_of_flux_do_not_matter(factor):
    residual, weight = noisy(0.2, shape=(3, 300))
    one, other = channel_noise(residual, weight), channel_noise(residual * factor, weight / factor**2)
    assert other.scale == pytest.approx(one.scale, rel=1e-6)
    np.testing.assert_allclose(other.correlation, one.correlation, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("shape", [(2, 300), (1, 5)])
def test_without_data_there_is_nothing_to_tell(shape):
    found = channel_noise(np.zeros(shape), np.zeros(shape))
    assert np.isnan(found.scale)
    assert np.isnan(found.correlation).all()


def lines(rest, sigma, height, names, velocity=0.0, fwhm=2.5):
    centres = np.array([EMISSION_LINES[name] for name in names]) * (1 + velocity / SPEED_OF_LIGHT)
    width = np.hypot(sigma * centres / SPEED_OF_LIGHT, fwhm / 2.3548)
    return height * np.exp(-0.5 * ((rest[:, None] - centres) / width) ** 2).sum(axis=1)


def measured(signal, snr=20.0, n=10, seed=2):
    noise = np.random.default_rng(seed).normal(size=(n, len(REST))) / snr
    return measure_gas(noise + signal, np.full(noise.shape, snr**2), np.ones_like(noise), REST, FWHM)


def test_broad_balmer_lines_are_found():
    found = measured(lines(REST, 1000.0, 0.5, ["Hbeta", "Halpha"]))
    assert found.detected.all()
    assert np.isin(found.broad, [900.0, 1500.0]).all()


def test_broad_lines_under_narrow_ones_are_found():
    broad = lines(REST, 1000.0, 1.0, ["Halpha"])
    found = measured(broad + lines(REST, 100.0, 0.3, STRONG_LINES))
    assert (found.broad >= 500).all()


@pytest.mark.parametrize("names", [["Halpha"], ["Hbeta", "Halpha"]])
@pytest.mark.parametrize("sigma", [700.0, 1500.0])
@pytest.mark.parametrize("height", [0.5, 2.0])
def test_broad_lines_of_many_widths_and_heights_are_found(names, sigma, height):
    assert (measured(lines(REST, sigma, height, names)).broad >= 500).all()


@settings(max_examples=25, deadline=None)
@given(
    sigma=st.floats(30.0, 250.0),
    velocity=st.floats(-300.0, 300.0),
    height=st.floats(0.05, 20.0),
    names=st.lists(st.sampled_from(STRONG_LINES), min_size=1, max_size=8, unique=True),
)
@example(sigma=146.0, velocity=0.0, height=1.0, names=["[OII]3726", "[NII]6548", "Halpha", "[NII]6583"])
@example(sigma=216.6, velocity=-145.1, height=0.22, names=["Halpha", "Hbeta", "[NII]6583"])
@example(sigma=246.7, velocity=123.8, height=0.164, names=["Halpha", "[OIII]5007", "[NII]6548", "[SII]6716"])
def test_narrow_lines_are_not_called_broad(sigma, velocity, height, names):
    assert not measured(lines(REST, sigma, height, names, velocity), n=3).broad.any()


def test_noise_and_weak_misfits_are_not_called_broad():
    assert not measured(np.zeros(len(REST)), n=50).broad.any()
    assert not measured(lines(REST, 1000.0, 0.05, ["Halpha"]), snr=300.0).broad.any()


def test_broad_lines_are_masked_and_do_not_become_continuum():
    prior = small_prior()
    clean, truth, *_ = draw(prior, 10, 40, np.random.default_rng(3))
    added = lines(prior.wavelength, 1000.0, 1.0, ["Hbeta", "Halpha"], fwhm=5.0)
    tool = Posterior("posterior", prior, emission="auto")
    found = tool.denoise(replace(clean, flux=clean.flux + added))
    assert found.ignored[:, added > 0.05].all()
    assert np.abs(found.flux - truth).max() < 0.06
    quiet = tool.denoise(replace(clean, flux=clean.flux + lines(prior.wavelength, 100.0, 1.0, TRACERS, fwhm=5.0)))
    assert quiet.ignored.mean() < 0.55 * found.ignored.mean()


@pytest.mark.parametrize("n_pixels", [800, 3000])
def test_the_noise_scale_has_the_error_that_is_stated(n_pixels):
    white = np.random.default_rng(8).normal(size=(2000, n_pixels))
    found = noise_scale(white, np.ones_like(white), np.zeros(2000))
    assert found.mean() == pytest.approx(1, abs=0.01)
    assert found.std() == pytest.approx(np.sqrt(3.5 / n_pixels), rel=0.07)
