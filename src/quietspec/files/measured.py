"""What was measured of the spectra of one file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from quietspec.arrays import FloatArray, IntArray
from quietspec.binning import SumPlan
from quietspec.files.light import Light
from quietspec.populations.result import Populations
from quietspec.populations.spaxels import on_spaxels

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["MeasuredFile"]


@dataclass(frozen=True, eq=False)
class MeasuredFile:
    """Populations of a file's spectra, with their place on the sky.

    Parameters
    ----------
    populations : Populations
        Results for all spectra, or for all bins or apertures.
    snr : (n_spectra,)
        Median S/N per pixel of what was measured.
    redshift : (n_spectra,)
        Its redshifts.
    spatial_shape : (ny, nx), optional
        Image the spectra of the input form.
    wcs : astropy.wcs.WCS, optional
        Celestial WCS of that image.
    light : Light, optional
        Brightness of what was measured, where the layout of the output has it.
    sums : SumPlan, optional
        The bins or apertures, if these were measured instead of spectra.
    spaxel_light : Light, optional
        Brightness of the spaxels of bins; that of other spectra is `light`.
    """

    populations: Populations
    snr: FloatArray
    redshift: FloatArray
    spatial_shape: tuple[int, int] | None = None
    wcs: WCS | None = None
    light: Light | None = None
    sums: SumPlan | None = None
    spaxel_light: Light | None = None

    @property
    def number(self) -> IntArray | None:
        """Row of each spaxel's measurements, (n_spaxels,): its bin or itself; −1 for none; None for apertures."""
        return np.arange(len(self.snr)) if self.sums is None else self.sums.number

    @property
    def on_sky(self) -> MeasuredFile:
        """The same with one row per spaxel, each with what was measured of its bin; apertures form no image."""
        if self.sums is None:
            return self
        if self.sums.number is None:
            return replace(self, spatial_shape=None, wcs=None)
        number, outside = self.sums.number, self.sums.number < 0
        snr, redshift = (np.where(outside, np.nan, values[number]) for values in (self.snr, self.redshift))
        populations = on_spaxels(self.populations, number)
        return replace(self, populations=populations, snr=snr, redshift=redshift, light=self._spread_light(number))

    def _spread_light(self, number: IntArray) -> Light | None:
        """Brightness of the bin of each spaxel: the mean over its spaxels."""
        if self.light is None:
            return None
        light, outside = self.light[np.maximum(number, 0)], number < 0
        size = np.bincount(number[~outside], minlength=len(self.snr))[number]
        flux, variance, snr, median = (
            np.where(outside, np.nan, values)
            for values in (light.flux / size, light.variance / size**2, light.snr, light.median / size)
        )
        return Light(flux, variance, snr, median)
