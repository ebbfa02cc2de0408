"""The paper's protocol: denoise the same simulated spectra with every model at several S/N, and score against truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.denoisers.base import finish
from quietspec.evaluation.scores import coverage, line_reductions, recovery_rate, rms, rms_reduction
from quietspec.simulate import PaperRecipe, paper_spectra
from quietspec.spectra import Flag
from quietspec.wavelengths import LINE_WINDOWS, rest_air

if TYPE_CHECKING:
    import astropy.units as u

    from quietspec.denoisers.base import Denoiser
    from quietspec.simulate import Recipe, RestSpectra, Simulated
    from quietspec.spectra import Denoised, FloatArray, Spectra

__all__ = ["BATCH", "NOISY", "Evaluation", "Example", "Scores", "Unchanged", "evaluate"]

BATCH = 100  #: spectra simulated at a time; a recipe that draws one instrument a call draws a new one for each
NOISY = "noisy"  #: name under which the input itself is scored


class Unchanged:
    """The denoiser that does nothing: what every other has to beat."""

    name = NOISY

    def denoise(self, spectra: Spectra) -> Denoised:
        """Return flux and errors as they are."""
        return finish(spectra, np.where(spectra.good, spectra.flux, np.nan), spectra.sigma, model=self.name)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Scores of one model at one S/N.

    Parameters
    ----------
    rms, reduction, recovery : (n,)
        Of each spectrum: RMS residual in the flux's unit, `rms_reduction`, `recovery_rate`.
    lines : mapping of str to (n,)
        `rms_reduction` in each of `LINE_WINDOWS`.
    coverage68, coverage95 : float or None
        Fraction of all pixels whose truth lies within ±1σ and ±1.96σ; nominal are 0.6827 and 0.95. None where there is
        no pixel.
    seconds_per_spectrum : float
        Wall time of `denoise`.
    failed, flagged : float
        Fraction of spectra without a result, and with any flag.
    """

    rms: FloatArray
    reduction: FloatArray
    recovery: FloatArray
    lines: Mapping[str, FloatArray]
    coverage68: float | None
    coverage95: float | None
    seconds_per_spectrum: float
    failed: float
    flagged: float

    def to_json(self) -> dict[str, Any]:
        """Summarise as plain numbers, fractions not percent; None for what is not defined."""
        return {
            "rms": _mean(self.rms),
            "rms_reduction": _mean(self.reduction),
            "rms_reduction_std": _std(self.reduction),
            "rms_reduction_quartiles": _quartiles(self.reduction),
            "recovery": _mean(self.recovery),
            "recovery_std": _std(self.recovery),
            "lines": {name: _mean(values) for name, values in self.lines.items()},
            "lines_std": {name: _std(values) for name, values in self.lines.items()},
            "coverage68": self.coverage68,
            "coverage95": self.coverage95,
            "seconds_per_spectrum": self.seconds_per_spectrum,
            "failed": self.failed,
            "flagged": self.flagged,
        }


def _defined(values: FloatArray) -> FloatArray:
    return values[np.isfinite(values)]


def _mean(values: FloatArray) -> float | None:
    defined = _defined(values)
    return float(defined.mean()) if defined.size else None


def _std(values: FloatArray) -> float | None:
    defined = _defined(values)
    return float(defined.std()) if defined.size else None


def _quartiles(values: FloatArray) -> list[float] | None:
    defined = _defined(values)
    return np.quantile(defined, (0.25, 0.5, 0.75)).tolist() if defined.size else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """One spectrum at one S/N with what each model made of it, for figures.

    Parameters
    ----------
    snr : float
        The S/N asked for.
    wavelength : (n_pixels,)
        Rest-frame air Å.
    unit : astropy unit
        Of the fluxes.
    truth, noisy : (n_pixels,)
        Without and with noise.
    estimates : mapping of str to ((n_pixels,), (n_pixels,))
        Flux and 1σ error by model.
    """

    snr: float
    wavelength: FloatArray
    unit: u.UnitBase
    truth: FloatArray
    noisy: FloatArray
    estimates: Mapping[str, tuple[FloatArray, FloatArray]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What `evaluate` found.

    Parameters
    ----------
    recipe : str
        Name of the simulated world.
    n, seed : int
        Number of spectra, and seed of their noise.
    snrs : (n_snr,)
        The S/N asked for.
    scores : mapping of str to mapping of float to Scores
        By model, then S/N; the model ``'noisy'`` is the input itself.
    examples : sequence of Example
        One spectrum at each S/N.
    """

    recipe: str
    n: int
    seed: int
    snrs: tuple[float, ...]
    scores: Mapping[str, Mapping[float, Scores]]
    examples: Sequence[Example]

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, without the input itself."""
        return tuple(name for name in self.scores if name != NOISY)

    def ratio_to(self, reference: str) -> dict[str, dict[float, float]]:
        """Mean residual (1 − reduction) of each model over that of a reference model, by model and S/N."""
        residual = {
            name: {snr: 1 - float(np.mean(_defined(scores.reduction))) for snr, scores in by_snr.items()}
            for name, by_snr in self.scores.items()
        }
        return {
            name: {snr: value / residual[reference][snr] for snr, value in by_snr.items()}
            for name, by_snr in residual.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Summarise as a dictionary that `json.dumps` takes; S/N are keys such as ``"5"``."""
        return {
            "recipe": self.recipe,
            "n": self.n,
            "seed": self.seed,
            "snr": list(self.snrs),
            "models": {
                name: {f"{snr:g}": scores.to_json() for snr, scores in by_snr.items()}
                for name, by_snr in self.scores.items()
            },
        }


def evaluate(
    recipe: Recipe,
    denoisers: Mapping[str, Denoiser],
    snrs: Sequence[float],
    n: int,
    *,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Evaluation:
    """Score denoisers on simulated spectra, all on the same spectra with the same noise.

    Parameters
    ----------
    recipe : Recipe
        The simulated world. Of the recipe `paper`, the first `n` spectra of the test part are used.
    denoisers : mapping of str to Denoiser
        What to score, by the name it shall have.
    snrs : sequence of float
        S/N at which the same noise-free spectra are observed.
    n : int
        Number of spectra.
    seed : int, optional
        Seed of the noise (and of the spectra, except of the recipe `paper`). The result at one S/N does not depend on
        which others are asked for.
    progress : callable, optional
        Called with the fraction done.

    Returns
    -------
    Evaluation
        Scores of every model and of the noisy input.

    Raises
    ------
    ValueError
        If `n` is not positive, no S/N is given, one is not positive, or a model is called ``'noisy'``.
    """
    levels = tuple(float(snr) for snr in snrs)
    if n < 1 or not levels or min(levels) <= 0 or NOISY in denoisers:
        raise ValueError(f"evaluate: n={n}, snr={levels}: give at least one spectrum and S/N > 0, no model {NOISY!r}.")
    models: dict[str, Denoiser] = {NOISY: Unchanged(), **denoisers}
    tallies = {name: {snr: _Tally() for snr in levels} for name in models}
    examples: list[Example] = []
    done = 0
    for number, rest in enumerate(_test_spectra(recipe, n, seed)):
        for snr in levels:
            rng = np.random.default_rng((seed, number, round(1e6 * snr)))
            simulated = recipe.observe(rest, rng, snr)
            denoised = {name: tallies[name][snr].add(model, simulated) for name, model in models.items()}
            if number == 0:
                examples.append(_example(snr, simulated, denoised))
            done += len(rest)
            if progress is not None:
                progress(done / (n * len(levels)))
    return Evaluation(
        recipe=recipe.name,
        n=n,
        seed=seed,
        snrs=levels,
        scores={name: {snr: tally.scores() for snr, tally in by_snr.items()} for name, by_snr in tallies.items()},
        examples=examples,
    )


def _test_spectra(recipe: Recipe, n: int, seed: int) -> Iterator[RestSpectra]:
    """Noise-free spectra, `BATCH` at a time."""
    if isinstance(recipe, PaperRecipe):
        for chunk in paper_spectra(recipe, "test", 0, n):
            yield from (chunk[start : start + BATCH] for start in range(0, len(chunk), BATCH))
    else:
        rng = np.random.default_rng(seed)
        yield from (recipe.rest(min(BATCH, n - start), rng) for start in range(0, n, BATCH))


class _Tally:
    """Scores of one model at one S/N as the batches come in."""

    def __init__(self) -> None:
        self._parts: list[dict[str, FloatArray]] = []
        self._seconds = 0.0

    def add(self, model: Denoiser, simulated: Simulated) -> Denoised:
        start = time.perf_counter()
        denoised = model.denoise(simulated.observed)
        self._seconds += time.perf_counter() - start
        self._parts.append(_score(simulated, denoised))
        return denoised

    def scores(self) -> Scores:
        joined = {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        return Scores(
            **{name: joined[name] for name in ("rms", "reduction", "recovery")},
            lines={line: joined[line] for line in LINE_WINDOWS},
            coverage68=_weighted(joined["coverage68"], joined["pixels"]),
            coverage95=_weighted(joined["coverage95"], joined["pixels"]),
            seconds_per_spectrum=self._seconds / len(joined["rms"]),
            failed=float(np.mean(joined["failed"])),
            flagged=float(np.mean(joined["flagged"])),
        )


def _weighted(fractions: FloatArray, pixels: FloatArray) -> float | None:
    return float(np.nansum(fractions * pixels) / pixels.sum()) if pixels.any() else None


def _score(simulated: Simulated, denoised: Denoised) -> dict[str, FloatArray]:
    observed, truth = simulated.observed, simulated.truth
    counted = observed.good & np.isfinite(truth) & denoised.valid
    flux, noisy = denoised.flux, observed.flux
    return {
        "rms": rms(flux - truth, counted),
        "reduction": rms_reduction(truth, noisy, flux, counted),
        "recovery": recovery_rate(truth, flux, counted),
        "coverage68": coverage(truth, flux, denoised.sigma, 0.6827, counted),
        "coverage95": coverage(truth, flux, denoised.sigma, 0.95, counted),
        "pixels": counted.sum(axis=1).astype(np.float64),
        "failed": np.array([Flag(int(flag)).failed for flag in denoised.flags]) | ~counted.any(axis=1),
        "flagged": denoised.flags != 0,
        **_line_scores(simulated, flux),
    }


def _line_scores(simulated: Simulated, flux: FloatArray) -> dict[str, FloatArray]:
    """`line_reductions` in the rest frame of each spectrum."""
    observed, truth = simulated.observed, simulated.truth
    scores = {name: np.full(len(observed), np.nan) for name in LINE_WINDOWS}
    for redshift in np.unique(observed.redshift[np.isfinite(observed.redshift)]):
        rows = observed.redshift == redshift
        wavelength = rest_air(observed.wavelength, float(redshift), observed.medium)
        arrays = (values[rows] for values in (truth, observed.flux, flux, observed.good))
        for name, values in line_reductions(wavelength, *arrays).items():
            scores[name][rows] = values
    return scores


def _example(snr: float, simulated: Simulated, denoised: Mapping[str, Denoised]) -> Example:
    observed = simulated.observed
    return Example(
        snr=snr,
        wavelength=rest_air(observed.wavelength, float(observed.redshift[0]), observed.medium),
        unit=observed.unit,
        truth=simulated.truth[0],
        noisy=np.where(observed.good[0], observed.flux[0], np.nan),
        estimates={name: (result.flux[0], result.sigma[0]) for name, result in denoised.items() if name != NOISY},
    )
