"""The widths of the smoothers that leave the least residual on simulated training spectra."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quietspec.denoisers import Butterworth, Denoiser, Gaussian, SavitzkyGolay, Wavelet
from quietspec.lab.evaluation.scores import rms
from quietspec.lab.simulate import PaperRecipe, Recipe, Simulated, paper_spectra
from quietspec.lab.streams import stream

__all__ = ["SMOOTHERS", "mean_residuals", "training_observations"]

#: Smoothers of all widths that are tried.
SMOOTHERS: tuple[Denoiser, ...] = (
    *(Gaussian(width) for width in (2, 2.5, 3, 3.5, 4, 4.5, 5, 6)),
    *(SavitzkyGolay(window, order) for order in (2, 3, 4) for window in (10, 15, 20, 25, 30, 35)),
    *(Butterworth(cutoff, order) for order in (1, 2, 3) for cutoff in (10, 15, 20, 25, 30, 35)),
    *(Wavelet(scale, wavelet) for wavelet in ("coif1", "sym4", "sym8", "db2") for scale in (30, 60, 120)),
)
_BATCH = 100


def training_observations(recipe: Recipe, snr: float, n: int, seed: int) -> list[Simulated]:
    """Simulate training spectra.

    Parameters
    ----------
    recipe : Recipe
        The simulated world; of `paper` the training part is used.
    snr : float
        S/N of the spectra.
    n : int
        Number of spectra; recipe `survey` makes full batches of 100.
    seed : int
        Seed of all draws.

    Returns
    -------
    list of Simulated
        Batches of observations.
    """
    rng = stream("smoothers", seed)
    if isinstance(recipe, PaperRecipe):
        return [recipe.observe(rest, rng, snr) for rest in paper_spectra(recipe, "train", 0, n)]
    return [recipe.simulate(_BATCH, rng, snr) for _ in range(max(1, n // _BATCH))]


def mean_residuals(denoisers: Sequence[Denoiser], batches: Sequence[Simulated]) -> list[float]:
    """RMS residual of each denoiser over that of the noisy spectra, averaged over spectra.

    Parameters
    ----------
    denoisers : sequence of Denoiser
        Candidates.
    batches : sequence of Simulated
        Observations with their truth.

    Returns
    -------
    list of float
        Mean residuals, in the order of the denoisers.
    """
    return [_mean_residual(denoiser, batches) for denoiser in denoisers]


def _mean_residual(denoiser: Denoiser, batches: Sequence[Simulated]) -> float:
    ratios = []
    for batch in batches:
        counted = batch.observed.good & np.isfinite(batch.truth)
        left = rms(denoiser.denoise(batch.observed).flux - batch.truth, counted)
        ratios.append(left / rms(batch.observed.flux - batch.truth, counted))
    return float(np.nanmean(np.concatenate(ratios)))
