"""Wavelengths given as numbers, one per pixel: linear or logarithmic, one row for all spectra or one each, padded."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from quietspec.arrays import BoolArray, FloatArray
from quietspec.errors import ReadError
from quietspec.io.reading.axes import header_wavelength
from quietspec.io.reading.conventions import Named, find_name, find_role, named
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.hdu import readable
from quietspec.io.reading.options import ReadOptions
from quietspec.io.reading.units import to_angstrom
from quietspec.kinds import Medium

__all__ = ["Grid", "grid_of", "hdu_grid", "image_grid", "known_grid", "table_grid"]

_SAME = 0.02  # of a pixel: spectra whose wavelengths differ by less share them
_LN_RANGE = (6.0, 12.5)  # of ln(λ/Å), 400 Å to 27 µm; log10(λ/Å) lies below 5.5
_LOG_UNIT = re.compile(r"\s*(?:log|ln|dex)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Wavelengths of spectra.

    Parameters
    ----------
    wavelength : (n_kept,)
        Å, in the file's order.
    pixels : (n_pixels,) of bool, optional
        Those that have a wavelength; all by default.
    medium : {'air', 'vacuum'}, optional
        As the name says.
    rest : bool
        Whether the name says that they are in the rest frame.
    how : str
        Where they stand and how they are read.
    warnings : tuple of str
        What the user should know.
    """

    wavelength: FloatArray
    pixels: BoolArray | None = None
    medium: Medium | None = None
    rest: bool = False
    how: str = ""
    warnings: tuple[str, ...] = ()

    def question(self, options: ReadOptions, redshift: Any) -> str | None:
        """What wavelengths at rest leave open: the redshift in them, where neither the user nor the survey says it."""
        if not self.rest or options.redshift is not None or redshift is not None:
            return None
        return "has wavelengths at rest, as their name says.\nGive the redshift left in them: redshift=0."


def grid_of(values: Any, name: str, unit: str | None, options: ReadOptions, where: str) -> Grid:
    """Settle wavelengths that an array gives.

    Parameters
    ----------
    values : (n_pixels,) or (n_spectra, n_pixels)
        As in the file; NaN, 0 and negative values stand for no wavelength.
    name : str
        Name of the column or HDU, which may say that they are logarithms, in air or vacuum, or at rest.
    unit : str or None
        As in the file.
    options : ReadOptions
        What the user says: `wavelength_unit`, and the spectra chosen by `rows`.
    where : str
        The file and HDU, for messages.

    Returns
    -------
    Grid
        One axis for all spectra (chosen).

    Raises
    ------
    ReadError
        If the spectra have different wavelengths, or their unit is unknown or impossible.
    """
    what = named(name) or Named("wavelength")
    raw = np.ma.asarray(values)
    if raw.dtype.kind not in "fiu":
        raise ReadError(f"{where}: {name} does not hold numbers. Name others: wave_hdu=NAME.")
    array = np.ma.filled(raw.astype(np.float64), np.nan)
    unit = options.wavelength_unit or (None if unit is None else str(unit)) or what.unit
    logarithmic = what.log is not None or _LOG_UNIT.match(unit or "") is not None
    if not array.size:
        raise ReadError(f"{where}: {name} is empty. Name others: wave_hdu=NAME.")
    missing = ~np.isfinite(array) | (array == 0 if logarithmic else array <= 0)
    shared = _shared(_chosen(np.where(missing, np.nan, array), options), where)
    pixels = np.isfinite(shared)
    if not pixels.any():
        raise ReadError(f"{where}: {name} holds no wavelengths. Name others: wave_hdu=NAME.")
    if what.log is not None and _LOG_UNIT.match(unit or "") is None:
        unit = f"{_base(what.log, shared[pixels])}({unit or 'Angstrom'})"
    wavelength, assumed = to_angstrom(shared[pixels], unit, where)
    padded = int(np.sum(~pixels))
    notes = (assumed, f"{padded} pixel(s) without a wavelength are passed over" if padded else None)
    return Grid(
        wavelength=wavelength,
        pixels=pixels if padded else None,
        medium=what.medium,
        rest=what.rest,
        how=name + (f", in {unit}" if unit else ""),
        warnings=tuple(note for note in notes if note),
    )


def _base(said: str, values: FloatArray) -> str:
    """Base of logarithms; where the name leaves it open, the values tell: e^9 Å is 8103 Å, 10^9 Å no light."""
    if said in ("log10", "ln"):
        return said
    return "ln" if _LN_RANGE[0] < float(np.median(values)) < _LN_RANGE[1] else "log10"


def _chosen(rows: FloatArray, options: ReadOptions) -> FloatArray:
    """The rows of the spectra asked for, (n, n_pixels)."""
    rows = np.atleast_2d(rows)
    numbers = None if len(rows) == 1 else options.row_numbers(len(rows))
    return rows if numbers is None else rows[numbers]


def _shared(rows: FloatArray, where: str) -> FloatArray:
    """The one axis of all rows, (n_pixels,); NaN where none has a wavelength."""
    if len(rows) == 1:
        return np.asarray(rows[0])
    if not rows.size:
        raise ReadError(f"{where}: holds no wavelengths, as it has no rows.")
    known = np.isfinite(rows)
    first = rows[np.argmax(known, axis=0), np.arange(rows.shape[1])]
    steps = np.abs(np.diff(first[np.isfinite(first)]))
    tolerance = _SAME * float(np.median(steps)) if steps.size else 0.0
    apart = np.abs(rows - first)
    if np.any(apart[known] > tolerance):
        most = float(np.nanmax(apart))
        raise ReadError(
            f"{where}: the {len(rows)} spectra have different wavelengths (up to {most:.4g} apart in one pixel). "
            "Read one at a time: rows=0, rows=1, ….",
        )
    return np.asarray(first)


def image_grid(
    file: FitsFile,
    flux: Any,
    axis: int,
    options: ReadOptions,
    known: FloatArray | Grid | Callable[[], Grid] | None,
    where: str,
) -> Grid:
    """Wavelengths of the spectra in an image.

    Parameters
    ----------
    file : FitsFile
        The file.
    flux : HDU
        The image.
    axis : int
        FITS number of its spectral axis.
    options : ReadOptions
        What the user says: `wave_hdu` names another HDU.
    known : (n_pixels,), Grid or callable, optional
        What the survey says, Å; otherwise the header, or the table it names (FITS WCS Paper III, Section 6, -TAB).
    where : str
        The file and HDU, for messages.

    Returns
    -------
    Grid
        As long as the axis.

    Raises
    ------
    ReadError
        If there are none, or not as many as pixels.
    """
    header = flux.header
    table = header.get(f"PS{axis}_0") if str(header.get(f"CTYPE{axis}", "")).upper().endswith("-TAB") else None
    if options.wave_hdu is not None:
        grid = hdu_grid(file, options.wave_hdu, options, len(flux.shape) - axis)
    elif known is not None:
        grid = known_grid(known, "as the survey has them")
    elif table is not None:
        grid = hdu_grid(file, f"{table}:{header.get(f'PS{axis}_1', '')}", options)
    else:
        wavelength, assumed = header_wavelength(header, axis, options.wavelength_unit, where)
        grid = Grid(wavelength=wavelength, how=f"axis {axis} in the header", warnings=assumed)
    n_pixels, n_known = flux.shape[len(flux.shape) - axis], len(grid.wavelength if grid.pixels is None else grid.pixels)
    if n_pixels != n_known:
        raise ReadError(
            f"{where}: {n_pixels} pixels per spectrum but {n_known} wavelengths ({grid.how}). "
            "Name what holds the wavelengths of the pixels: wave_hdu=NAME."
        )
    return grid


def known_grid(known: FloatArray | Grid | Callable[[], Grid], how: str) -> Grid:
    """Wavelengths that a survey knows, or knows how to settle."""
    if isinstance(known, np.ndarray):
        return Grid(wavelength=known, how=how)
    return known if isinstance(known, Grid) else known()


def hdu_grid(file: FitsFile, key: str | int, options: ReadOptions, spectral: int | None = None) -> Grid:
    """Wavelengths that an HDU of their own holds.

    Parameters
    ----------
    file : FitsFile
        The file.
    key : str or int
        Name or number of an image or table HDU; ``HDU:COLUMN`` names a column of a table.
    options : ReadOptions
        What the user says.
    spectral : int, optional
        The array axis of a cube, or of rows, that runs along the wavelength; the last by default.

    Returns
    -------
    Grid
        As `grid_of` settles.

    Raises
    ------
    ReadError
        If there is no such HDU or column, or it holds no wavelengths.
    """
    name, _, column = str(key).partition(":")
    hdu = file[int(name) if name.isdecimal() else name]
    where = f"{file.path}, HDU {file.number(hdu)} {hdu.name}".rstrip()
    if not hdu.is_image:
        return table_grid(hdu, column, options, where)
    if not hdu.shape or 0 in hdu.shape:
        raise ReadError(f"{where}: is empty, so holds no wavelengths. Name others: wave_hdu=NAME.")
    values = hdu.numbers()
    if values.ndim > 1 and spectral is not None:
        values = np.moveaxis(values, spectral, -1)
    unit = hdu.header.get("BUNIT") or hdu.header.get("CUNIT1")
    return grid_of(values.reshape(-1, values.shape[-1]), hdu.name or "HDU", unit, options, where)


def table_grid(hdu: Any, column: str, options: ReadOptions, where: str) -> Grid:
    """Wavelengths of a column of a table HDU: the one named, or else the one whose name says so; see `hdu_grid`."""
    names = hdu.columns.names
    name = find_name(names, [column.lower()]) if column else find_role(names, "wavelength")
    if name is None:
        wanted = f"no column {column!r}" if column else "no column of wavelengths"
        raise ReadError(f"{where}: has {wanted}; it has {', '.join(names)}. Name one: wave_hdu=HDU:COLUMN.")
    with readable(where):
        values = np.asarray(hdu.data[name])
    return grid_of(values.reshape(1, -1) if len(values) == 1 else values, name, hdu.columns[name].unit, options, where)
