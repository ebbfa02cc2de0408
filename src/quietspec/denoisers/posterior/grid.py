"""The pixels that a model covers, and batches of spectra on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.coordinates import Coordinates
from quietspec.extinction import transmission
from quietspec.spectra import Spectra
from quietspec.statistics import masked_median

__all__ = ["BasisGrid", "Batch", "Grid", "GridT", "inflation_of"]

_BRIGHTEST = 1000.0  # typical S/N per pixel: what models leave out of spectra is a thousandth of them or more
_PART, _UNEVEN = 0.1, 2.0  # share of pixels, more than lines have, whose S/N counts if it exceeds the median so far


@dataclass(frozen=True, eq=False)
class Grid:
    """The pixels of one redshift and resolution that the model covers.

    Parameters
    ----------
    pixels : slice
        Which of a spectrum's pixels they are.
    rest : (n_pixels,)
        Rest-frame air wavelengths, Å.
    fwhm : (n_pixels,)
        Resolution of the model's features there, rest-frame FWHM in Å.
    truncation : (n_pixels,)
        1σ of what the basis leaves out of a shape.
    """

    pixels: slice
    rest: FloatArray
    fwhm: FloatArray
    truncation: FloatArray


@dataclass(frozen=True, eq=False)
class BasisGrid(Grid):
    """The pixels of one redshift and resolution, and the basis there.

    Parameters
    ----------
    vectors : (n_pixels, d)
        Basis of the prior: mean shape and components.
    coordinates : Coordinates
        Coordinates in which spectra are fitted.
    """

    vectors: FloatArray
    coordinates: Coordinates


GridT = TypeVar("GridT", bound=Grid)


@dataclass(frozen=True, eq=False)
class Batch(Generic[GridT]):
    """Spectra on one grid, each in units of its typical error and without reddening, in single precision.

    Parameters
    ----------
    flux, weight : (n_spectra, n_pixels)
        Flux and inverse variances on the pixels of `grid`, by errors `inflation` times the quoted ones; both 0 where
        masked.
    unit : (n_spectra, 1) or (n_spectra, n_pixels)
        Flux unit of each spectrum, times what the dust of the Milky Way lets pass and the calibration they share.
    scale : (n_spectra,)
        Flux unit of each spectrum alone.
    inflation : (n_spectra,)
        Factor on the quoted errors, above 1 for bright spectra (`inflation_of`).
    grid : Grid
        The pixels.
    """

    flux: FloatArray
    weight: FloatArray
    unit: FloatArray
    scale: FloatArray
    inflation: FloatArray
    grid: GridT

    @classmethod
    def of(cls, spectra: Spectra, rows: npt.NDArray[np.intp], grid: GridT, factor: FloatArray | None = None) -> Self:
        """Take some spectra, each with a good pixel, so that single precision neither overflows nor underflows.

        Parameters
        ----------
        spectra : Spectra
            The spectra.
        rows : (n,) of int
            Which of them.
        grid : Grid
            Pixels that are taken.
        factor : (n_pixels,), optional
            By what the spectra are divided there.

        Returns
        -------
        Batch
            These spectra.
        """
        weight = spectra.ivar[rows, grid.pixels].astype(np.float64)
        used = weight > 0
        inflation = inflation_of(spectra.flux[rows, grid.pixels], weight)
        scale = np.sqrt(used.sum(axis=1) / weight.sum(axis=1)) * inflation
        unit = scale[:, None]
        if spectra.ebv[rows].any():
            unit = unit * transmission(spectra.wavelength[grid.pixels], spectra.ebv[rows])
        if factor is not None:
            unit = unit * factor
        weight = (weight * unit**2 / inflation[:, None] ** 2).astype(np.float32)
        # Where an inverse variance underflows, the flux may overflow.
        flux = np.where(weight > 0, spectra.flux[rows, grid.pixels], 0) / unit
        return cls(flux.astype(np.float32), weight, unit, scale, inflation, grid)

    def noise_constant(self, weight: FloatArray) -> FloatArray:
        """−½ Σ ln(2πσ²) over the pixels used, (n_spectra,), for inverse variances in units of each spectrum."""
        used = weight > 0
        terms = np.log(np.where(used, weight, 1)) - np.where(used, np.log(2 * np.pi) + 2 * np.log(self.unit), 0)
        return np.asarray(0.5 * terms.sum(axis=1, dtype=np.float64))


def inflation_of(flux: FloatArray, weight: FloatArray) -> FloatArray:
    """By how much errors are to be raised, so that the typical S/N per pixel is 1000 at most.

    It is the median, or the S/N that a tenth of the pixels exceed, if this is more than twice the median: part of the
    spectrum is bright, and not a few lines.

    What a model leaves out of spectra exceeds smaller errors by far. A fit that believes them goes astray, and beyond
    the digits of single precision its normal equations are no longer positive.

    Parameters
    ----------
    flux, weight : (n_spectra, n_pixels)
        Flux and inverse variances, 0 where masked.

    Returns
    -------
    (n_spectra,)
        Factors of 1 or more.
    """
    used = weight > 0
    snr = np.abs(np.where(used, flux, 0)) * np.sqrt(weight)
    inflation = np.ones(len(snr))
    rows = np.flatnonzero(snr.max(axis=1, initial=0) > _BRIGHTEST)
    if rows.size:
        level = masked_median(snr[rows], used[rows])
        bright = np.nanquantile(np.where(used[rows], snr[rows], np.nan), 1 - _PART, axis=1)
        inflation[rows] = np.maximum(np.where(bright > _UNEVEN * level, bright, level) / _BRIGHTEST, 1.0)
    return inflation
