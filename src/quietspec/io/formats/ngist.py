"""Spectra that nGIST (or GIST) prepared: natural logarithms of wavelengths at rest (Fraser-McKelvie et al. 2024).

``BinSpectra`` hold errors, ``AllSpectra`` variances, both under the name ESPEC.
"""

from __future__ import annotations

from quietspec.io.reading.columns import fits_columns
from quietspec.io.reading.content import Content
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.grids import hdu_grid
from quietspec.io.reading.options import ReadOptions
from quietspec.io.reading.tables import TableLayout, table_content

__all__ = ["content", "matches"]

_BINNED = "BIN_SPECTRA"


def matches(file: FitsFile) -> bool:
    """Whether a table of SPEC and ESPEC in rows and the table LOGLAM are there."""
    if "LOGLAM" not in file or len(file.tables()) < 2:
        return False
    return {"SPEC", "ESPEC"} <= set(file.tables()[0].columns.names)


def content(file: FitsFile, options: ReadOptions) -> Content:
    """Settle the content of the binned spectra, or of all spaxels."""
    table = file.tables()[0]
    binned = table.name.upper() == _BINNED
    layout = TableLayout(
        survey="nGIST",
        flux="SPEC",
        noise="ESPEC",
        noise_kind="sigma" if binned else "variance",
        wavelength=lambda: hdu_grid(file, "LOGLAM", options),
        redshift=0.0,
        warnings=("the wavelengths are at rest already, by the redshift that nGIST was given",),
    )
    return table_content(fits_columns(file, table), options, layout)
