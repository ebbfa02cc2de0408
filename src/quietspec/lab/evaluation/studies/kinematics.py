"""Motions and populations by the posterior: simulated spectra, real ones with added noise, repeats."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from rich.table import Table

from quietspec.arrays import FloatArray
from quietspec.denoisers import Denoiser, SpectralPrior
from quietspec.denoisers.posterior.kinematic_denoiser import KinematicPosterior
from quietspec.io import read
from quietspec.lab.evaluation.motions import (
    SCORED,
    degraded_labels,
    flux_score,
    label_pulls,
    label_score,
    velocity_limit,
)
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra, distinct_bright
from quietspec.lab.evaluation.studies.repeats import own_pixels, sami_cubes, sami_pair
from quietspec.lab.simulate import Draws, SurveyRecipe
from quietspec.lab.streams import stream
from quietspec.spectra import Spectra
from quietspec.statistics import MAD_TO_SIGMA
from quietspec.templates import SspLibrary

__all__ = ["REDSHIFTS", "SimulatedSettings", "bins_table", "real_tables", "repeats_table", "simulated_tables"]

#: Redshift at which each instrument observes.
REDSHIFTS: dict[str, float] = {"MUSE": 0.02, "SDSS": 0.03, "SAMI": 0.04, "MaNGA": 0.03, "CALIFA V500": 0.015}
_GALAXIES = ("572402_A", "230776_A", "56140_A", "56140_B", "56140_C", "56140_D")
_BINS = {"velocity": (0, 50, 150, 400), "sigma": (20, 40, 80, 150, 250, 500)}  # km/s; of velocities the sizes
_FEWEST_IN_BIN = 15  # spectra
_BRIGHT, _FAINTEST = 20.0, 3.0  # S/N of SAMI bins that are degraded, and of those compared with their repeats
_DEGRADED = (20.0, 10.0, 5.0)


@dataclass(frozen=True)
class SimulatedSettings:
    """What is simulated.

    Parameters
    ----------
    instrument : str
        One of `REDSHIFTS`.
    snrs : sequence of float
        S/N of the spectra.
    n : int
        Number of spectra for each.
    seed : int
        Seed of all draws.
    """

    instrument: str = "MUSE"
    snrs: Sequence[float] = (5.0, 10.0, 20.0, 50.0)
    n: int = 200
    seed: int = 2


def simulated_tables(prior: SpectralPrior, library: SspLibrary, settings: SimulatedSettings) -> Iterator[Table]:
    """Tabulate rms errors, stated errors and coverage of simulated spectra.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    library : SspLibrary
        Templates of the simulation.
    settings : SimulatedSettings
        What is simulated.

    Yields
    ------
    rich.table.Table
        One per S/N, a row per denoiser.
    """
    recipe = SurveyRecipe(library, instruments=[settings.instrument])
    for snr in settings.snrs:
        draws = Draws.of("motions", snr, settings.seed)
        made = draws.simulate(recipe, settings.n, snr, redshift=REDSHIFTS[settings.instrument])
        title = f"S/N {snr:g}; V at best ± {np.median(velocity_limit(made)):.3g} km/s"
        table = Table("denoiser", "rms of the flux [%]", "pixels in 1σ", *SCORED, "ms", title=title)
        for name, denoiser in _contenders(prior).items():
            denoiser.denoise(made.observed[:2])
            start = time.process_time()
            denoised = denoiser.denoise(made.observed)
            spent = (time.process_time() - start) / settings.n * 1e3
            error, coverage = flux_score(denoised, made.truth)
            cells = []
            for label in SCORED:
                score = label_score(*denoised.parameters[label], made.parameters[label])
                stated = f"{score.rms:.3g} ({score.stated:.3g})"
                cells.append(f"{stated} {score.coverage:.2f} {score.bias:+.2f} {score.scatter:.2f}")
            rms = f"{100 * np.sqrt(np.mean(error**2)):.2f}"
            table.add_row(name, rms, f"{coverage:.3f}", *cells, f"{spent:.1f}")
        yield table


def bins_table(prior: SpectralPrior, library: SspLibrary, settings: SimulatedSettings) -> Table:
    """Tabulate how velocity and dispersion are recovered, by bins of their true values.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    library : SspLibrary
        Templates of the simulation.
    settings : SimulatedSettings
        What is simulated.

    Returns
    -------
    rich.table.Table
        A row per S/N and bin: number of spectra, share of truths inside 1σ, and mean error over the mean stated one.
    """
    tool, recipe = KinematicPosterior("posterior", prior), SurveyRecipe(library, instruments=[settings.instrument])
    table = Table("S/N", "label", "truth, km/s", "n", "in 1σ", "bias / σ", "bias, km/s", title=settings.instrument)
    for snr in settings.snrs:
        draws = Draws.of("motions by bins", snr, settings.seed)
        made = draws.simulate(recipe, settings.n, snr, redshift=REDSHIFTS[settings.instrument])
        found = tool.denoise(made.observed).parameters
        for label, edges in _BINS.items():
            (mean, error), truth = found[label], made.parameters[label]
            size = np.abs(truth)
            for low, high in [(edges[0], edges[-1]), *pairwise(edges)]:
                rows = (size >= low) & (size < high)
                if rows.sum() < _FEWEST_IN_BIN:
                    continue
                # Towards larger |V|, not larger V: estimates that shrink do so from both sides.
                off = ((mean - truth) * (np.sign(truth) if label == "velocity" else 1))[rows]
                inside = np.mean(np.abs(off) < error[rows])
                bias = off.mean() / error[rows].mean()
                cells = f"{rows.sum()}", f"{inside:.2f}", f"{bias:+.2f}", f"{off.mean():+.1f}"
                table.add_row(f"{snr:g}", label, f"{low:g}–{high:g}", *cells)
    return table


def real_tables(prior: SpectralPrior, real: RealSpectra, epochs: Sequence[Path], seed: int = 2) -> Iterator[Table]:
    """Tabulate labels of repeated epochs, and stated errors of SAMI's bins as the noise grows.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    real : RealSpectra
        Where SAMI's cubes are.
    epochs : sequence of Path
        Spectra of one galaxy.
    seed : int
        Seed of the added noise.

    Yields
    ------
    rich.table.Table
        Labels; stated errors.
    """
    denoisers = _contenders(prior)
    table = Table("spectrum", "denoiser", "S/N", *SCORED, "χ²/dof", "flags")
    for path in epochs:
        spectra = read(path)
        for name, denoiser in denoisers.items():
            found = denoiser.denoise(spectra)
            cells = [f"{found.parameters[key][0][0]:.3g} ± {found.parameters[key][1][0]:.2g}" for key in SCORED]
            fit = f"{found.chi2[0] / found.dof[0]:.2f}"
            table.add_row(path.stem, name, f"{spectra.snr[0]:.0f}", *cells, fit, str(found.flags[0]))
    yield table
    table = Table("galaxy", "denoiser", "S/N", "bins", "V error > 80", "flagged", *SCORED, title="median stated errors")
    for galaxy in _GALAXIES:
        bins = real.sami(galaxy)
        if bins is None:
            continue
        rng = stream("bins of SAMI", seed, *galaxy.encode())
        for row in degraded_labels(denoisers, distinct_bright(bins, _BRIGHT), _DEGRADED, rng):
            numbers = [str(row[key]) for key in ("spectra", "reverted", "flagged")]
            snr = f"{row['snr']:g}" if row["snr"] else "as is"
            table.add_row(galaxy, row["denoiser"], snr, *numbers, *(f"{row[key]:.3g}" for key in SCORED))
    yield table


def repeats_table(prior: SpectralPrior, real: RealSpectra) -> Table:
    """Tabulate the pulls of labels between independent observations.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    real : RealSpectra
        Where the spectra are.

    Returns
    -------
    rich.table.Table
        A row per kind of repeats and denoiser.
    """
    table = Table("repeats", "denoiser", "n", *SCORED, title="rms of pulls (1.48 × their median size)")
    pairs = [*_sami_repeats(real), *_sdss_repeats(real)]
    for name, denoiser in _contenders(prior).items():
        pulls: dict[str, list[dict[str, FloatArray]]] = {}
        for kind, first, second in pairs:
            pulls.setdefault(kind, []).append(label_pulls(denoiser.denoise(first), denoiser.denoise(second)))
        for kind, found in pulls.items():
            joined = {label: np.concatenate([one[label] for one in found]) for label in SCORED}
            table.add_row(kind, name, str(len(joined["sigma"])), *(_scatter(joined[key]) for key in SCORED))
    return table


def _sami_repeats(real: RealSpectra) -> Iterator[tuple[str, Spectra, Spectra]]:
    """Bins of 56140 B and the same sky in D (same plate) and in C (another)."""
    cubes = sami_cubes(real, "BCD")
    if cubes is None:
        return
    for other in "DC":
        first, second = sami_pair(cubes["B"], cubes[other])
        bright = np.flatnonzero((np.nan_to_num(first.snr) > _FAINTEST) & (np.nan_to_num(second.snr) > _FAINTEST))
        yield f"SAMI 56140 B − {other}", first[bright], second[bright]


def _sdss_repeats(real: RealSpectra) -> Iterator[tuple[str, Spectra, Spectra]]:
    """Consecutive exposures of one arm."""
    for name in ("ngc3522", "ngc3073"):
        exposures = real.fetched(name, exposures=True)
        if exposures is None:
            continue
        arm = np.array([label[:2] for label in exposures.meta["exposures"]])
        for which in np.unique(arm):
            for one, other in pairwise(np.flatnonzero(arm == which).tolist()):
                yield f"{name} {which}", own_pixels(exposures, one), own_pixels(exposures, other)


def _contenders(prior: SpectralPrior) -> dict[str, Denoiser]:
    return {"posterior": KinematicPosterior("posterior", prior)}


def _scatter(pulls: FloatArray) -> str:
    return f"{np.sqrt(np.mean(pulls**2)):.2f} ({MAD_TO_SIGMA * np.median(np.abs(pulls)):.2f})"
