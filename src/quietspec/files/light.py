"""How bright the spectra of an input are, as maps made by other programs state it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quietspec.arrays import BySpectrum, FloatArray
from quietspec.spectra import Spectra
from quietspec.statistics import masked_median

__all__ = ["Light", "light_of"]

#: Response of SDSS g to a point source at 1.3 airmasses, every 50 Å from 3630 Å: J. Gunn 2001, column ``respt`` of
#: ``filter_curves.fits`` of SDSS.
_G_RESPONSE = (
    0.0000, 0.0008, 0.0019, 0.0034, 0.0103, 0.0326, 0.0686, 0.1123, 0.1545, 0.1873, 0.2116, 0.2301, 0.2448, 0.2574,
    0.2691, 0.2801, 0.2899, 0.2979, 0.3055, 0.3141, 0.3224, 0.3284, 0.3327, 0.3364, 0.3403, 0.3448, 0.3495, 0.3541,
    0.3581, 0.3609, 0.3609, 0.3581, 0.3452, 0.2807, 0.1839, 0.0911, 0.0295, 0.0112, 0.0050, 0.0021, 0.0012, 0.0009,
    0.0006, 0.0003, 0.0000,
)  # fmt: skip
_G_WAVELENGTH = 3630.0 + 50.0 * np.arange(len(_G_RESPONSE))


@dataclass(frozen=True, eq=False)
class Light(BySpectrum):
    """Brightness of spectra; NaN where no good pixel counts.

    Parameters
    ----------
    flux, variance : (n_spectra,)
        Means of the flux and of its variance per pixel, weighted by the response of SDSS g.
    snr : (n_spectra,)
        Mean S/N per pixel, weighted alike.
    median : (n_spectra,)
        Median flux of all good pixels.
    """

    flux: FloatArray
    variance: FloatArray
    snr: FloatArray
    median: FloatArray


def light_of(spectra: Spectra) -> Light:
    """Measure the brightness of spectra as the MaNGA DAP does: weighted by SDSS g, on the good pixels it covers.

    Parameters
    ----------
    spectra : Spectra
        The spectra.

    Returns
    -------
    Light
        In the flux unit of the spectra.

    References
    ----------
    Westfall et al. 2019, AJ 158, 231, Section 4.

    Examples
    --------
    >>> import numpy as np
    >>> spectra = Spectra.from_arrays(np.arange(4000.0, 6000), np.ones(2000), 0.5, medium="air", redshift=0.0)
    >>> found = light_of(spectra)
    >>> found.flux.round(6), found.snr.round(6)
    (array([1.]), array([2.]))
    """
    good, weights = spectra.good, _g_weights(spectra.wavelength)
    flux = np.where(good, spectra.flux, 0.0)
    variance = np.where(good, spectra.sigma, 0.0) ** 2
    ratio = np.divide(flux, np.sqrt(variance), out=np.zeros_like(flux), where=good)
    total = good @ weights
    mean_flux, mean_variance, mean_ratio = (
        np.divide(each @ weights, total, out=np.full(len(flux), np.nan), where=total > 0)
        for each in (flux, variance, ratio)
    )
    return Light(mean_flux, mean_variance, mean_ratio, masked_median(spectra.flux, good))


def _g_weights(wavelength: FloatArray) -> FloatArray:
    return np.asarray(np.interp(wavelength, _G_WAVELENGTH, _G_RESPONSE) * np.gradient(wavelength))
