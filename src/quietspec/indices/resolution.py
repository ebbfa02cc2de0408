"""The resolution at which indices are measured: the spectrum's own, that of Lick/IDS, or another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import SpectraError
from quietspec.wavelengths import FWHM_PER_SIGMA, SPEED_OF_LIGHT

__all__ = ["Resolution", "added_sigma_to", "constant_sigma", "lick_fwhm"]

#: ``'own'``, ``'lick'``, a FWHM in rest-frame Å, or a function from rest-frame wavelengths to such FWHM.
Resolution = Literal["own", "lick"] | float | Callable[[FloatArray], FloatArray]

# Rest-frame wavelength and FWHM, Å: Worthey & Ottaviani 1997, ApJS 111, 377, Table 8.
_LICK = np.array([(4000.0, 11.5), (4400.0, 9.2), (4900.0, 8.4), (5400.0, 8.4), (6000.0, 9.8)])
_SHARPER = 0.999  # a target this much sharper than the spectrum is still taken as the same


def lick_fwhm(wavelength: FloatArray) -> FloatArray:
    """Interpolate the resolution of the Lick/IDS spectra.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Rest-frame Å.

    Returns
    -------
    (n_pixels,)
        FWHM in Å; constant below 4000 and above 6000 Å.

    References
    ----------
    Worthey & Ottaviani 1997, Table 8.

    Examples
    --------
    >>> import numpy as np
    >>> lick_fwhm(np.array([3900.0, 4650.0, 5200.0])).round(2)
    array([11.5,  8.8,  8.4])
    """
    return np.asarray(np.interp(wavelength, *_LICK.T))


def constant_sigma(sigma: float) -> Callable[[FloatArray], FloatArray]:
    """Make a resolution of constant σ in velocity, as the argument ``resolution``.

    Parameters
    ----------
    sigma : float
        σ in km/s.

    Returns
    -------
    callable
        From wavelengths (Å) to the FWHM (Å).

    Examples
    --------
    >>> import numpy as np
    >>> constant_sigma(200.0)(np.array([5000.0])).round(3)
    array([7.855])
    """
    return lambda wavelength: wavelength * (sigma / SPEED_OF_LIGHT * FWHM_PER_SIGMA)


def added_sigma_to(
    resolution: Resolution, rest_wavelength: FloatArray, own_fwhm: FloatArray | None
) -> FloatArray | None:
    """Compute the Gaussian that brings spectra to a resolution.

    Parameters
    ----------
    resolution : {'own', 'lick'}, float or callable
        Resolution wanted; a number is a FWHM in rest-frame Å, a function maps rest-frame wavelengths to such FWHM.
    rest_wavelength : (n_pixels,)
        Rest-frame Å.
    own_fwhm : float or (n_pixels,), optional
        FWHM of the spectra, rest-frame Å.

    Returns
    -------
    (n_pixels,) or None
        σ in Å; NaN where the spectra are coarser than wanted or their FWHM is unknown; None for ``'own'``.

    Raises
    ------
    SpectraError
        If the resolution is not understood, or that of the spectra is needed and unknown.

    Examples
    --------
    >>> import numpy as np
    >>> added_sigma_to(5.0, np.array([5000.0, 6000.0]), np.array([3.0, 6.0])).round(3)
    array([1.699,   nan])
    """
    if isinstance(resolution, str):
        if resolution == "own":
            return None
        if resolution != "lick":
            raise SpectraError(f"resolution: {resolution!r} is neither 'own', 'lick', a FWHM in Å nor a function.")
        resolution = lick_fwhm
    wanted = resolution(rest_wavelength) if callable(resolution) else np.full(rest_wavelength.shape, float(resolution))
    if not np.all(wanted > 0):
        raise SpectraError("resolution: the FWHM must be positive.")
    if own_fwhm is None:
        raise SpectraError("resolution: that of the spectra is unknown. Give it by `fwhm=`, or measure at 'own'.")
    squared = wanted**2 - np.where(np.asarray(own_fwhm) > 0, own_fwhm, np.nan) ** 2
    reached = wanted >= _SHARPER * np.asarray(own_fwhm)
    return np.where(reached, np.sqrt(np.clip(squared, 0, None)) / FWHM_PER_SIGMA, np.nan)
