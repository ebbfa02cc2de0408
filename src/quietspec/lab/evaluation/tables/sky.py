"""The tables of the bands of the air in ``docs/wide_world.md``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quietspec.lab.evaluation.tables.markdown import ResultsFolder, plain_table

__all__ = ["air_simulated_table", "air_table"]

_BANDS = ("to 6850", "7160-7580", "O2 A", "7730-8100", "8100-8540", "8540-8750", "8750-9300", "9300-10000")
_WORLDS = {"clean": "none", "sky": "drawn"}


def air_simulated_table(results: ResultsFolder) -> str:
    """Make the table of simulated spectra, with residuals and without: coverage and error."""
    found = {(one["instrument"], one["snr"], one["world"], one["tool"]): one for one in results["sky"]["simulated"]}
    rows = []
    for instrument, snr, world, tool in found:
        if tool == "with":
            pair = [found[instrument, snr, world, name] for name in ("without", "with")]
            cells = [_arrow(pair, key) for key in ("inside_bands", "inside_outside", "error_bands")]
            rows.append([f"{instrument}, {snr:g}", _WORLDS[world], *cells])
    inside = "inside 1σ in the bands, without → with"
    return plain_table(
        ["instrument, S/N", "residuals", inside, "outside", "rms error over the noise in the bands"], rows
    )


def air_table(results: ResultsFolder) -> str:
    """Make the table of the pulls of real spectra, by band."""
    content = results["sky"]
    records = [*content["predicted"], *({"data": "A478, spaxels against rings", **one} for one in content["rings"])]
    rows = []
    for name in dict.fromkeys(one["data"] for one in records):
        pair = [next(r for r in records if (r["data"], r["tool"]) == (name, tool)) for tool in ("without", "with")]
        cells = [
            _arrow([one["bands"][band] for one in pair], "robust") if all(band in one["bands"] for one in pair) else ""
            for band in _BANDS
        ]
        rows.append([name, str(pair[0]["n"]), *cells])
    return plain_table(["data", "spectra", *(band.replace("-", "–") for band in _BANDS)], rows)


def _arrow(pair: list[Mapping[str, Any]], key: str) -> str:
    return " → ".join(f"{one[key]:.2f}" for one in pair)
