"""The table of README and gallery: the share of the RMS residual that each method removes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quietspec.lab.evaluation.tables.markdown import ResultsFolder

__all__ = ["removed", "removed_table"]


def removed(results: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows: RMS residual removed by each method, and the share of truths within 1σ.

    Parameters
    ----------
    results : mapping
        What `quietspec lab evaluate --json` wrote.

    Returns
    -------
    tuple of (list of str, list of list of str)
        Head and rows.
    """
    levels = [f"{snr:g}" for snr in results["snr"]]
    rows = []
    for name, by_snr in results["models"].items():
        if name == "noisy":
            continue
        cells = [f"{100 * by_snr[s]['rms_reduction']:.1f}{_error(by_snr[s])}" for s in levels]
        inside = ", ".join(f"{100 * by_snr[s]['coverage68']:.1f}" for s in levels)
        rows.append([name, *cells, inside])
    return ["% removed at S/N", *levels, f"% within 1σ at S/N {', '.join(levels)}"], rows


def _error(scores: Mapping[str, Any]) -> str:
    error = scores.get("rms_reduction_error")
    return "" if error is None else f" ± {100 * error:.1f}"


def removed_table(results: ResultsFolder) -> str:
    """Make the table of recipe `survey`; a number and its error stay on one line."""
    head, rows = removed(results["evaluate_survey"])
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line).replace(" ± ", "\u00a0±\u00a0") + " |" for line in lines)
