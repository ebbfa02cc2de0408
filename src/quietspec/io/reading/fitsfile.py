"""Open a FITS file safely: say what is wrong with a damaged one before any of its data is used."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, cast

from astropy.io import fits

from quietspec.errors import ReadError
from quietspec.io.reading.squeeze import n_axes

__all__ = ["FitsFile", "is_fits", "require_file"]

_BLOCK = 2880  # FITS standard 4.0, Section 3.1
_HEADER_LIMIT = 2000 * _BLOCK  # 72,000 cards; MUSE primary headers hold 1,300
_UNPACKED_LIMIT = 64 * 2**30
_CHUNK = 2**20
_GZIP_MAGIC = b"\x1f\x8b"


def require_file(path: Path) -> None:
    """Raise `ReadError` unless `path` is a file that holds something."""
    if path.is_dir():
        raise ReadError(f"{path}: is a directory. Give a file in it.")
    if not path.exists():
        raise ReadError(f"{path}: no such file.")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise ReadError(f"{path}: the file is empty (0 bytes). Copy or download it again.")
    except OSError as error:
        raise ReadError(f"{path}: cannot be opened ({error.strerror}).") from error


def is_fits(path: Path) -> bool:
    """Whether a file begins as FITS, gzipped or not."""
    with path.open("rb") as file:
        head = file.read(len(_GZIP_MAGIC))
    if head != _GZIP_MAGIC:
        with path.open("rb") as file:
            return file.read(6) == b"SIMPLE"
    try:
        with gzip.open(path) as file:
            return file.read(6) == b"SIMPLE"
    except (OSError, EOFError, zlib.error) as error:
        raise ReadError(f"{path}: begins as a gzip file but cannot be unpacked ({error}). Copy it again.") from error


def _unpacked(path: Path) -> IO[bytes]:
    """Copy of a gzip file's content in an unnamed temporary file: checked to its end, and read like a plain file."""
    target = tempfile.TemporaryFile()  # noqa: SIM115  (the caller closes it)
    try:
        with gzip.open(path) as source:
            while chunk := source.read(_CHUNK):
                target.write(chunk)
                if target.tell() > _UNPACKED_LIMIT:
                    raise ReadError(f"{path}: unpacks to more than {_UNPACKED_LIMIT / 2**30:.0f} GiB. Unpack it first.")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        target.close()
        raise ReadError(f"{path}: the gzip file is truncated or damaged ({error}). Copy it again.") from error
    except OSError as error:
        target.close()
        free = shutil.disk_usage(tempfile.gettempdir()).free / 2**30
        raise ReadError(
            f"{path}: cannot be unpacked into {tempfile.gettempdir()}, {free:.1f} GiB free ({error.strerror}). "
            "Set TMPDIR to a roomier folder, or gunzip the file first."
        ) from error
    except ReadError:
        target.close()
        raise
    with target:
        return open(os.dup(target.fileno()), "rb")  # noqa: PTH123  (astropy refuses a file open for writing)


def _header_ends(file: IO[bytes], offset: int) -> bool:
    """Whether a header that starts at `offset` has its END card, within a sane number of cards."""
    file.seek(offset)
    for _ in range(_HEADER_LIMIT // _BLOCK):
        block = file.read(_BLOCK)
        if any(block[i : i + 8] == b"END     " for i in range(0, len(block), 80)):
            return True
        if len(block) < _BLOCK:
            return False
    return False


@dataclass(frozen=True)
class FitsFile:
    """An open FITS file whose HDUs are all known to be complete.

    Data are read by section rather than memory-mapped: a section costs as little, and a mapped file that shrinks
    while it is read kills the process.
    """

    path: Path
    hdus: Any  #: astropy.io.fits.HDUList
    file: IO[bytes]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a FITS file, plain or gzipped, and check that no HDU is cut off.

        Parameters
        ----------
        path : Path
            An existing file.

        Returns
        -------
        FitsFile
            To be closed, or used as a context manager.

        Raises
        ------
        ReadError
            If a header has no END, or the file is shorter than its headers promise.
        """
        with path.open("rb") as start:
            packed = start.read(2) == _GZIP_MAGIC
        file = _unpacked(path) if packed else path.open("rb")
        try:
            file.seek(0, 2)
            hdus = _complete_hdus(path, file, file.tell())
        except BaseException:
            file.close()
            raise
        return cls(path, hdus, file)

    def close(self) -> None:
        """Close the file."""
        self.hdus.close()
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __contains__(self, name: str) -> bool:
        return name in self.hdus

    def __getitem__(self, key: str | int) -> Any:
        """One HDU by name or number, or a `ReadError` that lists those there are."""
        if isinstance(key, str) and key.isdigit():
            key = int(key)
        try:
            return self.hdus[key]
        except (KeyError, IndexError) as error:
            raise ReadError(f"{self.path}: has no HDU {key!r}; it has {self.summary}.") from error

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
        return next(i for i, other in enumerate(self.hdus) if other is hdu)

    def images(self, *dimensions: int) -> list[Any]:
        """HDUs that hold an image of one of these numbers of dimensions, without those of one pixel beyond three."""
        return [hdu for hdu in self.hdus if hdu.is_image and n_axes(hdu.shape) in dimensions]

    def tables(self) -> list[Any]:
        """HDUs that hold a table."""
        return [hdu for hdu in self.hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]


def _complete_hdus(path: Path, file: IO[bytes], size: int) -> Any:
    def require_header(offset: int, number: int) -> None:
        if not _header_ends(file, offset):
            raise ReadError(
                f"{path}: the header of HDU {number} has no END; the file is truncated or damaged. Copy it again."
            )

    require_header(0, 0)
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy's remarks on the form; what matters is checked here
        try:
            hdus = fits.open(file, mode="readonly", memmap=False, lazy_load_hdus=True)
            number = 0
            while True:
                info, hdu = hdus.fileinfo(number), hdus[number]
                packed = isinstance(hdu, fits.CompImageHDU)  # its size is that of the unpacked image
                needed = info["datLoc"] + cast(int, info["datSpan"] if packed else hdu.size)
                if needed > size:
                    raise ReadError(
                        f"{path}: truncated: HDU {number} ({hdu.name or 'no name'}) ends at byte {needed:,} "
                        f"but the file has {size:,}. Copy it again."
                    )
                offset, number = info["datLoc"] + info["datSpan"], number + 1
                file.seek(offset)
                if file.read(8) != b"XTENSION":  # nothing more, or special records
                    return hdus
                require_header(offset, number)
                hdus[number]
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            if isinstance(error, ReadError):
                raise
            raise ReadError(f"{path}: is not valid FITS ({error}).") from error
