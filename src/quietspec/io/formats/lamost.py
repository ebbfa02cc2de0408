"""LAMOST spectra: tables since DR8, five rows of an image before (as the pages of its data releases say)."""

from __future__ import annotations

from typing import Any

import numpy as np

from quietspec.instruments import LAMOST_RESOLUTION
from quietspec.io.formats.finding_tables import table_asked_for
from quietspec.io.formats.iraf import planes_of
from quietspec.io.reading.columns import fits_columns
from quietspec.io.reading.content import Content
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.options import ReadOptions
from quietspec.io.reading.tables import TableLayout, table_content

__all__ = ["content", "matches"]

_ROWS = {0: "flux", 1: "ivar", 2: "wavelength", 3: "andmask", 4: "ormask"}
_NEEDED = {"flux", "ivar", "wavelength"}


def _tables(file: FitsFile) -> list[Any]:
    """The coadded spectrum, or those of the two arms of the medium-resolution survey."""
    known = [hdu for hdu in file.tables() if {name.lower() for name in hdu.columns.names} >= _NEEDED]
    return [hdu for hdu in known if hdu.name.upper().startswith("COADD")] or known[:1]


def matches(file: FitsFile) -> bool:
    """Whether the telescope is LAMOST and the spectrum where it puts it."""
    if "LAMOST" not in str(file.primary.get("TELESCOP", "")).upper():
        return False
    shape = file.hdus[0].shape
    return bool(_tables(file)) or (len(shape) == 2 and shape[0] == len(_ROWS))


def content(file: FitsFile, options: ReadOptions) -> tuple[Content, ...]:
    """Settle the content of the coadded spectrum, in one arm or two."""
    asked = table_asked_for(file, options)
    tables = _tables(file)
    if asked is not None:
        tables, options = [asked[0]], asked[1]
    columns = [fits_columns(file, hdu) for hdu in tables] or [planes_of(file, file.hdus[0], _ROWS)]
    power = LAMOST_RESOLUTION["low"] if len(_tables(file)) < 2 else LAMOST_RESOLUTION["medium"]
    layout = TableLayout(
        survey="LAMOST",
        medium="vacuum",
        wavelength_unit="Angstrom",
        mask_good=False,
        fwhm=lambda _, wavelength: np.asarray(wavelength / power),
        warnings=("LAMOST's fluxes are relative: their overall scale is arbitrary",),
        meta={"object": str(file.primary.get("DESIG", file.primary.get("OBJECT", ""))).strip()},
    )
    return tuple(table_content(each, options, layout) for each in columns)
