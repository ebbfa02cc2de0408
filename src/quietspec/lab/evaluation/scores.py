"""Scores of denoised spectra against the truth, one number per spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quietspec.wavelengths import LINE_WINDOWS, LineWindow, in_window, stretches

if TYPE_CHECKING:
    from quietspec.arrays import BoolArray, FloatArray

__all__ = [
    "LineScores", "coverage", "equivalent_width", "line_scores", "recovery_rate", "reduced_chi2", "rms",
    "rms_reduction", "width_bias",
]  # fmt: skip

_WIDTH_CLIP = 5.0  # robust standard deviations beyond which an error of an equivalent width is an outlier


def rms(residual: FloatArray, good: BoolArray | None = None) -> FloatArray:
    """Root mean square of residuals, per spectrum.

    Parameters
    ----------
    residual : (n_spectra, n_pixels)
        Any difference of spectra.
    good : (n_spectra, n_pixels) of bool, optional
        Pixels that count where the residual is finite; all by default.

    Returns
    -------
    (n_spectra,)
        NaN where no pixel counts.
    """
    return np.sqrt(_mean(np.square(residual, dtype=np.float64), _counted(good, residual)))


def rms_reduction(
    clean: FloatArray, noisy: FloatArray, denoised: FloatArray, good: BoolArray | None = None
) -> FloatArray:
    """Fraction of the noise's RMS that denoising removed, per spectrum.

    Parameters
    ----------
    clean, noisy, denoised : (n_spectra, n_pixels)
        Flux on one scale; `clean` is the noise-free truth.
    good : (n_spectra, n_pixels) of bool, optional
        Pixels that count where all three are finite; all by default.

    Returns
    -------
    (n_spectra,)
        1 − rms(denoised − clean) / rms(noisy − clean); negative where denoising did harm, NaN where no pixel counts.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    Kim, Lee & Rey 2026, Section 3.
    """
    counted = _counted(good, clean, noisy, denoised)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(1 - rms(denoised - clean, counted) / rms(noisy - clean, counted))


def recovery_rate(clean: FloatArray, compared: FloatArray, good: BoolArray | None = None) -> FloatArray:
    """Pearson correlation of the noise-free spectrum with the one compared, per spectrum.

    Parameters
    ----------
    clean, compared : (n_spectra, n_pixels)
        Flux; the scales may differ.
    good : (n_spectra, n_pixels) of bool, optional
        Pixels that count where both are finite; all by default.

    Returns
    -------
    (n_spectra,)
        −1 to 1; NaN where no pixel counts or either spectrum is constant.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    Kim, Lee & Rey 2026, Section 3.
    """
    counted = _counted(good, clean, compared)
    # About the means, in double precision: the rates to compare exceed 0.999.
    a, b = (np.where(counted, x - _mean(x, counted)[:, None], 0.0) for x in (_doubles(clean), _doubles(compared)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.vecdot(a, b) / np.sqrt(np.vecdot(a, a) * np.vecdot(b, b)))


@dataclass(frozen=True, kw_only=True, eq=False)
class LineScores:
    """Scores of spectra in one of `LINE_WINDOWS`, each (n_spectra,).

    Parameters
    ----------
    rms, reduction, recovery : (n_spectra,)
        `rms` of the residual, `rms_reduction` and `recovery_rate` in the feature band; NaN where no pixel counts.
    width, true_width : (n_spectra,)
        `equivalent_width` of the estimate and of the truth, rest-frame Å; NaN where one of the three bands is not
        covered or holds a masked pixel, infinite where the pseudo-continuum is zero.
    """

    rms: FloatArray
    reduction: FloatArray
    recovery: FloatArray
    width: FloatArray
    true_width: FloatArray


def line_scores(
    wavelength: FloatArray, clean: FloatArray, noisy: FloatArray, denoised: FloatArray, good: BoolArray | None = None
) -> dict[str, LineScores]:
    """Score spectra in each of `LINE_WINDOWS`.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Rest-frame air Å, increasing.
    clean, noisy, denoised : (n_spectra, n_pixels)
        Flux on one scale.
    good : (n_spectra, n_pixels) of bool, optional
        Pixels that count; all by default.

    Returns
    -------
    dict of str to LineScores
        Scores by name of the line.
    """
    good = np.ones(clean.shape, dtype=bool) if good is None else good
    result = {}
    for name, window in LINE_WINDOWS.items():
        band = in_window(wavelength, window.feature)
        inside = good[:, band]
        true, before, after = (_doubles(flux[:, band]) for flux in (clean, noisy, denoised))
        result[name] = LineScores(
            rms=rms(after - true, inside),
            reduction=rms_reduction(true, before, after, inside),
            recovery=recovery_rate(true, after, inside),
            width=equivalent_width(wavelength, denoised, window, good),
            true_width=equivalent_width(wavelength, clean, window, good),
        )
    return result


def width_bias(width: FloatArray, true_width: FloatArray) -> tuple[float, float, float]:
    """Compare equivalent widths with the true ones, without the outliers of the noisiest spectra.

    A noisy pseudo-continuum near zero makes a width of any size, so that the mean and standard deviation of the errors
    do not exist. Errors that are not finite, or more than 5 robust standard deviations (1.4826 times the median
    absolute deviation) from the median, are therefore left out, and counted.

    Parameters
    ----------
    width, true_width : (n_spectra,)
        Equivalent widths, Å; spectra without a true width do not count.

    Returns
    -------
    bias : float
        Mean of measured − true, Å; NaN where nothing could be measured.
    scatter : float
        Their standard deviation, Å.
    outliers : float
        Fraction of the spectra with a true width that were left out.
    """
    from astropy.stats import mad_std, sigma_clip

    error = (width - true_width)[np.isfinite(true_width)]
    finite = error[np.isfinite(error)]
    if not finite.size:
        return np.nan, np.nan, 1.0 if error.size else np.nan
    kept = sigma_clip(finite, _WIDTH_CLIP, maxiters=1, cenfunc="median", stdfunc=mad_std, masked=False)
    return float(np.mean(kept)), float(np.std(kept)), 1 - kept.size / error.size


def coverage(
    clean: FloatArray, flux: FloatArray, sigma: FloatArray, level: float, good: BoolArray | None = None
) -> FloatArray:
    """Fraction of pixels whose truth lies within a symmetric Gaussian interval about the estimate, per spectrum.

    Parameters
    ----------
    clean, flux, sigma : (n_spectra, n_pixels)
        Truth, estimate and its 1σ error.
    level : float
        Nominal probability of the interval: 0.6827 for ±1σ, 0.95 for ±1.96σ.
    good : (n_spectra, n_pixels) of bool, optional
        Pixels that count where all three are finite; all by default.

    Returns
    -------
    (n_spectra,)
        Equal to `level` on average if the errors are right; NaN where no pixel counts.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    from scipy.special import ndtri

    counted = _counted(good, clean, flux, sigma)
    with np.errstate(invalid="ignore"):  # pixels that do not count may hold anything
        inside = np.abs(flux - clean) <= ndtri((1 + level) / 2) * sigma
    return _mean(inside, counted)


def reduced_chi2(flux: FloatArray, model: FloatArray, ivar: FloatArray, good: BoolArray | None = None) -> FloatArray:
    """χ² of flux minus model over the number of pixels, per spectrum.

    Parameters
    ----------
    flux, model, ivar : (n_spectra, n_pixels)
        Two sets of spectra on one scale, and the inverse variance of their difference.
    good : (n_spectra, n_pixels) of bool, optional
        Pixels that count where all three are finite and `ivar` is positive; all by default.

    Returns
    -------
    (n_spectra,)
        NaN where no pixel counts.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    counted = _counted(good, flux, model, ivar) & (ivar > 0)
    return _mean(np.square(_doubles(flux) - model) * ivar, counted)


def equivalent_width(
    wavelength: FloatArray, flux: FloatArray, window: LineWindow, good: BoolArray | None = None
) -> FloatArray:
    """Equivalent width of an absorption feature, per spectrum.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Rest-frame air Å, increasing.
    flux : (n_spectra, n_pixels)
        Flux density.
    window : LineWindow
        Feature band and two side-bands. The pseudo-continuum is the straight line through the mean fluxes of the
        side-bands at their mid-points.
    good : (n_spectra, n_pixels) of bool, optional
        Pixels that count where finite; all by default.

    Returns
    -------
    (n_spectra,)
        ∫(1 − flux/continuum) dλ over the feature band in Å, positive in absorption; NaN where a band is not covered
        or holds a pixel that does not count.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    Worthey et al. 1994, ApJS 94, 687, Section 3; Trager et al. 1998, ApJS 116, 1, Equations 1 and 2.
    """
    _require_one_shape(flux, *(() if good is None else (good,)))
    near = _pixels_about(wavelength, window)
    if near is None:
        return np.full(len(flux), np.nan)
    wavelength, flux = wavelength[near], _doubles(flux[:, near])
    counted = _counted(None if good is None else good[:, near], flux)
    blue, red = (_band_integral(wavelength, flux, counted, band) for band in (window.blue, window.red))
    blue, red = blue / np.ptp(window.blue), red / np.ptp(window.red)
    blue_centre, red_centre = np.mean(window.blue), np.mean(window.red)
    position = (wavelength - blue_centre) / (red_centre - blue_centre)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = 1 - flux / (blue[:, None] + (red - blue)[:, None] * position)
    return _band_integral(wavelength, depth, counted, window.feature)


def _pixels_about(wavelength: FloatArray, window: LineWindow) -> slice | None:
    """Pixels about the bands, within the stretch of spectrum that holds the feature; None if none holds it."""
    first, last = (int(pixel) for pixel in np.searchsorted(wavelength, (window.blue[0], window.red[1])))
    first, last = max(first - 2, 0), last + 2
    low, high = window.feature
    for part in stretches(wavelength[first:last]):
        pixels = slice(first + part.start, first + part.stop)
        if part.stop - part.start > 1 and wavelength[pixels][0] <= low and wavelength[pixels][-1] >= high:
            return pixels
    return None


def _band_integral(
    wavelength: FloatArray, values: FloatArray, counted: BoolArray, band: tuple[float, float]
) -> FloatArray:
    """∫ values dλ over a band, (n_spectra,), where each pixel counts by the fraction that lies in the band."""
    middle = (wavelength[1:] + wavelength[:-1]) / 2
    edges = np.concatenate(([2 * wavelength[0] - middle[0]], middle, [2 * wavelength[-1] - middle[-1]]))
    width = np.clip(np.minimum(edges[1:], band[1]) - np.maximum(edges[:-1], band[0]), 0, None)
    touched = width > 0
    whole = counted[:, touched].all(axis=1) & (edges[0] <= band[0]) & (edges[-1] >= band[1])
    terms = np.where(counted[:, touched], values[:, touched], 0)
    return np.where(whole, terms @ width[touched], np.nan)


def _doubles(values: FloatArray) -> FloatArray:
    return np.asarray(values, dtype=np.float64)


def _require_one_shape(*arrays: FloatArray | BoolArray) -> None:
    shapes = {np.shape(array) for array in arrays}
    if len(shapes) > 1:
        raise ValueError(f"scores: the shapes differ: {', '.join(map(str, sorted(shapes)))}.")


def _counted(good: BoolArray | None, *values: FloatArray) -> BoolArray:
    _require_one_shape(*values, *(() if good is None else (good,)))
    counted = np.ones(np.shape(values[0]), dtype=bool) if good is None else np.array(good, dtype=bool)
    for array in values:
        counted &= np.isfinite(array)
    return counted


def _mean(values: FloatArray, counted: BoolArray) -> FloatArray:
    """Mean over the pixels that count, in double precision; NaN where there are none."""
    number = np.count_nonzero(counted, axis=1)
    total = np.where(counted, values, 0).sum(axis=1, dtype=np.float64)  # much faster than sum(…, where=counted)
    return np.asarray(np.divide(total, number, out=np.full(len(values), np.nan), where=number > 0))
