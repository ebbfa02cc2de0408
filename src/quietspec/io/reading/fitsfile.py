"""Open a FITS file safely: say what is wrong with a damaged one before any of its data is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Self

from astropy.io import fits

from quietspec.errors import ReadError
from quietspec.io.reading.checked import checksum_notes
from quietspec.io.reading.geometry import BLOCK, Geometry, header_geometry, read_header
from quietspec.io.reading.hdu import Hdu, readable, require_memory
from quietspec.io.reading.opened import OpenedFile
from quietspec.io.reading.options import MAX_MEMORY
from quietspec.io.reading.squeeze import n_axes
from quietspec.io.reading.streams import PlainStream, Stream, UnpackingStream

__all__ = ["FitsFile"]

_SHOWN = 5  # of the keywords that cannot be read
_LISTED = 30  # HDUs that a message lists


class FitsFile:
    """An open FITS file whose HDUs are all known to be complete.

    Data are read by section rather than memory-mapped: a section costs as little, and a mapped file that shrinks
    while it is read kills the process.

    Parameters
    ----------
    source : Path or OpenedFile
        The file, plain or gzipped; one that is open already is left open.
    max_memory : float
        GB that reading may take at once.
    ignore_checksum : bool
        Do not compare the content with the checksums that the file holds.

    Attributes
    ----------
    path : Path
        Name of the file.
    max_memory : float
        GB that reading may take at once.
    hdus : list of Hdu
        All there are.
    notes : tuple of str
        What is odd about the file, but does not keep it from being read.

    Raises
    ------
    ReadError
        If a header has no END or impossible sizes, the file is shorter than its headers promise or does not have its
        checksum, or reading it would take too much memory.
    """

    def __init__(
        self, source: Path | OpenedFile, *, max_memory: float = MAX_MEMORY, ignore_checksum: bool = False
    ) -> None:
        opened = source if isinstance(source, OpenedFile) else OpenedFile(source)
        self.path = opened.path
        self.max_memory = max_memory
        self._owned: list[IO[bytes]] = [] if opened is source else [opened.file]
        try:
            stream = self._stream(opened)
            geometries = _scan(self.path, stream, max_memory)
            stale = () if ignore_checksum else checksum_notes(self.path, stream.file, geometries)
            opened_hdus = _astropy_hdus(self.path, stream.file, geometries)
            self.hdus = [
                Hdu(hdu, geometry, _where(self.path, number, geometry.name), max_memory)
                for number, (hdu, geometry) in enumerate(zip(opened_hdus, geometries, strict=True))
            ]
            dropped = [keyword for hdu in self.hdus for keyword in hdu.dropped]
            shown = ", ".join(sorted(set(dropped))[:_SHOWN])
            unreadable = (f"{len(dropped)} unreadable header cards are left out, such as {shown}",) if dropped else ()
            self.notes = (*stale, *unreadable)
        except BaseException:
            self.close()
            raise
        self._numbers = {id(hdu): number for number, hdu in enumerate(self.hdus)}

    def _stream(self, opened: OpenedFile) -> Stream:
        if not opened.packed:
            return PlainStream(opened)
        stream = UnpackingStream(opened)
        self._owned += [stream.file, stream.target]
        return stream

    def close(self) -> None:
        """Close the file."""
        for file in self._owned:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __contains__(self, name: str) -> bool:
        return name.upper() in self.names

    def __getitem__(self, key: str | int) -> Hdu:
        """One HDU by name or number, or a `ReadError` that lists those there are."""
        if isinstance(key, str):
            if key in self:
                return self.hdus[self.names.index(key.upper())]
            if key.isdecimal() and key.isascii():
                key = int(key)
        if isinstance(key, int) and 0 <= key < len(self.hdus):
            return self.hdus[key]
        raise ReadError(f"{self.path}: has no HDU {key!r}; it has {self.summary}.")

    def __iter__(self) -> Iterator[Hdu]:
        return iter(self.hdus)

    @property
    def primary(self) -> fits.Header:
        """The primary header."""
        return self.hdus[0].header

    @property
    def names(self) -> list[str]:
        """Upper-case EXTNAMEs, in order."""
        return [hdu.name for hdu in self.hdus]

    @property
    def summary(self) -> str:
        """One phrase that lists the HDUs; of many, the first."""
        first = ", ".join(f"{i} {hdu.name or '(no name)'}" for i, hdu in enumerate(self.hdus[:_LISTED]))
        return first + (f" and {len(self.hdus) - _LISTED} more" if len(self.hdus) > _LISTED else "")

    def number(self, hdu: Hdu) -> int:
        """Place of an HDU in the file."""
        return self._numbers[id(hdu)]

    def images(self, *dimensions: int) -> list[Hdu]:
        """HDUs that hold an image of one of these numbers of dimensions, without those of one pixel beyond three."""
        return [hdu for hdu in self.hdus if hdu.is_image and n_axes(hdu.shape) in dimensions]

    def tables(self) -> list[Hdu]:
        """HDUs that hold a table."""
        return [hdu for hdu in self.hdus if hdu.is_table]


def _where(path: Path, number: int, name: str) -> str:
    return f"{path}, HDU {number} {name}".rstrip()


def _scan(path: Path, stream: Stream, max_memory: float) -> list[Geometry]:
    """Walk through all headers; the file is at least as long as they promise."""
    found: list[Geometry] = []
    while True:
        start = found[-1].end if found else 0
        first = stream.read(BLOCK)
        if found and not first.startswith(b"XTENSION"):  # nothing more, or special records
            stream.finish()
            return found
        header = read_header(first, stream.read)
        if header is None:
            raise ReadError(
                f"{path}: the header of HDU {len(found)} has no END; the file is truncated or damaged. Copy it again."
            )
        where = _where(path, len(found), "")
        geometry = header_geometry(header, start, where)
        there = stream.skip(geometry.end - geometry.data)
        if there < geometry.size:
            raise ReadError(
                f"{path}: truncated: HDU {len(found)} ({geometry.name or 'no name'}) ends at byte "
                f"{geometry.data + geometry.size:,} but the file has {geometry.data + there:,}. Copy it again."
            )
        require_memory(max(geometry.working, 8 * max(geometry.shape, default=0)), max_memory, where)
        found.append(geometry)


def _astropy_hdus(path: Path, file: IO[bytes], geometries: Sequence[Geometry]) -> list[Any]:
    """HDUs as astropy sees them, where it sees what is there."""
    file.seek(0)
    with readable(str(path)):
        opened = fits.open(file, mode="readonly", memmap=False, lazy_load_hdus=True)
        hdus = [opened[number] for number in range(len(geometries))]
        places = [hdu.fileinfo()["datLoc"] for hdu in hdus]
    if places != [geometry.data for geometry in geometries]:
        raise ReadError(f"{path}: is not valid FITS: the sizes in its headers contradict each other. Copy it again.")
    return hdus
