"""Spectra simulated per second, noise included, by each recipe.

python benchmarks/simulate_speed.py [--library PATH] [-n 8000] [--threads 2]
"""

from script import add_library, library_of, log, parser

from quietspec.lab.bench.simulation import simulation_speeds


def main() -> None:
    made = parser(__doc__)
    add_library(made)
    made.add_argument("-n", type=int, default=8000, help="number of spectra")
    made.add_argument("--chunk", type=int, default=1000, help="spectra made at a time")
    made.add_argument("--threads", type=int, default=2)
    options = made.parse_args()
    for name, speed in simulation_speeds(library_of(options), options.n, options.threads, options.chunk):
        log(f"{name:20s} {speed:8.0f} spectra/s on {options.threads} threads")


if __name__ == "__main__":
    main()
