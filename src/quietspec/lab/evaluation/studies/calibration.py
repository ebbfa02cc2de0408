"""Whether the stated errors are right: coverage by level and bin, principal directions, χ², ranks and TARP.

Test spectra are denoised at each S/N, and their truth is compared with the stated Gaussian posterior: coverage of the
central 50, 68, 90 and 95 % intervals by pixel, bin, line and principal direction of the covariance; the law of χ²;
ranks of the truth among posterior draws (Talts et al. 2018, arXiv:1804.06788) for equivalent widths, mean fluxes and
labels; expected coverage of the joint posterior of widths and fluxes by distances to reference points (TARP, Lemos et
al. 2023, arXiv:2302.03026), which are the same summaries of the noisy data and, for comparison, random points. Every
other batch is denoised again with 0–60 % of its pixels masked, in runs anywhere; these count in the bins of masked
fraction only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.table import Table

from quietspec.arrays import FloatArray
from quietspec.denoisers import Denoiser, load_denoiser
from quietspec.lab.evaluation.calibration import LEVELS, Calibration, measure_calibration
from quietspec.lab.evaluation.ranks import FLUX_WINDOWS, Summaries, summarise, tarp_coverage
from quietspec.lab.simulate import PAPER_SEED, Draws, PaperRecipe, Recipe, RestSpectra, Simulated, paper_spectra
from quietspec.lab.simulate.defects import masked_runs
from quietspec.lab.streams import stream
from quietspec.wavelengths import LINE_WINDOWS

__all__ = ["CREDIBILITY", "CalibrationSettings", "calibration_panels", "calibration_study", "calibration_table"]

#: Credibilities of the TARP curves.
CREDIBILITY: FloatArray = np.linspace(0, 1, 101)
_GOALS = {"overall": 0.01, "bin": 0.02, "line": 0.02, "direction": 0.02}  # largest deviations from nominal wanted
_MOST_MASKED, _RUN_LENGTH = 0.6, 30.0
_RANK_BINS = 20
_FEWEST = 30  # spectra of a bin, below which its deviation is chance
_UNEVEN = 0.01  # p-value below which a histogram of ranks is not flat
_REFERENCES = {"data": "references from the data", "random": "random references"}


@dataclass(frozen=True)
class CalibrationSettings:
    """How much is tested.

    Parameters
    ----------
    models : tuple of str
        Denoisers.
    snrs : tuple of float
        S/N of the spectra.
    n : int
        Test spectra at each S/N.
    batch : int
        Spectra denoised together; recipe `survey` makes one galaxy of them.
    seed : int
        Seed of all draws.
    """

    models: tuple[str, ...] = ("posterior", "wiener")
    snrs: tuple[float, ...] = (5.0, 10.0, 20.0)
    n: int = 1000
    batch: int = 10
    seed: int = 0


def calibration_study(
    recipe: Recipe, settings: CalibrationSettings, log: Callable[[str], None] = lambda _: None
) -> dict[str, dict[str, Any]]:
    """Test the calibration of denoisers on one recipe.

    Parameters
    ----------
    recipe : Recipe
        The simulated world; its shipped models are tested.
    settings : CalibrationSettings
        How much is tested.
    log : callable, optional
        Called with a line of text for each S/N.

    Returns
    -------
    dict of str to dict of str to dict
        By S/N and model: ``coverage`` (`Calibration.to_json`), ``ranks`` (histogram and its p-value by summary) and
        ``tarp`` (expected coverage at `CREDIBILITY` by kind of reference points).
    """
    results: dict[str, dict[str, Any]] = {}
    for snr in settings.snrs:
        tested = {name: _Tested(load_denoiser(name, recipe.name)) for name in settings.models}
        for number, rest in enumerate(_batches(recipe, settings)):
            key = (settings.seed, number, round(1e6 * snr))
            simulated = Draws.of("calibration", snr, settings.seed, number).observe(recipe, rest, snr)
            masked = None if number % 2 else _with_masks(simulated, stream("calibration: masks", *key))
            for each in tested.values():
                each.add(simulated, masked, stream("calibration: draws", *key))
        rng = stream("calibration: references", settings.seed)
        results[f"{snr:g}"] = {name: each.to_json(rng) for name, each in tested.items()}
        log(f"{recipe.name}, S/N {snr:g}: done")
    return results


def _batches(recipe: Recipe, settings: CalibrationSettings) -> Iterator[RestSpectra]:
    """Noise-free test spectra in batches."""
    n, size = settings.n, settings.batch
    if isinstance(recipe, PaperRecipe):
        for chunk in paper_spectra(recipe, "test", 0, n, (PAPER_SEED, settings.seed)):
            yield from (chunk[start : start + size] for start in range(0, len(chunk), size))
    else:
        rng = stream("calibration: spectra", settings.seed)
        yield from (recipe.rest(min(size, n - start), rng) for start in range(0, n, size))


def _with_masks(simulated: Simulated, rng: np.random.Generator) -> Simulated:
    """The same spectra with a fraction of their pixels masked, uniform in 0–60 %, in runs of geometric length."""
    n, n_pixels = simulated.truth.shape
    runs = -np.log1p(-rng.uniform(0, _MOST_MASKED, n)) * n_pixels / _RUN_LENGTH
    bad = masked_runs((n, n_pixels), rng, mean_runs=runs, mean_length=_RUN_LENGTH)
    return replace(simulated, observed=replace(simulated.observed, ivar=np.where(bad, 0, simulated.observed.ivar)))


class _Tested:
    """Calibration of one model at one S/N, batch by batch."""

    def __init__(self, model: Denoiser) -> None:
        self.model = model
        self.summaries: list[Summaries] = []
        self.calibrations: list[Calibration] = []
        self.masked: list[Calibration] = []

    def add(self, simulated: Simulated, masked: Simulated | None, rng: np.random.Generator) -> None:
        """Denoise a batch, and the same spectra with more pixels masked."""
        denoised = self.model.denoise(simulated.observed)
        self.summaries.append(summarise(simulated, denoised, rng))
        self.calibrations.append(measure_calibration(simulated, denoised, rng, self.summaries[-1]))
        if masked is not None:
            pixels_only = replace(self.model.denoise(masked.observed), factor_of=None)
            self.masked.append(measure_calibration(masked, pixels_only, rng))

    def to_json(self, rng: np.random.Generator) -> dict[str, Any]:
        """Coverage, ranks and TARP curves."""
        coverage = Calibration.stack(self.calibrations).to_json()
        coverage["bins"]["mask_fraction"] = Calibration.stack(self.masked).to_json()["bins"]["mask_fraction"]
        summaries = Summaries.stack(self.summaries)
        return {"coverage": coverage, "ranks": _ranks(summaries), "tarp": _tarp(summaries, rng)}


def _ranks(summaries: Summaries) -> dict[str, dict[str, Any]]:
    """Histogram of the ranks of each summary, and the probability of one as uneven."""
    from scipy.stats import chisquare

    n_ranks = summaries.draws.shape[1] + 1
    found = {}
    for name, values in zip(summaries.names, summaries.ranks.T, strict=True):
        counts = np.histogram(values[np.isfinite(values)], _RANK_BINS, (0, n_ranks))[0]
        if counts.any():
            found[name] = {"counts": counts.tolist(), "p": float(chisquare(counts).pvalue)}
    return found


def _tarp(summaries: Summaries, rng: np.random.Generator) -> dict[str, list[float]]:
    """TARP's expected coverage at `CREDIBILITY`, with reference points from the data and random ones."""
    known = np.isfinite(summaries.truth)
    low = np.where(known.any(axis=0), np.where(known, summaries.truth, np.inf).min(axis=0), 0.0)
    high = np.where(known.any(axis=0), np.where(known, summaries.truth, -np.inf).max(axis=0), 0.0)
    spectral = len(LINE_WINDOWS) + len(FLUX_WINDOWS)  # the draws of labels are independent of those of the flux
    random = np.where(np.arange(len(low)) < spectral, rng.uniform(low, high, summaries.truth.shape), np.nan)
    points = {"data": summaries.reference, "random": random}
    return {name: tarp_coverage(summaries, each, CREDIBILITY).tolist() for name, each in points.items()}


_Deviation = tuple[float, float, str]  # coverage minus nominal, its standard error, and where


def _deviation(fractions: Mapping[str, Any], where: str = "") -> _Deviation:
    """Largest deviation from nominal over the levels."""
    level = max(LEVELS, key=lambda name: abs(fractions[name] - LEVELS[name]))
    return fractions[level] - LEVELS[level], fractions["errors"][level], f"{where}{level}"


def _worst(coverage: Mapping[str, Any]) -> dict[str, _Deviation]:
    """Largest deviations of one model at one S/N: overall, over bins of enough spectra, lines, and directions."""
    several = {
        "bin": [
            _deviation(each, f"{name} {each['low']:g}–{each['high']:g}: ")
            for name, bins in coverage["bins"].items()
            for each in bins
            if each["n"] >= _FEWEST
        ],
        "line": [_deviation(each, f"{name}: ") for name, each in coverage["lines"].items() if each is not None],
        "direction": [_deviation(each, f"{each['direction']}: ") for each in coverage["latent"]["leading"]],
    }
    nowhere = (np.nan, np.nan, "–")
    worst = {name: max(found, key=lambda item: abs(item[0]), default=nowhere) for name, found in several.items()}
    return {"overall": _deviation(coverage["levels"] | {"errors": coverage["errors"]})} | worst


def _cell(kind: str, deviation: _Deviation) -> str:
    """A deviation in points, with a star if it is within the goal."""
    value, error, where = deviation
    star = "*" if abs(value) <= _GOALS[kind] else ""
    return f"{100 * value:+.1f} ± {100 * error:.1f}{star} ({where})"


def calibration_table(results: Mapping[str, Mapping[str, Any]]) -> Table:
    """Tabulate the worst deviations against the goals: one point overall; two in bins, for lines and directions.

    Parameters
    ----------
    results : mapping of str to mapping
        Result of `calibration_study` by recipe.

    Returns
    -------
    rich.table.Table
        One row per recipe, S/N and model.
    """
    out = Table(title="Coverage minus nominal, worst level, percentage points ± standard error; * within the goal")
    columns = ("overall", "worst bin", "worst line", "worst direction", "χ²/dof", "latent", "uneven")
    for name in ("recipe", "S/N", "model", *columns):
        out.add_column(name, justify="left" if name in ("recipe", "model") or "worst" in name else "right")
    for recipe, by_snr in results.items():
        for snr, by_model in by_snr.items():
            for model, found in by_model.items():
                coverage, ranks = found["coverage"], found["ranks"]
                cells = [_cell(kind, deviation) for kind, deviation in _worst(coverage).items()]
                laws = [coverage["chi2"], coverage["latent"]["chi2"]]
                chi2 = ["–" if law is None else f"{law['mean_over_dof']:.2f}" for law in laws]
                uneven = sum(each["p"] < _UNEVEN for each in ranks.values())
                out.add_row(recipe, snr, model, *cells, *chi2, f"{uneven}/{len(ranks)}")
        out.add_section()
    out.caption = f"χ²/dof: of all pixels, and of the principal directions; uneven: rank histograms of p < {_UNEVEN:g}"
    return out


@dataclass(frozen=True)
class _Panels:
    coverage: dict[str, dict[str, Any]]
    tarp: dict[str, dict[str, list[float]]]
    ranks: dict[str, dict[str, dict[str, list[int]]]]
    chi2: dict[str, dict[str, list[int]]]


def calibration_panels(results: Mapping[str, Mapping[str, Any]]) -> _Panels:
    """Arrange the results of the first model for the figures, one curve per S/N.

    Parameters
    ----------
    results : mapping of str to mapping
        Result of `calibration_study` by recipe.

    Returns
    -------
    panels
        Its fields are what `calibration_figure`, `tarp_figure` and (``ranks`` by recipe, and ``chi2``)
        `histograms_figure` take.
    """
    curves = {
        recipe: {f"S/N {snr}": next(iter(by_model.values())) for snr, by_model in by_snr.items()}
        for recipe, by_snr in results.items()
    }
    return _Panels(
        coverage={
            recipe: {label: found["coverage"] for label, found in each.items()} for recipe, each in curves.items()
        },
        tarp={
            f"{recipe}\n{text}": {label: found["tarp"][key] for label, found in each.items()}
            for recipe, each in curves.items()
            for key, text in _REFERENCES.items()
        },
        ranks={recipe: _rank_panels(each) for recipe, each in curves.items()},
        chi2=_law_panels(curves),
    )


def _rank_panels(curves: Mapping[str, Any]) -> dict[str, dict[str, list[int]]]:
    names = dict.fromkeys(name for found in curves.values() for name in found["ranks"])
    return {
        name: {label: found["ranks"][name]["counts"] for label, found in curves.items() if name in found["ranks"]}
        for name in names
    }


def _law_panels(curves: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, list[int]]]:
    """Histograms of the probability of χ², over all pixels and over principal directions."""
    panels: dict[str, dict[str, list[int]]] = {}
    for recipe, each in curves.items():
        for label, found in each.items():
            coverage = found["coverage"]
            for title, law in (("all pixels", coverage["chi2"]), ("principal directions", coverage["latent"]["chi2"])):
                if law:
                    panels.setdefault(f"{recipe}: {title}", {})[label] = law["pit_histogram"]
    return panels
