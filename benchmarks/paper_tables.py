"""The tables of docs/paper.md, as Markdown, from what `quietspec evaluate --json` wrote (several files are joined)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

PAPER = {
    "rms_reduction": {"5": "≈ 96.5", "20": "≈ 94"},
    "recovery": {"5": "≥ 99.8", "10": "≥ 99.8", "15": "≥ 99.8", "20": "≥ 99.8"},
    "Na D": "88.4 ± 6.9",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="JSON of the same recipe, n, seed and S/N")
    models: dict[str, Any] = {}
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in parser.parse_args().files]
    for run in runs:
        if any(run[key] != runs[0][key] for key in ("recipe", "n", "seed", "snr")):
            parser.error("the files are of different recipes, n, seeds or S/N")
        models |= run["models"]
    levels = [f"{snr:g}" for snr in runs[0]["snr"]]
    denoised = {name: scores for name, scores in models.items() if name != "noisy"}
    sections = [
        by_snr("RMS reduction [%], mean ± σ", denoised, levels, "rms_reduction", 1),
        by_snr("Recovery rate [%], mean ± σ", models, levels, "recovery", 3),
        quartiles(models, levels),
        lines(denoised, levels[0]),
        widths(models, levels[0]),
        cost(denoised, levels),
    ]
    print(f"Recipe {runs[0]['recipe']}, {runs[0]['n']} test spectra, seed {runs[0]['seed']}.\n")
    print("\n\n".join(sections))


def table(title: str, head: list[str], rows: list[list[str]]) -> str:
    return "\n".join([f"**{title}**", "", *(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])])


def by_snr(title: str, models: dict[str, Any], levels: list[str], key: str, digits: int) -> str:
    rows = [["EUT (paper)", *(PAPER[key].get(level, "–") for level in levels)]]
    for name, scores in models.items():
        cells = [f"{100 * scores[s][key]:.{digits}f} ± {100 * scores[s][f'{key}_std']:.{digits}f}" for s in levels]
        rows.append([name, *cells])
    return table(title, ["S/N", *levels], rows)


def quartiles(models: dict[str, Any], levels: list[str]) -> str:
    rows = []
    for name, scores in models.items():
        cells = (" / ".join(f"{100 * q:.2f}" for q in scores[s]["rms_quartiles"]) for s in levels)
        rows.append([name, *cells])
    return table("RMS residual [% of the flux in the S/N window]: quartiles", ["S/N", *levels], rows)


def lines(models: dict[str, Any], level: str) -> str:
    names = list(next(iter(models.values()))[level]["lines"])
    rows = [["EUT (paper)", *(PAPER.get(line, "≳ 88") for line in names)]]
    for name, scores in models.items():
        at = scores[level]
        cells = [f"{100 * at['lines'][line]:.1f} ± {100 * at['lines_std'][line]:.1f}" for line in names]
        rows.append([name, *cells])
    return table(f"RMS reduction in line windows at S/N {level} [%], mean ± σ", ["", *names], rows)


def widths(models: dict[str, Any], level: str) -> str:
    names = list(next(iter(models.values()))[level]["lines"])
    rows = []
    for name, scores in models.items():
        at = scores[level]
        cells = [f"{at['lines_ew_bias'][line]:+.3f} ± {at['lines_ew_scatter'][line]:.3f}" for line in names]
        rows.append([name, *cells])
    return table(f"Equivalent widths at S/N {level} [Å]: bias ± scatter", ["", *names], rows)


def cost(models: dict[str, Any], levels: list[str]) -> str:
    rows = [
        [name, *(f"{1e3 * scores[s]['seconds_per_spectrum']:.2f}" for s in levels)] for name, scores in models.items()
    ]
    return table("Wall time [ms a spectrum]", ["S/N", *levels], rows)


if __name__ == "__main__":
    main()
