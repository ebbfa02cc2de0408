"""How much faster a survey runs with two worker processes than with one, and that both make the same files.

Run it as ``python benchmarks/survey_workers.py``, after `quietspec fetch miles`, on a quiet machine of two cores.
The cubes are simulated MUSE cubes of S/N 2-21; the cluster's start and end count.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from astropy.io import fits
from machine import machine
from survey_overhead import as_a_survey

from quietspec.batch.task import denoise_cube
from quietspec.io.fetching import fetch
from quietspec.lab.simulate.cubes import SimulatedCube
from quietspec.templates import load_library

RESULTS = Path(__file__).parent / "results" / "survey_workers.json"
REDSHIFT = 0.03


def make_manifest(folder: Path, n: int, side: int) -> Path:
    library, lines = load_library(fetch("miles")), ["file,redshift"]
    for seed in range(n):
        cube = SimulatedCube.draw(library, (side, side), seed=seed, redshift=REDSHIFT)
        cube.write(folder / f"{seed}.fits")
        lines.append(f"{seed}.fits,{REDSHIFT}")
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


def require_the_same(one: Path, other: Path, n: int) -> None:
    for path in sorted(one.glob("*.fits")):
        with fits.open(path) as a, fits.open(other / path.name) as b:
            if any((a[name].data.tobytes() != b[name].data.tobytes()) for name in ("FLUX", "VAR", "MASK")):
                raise SystemExit(f"{path.name}: not the same with another number of workers")
        n -= 1
    if n:
        raise SystemExit(f"{n} outputs are missing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=4, help="number of cubes")
    parser.add_argument("--side", type=int, default=150, help="spaxels along each side")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON to write")
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        manifest = make_manifest(folder, arguments.n, arguments.side)
        seconds = {workers: as_a_survey(manifest, folder / str(workers), workers, denoise_cube) for workers in (1, 2)}
        require_the_same(folder / "1", folder / "2", arguments.n)
    spectra = arguments.n * arguments.side**2
    result = {
        "cubes": arguments.n,
        "spectra": spectra,
        "seconds": {str(workers): round(value, 1) for workers, value in seconds.items()},
        "spectra_per_second": {str(workers): round(spectra / value) for workers, value in seconds.items()},
        "two_over_one": round(seconds[1] / seconds[2], 3),
        "machine": machine(),
    }
    arguments.results.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
