"""Open a FITS file safely: say what is wrong with a damaged one before any of its data is used."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, Self

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from quietspec.errors import ReadError
from quietspec.io.reading.checked import checksum_notes
from quietspec.io.reading.geometry import BLOCK, Geometry, header_geometry, read_header
from quietspec.io.reading.opened import OpenedFile
from quietspec.io.reading.options import MAX_MEMORY
from quietspec.io.reading.squeeze import n_axes

__all__ = ["FitsFile", "readable", "require_memory"]

_CHUNK = 2**20
_FREELY_UNPACKED = 2**30  # bytes, whatever the size of the gzip file
_PACKED_BY = 50  # beyond that, gzip files that unpack to so many times their size hold no spectra; DEFLATE reaches 1032
_TRAILING = 2**24  # bytes that may follow the last HDU


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
    hdus : sequence of astropy HDUs
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
        self._max_memory = max_memory
        self._owned: list[IO[bytes]] = [] if opened is source else [opened.file]
        try:
            stream = self._stream(opened)
            self._geometries = _scan(self.path, stream)
            for number, geometry in enumerate(self._geometries):
                where = f"{self.path}, HDU {number} {geometry.name}".rstrip()
                require_memory(max(geometry.working, 8 * max(geometry.shape, default=0)), max_memory, where)
            stale = () if ignore_checksum else checksum_notes(self.path, stream.file, self._geometries)
            self.hdus, unreadable = _hdus(self.path, stream.file, self._geometries)
            self.notes = (*stale, *unreadable)
        except BaseException:
            self.close()
            raise
        self._numbers = {id(hdu): number for number, hdu in enumerate(self.hdus)}

    def _stream(self, opened: OpenedFile) -> _Stream:
        if not opened.packed:
            return _Plain(opened)
        stream = _Unpacking(opened)
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

    def __getitem__(self, key: str | int) -> Any:
        """One HDU by name or number, or a `ReadError` that lists those there are."""
        if isinstance(key, str):
            if key in self:
                return self.hdus[self.names.index(key.upper())]
            if key.isdecimal() and key.isascii():
                key = int(key)
        if isinstance(key, int) and 0 <= key < len(self.hdus):
            return self.hdus[key]
        raise ReadError(f"{self.path}: has no HDU {key!r}; it has {self.summary}.")

    def __iter__(self) -> Iterator[Any]:
        return iter(self.hdus)

    @property
    def primary(self) -> fits.Header:
        """The primary header."""
        return self.hdus[0].header

    @property
    def names(self) -> list[str]:
        """Upper-case EXTNAMEs, in order."""
        return [hdu.name.upper() for hdu in self.hdus]

    @property
    def summary(self) -> str:
        """One phrase that lists the HDUs."""
        return ", ".join(f"{i} {hdu.name or '(no name)'}" for i, hdu in enumerate(self.hdus))

    def number(self, hdu: Any) -> int:
        """Place of an HDU in the file."""
        return self._numbers[id(hdu)]

    def where(self, hdu: Any) -> str:
        """The file and an HDU of it, for messages."""
        return f"{self.path}, HDU {self.number(hdu)} {hdu.name}".rstrip()

    def images(self, *dimensions: int) -> list[Any]:
        """HDUs that hold an image of one of these numbers of dimensions, without those of one pixel beyond three."""
        return [hdu for hdu in self.hdus if hdu.is_image and n_axes(hdu.shape) in dimensions]

    def tables(self) -> list[Any]:
        """HDUs that hold a table."""
        return [hdu for hdu in self.hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]

    def array(self, hdu: Any) -> npt.NDArray[Any]:
        """Read the whole data of an HDU; a `ReadError` if they are damaged or take too much memory.

        Parameters
        ----------
        hdu : astropy HDU
            Of this file.

        Returns
        -------
        array
            Values of an image, or a table as ``FITS_rec``.
        """
        where = self.where(hdu)
        require_memory(self._geometries[self.number(hdu)].unpacked, self._max_memory, where)
        with readable(where):
            values: npt.NDArray[Any] = hdu.data
            return values


@contextmanager
def readable(where: str) -> Iterator[None]:
    """Turn whatever a library stumbles over in damaged content into a `ReadError` that names the file and HDU.

    Parameters
    ----------
    where : str
        The file and HDU.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # remarks on the form; what matters is checked here
        try:
            yield
        except ReadError:
            raise
        except Exception as error:  # no list of exceptions would be complete
            reason = str(error) or type(error).__name__
            raise ReadError(
                f"{where}: cannot be read ({reason}). Is the file damaged, or did it change while it was open?"
            ) from error


def require_memory(needed: float, max_memory: float, where: str) -> None:
    """Raise `ReadError` where so many bytes are more than may be read at once.

    Parameters
    ----------
    needed : float
        Bytes of an array.
    max_memory : float
        GB allowed.
    where : str
        The file and HDU.
    """
    if needed > max_memory * 1e9:
        raise ReadError(
            f"{where}: to read it takes {needed / 1e9:.1f} GB of memory at once, more than the {max_memory:g} GB "
            f"allowed. If that is right, allow more: max_memory={np.ceil(needed / 1e9) + 1:.0f}."
        )


class _Stream(Protocol):
    """Content that is read from beginning to end."""

    file: IO[bytes]  #: the content, once all of it was passed

    def read(self, n: int) -> bytes:
        """Return the next `n` bytes, fewer at the end."""

    def skip(self, n: int) -> int:
        """Pass over `n` bytes; return how many there were."""

    def finish(self) -> None:
        """See that the rest is whole."""


class _Plain:
    """A plain file: what is passed over is not read."""

    def __init__(self, opened: OpenedFile) -> None:
        self.file: IO[bytes] = opened.file
        self._size = opened.size
        self.file.seek(0)

    def read(self, n: int) -> bytes:
        """Return the next bytes."""
        return self.file.read(n)

    def skip(self, n: int) -> int:
        """Pass over bytes."""
        there = min(n, self._size - self.file.tell())
        self.file.seek(there, os.SEEK_CUR)
        return there

    def finish(self) -> None:
        """Leave the rest unread."""


class _Unpacking:
    """A gzip file, unpacked into an unnamed temporary file as its headers call for it, and checked to its end."""

    def __init__(self, opened: OpenedFile) -> None:
        self._path, self._packed = opened.path, opened.size
        opened.file.seek(0)
        self._source = gzip.GzipFile(fileobj=opened.file)
        self.target = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `finish`)
        self.file: IO[bytes] = open(os.dup(self.target.fileno()), "rb")  # noqa: PTH123, SIM115  (astropy refuses a writable one)

    def read(self, n: int) -> bytes:
        """Unpack the next bytes."""
        try:
            chunk = self._source.read(n)
            self.target.write(chunk)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ReadError(f"{self._path}: the gzip file is truncated or damaged ({error}). Copy it again.") from error
        except OSError as error:
            raise self._no_room(error.strerror or str(error)) from error
        return chunk

    def skip(self, n: int) -> int:
        """Unpack bytes, if that many can be right."""
        whole = self.target.tell() + n
        if whole > max(_FREELY_UNPACKED, _PACKED_BY * self._packed):
            raise ReadError(
                f"{self._path}: unpacks to {whole / 1e9:.1f} GB, {whole / self._packed:.0f} times its size, as no file "
                "of spectra does. If that is right, gunzip it first."
            )
        if n > shutil.disk_usage(tempfile.gettempdir()).free:
            raise self._no_room(f"{n / 1e9:.1f} GB are needed")
        done = 0
        while done < n and (chunk := self.read(min(_CHUNK, n - done))):
            done += len(chunk)
        return done

    def finish(self) -> None:
        """Unpack the rest, since the checksum stands at the end."""
        if self.skip(_TRAILING) == _TRAILING:
            raise ReadError(f"{self._path}: goes on after its last HDU. If that is right, gunzip it first.")
        self.target.close()

    def _no_room(self, reason: str) -> ReadError:
        free = shutil.disk_usage(tempfile.gettempdir()).free / 2**30
        return ReadError(
            f"{self._path}: cannot be unpacked into {tempfile.gettempdir()}, {free:.1f} GiB free ({reason}). "
            "Set TMPDIR to a roomier folder, or gunzip the file first."
        )


def _scan(path: Path, stream: _Stream) -> list[Geometry]:
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
        geometry = header_geometry(header, start, f"{path}, HDU {len(found)}")
        there = stream.skip(geometry.end - geometry.data)
        if there < geometry.size:
            raise ReadError(
                f"{path}: truncated: HDU {len(found)} ({geometry.name or 'no name'}) ends at byte "
                f"{geometry.data + geometry.size:,} but the file has {geometry.data + there:,}. Copy it again."
            )
        found.append(geometry)


def _hdus(path: Path, file: IO[bytes], geometries: Sequence[Geometry]) -> tuple[list[Any], tuple[str, ...]]:
    """HDUs as astropy sees them, where it sees what is there; and a note on header cards that it cannot read."""
    file.seek(0)
    with readable(str(path)):
        opened = fits.open(file, mode="readonly", memmap=False, lazy_load_hdus=True)
        hdus = [opened[number] for number in range(len(geometries))]
        places = [hdu.fileinfo()["datLoc"] for hdu in hdus]
        dropped = [keyword for hdu in hdus for keyword in _drop_unreadable(hdu.header)]
    if places != [geometry.data for geometry in geometries]:
        raise ReadError(f"{path}: is not valid FITS: the sizes in its headers contradict each other. Copy it again.")
    return hdus, (f"unreadable header cards are left out: {', '.join(dropped)}",) if dropped else ()


def _drop_unreadable(header: fits.Header) -> list[str]:
    bad = []
    for index, card in reversed(list(enumerate(header.cards))):
        try:
            _ = card.keyword, card.value, card.comment
        except fits.VerifyError:
            bad.append(str(card.image[:8]).strip())
            del header[index]
    return bad
