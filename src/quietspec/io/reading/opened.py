"""A file held open, so that what is read and what is hashed are the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import zlib
from pathlib import Path
from typing import Self

from quietspec.errors import ReadError

__all__ = ["OpenedFile"]

_GZIP_MAGIC = b"\x1f\x8b"
_FITS_MAGIC = b"SIMPLE"


class OpenedFile:
    """An input, opened once: another file that takes its name meanwhile is not seen, a change in place is found out.

    Parameters
    ----------
    path : Path
        A regular file that is not empty.

    Attributes
    ----------
    path : Path
        Its name.
    file : binary file
        Its bytes.
    packed : bool
        Whether it begins as gzip.

    Raises
    ------
    ReadError
        If there is no such file, or it is none to read from.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._require_regular(os.stat(path))  # noqa: PTH116  (a pipe must not be opened: that waits for a writer)
            self.file = path.open("rb")
        except FileNotFoundError as error:
            raise ReadError(f"{path}: no such file.") from error
        except ReadError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise ReadError(f"{path}: cannot be opened ({getattr(error, 'strerror', None) or error}).") from error
        self._status = self._stat()
        self.packed = self._begins(_GZIP_MAGIC)
        self._sha256: str | None = None

    def _require_regular(self, status: os.stat_result) -> None:
        if stat.S_ISDIR(status.st_mode):
            raise ReadError(f"{self.path}: is a directory. Give a file in it.")
        if not stat.S_ISREG(status.st_mode):
            raise ReadError(
                f"{self.path}: is not a regular file but a pipe or device. Copy its content to a file first."
            )
        if status.st_size == 0:
            raise ReadError(f"{self.path}: the file is empty (0 bytes). Copy or download it again.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    @property
    def size(self) -> int:
        """Size in bytes when it was opened."""
        return self._status[0]

    def is_fits(self) -> bool:
        """Whether the content begins as FITS, gzipped or not."""
        if not self.packed:
            return self._begins(_FITS_MAGIC)
        self.file.seek(0)
        try:
            return gzip.GzipFile(fileobj=self.file).read(len(_FITS_MAGIC)) == _FITS_MAGIC
        except (OSError, EOFError, zlib.error) as error:
            raise ReadError(
                f"{self.path}: begins as a gzip file but cannot be unpacked ({error}). Copy it again."
            ) from error

    def sha256(self) -> str:
        """SHA-256 of the bytes, as 64 hexadecimal digits; a `ReadError` if the file changed since it was opened."""
        if self._sha256 is None:
            position = self.file.tell()
            self.file.seek(0)
            self._sha256 = hashlib.file_digest(self.file, "sha256").hexdigest()
            self.file.seek(position)
        self.require_unchanged()
        return self._sha256

    def require_unchanged(self) -> None:
        """Raise `ReadError` if the file was written to since it was opened."""
        if self._stat() != self._status:
            raise ReadError(
                f"{self.path}: changed while it was read, so that what was read is a mixture. Read it again."
            )

    def _stat(self) -> tuple[int, int]:
        status = os.fstat(self.file.fileno())
        return status.st_size, status.st_mtime_ns

    def _begins(self, magic: bytes) -> bool:
        self.file.seek(0)
        return self.file.read(len(magic)) == magic
