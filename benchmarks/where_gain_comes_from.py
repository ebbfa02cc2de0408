"""Where the gain of denoising before pPXF comes from: histories, regularisation, the denoiser, or the errors it gets.

    python benchmarks/where_gain_comes_from.py [-n 300] [--snr 5] [--jobs 2]

See `quietspec.lab.evaluation.studies.gain_sources`. Needs the extra `populations`.
"""

from script import add_library, console, finish, library_of, parser

from quietspec.lab.evaluation.studies.gain_sources import GainSettings, gain_study, gain_table


def main() -> None:
    made = parser(__doc__, results="where_gain_comes_from")
    add_library(made)
    made.add_argument("-n", type=int, default=300, help="spectra")
    made.add_argument("--snr", type=float, default=5.0)
    made.add_argument("--seed", type=int, default=0, help="seed of the noise")
    made.add_argument("--jobs", type=int, default=2, help="pPXF fits in parallel")
    made.add_argument("--regularisations", type=float, nargs="+", default=[0.0, 10.0, 100.0])
    options = made.parse_args()
    settings = GainSettings(options.n, options.snr, options.seed, options.jobs, tuple(options.regularisations))
    rows = gain_study(library_of(options), settings)
    console.print(gain_table(rows))
    finish(options, {"snr": options.snr, "n": options.n, "seed": options.seed, "rows": rows})


if __name__ == "__main__":
    main()
