"""The posterior beside that of an earlier release: on the same simulated spectra, and timed on the same MUSE cube.

    python benchmarks/beside_release.py --release PYTHON [-n 200] [--instrument MUSE]

PYTHON is the interpreter of an environment that has the release (version 0.1.0: commit 7eb9f84). Spectra are
those of recipe `survey`; S/N by S/N both denoise them with their default settings. The cube is that of Abell 478
(``quietspec fetch muse-a478``), 400 of its spaxels, in one thread, the two one after the other and three times each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from file_speed import REDSHIFT, cube_file
from rich.table import Table
from script import add_library, console, finish, library_of, parser

from quietspec.lab.evaluation.motions import label_score
from quietspec.lab.evaluation.studies.kinematics import REDSHIFTS
from quietspec.lab.simulate import Draws, SurveyRecipe

LABELS = ("velocity", "sigma", "log_age_lw", "log_age_mw", "mh_lw", "a_v")
REPEATS = 3

# What runs under either version: both know these few functions.
DENOISE = """
import sys, numpy as np
from quietspec import Spectra, load_denoiser
given = np.load(sys.argv[1])
spectra = Spectra(**{name: given[name] for name in ("wavelength", "flux", "ivar", "fwhm", "redshift")}, medium="air")
found = load_denoiser("posterior").denoise(spectra)
labels = {f"label_{name}": np.array(found.parameters[name]) for name in sys.argv[3].split(",")}
np.savez(sys.argv[2], flux=found.flux, sigma=found.sigma, **labels)
"""
TIME = """
import sys, time, numpy as np, quietspec
from threadpoolctl import threadpool_limits
from quietspec.io import read
cube = read(sys.argv[1], redshift=float(sys.argv[2]))
bright = np.flatnonzero(cube.snr > 1)
spectra = cube[bright[:: max(len(bright) // int(sys.argv[3]), 1)]]
denoiser = quietspec.load_denoiser("posterior")
with threadpool_limits(1):
    denoiser.denoise(spectra[:64])
    start = time.process_time()
    denoiser.denoise(spectra)
print(1e3 * (time.process_time() - start) / len(spectra))
"""


def run(python: str, *arguments: str | Path) -> str:
    """Output of an interpreter, which sees this checkout only if it is the one that runs this script."""
    known = dict(os.environ)
    if python != sys.executable:
        known.pop("PYTHONPATH", None)
    return subprocess.run([python, *arguments], check=True, stdout=subprocess.PIPE, text=True, env=known).stdout


def denoised(python: str, folder: Path) -> dict[str, Any]:
    """Flux, errors and labels of the spectra in a folder, by the quietspec of an interpreter."""
    target = folder / "out.npz"
    run(python, "-c", DENOISE, folder / "in.npz", target, ",".join(LABELS))
    with np.load(target) as found:
        return dict(found)


def compare(python: str, recipe: SurveyRecipe, instrument: str, snr: float, n: int, seed: int) -> dict[str, Any]:
    """Scores at one S/N: those of both, and the ratios of rms errors."""
    made = Draws.of("beside a release", snr, seed).simulate(recipe, n, snr, redshift=REDSHIFTS[instrument])
    observed, record = made.observed, {"snr": snr}
    with tempfile.TemporaryDirectory() as folder:
        names = ("wavelength", "flux", "ivar", "fwhm", "redshift")
        np.savez(Path(folder) / "in.npz", **{name: getattr(observed, name) for name in names})
        both = {"release": denoised(python, Path(folder)), "now": denoised(sys.executable, Path(folder))}
    counted = observed.good & np.isfinite(made.truth) & ~made.contaminated
    counted &= np.all([np.isfinite(one["flux"]) for one in both.values()], axis=0)
    for name, one in both.items():
        error = np.where(counted, one["flux"] - made.truth, 0)
        record[name] = {
            "flux": float(np.sqrt(np.mean(np.sum(error**2, axis=1) / counted.sum(axis=1)))),
            "pixels_inside": float(np.mean((np.abs(error) < one["sigma"])[counted])),
            "labels": {label: vars(label_score(*one[f"label_{label}"], made.parameters[label])) for label in LABELS},
        }
    scores = {name: record[name]["labels"] for name in both}
    ratios = {label: scores["now"][label]["rms"] / scores["release"][label]["rms"] for label in LABELS}
    record["ratios"] = {"flux": record["now"]["flux"] / record["release"]["flux"]} | ratios
    return record


def timed(python: str, spaxels: int) -> dict[str, list[float]]:
    """Milliseconds of processor time per spectrum of the cube, by turns."""
    file = cube_file()
    times: dict[str, list[float]] = {"release": [], "now": []}
    for _ in range(REPEATS):
        for name, one in (("release", python), ("now", sys.executable)):
            times[name].append(float(run(one, "-c", TIME, file, str(REDSHIFT), str(spaxels))))
    return times


def main() -> None:
    made = parser(__doc__, results="beside_release")
    made.add_argument("--release", required=True, metavar="PYTHON", help="interpreter that has the release")
    add_library(made)
    made.add_argument("--instrument", default="MUSE", choices=REDSHIFTS)
    made.add_argument("--snr", type=float, nargs="+", default=[5.0, 10.0, 20.0, 50.0])
    made.add_argument("-n", type=int, default=200)
    made.add_argument("--spaxels", type=int, default=400, help="of the cube on which both are timed")
    made.add_argument("--seed", type=int, default=4)
    options = made.parse_args()
    recipe = SurveyRecipe(library_of(options), instruments=[options.instrument])
    settings = options.n, options.seed
    records = [compare(options.release, recipe, options.instrument, snr, *settings) for snr in options.snr]
    table = Table("S/N", "pixels in 1σ", *records[0]["ratios"], title=f"{options.instrument}: rms over the release's")
    for record in records:
        inside = f"{record['release']['pixels_inside']:.3f} → {record['now']['pixels_inside']:.3f}"
        table.add_row(f"{record['snr']:g}", inside, *(f"{value:.2f}" for value in record["ratios"].values()))
    times = timed(options.release, options.spaxels)
    fastest = {name: min(values) for name, values in times.items()}
    console.print(table, {**times, "spectra per second over the release's": fastest["release"] / fastest["now"]})
    content = {"instrument": options.instrument, "n": options.n, "seed": options.seed, "scores": records, "ms": times}
    finish(options, content)


if __name__ == "__main__":
    main()
