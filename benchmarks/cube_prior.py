"""Simulated galaxies denoised spaxel by spaxel, in bins of S/N 20, and as a whole.

    python benchmarks/cube_prior.py [--contenders spaxels 'bins of S/N 20' spatial] [--size 20] [--worlds smooth clumps]

Six galaxies from smooth to patchy, with clumps, a ring, a step in velocity, a counter-rotating core, spiral arms,
companions and stars in front; one with its spaxels shuffled; one of star particles with other stars; stripes of
[M/H]. All contenders of this version by default (`quietspec.lab.evaluation.studies.cube_prior`). Needs the extra
`populations` for the bins, and `quietspec fetch bc03-miles` for the particles.
"""

from collections.abc import Mapping
from pathlib import Path

from script import add_library, console, finish, library_of, log, parser

from quietspec.denoised import Denoised
from quietspec.io import fetch
from quietspec.lab.evaluation.studies.cube_contenders import CONTENDERS, REFERENCE, available, make_contender
from quietspec.lab.evaluation.studies.cube_prior import CubeStudySettings, cube_prior_study, cube_prior_tables
from quietspec.lab.plots import cube_maps_figure
from quietspec.lab.simulate import GalaxyCube
from quietspec.lab.simulate.cube_worlds import WORLDS
from quietspec.templates import load_library


def main() -> None:
    made = parser(__doc__, results="cube_prior", figures=True)
    add_library(made)
    made.add_argument("--outside", type=Path, help="SSPs of the galaxy of particles; BC03 on MILES stars by default")
    made.add_argument("--no-particles", action="store_true", help="leave that galaxy out")
    made.add_argument("--model", default="survey", help="shipped model, or path of an .npz")
    made.add_argument("--contenders", nargs="+", choices=CONTENDERS, help="all of this version by default")
    made.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    made.add_argument("--size", type=int, default=20, help="spaxels along each side")
    made.add_argument("--snr", type=float, default=35, help="S/N of the brightest spaxel")
    made.add_argument("--instrument", default="MaNGA")
    made.add_argument("--drizzle", type=float, default=0.3, help="correlation of the noise of neighbouring spaxels")
    made.add_argument("--periods", type=float, nargs="*", default=[2, 3, 4, 6], help="of the stripes, in FWHM")
    made.add_argument("--stripe-snrs", type=float, nargs="*", default=[5, 10, 20])
    made.add_argument("--seed", type=int, default=18)
    made.add_argument("--draw", nargs="*", default=[], metavar="GALAXY", help="galaxies whose maps are drawn")
    options = made.parse_args()
    names = dict.fromkeys([REFERENCE, *(options.contenders or available())])
    contenders = {name: make_contender(name, options.model) for name in names}
    settings = CubeStudySettings(
        **{name: getattr(options, name) for name in (
            "size", "instrument", "snr", "drizzle", "seed", "worlds", "periods", "stripe_snrs",
        )}
    )  # fmt: skip
    outside = None if options.no_particles else load_library(options.outside or fetch("bc03-miles"))
    figures = {}

    def look(name: str, cube: GalaxyCube, results: Mapping[str, Denoised]) -> None:
        if name in options.draw:
            figures[f"_{name}"] = cube_maps_figure(cube, results)

    content = cube_prior_study(library_of(options), outside, settings, contenders, log, look)
    for table in cube_prior_tables(content):
        console.print(table)
    finish(options, {"model": options.model, **content}, figures)


if __name__ == "__main__":
    main()
