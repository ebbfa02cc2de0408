"""Real spectra of high S/N, degraded by added noise and denoised: what was reduced against what their own noise allows.

Spectra of median S/N above `--least` of SAMI, MaNGA, CALIFA, SDSS and LEGA-C get white noise until their S/N is 5, 10,
20, several times, and every method denoises the same ones. The residual is taken against the undegraded spectra, so
that their own noise limits what even a perfect denoiser can reach (`quietspec.lab.evaluation.DegradedScores`). All
methods are scored on the same pixels: those of the model's wavelengths where a fit to the undegraded spectrum saw
neither gas emission nor spikes.

    python benchmarks/degrade_real_spectra.py [--model survey]

SDSS, MaNGA and LEGA-C spectra come from the cache of ``quietspec fetch`` (ngc3522, ngc3073, manga, legac), those of
SAMI and CALIFA from the folder `--data`; what is not there is left out, and said. The results also hold the scatter of
the pulls of each survey by rest wavelength: (denoised − undegraded) over the errors of both, with the quoted ones.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from machine import machine
from matplotlib.ticker import FixedLocator, NullFormatter
from rich.console import Console
from rich.table import Table

from quietspec import Denoised, Spectra, load_denoiser, read
from quietspec.denoisers import Posterior
from quietspec.io.fetching import cached
from quietspec.lab.evaluation import degrade, pull_scatter, repeat_pulls, score_degraded
from quietspec.plots.style import BLACK, COLOURS, figure, save, styled
from quietspec.wavelengths import rest_air

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
METHODS = ("posterior", "wiener", "pca", "gaussian", "savgol")
SNRS = (5.0, 10.0, 20.0)
FETCHED = {  # survey, and the redshift where the file has none
    "manga": ("MaNGA", None),
    "ngc3522": ("SDSS", None),
    "ngc3073": ("SDSS", None),
    "legac": ("LEGA-C", 0.669),
}
SHARED = {  # files in `--data`, and their redshift where they have none
    "SAMI": (("sami/230776_A_sectors_blue.fits.gz", "sami/230776_A_sectors_red.fits.gz"), None),
    "CALIFA": (("NGC2691.COMB.RSS.fits",), 0.0133),
}
MARKERS = ("o", "s", "^")
REST_EDGES = np.arange(3500.0, 7501.0, 400.0)
Pulls = dict[str, list[np.ndarray]]  # by method: rest wavelengths and pulls, (2, n)
SCORES = ("reduction", "allowed", "against_truth", "scatter")


def real_spectra(folder: Path, least: float, console: Console) -> Iterator[tuple[str, str, Spectra]]:
    """Survey, file and its spectra of S/N above `least`, without repeats."""
    for name, (survey, redshift) in FETCHED.items():
        path = cached(name)
        if path is None:
            console.print(f"{survey} {name} left out: run `quietspec fetch {name}` first")
        else:
            yield survey, name, select(read(path, redshift=redshift), least)
    for survey, (files, redshift) in SHARED.items():
        paths = [folder / file for file in files]
        if all(path.exists() for path in paths):
            yield survey, paths[0].name.split(".")[0], select(read(*paths, redshift=redshift), least)
        else:
            console.print(f"{survey} left out: not in {folder}")


def select(spectra: Spectra, least: float) -> Spectra:
    """Distinct spectra of S/N above `least`: all spaxels of a SAMI bin carry the same one."""
    bright = np.flatnonzero(np.nan_to_num(spectra.snr) > least)
    values = np.where(spectra.good[bright], spectra.flux[bright], 0)
    return spectra[bright[np.sort(np.unique(values, axis=0, return_index=True)[1])]]


def scored_pixels(original: Spectra, fitted: Denoised) -> Spectra:
    """The original with the pixels masked that are not to count: outside the model, emission lines, spikes."""
    return replace(original, ivar=np.where(fitted.valid & ~fitted.ignored, original.ivar, 0))


def score(
    original: Spectra, fitted: Denoised, degraded: Spectra, tools: dict[str, Posterior], pulls: Pulls
) -> dict[str, dict[str, np.ndarray]]:
    """`DegradedScores` of each method, by name; their pulls are added to `pulls`."""
    counted = scored_pixels(original, fitted)
    rest = np.stack([rest_air(original.wavelength, float(z), original.medium) for z in original.redshift])
    scores = {}
    for name, tool in tools.items():
        denoised = tool.denoise(degraded)
        result = score_degraded(counted, degraded, replace(denoised, ignored=np.zeros_like(denoised.ignored)))
        scores[name] = {key: getattr(result, key) for key in SCORES}
        values = repeat_pulls(denoised, counted, counted.good)
        kept = np.isfinite(values)
        pulls[name].append(np.stack([rest[kept], values[kept]]))
    return scores


def by_wavelength(pulls: dict[tuple[str, float], Pulls]) -> list[dict]:
    """Scatter of pulls, one record a survey, S/N, method and bin of rest wavelength."""
    records = []
    for (survey, snr), methods in pulls.items():
        for method, parts in methods.items():
            rest, values = np.concatenate(parts, axis=1)
            for low, high in pairwise(REST_EDGES.tolist()):
                inside = values[(rest >= low) & (rest < high)]
                if inside.size:
                    robust, square = (float(scatter[0]) for scatter in pull_scatter(inside[None]))
                    place = {"survey": survey, "snr": snr, "method": method, "rest": [low, high]}
                    records.append({**place, "pixels": inside.size, "robust": robust, "rms": square})
    return records


def run(options: argparse.Namespace, console: Console) -> tuple[list[dict], list[dict]]:
    """One record a spectrum: what it is, how the undegraded one is fitted, and its scores, means over realisations.

    And the scatter of the pulls by wavelength.
    """
    pulls: dict[tuple[str, float], Pulls] = defaultdict(lambda: defaultdict(list))
    tools = {name: load_denoiser(name, options.model) for name in METHODS}
    records = []
    for survey, file, original in real_spectra(options.data, options.least, console):
        if not len(original):
            console.print(f"{survey} {file} left out: no spectrum of S/N above {options.least:g}")
            continue
        fitted = tools["posterior"].denoise(original)
        own = [describe(survey, file, fitted, row) for row in range(len(original))]
        for snr in options.snr:
            rngs = [np.random.default_rng((options.seed, round(1e6 * snr), i)) for i in range(options.realisations)]
            place = pulls[survey, snr]
            runs = [score(original, fitted, degrade(original, snr, rng), tools, place) for rng in rngs]
            for row, record in enumerate(own):
                record["scores"][f"{snr:g}"] = {
                    name: {key: float(np.mean([result[name][key][row] for result in runs])) for key in SCORES}
                    for name in tools
                }
        console.print(f"{survey} {file}: {len(own)} spectra", highlight=False)
        records += own
    return records, by_wavelength(pulls)


def describe(survey: str, file: str, fitted: Denoised, row: int) -> dict:
    """What the spectrum is, and how well the prior fits it undegraded."""
    return {
        "survey": survey,
        "file": file,
        "snr": float(fitted.spectra.snr[row]),
        "redshift": float(fitted.spectra.redshift[row]),
        "reduced_chi2": float(fitted.chi2[row] / fitted.dof[row]),
        "noise_scale": float(fitted.noise_scale[row]),
        "flags": int(fitted.flags[row]),
        "scores": {},
    }


def median(records: list[dict], snr: float, method: str, key: str) -> float:
    """Median of one score over spectra: the noise of a few rises so steeply to the blue that they allow nothing."""
    return float(np.median([record["scores"][f"{snr:g}"][method][key] for record in records]))


def table(records: list[dict], snrs: list[float]) -> Table:
    """Reductions in percent by survey and S/N; in brackets the estimate against the noise-free truth."""
    out = Table(
        title="RMS residual removed, %, median over spectra (estimate against the noise-free truth in brackets)",
        caption="allowed: a perfect denoiser's, were the quoted errors exact; scatter: 1 where the errors are right",
    )
    for name in ("survey", "spectra", "S/N", "allowed", *METHODS, "scatter"):
        out.add_column(name, justify="left" if name == "survey" else "right")
    for survey in dict.fromkeys(record["survey"] for record in records):
        some = [record for record in records if record["survey"] == survey]
        for snr in snrs:
            cells = [
                "{:.1f} ({:.1f})".format(*(100 * median(some, snr, m, key) for key in ("reduction", "against_truth")))
                for m in METHODS
            ]
            allowed, scatter = (median(some, snr, "posterior", key) for key in ("allowed", "scatter"))
            out.add_row(survey, str(len(some)), f"{snr:g}", f"{100 * allowed:.1f}", *cells, f"{scatter:.2f}")
        out.add_section()
    return out


@styled
def draw(records: list[dict], snrs: list[float]) -> Figure:
    """Residual left against what the spectra's own noise leaves to a perfect denoiser, a panel a method."""
    drawing = figure(2.7)
    panels = drawing.subplots(1, len(METHODS), sharex=True, sharey=True)
    surveys = list(dict.fromkeys(record["survey"] for record in records))
    for axes, method in zip(panels, METHODS, strict=True):
        for colour, survey in zip(COLOURS, surveys, strict=False):
            for marker, snr in zip(MARKERS, snrs, strict=False):
                scores = [r["scores"][f"{snr:g}"][method] for r in records if r["survey"] == survey]
                axes.plot(
                    [1 - each["allowed"] for each in scores], [1 - each["reduction"] for each in scores], marker,
                    ms=3.5, mew=0.5, mfc="none", color=colour, label=f"{survey}, S/N {snr:g}",
                )  # fmt: skip
        axes.axline((0.1, 0.1), (0.5, 0.5), color=BLACK, lw=0.6)
        axes.set(title=method, xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(FixedLocator([0.03, 0.1, 0.3, 1]))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
    panels[0].set_ylabel("Residual left / added noise")
    panels[len(METHODS) // 2].set_xlabel("Residual left by a perfect denoiser: the spectra's own noise / added noise")
    handles, labels = panels[0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside upper center", ncols=len(surveys))
    return drawing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="survey", help="shipped model, or path of an .npz")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of real spectra")
    parser.add_argument("--least", type=float, default=40, help="least S/N of the undegraded spectra")
    parser.add_argument("--snr", type=float, nargs="+", default=SNRS)
    parser.add_argument("--realisations", type=int, default=5, help="draws of the added noise")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "degrade_real_spectra.json")
    options = parser.parse_args()
    console = Console(width=130)
    records, pulls = run(options, console)
    console.print(table(records, options.snr))
    content = {
        "machine": machine(),
        "model": str(load_denoiser("posterior", options.model).model),
        **{name: getattr(options, name) for name in ("least", "snr", "realisations", "seed")},
        "spectra": records,
        "pulls": pulls,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    save(draw(records, options.snr), options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
