"""Speed from file to file beside an earlier release, on the same MUSE cube in the same run, and memory.

    python benchmarks/file_speed.py --release PYTHON [--repeats 3]

PYTHON is the interpreter of an environment that has the release (version 0.1.0: commit 7eb9f84). The cube is that of
Abell 478 (``quietspec fetch muse-a478``), denoised by both versions and measured (stars, kinematics, gas, maps) by this
one, by turns. What each costs to start is taken off: a cut of few spaxels is timed as well. Processor time is what
counts where other processes share the machine. Two workers are compared with one by wall time, on larger cuts, as they
are processes only where spectra are many; ``--worker-sides 0`` leaves them out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from astropy.io import fits
from script import console, finish, parser

from quietspec.io import fetch

CUBE, REDSHIFT = "muse-a478", 0.0858
RUN = "import sys; from quietspec.cli import app; sys.argv[0] = 'quietspec'; app()"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Cost:
    """What a process cost: wall and processor time in seconds, and the most memory it held, in GB."""

    wall: float
    processor: float
    memory: float


def cube_file() -> Path:
    """Fetch the cube of Abell 478."""
    found = fetch(CUBE)
    return found if found.is_file() else next(iter(sorted(found.rglob("*.fits*"))))


def cost_of(python: str, *words: str | Path) -> Cost:
    """Cost of a command of the quietspec that an interpreter has, in one thread of linear algebra."""
    known = dict(os.environ) | ONE_THREAD
    if python != sys.executable:
        known.pop("PYTHONPATH", None)
    start = time.perf_counter()
    child = subprocess.Popen([python, "-c", RUN, *map(str, words)], env=known, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: exit status {child.returncode}")
    return Cost(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20)


def cut(path: Path, target: Path, side: int) -> int:
    """Write the middle of a cube, `side` spaxels along each side, and return their number."""
    with fits.open(path) as file:
        for hdu in file:
            if hdu.data is not None and hdu.data.ndim == 3:
                size = hdu.data.shape[1:]
                copies = tuple(-(-side // n) for n in size)  # a mosaic, where more spaxels are asked for than there are
                middle = tuple(slice(start := max(n // 2 - side // 2, 0), start + side) for n in size)
                hdu.data = np.tile(hdu.data, (1, *copies))[(slice(None), *middle)]
        file.writeto(target, output_verify="silentfix")
        return int(np.prod(file[1].data.shape[1:]))


def timed(ways: dict[str, Sequence[str | Path]], folder: Path, sides: Sequence[int], repeats: int) -> dict[str, Any]:
    """Costs of each way (an interpreter and words) on a cut of few spaxels and on a larger one, by turns.

    Parameters
    ----------
    ways : dict of str to sequence
        Interpreter, command and its options.
    folder : Path
        For files.
    sides : (2,) of int
        Spaxels along the sides of both cuts.
    repeats : int
        Number of turns.

    Returns
    -------
    dict
        Number of spectra of both cuts; for each way its costs on them, and what a further spectrum costs, in
        milliseconds of processor and wall time: the medians of the differences.
    """
    path = cube_file()
    cubes = [folder / f"cut{side}.fits" for side in sides]
    numbers = [cut(path, cube, side) for cube, side in zip(cubes, sides, strict=True)]
    costs: dict[str, list[list[Cost]]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, (python, *words) in ways.items():
            options = ("--redshift", str(REDSHIFT), "--overwrite", "-o", folder / "out.fits")
            costs[name].append([cost_of(str(python), words[0], cube, *words[1:], *options) for cube in cubes])
    more = numbers[1] - numbers[0]
    return {
        "spectra": numbers,
        **{
            name: {
                "costs": [[vars(one) for one in pair] for pair in pairs],
                "memory_gb": max(pair[1].memory for pair in pairs),
                **{
                    f"{kind}_ms": 1e3 * float(np.median([getattr(b, kind) - getattr(a, kind) for a, b in pairs])) / more
                    for kind in ("processor", "wall")
                },
            }
            for name, pairs in costs.items()
        },
    }


def main() -> None:
    made = parser(__doc__, results="file_speed")
    made.add_argument("--release", required=True, metavar="PYTHON", help="interpreter that has the release")
    made.add_argument("--repeats", type=int, default=3)
    made.add_argument("--sides", type=int, nargs=2, default=(8, 40), help="spaxels along the sides of the two cuts")
    made.add_argument("--worker-sides", type=int, nargs="+", default=(48, 72), help="the same for one and two workers")
    options = made.parse_args()
    ways: dict[str, Sequence[str | Path]] = {
        "release": (options.release, "denoise"),
        "denoise": (sys.executable, "denoise"),
        "measure": (sys.executable, "measure"),
    }
    workers: dict[str, Sequence[str | Path]] = {
        number: (sys.executable, "denoise", "--workers", number) for number in ("1", "2")
    }
    with TemporaryDirectory() as folder:
        found = timed(ways, Path(folder), options.sides, options.repeats)
        ratios = {
            name: found["release"]["processor_ms"] / found[name]["processor_ms"] for name in ("denoise", "measure")
        }
        if any(options.worker_sides):
            found["workers"] = timed(workers, Path(folder), options.worker_sides, options.repeats)
            wall = {number: found["workers"][number]["wall_ms"] for number in workers}
            ratios["two workers over one, wall"] = wall["1"] / wall["2"]
    console.print({name: round(value, 3) for name, value in ratios.items()})
    finish(options, {"ratios": ratios, **found})


if __name__ == "__main__":
    main()
