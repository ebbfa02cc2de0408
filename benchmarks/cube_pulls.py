"""How far each spaxel of real cubes is from what all others say of it, in units of what the errors allow.

    python benchmarks/cube_pulls.py [--side 24] [--data FOLDER]

The brightest part of the MUSE cube of Abell 478 (``quietspec fetch muse-a478``), and with `--data` SAMI's bins of four
observations of three galaxies. Nothing is simulated: every spaxel or bin is predicted from the others and then meets
its own data, mode by mode. Pulls are 1 where errors are right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.io import fits
from file_speed import REDSHIFT, cube_file
from script import add_data, console, finish, log, parser

from quietspec.arrays import FloatArray
from quietspec.denoisers import SpatialPosterior, load_denoiser
from quietspec.denoisers.spatial.together import Together
from quietspec.io import open_spectra, read
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra, one_per_bin
from quietspec.spectra import Spectra
from quietspec.statistics import MAD_TO_SIGMA

NAMES = ("velocity", "width", "populations 1", "populations 2", "populations 3", "populations 4")
SAMI = ("230776_A", "56140_A", "56140_C", "572402_A")


def main() -> None:
    made = parser(__doc__, results="cube_pulls")
    add_data(made)
    made.add_argument("--side", type=int, default=24, help="spaxels along each side of the MUSE cube")
    options = made.parse_args()
    denoiser = load_denoiser("posterior", spatial=True)
    assert isinstance(denoiser, SpatialPosterior)
    content = _summary(*_pulls(denoiser, _muse(options.side)))
    bins, cubes = _sami(denoiser, RealSpectra(options.data, log))
    if bins:
        content["SAMI"] = {"all": _scatter(np.concatenate(bins)), **cubes}
    console.print(content)
    finish(options, content)


def _muse(side: int) -> Spectra:
    """The brightest part of the cube of Abell 478."""
    with open_spectra(cube_file(), redshift=REDSHIFT) as source:
        cube = source.read()
    y, x = (int(place) for place in np.unravel_index(np.nanargmax(cube.snr), cube.spatial_shape or ()))
    half = side // 2
    return cube[max(y - half, 0) : y + half, max(x - half, 0) : x + half]


def _sami(denoiser: SpatialPosterior, real: RealSpectra) -> tuple[list[FloatArray], dict[str, Any]]:
    """Pulls of the bins of every cube that is there, and what to say of each."""
    bins, cubes = [], {}
    for name in SAMI:
        if (files := real.sami_files(name)) is not None:
            cube = one_per_bin(read(*files), np.asarray(fits.getdata(files[0], "BIN_MASK")).ravel())
            found = _pulls(denoiser, cube)
            bins.append(found[0])
            cubes[name] = _summary(*found)
    return bins, cubes


def _pulls(denoiser: SpatialPosterior, cube: Spectra) -> tuple[FloatArray, float, int]:
    """Pulls of the modes, (n, n_modes), the median S/N, and the number of spaxels that keep to their own data."""
    learned = denoiser.learned(lambda: [cube], cube.redshift, cube.spatial_shape)
    if not isinstance(learned, Together):
        raise SystemExit("too few spaxels have data")
    own = learned.known.own
    seen = cube.good.any(axis=1)
    return learned.known.pulls[~own, : len(NAMES)], float(np.nanmedian(cube.snr[seen])), int(own.sum())


def _summary(pulls: FloatArray, snr: float, own: int) -> dict[str, Any]:
    return {"median S/N": snr, "unlike their neighbours": own, **_scatter(pulls)}


def _scatter(pulls: FloatArray) -> dict[str, Any]:
    """Number of spaxels, and scatter of their pulls by mode."""
    return {
        "spaxels": len(pulls),
        "rms": dict(zip(NAMES, np.sqrt(np.mean(pulls**2, axis=0)).round(3).tolist(), strict=True)),
        "robust": dict(zip(NAMES, (MAD_TO_SIGMA * np.median(abs(pulls), axis=0)).round(3).tolist(), strict=True)),
    }


if __name__ == "__main__":
    main()
