"""Are the stated posteriors of ages, metallicities, M/L, dust and kinematics right?

Test spectra of both recipes are denoised at each S/N. For every parameter: where in its posterior the truth lies
(probability below it, which is uniform if the posterior is right: simulation-based calibration in its continuous form,
Talts et al. 2018, arXiv:1804.06788), coverage of central intervals, rms, bias and the Kolmogorov–Smirnov distance from
uniform. The recipe `survey` is drawn in galaxies of `--batch` spectra.

    python benchmarks/population_calibration.py

Needs ``quietspec fetch miles``. The figure, histograms that should be flat, goes beside the results.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from machine import machine
from rich.console import Console
from rich.table import Table
from scipy.stats import kstest

from quietspec import load_denoiser
from quietspec.io.fetching import fetch
from quietspec.lab.evaluation.protocol import noise_rng
from quietspec.lab.evaluation.protocol import test_spectra as drawn_spectra
from quietspec.lab.plots import histograms_figure
from quietspec.lab.simulate import get_recipe
from quietspec.plots import save
from quietspec.templates import load_library

ROOT = Path(__file__).parents[1]
LEVELS = (0.5, 0.6827, 0.9, 0.95)
BINS = 20


def probabilities(recipe, snr: float, n: int, seed: int, batch: int) -> dict[str, dict[str, np.ndarray]]:
    """Probability below the truth and error of the mean, (n,) each, by parameter."""
    model = load_denoiser("posterior", recipe.name, discrepancy=False)
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    number = 0
    for rest in drawn_spectra(recipe, n, seed):
        for start in range(0, len(rest), batch):
            some = rest[start : start + batch]
            simulated = recipe.observe(some, noise_rng(seed, number, snr), snr)
            posterior = model.denoise(simulated.observed).parameter_posterior
            number += 1
            for name in posterior.names:
                truth = simulated.parameters[name]
                kept = found.setdefault(name, {"below": [], "error": []})
                kept["below"].append(posterior.cdf(name, truth))
                kept["error"].append(posterior.mean(name) - truth)
    return {name: {key: np.concatenate(parts) for key, parts in kept.items()} for name, kept in found.items()}


def scores(below: np.ndarray, error: np.ndarray) -> dict[str, float]:
    """Numbers for the results file."""
    known = np.isfinite(below)
    below, error = below[known], error[known]
    return {
        "n": int(known.sum()),
        "rms": float(np.sqrt(np.mean(error**2))),
        "bias": float(error.mean()),
        **{f"coverage{100 * level:.0f}": float(np.mean(np.abs(below - 0.5) < level / 2)) for level in LEVELS},
        "ks_distance": float(kstest(below, "uniform").statistic),
        "ks_p": float(kstest(below, "uniform").pvalue),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=2000, help="test spectra of each recipe and S/N")
    parser.add_argument("--batch", type=int, default=20, help="spectra of one galaxy of `survey`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--snr", default="5,10,20")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/population_calibration.json")
    args = parser.parse_args()
    library = load_library(fetch("miles"))
    results: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    histograms: dict[str, dict[str, dict[str, list[int]]]] = {}
    for name in ("paper", "survey"):
        for snr in map(float, args.snr.split(",")):
            batch = args.batch if name == "survey" else 100
            found = probabilities(get_recipe(name, library), snr, args.n, args.seed, batch)
            by_parameter = {key: scores(**values) for key, values in found.items()}
            results.setdefault(name, {})[f"{snr:g}"] = by_parameter
            for key, values in found.items():
                counts, _ = np.histogram(values["below"], BINS, (0, 1))
                histograms.setdefault(name, {}).setdefault(key, {})[f"S/N {snr:g}"] = counts.tolist()
            print_table(name, snr, by_parameter)
    text = {"seed": args.seed, "n": args.n, "machine": machine(), "recipes": results}
    args.out.write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
    for name, values in histograms.items():
        save(
            histograms_figure(values, "Posterior probability below the truth"),
            args.out.with_name(f"{args.out.stem}_{name}.png"),
        )


def print_table(name: str, snr: float, by_parameter: dict[str, dict[str, float]]) -> None:
    table = Table(title=f"{name}, S/N {snr:g}", box=None)
    for column in ("parameter", "rms", "bias", "50 %", "68 %", "95 %", "KS distance"):
        table.add_column(column, justify="right")
    for key, row in by_parameter.items():
        cover = (f"{100 * row[f'coverage{level}']:.1f}" for level in ("50", "68", "95"))
        table.add_row(key, f"{row['rms']:.3f}", f"{row['bias']:+.3f}", *cover, f"{row['ks_distance']:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
