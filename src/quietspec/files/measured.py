"""What was measured of the spectra of one file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quietspec.arrays import FloatArray
from quietspec.files.light import Light
from quietspec.populations.result import Populations

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["MeasuredFile"]


@dataclass(frozen=True, eq=False)
class MeasuredFile:
    """Populations of a file's spectra, with their place on the sky.

    Parameters
    ----------
    populations : Populations
        Results for all spectra.
    snr : (n_spectra,)
        Median S/N per pixel of the input.
    redshift : (n_spectra,)
        Redshifts of the input.
    spatial_shape : (ny, nx), optional
        Image the spectra form.
    wcs : astropy.wcs.WCS, optional
        Celestial WCS of that image.
    light : Light, optional
        Brightness of the input, where the layout of the output has it.
    """

    populations: Populations
    snr: FloatArray
    redshift: FloatArray
    spatial_shape: tuple[int, int] | None = None
    wcs: WCS | None = None
    light: Light | None = None
