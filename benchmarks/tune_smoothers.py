"""Choose the widths of the smoothers: least mean RMS residual on simulated training spectra.

    python benchmarks/tune_smoothers.py FOLDER_OF_SSPS [--recipe paper] [--snr 10] [-n 400] [--seed 0]

The defaults in quietspec.denoisers.smoothers come from the recipe `paper` at S/N 10 by these defaults.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from quietspec.denoisers.base import Denoiser
from quietspec.denoisers.smoothers import Butterworth, Gaussian, SavitzkyGolay, Wavelet
from quietspec.lab.evaluation import rms
from quietspec.lab.simulate import PaperRecipe, Recipe, Simulated, get_recipe, paper_spectra
from quietspec.templates import load_library

BATCH = 100
CANDIDATES: tuple[Denoiser, ...] = (
    *(Gaussian(width) for width in (2, 2.5, 3, 3.5, 4, 4.5, 5, 6)),
    *(SavitzkyGolay(window, order) for order in (2, 3, 4) for window in (10, 15, 20, 25, 30, 35)),
    *(Butterworth(cutoff, order) for order in (1, 2, 3) for cutoff in (10, 15, 20, 25, 30, 35)),
    *(Wavelet(scale, wavelet) for wavelet in ("coif1", "sym4", "sym8", "db2") for scale in (30, 60, 120)),
)


def training_spectra(recipe: Recipe, snr: float, n: int, seed: int) -> list[Simulated]:
    """Observed training spectra; of the recipe `paper`, none of the test part."""
    rng = np.random.default_rng(seed)
    if isinstance(recipe, PaperRecipe):
        return [recipe.observe(rest, rng, snr) for rest in paper_spectra(recipe, "train", 0, n)]
    return [recipe.simulate(BATCH, rng, snr) for _ in range(max(1, n // BATCH))]


def tune(candidates: Sequence[Denoiser], simulated: Sequence[Simulated]) -> list[float]:
    """Mean RMS residual over that of the noisy spectra, for each candidate."""
    residuals = []
    for denoiser in candidates:
        ratios = []
        for batch in simulated:
            counted = batch.observed.good & np.isfinite(batch.truth)
            left = rms(denoiser.denoise(batch.observed).flux - batch.truth, counted)
            ratios.append(left / rms(batch.observed.flux - batch.truth, counted))
        residuals.append(float(np.nanmean(np.concatenate(ratios))))
    return residuals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", help="folder or file of SSP templates")
    parser.add_argument("--recipe", default="paper")
    parser.add_argument("--snr", type=float, default=10)
    parser.add_argument("-n", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    recipe = get_recipe(options.recipe, load_library(options.library))
    residuals = tune(CANDIDATES, training_spectra(recipe, options.snr, options.n, options.seed))
    best = {d.name: r for r, d in sorted(zip(residuals, CANDIDATES, strict=True), key=lambda p: p[0], reverse=True)}
    for denoiser, residual in zip(CANDIDATES, residuals, strict=True):
        print(f"{denoiser!s:50s} {residual:.4f}{'  <- best' if residual == best[denoiser.name] else ''}")


if __name__ == "__main__":
    main()
