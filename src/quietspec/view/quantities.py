"""The maps of a file: which there are, and their values and errors when one is asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import astropy.units as u
import numpy as np

from quietspec.arrays import FloatArray
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.hdu import Hdu
from quietspec.view.words import Name, name_of

__all__ = ["Quantity", "image_quantities", "table_quantities"]

_BULK = ("FLUX", "VAR", "MASK", "RESIDUAL")
_BESIDE = ("_ERR", "_IVAR", "_MASK", "_low", "_high", "_err")  # ends of names that belong to other quantities
_DO_NOT_USE = 1 << 30  # DONOTUSE of MANGA_DAPPIXMASK
_NOT_SHOWN = ("ebv", "reason", "flags", "seconds")


@dataclass(frozen=True)
class Quantity:
    """One number per spectrum.

    Parameters
    ----------
    name : str
        By which it is asked for.
    words : Name
        What people call it.
    values : callable
        Returns (n_spectra,) values.
    errors : callable, optional
        Returns their 1σ errors.
    """

    name: str
    words: Name
    values: Callable[[], FloatArray]
    errors: Callable[[], FloatArray] | None = None


def image_quantities(file: FitsFile, shape: tuple[int, int]) -> Mapping[str, Quantity]:
    """Find the images of a file, and the channels of its cubes of maps.

    Parameters
    ----------
    file : FitsFile
        A file that quietspec wrote, or MAPS of the MaNGA DAP.
    shape : (ny, nx)
        Of the images that count.

    Returns
    -------
    mapping of str to Quantity
        By name; that of a channel is ``HDU:CHANNEL``.
    """
    found = {}
    for hdu in file.images(2, 3):
        beside = hdu.name.endswith(_BESIDE) or hdu.name in _BULK
        if beside or hdu.name == "FLAGS" or hdu.shape[-2:] != shape:
            continue
        for channel, key in _channels(hdu):
            name = hdu.name + (f":{channel}" if channel else "")
            unit = _printed(str(hdu.header.get("BUNIT", "")))
            errors = _errors(file, hdu.name, key)
            found[name] = Quantity(name, name_of(name, unit), partial(_values, file, hdu, key), errors)
    return found


def _printed(unit: str) -> str:
    """A unit as it is printed, where astropy understands it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on the form
        try:
            return f"{u.Unit(unit):unicode}".removeprefix("1×")
        except ValueError:
            return unit


def _channels(hdu: Hdu) -> Iterator[tuple[str, int | None]]:
    """Names and numbers of the planes of an HDU; a single image has neither."""
    if len(hdu.shape) == 2:
        yield "", None
        return
    for number in range(hdu.shape[0]):
        width = len(str(hdu.shape[0]))
        given = hdu.header.get(f"C{number + 1:0{width}d}", hdu.header.get(f"C{number + 1:02d}"))
        yield str(given or number + 1), number


def _plane(hdu: Hdu, key: int | None) -> FloatArray:
    values = np.asarray(hdu[:] if key is None else hdu[key], dtype=np.float32)
    return values.ravel()


def _values(file: FitsFile, hdu: Hdu, key: int | None) -> FloatArray:
    """Values, NaN where the MANGA_DAPPIXMASK beside them says that they are not to be used."""
    values = _plane(hdu, key)
    if f"{hdu.name}_MASK" not in file:
        return values
    mask = file[f"{hdu.name}_MASK"]
    bits = np.asarray(mask[:] if key is None else mask[key], dtype=np.int64).ravel()
    return np.where(bits & _DO_NOT_USE, np.nan, values).astype(np.float32)


def _errors(file: FitsFile, name: str, key: int | None) -> Callable[[], FloatArray] | None:
    if f"{name}_ERR" in file:
        return lambda: _plane(file[f"{name}_ERR"], key)
    if f"{name}_IVAR" in file:
        return lambda: _from_ivar(_plane(file[f"{name}_IVAR"], key))
    return None


def _from_ivar(ivar: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(ivar > 0, 1 / np.sqrt(ivar), np.nan).astype(np.float32)


def table_quantities(table: Hdu) -> Mapping[str, Quantity]:
    """Find the columns of a table with one row per spectrum.

    Parameters
    ----------
    table : Hdu
        SPECTRA or POPULATIONS.

    Returns
    -------
    mapping of str to Quantity
        By name, in capitals; half the width of an interval is the error.
    """
    names = list(table.columns.names)
    found = {}
    for column in names:
        if column.endswith(_BESIDE) or column in _NOT_SHOWN:
            continue
        name = column.upper()
        words = name_of(name, _printed(str(table.columns[column].unit or "")))
        found[name] = Quantity(name, words, partial(table.numbers, column), _column_errors(table, column, names))
    return found


def _column_errors(table: Hdu, column: str, names: list[str]) -> Callable[[], FloatArray] | None:
    if f"{column}_err" in names:
        return lambda: table.numbers(f"{column}_err")
    if f"{column}_low" in names and f"{column}_high" in names:
        return lambda: 0.5 * (table.numbers(f"{column}_high") - table.numbers(f"{column}_low"))
    return None
