"""Arrange what was measured of each spectrum as FITS: one image per parameter, and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntFlag
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from quietspec.io.writing import hdus
from quietspec.io.writing.provenance import Provenance

if TYPE_CHECKING:
    import numpy.typing as npt
    from astropy.table import Table

__all__ = ["parameter_hdus"]


def parameter_hdus(
    columns: Mapping[str, npt.NDArray[Any]],
    table: Table,
    axes: hdus.OutputAxes,
    flag_bits: type[IntFlag],
    provenance: Provenance,
    history: Sequence[str] = (),
) -> fits.HDUList:
    """Arrange parameters of spectra as FITS.

    Parameters
    ----------
    columns : mapping of str to (n_spectra,)
        Values that become one image each, where the spectra form an image: parameters, their errors ``…_err``,
        ``flags``.
    table : astropy.table.Table
        What becomes the table POPULATIONS, one row per spectrum.
    axes : OutputAxes
        Source of the maps' shape and WCS.
    flag_bits : type of IntFlag
        What the bits of ``flags`` mean.
    provenance : dict of str to (str, str)
        How they were found: value and comment by keyword, for the primary header and the table PROVENANCE.
    history : sequence of str
        HISTORY lines.

    Returns
    -------
    astropy.io.fits.HDUList
        PRIMARY, the images, POPULATIONS, PROVENANCE; with checksums.
    """
    table = table.copy(copy_data=False)
    for name in table.colnames:
        if table[name].dtype.kind == "U":  # FITS tables hold ASCII
            table[name] = np.array([hdus.fits_text(text) for text in table[name]], dtype=np.str_)
    primary = fits.PrimaryHDU(header=hdus.primary_header(provenance, history, axes))
    parts = [
        *hdus.spectrum_images(columns, axes, flag_bits),
        fits.BinTableHDU(table, name="POPULATIONS"),
        hdus.provenance_table(provenance),
    ]
    for part in parts:
        part.add_checksum()
    return fits.HDUList([primary, *parts])
