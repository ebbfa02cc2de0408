"""Which tables of a FITS file hold spectra, and where the wavelengths of their rows are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from quietspec.io.reading.conventions import find_name, find_role, is_stranger
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.grids import Grid, hdu_grid
from quietspec.io.reading.options import ReadOptions

__all__ = ["flux_tables", "table_asked_for", "wavelengths_elsewhere"]


def flux_tables(file: FitsFile) -> list[Any]:
    """Tables with flux and wavelengths; without those that are named as something else, where there are others."""
    found = [
        hdu
        for hdu in file.tables()
        if find_role(hdu.columns.names, "flux") is not None
        and (
            find_role(hdu.columns.names, "wavelength") is not None
            or wavelengths_elsewhere(file, hdu, ReadOptions()) is not None
        )
    ]
    return [hdu for hdu in found if not is_stranger(hdu.name)] or found


def wavelengths_elsewhere(file: FitsFile, hdu: Any, options: ReadOptions) -> Callable[[], Grid] | None:
    """Find the wavelengths of a table whose rows are spectra but which has no column of wavelengths.

    Parameters
    ----------
    file : FitsFile
        The file.
    hdu : HDU
        The table.
    options : ReadOptions
        What the user says.

    Returns
    -------
    callable or None
        Settles those of an image or of another table with as many values; None where there is none, or no need.
    """
    flux = find_role(hdu.columns.names, "flux")
    if flux is None or options.wave_hdu is not None or find_role(hdu.columns.names, "wavelength") is not None:
        return None
    n_pixels = hdu.data[flux].shape[-1] if len(hdu.data) else 0
    images = {other.name: other for other in file.images(1, 2) if other.shape[-1] == n_pixels}
    name = find_role(images, "wavelength")
    if name is not None:
        return partial(hdu_grid, file, file.number(images[name]), options)
    for other in file.tables():
        column = None if other is hdu else find_role(other.columns.names, "wavelength")
        if column is not None and np.size(other.data[column]) == n_pixels:
            return partial(hdu_grid, file, f"{file.number(other)}:{column}", options)
    return None


def table_asked_for(file: FitsFile, options: ReadOptions) -> tuple[Any, ReadOptions] | None:
    """Find the table HDU that `flux_hdu` names, by its own name or number or that of a column; None for any other.

    Parameters
    ----------
    file : FitsFile
        The file.
    options : ReadOptions
        What the user says.

    Returns
    -------
    hdu : HDU
        The table.
    options : ReadOptions
        With `flux_hdu` the name of a column, or None.
    """
    key = options.flux_hdu
    if key is None:
        return None
    for hdu in file.tables():
        if (str(key).isdecimal() and file.number(hdu) == int(key)) or hdu.name.upper() == str(key).upper():
            return hdu, replace(options, flux_hdu=None)
    for hdu in file.tables():
        if find_name(hdu.columns.names, [str(key).lower()]) is not None:
            return hdu, options
    return None
