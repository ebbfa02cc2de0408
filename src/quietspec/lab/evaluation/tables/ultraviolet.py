"""The tables of the near ultraviolet in ``docs/wide_world.md``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quietspec.lab.evaluation.tables.markdown import ResultsFolder, plain_table

__all__ = ["choice_table", "own_table", "real_table"]

_MODELS = ("survey", "ultraviolet")
_LABELS = {
    "log_age_lw": "age (light)", "log_age_mw": "age (mass)", "mh_lw": "[M/H]", "log_ml_v": "M/L", "velocity": "V",
    "sigma": "σ",
}  # fmt: skip


def own_table(results: ResultsFolder) -> str:
    """Make the table of the model's own world: share removed, and truths inside 1σ by band and label."""
    run = results["ultraviolet"]
    bands = dict.fromkeys(name for row in run["own"] for name in row["bands"])
    rows = []
    for row in run["own"]:
        pixels = row["pixels"]
        inside = f"{pixels['inside']:.2f}{_error(pixels, 'inside', 1, 2)}, {pixels['inside_two']:.2f}"
        removed = f"{100 * pixels['removed']:.1f}{_error(pixels, 'removed', 100, 1)} %"
        rows.append([f"{row['snr']:g}", removed, inside])
        rows[-1] += [_fraction(row["bands"][band]["inside"]) if band in row["bands"] else "–" for band in bands]
        rows[-1] += [_fraction(row["labels"][label]["coverage"]) for label in _LABELS]
    ranges = [band.replace("-", "–") for band in bands]
    ranges = [f"inside 1σ at {ranges[0]}", *ranges[1:-1], f"{ranges[-1]} Å"]
    head = [f"S/N ({run['own'][0]['n']} spectra each)", "removed", "inside 1σ, 2σ", *ranges, *_LABELS.values()]
    return plain_table(head, rows)


def _error(scores: Mapping[str, Any], name: str, factor: float, digits: int) -> str:
    """Error between galaxies, where the results have one."""
    error = scores.get(f"{name}_error")
    return "" if error is None else f" ± {factor * error:.{digits}f}"


def _fraction(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")


def choice_table(results: ResultsFolder) -> str:
    """Make the table of both models on the same simulated spectra, by redshift."""
    found = results["ultraviolet"]["choice"]
    redshifts = dict.fromkeys(row["redshift"] for row in found)
    rows = []
    for instrument in dict.fromkeys(row["instrument"] for row in found):
        by_redshift = [row for row in found if row["instrument"] == instrument]
        rows += [
            [f"{instrument}: covered, %", *(_each(row["covered"], 100, 0) for row in by_redshift)],
            ["error, %", *(_each({m: row["shared"][m]["error"] for m in _MODELS}, 100, 2) for row in by_redshift)],
            ["age (light), dex", *(_each(_ages(row), 1, 2) for row in by_redshift)],
            ["chosen", *(row["chosen"] for row in by_redshift)],
        ]
    return plain_table(["z", *(f"{z:g}" for z in redshifts)], rows)


def _ages(row: Mapping[str, Any]) -> dict[str, float]:
    return {model: row["labels"][model]["log_age_lw"]["rms"] for model in _MODELS}


def _each(values: Mapping[str, float], factor: float, digits: int) -> str:
    return " / ".join(f"{factor * values[model]:.{digits}f}" for model in _MODELS)


def real_table(results: ResultsFolder) -> str:
    """Make the table of real spectra by both models: scatter of the pulls of blocks that were left out."""
    found = results["ultraviolet"]["real"]
    rows = []
    for name in dict.fromkeys(row["name"] for row in found):
        by = {row["model"]: row for row in found if row["name"] == name}
        first = by["survey"]
        ages = (by[model]["labels"]["log_age_lw"] for model in _MODELS)
        rows.append([
            name, f"{first['redshift']:.3f}", f"{first['snr']:.0f}",
            _each({model: row["covered"] for model, row in by.items()}, 100, 0),
            next(model for model, row in by.items() if row["chosen"]),
            *(_each({model: row[where]["blocks"] for model, row in by.items()}, 1, 2) for where in ("shared", "all")),
            " / ".join(f"{age:.2f} ± {error:.2f}" for age, error in ages),
        ])  # fmt: skip
    head = ["spectrum", "z", "S/N", "covered, %", "chosen", "blocks, where both cover", "blocks, all"]
    return plain_table([*head, "age (light) by each"], rows)
