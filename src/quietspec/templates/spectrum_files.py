"""FITS files of one spectrum with wavelengths in the header, as of MILES, BC03, M11, BPASS and MaStar templates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quietspec.errors import TemplateError

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray

__all__ = ["read_spectra"]


def read_spectra(paths: Sequence[Path]) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Read spectra that share their wavelengths.

    Parameters
    ----------
    paths : sequence of Path
        One or more files, with the flux in the first HDU, sampled evenly in wavelength, or in its decimal logarithm if
        CTYPE1 is WAVE-LOG.

    Returns
    -------
    wavelength : (n_pixels,)
        Wavelengths in Å.
    flux : (n_spectra, n_pixels)
        Flux as in the files.
    resolving_power : (n_pixels,) or None
        λ/FWHM from the HDU SRES of the first file; None if it has none.

    Raises
    ------
    TemplateError
        If a file cannot be read, or its wavelengths differ from those of the first.
    """
    wavelength, first, resolving_power = _read(paths[0])
    flux = np.empty((len(paths), len(wavelength)))
    flux[0] = first
    for row, path in enumerate(paths[1:], start=1):
        own, spectrum, _ = _read(path)
        if own.shape != wavelength.shape or not np.allclose(own, wavelength, rtol=0, atol=1e-3):
            raise TemplateError(
                f"{path}: wavelengths {own[0]:.2f}–{own[-1]:.2f} Å ({len(own)} px) differ from those of "
                f"{paths[0].name}. Keep only spectra of one range and sampling in the folder."
            )
        flux[row] = spectrum
    return wavelength, flux, resolving_power


def _read(path: Path) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    from astropy.io import fits

    try:
        with fits.open(path) as hdus:
            header, flux = hdus[0].header, np.array(hdus[0].data, dtype=np.float64)
            resolving_power = np.array(hdus["SRES"].data, dtype=np.float64) if "SRES" in hdus else None
        step = header["CDELT1"] if "CDELT1" in header else header["CD1_1"]
        start = header["CRVAL1"] + step * (1 - header.get("CRPIX1", 1))
        logarithmic = header.get("CTYPE1") == "WAVE-LOG"
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise TemplateError(f"{path}: not a template spectrum ({error}). Download this file again.") from error
    if flux.ndim != 1 or (resolving_power is not None and resolving_power.shape != flux.shape):
        raise TemplateError(f"{path}: HDU 0 has shape {flux.shape}; a template is one spectrum, SRES of its length.")
    wavelength = start + step * np.arange(flux.size)
    return (10**wavelength if logarithmic else wavelength), flux, resolving_power
