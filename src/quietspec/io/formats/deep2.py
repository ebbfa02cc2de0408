"""DEEP2 ``spec1d`` files of Keck/DEIMOS: two arms, in electrons per hour and air (Newman et al. 2013, ApJS 208, 5).

Their column FWHM is the width of the extraction in pixels along the slit, no resolution.
"""

from __future__ import annotations

from quietspec.errors import ReadError
from quietspec.io.formats.finding_tables import table_asked_for
from quietspec.io.reading.columns import fits_columns
from quietspec.io.reading.content import Content
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.options import ReadOptions
from quietspec.io.reading.tables import TableLayout, table_content

__all__ = ["content", "matches"]

_COLUMNS = {"spec", "lambda", "ivar"}
_PAIRS = (("Horne-B", "Horne-R"), ("Bxspf-B", "Bxspf-R"), ("Horne-NL-B", "Horne-NL-R"), ("Bxspf-NL-B", "Bxspf-NL-R"))


def _extractions(file: FitsFile) -> dict[str, str]:
    """Names of the table HDUs with an extracted spectrum, by their names in capitals."""
    tables = (hdu for hdu in file.tables() if {name.lower() for name in hdu.columns.names} >= _COLUMNS)
    known = {name.upper(): name for pair in _PAIRS for name in pair}
    return {hdu.name.upper(): hdu.name for hdu in tables if hdu.name.upper() in known}


def matches(file: FitsFile) -> bool:
    """Whether an extraction of the DEEP2 pipeline is there, by its name and columns."""
    return bool(_extractions(file))


def content(file: FitsFile, options: ReadOptions) -> tuple[Content, ...]:
    """Settle the content of both arms of the optimal extraction, else the boxcar one, or of what is asked for."""
    found = _extractions(file)
    asked = table_asked_for(file, options)
    if asked is not None:
        hdu, options = asked
        names = [hdu.name]
    else:
        names = next(
            [found[name.upper()] for name in pair if name.upper() in found]
            for pair in _PAIRS
            if any(name.upper() in found for name in pair)
        )
    if not names:
        raise ReadError(f"{file.path}: holds no extracted spectrum; it has {file.summary}.")
    layout = TableLayout(
        survey="DEEP2",
        flux="SPEC",
        noise="IVAR",
        noise_kind="ivar",
        medium="air",
        wavelength_unit="Angstrom",
        unit="electron/hour",
        mask_good=False,
        fwhm=lambda *_: None,
        warnings=(
            "fluxes are in electrons per hour: their colours are those of the instrument",
            "no mask is used: ivar is 0 in bad pixels",
        ),
        meta={"object": str(file[names[0]].header.get("OBJNO", file.primary.get("OBJECT", ""))).strip()},
    )
    return tuple(table_content(fits_columns(file, file[name]), options, layout) for name in names)
