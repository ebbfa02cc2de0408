"""Large image HDUs at the start of a FITS file, filled piece by piece through a memory map."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from quietspec.io.checksums import UNSET, encoded_checksum, ones_complement_sum
from quietspec.io.writing.atomic import reserve

__all__ = ["MappedImages"]

_CHUNK = 2**24  # bytes summed at once


class MappedImages:
    """Image HDUs whose space is reserved on the disk and whose data are written in place.

    Parameters
    ----------
    partial : Path
        The file, empty.
    primary : astropy.io.fits.Header
        Header of the primary HDU, which has no data.
    headers : mapping of str to astropy.io.fits.Header
        Complete headers of the images, by name; each holds DATASUM and an unset CHECKSUM, which `complete` sets.
    path : Path
        Name for the error.

    Attributes
    ----------
    arrays : dict of str to array
        The data of each image, big-endian, in the shape its header gives; zero at first.

    Raises
    ------
    WriteError
        If the disk is too full.
    """

    def __init__(self, partial: Path, primary: fits.Header, headers: Mapping[str, fits.Header], path: Path) -> None:
        self._headers = headers
        self._starts: dict[str, int] = {}
        size = len(primary.tostring())
        for name, header in headers.items():
            self._starts[name] = size
            size += len(header.tostring()) + header.data_size_padded
        reserve(partial, size, path)
        with partial.open("r+b") as file:
            file.write(primary.tostring().encode("ascii"))
            file.flush()
            self._map = mmap.mmap(file.fileno(), size)
        self.arrays: dict[str, npt.NDArray[Any]] = {name: self._array(name) for name in headers}

    def _array(self, name: str) -> npt.NDArray[Any]:
        header = self._headers[name]
        shape = [header[f"NAXIS{number}"] for number in range(header["NAXIS"], 0, -1)]
        dtype = np.dtype(fits.BITPIX2DTYPE[header["BITPIX"]]).newbyteorder(">")
        return np.ndarray(shape, dtype, buffer=self._map, offset=self._starts[name] + len(header.tostring()))

    def release(self) -> None:
        """Hand over to the disk what was written, so that it no longer counts as memory of this process."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def complete(self) -> None:
        """Write the headers, each with the checksums of its HDU."""
        for name, header in self._headers.items():
            begin = self._starts[name] + len(header.tostring())
            datasum = ones_complement_sum(self._pieces(begin, begin + header.data_size_padded))
            header["DATASUM"] = (str(datasum), "data unit checksum")
            header["CHECKSUM"] = (UNSET, "HDU checksum")
            whole = ones_complement_sum([datasum.to_bytes(4, "big"), header.tostring().encode("ascii")])
            header["CHECKSUM"] = encoded_checksum(whole)
            self._map.seek(self._starts[name])
            self._map.write(header.tostring().encode("ascii"))

    def close(self) -> None:
        """Drop the map; the arrays can no longer be used."""
        self.arrays.clear()
        self._map.close()

    def _pieces(self, begin: int, end: int) -> Iterator[bytes]:
        for start in range(begin, end, _CHUNK):
            yield self._map[start : min(start + _CHUNK, end)]
            self.release()
