"""Scores of denoised spectra against the truth, one number a spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quietspec.wavelengths import LINE_WINDOWS, LineWindow, in_window

if TYPE_CHECKING:
    from quietspec.spectra import BoolArray, FloatArray

__all__ = ["coverage", "equivalent_width", "line_reductions", "recovery_rate", "reduced_chi2", "rms", "rms_reduction"]


def rms(residual: FloatArray, good: BoolArray | None = None) -> FloatArray:
    """Root mean square of residuals, per spectrum.

    Parameters
    ----------
    residual : (n_spectra, n_pixels)
        Any difference of spectra.
    good : (n_spectra, n_pixels) of bool, optional
        Pixels that count, if finite; all finite ones by default.

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
    """Pearson correlation between noise-free and compared spectrum, per spectrum.

    Parameters
    ----------
    clean, compared : (n_spectra, n_pixels)
        Flux; the scales may differ.
    good : (n_spectra, n_pixels) of bool, optional
        Pixels that count where both are finite; all by default.

    Returns
    -------
    (n_spectra,)
        −1 to 1; NaN where no pixel counts or either is constant.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    Kim, Lee & Rey 2026, Section 3.
    """
    counted = _counted(good, clean, compared)
    # About the means, in double precision: rates above 0.999 are what is compared.
    a, b = (np.where(counted, x - _mean(x, counted)[:, None], 0.0) for x in (_doubles(clean), _doubles(compared)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sum(a * b, axis=1) / np.sqrt(np.sum(a**2, axis=1) * np.sum(b**2, axis=1)))


def line_reductions(
    wavelength: FloatArray, clean: FloatArray, noisy: FloatArray, denoised: FloatArray, good: BoolArray | None = None
) -> dict[str, FloatArray]:
    """Compute `rms_reduction` within the feature band of each of `LINE_WINDOWS`.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Rest-frame air Å.
    clean, noisy, denoised : (n_spectra, n_pixels)
        Flux on one scale.
    good : (n_spectra, n_pixels) of bool, optional
        Pixels that count; all by default.

    Returns
    -------
    dict of str to (n_spectra,)
        By name of the line; NaN where the band holds no pixel.
    """
    result = {}
    for name, window in LINE_WINDOWS.items():
        band = in_window(wavelength, window.feature)
        inside = None if good is None else good[:, band]
        result[name] = rms_reduction(clean[:, band], noisy[:, band], denoised[:, band], inside)
    return result


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
        Equal to `level` on average where the errors are right; NaN where no pixel counts.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    from scipy.special import ndtri

    counted = _counted(good, clean, flux, sigma)
    inside = np.zeros(clean.shape)
    inside[counted] = np.abs(flux - clean)[counted] <= ndtri((1 + level) / 2) * sigma[counted]
    return _mean(inside, counted)


def reduced_chi2(flux: FloatArray, model: FloatArray, ivar: FloatArray, good: BoolArray | None = None) -> FloatArray:
    """χ² of flux minus model over the number of pixels, per spectrum.

    Parameters
    ----------
    flux, model, ivar : (n_spectra, n_pixels)
        Two spectra on one scale and the inverse variance of their difference.
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
        Feature band and the two side-bands. The pseudo-continuum is the straight line through the mean fluxes of
        these, at their mid-points.
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
    counted = _counted(good, flux)
    blue, red = (_band_integral(wavelength, flux, counted, band) for band in (window.blue, window.red))
    blue, red = blue / np.ptp(window.blue), red / np.ptp(window.red)
    blue_centre, red_centre = np.mean(window.blue), np.mean(window.red)
    position = (wavelength - blue_centre) / (red_centre - blue_centre)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = 1 - flux / (blue[:, None] + (red - blue)[:, None] * position)
    return _band_integral(wavelength, depth, counted, window.feature)


def _band_integral(
    wavelength: FloatArray, values: FloatArray, counted: BoolArray, band: tuple[float, float]
) -> FloatArray:
    """∫ values dλ over a band, (n_spectra,), with the fraction of each pixel that lies in it."""
    middle = (wavelength[1:] + wavelength[:-1]) / 2
    edges = np.concatenate(([2 * wavelength[0] - middle[0]], middle, [2 * wavelength[-1] - middle[-1]]))
    width = np.clip(np.minimum(edges[1:], band[1]) - np.maximum(edges[:-1], band[0]), 0, None)
    touched = width > 0
    whole = counted[:, touched].all(axis=1) & (edges[0] <= band[0]) & (edges[-1] >= band[1])
    terms = np.where(counted[:, touched], values[:, touched], 0)
    return np.where(whole, terms @ width[touched], np.nan)


def _doubles(values: FloatArray) -> FloatArray:
    return np.asarray(values, dtype=np.float64)


def _counted(good: BoolArray | None, *values: FloatArray) -> BoolArray:
    shapes = {np.shape(array) for array in values}
    if good is not None:
        shapes.add(np.shape(good))
    if len(shapes) > 1:
        raise ValueError(f"scores: the shapes differ: {', '.join(map(str, sorted(shapes)))}.")
    counted = np.ones(np.shape(values[0]), dtype=bool) if good is None else np.array(good, dtype=bool)
    for array in values:
        counted &= np.isfinite(array)
    return counted


def _mean(values: FloatArray, counted: BoolArray) -> FloatArray:
    """Mean over the pixels that count, in double precision; NaN where there are none."""
    number = counted.sum(axis=1)
    total = np.sum(values, axis=1, where=counted, dtype=np.float64)
    return np.asarray(np.divide(total, number, out=np.full(len(values), np.nan), where=number > 0))
