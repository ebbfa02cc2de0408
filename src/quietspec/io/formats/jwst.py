"""JWST: cubes (``s3d``) and extracted spectra (``x1d``, ``c1d``) of the calibration pipeline (its documentation)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from quietspec.errors import ReadError
from quietspec.instruments import JWST_BAD_BITS
from quietspec.io.formats.finding import flux_image, image_layout
from quietspec.io.formats.finding_tables import table_asked_for
from quietspec.io.reading.columns import fits_columns
from quietspec.io.reading.content import Content
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.images import image_content
from quietspec.io.reading.options import ReadOptions
from quietspec.io.reading.tables import TableLayout, table_content

__all__ = ["content", "matches"]

_EXTRACTED = ("EXTRACT1D", "COMBINE1D")
_BRIGHTNESS, _BRIGHTNESS_ERROR = "SURF_BRIGHT", "SB_ERROR"  # columns


def _spectra(file: FitsFile) -> list[Any]:
    return [hdu for hdu in file.tables() if hdu.name.upper() in _EXTRACTED]


def matches(file: FitsFile) -> bool:
    """Whether the telescope is JWST and there is a cube or an extracted spectrum."""
    return file.primary.get("TELESCOP") == "JWST" and bool(_spectra(file) or file.images(1, 2, 3))


def content(file: FitsFile, options: ReadOptions) -> Content:
    """Settle the content of a table of one source, or of a cube."""
    tables = _spectra(file)
    if not tables:
        flux = file[options.flux_hdu] if options.flux_hdu is not None else flux_image(file, options)
        if flux is None:
            raise ReadError(f"{file.path}: holds no image of spectra; it has {file.summary}.")
        known = image_layout(file, flux, options)
        known = replace(known, survey="JWST", bad_bits=JWST_BAD_BITS, mask_good=False, medium="vacuum")
        return image_content(file, replace(options, flux_hdu=None), known)
    asked = table_asked_for(file, options)
    if asked is not None:
        hdu, options = asked
    elif len(tables) == 1:
        hdu = tables[0]
    else:
        numbers = ", ".join(str(file.number(each)) for each in tables)
        raise ReadError(
            f"{file.path}: holds {len(tables)} spectra, in HDUs {numbers}. Name one: flux_hdu={file.number(tables[0])}."
        )
    bright = str(options.flux_hdu).upper() == _BRIGHTNESS and _BRIGHTNESS_ERROR in hdu.columns.names
    layout = TableLayout(
        survey="JWST",
        noise=_BRIGHTNESS_ERROR if bright else None,
        medium="vacuum",
        bad_bits=JWST_BAD_BITS,
        mask_good=False,
        meta={"object": str(file.primary.get("TARGPROP", file.primary.get("TARGNAME", ""))).strip()},
    )
    return table_content(fits_columns(file, hdu), options, layout)
