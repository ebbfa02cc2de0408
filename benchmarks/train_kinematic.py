"""Train the prior of populations at rest that `KinematicPosterior` stands on, and write it with its card.

    python benchmarks/train_kinematic.py [-n 120000] [--out benchmarks/models]

Some ten minutes on one CPU core. The library is MILES (`quietspec fetch miles`).
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

from quietspec.io.fetching import fetch
from quietspec.lab.training import MixtureSettings, PriorSettings
from quietspec.lab.training.rest_frame import train_rest_prior
from quietspec.templates import load_library

ROOT = Path(__file__).parents[1]
NAME = "survey-rest"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=120_000, help="training spectra")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--components", type=int, default=26, help="basis vectors")
    parser.add_argument("--mixture", type=int, default=110, help="Gaussians to start with")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "models", help="folder of the model")
    parser.add_argument("--library", help="folder or .npz of SSP spectra; MILES by default, fetched if need be")
    options = parser.parse_args()
    mixture = MixtureSettings(n_mixture=options.mixture, floor=0.02, max_iter=80, start=600)
    settings = PriorSettings(n_components=options.components, reference_snr=60.0, mixture=mixture)
    start = time.perf_counter()

    def log(line: str) -> None:
        print(f"{time.perf_counter() - start:.0f} s: {line}", flush=True)

    prior = train_rest_prior(
        load_library(options.library or fetch("miles")), options.n, options.seed, settings, progress=log
    )
    command = f"python benchmarks/train_kinematic.py -n {options.n} --seed {options.seed}"
    command += f" --components {options.components} --mixture {options.mixture}"
    prior = replace(prior, card={**prior.card, "command": command})
    prior.save(options.out / f"{NAME}.npz")
    summary = f"populations at rest: {prior.n_mixture} Gaussians over {prior.n_components} components"
    card = {"summary": summary, **prior.card, "seconds": round(time.perf_counter() - start), "hash": prior.hash}
    (options.out / f"{NAME}.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
