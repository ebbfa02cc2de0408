"""Checks of the kinematic posterior on real galaxies: repeats of pixels and blocks, pPXF, and wrong redshifts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from rich.table import Table

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised
from quietspec.denoisers import Denoiser, SpectralPrior
from quietspec.denoisers.posterior.calibration import CalibrationLaw
from quietspec.denoisers.posterior.kinematic_denoiser import KinematicPosterior
from quietspec.lab.evaluation.repeats import (
    RepeatScores,
    block_pulls,
    pool_repeats,
    pull_scatter,
    repeat_pulls,
    score_repeat,
)
from quietspec.lab.evaluation.studies.halves import Halves
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra, distinct_bright
from quietspec.lab.evaluation.studies.repeats import RepeatSettings, sami_halves, sdss_halves
from quietspec.lab.simulate import SurveyRecipe
from quietspec.lab.streams import stream
from quietspec.populations.methods import PpxfMethod
from quietspec.populations.options import PpxfOptions
from quietspec.spectra import Spectra
from quietspec.statistics import MAD_TO_SIGMA, masked_median
from quietspec.templates import SspLibrary
from quietspec.wavelengths import SPEED_OF_LIGHT

__all__ = [
    "blocks_table", "ppxf_table", "ppxf_truth_table", "telluric_table",
    "wrong_redshift_table",
]  # fmt: skip

#: Edges of the bins of S/N by data set.
_EDGES: dict[str, tuple[float, ...]] = {
    "SAMI": (8, 16, 32, 80), "SAMI → C": (8, 16, 32, 80), "SAMI + noise": (4, 7, 12), "SAMI → C + noise": (4, 7, 12),
    "SDSS": (4, 8, 16, 40),
}  # fmt: skip
_COMPARED = (20.0, 150.0)  # S/N of the spectra that pPXF fits as well
#: Bands of the air's absorption, observed Å, that spectra to 7350 Å in the rest frame may reach.
_TELLURIC = {"O₂ B": (6860.0, 6950.0), "H₂O": (7160.0, 7340.0), "O₂ A": (7590.0, 7710.0)}
_BESIDE, _MOST_TELLURIC = 300.0, 40  # Å; spectra of one set
_OFF = (-600.0, -450.0, -300.0, -100.0, 100.0, 300.0, 450.0, 600.0)  # km/s by which redshifts are made wrong
_SOME = 6  # bins of SAMI 572402 among them
_EPOCHS = ("spec-0412-51871-0308.fits", "spec-0412-52258-0302.fits")


def blocks_table(prior: SpectralPrior, real: RealSpectra, settings: RepeatSettings) -> Table:
    """Tabulate the pulls of pixels and of blocks of 30 pixels against repeats, and the reduction of the noise.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest, with calibration laws in its card.
    real : RealSpectra
        Where SAMI 56140, NGC 3522 and NGC 3073 are.
    settings : RepeatSettings
        How noise is added.

    Returns
    -------
    rich.table.Table
        A row per data set, bin of S/N and law.

    Notes
    -----
    Two exposures differ in blocks by more than their noise, by a factor c that is measured from their differences and
    grows with the S/N: their calibration errors differ. The column ``blocks`` allows for the target's errors times c.
    An estimate of the flux that an instrument without noise would have recorded has a calibration error as well, that
    of its own exposure: ``both calibrations`` adds its variance, c² − 1 times that of the noise. An estimate that is
    the noisy half itself has pulls of 1 there: read it beside the reduction.
    """
    laws: dict[str, Denoiser] = {
        "wide": KinematicPosterior("wide", prior, calibration=CalibrationLaw()),
        "of the instrument": KinematicPosterior("posterior", prior),
    }
    found: dict[str, list[dict[str, _Repeats]]] = {}
    for halves in _halves(real, settings, laws["of the instrument"]):
        found.setdefault(halves.name, []).append(_scored(halves, laws))
    table = Table("data", "S/N", "n", "law", "pixels", "blocks", "both calibrations", "reduction")
    table.title = "robust scatter of pulls"
    for data, parts in found.items():
        for low, high in pairwise(_EDGES[data]):
            for law in laws:
                table.add_row(data, f"{low:g}–{high:g}", *_row(law, [part[law] for part in parts], low, high))
    return table


def _halves(real: RealSpectra, settings: RepeatSettings, tool: Denoiser) -> Iterator[Halves]:
    yield from sami_halves(real, settings, tool.denoise)
    yield from sami_halves(real, settings, tool.denoise, pairs=(("B", "C"), ("D", "C")), name="SAMI → C")
    yield from sdss_halves(real, settings, tool.denoise)


class _Repeats:
    """Pulls and scores of some spectra, each with its S/N."""

    def __init__(self, estimate: Denoised, halves: Halves) -> None:
        counted = halves.counted & estimate.valid
        self.snr = halves.noisy.snr
        self.pixels = repeat_pulls(estimate, halves.target, counted)
        self.blocks, self.calibrations = (
            block_pulls(estimate, halves.target, counted, correlation=factor)[1]
            for factor in (halves.correlation, _both_calibrations(halves))
        )
        self.scores = score_repeat(estimate, halves.target, counted, halves.fitted)


def _both_calibrations(halves: Halves) -> FloatArray:
    """Factor on the target's errors in blocks that has the calibration error of the noisy half in it as well, (n,)."""
    if halves.known is None:  # noise was added: the estimate hardly sees the calibration
        return halves.correlation
    both = halves.counted & halves.known.good & halves.target.good
    ratio = np.divide(halves.target.ivar, halves.known.ivar, out=np.zeros(both.shape), where=both)
    excess = np.maximum(halves.correlation**2 - 1, 0)
    return np.asarray(np.sqrt(halves.correlation**2 + excess * masked_median(ratio, both)))


def _scored(halves: Halves, tools: Mapping[str, Denoiser]) -> dict[str, _Repeats]:
    return {name: _Repeats(tool.denoise(halves.noisy), halves) for name, tool in tools.items()}


def _row(law: str, parts: Sequence[_Repeats], low: float, high: float) -> list[str]:
    """Cells of a table: number of spectra, law, scatter of pixels and (twice) blocks, reduction."""
    inside = [np.flatnonzero((part.snr >= low) & (part.snr < high)) for part in parts]
    n = sum(map(len, inside))
    if not n:
        return ["0", law]
    cells = []
    for kind in ("pixels", "blocks", "calibrations"):
        pulls = np.concatenate([getattr(part, kind)[rows].ravel() for part, rows in zip(parts, inside, strict=True)])
        cells.append(f"{float(pull_scatter(pulls[np.isfinite(pulls)][None])[0][0]):.2f}")
    scores = RepeatScores.stack([part.scores[rows] for part, rows in zip(parts, inside, strict=True)])
    reduction = pool_repeats(scores, stream("bootstrap", 0)).reduction
    return [str(n), law, *cells, f"{reduction:.3f}"]


def ppxf_table(prior: SpectralPrior, real: RealSpectra, library: SspLibrary, most: int = 40) -> Table:
    """Tabulate velocities and dispersions beside those of pPXF with two moments, on the same spectra.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    real : RealSpectra
        Where the spectra are.
    library : SspLibrary
        Templates of pPXF.
    most : int
        Most spectra from one set.

    Returns
    -------
    rich.table.Table
        A row per data set: median differences, posterior minus pPXF, and their robust scatter, km/s.
    """
    method = PpxfMethod(library, PpxfOptions(regularisation=0.0))
    table = Table("data", "n", "σ of pPXF", "ΔV", "scatter", "Δσ", "scatter", title="posterior − pPXF, km/s")
    for name, spectra in _bright_sets(real, most):
        denoised, fitted = KinematicPosterior("posterior", prior).denoise(spectra), method(spectra)
        kept = ~fitted.failed
        if not kept.any():
            real.log(f"{name}: all fits of pPXF failed")
            continue
        cells = []
        for label in ("velocity", "sigma"):
            difference = (denoised.parameters[label][0] - fitted.values[label])[kept]
            cells += [f"{np.median(difference):+.1f}", f"{_scatter(difference):.1f}"]
        table.add_row(name, str(int(kept.sum())), f"{np.median(fitted.values['sigma'][kept]):.0f}", *cells)
    return table


def ppxf_truth_table(prior: SpectralPrior, library: SspLibrary, n: int = 40, seed: int = 3) -> Table:
    """Tabulate errors of both dispersions on simulated spectra of S/N 60, whose truth is known.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    library : SspLibrary
        Templates of the simulation and of pPXF.
    n : int
        Spectra of each instrument.
    seed : int
        Seed of all draws.

    Returns
    -------
    rich.table.Table
        A row per instrument and range of σ: median errors of the posterior and of pPXF with two moments, km/s. The
        spectra have Gaussian LOSVDs, no gas, and flux-calibration errors.
    """
    tool, method = KinematicPosterior("posterior", prior), PpxfMethod(library, PpxfOptions(regularisation=0.0))
    table = Table("instrument", "true σ", "n", "posterior − truth", "pPXF − truth", "posterior − pPXF", title="σ, km/s")
    for instrument, redshift in (("SDSS", 0.03), ("SAMI", 0.04)):
        recipe = SurveyRecipe(library, instruments=[instrument], higher_moments=False, emission=False)
        made = recipe.simulate(n, stream("beside pPXF", seed), 60.0, redshift=redshift)
        ours, fitted = tool.denoise(made.observed).parameters["sigma"][0], method(made.observed)
        theirs, truth = fitted.values["sigma"], made.parameters["sigma"]
        for low, high in pairwise((20, 100, 200, 500)):
            rows = (truth >= low) & (truth < high) & ~fitted.failed
            differences = (ours - truth, theirs - truth, ours - theirs)
            cells = [f"{np.median(one[rows]):+.1f}" if rows.any() else "" for one in differences]
            table.add_row(instrument, f"{low}–{high}", str(int(rows.sum())), *cells)
    return table


def _scatter(values: FloatArray) -> float:
    return float(MAD_TO_SIGMA * np.median(np.abs(values - np.median(values))))


def _bright_sets(real: RealSpectra, most: int) -> Iterator[tuple[str, Spectra]]:
    """Distinct spectra of S/N 20 to 150, by data set."""
    sets = {f"SAMI {cube}": real.sami(cube) for cube in ("230776_A", "572402_A")}
    sets |= {name: real.fetched(name) for name in ("manga", "ngc3522", "ngc3073")}
    sets |= {name: real.sdss(name) for name in _EPOCHS}
    for name, spectra in sets.items():
        if spectra is not None:
            bright = distinct_bright(spectra, _COMPARED[0])
            bright = bright[np.flatnonzero(bright.snr < _COMPARED[1])[:most]]
            if len(bright):
                yield name, bright


def telluric_table(prior: SpectralPrior, real: RealSpectra) -> Table:
    """Tabulate what is left where the air absorbs, beside what is left within 300 Å of it.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    real : RealSpectra
        Where the spectra are.

    Returns
    -------
    rich.table.Table
        A row per band and data set: rms of the residuals over the errors, `noise_scale` included, inside the band and
        beside it.
    """
    tool = KinematicPosterior("posterior", prior)
    table = Table("band", "observed, Å", "data", "spectra", "pixels", "rms of pulls inside", "beside")
    for name, spectra in _bright_sets(real, _MOST_TELLURIC):
        found = tool.denoise(spectra)
        pulls = found.residual * np.sqrt(spectra.ivar) / found.noise_scale[:, None]
        for band, (low, high) in _TELLURIC.items():
            inside = (spectra.wavelength > low) & (spectra.wavelength < high)
            beside = ~inside & (spectra.wavelength > low - _BESIDE) & (spectra.wavelength < high + _BESIDE)
            n = int((found.counted & inside).sum())
            if n:
                rms = [float(np.sqrt(np.mean(pulls[found.counted & which] ** 2))) for which in (inside, beside)]
                table.add_row(
                    band, f"{low:g}–{high:g}", name, str(len(spectra)), str(n), *(f"{one:.2f}" for one in rms)
                )
    return table


def wrong_redshift_table(prior: SpectralPrior, real: RealSpectra) -> Table:
    """Tabulate how far velocities are from the right ones where the given redshift is wrong.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    real : RealSpectra
        Where the spectra are.

    Returns
    -------
    rich.table.Table
        A row per error of the redshift: number of spectra, largest difference from the velocity found at the right
        redshift over the error of one, median error, and how many differ by more than 3σ without any flag.
    """
    tool = KinematicPosterior("posterior", prior)
    sets = [spectra for _, spectra in _with_known_redshift(real)]
    right = [tool.denoise(spectra).parameters["velocity"][0] for spectra in sets]
    table = Table("redshift off by, km/s", "n", "largest difference / σ", "median σ(V), km/s", "wrong and unflagged")
    for off in _OFF:
        pulls, errors, silent = [], [], 0
        for spectra, expected in zip(sets, right, strict=True):
            moved = spectra.with_redshift((1 + spectra.redshift) * np.exp(off / SPEED_OF_LIGHT) - 1)
            found = tool.denoise(moved)
            velocity, error = found.parameters["velocity"]
            pull = (velocity + off - expected) / error
            pulls.append(pull)
            errors.append(error)
            silent += int(np.sum((np.abs(pull) > 3) & (found.flags == 0)))
        largest, typical = np.max(np.abs(np.concatenate(pulls))), np.median(np.concatenate(errors))
        table.add_row(f"{off:+.0f}", str(sum(map(len, pulls))), f"{largest:.2f}", f"{typical:.1f}", str(silent))
    return table


def _with_known_redshift(real: RealSpectra) -> Iterator[tuple[str, Spectra]]:
    for name, spectra in _bright_sets(real, _SOME):
        if not name.startswith(("SAMI 230776", "manga")):
            yield name, spectra
