"""Cubes rearranged so that the pixels of a spaxel lie together, in the background and in a temporary file.

A cube in a FITS file holds an image per wavelength, so that one spectrum of 3700 pixels takes as many reads, far apart.
The copy holds blocks of 32 wavelengths in which each spaxel's values are contiguous: it is read and written in
sequence, with little memory, and a spectrum takes one read per block.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.errors import ReadError
from quietspec.io.reading.bulk import Bulk, CubeBulk, Rows

__all__ = ["Columns", "rearrange"]

_BLOCK = 32  # wavelengths: 12 MB of a cube of 300 × 300 in single precision
_PREAD = hasattr(os, "pread")  # Windows has none: there all is read from the file itself
_SPARE = 1.2  # times the size of a copy that must be free on the disk


class Columns:
    """A cube whose spectra can be read fast: from a copy as far as that is made, else from the file.

    Parameters
    ----------
    bulk : CubeBulk
        The cube.
    path : Path
        Its file.
    lock : threading.RLock
        Held while astropy reads the file, which all cubes of a file share.

    Attributes
    ----------
    name : str
        Of its HDU.
    """

    def __init__(self, bulk: CubeBulk, path: Path, lock: RLock) -> None:
        self._hdu, self._bulk, self._lock = bulk.hdu, bulk, lock
        self._shape = bulk.shape
        self.name: str = self._hdu.name
        plain = self._hdu.contiguous or self._hdu.plain_integers
        self._source = _descriptor(path) if plain else None
        self._start = self._hdu.fileinfo()["datLoc"]
        self._dtype = np.dtype(f">{'f' if self._hdu.header['BITPIX'] < 0 else 'i'}{self._width}")
        if self._hdu.header["BITPIX"] == 8:
            self._dtype = np.dtype("u1")
        self._stored = self._dtype
        self._copy: Any = None
        self._blocks = 0

    @property
    def _width(self) -> int:
        return abs(int(self._hdu.header["BITPIX"])) // 8

    @property
    def shape(self) -> tuple[int, int]:
        """Number of spectra and of pixels."""
        return self._shape

    @property
    def nbytes(self) -> int:
        """Size of the copy."""
        return int(np.prod(self._shape)) * self._dtype.itemsize

    def planes(self, numbers: slice) -> npt.NDArray[Any]:
        """Images of consecutive wavelengths, (n, n_spectra)."""
        n_spectra = self._shape[0]
        if self._source is None:
            with self._lock:
                return np.asarray(self._hdu[numbers]).reshape(-1, n_spectra)
        size = n_spectra * self._dtype.itemsize
        values = os.pread(self._source, (numbers.stop - numbers.start) * size, self._start + numbers.start * size)
        if len(values) < (numbers.stop - numbers.start) * size:
            raise ReadError(f"{self._hdu.where}: ends within its data. Did the file change while it was open?")
        return np.frombuffer(values, self._dtype).reshape(-1, n_spectra)

    def build(self, stop: Callable[[], bool]) -> None:
        """Make the copy, unless `stop` says otherwise meanwhile or the disk is too full."""
        if not _PREAD or shutil.disk_usage(tempfile.gettempdir()).free < _SPARE * self.nbytes:
            return
        n_pixels = self._shape[1]
        self._copy = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (open as long as the cube)
        for start in range(0, n_pixels, _BLOCK):
            if stop():
                return
            planes = self.planes(slice(start, min(start + _BLOCK, n_pixels)))
            self._stored = planes.dtype
            self._copy.write(np.ascontiguousarray(planes.T).data)
            self._blocks += 1

    def rows(self, index: Rows) -> npt.NDArray[Any]:
        """Return the spectra of these numbers."""
        copied = min(self._blocks * _BLOCK, self._shape[1])
        rest = self._shape[1] - copied
        if rest and (self._source is None or len(index) > 1):
            with self._lock:
                return self._bulk.rows(index)
        return np.stack([self._row(int(row), copied) for row in index]) if len(index) else self._bulk.rows(index)

    def _row(self, row: int, copied: int) -> npt.NDArray[Any]:
        (n_spectra, n_pixels), width = self._shape, self._stored.itemsize
        pieces = []
        for start in range(0, copied, _BLOCK):
            size = min(_BLOCK, n_pixels - start)
            place = (start * n_spectra + row * size) * width
            pieces.append(os.pread(self._copy.fileno(), size * width, place))
        if self._source is not None:
            places = range(
                self._start + (copied * n_spectra + row) * width, self._start + self.nbytes, n_spectra * width
            )
            pieces += [os.pread(self._source, width, place) for place in places]
        return np.frombuffer(b"".join(pieces), self._stored)

    def close(self) -> None:
        """Remove the copy."""
        if self._copy is not None:
            self._copy.close()
        if self._source is not None:
            os.close(self._source)
            self._source = None


def _descriptor(path: Path) -> int | None:
    """Open a file that is not packed; None where it is."""
    if not _PREAD:
        return None
    descriptor = os.open(path, os.O_RDONLY)
    if os.pread(descriptor, 6, 0) == b"SIMPLE":
        return descriptor
    os.close(descriptor)
    return None


def rearrange(path: Path, lock: RLock, found: list[Columns]) -> Callable[[Bulk], Bulk]:
    """Make a function that replaces cubes by `Columns`, and leaves spectra that are contiguous already as they are.

    Parameters
    ----------
    path : Path
        File of the cubes.
    lock : threading.RLock
        As for `Columns`.
    found : list of Columns
        To which those that were made are added.

    Returns
    -------
    callable
        From a bulk to the one to read instead.
    """

    def replaced(bulk: Bulk) -> Bulk:
        if not isinstance(bulk, CubeBulk):
            return bulk
        found.append(Columns(bulk, path, lock))
        return found[-1]

    return replaced
