"""How much denoisers lose on spoilt spectra: loss against amount, on the same galaxies and noise.

`stress_test` scores denoisers at each amount of a `Stress` against the unspoilt observation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.arrays import BySpectrum
from quietspec.denoised import Flag
from quietspec.lab.evaluation.scores import coverage, rms
from quietspec.lab.evaluation.stresses import Observation, Scene, Stress
from quietspec.lab.simulate.emission import random_gas
from quietspec.lab.simulate.survey import halpha_continuum
from quietspec.lab.streams import stream
from quietspec.progress import Progress
from quietspec.wavelengths import in_window, rest_air

if TYPE_CHECKING:
    from quietspec.arrays import BoolArray, FloatArray
    from quietspec.denoised import Denoised
    from quietspec.denoisers.base import Denoiser
    from quietspec.lab.simulate import SurveyRecipe

__all__ = ["StressScores", "StressTest", "scenes", "stress_test"]

_OVERCONFIDENT = 2.0  # rms of error over stated error, beyond which an unflagged spectrum is a silent failure
_LINE_SNR = 10.0  # least S/N of a line whose flux is scored
# Windows (rest-frame air Å) in which the flux of emission lines is summed, over pixels above 1 % of the peak.
_LINE_SUMS = {"Hbeta": (4780.0, 4920.0), "[OIII]": (4920.0, 5090.0), "Halpha+[NII]": (6400.0, 6690.0)}


@dataclass(frozen=True, kw_only=True, eq=False)
class StressScores(BySpectrum):
    """Scores of one model at one amount, each (n_spectra,); NaN where undefined.

    The reduction is 1 − rms(estimate − truth) / rms(true 1σ noise): what spoils the input does not count as noise.

    Parameters
    ----------
    reduction, loss : (n_spectra,)
        Reduction on the pixels seen, and how much better it was on the same pixels at the reference amount.
    hidden_reduction, hidden_loss : (n_spectra,)
        The same on the pixels that the stress masked.
    coverage68, hidden_coverage68 : (n_spectra,)
        Fraction of pixels whose truth lies within ±1σ, on pixels seen and masked.
    pull : (n_spectra,)
        rms of (estimate − truth) / stated error on the pixels seen.
    failed, flagged : (n_spectra,)
        1 for spectra without a result, and for spectra with any flag.
    silent : (n_spectra,)
        1 for unflagged spectra whose pull exceeds 2.
    line_errors : (n_spectra, 3)
        Relative error of the flux left to emission lines of S/N > 10, without that of the noise, at Hβ, [OIII] and Hα.
    """

    reduction: FloatArray
    loss: FloatArray
    hidden_reduction: FloatArray
    hidden_loss: FloatArray
    coverage68: FloatArray
    hidden_coverage68: FloatArray
    pull: FloatArray
    failed: FloatArray
    flagged: FloatArray
    silent: FloatArray
    line_errors: FloatArray

    def to_json(self) -> dict[str, float | None]:
        """Summarise as plain numbers: means over spectra, medians of pulls and line errors; None where undefined."""
        names = [one.name for one in fields(self) if one.name not in ("pull", "line_errors")]
        summary = {name: _number(np.nanmean, getattr(self, name)) for name in names}
        summary["loss_90"] = _number(partial(np.nanquantile, q=0.9), self.loss)
        summary["pull"] = _number(np.nanmedian, self.pull)
        for name, errors in zip(_LINE_SUMS, self.line_errors.T, strict=True):
            kept = np.where(np.isfinite(errors), np.abs(errors) < 0.05, np.nan)
            summary[f"{name} error"] = _number(np.nanmedian, errors)
            summary[f"{name} within 5 %"] = _number(np.nanmean, kept)
        return summary


def _number(summarise: Callable[[FloatArray], Any], values: FloatArray) -> float | None:
    return float(summarise(values)) if np.isfinite(values).any() else None


@dataclass(frozen=True, kw_only=True, eq=False)
class StressTest:
    """Result of `stress_test`.

    Parameters
    ----------
    recipe : str
        Name of the simulated world.
    snr : float
        S/N of the spectra.
    n, seed : int
        Number of spectra, and seed of all draws.
    stresses : sequence of Stress
        Stresses in the order tried.
    scores : mapping of str to mapping of str to sequence of StressScores
        Scores by stress, then model; one for each amount of the stress.
    """

    recipe: str
    snr: float
    n: int
    seed: int
    stresses: Sequence[Stress]
    scores: Mapping[str, Mapping[str, Sequence[StressScores]]]

    def columns(self, stress: str, model: str) -> dict[str, list[float | None]]:
        """Summaries (`StressScores.to_json`) of one model under one stress, as lists in the order of the amounts."""
        rows = [scores.to_json() for scores in self.scores[stress][model]]
        return {key: [row[key] for row in rows] for key in rows[0]}

    def to_json(self) -> dict[str, Any]:
        """Summarise as JSON types: lists of numbers in the order of the amounts."""
        return {
            "recipe": self.recipe, "snr": self.snr, "n": self.n, "seed": self.seed,
            "stresses": {
                stress.name: {
                    "quantity": stress.quantity,
                    "amounts": list(stress.amounts),
                    "reference": stress.reference,
                    "models": {name: self.columns(stress.name, name) for name in self.scores[stress.name]},
                }
                for stress in self.stresses
            },
        }  # fmt: skip


def stress_test(
    recipe: SurveyRecipe,
    denoisers: Mapping[str, Denoiser],
    stresses: Sequence[Stress],
    snr: float,
    n: int,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> StressTest:
    """Score denoisers on spectra spoilt in many ways, by increasing amounts.

    Parameters
    ----------
    recipe : SurveyRecipe
        The simulated world. Each of its instruments sees an equal share of the spectra, at one redshift.
    denoisers : mapping of str to Denoiser
        Denoisers to score, by the names they have in the result.
    stresses : sequence of Stress
        Stresses to try, such as `STRESSES`.
    snr : float
        S/N of all spectra.
    n : int
        Number of spectra.
    seed : int, optional
        Seed of all draws; the result of one stress does not depend on which others are tried.
    progress : callable, optional
        Called with how many pairs of instrument and stress are done, and their total.

    Returns
    -------
    StressTest
        Scores by stress, model and amount.

    Raises
    ------
    ValueError
        If `n` or `snr` is not positive.
    """
    if n < 1 or not snr > 0:
        raise ValueError(f"stress_test: n={n}, snr={snr}: give at least one spectrum and S/N > 0.")
    parts: dict[str, dict[str, list[list[StressScores]]]] = {
        stress.name: {name: [] for name in denoisers} for stress in stresses
    }
    for number, scene in enumerate(scenes(recipe, snr, n, seed)):
        plain = {name: denoiser.denoise(scene.plain.simulated.observed) for name, denoiser in denoisers.items()}
        for place, stress in enumerate(stresses):
            for name, scored in _score_scene(scene, stress, denoisers, plain).items():
                parts[stress.name][name].append(scored)
            if progress is not None:
                progress(number * len(stresses) + place + 1, min(n, len(recipe.instruments)) * len(stresses))
    scores = {
        stress: {
            name: [StressScores.stack(at_amount) for at_amount in zip(*of, strict=True)]
            for name, of in by_model.items()
        }
        for stress, by_model in parts.items()
    }
    return StressTest(recipe=recipe.name, snr=snr, n=n, seed=seed, stresses=tuple(stresses), scores=scores)


def scenes(recipe: SurveyRecipe, snr: float, n: int, seed: int) -> Iterator[Scene]:
    """Make the galaxies of a test, an equal share before each instrument, which sees them at one redshift.

    Parameters
    ----------
    recipe : SurveyRecipe
        The simulated world.
    snr : float
        S/N.
    n, seed : int
        Number of galaxies, and seed of all draws.

    Yields
    ------
    Scene
        One per instrument.
    """
    shares = np.array_split(np.arange(n), len(recipe.instruments))
    for number, (instrument, share) in enumerate(zip(recipe.instruments, shares, strict=True)):
        if share.size:
            rng = stream("robustness: galaxies", seed, number)
            rest = recipe.rest(len(share), rng)
            known = rest.parameters
            gas = random_gas(halpha_continuum(rest), known["a_v"], known["velocity"], rng, recipe.prior.emission)
            yield Scene(
                recipe=recipe, rest=rest, gas=gas, instrument=instrument, snr=snr,
                redshift=float(rng.uniform(*instrument.redshift)), seed=(seed, number, round(1e6 * snr)),
            )  # fmt: skip


def _score_scene(
    scene: Scene, stress: Stress, denoisers: Mapping[str, Denoiser], plain: Mapping[str, Denoised]
) -> dict[str, list[StressScores]]:
    """Scores by model, one for each amount; `plain` holds the estimates made from the unspoilt observation."""
    reference = scene.plain if stress.plain else stress.observe(scene, stress.reference)
    spoilt = [reference if amount == stress.reference else stress.observe(scene, amount) for amount in stress.amounts]
    scores: dict[str, list[StressScores]] = {}
    for name, denoiser in denoisers.items():
        unspoilt = plain[name] if stress.plain else denoiser.denoise(reference.simulated.observed)
        scores[name] = []
        for seen in spoilt:
            denoised = unspoilt if seen is reference else denoiser.denoise(seen.simulated.observed)
            scores[name].append(_score(seen, denoised, reference, unspoilt))
    return scores


def _score(seen: Observation, denoised: Denoised, reference: Observation, unspoilt: Denoised) -> StressScores:
    good, truth = seen.simulated.observed.good, seen.simulated.truth
    both = denoised.valid & unspoilt.valid & np.isfinite(truth)
    flags = [Flag(int(flag)) for flag in denoised.flags]
    scores = {
        "failed": np.array([flag.failed for flag in flags]) | ~both.any(axis=1),
        "flagged": denoised.flags != 0,
        "line_errors": _line_errors(seen, denoised),
    }
    for prefix, counted in (("", both & good), ("hidden_", both & ~good)):
        now, before = (_reduction(*pair, counted) for pair in ((seen, denoised), (reference, unspoilt)))
        scores |= {
            f"{prefix}reduction": now,
            f"{prefix}loss": before - now,
            f"{prefix}coverage68": coverage(truth, denoised.flux, denoised.sigma, 0.6827, counted),
        }
    scores["pull"] = rms((denoised.flux - truth) / denoised.sigma, both & good)
    scores["silent"] = ~scores["flagged"] & (scores["pull"] > _OVERCONFIDENT)
    return StressScores(**{name: np.asarray(values, dtype=np.float64) for name, values in scores.items()})


def _reduction(seen: Observation, denoised: Denoised, counted: BoolArray) -> FloatArray:
    return np.asarray(1 - rms(denoised.flux - seen.simulated.truth, counted) / rms(seen.noise, counted))


def _line_errors(seen: Observation, denoised: Denoised) -> FloatArray:
    """(residual − lines − noise) / lines, summed over the pixels of each of `_LINE_SUMS`, (n_spectra, 3)."""
    observed = seen.simulated.observed
    errors = np.full((len(observed), len(_LINE_SUMS)), np.nan)
    if seen.lines is None:
        return errors
    rest = rest_air(observed.wavelength, float(observed.redshift[0]), observed.medium)
    step = np.gradient(observed.wavelength)
    left_out = np.where(denoised.valid, seen.simulated.truth - denoised.flux, 0.0)
    for column, window in enumerate(_LINE_SUMS.values()):
        near = in_window(rest, window)
        if rest[0] > window[0] or rest[-1] < window[1]:
            continue
        lines, noise, width = seen.lines[:, near], seen.noise[:, near], step[near]
        counted = (lines > 0.01 * lines.max(axis=1, keepdims=True)) * width
        flux = np.sum(lines * counted, axis=1)
        clear = flux > _LINE_SNR * np.sqrt(np.sum((noise * counted) ** 2, axis=1))
        errors[clear, column] = (np.sum(left_out[:, near] * counted, axis=1) / np.where(clear, flux, 1.0))[clear]
    return errors
