"""The tables of speed in ``docs/performance.md``, and of errors beside version 0.1.0 in ``docs/kinematics.md``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quietspec.lab.evaluation.tables.markdown import ResultsFolder, plain_table

__all__ = ["cube_speed_table", "floor_table", "methods_table", "release_table"]

_METHODS = {
    "measure-file": "`quietspec measure`, file to file",
    "spatial-file": "`quietspec denoise --spatial`, file to file",
    "posterior": "`posterior` in memory, one process",
    "posterior-stars": "the same, stars alone",
    "posterior-gas": "the same, with gas",
    "posterior-spatial": "the same, spaxels together",
    "posterior-still": "`posterior` of the model `paper`, without motions",
    "savgol": "Savitzky–Golay",
    "wiener": "Wiener",
    "eut-placed": "`eut-placed`, ONNX Runtime",
    "eut-paper": "the paper's network, ONNX Runtime",
    "eut-paper-torch": "the paper's network, torch",
    "ppxf": "pPXF, gas masked, one process",
    "ppxf-gas": "pPXF, stars and gas, one process",
    "ppxf-parallel": "pPXF, gas masked, two processes",
}
_LABELS = ("velocity", "sigma", "log_age_lw", "log_age_mw", "mh_lw", "a_v")
_HEADS = ("V", "σ", "log age (light)", "log age (mass)", "[M/H]", "A_V")


def cube_speed_table(results: ResultsFolder) -> str:
    """Make the table of one cube from file to file: time, memory, growth, threads."""
    run = results["bench"]
    files, sizes, workers = run["files"], run["scaling"]["spectra"], run["scaling"]["workers"]
    cube, number = files["posterior-file"], run["options"]["workers"]
    speeds = ", ".join(f"{size['n_spectra'] / size['seconds']:.0f}" for size in sizes)
    counts = ", ".join(f"{size['n_spectra']:,}" for size in sizes)
    memory = ", ".join(_memory(size, number) for size in sizes)
    gain = workers["1"]["seconds"] / workers["2"]["seconds"]
    rows = [
        ["time, spectra per second", f"{cube['seconds']:.0f} s, {cube['n_spectra'] / cube['seconds']:.0f}"],
        ["growth", f"{speeds} spectra per second at {counts} spectra"],
        ["peak memory at these sizes: one process, its workers", f"{memory} GB"],
        *(
            [f"peak memory of {label} at {cube['n_spectra']:,} spectra", f"{_memory(files[way], number)} GB"]
            for way, label in (("measure-file", "`measure`"), ("spatial-file", "`--spatial`"))
            if way in files
        ),
        [f"two workers over one, {workers['1']['n_spectra']:,} spectra", f"{gain:.2f} times"],
        ["processor time over the floor", f"{run['floor_ratio']:.1f}"],
    ]
    return plain_table(["", ""], rows)


def _memory(point: Mapping[str, Any], workers: int) -> str:
    """Memory in GB of the process that reads and writes, and of its workers if they are processes."""
    own, each = point["peak_rss_bytes"] / 1e9, point["peak_worker_bytes"] / 1e9
    return f"{own:.2f} + {workers} × {each:.2f}" if each else f"{own:.2f}"


def floor_table(results: ResultsFolder) -> str:
    """Make the table of the operations without which there is no posterior of a spectrum."""
    operations = results["bench"]["cost"]["operations"]
    rows = [[step, f"{number / 1e6:.1f}"] for step, number in (operations | {"all": sum(operations.values())}).items()]
    return plain_table(["step", "million operations per spectrum"], rows)


def methods_table(results: ResultsFolder) -> str:
    """Make the table of other methods on the same spectra, beside the posterior from file to file."""
    run = results["bench"]
    rows = [
        [label, _digits(run["spectra_per_second"][name]), _digits(run["ratios"][name]), _cost(run, name)]
        for name, label in _METHODS.items()
        if name in run["ratios"]
    ]
    head = ["same spectra, same run", "spectra per second", "speed of the posterior, file to file, over it"]
    return plain_table([*head, "processor time over the posterior's"], rows)


def _cost(run: Mapping[str, Any], name: str) -> str:
    return _digits(run["cpu_ratios"][name]) if name in run["cpu_ratios"] else ""


def _digits(value: float) -> str:
    """Two digits below 10, else none."""
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def release_table(results: ResultsFolder) -> str:
    """Make the table of errors beside version 0.1.0, on the same spectra."""
    rows = []
    for name in ("beside_release_muse", "beside_release_sdss"):
        run = results[name]
        for number, row in enumerate(run["scores"]):
            inside = " → ".join(f"{row[which]['pixels_inside']:.3f}"[1:] for which in ("release", "now"))
            ratios = [f"{row['ratios'][key]:.2f}".removeprefix("0") for key in ("flux", *_LABELS)]
            rows.append([run["instrument"] if number == 0 else "", f"{row['snr']:g}", inside, *ratios])
    return plain_table(["instrument", "S/N", "pixels in 1σ, 0.1.0 → now", "flux", *_HEADS], rows)
