"""The benchmark on real spectra: add noise to spectra of high S/N, denoise them, and compare with the originals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from quietspec.arrays import BySpectrum
from quietspec.errors import SpectraError
from quietspec.lab.evaluation.scores import reduced_chi2, rms

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray
    from quietspec.denoised import Denoised
    from quietspec.spectra import Spectra

__all__ = ["DegradedScores", "degrade", "score_degraded"]


def degrade(spectra: Spectra, snr: float, rng: np.random.Generator) -> Spectra:
    """Add white Gaussian noise until the median S/N over the good pixels is the one given.

    Parameters
    ----------
    spectra : Spectra
        Spectra of higher median S/N than `snr`.
    snr : float
        Median S/N wanted.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    Spectra
        The same spectra with noise of one variance per spectrum added to their fluxes and variances.

    Raises
    ------
    SpectraError
        If a spectrum has no higher S/N than `snr`.
    """
    before = spectra.snr
    if not snr > 0 or not np.all(before > snr):
        low = np.flatnonzero(~(before > snr))
        raise SpectraError(
            f"degrade: cannot bring spectra {low.tolist()} of S/N {np.round(before[low], 1).tolist()} down to {snr}; "
            "leave them out."
        )
    with np.errstate(divide="ignore"):
        variance = 1 / spectra.ivar.astype(np.float64)
    added = np.array([_added_variance(f, v, snr) for f, v in zip(spectra.flux, variance, strict=True)])[:, None]
    noise = np.sqrt(added) * rng.standard_normal(spectra.flux.shape)
    dtype = spectra.flux.dtype
    return replace(
        spectra,
        flux=np.where(spectra.good, spectra.flux + noise, spectra.flux).astype(dtype),
        ivar=(1 / (variance + added)).astype(dtype),
    )


def _added_variance(flux: FloatArray, variance: FloatArray, snr: float) -> float:
    """Variance to add so that the median of flux/σ is `snr`."""
    from scipy.optimize import brentq

    good = np.isfinite(variance)
    signal, noise = flux[good].astype(np.float64), variance[good]

    def excess(log_added: float) -> float:
        return float(np.median(signal / np.sqrt(noise + np.exp(log_added)))) - snr

    middle = 2 * np.log(np.median(signal) / snr)  # the answer if the original errors were zero
    return float(np.exp(brentq(excess, middle - 40, middle + 10, xtol=1e-6)))


@dataclass(frozen=True, kw_only=True, eq=False)
class DegradedScores(BySpectrum):
    """How denoised spectra compare with the undegraded ones, which have noise too.

    With truth t, undegraded spectrum y₀ = t + e₀ (variance v₀) and degraded spectrum y₁ = y₀ + e₁ (one variance v₁),
    even the estimate t leaves the residual e₀. The reduction 1 − rms(d − y₀)/rms(y₁ − y₀) of a perfect denoiser is
    therefore 1 − √(mean v₀ / v₁) on average. Subtracting the variance of y₀ gives an estimate of the residual against
    the truth, √max(0, rms(d − y₀)² − mean v₀). It would be unbiased if d did not depend on e₀; but d depends on it
    through y₁, by the small weight that a denoiser gives to each pixel itself, which makes the estimate a little small.

    Parameters
    ----------
    reduction : (n_spectra,)
        As measured: 1 − rms(d − y₀) / rms(y₁ − y₀).
    allowed : (n_spectra,)
        The most that the noise of the undegraded spectra allows: 1 − √(mean v₀) / rms(y₁ − y₀).
    against_truth : (n_spectra,)
        Estimate of the reduction against the truth: 1 − √max(0, rms(d − y₀)² − mean v₀) / √(rms(y₁ − y₀)² + mean v₀).
    scatter : (n_spectra,)
        √(χ² / number of pixels) of d − y₀ with variances v₀ + σ_d²; 1 if estimate and errors are right.
    """

    reduction: FloatArray
    allowed: FloatArray
    against_truth: FloatArray
    scatter: FloatArray


def score_degraded(original: Spectra, degraded: Spectra, denoised: Denoised) -> DegradedScores:
    """Score denoised spectra against the undegraded ones.

    Parameters
    ----------
    original : Spectra
        The spectra before `degrade`.
    degraded : Spectra
        The spectra after it.
    denoised : Denoised
        Estimates made from `degraded`.

    Returns
    -------
    DegradedScores
        Scores over the good pixels that have an estimate and are not ignored.
    """
    counted = original.good & denoised.counted
    with np.errstate(divide="ignore"):
        own = np.where(original.good, 1 / original.ivar.astype(np.float64), np.nan)
    floor = rms(np.sqrt(own), counted)
    added = rms(degraded.flux - original.flux, counted)
    left = rms(denoised.flux - original.flux, counted)
    expected = own + denoised.sigma.astype(np.float64) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return DegradedScores(
            reduction=1 - left / added,
            allowed=1 - floor / added,
            against_truth=1 - np.sqrt(np.maximum(left**2 - floor**2, 0)) / np.hypot(added, floor),
            scatter=np.sqrt(reduced_chi2(denoised.flux, original.flux, 1 / expected, counted)),
        )
