"""Observed truth: one half of repeated observations is denoised and must predict the other half.

Three data sets, none of which needs a truth (`quietspec.lab.evaluation.score_repeat`):

SAMI   galaxy 56140, cubes B and D of disjoint exposures, binned in sectors. Each bin of one is denoised; the target is
       the mean of the other cube over the same spaxels by WCS. Calibration: four Legendre terms per arm and pair.
SDSS   single exposures of NGC3522 and NGC3073; the target is the inverse-variance mean of the others of the same arm,
       brought to the exposure's pixels. Calibration: four terms. Also with noise added until S/N 5 and 10.
MUSE   the brightest galaxy of Abell 478. Each spaxel of a lattice is denoised; the target is the mean of the ring of 24
       spaxels three away, of which drizzling has correlated none with it nor with the 3 × 3 block about it, whose mean
       is the estimate "binning". One flux factor.

SAMI pairs of S/N above 20 are also brought to S/N 5 and 10 (the calibration is then known far better than the noise).
The target's noise is measured: from the differences of the halves (SAMI, SDSS) or of opposite halves of the ring
(MUSE), locally over 301 pixels; for blocks of 30 pixels also their own scatter. Not counted: windows about strong
emission lines, what the posterior left out of the noisy half (gas, spikes), pixels of sky lines, artefacts (the halves
differ by more than 5σ).

    python benchmarks/observed_truth.py [--model survey]

MUSE and SDSS data come from the cache of ``quietspec fetch`` (muse-a478, ngc3522, ngc3073), SAMI's from the folder
`--data`; what is not there is left out, and said.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from machine import machine
from repeated_observations import SAMI_SNR, Halves, as_denoised, muse, rescaled, sami, sdss, spatial_correlation
from rich.console import Console
from rich.table import Table

from quietspec import Denoised, load_denoiser
from quietspec.lab.evaluation import RepeatScores, block_pulls, pool_repeats, pull_scatter, repeat_pulls, score_repeat
from quietspec.plots.style import BLACK, COLOURS, MARKERS, decimal_ticks, figure, save, styled
from quietspec.wavelengths import rest_air

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
METHODS = ("posterior", "wiener", "pca", "gaussian", "savgol")
WITHOUT = "posterior without discrepancy"
WITH_PULLS = ("posterior", WITHOUT, "wiener", "pca")
ITSELF = "noisy half"  # its differences from the target show where the repeats disagree by more than their noise
EDGES = {  # of S/N bins
    "SAMI": (SAMI_SNR, 8, 16, 32, 80),
    "SAMI + noise": (4, 7, 12),
    "SDSS": (4, 7, 12, 40),
    "MUSE": (1, 2, 3, 5, 9),
}
REST_EDGES = np.arange(3700, 7401, 370)


@dataclass
class Results:
    """Of one data set: what was measured, a row a spectrum, and pulls with the S/N and rest wavelength of each."""

    snr: list[np.ndarray] = field(default_factory=list)
    facts: dict[str, list[np.ndarray]] = field(default_factory=dict)
    scores: dict[str, list[RepeatScores]] = field(default_factory=dict)
    pulls: dict[tuple[str, str], list[np.ndarray]] = field(default_factory=dict)  # (3, n): S/N, Å, pull

    def add(self, repeats: Halves, tools: dict) -> None:
        """Denoise and score."""
        counted = repeats.counted
        snr = replace(repeats.noisy, ivar=np.where(counted, repeats.noisy.ivar, 0)).snr
        self.snr.append(snr)
        for key, values in {**repeats.facts, "block_factor": repeats.correlation}.items():
            self.facts.setdefault(key, []).append(values)
        estimates = {name: tool.denoise(repeats.noisy) for name, tool in tools.items()} | repeats.binned
        for estimate in estimates.values():
            counted = counted & estimate.valid
        for name, estimate in estimates.items():
            scores = score_repeat(estimate, repeats.target, counted, repeats.fitted)
            self.scores.setdefault(name, []).append(scores)
            if name in WITH_PULLS:
                self.add_pulls(name, estimate, repeats, counted, snr)
        if repeats.known is not None:
            itself = as_denoised(rescaled(repeats.known, repeats.correlation[:, None]))
            self.add_pulls(ITSELF, itself, repeats, counted, snr)

    def add_pulls(self, name: str, estimate: Denoised, repeats: Halves, counted: np.ndarray, snr: np.ndarray) -> None:
        """Keep the pulls of pixels and of blocks."""
        redshift, medium = float(repeats.noisy.redshift[0]), repeats.noisy.medium
        pixels = repeats.noisy.wavelength, repeat_pulls(estimate, repeats.target, counted)
        blocks = block_pulls(estimate, repeats.target, counted, correlation=repeats.correlation)
        for kind, (wavelength, pulls) in (("pixel", pixels), ("block", blocks)):
            rest = np.broadcast_to(rest_air(wavelength, redshift, medium), pulls.shape)
            kept = np.isfinite(pulls)
            flat = np.stack([np.broadcast_to(snr[:, None], pulls.shape)[kept], rest[kept], pulls[kept]])
            self.pulls.setdefault((name, kind), []).append(flat)


def run(options: argparse.Namespace, console: Console) -> dict[str, Results]:
    """Score all data sets."""
    tools = {name: load_denoiser(name, options.model) for name in METHODS}
    tools[WITHOUT] = load_denoiser("posterior", options.model, discrepancy=False)
    results: dict[str, Results] = {}
    for source in (sami, sdss, muse):
        sets = 0
        for repeats in source(options, tools["posterior"].denoise):
            results.setdefault(repeats.name, Results()).add(repeats, tools)
            sets += 1
        console.print(
            f"{source.__name__}: {sets} sets" if sets else f"{source.__name__} left out: its files are not there"
        )
    return results


def joined(scores: list[RepeatScores], rows: np.ndarray) -> RepeatScores:
    """Scores of the rows of several sets."""
    names = ("before", "after", "noise", "spent")
    return RepeatScores(**{name: np.concatenate([getattr(one, name) for one in scores])[rows] for name in names})


def predictions(results: dict[str, Results], seed: int) -> list[dict]:
    """One record a data set, S/N bin and method."""
    records = []
    for name, result in results.items():
        snr = np.concatenate(result.snr)
        for low, high in pairwise(EDGES[name]):
            rows = np.flatnonzero((snr >= low) & (snr < high))
            if not len(rows):
                continue
            place = {"data": name, "bin": [low, high], "snr": float(np.median(snr[rows]))}
            for method, scores in result.scores.items():
                pooled = pool_repeats(joined(scores, rows), np.random.default_rng(seed))
                records.append({**place, "method": method, **asdict(pooled)})
    return records


def pull_records(results: dict[str, Results]) -> list[dict]:
    """One record a data set, method, kind (pixel, block) and bin of S/N or of rest wavelength."""
    records = []
    for name, result in results.items():
        for (method, kind), parts in result.pulls.items():
            if (method, kind) == (ITSELF, "pixel"):  # its errors are those of blocks
                continue
            table = np.concatenate(parts, axis=1)
            for row, by, edges in ((0, "snr", EDGES[name]), (1, "wavelength", REST_EDGES)):
                for low, high in pairwise(edges):
                    pulls = table[2, (table[row] >= low) & (table[row] < high)]
                    if len(pulls) < 20:
                        continue
                    robust, rms = (float(values[0]) for values in pull_scatter(pulls[None]))
                    centre = float(np.median(table[row, (table[row] >= low) & (table[row] < high)]))
                    head = {"data": name, "method": method, "kind": kind, "by": by, "bin": [float(low), float(high)]}
                    records.append({**head, "centre": centre, "count": len(pulls), "robust": robust, "rms": rms})
    return records


def tables(content: dict) -> Iterator[Table]:
    """Prediction by method, and pulls by S/N."""
    yield prediction_table(content["prediction"], "ratio", "rms(noisy − target) / rms(denoised − target)", 1)
    yield prediction_table(content["prediction"], "reduction", "RMS removed, %, the target's noise taken away", 100)
    yield pull_table(content["pulls"])


def prediction_table(records: list[dict], key: str, title: str, scale: float) -> Table:
    """One score, a row a bin of S/N, a column a method."""
    methods = list(dict.fromkeys(record["method"] for record in records))
    out = Table(title=title)
    for name in ("data", "S/N", "spectra", *methods):
        out.add_column(name, justify="left" if name == "data" else "right")
    for data, snr, count in dict.fromkeys((r["data"], r["snr"], r["count"]) for r in records):
        found = {r["method"]: r for r in records if (r["data"], r["snr"]) == (data, snr)}
        values = [(scale * found[m][key], scale * found[m][f"{key}_error"]) if m in found else None for m in methods]
        cells = [f"{value[0]:#.3g} ± {value[1]:.2g}" if value else "" for value in values]
        out.add_row(data, f"{snr:.1f}", str(count), *cells)
    return out


def pull_table(records: list[dict]) -> Table:
    """Scatter of the pulls of the posterior and of the noisy half itself."""
    out = Table("data", "by", "bin", "method", "pixel robust", "rms", "block robust", "rms", title="Scatter of pulls")
    found: dict[tuple, dict] = {}
    for record in records:
        found.setdefault((record["data"], record["by"], *record["bin"], record["method"]), {})[record["kind"]] = record
    for (data, by, low, high, method), kinds in found.items():
        if method in ("posterior", ITSELF):
            scatter = [
                f"{kinds[k][s]:.2f}" if k in kinds else "" for k in ("pixel", "block") for s in ("robust", "rms")
            ]
            out.add_row(data, by, f"{low:g}–{high:g}", method, *scatter)
    return out


@styled
def draw_prediction(content: dict) -> Figure:
    """How well each method's halves predict the other halves, a column a data set."""
    records = content["prediction"]
    names = list(dict.fromkeys(record["data"] for record in records))
    methods = list(dict.fromkeys(record["method"] for record in records))
    drawing = figure(4.3)
    panels = drawing.subplots(2, len(names), sharey="row", squeeze=False)
    for (upper, lower), name in zip(panels.T, names, strict=True):
        upper.set_title(name)
        for colour, marker, method in zip(COLOURS, MARKERS, methods, strict=False):
            some = [r for r in records if r["data"] == name and r["method"] == method]
            snr = [r["snr"] for r in some]
            for axes, values, errors in (
                (upper, [r["ratio"] for r in some], [r["ratio_error"] for r in some]),
                (lower, [1 - r["reduction"] for r in some], [r["reduction_error"] for r in some]),
            ):
                style = {"color": colour, "marker": marker, "ms": 3.2, "elinewidth": 0.6, "label": method}
                lower_errors = np.minimum(errors, 0.9 * np.array(values))  # within a logarithmic axis
                axes.errorbar(snr, values, [lower_errors, errors], **style)
        for axes in (upper, lower):
            axes.axhline(1, color=BLACK, lw=0.6, ls=":")
            snr_axis(axes, name)
        upper.set_xlabel("")
    panels[0, 0].set(ylabel="rms(noisy − target) /\nrms(denoised − target)", yscale="log")
    decimal_ticks(panels[0, 0].yaxis)
    panels[1, 0].set(ylabel="Residual left, target's\nnoise taken away", yscale="log", ylim=(0.05, 1.3))
    decimal_ticks(panels[1, 0].yaxis)
    handles = {
        label: handle for axes in panels[0] for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    drawing.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=4)
    return drawing


def snr_axis(axes: Axes, name: str) -> None:
    """A logarithmic axis of S/N over the bins of a data set."""
    axes.set(xscale="log", xlim=(0.8 * EDGES[name][0], EDGES[name][-1]), xlabel="S/N of the noisy half")
    decimal_ticks(axes.xaxis, most=5)


@styled
def draw_pulls(content: dict) -> Figure:
    """Scatter of pulls by S/N and by rest wavelength, a column a data set."""
    records = content["pulls"]
    names = list(dict.fromkeys(record["data"] for record in records))
    drawing = figure(4.3)
    panels = drawing.subplots(2, len(names), sharey=True, squeeze=False)
    kinds = [*((m, k) for m in WITH_PULLS[:2] for k in ("pixel", "block")), (ITSELF, "block")]
    colours = dict(zip((*WITH_PULLS[:2], ITSELF), (*COLOURS[:2], BLACK), strict=True))
    for column, name in zip(panels.T, names, strict=True):
        column[0].set_title(name)
        for (method, kind), marker in zip(kinds, MARKERS, strict=False):
            colour, filled = colours[method], kind == "block"
            for axes, by in zip(column, ("snr", "wavelength"), strict=True):
                some = [r for r in records if (r["data"], r["method"], r["kind"], r["by"]) == (name, method, kind, by)]
                axes.plot(
                    [r["centre"] for r in some], [r["robust"] for r in some], marker=marker, ms=3.2, color=colour,
                    ls="-" if filled else "--", mfc=None if filled else "white",
                    label=f"{method}, {'30-pixel means' if filled else 'pixels'}",
                )  # fmt: skip
        for axes in column:
            axes.axhspan(0.9, 1.1, color="#e6e6e6", lw=0)
            axes.axhline(1, color=BLACK, lw=0.6)
        snr_axis(column[0], name)
        column[1].set(xlim=(3700, 7400), xlabel="Rest wavelength [Å]", xticks=(4000, 5000, 6000, 7000))
    panels[0, 0].set(yscale="log", ylim=(0.6, 5))
    decimal_ticks(panels[0, 0].yaxis)
    for axes in panels[:, 0]:
        axes.set_ylabel("Scatter of pulls")
    drawing.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return drawing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="survey", help="shipped model, or path of an .npz")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of real spectra")
    parser.add_argument("--realisations", type=int, default=2, help="draws of the added noise")
    parser.add_argument("--step", type=int, default=2, help="step of the lattice of MUSE spaxels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "observed_truth.json")
    options = parser.parse_args()
    console = Console(width=150)
    results = run(options, console)
    measured = {
        name: {
            key: np.percentile(np.concatenate(parts), (16, 50, 84)).round(3).tolist()
            for key, parts in one.facts.items()
        }
        for name, one in results.items()
    }
    content = {
        "machine": machine(),
        "model": str(load_denoiser("posterior", options.model).model),
        **{name: getattr(options, name) for name in ("realisations", "step", "seed")},
        "measured": measured,
        "muse_spatial_correlation": spatial_correlation(load_denoiser("wiener", options.model)),
        "prediction": predictions(results, options.seed),
        "pulls": pull_records(results),
    }
    for table in tables(content):
        console.print(table)
    console.print({key: content[key] for key in ("measured", "muse_spatial_correlation")})
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    save(draw_prediction(content), options.out.with_suffix(".png"))
    save(draw_pulls(content), options.out.with_name(f"{options.out.stem}_pulls.png"))


if __name__ == "__main__":
    main()
