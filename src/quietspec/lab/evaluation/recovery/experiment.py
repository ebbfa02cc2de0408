"""The experiment: arms run on the same spectra with the same noise, each kept when done so that a run can go on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from quietspec.arrays import join_rows
from quietspec.denoisers import KinematicPosterior, Posterior
from quietspec.errors import QuietspecError
from quietspec.lab.evaluation.drawn import DrawnGalaxies
from quietspec.lab.evaluation.protocol import test_draws, test_spectra
from quietspec.lab.evaluation.recovery.arms import LIMIT, NOISY, POPULATIONS, RECOVERED, Arm, ArmResult
from quietspec.lab.evaluation.recovery.result import Recovery
from quietspec.lab.simulate import PaperRecipe, Simulated
from quietspec.lab.streams import stream
from quietspec.populations import Populations, PpxfOptions, fit_denoised, fit_populations, posterior_populations
from quietspec.populations.result import CENTRAL

if TYPE_CHECKING:
    from quietspec.denoisers import Denoiser
    from quietspec.lab.simulate import Recipe
    from quietspec.templates import SspLibrary

__all__ = ["LADDER", "RecoverySettings", "recipe_options", "recover"]

#: S/N at which noisy spectra are fitted to find equivalent S/N.
LADDER = (3.0, 5.0, 7.0, 10.0, 14.0, 20.0, 28.0, 40.0, 56.0, 80.0)

_CHUNK = 10  # batches worked on at a time
_COVARIANCE_SCALE = 150.0  # km/s: pixels as wide as MILES's resolution keep what a covariance of rank 20 holds
_EFFECTIVE = 30.0  # galaxies that must weigh in a sampled posterior for it to be trusted


def recipe_options(recipe: Recipe) -> PpxfOptions:
    """Options of pPXF that suit a recipe: `paper` is at rest, without dust and gas; `survey` is as observed.

    Parameters
    ----------
    recipe : Recipe
        The simulated world.

    Returns
    -------
    PpxfOptions
        Options; for `paper` the kinematics are fixed at the truth, which favours noisy spectra, and the faster solver
        is used.
    """
    if isinstance(recipe, PaperRecipe):
        return PpxfOptions(
            kinematics="fixed", dispersion=0.0, multiplicative=0, gas="none", velocity_scale=75.0, solver="nnls"
        )
    return PpxfOptions()


@dataclass(frozen=True)
class RecoverySettings:
    """How the experiment is run.

    Parameters
    ----------
    seed : int
        Seed of the noise (and of the spectra, except of the recipe `paper`): the spectra are those of `evaluate` with
        the same seed.
    library : SspLibrary, optional
        Templates of the fits; those of the recipe by default.
    options : PpxfOptions, optional
        Options of the fits; `recipe_options` by default.
    n_ladder : int
        Spectra fitted at each S/N of `LADDER`; 0 leaves equivalent S/N out.
    n_galaxies : int
        Galaxies that are weighted for the arm ``limit``.
    jobs : int
        Processes that fit in parallel.
    store : Path, optional
        Folder that keeps each finished arm and S/N, so that a run that was stopped can go on; made if missing.
    """

    seed: int = 0
    library: SspLibrary | None = None
    options: PpxfOptions | None = None
    n_ladder: int = 1000
    n_galaxies: int = 1_000_000
    jobs: int = 1
    store: Path | None = None


def recover(
    recipe: Recipe,
    denoisers: Mapping[str, Denoiser],
    arms: Sequence[Arm],
    snrs: Sequence[float],
    settings: RecoverySettings | None = None,
    *,
    log: Callable[[str], None] = lambda _: None,
) -> Recovery:
    """Run the experiment.

    Parameters
    ----------
    recipe : Recipe
        The simulated world; of `paper` the test part is used.
    denoisers : mapping of str to Denoiser
        Denoisers that the arms name; ``posterior`` for ``populations`` and ``limit``.
    arms : sequence of Arm
        Arms to compare.
    snrs : sequence of float
        S/N of the spectra.
    settings : RecoverySettings, optional
        How the experiment is run.
    log : callable, optional
        Called with a line of text for each arm and S/N.

    Returns
    -------
    Recovery
        Results of all arms.

    Raises
    ------
    QuietspecError
        If the denoiser of an arm is missing, or gives no posterior of populations.
    """
    settings, levels = settings or RecoverySettings(), tuple(float(snr) for snr in snrs)
    experiment = _Experiment(recipe, denoisers, settings, log)
    experiment.require(arms)
    results = {arm.name: {snr: experiment.run(arm, snr) for snr in levels} for arm in arms}
    n_ladder = settings.n_ladder
    ladder = {snr: experiment.run(Arm(NOISY, n_ladder), snr) for snr in LADDER} if n_ladder else {}
    library = experiment.library.name
    return Recovery(recipe.name, library, settings.seed, levels, experiment.options, results, ladder)


class _Experiment:
    """What all arms share."""

    def __init__(
        self,
        recipe: Recipe,
        denoisers: Mapping[str, Denoiser],
        settings: RecoverySettings,
        log: Callable[[str], None],
    ) -> None:
        self.recipe, self.denoisers, self.settings, self.log = recipe, denoisers, settings, log
        self.library = settings.library or recipe.library
        self.options = settings.options or recipe_options(recipe)
        self._drawn: DrawnGalaxies | None = None

    def require(self, arms: Sequence[Arm]) -> None:
        for arm in arms:
            if arm.denoiser is not None and arm.denoiser not in self.denoisers:
                raise QuietspecError(f"arm {arm.name!r}: no denoiser {arm.denoiser!r} was given.")
            needs_posterior = arm.name in (POPULATIONS, LIMIT)
            if needs_posterior and not isinstance(self.denoisers.get("posterior"), Posterior | KinematicPosterior):
                raise QuietspecError(f"arm {arm.name!r}: needs the denoiser 'posterior'.")
            if arm.name == LIMIT and not isinstance(self.recipe, PaperRecipe):
                raise QuietspecError("arm 'limit': is sampled for recipe 'paper' only; leave it out.")

    def run(self, arm: Arm, snr: float) -> ArmResult:
        """Result of an arm at one S/N, from the store if it is there."""
        store = self.settings.store
        kept = None if store is None else store / f"{arm.name.replace('/', '_')}-snr{snr:g}-n{arm.n}.npz"
        if kept is not None and (result := ArmResult.load(kept, self._facts(arm))) is not None:
            return result
        start = time.perf_counter()
        result = ArmResult.stack([self._recovered(arm, chunk) for chunk in self._chunks(arm.n, snr)])
        if kept is not None:
            result.save(kept, self._facts(arm))
        scores = result.scores()
        age, mh = scores.get("age_rms", np.nan), scores.get("mh_rms", np.nan)
        self.log(f"{arm.name} at S/N {snr:g}: rms {age:.3f}, {mh:.3f} dex, {time.perf_counter() - start:.0f} s")
        return result

    def _facts(self, arm: Arm) -> str:
        """All that decides the result of an arm, to compare with what a store holds."""
        model = None if arm.denoiser is None else str(self.denoisers[arm.denoiser].model)
        facts = [self.recipe.name, self.recipe.library.name, self.library.name, self.settings.seed, arm.n, model]
        histories = getattr(self.recipe, "histories", "")
        n_galaxies = self.settings.n_galaxies if arm.name == LIMIT else 0
        return json.dumps([*facts, histories, n_galaxies, asdict(self.options)])

    def _chunks(self, n: int, snr: float) -> Iterator[Simulated]:
        batches = enumerate(test_spectra(self.recipe, n, self.settings.seed))
        while chunk := list(islice(batches, _CHUNK)):
            observed = [
                test_draws(self.settings.seed, number, snr).observe(self.recipe, rest, snr) for number, rest in chunk
            ]
            if isinstance(self.recipe, PaperRecipe):  # all on one grid
                yield _stacked(observed)
            else:
                yield from observed

    def _recovered(self, arm: Arm, simulated: Simulated) -> ArmResult:
        if arm.name == LIMIT:
            return self._limit(simulated)
        if arm.denoiser is None:
            found = fit_populations(simulated.observed, self.library, self.options, jobs=self.settings.jobs)
            return _result(found, simulated, 0.0)
        start = time.process_time()
        denoised = self.denoisers[arm.denoiser].denoise(simulated.observed)
        if arm.name == POPULATIONS:
            return _result(posterior_populations(denoised), simulated, time.process_time() - start)
        denoising, options = time.process_time() - start, self.options
        if arm.errors == "covariance":
            options = replace(options, velocity_scale=max(options.velocity_scale or 0.0, _COVARIANCE_SCALE))
        found = fit_denoised(denoised, self.library, options, errors=arm.errors, jobs=self.settings.jobs)
        return _result(found, simulated, denoising)

    def _limit(self, simulated: Simulated) -> ArmResult:
        if self._drawn is None:
            posterior = cast("Posterior", self.denoisers["posterior"])
            rng = stream("recovery: limit", self.settings.seed)
            self._drawn = DrawnGalaxies(self.recipe, posterior.prior, self.settings.n_galaxies, rng)
        start = time.process_time()
        found = self._drawn(simulated)
        names = {short: name for short, name in RECOVERED.items() if name in found.means}
        return ArmResult(
            values={short: found.means[name] for short, name in names.items()},
            truth={short: simulated.parameters[name] for short, name in names.items()},
            inside={short: np.abs(found.below[name] - 0.5) < CENTRAL / 2 for short, name in names.items()},
            trusted=found.effective >= _EFFECTIVE,
            seconds=np.full(len(simulated), (time.process_time() - start) / len(simulated)),
        )


def _stacked(parts: Sequence[Simulated]) -> Simulated:
    """Join observations on one grid."""
    first = parts[0].observed
    arrays = ("flux", "ivar", "redshift", "ebv")
    observed = replace(first, **{name: join_rows([getattr(part.observed, name) for part in parts]) for name in arrays})
    truth, parameters = (join_rows([getattr(part, name) for part in parts]) for name in ("truth", "parameters"))
    return Simulated(observed=observed, truth=truth, parameters=parameters)


def _result(found: Populations, simulated: Simulated, denoising: float) -> ArmResult:
    """Compare with the truth what was found in spectra whose denoising took that many seconds."""
    names = {short: name for short, name in RECOVERED.items() if name in found.values and name in simulated.parameters}
    truth = {short: simulated.parameters[name] for short, name in names.items()}
    inside = {
        short: (found.low[name] <= truth[short]) & (truth[short] <= found.high[name]) for short, name in names.items()
    }
    return ArmResult(
        values={short: found.values[name] for short, name in names.items()},
        truth=truth,
        inside=inside,
        trusted=~found.failed,
        seconds=np.full(len(found), (denoising + float(np.nansum(found.seconds))) / len(found)),
    )
