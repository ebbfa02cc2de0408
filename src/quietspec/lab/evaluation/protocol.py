"""The paper's protocol: denoise the same simulated spectra with every model at several S/N, and score against truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from quietspec.denoised import Flag, ModelId
from quietspec.denoisers.base import finish
from quietspec.lab.evaluation.calibration import Calibration, measure_calibration
from quietspec.lab.evaluation.limit import Limit, LimitSettings, bayes_limit
from quietspec.lab.evaluation.result import NOISY, Evaluation, Example, LimitRatio, LimitScores, Scores
from quietspec.lab.evaluation.scores import LineScores, coverage, line_scores, recovery_rate, rms, rms_reduction
from quietspec.lab.simulate import PaperRecipe, paper_spectra
from quietspec.wavelengths import LINE_WINDOWS, rest_air

if TYPE_CHECKING:
    from quietspec.arrays import BoolArray, FloatArray
    from quietspec.denoised import Denoised
    from quietspec.denoisers.base import Denoiser
    from quietspec.lab.simulate import Recipe, RestSpectra, Simulated
    from quietspec.spectra import Spectra

__all__ = ["BATCH", "Unchanged", "evaluate", "noise_rng", "test_spectra"]

BATCH = 100  #: spectra simulated at a time; a recipe that draws one instrument a call draws a new one for each
_DRAWS, _SAMPLER = 1, 2  # children of the seed of the noise
_LINE_SCORES = tuple(field.name for field in fields(LineScores))


class Unchanged:
    """The denoiser that does nothing: what every other has to beat."""

    name = NOISY
    model = ModelId(NOISY)

    def denoise(self, spectra: Spectra) -> Denoised:
        """Return flux and errors as they are."""
        return finish(spectra, np.where(spectra.good, spectra.flux, np.nan), spectra.sigma, model=self.model)


def evaluate(
    recipe: Recipe,
    denoisers: Mapping[str, Denoiser],
    snrs: Sequence[float],
    n: int,
    *,
    seed: int = 0,
    coverage: bool = False,
    limit: int = 0,
    limit_settings: LimitSettings | None = None,
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
    coverage : bool, optional
        Whether to test the calibration of the errors as well (`Scores.calibration`).
    limit : int, optional
        Number of spectra, spread over the batches, whose Bayes limit is sampled at each S/N; seconds each.
    limit_settings : LimitSettings, optional
        How long it is sampled.
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
    limits: dict[float, list[LimitScores]] = {snr: [] for snr in levels}
    examples: list[Example] = []
    done = 0
    for number, rest in enumerate(test_spectra(recipe, n, seed)):
        for snr in levels:
            simulated = recipe.observe(rest, noise_rng(seed, number, snr), snr)
            denoised = {name: tallies[name][snr].add(model, simulated) for name, model in models.items()}
            if coverage:
                for name, result in denoised.items():
                    draws = np.random.default_rng((seed, number, round(1e6 * snr), _DRAWS))
                    tallies[name][snr].calibrations.append(measure_calibration(simulated, result, draws))
            sampled = slice(0, _share(limit, n, number, len(rest)))
            if sampled.stop:
                sampler = np.random.default_rng((seed, number, round(1e6 * snr), _SAMPLER))
                some = simulated[sampled]
                limits[snr].append(_limit_scores(some, bayes_limit(recipe, some, sampler, limit_settings)))
                for by_snr in tallies.values():
                    by_snr[snr].sample(sampled)
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
        scores={
            name: {snr: tally.scores(limits[snr]) for snr, tally in by_snr.items()} for name, by_snr in tallies.items()
        },
        examples=examples,
        limits={snr: LimitScores.join(parts) for snr, parts in limits.items() if parts},
    )


def noise_rng(seed: int, number: int, snr: float) -> np.random.Generator:
    """Random stream of the noise of test batch `number` at an S/N."""
    return np.random.default_rng((seed, number, round(1e6 * snr)))


def test_spectra(recipe: Recipe, n: int, seed: int) -> Iterator[RestSpectra]:
    """Draw the noise-free test spectra, `BATCH` at a time.

    Parameters
    ----------
    recipe : Recipe
        The simulated world.
    n : int
        Number of spectra; of the recipe `paper` the first of its test part.
    seed : int
        Seed of the spectra (not used by the recipe `paper`).

    Yields
    ------
    RestSpectra
        Up to `BATCH` spectra.
    """
    if isinstance(recipe, PaperRecipe):
        for chunk in paper_spectra(recipe, "test", 0, n):
            yield from (chunk[start : start + BATCH] for start in range(0, len(chunk), BATCH))
    else:
        rng = np.random.default_rng(seed)
        yield from (recipe.rest(min(BATCH, n - start), rng) for start in range(0, n, BATCH))


def _share(total: int, n: int, number: int, size: int) -> int:
    """Spectra of batch `number` in an even share of `total` over batches of `BATCH` among `n` spectra."""
    n_batches = -(-n // BATCH)
    return min(size, total * (number + 1) // n_batches - total * number // n_batches)


def _limit_scores(simulated: Simulated, limit: Limit) -> LimitScores:
    counted = _counted(simulated)
    noise = rms(simulated.observed.flux - simulated.truth, counted)
    return LimitScores(
        residual=limit.rms(simulated.truth, counted) / noise,
        sampling_error=limit.error(counted) / noise,
        effective=limit.effective,
        drift=limit.drift,
    )


def _counted(simulated: Simulated) -> BoolArray:
    return np.asarray(simulated.observed.good & np.isfinite(simulated.truth))


class _Tally:
    """Scores of one model at one S/N as the batches come in."""

    def __init__(self) -> None:
        self._parts: list[dict[str, FloatArray]] = []
        self._seconds = 0.0
        self.calibrations: list[Calibration] = []
        self._beside_limit: list[FloatArray] = []

    def add(self, model: Denoiser, simulated: Simulated) -> Denoised:
        start = time.perf_counter()
        denoised = model.denoise(simulated.observed)
        self._seconds += time.perf_counter() - start
        self._parts.append(_score(simulated, denoised))
        return denoised

    def sample(self, rows: slice) -> None:
        """Keep the residuals of some spectra of the last batch, over the noise's, to stand beside the limit's."""
        self._beside_limit.append(1 - self._parts[-1]["reduction"][rows])

    def scores(self, limits: Sequence[LimitScores]) -> Scores:
        joined = {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        return Scores(
            **{name: joined[name] for name in ("rms", "reduction", "recovery")},
            lines={
                line: LineScores(**{name: joined[f"line_{name}"][:, column] for name in _LINE_SCORES})
                for column, line in enumerate(LINE_WINDOWS)
            },
            coverage68=_weighted(joined["coverage68"], joined["pixels"]),
            coverage95=_weighted(joined["coverage95"], joined["pixels"]),
            seconds_per_spectrum=self._seconds / len(joined["rms"]),
            failed=float(np.mean(joined["failed"])),
            flagged=float(np.mean(joined["flagged"])),
            calibration=Calibration.join(self.calibrations) if self.calibrations else None,
            limit_ratio=LimitRatio.of(np.concatenate(self._beside_limit), LimitScores.join(limits)) if limits else None,
        )


def _weighted(fractions: FloatArray, pixels: FloatArray) -> float | None:
    return float(np.nansum(fractions * pixels) / pixels.sum()) if pixels.any() else None


def _score(simulated: Simulated, denoised: Denoised) -> dict[str, FloatArray]:
    observed, truth = simulated.observed, simulated.truth
    counted = _counted(simulated) & denoised.valid
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
    """`line_scores` in the rest frame of each spectrum: arrays (n_spectra, n_lines), named with ``line_`` in front."""
    observed, truth = simulated.observed, simulated.truth
    scores = {name: np.full((len(observed), len(LINE_WINDOWS)), np.nan) for name in _LINE_SCORES}
    for redshift in np.unique(observed.redshift[np.isfinite(observed.redshift)]):
        rows = observed.redshift == redshift
        wavelength = rest_air(observed.wavelength, float(redshift), observed.medium)
        arrays = (values[rows] for values in (truth, observed.flux, flux, observed.good))
        for column, line in enumerate(line_scores(wavelength, *arrays).values()):
            for name, values in scores.items():
                values[rows, column] = getattr(line, name)
    return {f"line_{name}": values for name, values in scores.items()}


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
