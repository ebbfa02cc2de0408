"""Scores against repeats: on pairs of known truth they give the true reduction, and pulls of 1 for a right model."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from quietspec.denoised import ModelId
from quietspec.denoisers.base import finish
from quietspec.lab.evaluation import (
    block_pulls,
    calibrated,
    noise_factor,
    pool_repeats,
    pull_scatter,
    repeat_pulls,
    rms_reduction,
    score_repeat,
)
from quietspec.spectra import Spectra

WAVELENGTH = np.concatenate([np.arange(4000.0, 5500), np.arange(6000.0, 7500)])  # two arms
VECTORS = np.cos(np.pi * np.linspace(0, 1, len(WAVELENGTH))[:, None] * np.arange(6))
SPREAD = 0.1  # of the coefficients


def a_pair(n=30, seed=0, level=0.2, misquoted=1.0, ratio=1.5):
    """Truths, halves (the second's noise `ratio` times the first's, both `misquoted` times the quoted), good pixels."""
    rng = np.random.default_rng(seed)
    truth = 2 + SPREAD * rng.standard_normal((n, 6)) @ VECTORS.T
    sigma = level * rng.uniform(0.5, 2, len(WAVELENGTH)) * np.array([[[1.0]], [[ratio]]]) * np.ones((2, n, 1))
    flux = truth + misquoted * sigma * rng.standard_normal(sigma.shape)
    ivar = np.where(rng.random(sigma.shape) < 0.05, 0, sigma**-2)
    first, second = (
        Spectra(wavelength=WAVELENGTH, flux=np.where(i > 0, f, np.nan), ivar=i, redshift=0.0, medium="air")
        for f, i in zip(flux, ivar, strict=True)
    )
    return truth, first, second, first.good & second.good


def right_model(noisy, misquoted=1.0):
    """The exact posterior of `a_pair`."""
    flux, factors = np.empty(noisy.flux.shape), []
    for row, (data, ivar) in enumerate(zip(noisy.flux, noisy.ivar / misquoted**2, strict=True)):
        covariance = np.linalg.inv(np.eye(6) / SPREAD**2 + (VECTORS.T * ivar) @ VECTORS)
        flux[row] = 2 + VECTORS @ covariance @ VECTORS.T @ (ivar * np.where(ivar > 0, data - 2, 0))
        factors.append(VECTORS @ np.linalg.cholesky(covariance))
    sigma = np.sqrt([np.sum(factor**2, axis=1) for factor in factors])
    return finish(noisy, flux, sigma, model=ModelId("right"), factor_of=factors.__getitem__)


def with_errors(spectra, factor):
    return replace(spectra, ivar=spectra.ivar / factor**2)


@pytest.mark.parametrize("error", [0.05, 0.1, 0.2])
def test_noise_corrected_reduction_is_the_true_one(error) -> None:
    truth, first, second, counted = a_pair(200)
    wrong = truth + error * np.random.default_rng(1).standard_normal(truth.shape)
    denoised = finish(first, wrong, np.full(wrong.shape, error), model=ModelId("wrong"))
    pooled = pool_repeats(score_repeat(denoised, second, counted), np.random.default_rng(2))
    weight = np.where(counted, 1 / (first.sigma**2 + second.sigma**2), 0)
    left, before = (np.sum(weight * np.where(counted, f - truth, 0) ** 2) for f in (wrong, first.flux))
    assert pooled.count == 200
    assert pooled.reduction_error < 0.02
    assert pooled.reduction == pytest.approx(1 - np.sqrt(left / before), abs=3 * pooled.reduction_error)


def test_with_equal_weights_it_is_the_paper_s_reduction() -> None:
    truth, first, second, counted = a_pair(100)
    first, second = (replace(half, ivar=np.where(half.good, 20.0, 0)) for half in (first, second))
    wrong = truth + 0.3 * np.random.default_rng(1).standard_normal(truth.shape)
    scores = score_repeat(finish(first, wrong, np.ones(wrong.shape), model=ModelId("wrong")), second, counted)
    expected = rms_reduction(truth, np.nan_to_num(first.flux), wrong, counted).mean()
    noise = (
        np.mean((np.where(counted, second.flux - truth, 0) ** 2).sum(axis=1) / counted.sum(axis=1)) * 10
    )  # in units of the joint variance
    exact = replace(scores, noise=np.full(100, noise))
    assert pool_repeats(exact, np.random.default_rng(0)).reduction == pytest.approx(expected, abs=0.01)


def test_perfect_and_idle_denoisers() -> None:
    truth, first, second, counted = a_pair(100)
    perfect = score_repeat(finish(first, truth, np.full(truth.shape, 1e-6), model=ModelId("perfect")), second, counted)
    idle = score_repeat(finish(first, first.flux, first.sigma, model=ModelId("idle")), second, counted)
    assert_allclose(idle.ratio, 1)
    assert_allclose(idle.reduction, 0, atol=1e-12)
    assert pool_repeats(perfect, np.random.default_rng(0)).reduction > 0.93
    assert_allclose(perfect.ratio, np.sqrt(1 + 1 / 1.5**2), rtol=0.1)


def test_fitted_numbers_are_paid_for() -> None:
    """A calibration fitted to the noisy half hides the broad noise that an estimate kept; that much is added back."""
    truth, first, second, counted = a_pair(100, ratio=0.5)
    terms = 10  # in each arm
    kept = calibrated(first, replace(first, flux=truth), counted, terms).flux  # truth with that much of the noise
    denoised = finish(first, kept, np.full(truth.shape, 0.1), model=ModelId("broad noise kept"))
    scores = score_repeat(denoised, calibrated(first, second, counted, terms), counted, 2 * terms)
    variance = np.mean(scores.before - scores.noise)
    hidden = variance * 2 * terms / counted.sum(axis=1).mean()  # the mean square of that many fitted numbers
    assert np.mean(scores.after - scores.noise) < hidden / 3
    assert np.mean(scores.after - scores.noise + scores.spent) == pytest.approx(hidden, rel=0.4)


@pytest.mark.parametrize("misquoted", [0.5, 1.0, 2.0])
def test_right_model_has_pulls_of_one(misquoted) -> None:
    _, first, second, counted = a_pair(50, misquoted=misquoted)
    factor = noise_factor(first, second, counted)
    assert_allclose(np.mean(factor[counted]), misquoted, rtol=0.01)
    assert_allclose(factor[counted], misquoted, rtol=0.35)
    target = with_errors(second, factor)
    denoised = right_model(first, misquoted)
    pixel = pull_scatter(repeat_pulls(denoised, target, counted).reshape(1, -1))
    wavelength, pulls = block_pulls(denoised, target, counted)
    assert pulls.shape == (50, 100)
    assert wavelength[0] == pytest.approx(4014.5)
    assert_allclose(np.ravel([pixel, pull_scatter(pulls.reshape(1, -1))]), 1, atol=0.05)


def test_blocks_see_broad_errors_that_pixels_do_not() -> None:
    _, first, second, counted = a_pair(40)
    denoised = right_model(first)
    broad = 0.1 * np.sin(WAVELENGTH / 200)
    biased = replace(denoised, flux=denoised.flux + broad)
    pixel = pull_scatter(repeat_pulls(biased, second, counted).reshape(1, -1))[1].item()
    block = pull_scatter(block_pulls(biased, second, counted)[1].reshape(1, -1))[1].item()
    assert pixel < 1.1
    assert block > 1.2


def test_correlated_noise_is_seen_in_blocks() -> None:
    truth, first, second, counted = a_pair(50)
    rng = np.random.default_rng(5)
    halves = []
    for half in (first, second):
        white = rng.standard_normal(truth.shape)
        noise = (white + np.roll(white, 1, axis=1)) / np.sqrt(2)  # ρ₁ = ½: twice the variance in broad features
        halves.append(replace(half, flux=truth + np.where(half.good, noise / np.sqrt(half.ivar + ~half.good), 0)))
    idle = finish(halves[0], halves[0].flux, np.where(halves[0].good, halves[0].sigma, 1), model=ModelId("idle"))
    assert_allclose(np.mean(noise_factor(*halves, counted)[counted]), 1, rtol=0.02)
    scatter = pull_scatter(block_pulls(idle, halves[1], counted)[1])[0]
    assert np.median(scatter) == pytest.approx(np.sqrt(2), abs=0.1)
    perfect = finish(halves[0], truth, np.full(truth.shape, 1e-6), model=ModelId("perfect"))
    pulls = block_pulls(perfect, halves[1], counted, correlation=scatter)[1]
    assert_allclose(pull_scatter(pulls.reshape(1, -1)), 1, atol=0.07)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.1, 10), st.floats(-0.2, 0.2))
def test_calibration_is_recovered_without_bias_from_noise(scale, slope) -> None:
    _, first, second, counted = a_pair(40, level=1.0)
    ratio = scale * (1 + slope * np.linspace(-1, 1, len(WAVELENGTH)))
    other = replace(second, flux=second.flux / ratio, ivar=second.ivar * ratio**2)
    matched = calibrated(first, other, counted, 2)
    recovered = np.nanmedian(np.where(counted, matched.flux / other.flux, np.nan), axis=0)
    assert_allclose(recovered / ratio, 1, atol=0.06)
    assert_allclose(matched.sigma[counted], second.sigma[counted], rtol=0.5)


def test_spectra_without_pixels_are_left_out() -> None:
    truth, first, second, counted = a_pair(5)
    counted[2] = False
    denoised = finish(first, truth, np.full(truth.shape, 0.1), model=ModelId("one"))
    scores = score_repeat(denoised, second, counted)
    assert np.isnan(scores.ratio[2])
    assert pool_repeats(scores, np.random.default_rng(0)).count == 4
    assert np.isnan(pull_scatter(repeat_pulls(denoised, second, counted))[0][2])
    nothing = score_repeat(denoised, second, np.zeros_like(counted))
    assert np.isnan(pool_repeats(nothing, np.random.default_rng(0)).ratio)
