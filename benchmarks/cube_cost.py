"""What denoising a cube as a whole costs beyond denoising its spaxels: processor time and memory by number of spaxels.

    python benchmarks/cube_cost.py [--sides 16 32] [--mosaics 1 3]

Cuts of the MUSE cube of Abell 478 (``quietspec fetch muse-a478``), from file to file, with and without ``--spatial``.
What a spaxel costs is the slope between the smallest and the largest cut. Memory, which must not grow with what a tile
holds, is measured on mosaics of a cut of few channels as well.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from astropy.io import fits
from file_speed import REDSHIFT, cost_of, cube_file, cut
from script import console, finish, log, parser

CHANNELS = slice(300, 620)  # of mosaics
WAYS = {"spaxels": (), "spatial": ("--spatial",)}
FULL = 90_000  # spaxels of a full MUSE cube


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


def slope(costs: dict[int, dict[str, float]], kind: str) -> float:
    """What a further spaxel costs."""
    few, many = min(costs), max(costs)
    return (costs[many][kind] - costs[few][kind]) / (many - few)


def main() -> None:
    made = parser(__doc__, results="cube_cost")
    made.add_argument("--sides", type=int, nargs="+", default=(16, 32), help="spaxels along the sides of the cuts")
    made.add_argument("--mosaics", type=int, nargs="+", default=(1, 3), help="cuts along the sides of the mosaics")
    made.add_argument("--mosaic-side", type=int, default=24, help="spaxels along the sides of their cut")
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
    time = {name: slope(each, "processor") for name, each in costs.items()}
    memory = slope(mosaics, "memory")
    summary: dict[str, Any] = {
        "second pass over first, processor": time["spatial"] / time["spaxels"] - 1,
        "kB per spaxel": 1e6 * memory,
        f"GB for {FULL} spaxels beyond those of a tile": FULL * memory,
    }
    console.print(summary)
    finish(options, {**summary, "costs": costs, "mosaics": mosaics})


if __name__ == "__main__":
    main()
