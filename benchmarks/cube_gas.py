"""Gas of simulated galaxies, spaxel by spaxel and as a whole: flux of Hα, velocity and width against the truth.

    python benchmarks/cube_gas.py [--worlds smooth clumps] [--size 15] [--snr 25]

The gas moves apart from the stars, in a quarter of the galaxies the other way, and in half of them it ends at a radius
(`quietspec.lab.evaluation.studies.cube_gas`).
"""

from script import add_library, console, finish, library_of, log, parser

from quietspec.lab.evaluation.studies.cube_gas import CubeGasSettings, cube_gas_study, cube_gas_tables
from quietspec.lab.simulate.cube_worlds import WORLDS


def main() -> None:
    made = parser(__doc__, results="cube_gas")
    add_library(made)
    made.add_argument("--model", default="survey", help="shipped model, or path of an .npz")
    made.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    made.add_argument("--size", type=int, default=15, help="spaxels along each side")
    made.add_argument("--snr", type=float, default=25, help="S/N of the brightest spaxel")
    made.add_argument("--instrument", default="MaNGA")
    made.add_argument("--seed", type=int, default=27)
    options = made.parse_args()
    settings = CubeGasSettings(
        **{name: getattr(options, name) for name in ("model", "worlds", "size", "snr", "instrument", "seed")}
    )
    content = cube_gas_study(library_of(options), settings, log)
    for table in cube_gas_tables(content):
        console.print(table)
    finish(options, content)


if __name__ == "__main__":
    main()
