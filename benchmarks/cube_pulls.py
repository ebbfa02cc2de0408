"""How far each spaxel of a real cube is from what all others say of it, in units of what the errors allow.

    python benchmarks/cube_pulls.py [--side 24]

The brightest part of the MUSE cube of Abell 478 (``quietspec fetch muse-a478``). Nothing is simulated: every spaxel is
predicted from the others and then meets its own data, mode by mode. Pulls are 1 where errors are right.
"""

from __future__ import annotations

import numpy as np
from file_speed import CUBE, REDSHIFT
from script import console, finish, parser

from quietspec.denoisers import SpatialPosterior, load_denoiser
from quietspec.denoisers.spatial.together import Together
from quietspec.io import fetch, open_spectra
from quietspec.statistics import MAD_TO_SIGMA

NAMES = ("velocity", "width", "populations 1", "populations 2", "populations 3", "populations 4")


def main() -> None:
    made = parser(__doc__, results="cube_pulls")
    made.add_argument("--side", type=int, default=24, help="spaxels along each side")
    options = made.parse_args()
    file = fetch(CUBE)
    path = file if file.is_file() else next(iter(sorted(file.rglob("*.fits*"))))
    denoiser = load_denoiser("posterior", spatial=True)
    assert isinstance(denoiser, SpatialPosterior)
    with open_spectra(path, redshift=REDSHIFT) as source:
        cube = source.read()
    y, x = (int(place) for place in np.unravel_index(np.nanargmax(cube.snr), cube.spatial_shape or ()))
    half = options.side // 2
    part = cube[max(y - half, 0) : y + half, max(x - half, 0) : x + half]
    learned = denoiser.learned(lambda: [part], part.redshift, part.spatial_shape)
    if not isinstance(learned, Together):
        raise SystemExit("too few spaxels have data")
    pulls = learned.known.pulls[~learned.known.own, : len(NAMES)]
    content = {
        "spaxels": len(pulls),
        "median S/N": float(np.nanmedian(part.snr)),
        "unlike their neighbours": int(learned.known.own.sum()),
        "rms": dict(zip(NAMES, np.sqrt(np.mean(pulls**2, axis=0)).round(3).tolist(), strict=True)),
        "robust": dict(zip(NAMES, (MAD_TO_SIGMA * np.median(abs(pulls), axis=0)).round(3).tolist(), strict=True)),
    }
    console.print(content)
    finish(options, content)


if __name__ == "__main__":
    main()
