"""The logarithmic wavelength grid that pPXF needs, and the linear map that brings spectra and their errors to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quietspec.wavelengths import FWHM_PER_SIGMA, SPEED_OF_LIGHT, stretches

if TYPE_CHECKING:
    from scipy import sparse

    from quietspec.arrays import BoolArray, FloatArray

__all__ = ["LogGrid", "Rebinning"]

_LEAST_COVER = 0.7  # fraction of a pixel's weight that must come from good data
_REACH = 4.0  # σ at which smoothing kernels are cut
_NARROW = 0.7  # pixels; σ below which a sampled Gaussian is too narrow


@dataclass(frozen=True)
class LogGrid:
    """Pixels evenly spaced in ln λ. Grids of the same step share pixel borders, so they differ by whole pixels.

    Parameters
    ----------
    first, last : int
        Numbers of the first pixel and of the pixel after the last.
    velocity_scale : float
        Step c Δln λ, km/s.
    """

    first: int
    last: int
    velocity_scale: float

    @classmethod
    def within(cls, low: float, high: float, velocity_scale: float) -> LogGrid:
        """Return the pixels that lie wholly between two wavelengths (Å)."""
        step = velocity_scale / SPEED_OF_LIGHT
        return cls(int(np.ceil(np.log(low) / step)), int(np.floor(np.log(high) / step)), velocity_scale)

    def __len__(self) -> int:
        return max(self.last - self.first, 0)

    @property
    def borders(self) -> FloatArray:
        """Pixel borders, (n + 1,), Å."""
        return np.asarray(np.exp(np.arange(self.first, self.last + 1) * (self.velocity_scale / SPEED_OF_LIGHT)))

    @property
    def wavelength(self) -> FloatArray:
        """Geometric pixel centres, (n,), Å."""
        borders = self.borders
        return np.asarray(np.sqrt(borders[1:] * borders[:-1]))


class Rebinning:
    """Brings spectra to a `LogGrid` by the overlap of pixels, which keeps flux densities, and smooths them there.

    Both steps are one sparse matrix M, so that covariances transform exactly, as M C Mᵀ. Masked pixels have no weight:
    an output pixel is the mean of the good data under it, and is bad where less than 70 % of it is good.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Pixel centres of the data, Å; gaps remain gaps.
    grid : LogGrid
        The grid.
    added_fwhm : (n_pixels,), optional
        FWHM of the Gaussian to smooth with, Å, at the data's pixels; no smoothing by default.
    """

    def __init__(self, wavelength: FloatArray, grid: LogGrid, added_fwhm: FloatArray | None = None) -> None:
        if added_fwhm is None or not np.any(added_fwhm > 0):
            matrix = _overlaps(wavelength, grid)
        else:
            width = np.interp(grid.wavelength, wavelength, added_fwhm) / FWHM_PER_SIGMA
            smoothing, wider = _smoothing(width / np.diff(grid.borders), grid)
            matrix = smoothing @ _overlaps(wavelength, wider)
        self.matrix: sparse.csr_array = matrix.tocsr()
        self.grid = grid

    def __call__(self, flux: FloatArray, good: BoolArray) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Rebin spectra.

        Parameters
        ----------
        flux : (n_spectra, n_pixels)
            Flux densities.
        good : (n_spectra, n_pixels) of bool
            Pixels to use.

        Returns
        -------
        flux : (n_spectra, n_grid)
            Rebinned flux densities; 0 where bad.
        cover : (n_spectra, n_grid)
            Fraction of each output pixel's weight that is good data.
        good : (n_spectra, n_grid) of bool
            Where that fraction is large enough.
        """
        cover = np.asarray((self.matrix @ good.T.astype(np.float64)).T)
        fine = cover >= _LEAST_COVER
        total = (self.matrix @ np.where(good, flux, 0.0).T.astype(np.float64)).T
        return np.divide(total, cover, out=np.zeros_like(cover), where=fine), cover, fine

    def variance(self, variance: FloatArray, cover: FloatArray) -> FloatArray:
        """Return the variance of rebinned spectra, (n_spectra, n_grid), given that of the pixels (0 where unused)."""
        total = (self.matrix.power(2) @ variance.T.astype(np.float64)).T
        return np.asarray(total / np.maximum(cover, _LEAST_COVER) ** 2)

    def covariance(self, factor: FloatArray, independent: FloatArray, cover: FloatArray) -> FloatArray:
        """Return the covariance of one rebinned spectrum.

        Parameters
        ----------
        factor : (n_pixels, n_factors)
            F of the covariance F Fᵀ + diag(independent); 0 in masked pixels.
        independent : (n_pixels,)
            Variance that is independent from pixel to pixel; 0 in masked pixels.
        cover : (n_grid,)
            Fraction of each output pixel's weight that is good data.

        Returns
        -------
        (n_grid, n_grid)
            M (F Fᵀ + diag(independent)) Mᵀ, with the rows of M divided by `cover`.
        """
        from scipy import sparse

        matrix = sparse.diags_array(1 / np.maximum(cover, _LEAST_COVER)) @ self.matrix
        taken = matrix @ factor
        diagonal = (matrix @ sparse.diags_array(independent)) @ matrix.T
        return np.asarray(taken @ taken.T + diagonal.toarray())


def _overlaps(wavelength: FloatArray, grid: LogGrid) -> sparse.csr_array:
    """Return the fraction of each output pixel that each input pixel covers, (n_grid, n_pixels)."""
    from scipy import sparse

    low, high = _edges(wavelength)
    borders = grid.borders
    first = np.clip(np.searchsorted(borders, low, side="right") - 1, 0, len(grid))
    last = np.clip(np.searchsorted(borders, high, side="left"), 0, len(grid))
    count = np.maximum(last - first, 0)
    columns = np.repeat(np.arange(len(wavelength)), count)
    rows = first[columns] + np.arange(len(columns)) - np.repeat(np.cumsum(count) - count, count)
    overlap = np.minimum(high[columns], borders[rows + 1]) - np.maximum(low[columns], borders[rows])
    shares = np.maximum(overlap, 0) / np.diff(borders)[rows]
    return sparse.csr_array((shares, (rows, columns)), shape=(len(grid), len(wavelength)))


def _edges(wavelength: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return lower and upper edges of pixels: midway to their neighbours, but never across a gap."""
    low, high = np.empty_like(wavelength), np.empty_like(wavelength)
    for arm in stretches(wavelength):
        centres = wavelength[arm]
        between = (centres[1:] + centres[:-1]) / 2
        ends = (between[0], between[-1]) if between.size else (centres[0] - 0.5, centres[0] + 0.5)
        low[arm] = np.concatenate([[2 * centres[0] - ends[0]], between])
        high[arm] = np.concatenate([between, [2 * centres[-1] - ends[1]]])
    return low, high


def _smoothing(sigma: FloatArray, grid: LogGrid) -> tuple[sparse.csr_array, LogGrid]:
    """Return the matrix that smooths by a varying σ (pixels), (n, n + 2 reach), and the wider grid it is applied to."""
    from scipy import sparse
    from scipy.special import ive

    reach = int(np.ceil(_REACH * sigma.max())) + 1
    offset = np.arange(-reach, reach + 1)
    scaled = offset / np.maximum(sigma, _NARROW)[:, None]
    sampled = np.where(np.abs(scaled) < _REACH, np.exp(-0.5 * scaled**2), 0.0)
    # The samples of a narrow Gaussian have too small a variance; Lindeberg's (1990) discrete Gaussian does not.
    kernel = np.where(sigma[:, None] < _NARROW, ive(np.abs(offset), sigma[:, None] ** 2), sampled)
    kernel /= kernel.sum(axis=1, keepdims=True)
    wider = LogGrid(grid.first - reach, grid.last + reach, grid.velocity_scale)
    rows, columns = np.broadcast_arrays(np.arange(len(sigma))[:, None], np.arange(len(sigma))[:, None] + offset + reach)
    used = kernel > 0
    return sparse.csr_array((kernel[used], (rows[used], columns[used])), shape=(len(sigma), len(wider))), wider
