"""Formats of surveys and instruments, recognised by HDU names and keywords, never by file names.

A format of your own is an object with `matches` and `content`; `register_format` adds it.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

import numpy as np

from quietspec.errors import ReadError
from quietspec.io.formats import (
    califa,
    dap,
    deep2,
    desi,
    generic,
    iraf,
    jwst,
    lamost,
    manga,
    muse,
    ngist,
    own,
    phase3,
    pypeit,
    sami,
    sdss,
    weave,
)
from quietspec.io.reading.content import Content
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.options import ReadOptions

__all__ = ["FORMATS", "Format", "fits_content", "register_format"]


class Format(Protocol):
    """What knows one format: a module, or any object with these two methods."""

    def matches(self, file: FitsFile, /) -> bool:
        """Whether a file is of this format, by its HDU names and keywords; little should be read."""

    def content(self, file: FitsFile, options: ReadOptions, /) -> Content | tuple[Content, ...]:
        """Settle what the file holds: one content, or the arms of a spectrograph that lie in one file."""


#: In the order in which they are tried; the last takes all the others leave.
FORMATS: tuple[Format, ...] = (
    own, sami, dap, manga, califa, muse, desi, weave, sdss, lamost, pypeit, deep2, ngist, jwst, phase3, iraf, generic,
)  # fmt: skip

_registered: list[Format] = []

_F = TypeVar("_F", bound=Format)


def register_format(known: _F) -> _F:
    """Add a format of FITS files of your own; it is tried before those that quietspec knows.

    Parameters
    ----------
    known : Format
        Object with ``matches(file)`` and ``content(file, options)``; a module will do. Of several that match a file,
        the one registered last reads it.

    Returns
    -------
    Format
        The same object.

    Raises
    ------
    TypeError
        If a method is missing.

    Notes
    -----
    `quietspec.io.reading.images.image_content` and `quietspec.io.reading.tables.table_content` settle units, masks,
    wavelengths and the user's options from a layout that says what the file leaves unsaid. A format is known to the
    process that registered it; the workers of a batch are processes of their own.

    Examples
    --------
    Files of a spectrograph whose fluxes are in HDU SIGNAL and whose errors are in HDU SCATTER:

    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> import quietspec
    >>> from quietspec.io import register_format
    >>> from quietspec.io.reading.images import Layout, image_content
    >>> class Homemade:
    ...     def matches(self, file):
    ...         return file.primary.get("INSTRUME") == "HOMEMADE"
    ...
    ...     def content(self, file, options):
    ...         layout = Layout(
    ...             survey="homemade", flux="SIGNAL", noise="SCATTER", noise_kind="sigma", medium="air", fwhm=3.0,
    ...             unit="1e-17 erg/s/cm2/Angstrom", wavelength=np.asarray(file["GRID"].data, dtype=float),
    ...         )
    ...         return image_content(file, options, layout)
    >>> homemade = register_format(Homemade())
    >>> hdus = fits.HDUList([fits.PrimaryHDU()])
    >>> hdus[0].header["INSTRUME"], hdus[0].header["Z"] = "HOMEMADE", 0.05
    >>> for name, value in (("SIGNAL", np.full((2, 900), 3.0)), ("SCATTER", np.full((2, 900), 0.1))):
    ...     hdus.append(fits.ImageHDU(value, name=name))
    >>> hdus.append(fits.ImageHDU(4000 + 2.0 * np.arange(900), name="GRID"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     hdus.writeto(f"{folder}/mine.fits")
    ...     spectra = quietspec.read(f"{folder}/mine.fits")
    >>> spectra
    <Spectra: 2 spectra, 900 pixels, 4000–5798 Å in air, z 0.05, median S/N 30.0, homemade>
    """
    missing = [name for name in ("matches", "content") if not callable(getattr(known, name, None))]
    if missing or isinstance(known, type):
        what = "a class; give an object of it" if isinstance(known, type) else f"without {' and '.join(missing)}"
        raise TypeError(
            f"register_format: expected an object with matches(file) and content(file, options), not {what}."
        )
    _registered[:] = [known, *(other for other in _registered if other is not known)]
    return known


def fits_content(file: FitsFile, options: ReadOptions) -> tuple[Content, ...]:
    """Settle what a FITS file holds, by the first format that it matches.

    Parameters
    ----------
    file : FitsFile
        The open file.
    options : ReadOptions
        What the user says.

    Returns
    -------
    tuple of Content
        One, or the arms of a spectrograph that lie in one file; of the spectra that `options.rows` asks for.

    Raises
    ------
    ReadError
        If it holds no spectra, or something cannot be settled.
    """
    if options.plane_roles:
        return (iraf.content(file, options),)
    for known in (*_registered, *FORMATS):
        if known.matches(file):
            content = known.content(file, options)
            return tuple(_asked_for(one, options) for one in (content if isinstance(content, tuple) else (content,)))
    raise ReadError(f"{file.path}: holds neither an image nor a table, so no spectra; it has {file.summary}.")


def _asked_for(content: Content, options: ReadOptions) -> Content:
    """The spectra that `options.rows` asks for; all by default."""
    numbers = options.row_numbers(content.n_spectra)
    return content if numbers is None else content.select(np.array(numbers, dtype=np.intp))
