"""Spectra in ESO's Phase 3 table format, LEGA-C's among them (van der Wel et al. 2021, ApJS 256, 44)."""

from __future__ import annotations

from quietspec.arrays import FloatArray
from quietspec.io.reading.columns import Columns, fits_columns
from quietspec.io.reading.content import Content
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.options import ReadOptions
from quietspec.io.reading.tables import TableLayout, table_content

__all__ = ["content", "matches"]

_LEGAC_PROGRAMME = "194.A-2005"


def matches(file: FitsFile) -> bool:
    """Whether the first table calls itself a spectrum of the Virtual Observatory."""
    return any(str(hdu.header.get("VOCLASS", "")).upper().startswith("SPECTRUM") for hdu in file.tables()[:1])


def content(file: FitsFile, options: ReadOptions) -> Content:
    """Settle the content of the table: one row, vector columns."""
    header, table = file.primary, file.tables()[0]
    legac = _LEGAC_PROGRAMME in str(header.get("PROG_ID", ""))
    resolution = header.get("SPEC_RES")

    def fwhm(_: Columns, wavelength: FloatArray) -> FloatArray | None:
        known = isinstance(resolution, int | float) and resolution > 0
        return wavelength / resolution if known else None

    layout = TableLayout(
        survey="LEGA-C" if legac else "ESO Phase 3",
        mask_good=False,
        fwhm=fwhm,
        meta={"object": str(header.get("OBJECT", "")).strip()},
        warnings=() if not legac else ("FWHM from the nominal R = 2500; the objects' own is often better (R ≈ 3500)",),
    )
    return table_content(fits_columns(file, table), options, layout)
