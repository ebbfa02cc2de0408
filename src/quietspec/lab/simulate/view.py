"""What an instrument sees of rest-frame spectra: its pixels within their wavelengths at a redshift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from quietspec.errors import TemplateError
from quietspec.lab.simulate.instruments import Instrument
from quietspec.wavelengths import SNR_WINDOW, in_window, rest_air

if TYPE_CHECKING:
    from quietspec.arrays import BoolArray, FloatArray

__all__ = ["View"]

_MIN_WINDOW_PIXELS = 5


@dataclass(frozen=True, eq=False)
class View:
    """Pixels of an instrument that rest-frame spectra cover at a redshift.

    Parameters
    ----------
    instrument : Instrument
        The instrument.
    redshift : float
        Redshift of the galaxy.
    wavelength : (n_pixels,)
        Observed Å, in the instrument's medium.
    rest_wavelength : (n_pixels,)
        Rest-frame air Å.
    fwhm : (n_pixels,)
        Resolution, observed Å.
    """

    instrument: Instrument
    redshift: float
    wavelength: FloatArray
    rest_wavelength: FloatArray
    fwhm: FloatArray

    @classmethod
    def of(cls, instrument: Instrument, redshift: float, wavelength: FloatArray) -> Self:
        """Select the pixels of an instrument that rest-frame spectra cover.

        Parameters
        ----------
        instrument : Instrument
            The instrument.
        redshift : float
            Redshift of the galaxy.
        wavelength : (n_rest_pixels,)
            Wavelengths of the spectra, rest-frame air Å.

        Returns
        -------
        View
            At least one pixel.

        Raises
        ------
        TemplateError
            If the spectra cover no pixel.
        """
        low, high = wavelength[0], wavelength[-1]
        # Cut roughly first: the conversion to air is not defined far outside. Air and vacuum differ by less than 3 Å.
        near = np.flatnonzero(in_window(instrument.wavelength / (1 + redshift), (low - 5, high + 5)))
        in_air = rest_air(instrument.wavelength[near], redshift, instrument.medium) if near.size else np.empty(0)
        inside = in_window(in_air, (low, high))
        if not inside.any():
            raise TemplateError(
                f"redshift {redshift:.4f} moves every pixel of {instrument.name} out of the templates' "
                f"{low:.0f}–{high:.0f} Å. Choose a smaller redshift."
            )
        pixels = near[inside]
        return cls(
            instrument=instrument,
            redshift=redshift,
            wavelength=instrument.wavelength[pixels],
            rest_wavelength=in_air[inside],
            fwhm=instrument.fwhm[pixels],
        )

    @property
    def snr_window(self) -> BoolArray:
        """Pixels where S/N is measured, (n_pixels,): the S/N window, or all if the instrument does not observe it."""
        window = in_window(self.rest_wavelength, SNR_WINDOW)
        return window if window.sum() >= _MIN_WINDOW_PIXELS else np.ones_like(window)
