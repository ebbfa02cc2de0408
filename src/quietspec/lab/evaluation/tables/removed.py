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
        cells = [_percent(by_snr[level], "rms_reduction") for level in levels]
        rows.append([name, *cells, ", ".join(_percent(by_snr[level], "coverage68") for level in levels)])
    return ["% removed at S/N", *levels, f"% within 1σ at S/N {', '.join(levels)}"], rows


def _percent(scores: Mapping[str, Any], name: str) -> str:
    """A score with its error between galaxies, where the results have one."""
    error = scores.get(f"{name}_error")
    return f"{100 * scores[name]:.1f}" + ("" if error is None else f" ± {100 * error:.1f}")


def removed_table(results: ResultsFolder) -> str:
    """Make the table of recipe `survey`; a number and its error stay on one line."""
    head, rows = removed(results["evaluate_survey"])
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line).replace(" ± ", "\u00a0±\u00a0") + " |" for line in lines)
