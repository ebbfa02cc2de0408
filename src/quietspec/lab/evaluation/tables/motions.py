"""The tables of ``docs/kinematics.md``, and of libraries that were left out, from what scripts print."""

from __future__ import annotations

from collections.abc import Mapping

from quietspec.lab.evaluation.tables.markdown import Printed, ResultsFolder, by_column, plain_table, with_minus

__all__ = ["bins_table", "epochs_table", "left_out_table", "motion_repeats_table", "sami_table", "simulated_table"]

_LABELS = {
    "velocity": "V [km/s]", "sigma": "σ [km/s]", "log_age_lw": "log age (light)", "log_age_mw": "log age (mass)",
    "log_t50": "log t50", "mh_lw": "[M/H] (light)", "a_v": "A_V",
}  # fmt: skip
_INSTRUMENTS = {"": "MUSE", "_sdss": "SDSS", "_sami": "SAMI"}
_SYMBOLS = {"velocity": "V", "sigma": "σ"}


def simulated_table(results: ResultsFolder) -> str:
    """Make the table of simulated spectra by instrument and S/N: errors, stated ones, and shares inside 1σ."""
    rows = []
    for ending, instrument in _INSTRUMENTS.items():
        for printed in results[f"kinematics_simulated{ending}"]["tables"]:
            snr, best = printed["title"].removeprefix("S/N ").removesuffix(" km/s").split("; V at best ± ")
            (cells,) = by_column(printed)
            # Each cell of a label: error (stated error) share inside 1σ, bias, scatter of pulls.
            labels = [" ".join(cells[name].split()[:3]) for name in _LABELS]
            rows.append([instrument, snr, cells["pixels in 1σ"], best, *labels])
    return plain_table(["instrument", "S/N", "pixels in 1σ", "best V", *_LABELS.values()], rows)


def bins_table(results: ResultsFolder) -> str:
    """Make the table of velocities and dispersions by bins of the truth: share inside 1σ, and bias over the error."""
    found: dict[str, dict[str, str]] = {}
    heads: list[str] = []
    for ending in ("", "_sdss"):
        (printed,) = results[f"kinematics_bins{ending}"]["tables"]
        for cells in by_column(printed):
            head = f"{printed['title']}, S/N {cells['S/N']}"
            heads += [] if head in heads else [head]
            label = f"{_SYMBOLS[cells['label']]} {cells['truth, km/s']} km/s"
            found.setdefault(label, {})[head] = with_minus(f"{cells['in 1σ']} {cells['bias / σ']}")
    return plain_table(["", *heads], [[label, *(by.get(head, "") for head in heads)] for label, by in found.items()])


def epochs_table(results: ResultsFolder) -> str:
    """Make the table of a galaxy that was observed twice."""
    names = {"spectrum": "epoch", "S/N": "S/N", **_LABELS, "flags": "flags"}
    return _chosen(results["kinematics_real"]["tables"][0], names)


def sami_table(results: ResultsFolder) -> str:
    """Make the table of errors stated for bins of SAMI, as they are and with noise added; of one cube per galaxy."""
    names = {"galaxy": "galaxy", "S/N": "S/N", "bins": "bins", "V error > 80": "V error > 80", "flagged": "flagged"}
    printed = results["kinematics_real"]["tables"][1]
    rows = [row for row in printed["rows"] if row[0].endswith("_A")]
    return _chosen({**printed, "rows": rows}, names | _LABELS)


def motion_repeats_table(results: ResultsFolder) -> str:
    """Make the table of the pulls of labels between repeated observations."""
    names = {"repeats": "repeats", "n": "n", **{name: head.partition(" [km")[0] for name, head in _LABELS.items()}}
    return _chosen(results["kinematics_repeats"]["tables"][0], names)


def left_out_table(results: ResultsFolder) -> str:
    """Make the table of priors that lack a library, on the stars of that library: shares inside 1σ."""
    rows: list[list[str]] = []
    for printed in results["other_worlds_libraries"]["tables"]:
        library = printed["title"].partition(":")[0]
        # Of labels, the first of: share inside 1σ, rms error, stated error.
        rows += [[library, *row[:2], *(cell.partition(" ")[0] for cell in row[2:])] for row in printed["rows"]]
    head = results["other_worlds_libraries"]["tables"][0]["head"]
    named = _LABELS | {"log_ml_v": "M/L", "flagged": "flagged, %"}
    return plain_table(["stars of", *(named.get(name, name) for name in head)], rows)


def _chosen(printed: Printed, names: Mapping[str, str]) -> str:
    """Make a table of some columns, under other names."""
    rows = [[with_minus(cells[name]) for name in names] for cells in by_column(printed)]
    return plain_table(list(names.values()), rows)
