"""Big arrays of a file, read a few spectra at a time."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from quietspec.errors import ReadError
from quietspec.io.reading.hdu import readable

__all__ = ["Bulk", "ConstantBulk", "CubeBulk", "PartBulk", "Rows", "StackBulk"]

_READ_AHEAD = 2**26  #: bytes

Rows = npt.NDArray[np.intp]


class Bulk(Protocol):
    """Values of shape (n_spectra, n_pixels), some rows of which can be read."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of spectra and of pixels."""

    def rows(self, index: Rows) -> npt.NDArray[Any]:
        """Return the spectra of these numbers, (len(index), n_pixels)."""


def _runs(lines: Rows) -> list[slice]:
    """Cover sorted distinct line numbers by slices of consecutive ones."""
    breaks = np.flatnonzero(np.diff(lines) > 1) + 1
    return [slice(int(run[0]), int(run[-1]) + 1) for run in np.split(lines, breaks)]


class CubeBulk:
    """A cube (n_pixels, ny, nx) in an image HDU; spectrum ``y * nx + x`` is spaxel (y, x)."""

    def __init__(self, hdu: Any, where: str) -> None:
        self._hdu, self._where = hdu, where
        self._n_pixels, self._ny, self._nx = hdu.shape
        self._block, self._held, self._next = np.empty((self._n_pixels, 0, self._nx)), range(0), 0

    @property
    def hdu(self) -> Any:
        """The HDU."""
        return self._hdu

    @property
    def shape(self) -> tuple[int, int]:
        """Number of spectra and of pixels."""
        return self._ny * self._nx, self._n_pixels

    def rows(self, index: Rows) -> npt.NDArray[Any]:
        """Return the spectra of these numbers; only the image lines they lie on are read."""
        y, x = np.divmod(index, self._nx)
        lines = np.unique(y)
        if not lines.size:
            return np.empty((0, self._n_pixels), dtype=np.float32)
        block = np.concatenate([self._lines(run) for run in _runs(lines)], axis=1)
        return np.asarray(block[:, np.searchsorted(lines, y), x].T)

    def _lines(self, run: slice) -> npt.NDArray[Any]:
        """Read image lines; the next ones too where lines are read in turn, since each read seeks in every plane."""
        if run.start not in self._held or run.stop - 1 not in self._held:
            line_bytes = self._n_pixels * self._nx * abs(int(self._hdu.header["BITPIX"])) // 8
            ahead = _READ_AHEAD // line_bytes if run.start == self._next else 0
            self._held = range(run.start, min(max(run.stop, run.start + ahead), self._ny))
            lines = slice(self._held.start, self._held.stop)
            self._block = _planes(self._hdu, lines, self._where)
        self._next = run.stop
        return self._block[:, run.start - self._held.start : run.stop - self._held.start]


class StackBulk:
    """Row-stacked spectra (n_spectra, n_pixels), in an image HDU or an array; a single row is repeated for all."""

    def __init__(self, data: Any, where: str, shape: tuple[int, int] | None = None) -> None:
        self._data, self._where = data, where
        own = (1, *data.shape) if len(data.shape) == 1 else tuple(data.shape)
        self._shape: tuple[int, int] = shape or own

    @property
    def shape(self) -> tuple[int, int]:
        """Number of spectra and of pixels."""
        return self._shape

    def rows(self, index: Rows) -> npt.NDArray[Any]:
        """Return the spectra of these numbers."""
        if len(self._data.shape) == 1:
            one = _section(self._data, (slice(None),), self._where)
            return np.broadcast_to(one, (len(index), len(one)))
        lines = np.unique(index)
        if not lines.size:
            return np.empty((0, self._shape[1]), dtype=np.float32)
        block = np.concatenate([_section(self._data, (run,), self._where) for run in _runs(lines)])
        return np.asarray(block[np.searchsorted(lines, index)])


class ConstantBulk:
    """One value per spectrum, the same at all its pixels."""

    def __init__(self, values: npt.NDArray[Any], n_pixels: int) -> None:
        self._values, self._n_pixels = values, n_pixels

    @property
    def shape(self) -> tuple[int, int]:
        """Number of spectra and of pixels."""
        return len(self._values), self._n_pixels

    def rows(self, index: Rows) -> npt.NDArray[Any]:
        """Return the spectra of these numbers."""
        return np.broadcast_to(self._values[index, None], (len(index), self._n_pixels))


class PartBulk:
    """Some spectra and some pixels of another bulk.

    Parameters
    ----------
    whole : Bulk
        What it is part of.
    spectra : (n_spectra,) of int, optional
        Numbers of its spectra; all by default.
    pixels : (n_pixels of the whole,) of bool, optional
        Which pixels it has; all by default.
    """

    def __init__(self, whole: Bulk, spectra: Rows | None = None, pixels: npt.NDArray[np.bool_] | None = None) -> None:
        self._whole, self._spectra, self._pixels = whole, spectra, pixels

    @property
    def shape(self) -> tuple[int, int]:
        """Number of spectra and of pixels."""
        n_spectra, n_pixels = self._whole.shape
        return (
            n_spectra if self._spectra is None else len(self._spectra),
            n_pixels if self._pixels is None else int(np.count_nonzero(self._pixels)),
        )

    def rows(self, index: Rows) -> npt.NDArray[Any]:
        """Return the spectra of these numbers."""
        values = self._whole.rows(index if self._spectra is None else self._spectra[index])
        return values if self._pixels is None else values[:, self._pixels]


def _planes(cube: Any, lines: slice, where: str) -> npt.NDArray[Any]:
    """Image lines of all planes of a cube; astropy's sections take five times as long where there are many planes."""
    if not cube.contiguous:
        return _section(cube, (slice(None), lines), where)
    (n_planes, ny, nx), info = cube.shape, cube.fileinfo()
    block = np.empty((n_planes, lines.stop - lines.start, nx), dtype=f">f{-cube.header['BITPIX'] // 8}")
    line = nx * block.itemsize
    for number, plane in enumerate(block):
        info["file"].seek(info["datLoc"] + (number * ny + lines.start) * line)
        values = info["file"].read(plane.nbytes)
        if len(values) < plane.nbytes:
            raise ReadError(f"{where}: ends within its data. Did the file change while it was open?")
        plane[:] = np.frombuffer(values, dtype=block.dtype).reshape(plane.shape)
    return block


def _section(data: Any, key: tuple[slice, ...], where: str) -> npt.NDArray[Any]:
    with readable(where):
        return np.asarray(data[key] if isinstance(data, np.ndarray) else data.section[key])
