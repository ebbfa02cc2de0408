"""Spectra at other wavelengths and at lower resolution, in one linear step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from quietspec.errors import TemplateError
from quietspec.wavelengths import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray

__all__ = ["Resampler", "added_sigma"]

_NODES = np.linspace(-5, 5, 41)
_NODE_WEIGHTS = np.exp(-0.5 * _NODES**2) / np.exp(-0.5 * _NODES**2).sum()
_PADDING = 16  # pixels; the effect of an end on the spline filter falls by a factor 0.27 per pixel


class Resampler:
    """Smooths spectra by a Gaussian of varying width, and evaluates them at new wavelengths.

    The spectra are represented by cubic splines through their pixels, so that flux densities per Å are kept and
    nothing is lost without smoothing. The Gaussian is integrated by the trapezoidal rule in quarter-σ steps to ±5σ,
    which is exact to 1e-6 where a step is shorter than the narrowest feature (1σ).

    Parameters
    ----------
    wavelength : (n_in,)
        Pixel centres of the input spectra, Å, strictly increasing, with steps that vary slowly (linear, log, …).
    target : (n_out,)
        Wavelengths to evaluate at, Å, in the same frame and medium.
    sigma : float or (n_out,), optional
        Gaussian σ at each target, Å in the frame of `wavelength`; no smoothing by default.

    Notes
    -----
    Targets outside `wavelength` give NaN. The splines have no curvature at the ends; within 5σ of an end, the value of
    the end pixel is continued.
    """

    def __init__(self, wavelength: FloatArray, target: FloatArray, sigma: float | FloatArray = 0.0) -> None:
        from scipy.interpolate import BSpline
        from scipy.sparse import csr_array

        self.covered: npt.NDArray[np.bool_] = (target >= wavelength[0]) & (target <= wavelength[-1])
        sigma = np.broadcast_to(np.asarray(sigma, dtype=np.float64), np.shape(target))
        nodes, weights = (_NODES, _NODE_WEIGHTS) if np.any(sigma > 0) else (np.zeros(1), np.ones(1))
        points = target[:, None] + sigma[:, None] * nodes
        # In pixel numbers the knots are even, for which scipy.ndimage solves 2000 spectra in 0.1 s.
        padded = np.arange(len(wavelength) + 2.0 * _PADDING)
        pixels = np.interp(points.ravel(), wavelength, padded[_PADDING:-_PADDING])
        order = np.argsort(pixels, kind="stable")
        design = BSpline.design_matrix(pixels[order], np.arange(-2.0, len(padded) + 2), 3)
        shape = (len(target), pixels.size)
        gather = csr_array((weights[order % nodes.size], (order // nodes.size, np.arange(pixels.size))), shape=shape)
        self._matrix = gather @ design

    def __call__(self, flux: FloatArray) -> FloatArray:
        """Resample spectra.

        Parameters
        ----------
        flux : (n_spectra, n_in)
            Flux densities.

        Returns
        -------
        (n_spectra, n_out)
            Smoothed flux densities at the targets, in the dtype of `flux`; NaN at targets outside the input.
        """
        from scipy.ndimage import spline_filter1d

        if not len(flux):
            return np.empty((0, self._matrix.shape[0]), dtype=flux.dtype)
        padded = np.pad(flux, ((0, 0), (_PADDING, _PADDING)), mode="reflect", reflect_type="odd")
        coefficients = spline_filter1d(padded, 3, axis=1, output=flux.dtype, mode="mirror")
        result = np.ascontiguousarray((self._matrix.astype(flux.dtype, copy=False) @ coefficients.T).T)
        result[:, ~self.covered] = np.nan
        return result


def added_sigma(target_fwhm: FloatArray, own_fwhm: FloatArray) -> FloatArray:
    """Compute the σ (Å) of the Gaussian that broadens spectra of `own_fwhm` to `target_fwhm` (both FWHM in Å).

    Parameters
    ----------
    target_fwhm, own_fwhm : (n_pixels,)
        Desired and present resolution.

    Returns
    -------
    (n_pixels,)
        Square root of the difference of squares, divided by 2√(2 ln 2).

    Raises
    ------
    TemplateError
        If a target is narrower than the present FWHM by more than 0.1 %, since spectra cannot be sharpened.
    """
    sharper = target_fwhm < own_fwhm * 0.999
    if np.any(sharper):
        pixel = int(np.argmax(sharper))
        raise TemplateError(
            f"resolution: FWHM {target_fwhm[pixel]:.3f} Å requested at pixel {pixel}, but the templates have "
            f"{own_fwhm[pixel]:.3f} Å there and cannot be sharpened. Request a FWHM no smaller than theirs, or use a "
            "library of higher resolution."
        )
    return np.asarray(np.sqrt(np.clip(target_fwhm**2 - own_fwhm**2, 0, None)) / FWHM_PER_SIGMA)
