"""The tables of ``docs/measure.md`` about second components of gas, broad lines, and lines that move apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from quietspec.lab.evaluation.tables.markdown import ResultsFolder, plain_table, with_minus

__all__ = ["apart_fluxes_table", "apart_table", "components_table", "total_fluxes_table"]

_FITS = {"one component": "fitted with one", "by evidence": "by evidence"}
_LINES = {"Hbeta": "Hβ", "[OIII]5007": "[OIII] 5007", "Halpha": "Hα", "[NII]6583": "[NII] 6583"}
_RATES: tuple[tuple[str, str, tuple[str, ...]], ...] = (  # label, what is found, in spectra of which kinds
    ("second component found where there is one", "second", ("second",)),
    ("second component found where there is none", "second", ("one", "broad")),
    ("broad lines found where there are some", "broad", ("broad",)),
    ("broad lines found in spectra of one component", "broad", ("one",)),
    ("broad lines found where there is a second component", "broad", ("second",)),
)

Entry = dict[str, Any]


def components_table(results: ResultsFolder) -> str:
    """Make the table of how often second components and broad lines are found, by S/N."""
    entries = [entry for entry in results["line_components"]["scores"] if entry["fit"] == "by evidence"]
    levels = sorted({entry["snr"] for entry in entries})

    def row(label: str, cell: Callable[[list[Entry]], str], kinds: Sequence[str]) -> list[str]:
        some = [[one for one in entries if one["snr"] == snr and one["kind"] in kinds] for snr in levels]
        return [label, *map(cell, some)]

    rows = [row(label, partial(_rate, what), kinds) for label, what, kinds in _RATES]
    rows.append(row("broad Hα inside 68, 95 %; median over true flux", _broad, ("broad",)))
    return plain_table(["S/N", *(f"{snr:g}" for snr in levels)], rows)


def total_fluxes_table(results: ResultsFolder) -> str:
    """Make the table of total fluxes where there are two components: shares inside 68 and 95 %, and mean pull."""
    entries = [entry for entry in results["line_components"]["scores"] if entry["kind"] == "second"]
    rows = []
    for fit, label in _FITS.items():
        some = [entry for entry in entries if entry["fit"] == fit]
        rows.append([label, *(_total([entry[line] for entry in some]) for line in _LINES)])
    return plain_table(["", *_LINES.values()], rows)


def apart_table(results: ResultsFolder) -> str:
    """Make the table of how often forbidden lines are found to move apart, by offset and S/N."""
    entries = [entry for entry in results["motions_apart"]["scores"] if entry["fit"] == "by evidence"]
    levels = sorted({entry["snr"] for entry in entries})
    rows = []
    for offset in sorted({entry["offset"] for entry in entries}):
        some = [next(one for one in entries if (one["offset"], one["snr"]) == (offset, snr)) for snr in levels]
        rows.append([f"{offset:g} km/s: found apart", *(f"{100 * one['apart']:.0f} %" for one in some)])
        if offset:
            rows.append(["difference inside 68, 95 %; error, km/s", *map(_difference, some)])
    return plain_table(["S/N", *(f"{snr:g}" for snr in levels)], rows)


def apart_fluxes_table(results: ResultsFolder) -> str:
    """Make the table of fluxes where lines move apart: shares inside 68 and 95 %, and mean pull."""
    entries = results["motions_apart"]["scores"]
    rows = []
    for offset in sorted({entry["offset"] for entry in entries}):
        for fit in ("one motion", "by evidence"):
            some = [one for one in entries if (one["offset"], one["fit"]) == (offset, fit)]
            rows.append([f"{offset:g} km/s, {fit}", *(_total([one[line] for one in some]) for line in _LINES)])
    return plain_table(["", *_LINES.values()], rows)


def _difference(entry: Entry) -> str:
    found = entry.get("difference")
    return "–" if found is None else (
        f"{100 * found['inside 68']:.0f}, {100 * found['inside 95']:.0f} %; {found['median error']:.0f}"
    )  # fmt: skip


def _rate(what: str, entries: list[Entry]) -> str:
    return f"{100 * np.average([one[what] for one in entries], weights=[one['n'] for one in entries]):.0f} %"


def _broad(entries: list[Entry]) -> str:
    (found,) = (one["broad Halpha"] for one in entries)
    return f"{100 * found['inside 68']:.0f}, {100 * found['inside 95']:.0f} %; {found['median ratio']:.2f}"


def _total(cells: list[Entry]) -> str:
    inside, wide, pull = (np.mean([one[key] for one in cells]) for key in ("inside 68", "inside 95", "mean pull"))
    return with_minus(f"{100 * inside:.0f}, {100 * wide:.0f} %; {pull:+.1f}")
