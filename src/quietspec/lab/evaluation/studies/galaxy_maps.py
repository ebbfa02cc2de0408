"""Maps of stellar populations of a simulated galaxy by several methods, against the truth.

The galaxy has gradients of age and metallicity, a ring and a clump of young stars. Kinematics are free. Simulated
spectra differ from the model only by their calibration error, one for the whole galaxy, with which the model was
trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from quietspec.denoisers import load_denoiser
from quietspec.lab.evaluation.maps import MAPPED, MapComparison, compare_maps, galaxy_regions
from quietspec.lab.simulate import Galaxy, Geometry, Population, simulate_galaxy
from quietspec.lab.streams import stream
from quietspec.populations import Populations
from quietspec.populations.methods import (
    BinnedMethod,
    DenoisedPpxfMethod,
    PopulationMethod,
    PosteriorMethod,
    PpxfMethod,
)
from quietspec.templates import SspLibrary

__all__ = ["GalaxySettings", "galaxy_maps_content", "galaxy_maps_study", "galaxy_maps_tables", "map_methods"]

#: Flatter in light than the default galaxy, so that all of it can be fitted, and steeper in populations.
_GALAXY = Galaxy(geometry=Geometry(bulge_light=0.15, disc_scale=1.0), disc=Population(9.95, 0.1, -0.35, -0.3))
_COLUMNS = {
    "rms": "rms", "rms_light": "rms by light", "bias": "bias", "slope": "slope", "detail": "detail kept",
    "detail_correlation": "correlation", "fwhm": "FWHM added", "pulls": "pulls",
}  # fmt: skip
_PERCENTILES = (0, 16, 50, 84, 100)


@dataclass(frozen=True)
class GalaxySettings:
    """The galaxy and its observation.

    Parameters
    ----------
    model : str
        Shipped model, or path of an .npz.
    size : int
        Spaxels along each side.
    snr : float
        S/N of the brightest spaxel.
    instrument : str
        Name in `quietspec.lab.simulate.INSTRUMENTS`.
    seed : int
        Seed of all draws.
    jobs : int
        pPXF fits in parallel.
    """

    model: str = "survey"
    size: int = 24
    snr: float = 25.0
    instrument: str = "MaNGA"
    seed: int = 0
    jobs: int = 2


def map_methods(library: SspLibrary, settings: GalaxySettings) -> dict[str, PopulationMethod]:
    """Make the methods that are compared.

    Parameters
    ----------
    library : SspLibrary
        Templates of pPXF.
    settings : GalaxySettings
        Model, and number of fits in parallel.

    Returns
    -------
    dict of str to PopulationMethod
        Methods by name.
    """
    denoiser = load_denoiser("posterior", settings.model)
    ppxf = PpxfMethod(library, jobs=settings.jobs)
    return {
        "bins of S/N 40, pPXF": BinnedMethod(ppxf, 40),
        "bins of S/N 20, pPXF": BinnedMethod(ppxf, 20),
        "pPXF": ppxf,
        "denoised, pPXF": DenoisedPpxfMethod(denoiser, library, jobs=settings.jobs),
        "bins of S/N 20, posterior": BinnedMethod(PosteriorMethod(denoiser), 20),
        "posterior": PosteriorMethod(denoiser),
    }


class _Store:
    """Populations of methods that were run before, so that an interrupted run can go on."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def path(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / (name.replace("/", "").replace(" ", "_") + ".npz")

    def load(self, name: str) -> tuple[Populations, float] | None:
        path = self.path(name)
        if path is None or not path.exists():
            return None
        with np.load(path) as saved:
            names = saved["names"]
            mappings: dict[str, Any] = {
                key: dict(zip(names, saved[key], strict=True)) for key in ("values", "low", "high")
            }
            arrays: dict[str, Any] = {key: saved[key] for key in ("flags", "reasons", "chi2", "seconds")}
            return Populations(method=name, **mappings, **arrays), float(saved["wall"])

    def save(self, name: str, populations: Populations, wall: float) -> None:
        path = self.path(name)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            names = ("flags", "reasons", "chi2", "seconds")
            arrays: dict[str, Any] = {key: getattr(populations, key) for key in names}
            arrays |= {key: np.array(list(getattr(populations, key).values())) for key in ("values", "low", "high")}
            np.savez(path, names=populations.names, wall=wall, **arrays)


def galaxy_maps_study(
    library: SspLibrary,
    settings: GalaxySettings,
    methods: Mapping[str, PopulationMethod],
    *,
    store: Path | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> MapComparison:
    """Simulate the galaxy, map it by every method, and score the maps.

    Parameters
    ----------
    library : SspLibrary
        Templates of the galaxy.
    settings : GalaxySettings
        The galaxy and its observation.
    methods : mapping of str to PopulationMethod
        Methods by name, as from `map_methods`.
    store : Path, optional
        Folder that keeps the populations of each method; methods found there are not run again.
    log : callable, optional
        Called with a line of text for each method.

    Returns
    -------
    MapComparison
        Maps and scores by method.
    """
    shape, rng = (settings.size, settings.size), stream("galaxy maps", settings.seed)
    simulated = simulate_galaxy(
        library, rng, galaxy=_GALAXY, shape=shape, snr=settings.snr, instrument=settings.instrument
    )
    kept, known = _Store(store), {}
    for name, method in methods.items():
        found = kept.load(name)
        if found is None:
            log(f"{name} …")
            result = compare_maps(simulated, {name: method}).methods[name]
            found = result.populations, result.seconds
            kept.save(name, *found)
        known[name] = found
        log(f"{name}: {found[1]:.0f} s, {found[0].failed.sum()} spaxels failed")
    return compare_maps(simulated, methods, galaxy_regions(_GALAXY, shape), known=known)


def galaxy_maps_content(comparison: MapComparison, settings: GalaxySettings) -> dict[str, Any]:
    """Summarise as JSON types.

    Parameters
    ----------
    comparison : MapComparison
        Result of `galaxy_maps_study`.
    settings : GalaxySettings
        The galaxy and its observation.

    Returns
    -------
    dict
        Settings, S/N of the spaxels, and scores by method and parameter.
    """
    snr = comparison.simulated.parameters["snr"]
    facts = asdict(settings) | {"model": str(load_denoiser("posterior", settings.model).model)}
    return {
        **facts,
        "snr_percentiles": dict(zip(_PERCENTILES, np.percentile(snr, _PERCENTILES).tolist(), strict=True)),
        "regions": {name: int(inside.sum()) for name, inside in comparison.regions.items()},
        "methods": {
            name: {
                "seconds": one.seconds,
                "failed": int(one.populations.failed.sum()),
                "flagged": int((one.populations.flags != 0).sum()),
                "scores": {parameter: asdict(scores) for parameter, scores in one.scores.items()},
            }
            for name, one in comparison.methods.items()
        },
    }


def galaxy_maps_tables(content: Mapping[str, Any]) -> Iterator[Table]:
    """Tabulate the scores of the maps.

    Parameters
    ----------
    content : mapping
        From `galaxy_maps_content`.

    Yields
    ------
    rich.table.Table
        One table per parameter, one row per method.
    """
    for parameter in MAPPED:
        table = Table(title=parameter)
        for column in ("method", *_COLUMNS.values(), "clump", "ring", "seconds"):
            table.add_column(column, justify="left" if column == "method" else "right")
        for name, one in content["methods"].items():
            scores = one["scores"][parameter]
            regions = (scores["region_bias"][region] for region in ("clump", "ring"))
            cells = [f"{value:.3f}" for value in (*(scores[key] for key in _COLUMNS), *regions)]
            table.add_row(name, *cells, f"{one['seconds']:.0f}")
        yield table
