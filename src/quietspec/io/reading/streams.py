"""Content of a file from beginning to end: plain, or unpacked only as far as its headers call for."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
import zlib
from typing import IO, Protocol

from quietspec.errors import ReadError
from quietspec.io.reading.opened import OpenedFile

__all__ = ["PlainStream", "Stream", "UnpackingStream"]

_CHUNK = 2**20
_FREELY_UNPACKED = 2**30  # bytes, whatever the size of the gzip file
_PACKED_BY = 50  # beyond that, gzip files that unpack to so many times their size hold no spectra; DEFLATE reaches 1032
_TRAILING = 2**24  # bytes that may follow the last HDU


class Stream(Protocol):
    """Content that is read from beginning to end."""

    file: IO[bytes]  #: the content, once all of it was passed

    def read(self, n: int) -> bytes:
        """Return the next `n` bytes, fewer at the end."""

    def skip(self, n: int) -> int:
        """Pass over `n` bytes; return how many there were."""

    def finish(self) -> None:
        """See that the rest is whole."""


class PlainStream:
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


class UnpackingStream:
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
