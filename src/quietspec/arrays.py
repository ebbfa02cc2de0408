"""Array types, checks that name what is wrong, and one way to select and join values that hold one row per spectrum."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from quietspec.errors import SpectraError

__all__ = [
    "SHARED", "BoolArray", "BySpectrum", "FloatArray", "IntArray", "as_floats", "groups", "join_rows", "require_noise",
    "require_shape", "require_wavelengths", "select_rows",
]  # fmt: skip

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
BoolArray = npt.NDArray[np.bool_]

SHARED: Mapping[str, bool] = {"shared": True}  #: metadata of a field that all spectra share, of a `BySpectrum`


@dataclass(frozen=True, eq=False)
class BySpectrum:
    """Base of frozen dataclasses whose fields hold one row per spectrum: arrays, other `BySpectrum`, mappings of these.

    Fields marked ``field(metadata=SHARED)`` are the same for all spectra; those that are None stay None.
    """

    def __getitem__(self, rows: Any) -> Self:
        """Select spectra by slice, list or mask."""
        return replace(self, **{name: select_rows(getattr(self, name), rows) for name in _row_fields(self)})

    @classmethod
    def stack(cls, parts: Sequence[Self]) -> Self:
        """Join several sets of spectra, in order.

        Parameters
        ----------
        parts : sequence
            At least one; what all spectra share is taken from the first.

        Returns
        -------
        Self
            All of them.
        """
        joined = {name: join_rows([getattr(part, name) for part in parts]) for name in _row_fields(parts[0])}
        return replace(parts[0], **joined)

    def with_rows(self, rows: npt.NDArray[np.intp], other: Self) -> Self:
        """Replace the spectra `rows` of a set by those of another, in order.

        Parameters
        ----------
        rows : (n_rows,) of int
            Spectra to replace; where one is named twice, the last counts.
        other : same type
            `n_rows` spectra to put there.

        Returns
        -------
        Self
            The changed set, a copy.
        """
        both = type(self).stack([self, other])
        first = next(value for value in (getattr(self, name) for name in _row_fields(self)) if value is not None)
        source = np.arange(len(first))
        source[rows] = len(first) + np.arange(len(rows))
        return both[source]


def _row_fields(value: BySpectrum) -> list[str]:
    return [field.name for field in fields(value) if not field.metadata.get("shared", False)]


def select_rows(value: Any, rows: Any) -> Any:
    """Rows of an array, of a `BySpectrum`, or of each value of a mapping or tuple; None stays None."""
    if value is None:
        return None
    if isinstance(value, tuple):
        return tuple(select_rows(one, rows) for one in value)
    if isinstance(value, Mapping):
        return {name: select_rows(one, rows) for name, one in value.items()}
    return value[rows]


def join_rows(values: Sequence[Any]) -> Any:
    """Join arrays, `BySpectrum` values, or mappings or tuples of these along their rows; None stays None."""
    first = values[0]
    if first is None:
        return None
    if isinstance(first, tuple):
        return tuple(join_rows(parts) for parts in zip(*values, strict=True))
    if isinstance(first, Mapping):
        return {name: join_rows([value[name] for value in values]) for name in first}
    if isinstance(first, BySpectrum):
        return type(first).stack(values)
    return np.concatenate(values)


def groups(values: npt.NDArray[Any]) -> Iterator[tuple[Any, npt.NDArray[np.intp]]]:
    """Split spectra into groups of one value.

    Parameters
    ----------
    values : (n_spectra,) or (n_spectra, …)
        One value (or vector) per spectrum; spectra with NaN belong to no group.

    Yields
    ------
    value : scalar or array
        In increasing order.
    rows : (n_rows,) of int
        The spectra that have it.
    """
    known = np.flatnonzero(~np.isnan(values).any(axis=tuple(range(1, values.ndim))))
    distinct, kind = np.unique(values[known], axis=0, return_inverse=True)
    for number, value in enumerate(distinct):
        yield value, known[kind.ravel() == number]


def as_floats(name: str, value: Any, ndim: int, dtype: type | None = None) -> FloatArray:
    """Bring numbers to a native-endian float array.

    Parameters
    ----------
    name : str
        What they are, for the message.
    value : array_like
        Numbers; float32 and float64 keep their precision, others become float64.
    ndim : int
        Number of dimensions wanted.
    dtype : type, optional
        Precision wanted.

    Returns
    -------
    array
        Of `ndim` dimensions.

    Raises
    ------
    SpectraError
        If these are no numbers, or have other dimensions.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"dtype {array.dtype}")
        keep = array.dtype.kind == "f" and array.dtype.itemsize <= 8
        target = np.dtype(dtype) if dtype else (array.dtype.newbyteorder("=") if keep else np.dtype(np.float64))
        array = array.astype(target, copy=False)
    except (TypeError, ValueError) as error:
        raise SpectraError(f"{name}: expected numbers, got {type(value).__name__} ({error}).") from error
    if array.ndim != ndim:
        raise SpectraError(f"{name}: expected {ndim} dimension(s), got shape {array.shape}.")
    return array


def require_shape(name: str, array: npt.NDArray[Any], *allowed: tuple[int, ...]) -> None:
    """Raise `SpectraError` unless an array has one of the allowed shapes."""
    if array.shape not in allowed:
        raise SpectraError(f"{name}: shape {array.shape} does not match {' or '.join(map(str, allowed))}.")


def require_wavelengths(name: str, wavelength: FloatArray) -> None:
    """Raise `SpectraError` unless these are at least two finite, positive, strictly increasing wavelengths (Å)."""
    if wavelength.size < 2:
        raise SpectraError(f"{name}: {wavelength.size} pixel(s); at least 2 are needed.")
    if not np.all(np.isfinite(wavelength)) or wavelength[0] <= 0:
        raise SpectraError(f"{name}: values must be finite and positive (Å).")
    steps = np.diff(wavelength)
    if np.any(steps <= 0):
        pixel = int(np.argmax(steps <= 0))
        raise SpectraError(
            f"{name}: not strictly increasing at pixel {pixel} "
            f"({wavelength[pixel]:.3f} → {wavelength[pixel + 1]:.3f} Å). Sort or split the spectrum."
        )


def require_noise(name: str, flux: FloatArray, ivar: FloatArray) -> None:
    """Raise `SpectraError` unless inverse variances are finite, not negative, and 0 where the flux is not finite."""
    if not np.all(ivar >= 0) or np.any(np.isinf(ivar)):
        row, pixel = np.argwhere(~((ivar >= 0) & np.isfinite(ivar)))[0]
        raise SpectraError(
            f"{name}.ivar: {ivar[row, pixel]} at spectrum {row}, pixel {pixel}; inverse variances must be finite and "
            "≥ 0. Set bad pixels to 0."
        )
    if np.any((ivar > 0) & ~np.isfinite(flux)):
        row, pixel = np.argwhere((ivar > 0) & ~np.isfinite(flux))[0]
        raise SpectraError(
            f"{name}.flux: {flux[row, pixel]} at spectrum {row}, pixel {pixel} whose ivar is not 0. "
            "Set the ivar of bad pixels to 0."
        )
