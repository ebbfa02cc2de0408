"""FITS files of no known survey: flux, noise, mask and wavelengths by the names they are usually given.

KCWI cubes and JWST s3d cubes come this way too: all they need is in their HDU names and headers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.instruments import JWST_BAD_BITS
from quietspec.io.reading.content import Content
from quietspec.io.reading.conventions import (
    FLUX_NAMES,
    FWHM_NAMES,
    LOG_WAVELENGTH_NAMES,
    MASK_NAMES,
    NOISE_NAMES,
    REDSHIFT_NAMES,
    RESOLUTION_NAMES,
    WAVELENGTH_NAMES,
    find_name,
    noise_kind_of,
)
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.images import Layout, image_content
from quietspec.io.reading.options import NoiseKind, ReadOptions
from quietspec.io.reading.tables import TableLayout, fits_columns, table_content
from quietspec.io.reading.units import to_angstrom

__all__ = ["content", "matches"]

_HDUCLAS3: dict[str, NoiseKind] = {"MSE": "variance", "RMSE": "sigma", "INVMSE": "ivar"}  # ESO's error types


def matches(file: FitsFile) -> bool:
    """Whether anything in the file could be spectra."""
    return bool(file.images(1, 2, 3) or file.tables())


def content(file: FitsFile, options: ReadOptions) -> Content:
    """Settle the content of the first table with a flux column, or of the image HDUs."""
    if options.flux_hdu is None or not _is_image(file, options.flux_hdu):
        for hdu in file.tables():
            names = FLUX_NAMES if options.flux_hdu is None else (str(options.flux_hdu).lower(),)
            wave = find_name(hdu.columns.names, WAVELENGTH_NAMES + LOG_WAVELENGTH_NAMES)
            if wave is not None and find_name(hdu.columns.names, names) is not None:
                columns = fits_columns(file.path, hdu, file.number(hdu))
                return table_content(columns, options, TableLayout(survey="FITS table"))
    flux = file[options.flux_hdu] if options.flux_hdu is not None else _flux(file)
    noise, kind = _noise(file, flux)
    jwst = file.primary.get("TELESCOP") == "JWST"
    wavelength, told = _wavelength(file, flux, options)
    layout = Layout(
        survey="JWST" if jwst else "KCWI" if "KCWI" in str(file.primary.get("INSTRUME", "")) else "FITS",
        flux=file.number(flux),
        noise=noise,
        noise_kind=kind,
        mask=_mask(file, flux),
        bad_bits=JWST_BAD_BITS if jwst else None,
        medium="vacuum" if jwst else None,
        wavelength=wavelength,
        fwhm=_fwhm(file, wavelength),
        redshift=_redshift(file),
        warnings=() if told is None else (told,),
        meta={"object": str(file.primary.get("OBJECT", file.primary.get("TARGNAME", ""))).strip()},
    )
    return image_content(file, options, layout)


def _is_image(file: FitsFile, key: str | int) -> bool:
    names = [name.upper() for name in file.names]
    return str(key).isdigit() or str(key).upper() in names


def _images(file: FitsFile, *dimensions: int) -> dict[str, Any]:
    """Image HDUs by name; a nameless one is named by its number."""
    return {hdu.name or str(file.number(hdu)): hdu for hdu in reversed(file.images(*dimensions))}


def _flux(file: FitsFile) -> Any:
    images = _images(file, 1, 2, 3)
    name = find_name(images, FLUX_NAMES) or find_name(images, ("primary",))
    others = [hdu for key, hdu in images.items() if noise_kind_of(key) is None and key.lower() not in MASK_NAMES]
    if name is None and len(others) != 1:
        raise ReadError(f"{file.path}: which HDU holds the flux? It has {file.summary}. Name it: --flux-hdu NAME.")
    return images[name] if name is not None else others[0]


def _noise(file: FitsFile, flux: Any) -> tuple[int | None, NoiseKind | None]:
    """Noise HDU of the flux's shape and what it holds: as ERRDATA says, else by name (RED_IVAR for RED_DATA)."""
    images = {name: hdu for name, hdu in _images(file, 1, 2, 3).items() if hdu.shape == flux.shape and hdu is not flux}
    prefix = flux.name.lower().rpartition("_")[0]
    wanted = [str(flux.header.get("ERRDATA", "")).lower(), *(f"{prefix}_{n}" for n in NOISE_NAMES), *NOISE_NAMES]
    name = find_name(images, [each for each in wanted if each])
    if name is None:
        return None, None
    return file.number(images[name]), _HDUCLAS3.get(images[name].header.get("HDUCLAS3", ""))


def _mask(file: FitsFile, flux: Any) -> int | None:
    images = {name: hdu for name, hdu in _images(file, 1, 2, 3).items() if hdu.shape == flux.shape}
    name = find_name(images, MASK_NAMES)
    return None if name is None else file.number(images[name])


def _wavelength(file: FitsFile, flux: Any, options: ReadOptions) -> tuple[FloatArray | None, str | None]:
    """Wavelengths (Å) of an image or table HDU beside the flux, as JWST's WCS-TABLE; they override its header."""
    images, where = _images(file, 1), str(file.path)
    name = find_name(images, WAVELENGTH_NAMES + LOG_WAVELENGTH_NAMES)
    if name is not None and images[name] is not flux:
        unit = options.wavelength_unit or images[name].header.get("BUNIT") or images[name].header.get("CUNIT1")
        return _linear(images[name].data, name, unit, where)
    for hdu in file.tables():
        name = find_name(hdu.columns.names, WAVELENGTH_NAMES + LOG_WAVELENGTH_NAMES)
        if name is not None:
            unit = options.wavelength_unit or hdu.columns[name].unit or flux.header.get("CUNIT3")
            return _linear(np.ravel(hdu.data[name]), name, unit, where)
    return None, None


def _linear(values: Any, name: str, unit: str | None, where: str) -> tuple[FloatArray, str | None]:
    values = np.asarray(values, dtype=np.float64)
    if name.lower() in LOG_WAVELENGTH_NAMES:
        return to_angstrom(10**values, unit or "Angstrom", where)
    return to_angstrom(values, unit, where)


def _fwhm(file: FitsFile, wavelength: FloatArray | None) -> FloatArray | None:
    images = _images(file, 1, 2)
    fwhm, resolution = find_name(images, FWHM_NAMES), find_name(images, RESOLUTION_NAMES)
    if fwhm is not None:
        return np.asarray(images[fwhm].data, dtype=np.float64)
    if resolution is not None and wavelength is not None:
        return np.asarray(wavelength / images[resolution].data, dtype=np.float64)
    return None


def _redshift(file: FitsFile) -> FloatArray | None:
    images = _images(file, 1)
    name = find_name(images, REDSHIFT_NAMES)
    return None if name is None else np.asarray(images[name].data, dtype=np.float64)
