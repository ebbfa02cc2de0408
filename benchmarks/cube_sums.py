"""Sums of the estimates in files of cubes denoised as a whole, over 3 to 300 spaxels: do they scatter by their errors?

    python benchmarks/cube_sums.py [--worlds smooth clumps] [--snrs 12 35] [--size 18] [--apertures 4]

Simulated galaxies from smooth to patchy, against their truth (`quietspec.lab.evaluation.studies.estimate_sums`).
"""

from script import add_library, console, finish, library_of, log, parser

from quietspec.lab.evaluation.studies.estimate_sums import EstimateSumSettings, estimate_sum_study, estimate_sum_tables
from quietspec.lab.simulate.cube_worlds import WORLDS


def main() -> None:
    made = parser(__doc__, results="cube_sums")
    add_library(made)
    made.add_argument("--model", default="survey", help="shipped model, or path of an .npz")
    made.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    made.add_argument("--snrs", type=float, nargs="+", default=[12, 35], help="S/N of the brightest spaxel")
    made.add_argument("--size", type=int, default=18, help="spaxels along each side")
    made.add_argument("--spaxels", type=int, nargs="+", default=[3, 10, 30, 100, 300], help="sizes of apertures")
    made.add_argument("--apertures", type=int, default=4, help="apertures of each size in each cube")
    made.add_argument("--seed", type=int, default=19)
    options = made.parse_args()
    settings = EstimateSumSettings(
        model=options.model,
        worlds=options.worlds,
        snrs=options.snrs,
        size=options.size,
        n_spaxels=options.spaxels,
        n_apertures=options.apertures,
        seed=options.seed,
    )
    content = estimate_sum_study(library_of(options), settings, log)
    for table in estimate_sum_tables(content):
        console.print(table)
    finish(options, content)


if __name__ == "__main__":
    main()
