"""Observed truth: one half of repeated observations is denoised and must predict the other half.

The halves are those of `quietspec.lab.evaluation.studies.repeats`; `quietspec.lab.evaluation.score_repeat` scores them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from rich.table import Table

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoised import Denoised
from quietspec.denoisers import Denoiser, load_denoiser
from quietspec.errors import QuietspecError
from quietspec.lab.evaluation.repeats import (
    RepeatScores,
    block_pulls,
    pool_repeats,
    pull_scatter,
    repeat_pulls,
    score_repeat,
)
from quietspec.lab.evaluation.studies.halves import Halves, as_denoised, rescaled
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra
from quietspec.lab.evaluation.studies.repeats import (
    SAMI_SNR,
    RepeatSettings,
    muse_halves,
    sami_halves,
    sdss_halves,
    spatial_correlation,
)
from quietspec.lab.streams import stream
from quietspec.wavelengths import rest_air

__all__ = ["EDGES", "ITSELF", "observed_truth_study", "observed_truth_tables"]

#: Edges of the bins of S/N by data set.
EDGES: dict[str, tuple[float, ...]] = {
    "SAMI": (SAMI_SNR, 8, 16, 32, 80),
    "SAMI + noise": (4, 7, 12),
    "SDSS": (4, 7, 12, 40),
    "MUSE": (1, 2, 3, 5, 9),
}
ITSELF = "noisy half"  #: its differences from the target show where the repeats disagree by more than their noise
_METHODS = ("posterior", "wiener", "pca", "gaussian", "savgol")
_WITH_PULLS = ("posterior", "wiener", "pca")
_REST_EDGES: tuple[float, ...] = tuple(range(3700, 9621, 370))  # Å
_FEWEST = 20  # pulls whose scatter is reported
_SOURCES = (sami_halves, sdss_halves, muse_halves)


@dataclass
class _Results:
    """Results of one data set: measurements by spectrum, and pulls with the S/N and rest wavelength of each."""

    snr: list[FloatArray] = field(default_factory=list)
    facts: dict[str, list[FloatArray]] = field(default_factory=dict)
    scores: dict[str, list[RepeatScores]] = field(default_factory=dict)
    pulls: dict[tuple[str, str], list[FloatArray]] = field(default_factory=dict)  # (3, n): S/N, Å, pull

    def add(self, halves: Halves, tools: Mapping[str, Denoiser]) -> None:
        """Denoise and score."""
        counted = halves.counted
        snr = replace(halves.noisy, ivar=np.where(counted, halves.noisy.ivar, 0)).snr
        self.snr.append(snr)
        for key, values in {**halves.facts, "block_factor": halves.correlation}.items():
            self.facts.setdefault(key, []).append(values)
        estimates = {name: tool.denoise(halves.noisy) for name, tool in tools.items()} | dict(halves.binned)
        for estimate in estimates.values():
            counted = counted & estimate.valid
        for name, estimate in estimates.items():
            scores = score_repeat(estimate, halves.target, counted, halves.fitted)
            self.scores.setdefault(name, []).append(scores)
            if name in _WITH_PULLS:
                self._add_pulls(name, estimate, halves, counted, snr)
        if halves.known is not None:
            itself = as_denoised(rescaled(halves.known, halves.correlation[:, None]))
            self._add_pulls(ITSELF, itself, halves, counted, snr)

    def _add_pulls(self, name: str, estimate: Denoised, halves: Halves, counted: BoolArray, snr: FloatArray) -> None:
        """Keep the pulls of pixels and of blocks."""
        redshift, medium = float(halves.noisy.redshift[0]), halves.noisy.medium
        pixels = halves.noisy.wavelength, repeat_pulls(estimate, halves.target, counted)
        blocks = block_pulls(estimate, halves.target, counted, correlation=halves.correlation)
        for kind, (wavelength, pulls) in (("pixel", pixels), ("block", blocks)):
            rest = np.broadcast_to(rest_air(wavelength, redshift, medium), pulls.shape)
            kept = np.isfinite(pulls)
            flat = np.stack([np.broadcast_to(snr[:, None], pulls.shape)[kept], rest[kept], pulls[kept]])
            self.pulls.setdefault((name, kind), []).append(flat)

    def measured(self) -> dict[str, list[float]]:
        """16th, 50th and 84th percentiles of the facts."""
        return {
            key: np.percentile(np.concatenate(parts), (16, 50, 84)).round(3).tolist()
            for key, parts in self.facts.items()
        }


def observed_truth_study(real: RealSpectra, model: str, settings: RepeatSettings) -> dict[str, Any]:
    """Score denoisers on all repeats.

    Parameters
    ----------
    real : RealSpectra
        Where the spectra are.
    model : str
        Shipped model, or path of an .npz.
    settings : RepeatSettings
        Which repeats are made.

    Returns
    -------
    dict
        ``prediction``: one record per data set, bin of S/N and method. ``pulls``: their scatter by data set, method,
        kind (pixel, block) and bin of S/N or rest wavelength. ``measured`` and ``muse_spatial_correlation``: properties
        of the noise. Beside them the settings and the model.

    Raises
    ------
    QuietspecError
        If there are no repeats.
    """
    tools: dict[str, Denoiser] = {name: load_denoiser(name, model) for name in _METHODS}
    results: dict[str, _Results] = {}
    for source in _SOURCES:
        for halves in source(real, settings, tools["posterior"].denoise):
            results.setdefault(halves.name, _Results()).add(halves, tools)
    if not results:
        raise QuietspecError("there are no repeats: run `quietspec fetch muse-a478`, or give a folder of SAMI cubes.")
    return {
        "model": str(tools["posterior"].model),
        **asdict(settings),
        "measured": {name: one.measured() for name, one in results.items()},
        "muse_spatial_correlation": spatial_correlation(real, load_denoiser("wiener", model)),
        "prediction": list(_predictions(results, settings.seed)),
        "pulls": [record for name, result in results.items() for record in _pull_records(name, result)],
    }


def _predictions(results: Mapping[str, _Results], seed: int) -> Iterator[dict[str, Any]]:
    """One record per data set, bin of S/N and method."""
    for name, result in results.items():
        snr = np.concatenate(result.snr)
        for low, high in pairwise(EDGES[name]):
            rows = np.flatnonzero((snr >= low) & (snr < high))
            if not len(rows):
                continue
            place = {"data": name, "bin": [low, high], "snr": float(np.median(snr[rows]))}
            for method, scores in result.scores.items():
                pooled = pool_repeats(RepeatScores.stack(scores)[rows], stream("bootstrap", seed))
                yield {**place, "method": method, **asdict(pooled)}


def _pull_records(name: str, result: _Results) -> Iterator[dict[str, Any]]:
    """One record per method, kind (pixel, block) and bin of S/N or of rest wavelength."""
    for (method, kind), parts in result.pulls.items():
        if (method, kind) == (ITSELF, "pixel"):  # its errors are those of blocks
            continue
        table = np.concatenate(parts, axis=1)
        for row, by, edges in ((0, "snr", EDGES[name]), (1, "wavelength", _REST_EDGES)):
            for low, high in pairwise(edges):
                inside = table[:, (table[row] >= low) & (table[row] < high)]
                if inside.shape[1] < _FEWEST:
                    continue
                robust, rms = (float(values[0]) for values in pull_scatter(inside[2][None]))
                head = {"data": name, "method": method, "kind": kind, "by": by, "bin": [float(low), float(high)]}
                centre = float(np.median(inside[row]))
                yield {**head, "centre": centre, "count": inside.shape[1], "robust": robust, "rms": rms}


def observed_truth_tables(content: Mapping[str, Any]) -> Iterator[Table]:
    """Tabulate prediction by method, and pulls by S/N and wavelength.

    Parameters
    ----------
    content : mapping
        Result of `observed_truth_study`.

    Yields
    ------
    rich.table.Table
        Prediction ratios, reductions, and the scatter of pulls.
    """
    prediction = content["prediction"]
    yield _prediction_table(prediction, "ratio", "rms(noisy − target) / rms(denoised − target)", 1)
    yield _prediction_table(prediction, "reduction", "RMS removed, %, after subtracting the target's noise", 100)
    yield _pull_table(content["pulls"])


def _prediction_table(records: list[dict[str, Any]], key: str, title: str, scale: float) -> Table:
    """One score: a row per bin of S/N, a column per method."""
    methods = list(dict.fromkeys(record["method"] for record in records))
    out = Table(title=title)
    for name in ("data", "S/N", "spectra", *methods):
        out.add_column(name, justify="left" if name == "data" else "right")
    for data, *edges in dict.fromkeys((record["data"], *record["bin"]) for record in records):
        some = {r["method"]: r for r in records if (r["data"], *r["bin"]) == (data, *edges)}
        first = next(iter(some.values()))
        cells = [
            f"{scale * some[name][key]:#.3g} ± {scale * some[name][f'{key}_error']:.2g}" if name in some else ""
            for name in methods
        ]
        out.add_row(data, f"{first['snr']:.1f}", str(first["count"]), *cells)
    return out


def _pull_table(records: list[dict[str, Any]]) -> Table:
    """Scatter of the pulls of the posterior, and of the noisy half itself."""
    out = Table("data", "by", "bin", "method", "pixel robust", "rms", "block robust", "rms", title="Scatter of pulls")
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for record in records:
        found.setdefault((record["data"], record["by"], *record["bin"], record["method"]), {})[record["kind"]] = record
    for (data, by, low, high, method), kinds in found.items():
        if method in ("posterior", ITSELF):
            scatter = [
                f"{kinds[k][s]:.2f}" if k in kinds else "" for k in ("pixel", "block") for s in ("robust", "rms")
            ]
            out.add_row(data, by, f"{low:g}–{high:g}", method, *scatter)
    return out
