"""The pixels that a model covers, and batches of spectra on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.coordinates import Coordinates
from quietspec.spectra import Spectra

__all__ = ["Batch", "Grid"]


@dataclass(frozen=True, eq=False)
class Grid:
    """The pixels of one redshift and resolution that the model covers.

    Parameters
    ----------
    pixels : slice
        Which of a spectrum's pixels they are.
    rest : (n_pixels,)
        Rest-frame air wavelengths, Å.
    origin : float
        Rest-frame air wavelength of the spectrum's first pixel, Å.
    fwhm : (n_pixels,)
        Resolution of the model's features there, rest-frame FWHM in Å.
    vectors : (n_pixels, d)
        Basis of the prior: mean shape and components.
    truncation : (n_pixels,)
        1σ of what the basis leaves out of a shape.
    coordinates : Coordinates
        Coordinates in which spectra are fitted.
    """

    pixels: slice
    rest: FloatArray
    origin: float
    fwhm: FloatArray
    vectors: FloatArray
    truncation: FloatArray
    coordinates: Coordinates


@dataclass(frozen=True, eq=False)
class Batch:
    """Spectra on one grid, each in units of its typical error, in single precision.

    Parameters
    ----------
    flux, weight : (n_spectra, n_pixels)
        Flux and inverse variances on the pixels of `grid`; both 0 where masked.
    unit : (n_spectra,)
        Flux unit of each spectrum.
    grid : Grid
        The pixels.
    """

    flux: FloatArray
    weight: FloatArray
    unit: FloatArray
    grid: Grid

    @classmethod
    def of(cls, spectra: Spectra, rows: npt.NDArray[np.intp], grid: Grid) -> Self:
        """Take some spectra, each with a good pixel, so that single precision neither overflows nor underflows."""
        weight = spectra.ivar[rows, grid.pixels].astype(np.float64)
        used = weight > 0
        unit = np.sqrt(used.sum(axis=1) / weight.sum(axis=1))
        weight = (weight * unit[:, None] ** 2).astype(np.float32)
        # Where an inverse variance underflows, the flux may overflow.
        flux = np.where(weight > 0, spectra.flux[rows, grid.pixels], 0) / unit[:, None]
        return cls(flux.astype(np.float32), weight, unit, grid)
