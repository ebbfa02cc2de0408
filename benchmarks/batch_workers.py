"""How much faster a batch runs with two worker processes than with one; that both make the same files is checked.

    python benchmarks/batch_workers.py [-n 4] [--side 150]

Run it on a quiet machine of two cores. The cubes are simulated MUSE cubes of S/N 2–21; start and end of the cluster
count. Needs the extra `cluster`; see `quietspec.lab.bench.batch`.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from script import add_library, console, finish, library_of, parser

from quietspec.lab.bench.batch import batch_speeds


def main() -> None:
    made = parser(__doc__, results="batch_workers")
    add_library(made)
    made.add_argument("-n", type=int, default=4, help="number of cubes")
    made.add_argument("--side", type=int, default=150, help="spaxels along each side")
    options = made.parse_args()
    with TemporaryDirectory() as folder:
        seconds = batch_speeds(library_of(options), Path(folder), options.n, options.side, (1, 2))
    spectra = options.n * options.side**2
    result = {
        "cubes": options.n,
        "spectra": spectra,
        "spectra_per_second": {str(workers): round(spectra / value) for workers, value in seconds.items()},
        "two_over_one": round(seconds[1] / seconds[2], 3),
    }
    console.print(result)
    finish(options, result)


if __name__ == "__main__":
    main()
