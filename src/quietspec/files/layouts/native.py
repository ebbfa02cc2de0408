"""Our own layout: one image per quantity and one per error, and a table of all, which is alone without an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.binning import SumPlan
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
    images = _images(measured.on_sky) if measured.number is not None else {}
    hdus = parameter_hdus(
        images | _sum_images(measured), table_of(measured), contents.source, PopulationFlag, contents.facts,
        contents.history,
    )  # fmt: skip
    return {"": hdus}


def table_of(measured: MeasuredFile) -> Table:
    """Tabulate all that was measured, one row per spectrum, bin or aperture.

    Parameters
    ----------
    measured : MeasuredFile
        The measurements.

    Returns
    -------
    astropy.table.Table
        Columns of `Populations.to_table`, after ``redshift`` and ``snr_in``; for sums first ``bin`` or ``aperture``
        and ``name``, ``n_spaxels``, and ``n_spikes``, the number of pixels left out as cosmic rays.
    """
    table = measured.populations.to_table()
    table.add_columns([measured.redshift, measured.snr.astype(np.float32)], [0, 0], names=["redshift", "snr_in"])
    if measured.sums is not None:
        columns = _sum_columns(measured.sums)
        table.add_columns(list(columns.values()), [0] * len(columns), names=list(columns))
    return table


def _sum_columns(sums: SumPlan) -> dict[str, Any]:
    """What the table says of each bin or aperture."""
    counts = {"n_spaxels": sums.n_spaxels.astype(np.float32), "n_spikes": sums.n_spikes}
    if sums.number is None:
        return {"aperture": np.arange(1, len(sums) + 1), "name": np.array(sums.names, dtype=np.str_), **counts}
    return {"bin": np.arange(len(sums)), **counts}


def _sum_images(measured: MeasuredFile) -> dict[str, Any]:
    """Numbers of the bins; or, for apertures, the share of each spaxel that lies within each."""
    if measured.sums is None:
        return {}
    if measured.sums.number is not None:
        return {"binid": measured.sums.number}
    return {f"aperture_{number}": row for number, row in enumerate(measured.sums.weights.toarray(), start=1)}


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
