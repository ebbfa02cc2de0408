"""What a batch costs per cube beyond the work: 10,000 tiny cubes on a local cluster, against a plain loop.

    python benchmarks/batch_overhead.py [-n 10000] [--workers 2]

Needs the extra `cluster`; see `quietspec.lab.bench.batch`.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from script import console, finish, parser

from quietspec.lab.bench.batch import batch_overhead


def main() -> None:
    made = parser(__doc__, results="batch_overhead")
    made.add_argument("-n", type=int, default=10_000, help="number of cubes")
    made.add_argument("--workers", type=int, default=2, help="worker processes")
    options = made.parse_args()
    with TemporaryDirectory() as folder:
        loop, batch = batch_overhead(Path(folder), options.n, options.workers)
    result = {
        "cubes": options.n,
        "workers": options.workers,
        "loop_ms_per_cube": round(1e3 * loop / options.n, 3),
        "batch_ms_per_cube": round(1e3 * batch / options.n, 3),
        "overhead_ms_per_cube": round(1e3 * (batch - loop) / options.n, 3),
    }
    console.print(result)
    finish(options, result)


if __name__ == "__main__":
    main()
