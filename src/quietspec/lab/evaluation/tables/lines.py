"""The tables of ``docs/measure.md``: apertures, lines by several ways, repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

from quietspec.lab.evaluation.tables.markdown import ResultsFolder, by_column, plain_table, with_minus

__all__ = ["apertures_table", "contenders_table", "line_fluxes_table", "repeats_table"]

_SUM = "posterior of the sum"
_APERTURES = {
    "flux in bands of 100 Å": (_SUM, "band"),
    "Mg b": (_SUM, "Mg_b"),
    "Hβ in emission": (_SUM, "Hbeta"),
    "[OIII] 5007": (_SUM, "[OIII]5007"),
    "bands, correlation ignored ({n} galaxies)": ("posterior of the sum, noise taken as independent", "band"),
    "bands, sum of posteriors, errors in quadrature ({n})": ("sum of posteriors, errors added in quadrature", "band"),
    "bands, sum of posteriors, errors added up ({n})": ("sum of posteriors, errors added up", "band"),
}
_CONTENDERS = {
    "posterior": "posterior",
    "subtract, then Gaussians": "subtracted, then Gaussians",
    "pPXF, formal": "pPXF, formal",
    "pPXF, bootstrap": "pPXF, bootstraps",
}
_RATIOS = {"Halpha/Hbeta": "Hα/Hβ", "[NII]/Halpha": "[NII]/Hα", "[OIII]/Hbeta": "[OIII]/Hβ", "[SII]/Halpha": "[SII]/Hα"}
_REPEATS = {
    ("native", "all bins", "ours"): "all bins ({n}), ours",
    ("native", "all bins", "LZIFU"): "LZIFU, the same",
    ("native", "bins alike", "ours"): "bins with half of their light in common ({n}), ours",
    ("native", "bins alike", "LZIFU"): "LZIFU, the same",
    ("S/N 5", "all bins", "ours"): "S/N 5, all bins, ours",
    ("S/N 5", "bins alike", "ours"): "S/N 5, bins in common, ours",
}


def apertures_table(results: ResultsFolder) -> str:
    """Make the table of sums over spaxels: root mean square of pulls, and share inside 68 %."""
    run = results["apertures"]
    sizes = run["settings"]["n_spaxels"]
    cells = {(row["method"], row["quantity"], row["n_spaxels"]): row for row in run["simulated"]}
    rows = [
        [label.format(n=run["settings"]["n_compared"]), *(_pulls(cells[*what, size]) for size in sizes)]
        for label, what in _APERTURES.items()
    ]
    return plain_table(["", *map(str, sizes)], rows)


def _pulls(row: Mapping[str, Any]) -> str:
    return f"{row['rms']:.2f}, {100 * row['inside_68']:.0f} %"


def line_fluxes_table(results: ResultsFolder) -> str:
    """Make the table of fluxes: shares inside 68, 95 %; slope; without gas, mean over σ and share at 3σ."""
    found: dict[str, dict[str, str]] = {}
    for cells in by_column(results["line_fluxes"]["tables"][0]):
        inside = ", ".join(f"{100 * float(cells[level].split()[0]):.0f}" for level in ("68 %", "95 %"))
        shown = (f"{inside} %", cells["slope"], cells["mean without gas / σ"], cells["false at 3σ"])
        found.setdefault(cells["line"], {})[cells["S/N"]] = with_minus("; ".join(shown))
    levels = list(next(iter(found.values())))
    head = ["line", f"S/N {levels[0]}", *levels[1:]]
    return plain_table(head, [[line, *(by[level] for level in levels)] for line, by in found.items()])


def contenders_table(results: ResultsFolder) -> str:
    """Make the table of all lines together by each way: share inside 68 and 95 %, and false detections."""
    run = results["line_contenders"]
    levels = run["settings"]["lines"]["snrs"]
    rows = []
    for name, label in _CONTENDERS.items():
        by_snr = [[row for row in run["scores"] if (row["contender"], row["snr"]) == (name, snr)] for snr in levels]
        inside = [f"{_share(rows, 'cover68', 'n')}, {_share(rows, 'cover95', 'n')}" for rows in by_snr]
        rows.append([label, *inside, ", ".join(_share(rows, "false", "bare") for rows in by_snr) + " %"])
    first, *others = (f"{snr:g}" for snr in levels)
    return plain_table(["", f"S/N {first}", *others, f"beyond 3σ without gas, S/N {', '.join([first, *others])}"], rows)


def _share(rows: Sequence[Mapping[str, Any]], key: str, count: str) -> str:
    """Share of all lines together in per cent, with its 1σ error if lines were independent."""
    hits = sum(row[key][0] * row[count] for row in rows if row[key] is not None)
    n = sum(row[count] for row in rows if row[key] is not None)
    if n == 0:
        return "–"
    mean = (hits + 1) / (n + 2)
    return f"{100 * hits / n:.0f} ± {100 * sqrt(mean * (1 - mean) / (n + 2)):.0f}"


def repeats_table(results: ResultsFolder) -> str:
    """Make the table of line ratios of repeats: rms of the difference over its error."""
    found = results["line_repeats"]["sami"]
    rows = []
    for which, label in _REPEATS.items():
        by_ratio = {row["ratio"]: row for row in found if (row["spectra"], row["bins"], row["by"]) == which}
        counts = sorted({row["n"] for row in by_ratio.values()})
        numbers = f"{counts[0]}–{counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
        rows.append([label.format(n=numbers), *(_with_error(by_ratio[name]) for name in _RATIOS)])
    return plain_table(["", *_RATIOS.values()], rows)


def _with_error(row: Mapping[str, Any]) -> str:
    return f"{row['rms']:.2f} ± {row['rms'] / sqrt(2 * row['n']):.2f}"
