"""SDSS ``spec`` files: the coadd, or the single exposures (data model: data.sdss.org, ``spec``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.extinction import SFD_SCALE, scaled_ebv
from quietspec.instruments import SDSS_BAD_BITS
from quietspec.io.reading.bulk import StackBulk
from quietspec.io.reading.columns import Columns, fits_columns
from quietspec.io.reading.content import Content
from quietspec.io.reading.conventions import find_name
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.options import ReadOptions
from quietspec.io.reading.tables import TableLayout, table_content
from quietspec.wavelengths import FWHM_PER_SIGMA

__all__ = ["content", "matches"]

_COLUMNS = {"flux", "loglam", "ivar", "wdisp"}
_REDDENING = (5.155, 3.793, 2.751, 2.086, 1.479)  # A/E(B−V) in u, g, r, i, z (Stoughton et al. 2002, Table 22)


def _is_spectrum(hdu: Any) -> bool:
    return {name.lower() for name in hdu.columns.names} >= _COLUMNS


def matches(file: FitsFile) -> bool:
    """Whether the first table has the columns of an SDSS coadd."""
    tables = file.tables()
    return bool(tables) and file.number(tables[0]) == 1 and _is_spectrum(tables[0])


def content(file: FitsFile, options: ReadOptions) -> Content:
    """Settle the content of the coadd, or of all single exposures."""
    layout = TableLayout(
        survey="SDSS",
        medium="vacuum",
        unit="1e-17 erg/s/cm^2/Angstrom",
        bad_bits=SDSS_BAD_BITS,
        mask_good=False,
        redshift=_redshift(file),
        ebv=scaled_ebv(_ebv(file.primary)),
        ebv_by=f"{SFD_SCALE:g} × that of REDDEN",
        fwhm=_fwhm,
    )
    spectra = [hdu for hdu in file.tables() if _is_spectrum(hdu)]
    if not options.exposures:
        return table_content(fits_columns(file, spectra[0]), options, layout)
    if len(spectra) < 2:
        raise ReadError(f"{file.path}: holds no single exposures (a lite file?); leave out exposures=True.")
    exposures = [table_content(fits_columns(file, hdu), options, layout) for hdu in spectra[1:]]
    return _side_by_side(exposures, [hdu.name for hdu in spectra[1:]])


def _redshift(file: FitsFile) -> float | None:
    """Z of the pipeline's best fit, from the one-row table SPECOBJ or SPALL."""
    for hdu in file.tables()[1:]:
        name = find_name(hdu.columns.names, ("z",))
        if name is not None and len(hdu.data) == 1:
            return float(hdu.numbers(name)[0])
    return None


def _ebv(header: Mapping[str, Any]) -> float | None:
    """E(B−V) from which REDDEN (extinction in u, g, r, i, z, mag; or REDDEN01, …) was made; None where unknown."""
    words: list[Any] = str(header.get("REDDEN", "")).split()
    words = words or [header.get(f"REDDEN{band:02d}") for band in range(1, 6)]
    try:
        magnitudes = np.array(words, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if magnitudes.shape != (len(_REDDENING),) or not np.all((magnitudes >= 0) & np.isfinite(magnitudes)):
        return None
    return float(np.median(magnitudes / _REDDENING))


def _fwhm(columns: Columns, wavelength: FloatArray) -> FloatArray | None:
    """FWHM in Å; WDISP is 1σ in pixels, of 10⁻⁴ dex in a coadd and of the detector in an exposure."""
    name = find_name(columns.values, ("wdisp",))
    if name is None or len(wavelength) < 2:
        return None
    return FWHM_PER_SIGMA * columns.values[name].astype(np.float64) * np.abs(np.gradient(wavelength))


def _side_by_side(exposures: list[Content], names: list[str]) -> Content:
    """One row per exposure, on the wavelengths of all: each has data on its own pixels; nothing is resampled."""
    wavelength = np.unique(np.concatenate([one.wavelength for one in exposures]))
    shape = (len(exposures), len(wavelength))
    flux, ivar, fwhm = np.full(shape, np.nan, np.float32), np.zeros(shape, np.float32), np.full(shape, np.nan)
    for row, one in enumerate(exposures):
        ascending = one.wavelength[one.order]
        place = np.searchsorted(wavelength, ascending)
        own_flux, own_ivar, _ = one.rows(np.arange(1))
        flux[row, place], ivar[row, place] = own_flux[0], own_ivar[0]
        if one.fwhm is not None:
            fwhm[row] = np.interp(wavelength, ascending, np.squeeze(one.fwhm)[one.order])
    first = exposures[0]
    where = str(first.path)
    return Content(
        survey="SDSS",
        path=first.path,
        wavelength=wavelength,
        medium=first.medium,
        flux=StackBulk(flux, where),
        noise=StackBulk(ivar, where),
        noise_kind="ivar",
        redshift=np.concatenate([one.redshift for one in exposures]),
        ebv=np.concatenate([one.ebv for one in exposures]),
        fwhm=fwhm if np.isfinite(fwhm).all() else None,
        unit=first.unit,
        units=first.units,
        warnings=(*first.warnings, "single exposures share one wavelength axis; each has data on its own pixels only"),
        meta={"exposures": tuple(names)},
    )
