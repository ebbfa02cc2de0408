"""Simulate the example cube that ships with the package.

python benchmarks/make_demo_cube.py [--library PATH] [--seed 20] [-o FILE]
"""

from pathlib import Path

from script import ROOT, add_library, library_of, log, parser

from quietspec.lab.simulate.demo_cube import demo_cube


def main() -> None:
    made = parser(__doc__)
    add_library(made)
    made.add_argument("--seed", type=int, default=20)
    made.add_argument("-o", "--out", type=Path, default=ROOT / "src" / "quietspec" / "models" / "demo.fits")
    options = made.parse_args()
    demo_cube(library_of(options), options.seed).writeto(options.out, overwrite=True, checksum=True)
    log(f"{options.out}: {options.out.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
