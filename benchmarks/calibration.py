"""Are the stated errors right? Coverage by level and bin, principal directions, χ², ranks (SBC) and TARP.

Test spectra of both recipes are denoised at each S/N, and their truth is compared with the stated Gaussian posterior:
coverage of the central 50, 68, 90 and 95 % intervals by pixel, bin, line and principal direction of the covariance;
the law of χ²; ranks of the truth among posterior draws (Talts et al. 2018) for equivalent widths, mean fluxes and
labels; expected coverage of the joint posterior of widths and fluxes by distances to reference points (TARP, Lemos et
al. 2023), which are the same summaries of the noisy data, and for comparison random points. The recipe `survey` is
drawn in galaxies of `--batch` spectra. Every other batch is denoised again with 0–60 % of its pixels masked, in runs
anywhere; these count in the bins of mask fraction only.

    python benchmarks/calibration.py

Needs the extra `validation` and ``quietspec fetch miles``. Figures go beside the results: of coverage, ranks, TARP
and χ².
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import machine
from rich.console import Console
from rich.table import Table
from scipy.stats import chisquare

from quietspec import load_denoiser
from quietspec.denoisers import Denoiser
from quietspec.io.fetching import fetch
from quietspec.lab.evaluation import Calibration, Summaries, measure_calibration, summarise, tarp_coverage
from quietspec.lab.evaluation.calibration import LEVELS
from quietspec.lab.evaluation.ranks import FLUX_WINDOWS
from quietspec.lab.plots import calibration_figure, histograms_figure, tarp_figure
from quietspec.lab.simulate import Recipe, RestSpectra, Simulated, get_recipe, paper_spectra
from quietspec.lab.simulate.defects import masked_runs
from quietspec.plots import save
from quietspec.templates import load_library
from quietspec.wavelengths import LINE_WINDOWS

ROOT = Path(__file__).parents[1]
GOALS = {"overall": 0.01, "bin": 0.02}
MOST_MASKED, RUN_LENGTH = 0.6, 30.0
CREDIBILITY = np.linspace(0, 1, 101)
RANK_BINS = 20
FEWEST = 30  # spectra of a bin, below which its deviation is chance


def batches(recipe: Recipe, n: int, size: int, seed: int) -> Iterator[RestSpectra]:
    """Noise-free test spectra, `size` at a time."""
    if recipe.name == "paper":
        for chunk in paper_spectra(recipe, "test", 0, n):
            yield from (chunk[start : start + size] for start in range(0, len(chunk), size))
    else:
        rng = np.random.default_rng(seed)
        yield from (recipe.rest(min(size, n - start), rng) for start in range(0, n, size))


def with_masks(simulated: Simulated, rng: np.random.Generator) -> Simulated:
    """The same spectra with a fraction of their pixels masked, uniform in 0–60 %, in runs of geometric length."""
    n, n_pixels = simulated.truth.shape
    runs = -np.log1p(-rng.uniform(0, MOST_MASKED, n)) * n_pixels / RUN_LENGTH
    bad = masked_runs((n, n_pixels), rng, mean_runs=runs, mean_length=RUN_LENGTH)
    return replace(simulated, observed=replace(simulated.observed, ivar=np.where(bad, 0, simulated.observed.ivar)))


class Tested:
    """What was found of one model at one S/N, batch by batch."""

    def __init__(self, model: Denoiser) -> None:
        self.model = model
        self.summaries: list[Summaries] = []
        self.calibrations: list[Calibration] = []
        self.masked: list[Calibration] = []

    def add(self, simulated: Simulated, masked: Simulated | None, rng: np.random.Generator) -> None:
        """Denoise a batch, and the same spectra with more masks."""
        denoised = self.model.denoise(simulated.observed)
        self.summaries.append(summarise(simulated, denoised, rng))
        self.calibrations.append(measure_calibration(simulated, denoised, rng, self.summaries[-1]))
        if masked is not None:
            pixels_only = replace(self.model.denoise(masked.observed), factor_of=None)
            self.masked.append(measure_calibration(masked, pixels_only, rng))

    def to_json(self, rng: np.random.Generator) -> dict:
        """Coverage, ranks and TARP curves."""
        coverage = Calibration.join(self.calibrations).to_json()
        coverage["bins"]["mask_fraction"] = Calibration.join(self.masked).to_json()["bins"]["mask_fraction"]
        summaries = Summaries.join(self.summaries)
        return {"coverage": coverage, "ranks": ranks(summaries), "tarp": tarp(summaries, rng)}


def ranks(summaries: Summaries) -> dict[str, dict]:
    """Histogram of the ranks of each summary, and the probability of one as uneven."""
    n_ranks = summaries.draws.shape[1] + 1
    found = {}
    for name, values in zip(summaries.names, summaries.ranks.T, strict=True):
        counts = np.histogram(values[np.isfinite(values)], RANK_BINS, (0, n_ranks))[0]
        if counts.any():
            found[name] = {"counts": counts.tolist(), "p": float(chisquare(counts).pvalue)}
    return found


def tarp(summaries: Summaries, rng: np.random.Generator) -> dict[str, list[float]]:
    """TARP's expected coverage at `CREDIBILITY`, with reference points from the data and random ones."""
    low, high = np.nanmin(summaries.truth, axis=0), np.nanmax(summaries.truth, axis=0)
    spectral = len(LINE_WINDOWS) + len(FLUX_WINDOWS)  # the labels' draws do not know of the flux's
    random = np.where(np.arange(len(low)) < spectral, rng.uniform(low, high, summaries.truth.shape), np.nan)
    points = {"data": summaries.reference, "random": random}
    return {name: tarp_coverage(summaries, each, CREDIBILITY).tolist() for name, each in points.items()}


def run(recipe: Recipe, options: argparse.Namespace, console: Console) -> dict[str, dict]:
    """Results of one recipe by S/N and model."""
    results = {}
    for snr in options.snr:
        tested = {name: Tested(load_denoiser(name, recipe.name, discrepancy=False)) for name in options.models}
        for number, rest in enumerate(batches(recipe, options.n, options.batch, options.seed)):
            key = (options.seed, number, round(1e6 * snr))
            simulated = recipe.observe(rest, np.random.default_rng(key), snr)
            masked = None if number % 2 else with_masks(simulated, np.random.default_rng((*key, 2)))
            for each in tested.values():
                each.add(simulated, masked, np.random.default_rng((*key, 1)))
        rng = np.random.default_rng((options.seed, 3))
        results[f"{snr:g}"] = {name: each.to_json(rng) for name, each in tested.items()}
        console.print(f"{recipe.name}, S/N {snr:g}: done", highlight=False)
    return results


def deviation(fractions: dict) -> tuple[float, float, str]:
    """Largest deviation from nominal over the levels, its standard error, and the level."""
    level = max(LEVELS, key=lambda name: abs(fractions[name] - LEVELS[name]))
    return fractions[level] - LEVELS[level], fractions["errors"][level], level


def worst(found: dict) -> dict[str, tuple[float, float, str]]:
    """Largest deviations of one model at one S/N: overall, over bins that hold enough, lines, and directions."""
    coverage = found["coverage"]
    bins = [
        (*deviation(each)[:2], f"{name} {each['low']:g}–{each['high']:g}: {deviation(each)[2]}")
        for name, several in coverage["bins"].items()
        for each in several
        if each["n"] >= FEWEST
    ]
    lines = [
        (*deviation(each)[:2], f"{name}: {deviation(each)[2]}")
        for name, each in coverage["lines"].items()
        if each is not None
    ]
    directions = [
        (*deviation(each)[:2], f"{each['direction']}: {deviation(each)[2]}") for each in coverage["latent"]["leading"]
    ]
    return {
        "overall": deviation(coverage["levels"] | {"errors": coverage["errors"]}),
        **{
            name: max(several, key=lambda item: abs(item[0]), default=(np.nan, np.nan, "–"))
            for name, several in (("bin", bins), ("line", lines), ("direction", directions))
        },
    }


def cell(kind: str, value: float, error: float, place: str) -> str:
    """A deviation in points, with a star where it is within the goal."""
    star = "*" if abs(value) <= GOALS.get(kind, GOALS["bin"]) else ""
    return f"{100 * value:+.1f} ± {100 * error:.1f}{star} ({place})"


def table(results: dict[str, dict]) -> Table:
    """Worst deviations against the goals: one point overall, two in bins, for lines and directions."""
    out = Table(title="Coverage minus nominal, worst level, percentage points ± standard error; * within the goal")
    for name in (
        "recipe",
        "S/N",
        "model",
        "overall",
        "worst bin",
        "worst line",
        "worst direction",
        "χ²/dof",
        "latent",
        "uneven",
    ):
        out.add_column(name, justify="left" if name in ("recipe", "model") or "worst" in name else "right")
    for recipe, by_snr in results.items():
        for snr, by_model in by_snr.items():
            for model, found in by_model.items():
                cells = [cell(kind, *told) for kind, told in worst(found).items()]
                laws = [found["coverage"]["chi2"], found["coverage"]["latent"]["chi2"]]
                uneven = sum(each["p"] < 0.01 for each in found["ranks"].values())
                chi2 = ["–" if law is None else f"{law['mean_over_dof']:.2f}" for law in laws]
                out.add_row(recipe, snr, model, *cells, *chi2, f"{uneven}/{len(found['ranks'])}")
        out.add_section()
    out.caption = "χ²/dof: of all pixels, and of the principal directions; uneven: rank histograms of p < 0.01"
    return out


def draw(results: dict[str, dict], n: int, out: Path) -> None:
    """Figures of the first model."""
    curves = {
        recipe: {f"S/N {snr}": next(iter(by_model.values())) for snr, by_model in by_snr.items()}
        for recipe, by_snr in results.items()
    }
    rows = {recipe: {label: found["coverage"] for label, found in each.items()} for recipe, each in curves.items()}
    save(calibration_figure(rows), out.with_suffix(".png"))
    points = {"data": "references from the data", "random": "random references"}
    panels = {
        f"{recipe}\n{text}": {label: found["tarp"][key] for label, found in each.items()}
        for recipe, each in curves.items()
        for key, text in points.items()
    }
    save(tarp_figure(panels, CREDIBILITY, n), out.with_name(f"{out.stem}_tarp.png"))
    for recipe, each in curves.items():
        names = {name: None for found in each.values() for name in found["ranks"]}
        panels = {
            name: {label: found["ranks"][name]["counts"] for label, found in each.items() if name in found["ranks"]}
            for name in names
        }
        save(histograms_figure(panels), out.with_name(f"{out.stem}_ranks_{recipe}.png"))
    save(histograms_figure(laws(curves), "Cumulative probability of χ²"), out.with_name(f"{out.stem}_chi2.png"))


def laws(curves: dict[str, dict]) -> dict[str, dict[str, list[int]]]:
    """Histograms of the probability of χ², over all pixels and over principal directions."""
    panels = {}
    for recipe, each in curves.items():
        for title, of in (("all pixels", lambda c: c["chi2"]), ("principal directions", lambda c: c["latent"]["chi2"])):
            told = {label: of(found["coverage"]) for label, found in each.items()}
            panels[f"{recipe}: {title}"] = {label: law["pit_histogram"] for label, law in told.items() if law}
    return {title: told for title, told in panels.items() if told}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["paper", "survey"])
    parser.add_argument("--models", nargs="+", default=["posterior", "wiener"])
    parser.add_argument("--snr", type=float, nargs="+", default=[5.0, 10.0, 20.0])
    parser.add_argument("-n", type=int, default=1000, help="test spectra at each S/N")
    parser.add_argument("--batch", type=int, default=10, help="spectra a galaxy")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "calibration.json")
    options = parser.parse_args()
    console = Console(width=180)
    library = load_library(fetch("miles"))
    results = {name: run(get_recipe(name, library), options, console) for name in options.recipes}
    console.print(table(results))
    content = {
        "machine": machine(),
        **{name: getattr(options, name) for name in ("n", "batch", "seed")},
        "models": {r: {m: str(load_denoiser(m, r).model) for m in options.models} for r in options.recipes},
        "credibility": CREDIBILITY.tolist(),
        "results": results,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    draw(results, options.n, options.out)


if __name__ == "__main__":
    main()
