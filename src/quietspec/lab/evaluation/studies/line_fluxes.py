"""Emission-line fluxes of simulated spectra: coverage, slope, bias, and errors over the photon noise in the line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.table import Table

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised
from quietspec.denoisers import KinematicPosterior, SpectralPrior
from quietspec.lab.evaluation.between import between_galaxies
from quietspec.lab.simulate import Draws, Simulated, SurveyRecipe, viewing_of
from quietspec.lab.simulate.emission import Gas
from quietspec.statistics import MAD_TO_SIGMA
from quietspec.wavelengths import EMISSION_LINES

__all__ = ["LINES", "LineSettings", "line_tables", "observed_lines"]

#: Lines that are scored; [OII] is the sum of its doublet.
LINES = ("[OII]3727", "Hbeta", "[OIII]5007", "Halpha", "[NII]6583", "[SII]6716")
_PARTS = {"[OII]3727": ("[OII]3726", "[OII]3729")}
_FALSE = 3.0  # σ
BATCHES = 8  #: spectra of one instrument and redshift, in which they are simulated


@dataclass(frozen=True)
class LineSettings:
    """What is simulated.

    Parameters
    ----------
    instruments : sequence of str
        Names in `INSTRUMENTS`; each sees an equal share.
    snrs : sequence of float
        S/N of the spectra.
    n : int
        Number of spectra for each S/N.
    seed : int
        Seed of all draws.
    """

    instruments: Sequence[str] = ("MaNGA", "MUSE", "SDSS", "CALIFA V500")
    snrs: Sequence[float] = (2.0, 5.0, 10.0, 20.0)
    n: int = 400
    seed: int = 6


def line_tables(prior: SpectralPrior, recipe: SurveyRecipe, settings: LineSettings) -> Iterator[Table]:
    """Tabulate how line fluxes are recovered, and what fitting lines does to the stars.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    recipe : SurveyRecipe
        Galaxies, 70 % of which have gas.
    settings : LineSettings
        What is simulated.

    Yields
    ------
    rich.table.Table
        One of the lines, a row per line and S/N; one of the stars behind a mask and fitted with the lines.
    """
    fit, mask = (KinematicPosterior("posterior", prior, emission=how) for how in ("fit", "auto"))
    columns = (
        "line",
        "S/N",
        "n",
        "68 %",
        "95 %",
        "pull",
        "slope",
        "mean without gas / σ",
        "false at 3σ",
        "median EW error",
    )
    table = Table(*columns, title="emission lines")
    stars = Table("S/N", "stars", "rms flux", "log age (light)", "[M/H] (light)", title="rms errors")
    for snr in settings.snrs:
        pairs = [(made, gas, fit.denoise(made.observed)) for made, gas in observed_lines(recipe, snr, settings)]
        for line in LINES:
            table.add_row(line, f"{snr:g}", *_cells(line, pairs))
        behind = [(made, mask.denoise(made.observed)) for made, _, _ in pairs]
        for name, found in (("behind a mask", behind), ("with lines", [(made, one) for made, _, one in pairs])):
            stars.add_row(f"{snr:g}", name, *_star_cells(found))
    yield table
    yield stars


def observed_lines(recipe: SurveyRecipe, snr: float, settings: LineSettings) -> Iterator[tuple[Simulated, Gas]]:
    """Simulate spectra whose lines are known.

    Parameters
    ----------
    recipe : SurveyRecipe
        Galaxies.
    snr : float
        S/N of the spectra.
    settings : LineSettings
        What is simulated.

    Yields
    ------
    made : Simulated
        Spectra of one instrument and redshift.
    gas : Gas
        Their emission lines.
    """
    share = max(settings.n // BATCHES, 1)
    for number in range(BATCHES):
        instrument = settings.instruments[number % len(settings.instruments)]
        draws = Draws.of("lines", snr, settings.seed, number)
        rest = recipe.rest(share, draws.galaxies)
        viewing = viewing_of(recipe, rest, draws.galaxies, instrument)
        yield recipe.observe(rest, draws.noise, snr, **viewing), viewing["gas"]


def _cells(line: str, pairs: Sequence[tuple[Simulated, Gas, Denoised]]) -> list[str]:
    names = list(EMISSION_LINES)
    parts = _PARTS.get(line, (line,))
    flux, error, truth, width = [], [], [], []
    for made, gas, found in pairs:
        measured = found.line(line)
        flux.append(measured.flux)
        error.append(measured.error)
        width.append(measured.ew_error)
        truth.append(gas.flux[:, [names.index(part) for part in parts]].sum(axis=1) * (1 + made.observed.redshift))
    value, sigma, true, ew = map(np.concatenate, (flux, error, truth, width))
    known = np.isfinite(value) & (sigma > 0)
    if known.sum() < 2:
        return ["0"]
    galaxy = np.repeat(np.arange(len(pairs)), [len(made.observed) for made, _, _ in pairs])[known]
    value, sigma, true, ew = value[known], sigma[known], true[known], ew[known]
    pulls, bare = (value - true) / sigma, true == 0
    slope = np.sum(true * value / sigma**2) / np.sum(true**2 / sigma**2)
    cover = (_share_inside(pulls, galaxy, limit) for limit in (1.0, 1.96))
    without = pulls[bare] if bare.any() else np.array([np.nan])
    scatter = MAD_TO_SIGMA * np.median(np.abs(pulls))
    return [
        f"{known.sum()}", *cover, f"{scatter:.2f}", f"{slope:.3f}", f"{np.mean(without):+.2f}",
        f"{100 * np.mean(without > _FALSE):.1f} %", f"{np.median(ew):.2f} Å",
    ]  # fmt: skip


def _share_inside(pulls: FloatArray, galaxy: npt.NDArray[np.intp], limit: float) -> str:
    """Share of pulls within a limit, with its error between galaxies."""
    inside = np.abs(pulls) < limit
    error = between_galaxies([inside[galaxy == one] for one in np.unique(galaxy)])
    return f"{inside.mean():.3f}" if error is None else f"{inside.mean():.3f} ± {error:.3f}"


def _star_cells(found: Sequence[tuple[Simulated, Denoised]]) -> list[str]:
    def rms(values: Sequence[FloatArray]) -> float:
        return MAD_TO_SIGMA * float(np.nanmedian(np.abs(np.concatenate(list(values)))))

    errors = [
        np.sqrt(np.nanmean((one.flux - made.truth) ** 2, axis=1)) / np.nanmean(made.truth, axis=1)
        for made, one in found
    ]
    labels = ("log_age_lw", "mh_lw")
    off = ([one.parameters[label][0] - made.parameters[label] for made, one in found] for label in labels)
    return [f"{100 * float(np.median(np.concatenate(errors))):.2f} %", *(f"{rms(each):.3f}" for each in off)]
