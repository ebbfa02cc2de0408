"""Give the spaxels of bins the populations of their bins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.populations.result import PopulationFlag, Populations

__all__ = ["on_spaxels"]


def on_spaxels(populations: Populations, number: npt.NDArray[np.intp]) -> Populations:
    """Give each spaxel the populations of its bin; those in no bin are flagged.

    Parameters
    ----------
    populations : Populations
        Populations of the bins.
    number : (n_spaxels,) of int
        Bin of each spaxel, −1 for none.

    Returns
    -------
    Populations
        Populations of the spaxels; the line fluxes and the `seconds` of a bin are divided by its number of spaxels.
    """
    outside, bins = number < 0, np.maximum(number, 0)
    size = np.maximum(np.bincount(number[~outside], minlength=len(populations)), 1)[bins]
    spread = populations[bins]

    def known(values: FloatArray) -> FloatArray:
        return np.where(outside, np.nan, values)

    def all_known(values: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        return {name: known(array) for name, array in values.items()}

    further = {}
    for name, (value, error) in spread.further.items():
        share = size if name.startswith("flux_") else 1
        further[name] = known(value / share), known(error / share)
    values: dict[str, Any] = {field: all_known(getattr(spread, field)) for field in ("values", "low", "high")}
    return replace(
        spread,
        flags=np.where(outside, int(PopulationFlag.NO_DATA), spread.flags),
        reasons=np.where(outside, "in no bin", spread.reasons),
        chi2=known(spread.chi2),
        seconds=known(spread.seconds / size),
        further=further,
        **values,
    )
