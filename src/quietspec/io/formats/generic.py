"""FITS files of no known survey: a cube, images with their noise beside them, or a table, whichever holds spectra."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from quietspec.errors import ReadError
from quietspec.io.formats.finding import (
    DIMENSIONS,
    SKY,
    flux_image,
    flux_images,
    has_noise,
    has_wavelengths,
    image_layout,
    label,
    the_one,
)
from quietspec.io.formats.finding_tables import flux_tables, table_asked_for, wavelengths_elsewhere
from quietspec.io.reading.columns import fits_columns, listed
from quietspec.io.reading.content import Content
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.images import image_content
from quietspec.io.reading.options import ReadOptions
from quietspec.io.reading.tables import TableLayout, table_content

__all__ = ["content", "matches"]


def matches(file: FitsFile) -> bool:
    """Whether anything in the file could be spectra."""
    return bool(file.images(*DIMENSIONS) or file.tables())


def content(file: FitsFile, options: ReadOptions) -> Content:
    """Settle the content of what holds the spectra.

    Parameters
    ----------
    file : FitsFile
        The file.
    options : ReadOptions
        What the user says; `flux_hdu` names an HDU, or a column.

    Returns
    -------
    Content
        A cube beats tables, as does another image with noise beside it; what is passed over is in its warnings.

    Raises
    ------
    ReadError
        If nothing in the file, or more than one thing, could be the spectra.
    """
    if options.flux_hdu is not None:
        hdu, options = _asked_for(file, options)
        return _of_image(file, hdu, options) if hdu.is_image else _of_table(file, hdu, options)
    image, tables = flux_image(file, options), flux_tables(file)
    whole = image is not None and has_wavelengths(file, image, options)
    if whole and (len(image.shape) >= 3 or not tables or has_noise(file, image)):
        others = [hdu for hdu in flux_images(file, options) if hdu is not image]
        return _with_note(_of_image(file, image, options), file, [*others, *tables])
    if tables:
        table = the_one(file, tables)
        return _with_note(_of_table(file, table, options), file, [image] if whole else [])
    if image is None or _is_picture(image, options):
        raise ReadError(f"{file.path}: {_nothing_found(file, image)}")
    return _of_image(file, image, options)


def _of_image(file: FitsFile, flux: Any, options: ReadOptions) -> Content:
    return image_content(file, replace(options, flux_hdu=None), image_layout(file, flux, options))


def _of_table(file: FitsFile, hdu: Any, options: ReadOptions) -> Content:
    layout = TableLayout(
        survey="FITS table",
        wavelength=wavelengths_elsewhere(file, hdu, options),
        meta={"object": str(file.primary.get("OBJECT", file.primary.get("TARGNAME", ""))).strip()},
    )
    return table_content(fits_columns(file, hdu), options, layout)


def _with_note(content: Content, file: FitsFile, passed_over: list[Any]) -> Content:
    notes = [
        f"HDU {label(file, hdu)} could hold spectra too and is passed over; read it by flux_hdu={file.number(hdu)}"
        for hdu in passed_over
    ]
    return replace(content, warnings=(*content.warnings, *notes))


def _asked_for(file: FitsFile, options: ReadOptions) -> tuple[Any, ReadOptions]:
    """The HDU that the user names, and what is left of the options."""
    key: Any = options.flux_hdu
    if str(key).isdecimal() or str(key).upper() in file.names:
        hdu = file[key]
        return hdu, options if hdu.is_image else replace(options, flux_hdu=None)
    table = table_asked_for(file, options)
    if table is None:
        columns = [name for hdu in file.tables() for name in hdu.columns.names]
        beside = f", nor a column of that name among {listed(columns)}" if columns else ""
        raise ReadError(f"{file.path}: has no HDU {key!r}{beside}; it has {file.summary}.")
    return table


def _is_picture(image: Any, options: ReadOptions) -> bool:
    """Whether an image is one of the sky, without an axis of wavelengths."""
    total = len(image.shape)
    axes = [axis for axis in range(1, total + 1) if image.shape[total - axis] > 1]
    celestial = [str(image.header.get(f"CTYPE{axis}", "")).upper().startswith(SKY) for axis in axes]
    return len(axes) == 2 and all(celestial) and options.wave_hdu is None


def _nothing_found(file: FitsFile, picture: Any) -> str:
    """Why nothing in the file is taken for spectra, and what to do."""
    if picture is not None:
        return (
            f"HDU {label(file, picture)} is an image of the sky, with no axis of wavelengths. Give spectra or a cube, "
            "or name them: flux_hdu=NAME."
        )
    tables = file.tables()
    if not tables:
        return f"which HDU holds the flux? It has {file.summary}. Name it: flux_hdu=NAME."
    columns = "; ".join(f"HDU {label(file, hdu)}: {listed(hdu.columns.names)}" for hdu in tables[:4])
    return (
        f"holds no table with columns of wavelength and flux. It has {columns}.\nName the columns: "
        f'flux_hdu={file.number(tables[0])} with columns="wave=COLUMN,flux=COLUMN,err=COLUMN".'
    )
