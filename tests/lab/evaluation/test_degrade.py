"""Degraded real spectra: the S/N wanted, right variances, and scores of denoisers whose errors are known exactly."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from quietspec.denoised import ModelId
from quietspec.denoisers.base import finish
from quietspec.errors import SpectraError
from quietspec.lab.evaluation import degrade, score_degraded
from quietspec.spectra import Spectra

TRUTH = 2 + np.sin(np.arange(4000) / 100)


@pytest.fixture
def original() -> Spectra:
    rng = np.random.default_rng(0)
    sigma = rng.uniform(0.02, 0.06, (6, 4000))
    ivar = np.where(rng.random(sigma.shape) < 0.05, 0, sigma**-2)
    flux = np.where(ivar > 0, TRUTH + sigma * rng.standard_normal(sigma.shape), np.nan)
    return Spectra(wavelength=4000 + np.arange(4000), flux=flux, ivar=ivar, redshift=0.01, medium="air")


@pytest.mark.parametrize("snr", [5, 10, 20])
def test_snr_is_reached_and_errors_are_right(original, snr) -> None:
    degraded = degrade(original, snr, np.random.default_rng(1))
    good = original.good
    expected = np.median(np.where(good, original.flux, np.nan)[0][good[0]] / degraded.sigma[0][good[0]])
    assert expected == pytest.approx(snr, rel=1e-4)
    assert_array_equal(degraded.good, good)
    assert_array_equal(degraded.redshift, original.redshift)
    pull = ((degraded.flux - TRUTH) * np.sqrt(degraded.ivar))[good]
    assert np.std(pull) == pytest.approx(1, abs=0.02)
    added = 1 / degraded.ivar[good] - 1 / original.ivar[good]
    assert_allclose(added.reshape(-1)[: good[0].sum()], added[0], rtol=1e-6)


def test_noise_comes_from_rng_only(original) -> None:
    one, same, other = (degrade(original, 5, np.random.default_rng(seed)).flux for seed in (1, 1, 2))
    assert_array_equal(one, same)
    assert not np.array_equal(one[original.good], other[original.good])


def test_too_noisy_spectra_are_named(original) -> None:
    with pytest.raises(SpectraError, match=r"spectra \[0, 1, 2, 3, 4, 5\] of S/N"):
        degrade(original, 500, np.random.default_rng(1))


def test_perfect_denoiser_reaches_what_is_allowed(original) -> None:
    degraded = degrade(original, 5, np.random.default_rng(1))
    perfect = finish(degraded, np.tile(TRUTH, (6, 1)), np.full((6, 4000), 1e-6), model=ModelId("perfect"))
    scores = score_degraded(original, degraded, perfect)
    assert_allclose(scores.reduction, scores.allowed, atol=0.005)
    assert 0.85 < scores.allowed.mean() < 0.95
    assert scores.against_truth.mean() > 0.97
    assert_allclose(scores.scatter, 1, atol=0.04)


def test_doing_nothing_has_no_reduction(original) -> None:
    degraded = degrade(original, 5, np.random.default_rng(1))
    nothing = finish(degraded, degraded.flux, degraded.sigma, model=ModelId("nothing"))
    assert_allclose(score_degraded(original, degraded, nothing).reduction, 0, atol=1e-12)


def test_residual_against_truth_is_found_through_the_noise(original) -> None:
    degraded = degrade(original, 5, np.random.default_rng(1))
    wrong = TRUTH + 0.08 * np.random.default_rng(2).standard_normal((6, 4000))
    denoised = finish(degraded, wrong, np.full((6, 4000), 0.08), model=ModelId("wrong"))
    scores = score_degraded(original, degraded, denoised)
    counted = original.good
    truth = 1 - np.std((wrong - TRUTH)[counted]) / np.std((degraded.flux - TRUTH)[counted])
    assert scores.against_truth.mean() == pytest.approx(truth, abs=0.005)
    assert np.all(scores.reduction < scores.allowed)
    assert_allclose(scores.scatter, 1, atol=0.04)
