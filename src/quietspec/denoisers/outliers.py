"""Pixels that no instrument records, found before any fit: one could spoil the arithmetic of a whole spectrum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from quietspec.arrays import BoolArray, FloatArray, IntArray
from quietspec.denoised import Denoised
from quietspec.denoisers.base import require_spectra
from quietspec.spectra import Spectra
from quietspec.statistics import masked_median

__all__ = ["gross_outliers", "without_gross_outliers"]

_GROSS = 1e4  # over the median: a flux that is no flux, an error that leaves no information
_SMALL = 0.03  # under all errors but the few smallest: an error that is too good to be true
_FEW, _FEW_OF_ALL = 5, 0.01  # number of pixels, or share of them, whose errors may be so …
_FEW_AT_MOST = 0.1  # … but no larger share than this


def without_gross_outliers(spectra: Spectra, denoise: Callable[[Spectra], Denoised]) -> Denoised:
    """Denoise with gross outliers masked, and mark them in `Denoised.ignored`.

    Parameters
    ----------
    spectra : Spectra
        The spectra to denoise.
    denoise : callable
        Denoises spectra.

    Returns
    -------
    Denoised
        Result for `spectra`.

    Raises
    ------
    SpectraError
        If `spectra` are no `Spectra`; the message says how to make them.
    """
    outliers = gross_outliers(require_spectra(spectra))
    if not outliers.any():
        return denoise(spectra)
    denoised = denoise(replace(spectra, ivar=np.where(outliers, 0, spectra.ivar)))
    return replace(denoised, spectra=spectra, ignored=denoised.ignored | outliers)


def gross_outliers(spectra: Spectra) -> BoolArray:
    """Find good pixels whose flux or error is out of all proportion to the rest of the spectrum.

    Parameters
    ----------
    spectra : Spectra
        The spectra.

    Returns
    -------
    (n_spectra, n_pixels) of bool
        True where |flux| exceeds 10⁴ times the larger of its median and the median error; where the error exceeds 10⁴
        times the median error; and in the few pixels, at most 5 or 1 % of a spectrum, whose error is below 0.03 times
        all others.
    """
    good = spectra.good
    size = np.where(good, np.abs(spectra.flux), 0)
    outliers = np.zeros(good.shape, dtype=bool)
    rows = np.flatnonzero(_may_be_gross(size, spectra.ivar))
    if rows.size:
        outliers[rows] = _gross(size[rows], spectra.ivar[rows])
    return outliers


def _may_be_gross(size: FloatArray, ivar: FloatArray) -> BoolArray:
    """Rows that may hold an outlier, by bounds that need no sorting; in practice next to none."""
    good = ivar > 0
    count = good.sum(axis=1)
    # A flux 10⁴ times the median needs a majority of fluxes below the largest over 10⁴.
    tiny = size <= size.max(axis=1, initial=0, keepdims=True) / _GROSS
    by_flux = 2 * (tiny & good).sum(axis=1) >= count
    # An error 10⁴ times the median needs as large a range of inverse variances.
    largest = ivar.max(axis=1, initial=0).astype(np.float64)
    smallest = np.min(ivar, axis=1, where=good, initial=np.inf)
    by_large_error = smallest < largest / _GROSS**2
    # A few inverse variances that exceed all others so far hold nearly all of their sum.
    by_small_error = ivar.sum(axis=1, dtype=np.float64) < (_few(count) + _SMALL**2 * count + 1) * largest
    return np.asarray((count > 0) & (by_flux | by_large_error | by_small_error))


def _gross(size: FloatArray, ivar: FloatArray) -> BoolArray:
    """Outliers of some rows, from the sizes of their fluxes and their inverse variances."""
    good = ivar > 0
    error = np.divide(1, np.sqrt(ivar, dtype=np.float64), out=np.full(ivar.shape, np.inf), where=good)
    typical_error = np.nan_to_num(masked_median(error, good))[:, None]
    typical_size = np.nan_to_num(masked_median(size, good))[:, None]
    too_large = (size / _GROSS > np.maximum(typical_size, typical_error)) | (error / _GROSS > typical_error)
    few = _few(good.sum(axis=1))
    reference = np.take_along_axis(np.sort(error, axis=1), few[:, None], axis=1)
    return np.asarray(good & (too_large | (error < _SMALL * reference)))


def _few(count: IntArray) -> IntArray:
    """How many of a number of pixels may have errors too good to be true."""
    few = np.minimum(np.maximum(_FEW, _FEW_OF_ALL * count), _FEW_AT_MOST * count)
    return np.asarray(few.astype(np.int64))
