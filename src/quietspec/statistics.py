"""Medians and scatters of rows, which masked pixels never affect and outliers hardly do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from quietspec.arrays import BoolArray, FloatArray

__all__ = ["MAD_TO_SIGMA", "masked_median", "median_snr", "robust_scatter"]

MAD_TO_SIGMA = 1.4826  #: σ of a Gaussian over its median absolute deviation


def masked_median(values: FloatArray, good: BoolArray) -> FloatArray:
    """Median of the good values of each row, (n_rows,); NaN where there are none."""
    if not values.shape[1]:
        return np.full(len(values), np.nan)
    # One sort with the bad values at the end: numpy.nanmedian takes ten times as long for thousands of long rows.
    ordered = np.where(good, values, np.asarray(np.inf, dtype=values.dtype))
    ordered.sort(axis=1)
    count = good.sum(axis=1)
    middle = np.stack([np.maximum(count - 1, 0) // 2, np.minimum(count // 2, values.shape[1] - 1)], axis=1)
    return np.where(count > 0, np.take_along_axis(ordered, middle, axis=1).mean(axis=1), np.nan)


def robust_scatter(values: FloatArray, good: BoolArray) -> FloatArray:
    """σ of the good values of each row about zero, by their median size, (n_rows,); NaN where there are none."""
    return MAD_TO_SIGMA * masked_median(np.abs(values).astype(np.float32, copy=False), good)


def median_snr(flux: FloatArray, sigma: FloatArray, good: BoolArray) -> FloatArray:
    """Median of flux/sigma over the good pixels of each spectrum, (n_spectra,); NaN where there are none."""
    ratio = np.divide(flux, sigma, out=np.zeros(np.shape(flux)), where=good)
    return masked_median(ratio, good)
