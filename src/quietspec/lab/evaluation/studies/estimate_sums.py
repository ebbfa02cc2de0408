"""Pulls of sums of the estimates of cubes that were denoised as a whole, read from their files, against the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.table import Table

from quietspec.binning import shared_weights
from quietspec.denoised import FAILURES, Denoised, Flag
from quietspec.denoisers import Denoiser, load_denoiser
from quietspec.io import write
from quietspec.lab.evaluation.studies.aperture_pulls import Bands, Pulls, round_apertures
from quietspec.lab.evaluation.studies.cube_observation import CubeObservation
from quietspec.lab.simulate.cube_worlds import WORLDS, world
from quietspec.lab.simulate.galaxy_cubes import simulate_cube
from quietspec.lab.streams import stream
from quietspec.templates import SspLibrary

__all__ = ["EstimateSumSettings", "estimate_sum_study", "estimate_sum_tables"]

_AS_SUMMED = "as sums of estimates say"
_INDEPENDENT = "added in quadrature"
_SHARED = "added up"
_OTHERS = FAILURES | Flag.STAR | Flag.WRONG_REDSHIFT | Flag.UNLIKE_PRIOR | Flag.NOT_GALAXY | Flag.POOR_FIT
_OTHERS |= Flag.NUCLEUS | Flag.UNLIKE_NEIGHBOURS


@dataclass(frozen=True, kw_only=True)
class EstimateSumSettings(CubeObservation):
    """Galaxies, and the sums over them.

    Parameters
    ----------
    model : str
        Shipped model, or path of an .npz.
    snrs : sequence of float
        S/N of the brightest spaxel; each galaxy is simulated at every one.
    n_spaxels : sequence of int
        Sizes of the apertures.
    n_apertures : int
        Apertures of each size in each cube.
    """

    model: str = "survey"
    snrs: Sequence[float] = (12.0, 35.0)
    size: int = 18
    limits: tuple[float, float] = (3700.0, 7400.0)
    n_spaxels: Sequence[int] = (3, 10, 30, 100, 300)
    n_apertures: int = 4
    seed: int = 19


def estimate_sum_study(
    library: SspLibrary, settings: EstimateSumSettings, log: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Denoise simulated galaxies as a whole, write them, and sum the estimates in the files over apertures.

    Parameters
    ----------
    library : SspLibrary
        Stars of the galaxies.
    settings : EstimateSumSettings
        The galaxies and the sums.
    log : callable, optional
        Called with a line of text for each cube.

    Returns
    -------
    dict
        JSON types: settings, and records of pulls of fluxes in bands of 100 Å, over all cubes and for each S/N.
    """
    denoiser = load_denoiser("posterior", settings.model, spatial=True)
    content: dict[str, Any] = {"settings": asdict(settings), "by S/N": {}}
    every = Pulls()
    for snr in settings.snrs:
        at_snr = Pulls()
        for name in settings.worlds:
            one = Pulls()
            _add_galaxy(library, settings, denoiser, (name, snr), one)
            for pulls in (every, at_snr):
                pulls.extend(one)
            found = ", ".join(f"{each['rms']:.2f}" for each in one.records() if each["method"] == _AS_SUMMED)
            log(f"{name}, S/N {snr:g}: {found}")
        content["by S/N"][f"{snr:g}"] = list(at_snr.records())
    return content | {"all": list(every.records())}


def _add_galaxy(
    library: SspLibrary, settings: EstimateSumSettings, denoiser: Denoiser, which: tuple[str, float], pulls: Pulls
) -> None:
    """Add the pulls of the sums over one galaxy, of a name and an S/N."""
    name, snr = which
    rng = stream("sums of estimates", settings.seed, [*WORLDS].index(name), round(snr))
    setup = settings.setup(rng, snr)  # before the galaxy is drawn from the same stream
    cube = simulate_cube(library, world(name, rng), setup, rng).simulated
    denoised = _as_stored(denoiser.denoise(cube.observed))
    seen = denoised.valid.any(axis=1) & (denoised.flags & int(_OTHERS) == 0)
    bands = Bands(denoised.spectra, denoised[seen])
    values, errors = np.zeros((2, len(denoised), len(bands)))
    values[seen], errors[seen] = bands(denoised[seen])
    true = bands.means(cube.truth)
    for size, weights in round_apertures(setup.shape, settings.n_spaxels, settings.n_apertures, rng):
        inside = weights * seen
        inside = inside[inside.any(axis=1)]
        if not len(inside):
            continue
        ways = {
            _AS_SUMMED: np.sqrt(shared_weights(denoised, inside) @ errors**2),
            _INDEPENDENT: np.sqrt(inside @ errors**2),
            _SHARED: inside @ errors,
        }
        for method, error in ways.items():
            pulls.add(method, size, {"band": (inside @ values, error)}, {"band": inside @ true})


def _as_stored(denoised: Denoised) -> Denoised:
    """Return the result as its file holds it."""
    with TemporaryDirectory() as folder:
        write(denoised, Path(folder) / "denoised.fits")
        return Denoised.read(Path(folder) / "denoised.fits")


def estimate_sum_tables(content: dict[str, Any]) -> Iterator[Table]:
    """Make tables of χ² per degree of freedom, by size.

    Parameters
    ----------
    content : dict
        From `estimate_sum_study`.

    Yields
    ------
    rich.table.Table
        One for each S/N, and one for all cubes.
    """
    sizes = content["settings"]["n_spaxels"]
    for name, records in [
        *((f"S/N {snr}", found) for snr, found in content["by S/N"].items()),
        ("all", content["all"]),
    ]:
        table = Table(title=f"{name}: χ² per degree of freedom, share inside 68 %", title_justify="left")
        for column in ("errors", *(f"{size} spaxels" for size in sizes)):
            table.add_column(column)
        for method in dict.fromkeys(one["method"] for one in records):
            cells = {one["n_spaxels"]: one for one in records if one["method"] == method}
            table.add_row(method, *(_cell(cells.get(size)) for size in sizes))
        yield table


def _cell(record: dict[str, Any] | None) -> str:
    return "" if record is None else f"{record['rms'] ** 2:.2f}, {100 * record['inside_68']:.0f} %"
