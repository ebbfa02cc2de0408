"""Correlation of the noise of neighbouring spaxels, from what denoising leaves."""

from __future__ import annotations

import numpy as np

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoised import Denoised
from quietspec.denoisers.spatial.neighbourhoods import NoiseLaw

__all__ = ["noise_between"]

_LARGEST = 0.45  # correlation beside each other, beyond which no such law is possible
_FEWEST = 10  # pairs of spaxels from which it is measured
_SIDE = 64  # spaxels along each side of the part of the image in which it is measured, the middle


def noise_between(denoised: Denoised) -> NoiseLaw:
    """Measure how the noise of neighbours is correlated.

    Parameters
    ----------
    denoised : Denoised
        Of an image.

    Returns
    -------
    NoiseLaw
        Medians over pairs of spaxels of the correlation of their residuals over all pixels; 0 where it is negative.
    """
    denoised = _middle(denoised)
    spectra, counted = denoised.spectra, denoised.counted
    known = np.asarray(counted.any(axis=1))
    residual = np.where(counted, denoised.residual * np.sqrt(spectra.ivar), 0.0).astype(np.float32)
    size = np.sqrt(np.vecdot(residual, residual))
    unit = spectra.image(np.divide(residual, size[:, None], out=np.zeros_like(residual), where=size[:, None] > 0))
    whole = spectra.image(known)
    beside = np.clip(_correlation(unit, whole, (0, 1), (1, 0)), 0.0, _LARGEST)
    diagonal = np.clip(_correlation(unit, whole, (1, 1), (1, -1)), 0.0, beside**2)
    return NoiseLaw(float(beside), float(diagonal))


def _middle(denoised: Denoised) -> Denoised:
    """Cut out the middle of a large image."""
    starts = [max(0, (side - _SIDE) // 2) for side in denoised.spectra.spatial_shape or ()]
    y, x = (slice(start, start + _SIDE) for start in starts)
    return denoised[y, x]


def _correlation(unit: FloatArray, known: BoolArray, *offsets: tuple[int, int]) -> float:
    """Median scalar product of residuals (ny, nx, n_pixels) of unit length, over pairs of known spaxels."""
    found = []
    for dy, dx in offsets:
        here, there = _shifted(dy, dx)
        pairs = known[here] & known[there]
        found.append(np.vecdot(unit[here], unit[there])[pairs])
    every = np.concatenate(found)
    return float(np.median(every)) if len(every) >= _FEWEST else 0.0


def _shifted(dy: int, dx: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of an image whose pixels are (dy, dx) apart, dy ≥ 0."""
    right, left = max(dx, 0), max(-dx, 0)
    here = slice(None, -dy or None), slice(left, -right or None)
    there = slice(dy, None), slice(right, -left or None)
    return here, there
