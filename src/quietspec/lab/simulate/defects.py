"""Defects of observed spectra: masked pixels and cosmic-ray spikes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from quietspec.arrays import BoolArray, FloatArray

__all__ = ["masked_runs", "spikes"]


def masked_runs(
    shape: tuple[int, int], rng: np.random.Generator, *, mean_runs: float = 1.5, mean_length: float = 8.0
) -> BoolArray:
    """Draw runs of bad pixels: a Poisson number per spectrum, anywhere, of geometric length.

    Parameters
    ----------
    shape : (n_spectra, n_pixels)
        Shape of the mask.
    rng : numpy.random.Generator
        Source of all draws.
    mean_runs, mean_length : float, optional
        Mean number per spectrum, and mean length in pixels.

    Returns
    -------
    (n_spectra, n_pixels) of bool
        True where bad.
    """
    rows = np.repeat(np.arange(shape[0]), rng.poisson(mean_runs, shape[0]))
    start = rng.integers(0, shape[1], rows.size)
    stop = np.minimum(start + rng.geometric(1 / mean_length, rows.size), shape[1])
    bad = np.zeros(shape, dtype=bool)
    for row, first, last in zip(rows, start, stop, strict=True):
        bad[row, first:last] = True
    return bad


def spikes(flux: FloatArray, sigma: FloatArray, rng: np.random.Generator, *, mean_number: float = 0.5) -> None:
    """Add cosmic-ray spikes that the pipeline missed, in place: one or two pixels wide, 5–100 σ high.

    Parameters
    ----------
    flux : (n_spectra, n_pixels)
        Spectra to add to.
    sigma : (n_spectra, n_pixels)
        1σ noise.
    rng : numpy.random.Generator
        Source of all draws.
    mean_number : float, optional
        Mean of the Poisson number of spikes per spectrum.
    """
    rows = np.repeat(np.arange(len(flux)), rng.poisson(mean_number, len(flux)))
    pixel = rng.integers(0, flux.shape[1] - 1, rows.size)
    height = np.exp(rng.uniform(np.log(5), np.log(100), rows.size)) * sigma[rows, pixel]
    share = rng.uniform(0, 1, rows.size) * (rng.random(rows.size) < 0.5)
    np.add.at(flux, (rows, pixel), height)
    np.add.at(flux, (rows, pixel + 1), height * share)
