"""Real spectra of high S/N, degraded by added noise and denoised: reductions beside what their own noise allows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from rich.table import Table

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised
from quietspec.denoisers import Denoiser, load_denoiser
from quietspec.errors import QuietspecError
from quietspec.lab.evaluation.degrade import DegradedScores, degrade, score_degraded
from quietspec.lab.evaluation.repeats import pull_scatter, repeat_pulls
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra, distinct_bright
from quietspec.lab.streams import stream
from quietspec.spectra import Spectra
from quietspec.wavelengths import rest_air

__all__ = ["METHODS", "DegradedSettings", "bright_samples", "degraded_study", "degraded_table"]

METHODS = ("posterior", "wiener", "pca", "gaussian", "savgol")  #: denoisers that are compared
_FETCHED = {"manga": "MaNGA", "ngc3522": "SDSS", "ngc3073": "SDSS", "legac": "LEGA-C"}
_REST_EDGES = np.arange(3500.0, 7501.0, 400.0)  # Å, of the bins that pulls are counted in
_SCORES = ("reduction", "allowed", "against_truth", "scatter")

_Pulls = dict[str, list[FloatArray]]  # by method: rest wavelengths and pulls, (2, n)


@dataclass(frozen=True)
class DegradedSettings:
    """How real spectra are degraded.

    Parameters
    ----------
    model : str
        Shipped model, or path of an .npz.
    least : float
        Median S/N that undegraded spectra exceed.
    snrs : tuple of float
        S/N to which they are degraded.
    realisations : int
        Draws of the added noise.
    seed : int
        Seed of the added noise.
    """

    model: str = "survey"
    least: float = 40.0
    snrs: tuple[float, ...] = (5.0, 10.0, 20.0)
    realisations: int = 5
    seed: int = 0


def bright_samples(real: RealSpectra, least: float) -> Iterator[tuple[str, str, Spectra]]:
    """Find the bright spectra of SAMI, MaNGA, CALIFA, SDSS and LEGA-C, without repeats of one galaxy.

    Parameters
    ----------
    real : RealSpectra
        Where they are.
    least : float
        Median S/N to exceed.

    Yields
    ------
    survey, file : str
        Survey, and name of the file.
    spectra : Spectra
        At least one spectrum.
    """
    found = [(survey, name, real.fetched(name)) for name, survey in _FETCHED.items()]
    found += [("SAMI", "230776_A_sectors_blue", real.sami("230776_A")), ("CALIFA", "NGC2691", real.califa())]
    for survey, file, spectra in found:
        if spectra is None:
            continue
        bright = distinct_bright(spectra, least)
        if len(bright):
            yield survey, file, bright
        else:
            real.log(f"{survey} {file} left out: no spectrum of S/N above {least:g}")


def degraded_study(real: RealSpectra, settings: DegradedSettings) -> dict[str, Any]:
    """Degrade and denoise real spectra, and score the estimates against the undegraded spectra.

    All methods are scored on the same pixels: those of the model's wavelengths where a fit to the undegraded spectrum
    finds neither gas emission nor spikes.

    Parameters
    ----------
    real : RealSpectra
        Where the spectra are.
    settings : DegradedSettings
        How they are degraded.

    Returns
    -------
    dict
        ``spectra``: one record per spectrum with `DegradedScores` by S/N and method, averaged over realisations.
        ``pulls``: scatter of (denoised − undegraded) over the quoted errors of both, by survey, S/N, method and bin of
        rest wavelength. Beside them the settings and the model.

    Raises
    ------
    QuietspecError
        If there are no spectra above the S/N.
    """
    tools = {name: load_denoiser(name, settings.model) for name in METHODS}
    pulls: dict[tuple[str, float], _Pulls] = defaultdict(lambda: defaultdict(list))
    records: list[dict[str, Any]] = []
    for survey, file, original in bright_samples(real, settings.least):
        fitted = tools["posterior"].denoise(original)
        own = [_described(survey, file, fitted, row) for row in range(len(original))]
        for snr in settings.snrs:
            runs = [
                _scored(original, fitted, degrade(original, snr, rng), tools, pulls[survey, snr])
                for rng in _streams(settings, snr)
            ]
            for row, record in enumerate(own):
                record["scores"][f"{snr:g}"] = {name: _mean_scores([run[name] for run in runs], row) for name in tools}
        real.log(f"{survey} {file}: {len(own)} spectra")
        records += own
    if not records:
        raise QuietspecError(
            f"there is no spectrum of S/N above {settings.least:g}: run `quietspec fetch manga` first."
        )
    return {
        "model": str(tools["posterior"].model),
        "least": settings.least,
        "snr": list(settings.snrs),
        "realisations": settings.realisations,
        "seed": settings.seed,
        "spectra": records,
        "pulls": list(_by_wavelength(pulls)),
    }


def _streams(settings: DegradedSettings, snr: float) -> list[np.random.Generator]:
    return [stream("degraded", settings.seed, round(1e6 * snr), i) for i in range(settings.realisations)]


def _described(survey: str, file: str, fitted: Denoised, row: int) -> dict[str, Any]:
    """Facts about a spectrum, and how well the prior fits it undegraded."""
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


def _scored(
    original: Spectra, fitted: Denoised, degraded: Spectra, tools: Mapping[str, Denoiser], pulls: _Pulls
) -> dict[str, DegradedScores]:
    """Scores by method; the pulls of each method are added to `pulls`."""
    counted = replace(original, ivar=np.where(fitted.valid & ~fitted.ignored, original.ivar, 0))
    rest = np.stack([rest_air(original.wavelength, float(z), original.medium) for z in original.redshift])
    scores = {}
    for name, tool in tools.items():
        denoised = tool.denoise(degraded)
        scores[name] = score_degraded(counted, degraded, replace(denoised, ignored=np.zeros_like(denoised.ignored)))
        values = repeat_pulls(denoised, counted, counted.good)
        kept = np.isfinite(values)
        pulls[name].append(np.stack([rest[kept], values[kept]]))
    return scores


def _mean_scores(runs: list[DegradedScores], row: int) -> dict[str, float]:
    return {key: float(np.mean([getattr(run, key)[row] for run in runs])) for key in _SCORES}


def _by_wavelength(pulls: Mapping[tuple[str, float], _Pulls]) -> Iterator[dict[str, Any]]:
    """Scatter of pulls, one record per survey, S/N, method and bin of rest wavelength."""
    for (survey, snr), methods in pulls.items():
        for method, parts in methods.items():
            rest, values = np.concatenate(parts, axis=1)
            for low, high in pairwise(_REST_EDGES.tolist()):
                inside = values[(rest >= low) & (rest < high)]
                if inside.size:
                    robust, square = (float(scatter[0]) for scatter in pull_scatter(inside[None]))
                    place = {"survey": survey, "snr": snr, "method": method, "rest": [low, high]}
                    yield {**place, "pixels": inside.size, "robust": robust, "rms": square}


def degraded_table(content: Mapping[str, Any]) -> Table:
    """Tabulate reductions in percent by survey and S/N, with estimates against the noise-free truth in brackets.

    Parameters
    ----------
    content : mapping
        Result of `degraded_study`.

    Returns
    -------
    rich.table.Table
        Medians over spectra: in the blue the noise of a few rises so steeply that they allow nothing.
    """
    out = Table(
        title="RMS residual removed, %, median over spectra (estimate against the noise-free truth in brackets)",
        caption="allowed: by a perfect denoiser, if the quoted errors were exact; scatter: 1 if the errors are right",
    )
    for name in ("survey", "spectra", "S/N", "allowed", *METHODS, "scatter"):
        out.add_column(name, justify="left" if name == "survey" else "right")
    for survey in dict.fromkeys(record["survey"] for record in content["spectra"]):
        some = [record for record in content["spectra"] if record["survey"] == survey]
        for snr in content["snr"]:
            cells = [
                "{:.1f} ({:.1f})".format(*(100 * _median(some, snr, m, key) for key in ("reduction", "against_truth")))
                for m in METHODS
            ]
            allowed, scatter = (_median(some, snr, "posterior", key) for key in ("allowed", "scatter"))
            out.add_row(survey, str(len(some)), f"{snr:g}", f"{100 * allowed:.1f}", *cells, f"{scatter:.2f}")
        out.add_section()
    return out


def _median(records: list[dict[str, Any]], snr: float, method: str, key: str) -> float:
    return float(np.median([record["scores"][f"{snr:g}"][method][key] for record in records]))
