"""What denoising buys for ages and metallicities: arms of one experiment, on the same spectra with the same noise."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from quietspec.denoisers import Posterior
from quietspec.errors import QuietspecError
from quietspec.lab.evaluation.drawn import DrawnGalaxies
from quietspec.lab.evaluation.protocol import noise_rng, test_spectra
from quietspec.lab.simulate import PaperRecipe, Simulated
from quietspec.populations import Populations, PpxfOptions, fit_denoised, fit_populations, posterior_populations
from quietspec.populations.result import CENTRAL
from quietspec.spectra import Spectra

if TYPE_CHECKING:
    from quietspec.arrays import BoolArray, FloatArray
    from quietspec.denoisers import Denoiser
    from quietspec.lab.simulate import Recipe
    from quietspec.populations.fit import Errors
    from quietspec.templates import SspLibrary

__all__ = ["LADDER", "RECOVERED", "Arm", "ArmResult", "Recovery", "recipe_options", "recover"]

#: Parameters scored, by their short names.
RECOVERED: dict[str, str] = {
    "age": "log_age_mw", "mh": "mh_mw", "age_lw": "log_age_lw", "mh_lw": "mh_lw", "ml": "log_ml_v",
}  # fmt: skip
#: S/N at which noisy spectra are fitted to find equivalent S/N.
LADDER = (3.0, 5.0, 7.0, 10.0, 14.0, 20.0, 28.0, 40.0, 56.0, 80.0)
NOISY, POPULATIONS, LIMIT = "noisy", "populations", "limit"

_CHUNK = 10  # batches worked on at a time
_LIMIT_STREAM = 7  # child of the seed
_WAYS = ("flat", "sigma", "covariance")
_KINDS = ("values", "truth", "inside")  # mappings of `ArmResult`
_COVARIANCE_SCALE = 150.0  # km/s: pixels as wide as MILES's resolution keep what a covariance of rank 20 knows
_EFFECTIVE = 30.0  # galaxies behind a sampled posterior that make it trusted


def recipe_options(recipe: Recipe) -> PpxfOptions:
    """Options of pPXF that suit a recipe: `paper` is at rest, without dust and gas; `survey` is as observed.

    Parameters
    ----------
    recipe : Recipe
        The simulated world.

    Returns
    -------
    PpxfOptions
        For `paper` the kinematics are held at the truth, which favours noisy spectra, and the faster solver is used.
    """
    if isinstance(recipe, PaperRecipe):
        return PpxfOptions(
            kinematics="fixed", dispersion=0.0, multiplicative=0, gas="none", velocity_scale=75.0, solver="nnls"
        )
    return PpxfOptions()


@dataclass(frozen=True)
class Arm:
    """One way from a noisy spectrum to its populations.

    Parameters
    ----------
    name : str
        ``noisy``: pPXF on the noisy spectra. ``DENOISER``: pPXF on denoised spectra with the errors of the input, as
        one has to do where a network gives none. ``DENOISER-flat``, ``-sigma``, ``-covariance``: with one error for all
        pixels, the estimate's own errors, their full covariance. ``populations``: from the posterior itself.
        ``limit``: exact posterior means under the recipe.
    n : int
        Spectra.
    """

    name: str
    n: int

    @property
    def denoiser(self) -> str | None:
        """Name of the denoiser it needs."""
        if self.name in (NOISY, LIMIT):
            return None
        stem, _, way = self.name.rpartition("-")
        return "posterior" if self.name == POPULATIONS else stem if way in _WAYS else self.name

    @property
    def errors(self) -> Errors:
        """What pPXF is told of the denoised spectrum's errors."""
        way = self.name.rpartition("-")[2]
        return cast("Errors", way if way in _WAYS else "input")


@dataclass(frozen=True, eq=False)
class ArmResult:
    """Populations that one arm found at one S/N, beside the truth.

    Parameters
    ----------
    values, truth : mapping of str to (n,)
        By the short names of `RECOVERED`; NaN where there is no value.
    inside : mapping of str to (n,) of bool
        Whether the truth lies in the stated central 68.27 % interval.
    trusted : (n,) of bool
        Spectra whose value counts: fitted, and for the limit sampled well enough.
    seconds_per_spectrum : float
        Time of one, in one process.
    """

    values: dict[str, FloatArray]
    truth: dict[str, FloatArray]
    inside: dict[str, BoolArray]
    trusted: BoolArray
    seconds_per_spectrum: float

    def scores(self) -> dict[str, float]:
        """Scores by the names of the JSON.

        Returns
        -------
        dict of str to float
            ``n``, ``untrusted`` and ``seconds_per_spectrum``; for each parameter ``_rms`` (bias included) and its 1σ
            ``_rms_error``, ``_bias``, ``_scatter``, ``_r`` (Pearson), ``_slope`` of recovered on true values,
            ``_coverage68``.
        """
        rows = self.trusted
        scores: dict[str, float] = {
            "n": int(rows.sum()),
            "untrusted": float(1 - self.trusted.mean()),
            "seconds_per_spectrum": self.seconds_per_spectrum,
        }
        for short, values in self.values.items():
            found, true = values[rows], self.truth[short][rows]
            inside = self.inside[short][rows]
            scores |= {f"{short}_{name}": value for name, value in _scores(found, true, inside).items()}
        return scores


def _scores(found: FloatArray, true: FloatArray, inside: BoolArray) -> dict[str, float]:
    if len(found) < 3:
        return dict.fromkeys(("rms", "rms_error", "bias", "scatter", "r", "slope", "coverage68"), float("nan"))
    error = found - true
    rms = float(np.sqrt(np.mean(error**2)))
    return {
        "rms": rms,
        "rms_error": float(np.std(error**2) / (2 * rms * np.sqrt(len(error)))),
        "bias": float(error.mean()),
        "scatter": float(error.std()),
        "r": float(np.corrcoef(found, true)[0, 1]),
        "slope": float(np.polyfit(true, found, 1)[0]),
        "coverage68": float(inside.mean()),
    }


@dataclass(frozen=True, eq=False)
class Recovery:
    """Result of the experiment.

    Parameters
    ----------
    recipe, library : str
        Simulated world, and templates of the pPXF fits.
    seed : int
        Seed of the noise.
    snrs : tuple of float
        S/N of the spectra.
    options : PpxfOptions
        Of the pPXF fits.
    arms : mapping of str to mapping of float to ArmResult
        By name and S/N.
    ladder : mapping of float to ArmResult
        Noisy spectra of other S/N, for equivalent S/N.
    """

    recipe: str
    library: str
    seed: int
    snrs: tuple[float, ...]
    options: PpxfOptions
    arms: Mapping[str, Mapping[float, ArmResult]]
    ladder: Mapping[float, ArmResult] = field(default_factory=dict)

    def equivalent_snr(self, short: str, rms: float) -> tuple[float, bool]:
        """S/N at which pPXF on noisy spectra reaches an rms, and whether that lies beyond the ladder's upper end.

        Parameters
        ----------
        short : str
            Parameter, by its short name.
        rms : float
            Its rms, dex.

        Returns
        -------
        snr : float
            Interpolated linearly in ln(S/N) on ln(rms); an end of the ladder where it lies outside. NaN without ladder.
        beyond : bool
            Whether the S/N is a lower limit.
        """
        if not self.ladder:
            return float("nan"), False
        snrs = np.array(sorted(self.ladder))
        reached = np.array([self.ladder[snr].scores()[f"{short}_rms"] for snr in snrs])
        falling = np.minimum.accumulate(reached)
        log_snr = np.interp(-np.log(rms), -np.log(falling), np.log(snrs))
        return float(np.exp(log_snr)), bool(rms <= falling[-1])

    def to_json(self) -> dict[str, Any]:
        """Scores as JSON types, in the stable form of ``docs/formats.md``."""
        return {
            "recipe": self.recipe,
            "library": self.library,
            "seed": self.seed,
            "snr": list(self.snrs),
            "options": asdict(self.options),
            "arms": {
                name: {f"{snr:g}": self._arm_scores(result) for snr, result in by_snr.items()}
                for name, by_snr in self.arms.items()
            },
            "ladder": {f"{snr:g}": result.scores() for snr, result in sorted(self.ladder.items())},
            "beside_limit": self._beside_limit(),
        }

    def _arm_scores(self, result: ArmResult) -> dict[str, Any]:
        scores: dict[str, Any] = result.scores()
        equivalents = {short: self.equivalent_snr(short, scores[f"{short}_rms"]) for short in ("age", "mh")}
        scores |= {f"{short}_equivalent_snr": snr for short, (snr, _) in equivalents.items()}
        least, beyond = min(equivalents.values(), key=lambda found: found[0])
        return scores | {"equivalent_snr": least, "equivalent_snr_is_lower_limit": beyond}

    def _beside_limit(self) -> dict[str, dict[str, dict[str, float]]]:
        """Ratio of each arm's rms to the limit's, over spectra that both have."""
        if LIMIT not in self.arms:
            return {}
        table: dict[str, dict[str, dict[str, float]]] = {}
        for name, by_snr in self.arms.items():
            for snr, result in by_snr.items():
                limit = self.arms[LIMIT].get(snr)
                if name == LIMIT or limit is None:
                    continue
                n = min(len(limit.trusted), len(result.trusted))
                shared = limit.trusted[:n] & result.trusted[:n]
                ratios = {
                    f"{short}_ratio": _rms(result, short, shared) / _rms(limit, short, shared) for short in limit.values
                }
                table.setdefault(name, {})[f"{snr:g}"] = {"n": float(shared.sum()), **ratios}
        return table


def _rms(result: ArmResult, short: str, rows: BoolArray) -> float:
    error = (result.values[short] - result.truth[short])[: len(rows)][rows]
    return float(np.sqrt(np.mean(error**2))) if error.size else float("nan")


def recover(
    recipe: Recipe,
    denoisers: Mapping[str, Denoiser],
    arms: Sequence[Arm],
    snrs: Sequence[float],
    *,
    seed: int = 0,
    library: SspLibrary | None = None,
    options: PpxfOptions | None = None,
    n_ladder: int = 1000,
    n_galaxies: int = 1_000_000,
    jobs: int = 1,
    store: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Recovery:
    """Run the experiment.

    Parameters
    ----------
    recipe : Recipe
        The simulated world; of `paper` the test part.
    denoisers : mapping of str to Denoiser
        Those that the arms name; ``posterior`` for ``populations`` and ``limit``.
    arms : sequence of Arm
        What is compared.
    snrs : sequence of float
        S/N of the spectra.
    seed : int, optional
        Of the noise (and of the spectra, except of the recipe `paper`): the same as that of `evaluate` gives the same
        spectra.
    library : SspLibrary, optional
        Templates of the fits; the recipe's own by default.
    options : PpxfOptions, optional
        `recipe_options` by default.
    n_ladder : int, optional
        Spectra fitted at each S/N of `LADDER`; 0 leaves equivalent S/N out.
    n_galaxies : int, optional
        Galaxies weighed for the arm ``limit``.
    jobs : int, optional
        Processes that fit side by side.
    store : Path, optional
        Folder that keeps each finished arm and S/N, so that a run that was stopped goes on; made if missing.
    progress : callable, optional
        Called with a line of text for each arm and S/N.

    Returns
    -------
    Recovery
        Everything measured.

    Raises
    ------
    QuietspecError
        If an arm's denoiser is missing, or has no posterior of populations.
    """
    options = options or recipe_options(recipe)
    experiment = _Experiment(recipe, denoisers, seed, library or recipe.library, options, n_galaxies, jobs, store)
    experiment.require(arms)
    results: dict[str, dict[float, ArmResult]] = {}
    for arm in arms:
        for snr in map(float, snrs):
            results.setdefault(arm.name, {})[snr] = experiment.run(arm, snr, progress)
    ladder = {snr: experiment.run(Arm(NOISY, n_ladder), snr, progress) for snr in LADDER} if n_ladder else {}
    levels = tuple(float(snr) for snr in snrs)
    return Recovery(recipe.name, experiment.library.name, seed, levels, options, results, ladder)


@dataclass(eq=False)
class _Experiment:
    """What all arms share."""

    recipe: Recipe
    denoisers: Mapping[str, Denoiser]
    seed: int
    library: SspLibrary
    options: PpxfOptions
    n_galaxies: int
    jobs: int
    store: Path | None
    drawn: DrawnGalaxies | None = None

    def require(self, arms: Sequence[Arm]) -> None:
        for arm in arms:
            if arm.denoiser is not None and arm.denoiser not in self.denoisers:
                raise QuietspecError(f"arm {arm.name!r}: no denoiser {arm.denoiser!r} was given.")
            needs_posterior = arm.name in (POPULATIONS, LIMIT)
            if needs_posterior and not isinstance(self.denoisers.get("posterior"), Posterior):
                raise QuietspecError(f"arm {arm.name!r}: needs the denoiser 'posterior'.")
            if arm.name == LIMIT and not isinstance(self.recipe, PaperRecipe):
                raise QuietspecError("arm 'limit': sampled for recipe 'paper' only; leave it out.")

    def run(self, arm: Arm, snr: float, progress: Callable[[str], None]) -> ArmResult:
        kept = self._kept(arm, snr)
        if kept is not None and (result := _loaded(kept, self._settings(arm))) is not None:
            return result
        start = time.perf_counter()
        parts = [self._chunk(arm, chunk) for chunk in self._chunks(arm.n, snr)]
        result = _joined(parts)
        if kept is not None:
            _save(kept, result, self._settings(arm))
        scores = result.scores()
        age, mh = scores.get("age_rms", np.nan), scores.get("mh_rms", np.nan)
        progress(f"{arm.name} at S/N {snr:g}: rms {age:.3f}, {mh:.3f} dex, {time.perf_counter() - start:.0f} s")
        return result

    def _chunks(self, n: int, snr: float) -> Iterator[Simulated]:
        batches = enumerate(test_spectra(self.recipe, n, self.seed))
        while chunk := list(islice(batches, _CHUNK)):
            observed = [self.recipe.observe(rest, noise_rng(self.seed, number, snr), snr) for number, rest in chunk]
            if isinstance(self.recipe, PaperRecipe):  # on one grid
                yield _stacked(observed)
            else:
                yield from observed

    def _chunk(self, arm: Arm, simulated: Simulated) -> ArmResult:
        if arm.name == LIMIT:
            return self._limit(simulated)
        start = time.perf_counter()
        options = self.options
        if arm.errors == "covariance":
            options = replace(options, velocity_scale=max(options.velocity_scale or 0.0, _COVARIANCE_SCALE))
        if arm.denoiser is None:
            found = fit_populations(simulated.observed, self.library, options, jobs=self.jobs)
            return _result(found, simulated, 0.0)
        denoised = self.denoisers[arm.denoiser].denoise(simulated.observed)
        if arm.name == POPULATIONS:
            found = posterior_populations(denoised)
            return _result(found, simulated, (time.perf_counter() - start) / len(simulated))
        denoising = (time.perf_counter() - start) / len(simulated)
        found = fit_denoised(denoised, self.library, options, errors=arm.errors, jobs=self.jobs)
        return _result(found, simulated, denoising)

    def _limit(self, simulated: Simulated) -> ArmResult:
        if self.drawn is None:
            posterior = cast("Posterior", self.denoisers["posterior"])
            rng = np.random.default_rng((self.seed, _LIMIT_STREAM))
            self.drawn = DrawnGalaxies(self.recipe, posterior.prior, self.n_galaxies, rng)
        start = time.perf_counter()
        found = self.drawn(simulated)
        names = {short: name for short, name in RECOVERED.items() if name in found.means}
        return ArmResult(
            values={short: found.means[name] for short, name in names.items()},
            truth={short: simulated.parameters[name] for short, name in names.items()},
            inside={short: np.abs(found.below[name] - 0.5) < CENTRAL / 2 for short, name in names.items()},
            trusted=found.effective >= _EFFECTIVE,
            seconds_per_spectrum=(time.perf_counter() - start) / len(simulated),
        )

    def _settings(self, arm: Arm) -> str:
        model = None if arm.denoiser is None else str(self.denoisers[arm.denoiser].model)
        facts = [self.recipe.name, self.recipe.library.name, self.library.name, self.seed, arm.n, model]
        histories = getattr(self.recipe, "histories", "")
        return json.dumps([*facts, histories, self.n_galaxies if arm.name == LIMIT else 0, asdict(self.options)])

    def _kept(self, arm: Arm, snr: float) -> Path | None:
        return None if self.store is None else self.store / f"{arm.name.replace('/', '_')}-snr{snr:g}-n{arm.n}.npz"


def _stacked(parts: Sequence[Simulated]) -> Simulated:
    """Join observations on one grid at one redshift."""
    first = parts[0].observed
    observed: Spectra = replace(
        first,
        flux=np.concatenate([part.observed.flux for part in parts]),
        ivar=np.concatenate([part.observed.ivar for part in parts]),
        redshift=np.concatenate([part.observed.redshift for part in parts]),
    )
    parameters = {name: np.concatenate([part.parameters[name] for part in parts]) for name in parts[0].parameters}
    return Simulated(observed=observed, truth=np.concatenate([part.truth for part in parts]), parameters=parameters)


def _result(found: Populations, simulated: Simulated, seconds: float) -> ArmResult:
    names = {short: name for short, name in RECOVERED.items() if name in found.values and name in simulated.parameters}
    truth = {short: simulated.parameters[name] for short, name in names.items()}
    return ArmResult(
        values={short: found.values[name] for short, name in names.items()},
        truth=truth,
        inside={
            short: (found.low[name] <= truth[short]) & (truth[short] <= found.high[name])
            for short, name in names.items()
        },
        trusted=~found.failed,
        seconds_per_spectrum=seconds + float(np.nansum(found.seconds) / len(found)),
    )


def _joined(parts: Sequence[ArmResult]) -> ArmResult:
    sizes = [len(part.trusted) for part in parts]
    mappings = {
        name: {short: np.concatenate([getattr(part, name)[short] for part in parts]) for short in parts[0].values}
        for name in _KINDS
    }
    return ArmResult(
        **mappings,
        trusted=np.concatenate([part.trusted for part in parts]),
        seconds_per_spectrum=float(np.average([part.seconds_per_spectrum for part in parts], weights=sizes)),
    )


def _save(path: Path, result: ArmResult, settings: str) -> None:
    from quietspec.io.writing.atomic import whole_file

    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f"{kind}:{short}": values for kind in _KINDS for short, values in getattr(result, kind).items()}
    with whole_file(path, overwrite=True) as partial, partial.open("wb") as stream:
        np.savez_compressed(
            stream, trusted=result.trusted, seconds=result.seconds_per_spectrum, settings=settings, **arrays
        )


def _loaded(path: Path, settings: str) -> ArmResult | None:
    """Read a kept arm; None where there is none or it was made with other settings."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as file:
        if str(file["settings"]) != settings:
            return None
        mappings = {
            kind: {name.partition(":")[2]: file[name] for name in file.files if name.startswith(f"{kind}:")}
            for kind in _KINDS
        }
        return ArmResult(**mappings, trusted=file["trusted"], seconds_per_spectrum=float(file["seconds"]))
