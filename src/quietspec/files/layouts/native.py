"""Our own layout: one image per quantity and one per error, and a table of all, which is alone without an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.files.layouts.base import Contents, Layout
from quietspec.files.measured import MeasuredFile
from quietspec.io.writing.parameters import parameter_hdus
from quietspec.populations.result import PopulationFlag

if TYPE_CHECKING:
    from astropy.io import fits
    from astropy.table import Table

__all__ = ["NATIVE", "native_files", "table_of"]


def native_files(contents: Contents) -> dict[str, fits.HDUList]:
    """Arrange measurements as PRIMARY, images, POPULATIONS and PROVENANCE.

    Parameters
    ----------
    contents : Contents
        The measurements.

    Returns
    -------
    dict of str to astropy.io.fits.HDUList
        One file, under the empty ending.
    """
    measured = contents.measured
    hdus = parameter_hdus(
        _images(measured), table_of(measured), contents.source, PopulationFlag, contents.facts, contents.history
    )
    return {"": hdus}


def table_of(measured: MeasuredFile) -> Table:
    """Tabulate all that was measured, one row per spectrum.

    Parameters
    ----------
    measured : MeasuredFile
        The measurements.

    Returns
    -------
    astropy.table.Table
        Columns of `Populations.to_table`, after ``redshift`` and ``snr_in``.
    """
    table = measured.populations.to_table()
    table.add_columns([measured.redshift, measured.snr.astype(np.float32)], [0, 0], names=["redshift", "snr_in"])
    return table


def _images(measured: MeasuredFile) -> dict[str, Any]:
    """Values that become one image each."""
    populations = measured.populations
    images: dict[str, Any] = {}
    for name in populations.names:
        images |= {name: populations.values[name], f"{name}_err": populations.error(name)}
    for name, (value, error) in populations.further.items():
        images |= {name: value, f"{name}_err": error}
    return images | {"flags": populations.flags, "chi2": populations.chi2, "snr_in": measured.snr}


#: Images and tables under our own names.
NATIVE = Layout("native", native_files, of_images=False)
