"""Noise-free spectra made of a black body and hundreds of absorption lines, as sharp as MILES."""

from __future__ import annotations

import numpy as np

LINEAR = 3600 + 0.9 * np.arange(7200)  # to 10080 Å, as MILES is sampled
LOG = 3600 * np.exp(np.arange(14900) * 1e-4 * np.log(10) / 3.335)  # to 10069 Å, nearly MaNGA's steps


def spectra(wavelength: np.ndarray, n: int = 3, seed: int = 5, width: float = 2.51 / 2.3548) -> np.ndarray:
    """(n, n_pixels): cold to hot bodies with lines every 10 Å on average, some broad, scaled to a mean of 1."""
    rng = np.random.default_rng(seed)
    flux = 1 / (wavelength**5 * np.expm1(1.43878e8 / (wavelength * np.linspace(4000, 8000, n)[:, None])))
    centres = rng.uniform(3500, 10200, 670)
    depths = rng.uniform(0, 0.6, (n, 670)) ** 2
    widths = np.where(rng.uniform(size=670) < 0.1, 5 * width, width)
    for centre, depth, sigma in zip(centres, depths.T, widths, strict=True):
        near = np.abs(wavelength - centre) < 8 * sigma
        flux[:, near] *= 1 - depth[:, None] * np.exp(-0.5 * ((wavelength[near] - centre) / sigma) ** 2)
    return flux / flux.mean(axis=1, keepdims=True)
