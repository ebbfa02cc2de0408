"""Formats of surveys and instruments, told apart by HDU names and keywords, never by file names."""

from __future__ import annotations

from typing import Protocol

from quietspec.errors import ReadError
from quietspec.io.formats import califa, generic, manga, muse, own, phase3, sami, sdss
from quietspec.io.reading.content import Content
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.options import ReadOptions

__all__ = ["FORMATS", "Format", "fits_content"]


class Format(Protocol):
    """A module that knows one format."""

    def matches(self, file: FitsFile, /) -> bool:
        """Whether a file is of this format."""

    def content(self, file: FitsFile, options: ReadOptions, /) -> Content:
        """Settle what the file holds."""


#: In the order in which they are tried; the last takes all the others leave.
FORMATS: tuple[Format, ...] = (own, sami, manga, califa, muse, sdss, phase3, generic)


def fits_content(file: FitsFile, options: ReadOptions) -> Content:
    """Settle what a FITS file holds, by the first format that it matches."""
    for known in FORMATS:
        if known.matches(file):
            return known.content(file, options)
    raise ReadError(f"{file.path}: holds neither an image nor a table, so no spectra; it has {file.summary}.")
