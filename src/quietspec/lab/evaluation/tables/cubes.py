"""The tables of ``docs/cube.md``: cubes as a whole beside what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quietspec.lab.evaluation.tables.markdown import ResultsFolder, plain_table

__all__ = ["cube_pulls_table", "cube_sums_table", "cube_table"]

_BY = ("spatial", "bins of S/N 20")
_NOT_OF_SIX = ("shuffled", "particles")
_WORST = ("log_age_lw", "mh_lw", "velocity", "sigma")
_AGE, _MH, _INSIDE = "log_age_lw", "mh_lw", "inside 68 %"
#: Label, keys of the summary with their formats, what joins them, and what was asked.
_ROWS: tuple[tuple[str, tuple[tuple[str, str], ...], str, str], ...] = (
    ("error of the spectrum's shape, S/N 1.5–8", (("shape / spaxels", ".2f"),), "", "≤ 0.6"),
    ("error of log age (light), S/N 2–5", ((f"{_AGE} / spaxels", ".2f"),), "", "≤ 0.65"),
    ("error of [M/H] (light), S/N 2–5", ((f"{_MH} / spaxels", ".2f"),), "", "≤ 0.7"),
    ("error of V, S/N 2–5", (("velocity / spaxels", ".2f"),), "", "≤ 0.5"),
    ("error of σ, S/N 2–5", (("sigma / spaxels", ".2f"),), "", "≤ 0.5"),
    (
        "rms of the map of log age, of [M/H] (dex)",
        ((f"map rms, {_AGE}", ".3f"), (f"map rms, {_MH}", ".3f")), ", ", "less than bins",
    ),
    (
        "FWHM added to the maps of log age, of [M/H] (spaxels)",
        ((f"map FWHM added, {_AGE}", ".1f"), (f"map FWHM added, {_MH}", ".1f")), ", ", "less than bins",
    ),
    (
        "pixels of the flux inside 68 %: all; S/N < 4; near features, worst",
        tuple((f"flux {_INSIDE}: {where}", ".0f") for where in ("all", "S/N < 4", "near features, least")),
        "; ", "65–71; ≥ 63; ≥ 60",
    ),
    (
        "labels inside 68 %: all; S/N < 4; near features, worst",
        tuple((f"labels {_INSIDE}: {where}", ".0f") for where in ("all", "S/N < 4", "near features, least")),
        "; ", "65–71; ≥ 63; ≥ 60",
    ),
    ("V inside 68 %: all", ((f"labels {_INSIDE}: velocity", ".0f"),), "", "65–71"),
    ("move of the flux at S/N > 15, in σ of single spaxels", (("moved at S/N > 15, σ", ".2g"),), "", "< 0.1"),
    ("error of the spectrum's shape at S/N > 15", (("shape / spaxels, S/N > 15", ".2f"),), "", "–"),
)  # fmt: skip


def cube_table(results: ResultsFolder) -> str:
    """Make the table: medians over galaxies of ratios to the posterior of single spaxels, and what was asked.

    Parameters
    ----------
    results : ResultsFolder
        With ``cube_spatial.json``.

    Returns
    -------
    str
        Markdown.
    """
    run = results["cube_spatial"]
    rows = [
        [label, *(joint.join(f"{run['summary'][by][key]:{form}}" for key, form in keys) for by in _BY), asked]
        for label, keys, joint, asked in _ROWS
    ]
    rows += [_worst(run), _waves(run), _strangers(run), _shuffled(run), _particles(run)]
    return plain_table(["", "`--spatial`", *_BY[1:], "asked"], rows)


def _worst(run: Mapping[str, Any]) -> list[str]:
    galaxies = [galaxy for name, galaxy in run["galaxies"].items() if name not in _NOT_OF_SIX]
    cells = [
        ", ".join(
            f"{100 * min(galaxy[by]['label_coverage'][label]['all'] for galaxy in galaxies):.0f}" for label in _WORST
        )
        for by in _BY
    ]
    return ["log age, [M/H] (light), V, σ inside 68 %: the worst galaxy of each", *cells, "–"]


def _waves(run: Mapping[str, Any]) -> list[str]:
    snr = next(iter(run["transfer"]["spatial"]))
    periods = list(run["transfer"]["spatial"][snr])
    cells = [", ".join(f"{run['transfer'][by][snr][period]:.2f}" for period in periods) for by in _BY]
    return [f"slope of a wave of [M/H] of {', '.join(periods)} FWHM, at S/N {snr}", *cells, "≥ 0.9"]


def _strangers(run: Mapping[str, Any]) -> list[str]:
    names = ("star flagged or right", "companion flagged or right")
    cells = ["; ".join(f"{run['summary'][by][name]:g}" for name in names) for by in _BY]
    return ["lone star flagged or right; companion", *cells, "1; 1"]


def _shuffled(run: Mapping[str, Any]) -> list[str]:
    galaxy = run["galaxies"]["shuffled"]
    single = galaxy["spaxels"]
    cells = [
        f"{run['summary'][by]['shape / spaxels, shuffled']:.2g}; "
        f"{galaxy[by]['labels']['velocity']['S/N 2–5'] / single['labels']['velocity']['S/N 2–5']:.2g}"
        for by in _BY
    ]
    return ["spaxels shuffled: error of the shape; of V", *cells, "1"]


def _particles(run: Mapping[str, Any]) -> list[str]:
    cells = [f"{run['summary'][by]['shape / spaxels, particles']:.2g}" for by in _BY]
    return ["another galaxy, of star particles, with stars of another library: shape", *cells, "≤ 0.6"]


def cube_sums_table(results: ResultsFolder) -> str:
    """Make the table of sums of estimates: χ² per degree of freedom of fluxes in bands, by size of the aperture.

    Parameters
    ----------
    results : ResultsFolder
        With ``cube_sums.json``.

    Returns
    -------
    str
        Markdown.
    """
    run = results["cube_sums"]
    every, sizes = run["all"], [str(size) for size in run["settings"]["n_spaxels"]]
    methods = list(dict.fromkeys(one["method"] for one in every))
    parts = [(f"{methods[0]}, S/N {snr}", methods[0], records) for snr, records in run["by S/N"].items()]
    parts += [(method, method, every) for method in methods]
    rows = [[label, *(f"{_rms(found, method, size) ** 2:.2f}" for size in sizes)] for label, method, found in parts]
    return plain_table(["errors", *(f"{size} spaxels" for size in sizes)], rows)


def _rms(records: Sequence[Mapping[str, Any]], method: str, size: str) -> float:
    return next(float(one["rms"]) for one in records if one["method"] == method and str(one["n_spaxels"]) == size)


def cube_pulls_table(results: ResultsFolder) -> str:
    """Make the table of pulls of what real spaxels and bins say about what all others say of them.

    Parameters
    ----------
    results : ResultsFolder
        With ``cube_pulls.json``.

    Returns
    -------
    str
        Markdown.
    """
    run = results["cube_pulls"]
    parts = {"MUSE, Abell 478": run} | {f"SAMI, {name}": found for name, found in run["SAMI"].items()}
    rows = [
        [label, str(part["spaxels"]), *(f"{pull:.2f}" for pull in part["rms"].values())]
        for label, part in parts.items()
    ]
    return plain_table(["cube", "spaxels or bins", *run["rms"]], rows)
