"""PypeIt: coadded spectra (``OneSpec``) and extracted ones (``spec1d``); masks mark good pixels, wavelengths are in
vacuum (its documentation, ``out_onespec`` and ``out_spec1D``).
"""  # noqa: D205  (one sentence would not say it)

from __future__ import annotations

from typing import Any

from quietspec.errors import ReadError
from quietspec.io.formats.finding_tables import table_asked_for
from quietspec.io.reading.columns import fits_columns
from quietspec.io.reading.content import Content
from quietspec.io.reading.conventions import find_name
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.options import ReadOptions
from quietspec.io.reading.tables import TableLayout, table_content

__all__ = ["content", "matches"]

_UNIT = "1e-17 erg/s/cm^2/Angstrom"  # of fluxes that PypeIt calibrated
#: Columns of wavelength, flux, inverse variance and mask, in the order of preference.
_COLUMNS = (
    ("wave", "flux", "ivar", "mask"),
    ("opt_wave", "opt_flam", "opt_flam_ivar", "opt_mask"),
    ("box_wave", "box_flam", "box_flam_ivar", "box_mask"),
    ("opt_wave", "opt_counts", "opt_counts_ivar", "opt_mask"),
    ("box_wave", "box_counts", "box_counts_ivar", "box_mask"),
)


def _columns(hdu: Any) -> tuple[str | None, ...] | None:
    """The columns of a table of PypeIt; None where it is another."""
    for wanted in _COLUMNS:
        found = tuple(find_name(hdu.columns.names, [name]) for name in wanted)
        if all(found[:3]):
            return found
    return None


def matches(file: FitsFile) -> bool:
    """Whether PypeIt wrote a table of spectra, as a keyword of its own says."""
    tables = [hdu for hdu in file.tables() if _columns(hdu) is not None]
    by_pypeit = any(key in file.primary for key in ("PYPEIT", "VERSPYP", "PYP_SPEC"))
    return bool(tables) and (by_pypeit or any(hdu.header.get("DMODCLS") in ("OneSpec", "SpecObj") for hdu in tables))


def content(file: FitsFile, options: ReadOptions) -> Content:
    """Settle the content of the coadd, or of the one extracted object that is asked for."""
    asked = table_asked_for(file, options)
    tables = [hdu for hdu in file.tables() if _columns(hdu) is not None]
    if asked is not None:
        hdu, options = asked
    elif len(tables) == 1:
        hdu = tables[0]
    else:
        names = ", ".join(each.name or str(file.number(each)) for each in tables)
        raise ReadError(f"{file.path}: holds {len(tables)} objects: {names}. Name one: flux_hdu={tables[0].name or 1}.")
    _, flux, ivar, mask = _columns(hdu) or (None,) * 4
    calibrated = bool(flux) and "counts" not in str(flux).lower() and hdu.header.get("FLUXED", True) is not False
    columns = fits_columns(file, hdu)
    layout = TableLayout(
        survey="PypeIt",
        flux=flux,
        noise=ivar,
        noise_kind="ivar",
        mask=mask,
        mask_good=True,
        medium="vacuum",
        wavelength_unit="Angstrom",
        unit=_UNIT if calibrated else "count",
        warnings=() if calibrated else ("the flux is not calibrated",),
        meta={"object": str(file.primary.get("TARGET", hdu.name)).strip()},
    )
    return table_content(columns, options, layout)
