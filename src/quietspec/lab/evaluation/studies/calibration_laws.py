"""The calibration law of each instrument, learned from bright real spectra that no validation uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from quietspec.denoisers import SpectralPrior
from quietspec.denoisers.posterior.calibration import CalibrationLaw
from quietspec.errors import QuietspecError
from quietspec.instruments import instrument_of
from quietspec.lab.evaluation.calibration_laws import LawSearch, likeliest_law
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra, distinct_bright
from quietspec.spectra import Spectra

__all__ = ["TEACHERS", "calibration_table", "learned_calibration"]

_LEAST, _MOST = 14.0, 6  # S/N of spectra that teach, and their number from one exposure
_ONE_EXPOSURE = ("SAMI 230776 A", "CALIFA NGC2691")  # whose spectra share one calibration error
_SHARED = {"smooth": 0.03, "400": 0.015, "80": 0.012}
_SEARCHES = (LawSearch(sizes=_SHARED | {"45": 0.009}), LawSearch(sizes=_SHARED | {"30": 0.008}))

#: Spectra that teach. SAMI 56140 and 572402, SDSS 0412, NGC 3522 and NGC 3073 validate, and are never read here.
TEACHERS: dict[str, Callable[[RealSpectra], Spectra | None]] = {
    "SAMI 230776 A": lambda real: real.sami("230776_A"),
    "MaNGA (sdss-mangadap 4.5.0)": lambda real: real.fetched("manga"),
    "SDSS 0332-52367-0639": lambda real: real.sdss("spec-0332-52367-0639.fits"),
    "SDSS 7340-56837-0726": lambda real: real.sdss("spec-7340-56837-0726.fits"),
    "LEGA-C M19 56670": lambda real: real.fetched("legac"),
    "CALIFA NGC2691": lambda real: real.califa(),
}


def learned_calibration(
    prior: SpectralPrior, real: RealSpectra, teachers: Sequence[str] = tuple(TEACHERS), cycles: int = 5
) -> dict[str, Any]:
    """Learn the calibration law of each instrument.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    real : RealSpectra
        Where the spectra are; sets that are missing teach nothing.
    teachers : sequence of str, optional
        Which of `TEACHERS` are used.
    cycles : int
        Most rounds of each search.

    Returns
    -------
    dict
        Entry ``calibration`` of the model's card, as JSON types: ``laws`` by instrument, the wide one as ``default``;
        ``taught_by``, which spectra taught each, their number, that of the exposures, and the gain in log evidence over
        the wide law.

    Raises
    ------
    QuietspecError
        If there is no bright spectrum.
    """
    sets: dict[str, dict[str, list[Spectra]]] = {}
    for name in teachers:
        spectra = TEACHERS[name](real)
        bright = None if spectra is None else distinct_bright(spectra, _LEAST)
        if bright is not None and len(bright):
            taught = [_spread(bright)] if name in _ONE_EXPOSURE else [bright[row] for row in range(len(bright))]
            sets.setdefault(instrument_of(bright.meta) or name, {})[name] = taught
    if not sets:
        raise QuietspecError(f"no spectrum of S/N above {_LEAST:g} in {', '.join(teachers)} to learn from.")
    laws: dict[str, Any] = {"default": CalibrationLaw().to_dict()}
    taught_by: dict[str, Any] = {}
    for instrument, some in sets.items():
        searches = [LawSearch(sizes=one.sizes, cycles=cycles) for one in _SEARCHES]
        found = likeliest_law(prior, [one for taught in some.values() for one in taught], searches)
        laws[instrument] = _rounded(found.law).to_dict()
        taught_by[instrument] = {
            "from": list(some), "spectra": found.spectra, "exposures": found.sets, "gain": round(found.gain, 1)
        }  # fmt: skip
        real.log(f"{instrument}: {laws[instrument]}, gain {found.gain:.1f} from {found.spectra} spectra")
    return {"laws": laws, "taught_by": taught_by}


def _spread(spectra: Spectra) -> Spectra:
    """Some of the spectra, spread evenly in the order of their S/N."""
    order = np.argsort(-spectra.snr)
    return spectra[order[np.unique(np.linspace(0, len(order) - 1, min(_MOST, len(order))).round().astype(int))]]


def _rounded(law: CalibrationLaw) -> CalibrationLaw:
    return CalibrationLaw(round(law.smooth, 4), law.grey, tuple((scale, round(size, 4)) for scale, size in law.waves))


def calibration_table(entry: Mapping[str, Any]) -> Table:
    """Tabulate the calibration laws of a card.

    Parameters
    ----------
    entry : mapping
        Result of `learned_calibration`.

    Returns
    -------
    rich.table.Table
        One row per instrument.
    """
    table = Table(
        "instrument", "spectra", "exposures", "smooth", "arms", "waves: Å, rms", "gain in ln evidence", box=None
    )
    for instrument, content in entry["laws"].items():
        law, taught = CalibrationLaw.from_dict(content), entry["taught_by"].get(instrument, {})
        waves = ", ".join(f"{scale:.0f}: {100 * size:.2g} %" for scale, size in law.waves)
        sizes = f"{100 * law.smooth:.2g} %", f"{100 * law.grey:.2g} %"
        counts = (str(taught.get(key, "")) for key in ("spectra", "exposures"))
        table.add_row(instrument, *counts, *sizes, waves, str(taught.get("gain", "")))
    return table
