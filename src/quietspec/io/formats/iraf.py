"""Spectra in the rows of an image: IRAF's bands and multispec, and rows that are flux, error and sky (GAMA, SDSS DR7).

What the rows hold is said by BANDIDn or ROWn of the header, or by the user.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev, legendre

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.instruments import SDSS_BAD_BITS
from quietspec.io.formats.finding import image_layout
from quietspec.io.reading.axes import spectral_axis
from quietspec.io.reading.columns import Columns
from quietspec.io.reading.content import Content
from quietspec.io.reading.conventions import find_role
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.grids import Grid, grid_of, image_grid
from quietspec.io.reading.images import image_content
from quietspec.io.reading.options import ReadOptions
from quietspec.io.reading.tables import TableLayout, table_content

__all__ = ["content", "matches", "planes_of"]

_LABELS = ("BANDID", "ROW", "ARRAY", "PLANE")
_SPSPEC = {0: "flux", 1: "continuum subtracted", 2: "err", 3: "mask"}  # SDSS spSpec files, to DR7
_MULTISPEC = re.compile(r'spec(\d+)\s*=\s*"([^"]*)"')
_CURVES = {1: chebyshev.chebval, 2: legendre.legval}


def _image(file: FitsFile) -> Any:
    """The first image of several rows; None where there is none."""
    return next((hdu for hdu in file.images(2, 3) if 0 not in hdu.shape), None)


def matches(file: FitsFile) -> bool:
    """Whether the header says what the rows of the first image hold, or that each has its own wavelengths."""
    hdu = _image(file)
    return hdu is not None and (bool(_labels(hdu)) or _is_multispec(hdu.header))


def _is_multispec(header: Any) -> bool:
    return str(header.get("CTYPE1", "")).upper().startswith("MULTISPE")


def _labels(hdu: Any) -> dict[int, str]:
    """What the rows hold, by number from 0, as the header says; empty where it names no flux."""
    header = hdu.header
    if "COEFF0" in header and "SDSS" in str(header.get("TELESCOP", "")) and len(hdu.shape) == 2:
        return dict(list(_SPSPEC.items())[: hdu.shape[0]])
    for key in _LABELS:
        texts = {row: str(header[f"{key}{row + 1}"]) for row in range(hdu.shape[0]) if f"{key}{row + 1}" in header}
        labels = {row: text.partition(" - ")[0].strip() for row, text in texts.items()}
        if find_role(labels.values(), "flux") is not None:
            return labels
    return {}


def content(file: FitsFile, options: ReadOptions) -> Content:
    """Settle the content of an image whose rows hold different things, or spectra of different wavelengths."""
    hdu = _image(file) if options.flux_hdu is None else file[options.flux_hdu]
    if hdu is None:
        raise ReadError(f"{file.path}: has no image of several rows; it has {file.summary}. Leave out rows=.")
    roles = options.plane_roles or (_labels(hdu) if hdu.is_image and len(hdu.shape) > 1 else {})
    if roles:
        return _of_planes(file, hdu, options, roles)
    layout = image_layout(file, hdu, options)
    if not _is_multispec(hdu.header):
        return image_content(file, options, layout)
    return image_content(file, options, replace(layout, wavelength=lambda: _multispec(file, hdu, options)))


def _of_planes(file: FitsFile, hdu: Any, options: ReadOptions, roles: dict[int, str]) -> Content:
    columns = planes_of(file, hdu, roles)
    wavelength = None
    if find_role(columns.values, "wavelength") is None and options.wave_hdu is None:
        wavelength = lambda: _wavelengths(file, hdu, options)  # noqa: E731
    held = ", ".join(f"{row} {role}" for row, role in roles.items())
    layout = TableLayout(
        survey="FITS rows",
        wavelength=wavelength,
        bad_bits=SDSS_BAD_BITS if roles == _SPSPEC else None,
        mask_good=False if roles == _SPSPEC else None,
        warnings=() if options.plane_roles else (f"the rows of HDU {file.number(hdu)} are taken as {held}",),
        meta={"object": str(hdu.header.get("OBJECT", file.primary.get("OBJECT", ""))).strip()},
    )
    return table_content(columns, _without_rows(options), layout)


def _wavelengths(file: FitsFile, hdu: Any, options: ReadOptions) -> Grid:
    if _is_multispec(hdu.header):
        return _multispec(file, hdu, options)
    where = f"{file.path}, HDU {file.number(hdu)} {hdu.name}".rstrip()
    return image_grid(file, hdu, spectral_axis(hdu.header, hdu.shape), options, None, where)


def _without_rows(options: ReadOptions) -> ReadOptions:
    return replace(options, flux_hdu=None, rows=None if options.plane_roles else options.rows)


def planes_of(file: FitsFile, hdu: Any, roles: dict[int, str]) -> Columns:
    """The rows of an image as columns of a table.

    Parameters
    ----------
    file : FitsFile
        The file.
    hdu : HDU
        Image of shape (n_rows, n_pixels), or (n_rows, n_spectra, n_pixels) as IRAF's bands have it.
    roles : dict
        Names of rows by their numbers from 0; where two have one name, the second is called by its number too.

    Returns
    -------
    Columns
        By these names; the unit of the flux is BUNIT.

    Raises
    ------
    ReadError
        If the image has no rows, or not as many.
    """
    where = f"{file.path}, HDU {file.number(hdu)} {hdu.name}".rstrip()
    if not hdu.is_image or len(hdu.shape) not in (2, 3) or max(roles) >= hdu.shape[0]:
        rows = hdu.shape[0] if hdu.is_image and len(hdu.shape) > 1 else 1
        raise ReadError(f"{where}: has {rows} row(s), numbered from 0; rows= names number {max(roles)}.")
    data = np.asarray(hdu.data)
    values: dict[str, Any] = {}
    for row, role in sorted(roles.items()):
        name = role if role not in values else f"{role} {row}"
        values[name] = np.squeeze(data[row])
    flux = find_role(values, "flux")
    unit = hdu.header.get("BUNIT") or file.primary.get("BUNIT")
    return Columns(
        path=file.path,
        where=where,
        values=values,
        units={} if flux is None else {flux: unit},
        header={**dict(file.primary), **dict(hdu.header)},
        file=file,
    )


def _multispec(file: FitsFile, hdu: Any, options: ReadOptions) -> Grid:
    """Wavelengths of every row, as IRAF's WAT2 cards give them (Valdes 1993, the IRAF spectral world coordinates)."""
    header, where = hdu.header, f"{file.path}, HDU {file.number(hdu)} {hdu.name}".rstrip()
    cards = sorted(key for key in header if key.startswith("WAT2_"))
    text = "".join(str(header[key]).ljust(68) for key in cards)  # IRAF breaks it at 68 characters, blanks included
    specs = {int(number): spec.split() for number, spec in _MULTISPEC.findall(text)}
    n_rows, n_pixels = hdu.shape[-2] if len(hdu.shape) > 1 else 1, hdu.shape[-1]
    rows = np.array([_row(specs.get(row + 1), n_pixels, where, row) for row in range(n_rows)])
    found = re.search(r"units=(\w+)", str(header.get("WAT1_001", "")))
    return grid_of(rows, "multispec", found.group(1) if found else "Angstrom", options, where)


def _row(spec: list[str] | None, n_pixels: int, where: str, row: int) -> FloatArray:
    """Wavelengths of one row: linear, logarithmic, or a Chebyshev or Legendre polynomial."""
    problem = f"{where}: the wavelengths of row {row} are not given in a way that is read. Name others: wave_hdu=NAME."
    try:
        kind, start, step, used, redshift = (float(part) for part in (spec or [])[2:7])
        pixel = np.arange(1.0, n_pixels + 1)
        linear = start + step * (pixel - 1)
        if kind in (0, 1):
            wavelength: FloatArray = linear if kind == 0 else 10.0**linear
        elif kind == 2:
            _, _, function, order, low, high, *coefficients = (float(part) for part in (spec or [])[9:])
            place = (2 * pixel - (high + low)) / (high - low)
            wavelength = _CURVES[int(function)](place, coefficients[: int(order)])
        else:
            raise ReadError(problem)
    except (ValueError, KeyError, ZeroDivisionError) as error:
        if isinstance(error, ReadError):
            raise
        raise ReadError(problem) from error
    return np.asarray(np.where(pixel <= used, wavelength / (1 + redshift), np.nan))
