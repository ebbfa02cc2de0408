"""Where the gain of denoising before pPXF comes from: histories, regularisation, denoiser, or the errors passed on.

At one S/N, spectra of the training part of recipe `paper` (so that no test spectrum chooses an option) are fitted
with every combination of histories (smooth, mixtures of 1–5 SSPs), regularisation, denoiser and errors told to pPXF;
the noisy ones with additive polynomials as well.
The prior is the shipped one, trained on smooth histories: on mixtures it is off its distribution.

    python benchmarks/where_gain_comes_from.py

Needs the extra `populations` and ``quietspec fetch miles``.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import machine
from rich.console import Console
from rich.table import Table

from quietspec import load_denoiser
from quietspec.io.fetching import fetch
from quietspec.lab.evaluation.recovery import recipe_options
from quietspec.lab.simulate import get_recipe, paper_spectra
from quietspec.populations import fit_denoised, fit_populations, posterior_populations
from quietspec.templates import load_library

ROOT = Path(__file__).parents[1]
REGULARISATIONS = (0.0, 10.0, 100.0)
WAYS = (("wiener", "input"), ("wiener", "sigma"), ("posterior", "input"), ("posterior", "flat"), ("posterior", "sigma"))


def rms(found, truth, rows) -> list[float]:
    """Rms and bias of mass-weighted age and [M/H], dex."""
    errors = [found.values[name][rows] - truth[name][rows] for name in ("log_age_mw", "mh_mw")]
    return [float(number) for error in errors for number in (np.sqrt(np.nanmean(error**2)), np.nanmean(error))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=300, help="spectra")
    parser.add_argument("--snr", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/where_gain_comes_from.json")
    args = parser.parse_args()
    library = load_library(fetch("miles"))
    rows = []
    for histories in ("smooth", "mixtures"):
        recipe = get_recipe("paper", library, histories=histories)
        rest = next(paper_spectra(recipe, "train", 0, args.n))
        simulated = recipe.observe(rest, np.random.default_rng((args.seed, 1)), args.snr)
        truth, everything = simulated.parameters, slice(None)
        denoised = {
            name: load_denoiser(name, "paper", discrepancy=False).denoise(simulated.observed)
            for name in ("wiener", "posterior")
        }
        prior_alone = posterior_populations(denoised["posterior"])
        rows.append((histories, "–", "populations", "–", *rms(prior_alone, truth, everything)))
        for regularisation in REGULARISATIONS:
            # SciPy's nnls (1.17) is the faster, but never returns on some spectra where nothing regularises.
            solver = "nnls" if regularisation else "lsq_box"
            options = replace(recipe_options(recipe), regularisation=regularisation, solver=solver)
            for additive in (-1, 4):
                fitted = replace(options, additive=additive)
                noisy = fit_populations(simulated.observed, recipe.library, fitted, jobs=args.jobs)
                name = "noisy" if additive < 0 else f"noisy, additive polynomial of degree {additive}"
                rows.append((histories, f"{regularisation:g}", name, "input", *rms(noisy, truth, everything)))
            for name, errors in WAYS:
                found = fit_denoised(denoised[name], recipe.library, options, errors=errors, jobs=args.jobs)
                rows.append((histories, f"{regularisation:g}", name, errors, *rms(found, truth, everything)))
    keys = ("histories", "regularisation", "spectrum", "errors", "age_rms", "age_bias", "mh_rms", "mh_bias")
    text = {"snr": args.snr, "n": args.n, "seed": args.seed, "machine": machine()}
    text["rows"] = [dict(zip(keys, row, strict=True)) for row in rows]
    args.out.write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
    table = Table(*keys, box=None)
    for row in rows:
        table.add_row(*row[:4], *(f"{number:.3f}" for number in row[4:]))
    Console().print(table)


if __name__ == "__main__":
    main()
