"""LAMOST low-resolution spectra: tables since DR8, five rows of an image before (as its data release pages say)."""

from __future__ import annotations

from typing import Any

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.instruments import LAMOST_RESOLUTION
from quietspec.io.formats.iraf import planes_of
from quietspec.io.reading.content import Content
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.options import ReadOptions
from quietspec.io.reading.tables import Columns, TableLayout, fits_columns, table_content

__all__ = ["content", "matches"]

_ROWS = {0: "flux", 1: "ivar", 2: "wavelength", 3: "andmask", 4: "ormask"}
_NEEDED = {"flux", "ivar", "wavelength"}


def _table(file: FitsFile) -> Any:
    return next((hdu for hdu in file.tables() if {name.lower() for name in hdu.columns.names} >= _NEEDED), None)


def matches(file: FitsFile) -> bool:
    """Whether the telescope is LAMOST and the spectrum where it puts it."""
    if "LAMOST" not in str(file.primary.get("TELESCOP", "")).upper():
        return False
    shape = file.hdus[0].shape
    return _table(file) is not None or (len(shape) == 2 and shape[0] == len(_ROWS))


def content(file: FitsFile, options: ReadOptions) -> Content:
    """Settle the content of the coadded spectrum."""
    hdu = _table(file)
    columns = planes_of(file, file.hdus[0], _ROWS) if hdu is None else fits_columns(file, hdu)
    layout = TableLayout(
        survey="LAMOST",
        medium="vacuum",
        wavelength_unit="Angstrom",
        mask_good=False,
        fwhm=_fwhm,
        warnings=("LAMOST's fluxes are relative: their overall scale is arbitrary",),
        meta={"object": str(file.primary.get("DESIG", file.primary.get("OBJECT", ""))).strip()},
    )
    return table_content(columns, options, layout)


def _fwhm(_: Columns, wavelength: FloatArray) -> FloatArray:
    return np.asarray(wavelength / LAMOST_RESOLUTION)
