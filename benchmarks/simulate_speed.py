"""Spectra simulated a second, noise included, by each recipe.

Run it as ``python benchmarks/simulate_speed.py [--library PATH] [-n 8000] [--threads 2]``; the MILES models of
``quietspec fetch miles`` are used unless a library is given. Chunks of 1000 spectra are made by threads, each with its
own random stream; BLAS is held to one thread, so that the number of threads is the number of cores used.
"""

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from quietspec.lab.simulate import INSTRUMENTS, get_recipe
from quietspec.templates import load_library

CHUNK = 1000


def speed(make, n: int, threads: int) -> float:
    """Spectra a second over `n` spectra, after a first chunk that is not counted."""
    streams = [np.random.default_rng(seed) for seed in np.random.SeedSequence(1).spawn(n // CHUNK + 1)]
    make(streams[0])
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(make, streams[1:]))
    return n // CHUNK * CHUNK / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", type=Path, help="folder or npz of SSP spectra")
    parser.add_argument("-n", type=int, default=8000, help="number of spectra")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.library is None:
        from quietspec.io.fetching import fetch

        options.library = fetch("miles")
    library = load_library(options.library)

    def report(name: str, make) -> None:
        print(f"{name:20s} {speed(make, options.n, options.threads):8.0f} spectra/s on {options.threads} threads")

    paper, survey = get_recipe("paper", library), get_recipe("survey", library)
    report("paper", lambda rng: len(paper.simulate(CHUNK, rng)))
    report("survey, rest frame", lambda rng: len(survey.rest(CHUNK, rng)))
    for name in INSTRUMENTS:
        report(f"survey, {name}", lambda rng, name=name: len(survey.simulate(CHUNK, rng, instrument=name)))


if __name__ == "__main__":
    main()
