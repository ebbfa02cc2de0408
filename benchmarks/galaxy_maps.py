"""Stellar populations of a simulated galaxy on the sky: usual methods and the posterior, compared with the truth.

    python benchmarks/galaxy_maps.py [--size 24] [--jobs 2] [--store FOLDER]

One cube with gradients of age and metallicity, a ring and a clump of young stars, S/N 3.5–25: binned to S/N 20 and 40
and fitted with pPXF, every spaxel fitted with pPXF, denoised and fitted, and the posterior
(`quietspec.lab.evaluation.studies.galaxy_maps`). Needs the extra `populations`.
"""

from pathlib import Path

from script import add_library, console, finish, library_of, log, parser

from quietspec.lab.evaluation.studies.galaxy_maps import (
    GalaxySettings,
    galaxy_maps_content,
    galaxy_maps_study,
    galaxy_maps_tables,
    map_methods,
)
from quietspec.lab.plots import map_comparison_figure


def main() -> None:
    made = parser(__doc__, results="galaxy_maps", figures=True)
    add_library(made)
    made.add_argument("--model", default="survey", help="shipped model, or path of an .npz")
    made.add_argument("--size", type=int, default=24, help="spaxels along each side")
    made.add_argument("--snr", type=float, default=25, help="S/N of the brightest spaxel")
    made.add_argument("--instrument", default="MaNGA")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--jobs", type=int, default=2, help="pPXF fits in parallel")
    made.add_argument("--methods", nargs="+", help="names of the methods to compare; all by default")
    made.add_argument("--store", type=Path, help="folder that keeps the populations of each method, to go on from")
    options = made.parse_args()
    library = library_of(options)
    settings = GalaxySettings(options.model, options.size, options.snr, options.instrument, options.seed, options.jobs)
    methods = map_methods(library, settings)
    asked = {name: methods[name] for name in options.methods or methods}
    comparison = galaxy_maps_study(library, settings, asked, store=options.store, log=log)
    content = galaxy_maps_content(comparison, settings)
    for table in galaxy_maps_tables(content):
        console.print(table)
    by_mass = map_comparison_figure(comparison, ("log_age_mw", "mh_mw"))
    finish(options, content, {"": map_comparison_figure(comparison), "_by_mass": by_mass})


if __name__ == "__main__":
    main()
