"""Emission-line fluxes of simulated spectra by the posterior and by what else people do, on the same spectra."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from quietspec.arrays import BoolArray, BySpectrum, FloatArray
from quietspec.denoisers import KinematicPosterior, SpectralPrior
from quietspec.io.writing.atomic import whole_file
from quietspec.lab.evaluation.line_contenders import LINES, LineFluxes, by_posterior, by_subtraction, rest_pixels
from quietspec.lab.evaluation.line_ppxf import PpxfLines
from quietspec.lab.evaluation.studies.line_fluxes import BATCHES, LineSettings, observed_lines
from quietspec.lab.simulate import Simulated, SurveyRecipe
from quietspec.lab.simulate.emission import Gas
from quietspec.lab.streams import stream
from quietspec.spectra import Spectra
from quietspec.statistics import MAD_TO_SIGMA, robust_scatter
from quietspec.templates import SspLibrary
from quietspec.wavelengths import EMISSION_LINES, FWHM_PER_SIGMA, SPEED_OF_LIGHT

__all__ = ["ContenderSettings", "ScoredLines", "contender_study", "contender_tables", "photon_noise", "score"]

_OURS, _BOOTSTRAP = "posterior", "pPXF, bootstrap"
_COMPARED = ("Hbeta", "Halpha")
_FALSE = 3.0  # σ
_DRAWS = 300  # of the bootstrap over spectra

Measure = Callable[[Spectra], LineFluxes]


@dataclass(frozen=True)
class ContenderSettings:
    """What is simulated, and how pPXF is run.

    Parameters
    ----------
    lines : LineSettings
        The spectra.
    bootstrapped : int
        Number of spectra for each S/N whose errors pPXF gets by bootstrap; the first of each batch.
    draws : int
        Refits of each of them.
    multiplicative : int
        Degree of pPXF's multiplicative polynomial.
    """

    lines: LineSettings
    bootstrapped: int = 16
    draws: int = 30
    multiplicative: int = 8


@dataclass(frozen=True, eq=False)
class ScoredLines(BySpectrum):
    """Fluxes as measured and as they are, (n_spectra, n_lines) each.

    Parameters
    ----------
    flux, error : (n_spectra, n_lines)
        Measured fluxes and their 1σ errors.
    truth : (n_spectra, n_lines)
        True fluxes.
    photon : (n_spectra, n_lines)
        Error by the noise of the pixels alone, continuum and motions known.
    """

    flux: FloatArray
    error: FloatArray
    truth: FloatArray
    photon: FloatArray


def contender_study(
    library: SspLibrary,
    prior: SpectralPrior,
    recipe: SurveyRecipe,
    settings: ContenderSettings,
    store: Path | None = None,
) -> dict[str, Any]:
    """Measure lines of the same spectra in several ways.

    Parameters
    ----------
    library : SspLibrary
        Templates of pPXF.
    prior : SpectralPrior
        Of the posterior.
    recipe : SurveyRecipe
        Galaxies.
    settings : ContenderSettings
        What is simulated.
    store : Path, optional
        Folder that keeps the fluxes of finished batches; a study of the same settings goes on from it.

    Returns
    -------
    dict
        ``settings``; ``scores``: a row per S/N, contender and line; ``errors``: errors of the posterior over those of
        each contender, a row per S/N, contender and line.
    """
    ways = _ways(library, prior, settings)
    scores, errors = [], []
    for snr in settings.lines.snrs:
        found = _measured(recipe, snr, ways, settings, store)
        for name, lines in found.items():
            scores += [{"snr": snr, "contender": name} | row for row in _scores(lines)]
            if name not in (_OURS, _BOOTSTRAP):
                errors += [{"snr": snr, "contender": name} | row for row in _against(found[_OURS], lines)]
    return {"settings": asdict(settings) | {"library": library.name}, "scores": scores, "errors": errors}


def _ways(library: SspLibrary, prior: SpectralPrior, settings: ContenderSettings) -> dict[str, Measure]:
    fit, mask = (KinematicPosterior("posterior", prior, emission=how) for how in ("fit", "auto"))
    ways: dict[str, Measure] = {
        _OURS: lambda spectra: by_posterior(fit.denoise(spectra)),
        "subtract, then Gaussians": lambda spectra: by_subtraction(spectra, mask.denoise(spectra)),
        "pPXF, formal": PpxfLines(library, settings.multiplicative),
    }
    if not settings.bootstrapped:
        return ways
    return ways | {_BOOTSTRAP: PpxfLines(library, settings.multiplicative, settings.draws)}


def _measured(
    recipe: SurveyRecipe, snr: float, ways: Mapping[str, Measure], settings: ContenderSettings, store: Path | None
) -> dict[str, ScoredLines]:
    parts: dict[str, list[ScoredLines]] = {name: [] for name in ways}
    left = settings.bootstrapped
    for number, (made, gas) in enumerate(observed_lines(recipe, snr, settings.lines)):
        few = -(-left // (BATCHES - number))
        left -= few
        for place, (name, measure) in enumerate(ways.items()):
            rows = slice(few if name == _BOOTSTRAP else None)
            kept = store and store / f"{snr:g}_{number}_{place}.npz"
            parts[name].append(_kept(made[rows], gas[rows], measure, kept))
    return {name: ScoredLines.stack(each) for name, each in parts.items()}


def _kept(made: Simulated, gas: Gas, measure: Measure, path: Path | None) -> ScoredLines:
    """Lines as measured, or as an earlier run left them in a file."""
    if path is not None and path.exists():
        with np.load(path) as arrays:
            return ScoredLines(**arrays)
    if not len(made):
        none = LineFluxes.unknown(0)
        return ScoredLines(none.flux, none.error, none.flux, none.flux)
    found = measure(made.observed)
    lines = ScoredLines(found.flux, found.error, _true_fluxes(made, gas), photon_noise(made, gas))
    if path is not None:
        with whole_file(path, overwrite=True) as partial, partial.open("wb") as file:
            np.savez(file, **vars(lines))
    return lines


def _true_fluxes(made: Simulated, gas: Gas) -> FloatArray:
    names = list(EMISSION_LINES)
    sums = [gas.flux[:, [names.index(part) for part in parts]].sum(axis=1) for parts in LINES.values()]
    return np.stack(sums, axis=1) * (1 + made.observed.redshift[:, None])


def photon_noise(made: Simulated, gas: Gas) -> FloatArray:
    """1σ errors of line fluxes by the noise of the pixels alone, as a matched filter gives them.

    Parameters
    ----------
    made : Simulated
        Spectra of one redshift and resolution.
    gas : Gas
        Their motions.

    Returns
    -------
    (n_spectra, n_lines)
        For the lines of `LINES`, observed Å; for sums of lines, as if their parts were equal.
    """
    spectra = made.observed
    z, rest, fwhm = rest_pixels(spectra)
    good = spectra.good if made.contaminated is None else spectra.good & ~made.contaminated
    pull = np.where(good, spectra.flux - made.truth, 0.0) * np.sqrt(spectra.ivar)
    sigma = robust_scatter(pull, good)[:, None] / np.sqrt(np.where(spectra.good, spectra.ivar, np.inf))
    weight = np.divide(1.0, sigma**2, out=np.zeros(sigma.shape), where=spectra.good)
    side = _side(made.parameters["noise_correlation"])[:, None]
    found = np.full((len(spectra), len(LINES)), np.nan)
    for number, parts in enumerate(LINES.values()):
        profile = np.mean([_profiles(EMISSION_LINES[part], rest, fwhm, gas) for part in parts], axis=0)
        information = (weight * profile**2).sum(axis=1)
        filtered = np.pad(weight * profile * sigma, ((0, 0), (1, 1)))
        mixed = filtered[:, 1:-1] + side * (filtered[:, 2:] + filtered[:, :-2])
        variance = (mixed**2).sum(axis=1) / (1 + 2 * side[:, 0] ** 2)
        seen = information > 0
        found[seen, number] = np.sqrt(variance[seen]) / information[seen] * (1 + z)
    return found


def _side(correlation: FloatArray) -> FloatArray:
    """Weight a of the neighbours in noise that is a moving average (a, 1, a), of a lag-1 correlation."""
    tiny = np.maximum(correlation, 1e-6)
    return np.asarray((1 - np.sqrt(1 - 2 * tiny**2)) / (2 * tiny))


def _profiles(wavelength: float, rest: FloatArray, fwhm: FloatArray, gas: Gas) -> FloatArray:
    centre = wavelength * (1 + gas.velocity / SPEED_OF_LIGHT)
    instrument = np.interp(wavelength, rest, fwhm) / FWHM_PER_SIGMA
    sigma = np.hypot(instrument, wavelength * gas.sigma / SPEED_OF_LIGHT)[:, None]
    return np.asarray(np.exp(-0.5 * ((rest - centre[:, None]) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi)))


def _scores(lines: ScoredLines) -> Iterator[dict[str, Any]]:
    for number, name in enumerate(LINES):
        one = ScoredLines(*(values[:, number] for values in (lines.flux, lines.error, lines.truth, lines.photon)))
        one = one[np.isfinite(one.flux) & (one.error > 0)]
        if len(one.flux) > 1:
            yield {"line": name} | score(one)


def score(line: ScoredLines) -> dict[str, Any]:
    """Score fluxes of one line.

    Parameters
    ----------
    line : ScoredLines
        Arrays of (n_spectra,).

    Returns
    -------
    dict
        Coverage of 68 and 95 %, slope of measured against true flux weighted by the errors, 1.48 × the median error
        over that by photons, each with its own 1σ error; of spectra without gas (`bare`), the mean flux over its error,
        and the share beyond 3σ. None where there is nothing to count.
    """
    n, pulls = len(line.flux), (line.flux - line.truth) / line.error
    bare = line.truth == 0
    found: dict[str, Any] = {"n": n, "bare": int(bare.sum())}
    for name, limit in (("cover68", 1.0), ("cover95", 1.96)):
        found[name] = _share(np.abs(pulls) < limit)
    rng = stream("bootstrap", 0)
    rows = rng.integers(n, size=(_DRAWS, n))
    for name, statistic in (("slope", _slope), ("error_over_photon", _size)):
        found[name] = _known(statistic(line), float(np.nanstd([statistic(line[some]) for some in rows])))
    without = pulls[bare]
    found["mean_without"] = (float(without.mean()), len(without) ** -0.5) if len(without) else None
    found["false"] = _share(without > _FALSE) if len(without) else None
    return found


def _known(value: float, error: float) -> tuple[float, float] | None:
    """A number and its error, or None where either is not finite, as JSON knows no NaN."""
    return (value, error) if np.isfinite([value, error]).all() else None


def _share(hits: BoolArray) -> tuple[float, float]:
    """Share of hits, and its 1σ error with a hit and a miss added, so that it is never 0."""
    n, mean = len(hits), (hits.sum() + 1) / (len(hits) + 2)
    return float(hits.mean()), float(np.sqrt(mean * (1 - mean) / (n + 2)))


def _slope(line: ScoredLines) -> float:
    power = np.sum(line.truth**2 / line.error**2)
    return float(np.sum(line.truth * line.flux / line.error**2) / power) if power else np.nan


def _size(line: ScoredLines) -> float:
    return MAD_TO_SIGMA * float(np.nanmedian(np.abs(line.flux - line.truth) / line.photon))


def _against(ours: ScoredLines, other: ScoredLines) -> Iterator[dict[str, Any]]:
    """Errors of ours over those of another contender, on the same spectra: medians, and rms."""
    rng = stream("bootstrap", 0)
    for name in _COMPARED:
        number = list(LINES).index(name)
        sizes = [np.abs(one.flux - one.truth)[:, number] / one.photon[:, number] for one in (ours, other)]
        both = np.stack(sizes)
        both = both[:, np.isfinite(both).all(axis=0)]
        if both.shape[1] < 2:
            continue
        rows = rng.integers(both.shape[1], size=(_DRAWS, both.shape[1]))
        row: dict[str, Any] = {"line": name, "n": both.shape[1]}
        for key, statistic in (("median_ratio", np.median), ("rms_ratio", _rms)):
            drawn = [_ratio(both[:, some], statistic) for some in rows]
            row[key] = _ratio(both, statistic), float(np.std(drawn))
        yield row


def _rms(values: FloatArray, axis: int) -> FloatArray:
    return np.asarray(np.sqrt(np.mean(values**2, axis=axis)))


def _ratio(sizes: FloatArray, statistic: Callable[..., FloatArray]) -> float:
    ours, others = statistic(sizes, axis=1)
    return float(ours / others)


def contender_tables(content: Mapping[str, Any]) -> Iterator[Table]:
    """Tabulate what `contender_study` found.

    Parameters
    ----------
    content : mapping
        Its result.

    Yields
    ------
    rich.table.Table
        Scores; coverage of all lines together; errors over those of the contenders.
    """
    columns = ("cover68", "cover95", "slope", "error_over_photon", "mean_without", "false")
    titles = ("68 %", "95 %", "slope", "error / photon noise", "mean without gas / σ", "beyond 3σ without gas")
    table = Table("S/N", "contender", "line", "n", *titles, title="emission lines")
    for row in content["scores"]:
        table.add_row(
            f"{row['snr']:g}", row["contender"], row["line"], f"{row['n']}", *(_cell(row[key]) for key in columns)
        )
    yield table
    table = Table("S/N", "contender", "n", "68 %", "95 %", "beyond 3σ without gas", title="all lines together")
    for (snr, name), rows in _together(content["scores"]).items():
        shares = (_pooled(rows, key, count) for key, count in (("cover68", "n"), ("cover95", "n"), ("false", "bare")))
        table.add_row(f"{snr:g}", name, str(sum(row["n"] for row in rows)), *map(_cell, shares))
    yield table
    table = Table("S/N", "contender", "line", "n", "median error", "rms error", title="posterior over contender")
    for row in content["errors"]:
        ratios = (_cell(row[key]) for key in ("median_ratio", "rms_ratio"))
        table.add_row(f"{row['snr']:g}", row["contender"], row["line"], f"{row['n']}", *ratios)
    yield table


def _together(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[float, str], list[Mapping[str, Any]]]:
    """Rows of all lines by S/N and contender."""
    found: dict[tuple[float, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["snr"], row["contender"]), []).append(row)
    return found


def _pooled(rows: Sequence[Mapping[str, Any]], key: str, count: str) -> tuple[float, float] | None:
    """Share over all lines, and its 1σ error as if lines were independent."""
    hits = sum(round(row[key][0] * row[count]) for row in rows if row[count])
    n = sum(row[count] for row in rows)
    return _share(np.arange(n) < hits) if n else None


def _cell(value: Sequence[float] | None) -> str:
    return "–" if value is None else f"{value[0]:.3f} ± {value[1]:.3f}"
