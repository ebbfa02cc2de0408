"""How far the posterior stays from the best possible on recipe `paper`: an importance-sampled posterior mean.

The recipe itself is the prior: noise-free spectra drawn from it are weighted by their likelihood (flux scale fitted
for each), and their weighted mean is the Bayes estimate as long as enough of them carry weight. Spectra whose
effective sample size is below `--least` are left out of the comparison, and their share is printed: they favour
neither method, but are the ones of highest information.

    python benchmarks/paper_limit.py --json benchmarks/results/paper_limit.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from machine import machine
from rich.console import Console
from rich.table import Table

from quietspec.denoisers import load_prior
from quietspec.denoisers.inference import PreparedPrior, fit_linear, infer, project
from quietspec.io import fetch
from quietspec.simulate import SAMI_NOISE, get_recipe, paper_spectra
from quietspec.templates import load_library

CHUNK = 10_000


def draws(recipe, prior, n, seed):
    """Coefficients d = (1, c) of `n` spectra drawn from the recipe, in the prior's basis."""
    noise = SAMI_NOISE.relative_sigma(recipe.library.wavelength)[0].astype(float)
    weight = noise**-2
    basis = prior.components / noise
    rng = np.random.default_rng((seed, 3))
    parts = []
    for _ in range(n // CHUNK):
        flux = recipe.rest(CHUNK, rng).flux
        shapes = flux / (flux @ (weight / weight.sum()))[:, None]
        parts.append(np.linalg.lstsq(basis.T, ((shapes - prior.mean) / noise).T, rcond=None)[0].T)
    coefficients = np.concatenate(parts)
    return np.hstack([np.ones((len(coefficients), 1)), coefficients])


def importance_mean(sample, gram, data):
    """Weighted mean of d over the sample, each at its best scale, and the effective sample size."""
    power = np.einsum("ij,ij->i", sample @ gram, sample)
    product = sample @ data
    scale = product / power
    log_weight = 0.5 * product**2 / power - 0.5 * np.log(power)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    return (weight * scale) @ sample, 1 / np.sum(weight**2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=300, help="test spectra")
    parser.add_argument("--draws", type=int, default=300_000, help="spectra drawn from the recipe")
    parser.add_argument("--least", type=float, default=30.0, help="least effective sample size that counts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="paper", help="prior: name or .npz")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    recipe = get_recipe("paper", load_library(fetch("miles")))
    prior = load_prior(options.model)
    vectors = np.vstack([prior.mean, prior.components]).T
    sample = draws(recipe, prior, options.draws, options.seed)
    mixture, linear = PreparedPrior(prior), PreparedPrior(prior.collapsed())
    (rest,) = paper_spectra(recipe, "test", 0, options.n)
    results = {}
    for snr in (5.0, 10.0, 20.0):
        simulated = recipe.observe(rest, np.random.default_rng((options.seed, int(snr))), snr)
        spectra = simulated.observed
        projections = project(spectra.flux, 1 / (1 / spectra.ivar + prior.truncation**2), vectors)
        scale = fit_linear(projections, linear).scale
        sampled = [
            importance_mean(sample, gram, data)
            for gram, data in zip(projections.gram, projections.data, strict=True)
        ]  # fmt: skip
        means = {
            "limit": np.array([mean for mean, _ in sampled]),
            "posterior": infer(projections, mixture, scale).mean,
            "wiener": infer(projections, linear, scale).mean,
        }
        effective = np.array([size for _, size in sampled])
        enough = effective > options.least
        noise = np.sqrt(np.mean((spectra.flux - simulated.truth) ** 2, axis=1))
        residual = {
            name: np.sqrt(np.mean((mean @ vectors.T - simulated.truth) ** 2, axis=1)) / noise
            for name, mean in means.items()
        }
        results[f"{snr:g}"] = {
            "counted": float(enough.mean()),
            "median_effective_sample": float(np.median(effective)),
            **{name: float(values[enough].mean()) for name, values in residual.items()},
            "posterior_over_limit": float(residual["posterior"][enough].mean() / residual["limit"][enough].mean()),
            "limit_over_wiener": float(residual["limit"][enough].mean() / residual["wiener"][enough].mean()),
        }
    table = Table("S/N", "counted", "limit", "posterior", "wiener", "posterior/limit", "limit/wiener", box=None)
    for snr, row in results.items():
        keys = ("counted", "limit", "posterior", "wiener", "posterior_over_limit", "limit_over_wiener")
        table.add_row(snr, *(f"{row[key]:.4f}" for key in keys))
    Console().print(table)
    if options.json:
        content = {"n": options.n, "draws": options.draws, "seed": options.seed, "snr": results, "machine": machine()}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
