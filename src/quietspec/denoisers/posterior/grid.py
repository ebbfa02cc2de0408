"""A batch of spectra on the pixels that a model covers, as its passes see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.coordinates import Coordinates
from quietspec.spectra import Spectra

__all__ = ["Grid", "Rows"]


@dataclass(frozen=True, eq=False)
class Grid:
    """The pixels of one redshift and resolution that the model covers.

    Parameters
    ----------
    pixels : slice
        Which of a spectrum's pixels they are.
    rest : (n_pixels,)
        Rest-frame air Å.
    origin : float
        Rest-frame air Å of the first pixel of the spectrum.
    fwhm : (n_pixels,)
        Resolution of what the model shows there, rest-frame Å.
    vectors : (n_pixels, d)
        Basis of the prior.
    truncation : (n_pixels,)
        1σ of what it leaves out of a shape.
    coordinates : Coordinates
        In which spectra are fitted.
    """

    pixels: slice
    rest: FloatArray
    origin: float
    fwhm: FloatArray
    vectors: FloatArray
    truncation: FloatArray
    coordinates: Coordinates


@dataclass(frozen=True, eq=False)
class Rows:
    """One batch of spectra at one redshift, in units of their typical error and single precision, as passes see it.

    Parameters
    ----------
    flux, weight : (n_spectra, n_pixels)
        Flux and inverse variances on the pixels of `grid`; both 0 where masked.
    unit : (n_spectra,)
        Flux unit of each.
    grid : Grid
        The pixels.
    """

    flux: FloatArray
    weight: FloatArray
    unit: FloatArray
    grid: Grid

    @classmethod
    def of(cls, spectra: Spectra, index: npt.NDArray[np.intp], grid: Grid) -> Self:
        """Take some spectra, each with a used pixel, so that single precision neither overflows nor underflows."""
        weight = spectra.ivar[index, grid.pixels].astype(np.float64)
        used = weight > 0
        unit = np.sqrt(used.sum(axis=1) / weight.sum(axis=1))
        flux = np.where(used, spectra.flux[index, grid.pixels], 0) / unit[:, None]
        weight *= unit[:, None] ** 2
        return cls(flux.astype(np.float32), weight.astype(np.float32), unit, grid)
