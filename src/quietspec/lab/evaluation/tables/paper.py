"""The tables of ``docs/paper.md``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quietspec.errors import QuietspecError
from quietspec.lab.evaluation.tables.markdown import markdown_table, plain_table

__all__ = ["off_distribution_table", "paper_tables"]

_PAPER: dict[str, Any] = {
    "rms_reduction": {"5": "≈ 96.5", "20": "≈ 94"},
    "recovery": {"5": "≥ 99.8", "10": "≥ 99.8", "15": "≥ 99.8", "20": "≥ 99.8"},
    "Na D": "88.4 ± 6.9",
}


def paper_tables(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Make all tables.

    Parameters
    ----------
    runs : sequence of mapping
        What `quietspec lab evaluate --json` wrote for several sets of models.

    Yields
    ------
    str
        What was run, then one table after the other.

    Raises
    ------
    QuietspecError
        If the runs are of different recipes, numbers of spectra, seeds or S/N.
    """
    first = runs[0]
    if any(run[key] != first[key] for run in runs for key in ("recipe", "n", "seed", "snr")):
        raise QuietspecError("the results are of different recipes, numbers of spectra, seeds or S/N.")
    models = {name: scores for run in runs for name, scores in run["models"].items()}
    denoised = {name: scores for name, scores in models.items() if name != "noisy"}
    levels = [f"{snr:g}" for snr in first["snr"]]
    yield f"Recipe {first['recipe']}, {first['n']} test spectra, seed {first['seed']}."
    yield _by_snr("RMS reduction [%], mean ± σ", denoised, levels, "rms_reduction", 1)
    yield _by_snr("Recovery rate [%], mean ± σ", models, levels, "recovery", 3)
    yield _quartiles(models, levels)
    yield _lines(denoised, levels[0])
    yield _widths(models, levels[0])
    yield _cost(denoised, levels)


def _by_snr(title: str, models: Mapping[str, Any], levels: list[str], key: str, digits: int) -> str:
    rows = [["EUT (paper)", *(_PAPER[key].get(level, "–") for level in levels)]]
    for name, scores in models.items():
        cells = [f"{100 * scores[s][key]:.{digits}f} ± {100 * scores[s][f'{key}_std']:.{digits}f}" for s in levels]
        rows.append([name, *cells])
    return markdown_table(title, ["S/N", *levels], rows)


def _quartiles(models: Mapping[str, Any], levels: list[str]) -> str:
    rows = []
    for name, scores in models.items():
        cells = (" / ".join(f"{100 * q:.2f}" for q in scores[s]["rms_quartiles"]) for s in levels)
        rows.append([name, *cells])
    return markdown_table("RMS residual [% of the flux in the S/N window]: quartiles", ["S/N", *levels], rows)


def _lines(models: Mapping[str, Any], level: str) -> str:
    names = list(next(iter(models.values()))[level]["lines"])
    rows = [["EUT (paper)", *(_PAPER.get(line, "≳ 88") for line in names)]]
    for name, scores in models.items():
        at = scores[level]
        cells = [f"{100 * at['lines'][line]:.1f} ± {100 * at['lines_std'][line]:.1f}" for line in names]
        rows.append([name, *cells])
    return markdown_table(f"RMS reduction in line windows at S/N {level} [%], mean ± σ", ["", *names], rows)


def _widths(models: Mapping[str, Any], level: str) -> str:
    names = list(next(iter(models.values()))[level]["lines"])
    rows = []
    for name, scores in models.items():
        at = scores[level]
        cells = [f"{at['lines_ew_bias'][line]:+.3f} ± {at['lines_ew_scatter'][line]:.3f}" for line in names]
        rows.append([name, *cells])
    return markdown_table(f"Equivalent widths at S/N {level} [Å]: bias ± scatter", ["", *names], rows)


def _cost(models: Mapping[str, Any], levels: list[str]) -> str:
    rows = [
        [name, *(f"{1e3 * scores[s]['seconds_per_spectrum']:.2f}" for s in levels)] for name, scores in models.items()
    ]
    return markdown_table("Processor time [ms per spectrum]", ["S/N", *levels], rows)


def off_distribution_table(run: Mapping[str, Any]) -> str:
    """Make the table of networks on spectra unlike those of their training.

    Parameters
    ----------
    run : mapping
        What `quietspec lab evaluate --recipe survey --json` wrote.

    Returns
    -------
    str
        Markdown: RMS reduction in per cent by S/N, and the share inside 1σ at the first.
    """
    levels = [f"{snr:g}" for snr in run["snr"]]
    rows = [
        [
            name,
            *(f"{100 * scores[level]['rms_reduction']:.1f}" for level in levels),
            f"{100 * scores[levels[0]]['coverage68']:.1f} %",
        ]
        for name, scores in run["models"].items()
        if name != "noisy"
    ]
    return plain_table(["S/N", *levels, f"truth within 1σ at S/N {levels[0]}"], rows)
