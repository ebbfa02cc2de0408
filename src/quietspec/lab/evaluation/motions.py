"""Scores of velocity, dispersion and populations: against simulated truths, between repeats, and as the noise grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.lab.evaluation.degrade import degrade
from quietspec.statistics import MAD_TO_SIGMA
from quietspec.wavelengths import SPEED_OF_LIGHT

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray
    from quietspec.denoised import Denoised
    from quietspec.denoisers import Denoiser
    from quietspec.lab.simulate import Simulated
    from quietspec.spectra import Spectra

__all__ = [
    "SCORED", "LabelScore", "degraded_labels", "flux_score", "label_pulls", "label_score", "velocity_limit",
    "with_noise",
]  # fmt: skip

#: Labels that are scored.
SCORED = ("velocity", "sigma", "log_age_lw", "log_age_mw", "log_t50", "log_t90", "mh_lw", "a_v")


@dataclass(frozen=True)
class LabelScore:
    """How well one label is recovered.

    Parameters
    ----------
    rms : float
        1.48 times the median absolute error.
    stated : float
        Median of the stated 1σ errors.
    coverage : float
        Share of truths within 1σ.
    bias : float
        Mean error over the stated one.
    scatter : float
        Standard deviation of the errors over the stated ones.
    """

    rms: float
    stated: float
    coverage: float
    bias: float
    scatter: float


def label_score(mean: FloatArray, error: FloatArray, truth: FloatArray) -> LabelScore:
    """Score estimates (n,) of errors (n,) against truths (n,)."""
    pulls = (mean - truth) / error
    return LabelScore(
        rms=float(MAD_TO_SIGMA * np.median(np.abs(mean - truth))),
        stated=float(np.median(error)),
        coverage=float(np.mean(np.abs(pulls) < 1)),
        bias=float(np.mean(pulls)),
        scatter=float(np.std(pulls)),
    )


def velocity_limit(simulated: Simulated) -> FloatArray:
    """Error of the velocity if all else about a spectrum were known, (n_spectra,), km/s.

    Parameters
    ----------
    simulated : Simulated
        Spectra with their truths.

    Returns
    -------
    (n_spectra,)
        (Σ (dF/dV)² / σ²)^−½ over the good pixels that neither gas nor spikes touch, σ as quoted: a lower bound
        (Cramér–Rao), the lower since errors of neighbouring pixels are correlated.
    """
    observed = simulated.observed
    slope = np.gradient(simulated.truth.astype(float), np.log(observed.wavelength), axis=1) / SPEED_OF_LIGHT
    used = observed.good & np.isfinite(slope)
    if simulated.contaminated is not None:
        used &= ~simulated.contaminated
    return np.asarray(np.sum(np.where(used, slope**2 * observed.ivar, 0), axis=1) ** -0.5)


def flux_score(denoised: Denoised, truth: FloatArray) -> tuple[FloatArray, float]:
    """Relative rms error of each spectrum's flux, (n_spectra,), and share of pixels whose truth is within 1σ."""
    known = denoised.valid & np.isfinite(truth)
    error = np.where(known, denoised.flux - truth, np.nan)
    relative = np.sqrt(np.nanmean(error**2, axis=1) / np.nanmean(np.where(known, truth, np.nan) ** 2, axis=1))
    return relative, float(np.mean((np.abs(error) < denoised.sigma)[known]))


def label_pulls(first: Denoised, second: Denoised, names: Sequence[str] = SCORED) -> dict[str, FloatArray]:
    """Differences of the labels of independent observations of the same stars, over both errors, (n_spectra,) each."""
    pulls: dict[str, FloatArray] = {}
    for name in names:
        (one, error), (other, other_error) = first.parameters[name], second.parameters[name]
        pulls[name] = np.asarray((one - other) / np.hypot(error, other_error))
    return pulls


def with_noise(spectra: Spectra, snr: float, rng: np.random.Generator) -> Spectra:
    """Spectra of a higher S/N than the one given, brought down to it; the others are left out."""
    bright = np.flatnonzero(np.nan_to_num(spectra.snr) > 1.05 * snr)
    return degrade(spectra[bright], snr, rng)


def degraded_labels(
    denoisers: Mapping[str, Denoiser], spectra: Spectra, snrs: Sequence[float], rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Stated errors of the labels as spectra are, and with noise added.

    Parameters
    ----------
    denoisers : mapping of str to Denoiser
        By name.
    spectra : Spectra
        Bright ones.
    snrs : sequence of float
        S/N to bring them down to.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    list of dict
        One record per denoiser and S/N (0: as they are): medians of the stated errors, number of spectra, and how many
        state an error of the velocity above 80 km/s.
    """
    records = []
    for snr in (0.0, *snrs):
        some = spectra if snr == 0 else with_noise(spectra, snr, rng)
        for name, denoiser in denoisers.items():
            denoised = denoiser.denoise(some)
            errors = {label: denoised.parameters[label][1] for label in SCORED}
            records.append(
                {
                    "denoiser": name,
                    "snr": snr,
                    "spectra": len(some),
                    "reverted": int(np.sum(errors["velocity"] > 80)),
                    "flagged": int(np.sum(denoised.flags > 0)),
                    **{label: float(np.median(error)) for label, error in errors.items()},
                }
            )
    return records
