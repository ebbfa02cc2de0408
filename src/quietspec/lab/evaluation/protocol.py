"""The paper's protocol: denoise the same simulated spectra with every model at several S/N, and score against truth."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np

from quietspec.arrays import join_rows
from quietspec.denoised import Flag, ModelId
from quietspec.denoisers.base import finish
from quietspec.lab.evaluation.between import between_galaxies
from quietspec.lab.evaluation.calibration import Calibration, measure_calibration
from quietspec.lab.evaluation.limit import Limit, LimitSettings, bayes_limit
from quietspec.lab.evaluation.result import NOISY, Evaluation, Example, LimitRatio, LimitScores, Scores
from quietspec.lab.evaluation.scores import LineScores, coverage, line_scores, recovery_rate, rms, rms_reduction
from quietspec.lab.simulate import PAPER_SEED, Draws, PaperRecipe, paper_spectra
from quietspec.lab.streams import stream
from quietspec.progress import Progress
from quietspec.wavelengths import LINE_WINDOWS, rest_air

if TYPE_CHECKING:
    from quietspec.arrays import BoolArray, FloatArray
    from quietspec.denoised import Denoised
    from quietspec.denoisers.base import Denoiser
    from quietspec.lab.simulate import Recipe, RestSpectra, Simulated
    from quietspec.spectra import Spectra

__all__ = ["BATCH", "EvaluationOptions", "Unchanged", "evaluate", "test_draws", "test_spectra"]

BATCH = 100  #: spectra simulated at a time; a recipe that draws one instrument per call draws a new one for each batch
_LINE_SCORES = tuple(score.name for score in fields(LineScores))


class Unchanged:
    """The denoiser that does nothing, which every other has to beat."""

    name = NOISY
    model = ModelId(NOISY)

    def denoise(self, spectra: Spectra) -> Denoised:
        """Return flux and errors as they are."""
        return finish(spectra, np.where(spectra.good, spectra.flux, np.nan), spectra.sigma, model=self.model)


@dataclass(frozen=True)
class EvaluationOptions:
    """What an evaluation measures besides the scores.

    Parameters
    ----------
    coverage : bool
        Whether to test the calibration of the errors (`Scores.calibration`).
    limit : int
        Number of spectra, spread over the batches, whose Bayes limit is sampled at each S/N; it takes seconds each.
    limit_settings : LimitSettings
        How long the limit is sampled.
    """

    coverage: bool = False
    limit: int = 0
    limit_settings: LimitSettings = field(default_factory=LimitSettings)


def evaluate(
    recipe: Recipe,
    denoisers: Mapping[str, Denoiser],
    snrs: Sequence[float],
    n: int,
    *,
    seed: int = 0,
    options: EvaluationOptions | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score denoisers on simulated spectra, all on the same spectra with the same noise.

    Parameters
    ----------
    recipe : Recipe
        The simulated world. Of the recipe `paper`, the first `n` spectra of a test part are used.
    denoisers : mapping of str to Denoiser
        Denoisers to score, by the names they have in the result.
    snrs : sequence of float
        S/N at which the same noise-free spectra are observed.
    n : int
        Number of spectra.
    seed : int, optional
        Seed of the spectra and of the noise. The result at one S/N does not depend on which others are evaluated; the
        galaxies are the same at all.
    options : EvaluationOptions, optional
        What else to measure: calibration of the errors, the Bayes limit.
    progress : callable, optional
        Called with the number of spectra done and their total over all S/N.

    Returns
    -------
    Evaluation
        Scores of every model and of the noisy input.

    Raises
    ------
    ValueError
        If `n` is not positive, no S/N is given, one is not positive, or a model is called ``'noisy'``.
    """
    options, levels = options or EvaluationOptions(), tuple(float(snr) for snr in snrs)
    if n < 1 or not levels or min(levels) <= 0 or NOISY in denoisers:
        raise ValueError(f"evaluate: n={n}, snr={levels}: give at least one spectrum and S/N > 0, no model {NOISY!r}.")
    models: dict[str, Denoiser] = {NOISY: Unchanged(), **denoisers}
    tallies = {snr: _Tally(recipe, models, snr, seed, options) for snr in levels}
    done = 0
    for number, rest in enumerate(test_spectra(recipe, n, seed)):
        for tally in tallies.values():
            tally.add(number, rest, _share(options.limit, n, number, len(rest)))
            done += len(rest)
            if progress is not None:
                progress(done, n * len(levels))
    return Evaluation(
        recipe=recipe.name,
        n=n,
        seed=seed,
        snrs=levels,
        scores={name: {snr: tally.scores(name) for snr, tally in tallies.items()} for name in models},
        examples=[tally.example for tally in tallies.values() if tally.example is not None],
        limits={snr: LimitScores.stack(tally.limits) for snr, tally in tallies.items() if tally.limits},
    )


def test_draws(seed: int, number: int, snr: float) -> Draws:
    """Random streams of test batch `number`: of how it is seen, the same at every S/N, and of the noise."""
    return Draws.of("tests", snr, seed, number)


def test_spectra(recipe: Recipe, n: int, seed: int) -> Iterator[RestSpectra]:
    """Draw the noise-free test spectra, `BATCH` at a time.

    Parameters
    ----------
    recipe : Recipe
        The simulated world.
    n : int
        Number of spectra; the recipe `paper` gives the first `n` of its test part.
    seed : int
        Seed of the spectra. With the recipe `paper`, 0 is the paper's split, and others are drawn like it.

    Yields
    ------
    RestSpectra
        Up to `BATCH` spectra.
    """
    if isinstance(recipe, PaperRecipe):
        for chunk in paper_spectra(recipe, "test", 0, n, (PAPER_SEED, seed)):
            yield from (chunk[start : start + BATCH] for start in range(0, len(chunk), BATCH))
    else:
        rng = stream("tests: spectra", seed)
        yield from (recipe.rest(min(BATCH, n - start), rng) for start in range(0, n, BATCH))


def _share(total: int, n: int, number: int, size: int) -> int:
    """How many of `total` spectra fall to batch `number` of `size`, if they are spread evenly over `n` spectra."""
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
    """Pixels that count: good ones of known truth that neither gas nor spikes touch, (n_spectra, n_pixels)."""
    counted = simulated.observed.good & np.isfinite(simulated.truth)
    return np.asarray(counted if simulated.contaminated is None else counted & ~simulated.contaminated)


class _Tally:
    """Scores of all models at one S/N as the batches come in."""

    def __init__(
        self, recipe: Recipe, models: Mapping[str, Denoiser], snr: float, seed: int, options: EvaluationOptions
    ) -> None:
        self._recipe, self._models, self._snr, self._seed, self._options = recipe, models, snr, seed, options
        self._scores: dict[str, list[dict[str, FloatArray]]] = {name: [] for name in models}
        self._seconds = dict.fromkeys(models, 0.0)
        self._calibrations: dict[str, list[Calibration]] = {name: [] for name in models}
        self._beside_limit: dict[str, list[FloatArray]] = {name: [] for name in models}
        self.limits: list[LimitScores] = []
        self.example: Example | None = None

    def add(self, number: int, rest: RestSpectra, n_limit: int) -> None:
        """Observe, denoise and score batch `number`; sample the limit of its first `n_limit` spectra."""
        simulated = test_draws(self._seed, number, self._snr).observe(self._recipe, rest, self._snr)
        denoised = {name: self._denoise(name, simulated) for name in self._models}
        if self._options.coverage:
            for name, result in denoised.items():
                self._calibrations[name].append(measure_calibration(simulated, result, self._rng(number, "draws")))
        if n_limit:
            self._sample_limit(simulated[:n_limit], self._rng(number, "sampler"))
        if number == 0:
            self.example = _example(self._snr, simulated, denoised)

    def _rng(self, number: int, purpose: str) -> np.random.Generator:
        return stream(f"tests: {purpose}", self._seed, number, round(1e6 * self._snr))

    def _denoise(self, name: str, simulated: Simulated) -> Denoised:
        start = time.process_time()
        denoised = self._models[name].denoise(simulated.observed)
        self._seconds[name] += time.process_time() - start
        self._scores[name].append(_score(simulated, denoised))
        return denoised

    def _sample_limit(self, simulated: Simulated, rng: np.random.Generator) -> None:
        """Sample the limit of the first spectra of the batch, and keep the residuals of the models beside it."""
        limit = bayes_limit(self._recipe, simulated, rng, self._options.limit_settings)
        self.limits.append(_limit_scores(simulated, limit))
        for name, batches in self._scores.items():
            self._beside_limit[name].append(1 - batches[-1]["reduction"][: len(simulated)])

    def scores(self, name: str) -> Scores:
        """Scores of one model over all batches."""
        joined: dict[str, FloatArray] = join_rows(self._scores[name])
        calibrations, beside = self._calibrations[name], self._beside_limit[name]
        return Scores(
            **{score: joined[score] for score in ("rms", "reduction", "recovery")},
            reduction_error=between_galaxies([one["reduction"] for one in self._scores[name]]),
            lines={
                line: LineScores(**{score: joined[f"line_{score}"][:, column] for score in _LINE_SCORES})
                for column, line in enumerate(LINE_WINDOWS)
            },
            coverage68=_weighted(joined["coverage68"], joined["pixels"]),
            coverage95=_weighted(joined["coverage95"], joined["pixels"]),
            coverage68_error=self._coverage_error(name, "coverage68"),
            coverage95_error=self._coverage_error(name, "coverage95"),
            seconds_per_spectrum=self._seconds[name] / len(joined["rms"]),
            failed=float(np.mean(joined["failed"])),
            flagged=float(np.mean(joined["flagged"])),
            calibration=Calibration.stack(calibrations) if calibrations else None,
            limit_ratio=LimitRatio.of(np.concatenate(beside), LimitScores.stack(self.limits)) if beside else None,
        )

    def _coverage_error(self, name: str, score: str) -> float | None:
        batches = self._scores[name]
        return between_galaxies([one[score] for one in batches], [one["pixels"] for one in batches])


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
    """`line_scores` in the rest frame of each spectrum: arrays (n_spectra, n_lines), their names prefixed ``line_``."""
    observed, truth = simulated.observed, simulated.truth
    scores = {name: np.full((len(observed), len(LINE_WINDOWS)), np.nan) for name in _LINE_SCORES}
    for redshift, rows in observed.by_redshift():
        wavelength = rest_air(observed.wavelength, redshift, observed.medium)
        clean, noisy, denoised = (values[rows] for values in (truth, observed.flux, flux))
        by_line = line_scores(wavelength, clean, noisy, denoised, observed.good[rows])
        for column, line in enumerate(by_line.values()):
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
