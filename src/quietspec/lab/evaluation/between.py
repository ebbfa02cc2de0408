"""Errors of means by the scatter between galaxies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quietspec.arrays import BoolArray, FloatArray
from quietspec.lab.streams import stream

__all__ = ["between_galaxies"]

_DRAWS = 1000


def between_galaxies(
    values: Sequence[FloatArray | BoolArray], weights: Sequence[FloatArray] | None = None
) -> float | None:
    """Error of a mean, by bootstrap over galaxies: spectra of one galaxy share instrument and redshift.

    Parameters
    ----------
    values : sequence of (n,)
        Values of each galaxy, of which those that are finite count.
    weights : sequence of (n,), optional
        Their weights; all the same by default.

    Returns
    -------
    float or None
        1σ error of the weighted mean over all; None for fewer than two galaxies.
    """
    given = [np.ones(one.shape) for one in values] if weights is None else weights
    known = [np.where(np.isfinite(one), weight, 0.0) for one, weight in zip(values, given, strict=True)]
    totals = np.array([weight.sum() for weight in known])
    sums = np.array([np.sum(np.nan_to_num(one) * weight) for one, weight in zip(values, known, strict=True)])
    sums, totals = sums[totals > 0], totals[totals > 0]
    n = len(totals)
    if n < 2:
        return None
    rows = stream("bootstrap over galaxies", 0).integers(n, size=(_DRAWS, n))
    # The scatter of n draws about their own mean is too small by (n − 1) / n.
    return float(np.std(sums[rows].sum(axis=1) / totals[rows].sum(axis=1)) * np.sqrt(n / (n - 1)))
