"""What denoising a cube as a whole costs beyond denoising its spaxels: processor time and memory by number of spaxels.

    python benchmarks/cube_cost.py [--sides 16 32] [--mosaics 1 3] [--full 300]

Cuts of the MUSE cube of Abell 478 (``quietspec fetch muse-a478``), from file to file, with and without ``--spatial``.
What a spaxel costs is the slope between the smallest and the largest cut. Memory, which must not grow with what a tile
holds, is measured on mosaics of a cut of few channels as well, and with `--full` on a simulated MUSE cube of so many
spaxels along each side and 3681 channels, denoised as a whole by one process.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from astropy.io import fits
from file_speed import REDSHIFT, cost_of, cube_file, cut
from script import add_library, console, finish, library_of, log, parser

from quietspec.lab.simulate.cubes import SimulatedCube

CHANNELS = slice(300, 620)  # of mosaics
WAYS = {"spaxels": (), "spatial": ("--spatial",)}
SEED, SIMULATED_REDSHIFT = 18, 0.03


def mosaic(cube: Path, target: Path, times: int) -> int:
    """Write a cut of few channels beside itself, `times` along each axis, and return the number of spaxels."""
    with fits.open(cube) as file:
        for hdu in file:
            if hdu.data is not None and hdu.data.ndim == 3:
                hdu.data = np.tile(hdu.data[CHANNELS], (1, times, times))
                if "CRPIX3" in hdu.header:
                    hdu.header["CRPIX3"] -= CHANNELS.start
        file.writeto(target, output_verify="silentfix")
        return int(np.prod(file[1].data.shape[1:]))


def whole_cube(options: Namespace, folder: Path) -> dict[str, float]:
    """Cost of denoising a simulated cube as a whole."""
    path, side = folder / "simulated.fits", options.full
    SimulatedCube.draw(library_of(options), (side, side), seed=SEED, redshift=SIMULATED_REDSHIFT).write(path)
    words = ("--spatial", "--redshift", str(SIMULATED_REDSHIFT), "-o", folder / "whole.fits")
    return {"spaxels": side**2, **vars(cost_of(sys.executable, "denoise", path, *words))}


def slope(costs: dict[int, dict[str, float]], kind: str) -> float:
    """What a further spaxel costs."""
    few, many = min(costs), max(costs)
    return (costs[many][kind] - costs[few][kind]) / (many - few)


def main() -> None:
    made = parser(__doc__, results="cube_cost")
    made.add_argument("--sides", type=int, nargs="+", default=(16, 32), help="spaxels along the sides of the cuts")
    made.add_argument("--mosaics", type=int, nargs="+", default=(1, 3), help="cuts along the sides of the mosaics")
    made.add_argument("--mosaic-side", type=int, default=24, help="spaxels along the sides of their cut")
    made.add_argument("--full", type=int, default=0, help="spaxels along the sides of a simulated cube; 0 for none")
    add_library(made)
    options = made.parse_args()
    path = cube_file()
    costs: dict[str, dict[int, dict[str, float]]] = {name: {} for name in WAYS}
    mosaics: dict[int, dict[str, float]] = {}
    with TemporaryDirectory() as folder:
        out = ("--redshift", str(REDSHIFT), "--overwrite", "-o", Path(folder) / "out.fits")
        for side in options.sides:
            target = Path(folder) / f"cut{side}.fits"
            number = cut(path, target, side)
            for name, words in WAYS.items():
                costs[name][number] = vars(cost_of(sys.executable, "denoise", target, *words, *out))
                log(f"{number} spaxels, {name}: {costs[name][number]}")
        cut(path, Path(folder) / "mosaic.fits", options.mosaic_side)
        for times in options.mosaics:
            target = Path(folder) / f"mosaic{times}.fits"
            number = mosaic(Path(folder) / "mosaic.fits", target, times)
            mosaics[number] = vars(cost_of(sys.executable, "denoise", target, "--spatial", *out))
            log(f"mosaic of {number} spaxels: {mosaics[number]}")
        full = whole_cube(options, Path(folder)) if options.full else {}
    time = {name: slope(each, "processor") for name, each in costs.items()}
    memory = slope(mosaics, "memory")
    summary: dict[str, Any] = {
        "second pass over first, processor": time["spatial"] / time["spaxels"] - 1,
        "kB per spaxel": 1e6 * memory,
    }
    console.print(summary, full)
    finish(options, {**summary, "costs": costs, "mosaics": mosaics, "simulated": full})


if __name__ == "__main__":
    main()
