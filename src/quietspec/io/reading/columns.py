"""Columns of a table, whatever file it lies in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.errors import ReadError
from quietspec.io.reading.bulk import Bulk, ConstantBulk, StackBulk
from quietspec.io.reading.conventions import Role, find_name, find_role, without_unit
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.hdu import readable, require_memory
from quietspec.io.reading.options import ReadOptions

__all__ = ["Columns", "as_truth", "fits_columns", "listed"]

_TRUE, _FALSE = ("t", "true"), ("f", "false")
_LISTED = 30  # names of columns that a message lists


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of one table.

    Parameters
    ----------
    path : Path
        The file.
    where : str
        The file and HDU, for messages.
    values : mapping of str to array
        (n_pixels,) where one spectrum runs down the column, (n_spectra, n_pixels) where each row is one.
    units : mapping of str to (str or None)
        By column.
    header : mapping
        Header or metadata.
    file : FitsFile, optional
        The file itself, whose other HDUs may hold the wavelengths.
    nameless : bool
        Whether nothing in the file names the columns.
    """

    path: Path
    where: str
    values: Mapping[str, npt.NDArray[Any]]
    units: Mapping[str, str | None]
    header: Mapping[str, Any] = field(default_factory=dict)
    file: FitsFile | None = None
    nameless: bool = False

    def find(self, given: str | int | None, role: Role, affix: frozenset[str] | None = None) -> str | None:
        """Name of the column the user gave, else of the best with a conventional name; None if there is none."""
        if given is None:
            return find_role(self.values, role, affix)
        name = find_name(self.values, [str(given).lower()])
        if name is None:
            raise ReadError(f"{self.where}: has no column {given!r}; it has {listed(self.values)}.")
        return name

    @property
    def numeric(self) -> list[str]:
        """Names of the columns that hold numbers."""
        return [name for name, values in self.values.items() if values.dtype.kind in "fiu"]

    def rows(self, name: str) -> npt.NDArray[Any]:
        """One column as (n_spectra, n_pixels)."""
        return np.atleast_2d(self._numbers(name))

    def _numbers(self, name: str) -> npt.NDArray[Any]:
        values = self.values[name]
        if values.dtype.kind not in "fiub":
            raise ReadError(f"{self.where}: the column {name} does not hold numbers. Name another.")
        return values

    def bulk(self, name: str, shape: tuple[int, int]) -> Bulk:
        """One column as values for spectra of this shape: for every pixel, for every spectrum, or the same for all."""
        values = self._numbers(name)
        if values.shape == shape[:1] and values.shape != shape[1:]:
            return ConstantBulk(values, shape[1])
        if values.shape not in (shape, shape[1:], (1, shape[1])):
            raise ReadError(
                f"{self.where}: the column {name} of shape {values.shape} does not fit the fluxes, {shape[0]} spectra "
                f"of {shape[1]} pixels."
            )
        return StackBulk(values if values.shape == shape else values.ravel(), self.where, shape)

    def at(self, pixels: npt.NDArray[np.bool_] | None) -> Columns:
        """The same columns at some of their pixels."""
        if pixels is None:
            return self
        cut = {name: array[..., pixels] for name, array in self.values.items() if array.shape[-1:] == pixels.shape}
        return replace(self, values={**self.values, **cut})

    def renamed(self, options: ReadOptions) -> Columns:
        """The same columns by the meanings that the user gives them; those passed over by ``-`` are left out."""
        roles = options.column_roles(list(self.values))
        if not roles:
            return self
        in_order = "=" not in (options.columns or "")
        dropped = set(list(self.values)[: len((options.columns or "").split(","))]) if in_order else set()
        names = roles | {name: name for name in self.values if name not in roles and name not in dropped}
        taken = {role.lower() for role in roles.values()}
        kept = {old: new for old, new in names.items() if old in roles or new.lower() not in taken}
        return replace(
            self,
            values={new: self.values[old] for old, new in kept.items()},
            units={new: self.units.get(old) for old, new in kept.items()},
        )


def fits_columns(file: FitsFile, hdu: Any) -> Columns:
    """Columns of a FITS table HDU; its header is completed by the primary one."""
    names = {name: without_unit(name) for name in hdu.columns.names}
    if len({name for name, _ in names.values()}) < len(names):  # flux(a) and flux(b)
        names = {name: (name, None) for name in names}
    values = {}
    for column in hdu.columns:
        where = f"{hdu.where}, column {column.name}"
        with readable(where):
            values[names[column.name][0]] = _values(hdu.data[column.name], column.null, file.max_memory, where)
    return Columns(
        path=file.path,
        where=hdu.where,
        values=values,
        units={names[column.name][0]: column.unit or names[column.name][1] for column in hdu.columns},
        header={**dict(file.primary), **dict(hdu.header)},
        file=file,
    )


def _values(values: Any, null: Any, max_memory: float, where: str) -> npt.NDArray[Any]:
    """Values of a column as numbers where they can be: rows of any length padded with NaN, missing values NaN."""
    array = np.asarray(values)
    if array.ndim > 2:
        array = array.reshape(len(array), *(size for size in array.shape[1:] if size > 1))
    if array.dtype == object:
        rows = [np.asarray(row, dtype=np.float64).ravel() for row in array]
        longest = max((len(row) for row in rows), default=0)
        require_memory(8.0 * len(rows) * longest, max_memory, where)
        padded = np.full((len(rows), longest), np.nan)
        for number, row in enumerate(rows):
            padded[number, : len(row)] = row
        return padded
    if null is not None and array.dtype.kind in "iu" and np.any(array == int(null)):
        return np.where(array == int(null), np.nan, array)
    return _from_text(array) if array.dtype.kind in "SU" else array


def _from_text(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Numbers of a column that is text, with NaN for empty cells; the text where some of it is no number."""
    try:
        stripped = np.char.strip(array.astype(np.str_))
        return np.where(np.char.str_len(stripped) == 0, "nan", stripped).astype(np.float64)
    except (TypeError, ValueError):
        return as_truth(array)


def as_truth(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Text of true and false (``T``, ``False``) as such; other text as it is."""
    words = np.char.lower(np.char.strip(array.astype(np.str_)))
    return np.isin(words, _TRUE) if np.isin(words, (*_TRUE, *_FALSE)).all() else array


def listed(names: Iterable[str]) -> str:
    """Names for a message; of many, the first."""
    known = list(names)
    return ", ".join(known[:_LISTED]) + (f" and {len(known) - _LISTED} more" if len(known) > _LISTED else "")
