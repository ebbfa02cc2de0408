"""Heads and rows of the gallery's tables, from the content of result files."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from quietspec.lab.evaluation.tables.removed import removed

__all__ = ["Results", "Table", "degraded", "endings", "limits", "populations", "removed", "repeats", "strangers"]

Results = Mapping[str, Any]
Table = tuple[list[str], list[list[str]]]


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def limits(results: Results) -> Table:
    """Residual over that of the best possible estimate."""
    rows = []
    for snr, limit in results["limit"].items():
        ratios = [
            f"{by[snr]['limit_ratio']:.3f} ± {by[snr]['limit_ratio_error']:.3f}" for by in _limited(results).values()
        ]
        rows.append([snr, str(limit["n"]), _percent(limit["residual"], 2), *ratios])
    return ["S/N", "spectra", "best possible residual / noise", *_limited(results)], rows


def _limited(results: Results) -> dict[str, Results]:
    """Models whose residual was compared with the limit."""
    first = next(iter(results["limit"]))
    models = results["models"].items()
    return {name: by_snr for name, by_snr in models if name != "noisy" and "limit_ratio" in by_snr[first]}


def strangers(results: Results) -> Table:
    """Share of spectra that are flagged, by kind and S/N."""
    kinds = dict.fromkeys(row["kind"] for row in results["results"])
    flagged = {(row["kind"], row["snr"]): row["flagged"] for row in results["results"]}
    rows = [[kind, *(_percent(flagged.get((kind, snr)), 0) for snr in results["snr"])] for kind in kinds]
    return ["flagged", *(f"S/N {snr:g}" for snr in results["snr"])], rows


def degraded(results: Results) -> Table:
    """Median RMS removed from real spectra that were made noisier."""
    surveys = dict.fromkeys(one["survey"] for one in results["spectra"])
    rows = []
    for survey in surveys:
        scores = [one["scores"] for one in results["spectra"] if one["survey"] == survey]
        for snr in (f"{snr:g}" for snr in results["snr"]):
            at = [one[snr] for one in scores if snr in one]
            allowed = median(next(iter(one.values()))["allowed"] for one in at)
            shares = [median(one[name]["reduction"] for one in at) for name in at[0]]
            rows.append([f"{survey} ({len(at)})", snr, *(_percent(value, 0) for value in (allowed, *shares))])
    return ["survey (spectra)", "S/N", "allowed", *results["spectra"][0]["scores"]["5"]], rows


def repeats(results: Results) -> Table:
    """Scatter of pulls of the posterior between independent repeats."""
    found = [row for row in results["pulls"] if row["by"] == "snr" and row["method"] == "posterior"]
    scatter = {(row["data"], *row["bin"], row["kind"]): f"{row['robust']:.2f}" for row in found}
    places = dict.fromkeys((row["data"], *row["bin"]) for row in found)
    kinds = ("pixel", "block")
    rows = [[at[0], f"{at[1]:g}–{at[2]:g}", *(scatter.get((*at, kind), "") for kind in kinds)] for at in places]
    return ["data", "S/N", "pixels", "blocks of 30 pixels"], rows


def populations(results: Results) -> Table:
    """Errors of age and metallicity by way of measuring, at the lowest S/N."""
    snr = f"{results['snr'][0]:g}"
    rows = []
    for name, by_snr in results["arms"].items():
        one = by_snr[snr]
        cells = [f"{one[f'{label}_rms']:.3f} ± {one[f'{label}_rms_error']:.3f}" for label in ("age", "mh")]
        rows.append([name, *cells, *(_percent(one[f"{label}_coverage68"], 0) for label in ("age", "mh"))])
    return [f"at S/N {snr}", "rms of log age [dex]", "rms of [M/H] [dex]", "age within 68 %", "[M/H] within 68 %"], rows


def endings(results: Results) -> Table:
    """How damaged inputs end."""
    rows = [[name, *(f"{by.get(how, 0):,}" for how in ("read", "refused"))] for name, by in results["endings"].items()]
    rows.append(["any other ending", str(sum(results["faults"].values())), ""])
    return ["kind of input", "read", "refused with a message"], rows
