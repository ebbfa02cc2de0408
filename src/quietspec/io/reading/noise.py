"""Inverse variances, 0 in bad pixels, from whatever noise a file gives or from the scatter of its pixels."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from quietspec.arrays import BoolArray, FloatArray
from quietspec.kinds import NoiseKind

__all__ = ["contradicted_errors", "error_excess", "inverse_variance", "residual_sigma"]

_BLOCK = 64  #: pixels over which errors are compared with each other
_POWER: dict[NoiseKind, float] = {"sigma": 1.0, "variance": 0.5, "ivar": -0.5}
_WORDS: dict[NoiseKind, str] = {"sigma": "error", "variance": "variance", "ivar": "inverse variance"}
_FAR = 30.0  #: factor by which errors differ from the scatter of the pixels by mistake, or where there is no noise
_SAMPLED = 5  # spectra
_TOO_SMALL, _TOO_LARGE = 0.1, 1e3  #: of the median error around; SAMI's law spans 0.5–7, sky lines reach some tens


def inverse_variance(
    noise: npt.NDArray[Any], kind: NoiseKind, good: BoolArray
) -> tuple[npt.NDArray[np.float64], Counter[str]]:
    """Inverse variances from errors, variances or inverse variances.

    Parameters
    ----------
    noise : (n_spectra, n_pixels)
        The noise as the file has it.
    kind : {'sigma', 'variance', 'ivar'}
        What the noise is.
    good : (n_spectra, n_pixels) of bool
        Pixels not masked for another reason.

    Returns
    -------
    ivar : (n_spectra, n_pixels)
        0 where not good, and where the noise is NaN, zero or negative, or implausible: more than 1000 times the
        spectrum's median error (surveys mark bad pixels so), or less than a tenth of the median over 64 pixels
        (such pixels would outweigh all others).
    counts : Counter
        Pixels masked that were good otherwise, by reason.
    """
    noise = np.asarray(noise, dtype=np.float64)
    finite = np.isfinite(noise)
    positive = finite & (noise > 0)
    with np.errstate(all="ignore"):
        sigma = noise ** _POWER[kind]
        usable = good & positive
        small, large = _implausible(np.where(usable, sigma, np.nan), usable)
        usable &= ~small & ~large
        ivar = np.where(usable, sigma**-2.0, 0.0)
    overflow = ~np.isfinite(ivar)
    ivar[overflow] = 0
    masked = good & (ivar == 0)
    counts = Counter(
        {
            f"{_WORDS[kind]} NaN or infinite": int(np.sum(masked & ~finite)),
            f"{_WORDS[kind]} negative": int(np.sum(masked & finite & (noise < 0))),
            f"{_WORDS[kind]} zero": 0 if kind == "ivar" else int(np.sum(masked & finite & (noise == 0))),
            "error implausibly small": int(np.sum(masked & positive & (small | overflow))),
            "error implausibly large": int(np.sum(masked & positive & large)),
        }
    )  # an inverse variance of zero is the usual mask, not worth a warning
    return ivar, +counts


def _implausible(sigma: FloatArray, usable: BoolArray) -> tuple[BoolArray, BoolArray]:
    large = sigma > _TOO_LARGE * _row_median(sigma)
    sigma = np.where(large, np.nan, sigma)
    n_spectra, n_pixels = sigma.shape
    padding = -n_pixels % _BLOCK
    blocks = np.pad(sigma, ((0, 0), (0, padding)), constant_values=np.nan).reshape(-1, _BLOCK)
    around = np.repeat(_row_median(blocks).reshape(n_spectra, -1), _BLOCK, axis=1)[:, :n_pixels]
    return np.asarray(usable & (sigma < _TOO_SMALL * around)), np.asarray(usable & large)


def _row_median(values: FloatArray) -> FloatArray:
    """Median of each row without its NaN, (n_rows, 1); by one sort, since `numpy.nanmedian` loops over rows."""
    ordered = np.sort(values, axis=1)
    middle = np.maximum(np.isfinite(ordered).sum(axis=1, keepdims=True) - 1, 0) // 2
    return np.take_along_axis(ordered, middle, axis=1)


def error_excess(sigma: FloatArray, flux: npt.NDArray[Any], good: BoolArray) -> float:
    """Median ratio of 1σ errors to the scatter between the good pixels of spectra; NaN without any."""
    with np.errstate(all="ignore"):
        ratio = (sigma / residual_sigma(flux, good))[good]
    ratio = ratio[np.isfinite(ratio)]
    return float(np.median(ratio)) if ratio.size else np.nan


def contradicted_errors(flux: npt.NDArray[Any], ivar: npt.NDArray[Any]) -> str | None:
    """Compare the errors of some spectra with the scatter between their pixels.

    Parameters
    ----------
    flux, ivar : (n_spectra, n_pixels)
        Flux and inverse variance, 0 where masked.

    Returns
    -------
    str or None
        What the scatter says against the errors; None where nothing does.
    """
    some = np.flatnonzero((ivar > 0).any(axis=1))[:_SAMPLED]
    good = ivar[some] > 0
    sigma = np.where(good, ivar[some], np.nan).astype(np.float64) ** -0.5
    excess = error_excess(sigma, flux[some], good)
    if not (excess > _FAR or excess < 1 / _FAR):
        return None
    times = f"{excess:.3g} times" if excess > 1 else f"1/{1 / excess:.3g} of"
    return f"the errors are {times} the scatter between pixels; if the noise is something else, say so: noise_kind="


def residual_sigma(flux: npt.NDArray[Any], good: BoolArray, block: int = 200) -> FloatArray:
    """Estimate errors from the scatter between pixels, for spectra that have none.

    Parameters
    ----------
    flux : (n_spectra, n_pixels)
        Values of bad pixels are ignored.
    good : (n_spectra, n_pixels) of bool
        Pixels that count.
    block : int
        Number of pixels over which one error is estimated; between the blocks it is interpolated.

    Returns
    -------
    (n_spectra, n_pixels)
        1σ errors; NaN for a spectrum with too few good pixels. Real lines narrower than four pixels count as noise;
        noise correlated between neighbours is seen in full only beyond two pixels.

    References
    ----------
    Stoehr et al. 2008, ASP Conf. 394, 505 (DER_SNR).
    """
    flux = np.where(good, flux, np.nan).astype(np.float64)
    n_spectra, n_pixels = flux.shape
    difference = np.full_like(flux, np.nan)
    if n_pixels > 4:
        difference[:, 2:-2] = np.abs(2 * flux[:, 2:-2] - flux[:, :-4] - flux[:, 4:]) / np.sqrt(6)
    n_blocks = max(1, n_pixels // block)
    edges = np.linspace(0, n_pixels, n_blocks + 1).astype(int)
    centres = (edges[:-1] + edges[1:] - 1) / 2
    medians = np.hstack([_row_median(difference[:, a:b]) for a, b in pairwise(edges)])
    sigma = np.full_like(flux, np.nan)
    for row in range(n_spectra):
        known = np.isfinite(medians[row])
        if known.any():
            sigma[row] = np.interp(np.arange(n_pixels), centres[known], medians[row, known]) / ndtri(0.75)
    return sigma
