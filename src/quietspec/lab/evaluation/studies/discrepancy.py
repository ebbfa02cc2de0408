"""The discrepancy of the shipped model, learned from bright real spectra of MaNGA, LEGA-C, SAMI and CALIFA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Table

from quietspec.denoisers import load_prior
from quietspec.errors import QuietspecError
from quietspec.lab.evaluation.discrepancy import measure_discrepancy
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra, distinct_bright

__all__ = ["discrepancy_table", "learned_discrepancy"]

_LEARNED_FROM = ("MaNGA (sdss-mangadap 4.5.0)", "LEGA-C M19 56670", "SAMI 230776 A", "CALIFA NGC2691")


def learned_discrepancy(real: RealSpectra, model: str = "survey", least: float = 20.0, seed: int = 2) -> dict[str, Any]:
    """Learn a model's discrepancy. SAMI 56140, the SDSS spectra and MUSE are kept for tests.

    Parameters
    ----------
    real : RealSpectra
        Where the spectra are.
    model : str
        Shipped model, or path of an .npz.
    least : float
        Median S/N to exceed.
    seed : int
        Seed of the added noise.

    Returns
    -------
    dict
        Entry ``discrepancy`` of the model's card, as JSON types.

    Raises
    ------
    QuietspecError
        If there is no bright spectrum.
    """
    sets = (real.fetched("manga"), real.fetched("legac"), real.sami("230776_A"), real.califa())
    bright = {
        name: some
        for name, spectra in zip(_LEARNED_FROM, sets, strict=True)
        if spectra is not None and len(some := distinct_bright(spectra, least))
    }
    if not bright:
        raise QuietspecError(f"no spectrum of S/N above {least:g} in {', '.join(_LEARNED_FROM)} to learn from.")
    found = measure_discrepancy(load_prior(model), list(bright.values()), np.random.default_rng(seed))
    return {
        "wavelength": np.round(found.wavelength, 1).tolist(),
        "fraction": np.round(found.fraction, 5).tolist(),
        "length": found.length,
        "learned_from": list(bright),
        "spectra": sum(map(len, bright.values())),
        "command": f"python benchmarks/learn_discrepancy.py --least {least:g} --seed {seed}",
    }


def discrepancy_table(entry: Mapping[str, Any]) -> Table:
    """Tabulate the size of a discrepancy by wavelength.

    Parameters
    ----------
    entry : mapping
        Result of `learned_discrepancy`.

    Returns
    -------
    rich.table.Table
        One row per wavelength.
    """
    table = Table("rest Å", "1σ, % of the flux", box=None)
    for wavelength, fraction in zip(entry["wavelength"], entry["fraction"], strict=True):
        table.add_row(f"{wavelength:.0f}", f"{100 * fraction:.2f}")
    return table
