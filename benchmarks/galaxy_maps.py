"""Stellar populations of a simulated galaxy on the sky: what people do against the posterior, held against the truth.

One cube with gradients of age and metallicity, a ring and a clump of young stars, S/N 3.5–25: binned to S/N 20 and 40
and fitted with pPXF, every spaxel fitted with pPXF, denoised and fitted, and the posterior. Kinematics are free.

    python benchmarks/galaxy_maps.py [--size 24] [--jobs 2] [--cache FOLDER]

Simulated spectra have no discrepancy from the model but their calibration error, one for the whole galaxy, which the
model was trained with: so the denoiser is told that there is none.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from machine import machine
from rich.console import Console
from rich.table import Table

from quietspec import load_denoiser
from quietspec.io import fetch
from quietspec.lab.evaluation.maps import MAPPED, MapComparison, compare_maps, galaxy_regions
from quietspec.lab.plots import map_comparison_figure
from quietspec.lab.simulate import Galaxy, Geometry, Population, Simulated, simulate_galaxy
from quietspec.plots import save
from quietspec.populations import Populations
from quietspec.populations.methods import (
    BinnedMethod,
    DenoisedPpxfMethod,
    PopulationMethod,
    PosteriorMethod,
    PpxfMethod,
)
from quietspec.templates import SspLibrary, load_library

ROOT = Path(__file__).parents[1]
GALAXY = Galaxy(  # flatter in light than the default, so that all of it can be fitted, and steeper in populations
    geometry=Geometry(bulge_light=0.15, disc_scale=1.0),
    disc=Population(9.95, 0.1, -0.35, -0.3),
)


def methods(options: argparse.Namespace, library: SspLibrary) -> dict[str, PopulationMethod]:
    """What is compared, by name."""
    denoiser = load_denoiser("posterior", options.model, discrepancy=False)
    ppxf = PpxfMethod(library, jobs=options.jobs)
    return {
        "bins of S/N 40, pPXF": BinnedMethod(ppxf, 40),
        "bins of S/N 20, pPXF": BinnedMethod(ppxf, 20),
        "pPXF": ppxf,
        "denoised, pPXF": DenoisedPpxfMethod(denoiser, library, jobs=options.jobs),
        "bins of S/N 20, posterior": BinnedMethod(PosteriorMethod(denoiser), 20),
        "posterior": PosteriorMethod(denoiser),
    }


def simulated_galaxy(options: argparse.Namespace, library: SspLibrary) -> Simulated:
    """The cube."""
    shape = (options.size, options.size)
    rng = np.random.default_rng(options.seed)
    return simulate_galaxy(library, rng, galaxy=GALAXY, shape=shape, snr=options.snr, instrument=options.instrument)


class Cache:
    """Populations of methods that were run before, so that an interrupted run goes on."""

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
            mappings = {key: dict(zip(names, saved[key], strict=True)) for key in ("values", "low", "high")}
            plain = {key: saved[key] for key in ("flags", "chi2", "seconds")}
            reasons = tuple(map(str, saved["reasons"]))
            return Populations(method=name, reasons=reasons, **mappings, **plain), float(saved["wall"])

    def store(self, name: str, populations: Populations, wall: float) -> None:
        path = self.path(name)
        if path is not None:
            mappings = {key: np.array(list(getattr(populations, key).values())) for key in ("values", "low", "high")}
            plain = {key: getattr(populations, key) for key in ("flags", "chi2", "seconds")}
            np.savez(path, names=populations.names, reasons=populations.reasons, wall=wall, **mappings, **plain)


def run(options: argparse.Namespace, console: Console) -> MapComparison:
    """Run all methods, those in the cache excepted."""
    library = load_library(fetch("miles"))
    simulated = simulated_galaxy(options, library)
    regions = galaxy_regions(GALAXY, (options.size, options.size))
    cache, known = Cache(options.cache), {}
    for name, method in methods(options, library).items():
        found = cache.load(name)
        if found is None:
            console.print(f"{name} …")
            result = compare_maps(simulated, {name: method}).methods[name]
            found = result.populations, result.seconds
            cache.store(name, *found)
        known[name] = found
        console.print(f"{name}: {found[1]:.0f} s, {found[0].failed.sum()} spaxels failed")
    return compare_maps(simulated, methods(options, library), regions, known=known)


def tables(content: dict) -> list[Table]:
    """One table a parameter, a row a method."""
    columns = {
        "rms": "rms", "rms_light": "rms by light", "bias": "bias", "slope": "slope", "detail": "detail kept",
        "detail_correlation": "correlation", "fwhm": "FWHM added", "pulls": "pulls",
    }  # fmt: skip
    found = []
    for parameter in MAPPED:
        table = Table(title=parameter)
        for column in ("method", *columns.values(), "clump", "ring", "seconds"):
            table.add_column(column, justify="left" if column == "method" else "right")
        for name, one in content["methods"].items():
            scores = one["scores"][parameter]
            regions = (scores["region_bias"][region] for region in ("clump", "ring"))
            cells = [f"{value:.3f}" for value in (*(scores[key] for key in columns), *regions)]
            table.add_row(name, *cells, f"{one['seconds']:.0f}")
        found.append(table)
    return found


def summary(comparison: MapComparison, options: argparse.Namespace) -> dict:
    """What goes into the results file."""
    snr = comparison.simulated.parameters["snr"]
    percentiles = (0, 16, 50, 84, 100)
    return {
        "machine": machine(),
        "model": str(load_denoiser("posterior", options.model).model),
        **{name: getattr(options, name) for name in ("size", "snr", "instrument", "seed", "jobs")},
        "snr_percentiles": dict(zip(percentiles, np.percentile(snr, percentiles).tolist(), strict=True)),
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="survey", help="shipped model, or path of an .npz")
    parser.add_argument("--size", type=int, default=24, help="spaxels along a side")
    parser.add_argument("--snr", type=float, default=25, help="S/N of the brightest spaxel")
    parser.add_argument("--instrument", default="MaNGA")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="pPXF fits side by side")
    parser.add_argument("--cache", type=Path, help="folder that keeps each method's populations, to go on from")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "galaxy_maps.json")
    options = parser.parse_args()
    console = Console(width=160)
    comparison = run(options, console)
    content = summary(comparison, options)
    for table in tables(content):
        console.print(table)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    save(map_comparison_figure(comparison), options.out.with_suffix(".png"))
    by_mass = map_comparison_figure(comparison, ("log_age_mw", "mh_mw"))
    save(by_mass, options.out.with_name(f"{options.out.stem}_by_mass.png"))


if __name__ == "__main__":
    main()
