"""What denoising a cube as a whole costs beyond denoising its spaxels: processor time and memory by number of spaxels.

    python benchmarks/cube_cost.py [--sides 16 40]

Cuts of the MUSE cube of Abell 478 (``quietspec fetch muse-a478``), from file to file, with and without ``--spatial``.
What a spaxel costs is the slope between the smallest and the largest cut.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from file_speed import CUBE, REDSHIFT, cost_of, cut
from script import console, finish, log, parser

from quietspec.io import fetch

WAYS = {"spaxels": (), "spatial": ("--spatial",)}
FULL = 90_000  # spaxels of a full MUSE cube


def slope(costs: dict[int, dict[str, float]], kind: str) -> float:
    """What a further spaxel costs."""
    few, many = min(costs), max(costs)
    return (costs[many][kind] - costs[few][kind]) / (many - few)


def main() -> None:
    made = parser(__doc__, results="cube_cost")
    made.add_argument("--sides", type=int, nargs="+", default=(16, 40), help="spaxels along the sides of the cuts")
    options = made.parse_args()
    file = fetch(CUBE)
    path = file if file.is_file() else next(iter(sorted(file.rglob("*.fits*"))))
    costs: dict[str, dict[int, dict[str, float]]] = {name: {} for name in WAYS}
    with TemporaryDirectory() as folder:
        for side in options.sides:
            target = Path(folder) / f"cut{side}.fits"
            number = cut(path, target, side)
            for name, words in WAYS.items():
                out = ("--redshift", str(REDSHIFT), "--overwrite", "-o", Path(folder) / "out.fits")
                costs[name][number] = vars(cost_of(sys.executable, "denoise", target, *words, *out))
                log(f"{number} spaxels, {name}: {costs[name][number]}")
    time, memory = ({name: slope(each, kind) for name, each in costs.items()} for kind in ("processor", "memory"))
    summary: dict[str, Any] = {
        "second pass over first, processor": time["spatial"] / time["spaxels"] - 1,
        "kB per spaxel": {name: 1e6 * value for name, value in memory.items()},
        f"GB more for {FULL} spaxels": FULL * (memory["spatial"] - memory["spaxels"]),
    }
    console.print(summary)
    finish(options, {**summary, "costs": costs})


if __name__ == "__main__":
    main()
