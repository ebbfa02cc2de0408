"""Results of an evaluation: scores of each spectrum by model and S/N, their summaries, and examples for figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from quietspec.arrays import BySpectrum
from quietspec.lab.evaluation.calibration import Calibration
from quietspec.lab.evaluation.scores import LineScores, width_bias

if TYPE_CHECKING:
    import astropy.units as u

    from quietspec.arrays import FloatArray

__all__ = ["NOISY", "Evaluation", "Example", "LimitRatio", "LimitScores", "Scores"]

NOISY = "noisy"  #: name under which the input itself is scored


@dataclass(frozen=True, kw_only=True, eq=False)
class LimitScores(BySpectrum):
    """The Bayes limit of some spectra at one S/N.

    Parameters
    ----------
    residual : (n,)
        RMS residual of the exact posterior mean over that of the noisy input.
    sampling_error : (n,)
        Error of the sampled mean, in the same unit; it has been removed from `residual`.
    effective, drift : (n,)
        As in `quietspec.lab.evaluation.Limit`.
    """

    residual: FloatArray
    sampling_error: FloatArray
    effective: FloatArray
    drift: FloatArray

    def to_json(self) -> dict[str, Any]:
        """Summarise as plain numbers."""
        return {
            "n": len(self.residual),
            "residual": float(self.residual.mean()),
            "sampling_error": float(np.sqrt(np.mean(self.sampling_error**2))),
            "median_effective_sample": float(np.median(self.effective)),
            "median_drift": float(np.median(self.drift)),
        }


@dataclass(frozen=True)
class LimitRatio:
    """Mean residual of a model over that of the Bayes limit on the same spectra, and its 1σ error."""

    value: float
    error: float

    @classmethod
    def of(cls, residual: FloatArray, limit: LimitScores) -> Self:
        """Compare residuals (n,), in units of those of the noisy input, with the limit of the same spectra."""
        defined = np.isfinite(residual)
        model, best = residual[defined], limit.residual[defined]
        if not defined.any():
            return cls(np.nan, np.nan)
        ratio = float(model.mean() / best.mean())
        return cls(ratio, float(np.std(model - ratio * best) / np.sqrt(len(best)) / best.mean()))


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Scores of one model at one S/N.

    Parameters
    ----------
    rms, reduction, recovery : (n,)
        RMS residual in the unit of the flux, `rms_reduction` and `recovery_rate` of each spectrum.
    reduction_error : float or None
        1σ error of the mean of `reduction`, by bootstrap over batches: over galaxies, where a batch is one galaxy with
        one instrument. None for a single batch.
    lines : mapping of str to LineScores
        The same scores and equivalent widths in each of `LINE_WINDOWS`.
    coverage68, coverage95 : float or None
        Fraction of all pixels whose truth lies within ±1σ and ±1.96σ (nominal: 0.6827 and 0.95); None without pixels.
    coverage68_error, coverage95_error : float or None
        Their 1σ errors, like `reduction_error`.
    seconds_per_spectrum : float
        Processor time of `denoise`.
    failed, flagged : float
        Fraction of spectra without a result, and with any flag.
    calibration : Calibration, optional
        Calibration of the errors, if it was measured.
    limit_ratio : LimitRatio, optional
        Residual over that of the Bayes limit, if it was sampled.
    """

    rms: FloatArray
    reduction: FloatArray
    recovery: FloatArray
    reduction_error: float | None
    lines: Mapping[str, LineScores]
    coverage68: float | None
    coverage95: float | None
    coverage68_error: float | None
    coverage95_error: float | None
    seconds_per_spectrum: float
    failed: float
    flagged: float
    calibration: Calibration | None = None
    limit_ratio: LimitRatio | None = None

    def to_json(self) -> dict[str, Any]:
        """Summarise as plain numbers: fractions, not percent; None where undefined."""
        return {
            **_summary("rms", self.rms),
            **_summary("rms_reduction", self.reduction),
            "rms_reduction_error": self.reduction_error,
            **_summary("recovery", self.recovery),
            **self._by_line("lines", "reduction"),
            **self._by_line("lines_rms", "rms"),
            **self._by_line("lines_recovery", "recovery"),
            **self._widths(),
            "coverage68": self.coverage68,
            "coverage95": self.coverage95,
            "coverage68_error": self.coverage68_error,
            "coverage95_error": self.coverage95_error,
            "seconds_per_spectrum": self.seconds_per_spectrum,
            "failed": self.failed,
            "flagged": self.flagged,
            **({} if self.calibration is None else {"coverage": self.calibration.to_json()}),
            **self._beside_limit(),
        }

    def _beside_limit(self) -> dict[str, float | None]:
        if self.limit_ratio is None:
            return {}
        return {"limit_ratio": _number(self.limit_ratio.value), "limit_ratio_error": _number(self.limit_ratio.error)}

    def _by_line(self, name: str, score: str) -> dict[str, dict[str, Any]]:
        summaries = {line: _summary(name, getattr(scores, score)) for line, scores in self.lines.items()}
        keys = (name, f"{name}_std", f"{name}_quartiles")
        return {key: {line: summary[key] for line, summary in summaries.items()} for key in keys}

    def _widths(self) -> dict[str, dict[str, float | None]]:
        """Equivalent widths, Å: mean of the true ones, and `width_bias` of the measured ones."""
        names = ("lines_ew_true", "lines_ew_bias", "lines_ew_scatter", "lines_ew_outliers")
        numbers = {
            line: (_mean(scores.true_width), *map(_number, width_bias(scores.width, scores.true_width)))
            for line, scores in self.lines.items()
        }
        return {name: {line: found[place] for line, found in numbers.items()} for place, name in enumerate(names)}


def _summary(name: str, values: FloatArray) -> dict[str, Any]:
    """Mean, standard deviation and quartiles of the finite values, under `name` with suffixes."""
    finite = _defined(values)
    return {
        name: _mean(values),
        f"{name}_std": float(finite.std()) if finite.size else None,
        f"{name}_quartiles": np.quantile(finite, (0.25, 0.5, 0.75)).tolist() if finite.size else None,
    }


def _defined(values: FloatArray) -> FloatArray:
    return values[np.isfinite(values)]


def _mean(values: FloatArray) -> float | None:
    finite = _defined(values)
    return float(finite.mean()) if finite.size else None


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """One spectrum at one S/N with the estimates of all models, for figures.

    Parameters
    ----------
    snr : float
        S/N of the observation.
    wavelength : (n_pixels,)
        Rest-frame air Å.
    unit : astropy unit
        Unit of the fluxes.
    truth, noisy : (n_pixels,)
        Flux without and with noise.
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
    """Result of `evaluate`.

    Parameters
    ----------
    recipe : str
        Name of the simulated world.
    n, seed : int
        Number of spectra, and seed of their noise.
    snrs : (n_snr,)
        S/N of the observations.
    scores : mapping of str to mapping of float to Scores
        Scores by model, then S/N; the model ``'noisy'`` is the input itself.
    examples : sequence of Example
        One spectrum at each S/N.
    limits : mapping of float to LimitScores
        The Bayes limit by S/N, if it was sampled.
    """

    recipe: str
    n: int
    seed: int
    snrs: tuple[float, ...]
    scores: Mapping[str, Mapping[float, Scores]]
    examples: Sequence[Example]
    limits: Mapping[float, LimitScores] = field(default_factory=dict)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, apart from the input itself."""
        return tuple(name for name in self.scores if name != NOISY)

    def to_json(self) -> dict[str, Any]:
        """Summarise as JSON types; S/N are keys such as ``"5"``."""
        return {
            "recipe": self.recipe,
            "n": self.n,
            "seed": self.seed,
            "snr": list(self.snrs),
            **({"limit": {f"{snr:g}": limit.to_json() for snr, limit in self.limits.items()}} if self.limits else {}),
            "models": {
                name: {f"{snr:g}": scores.to_json() for snr, scores in by_snr.items()}
                for name, by_snr in self.scores.items()
            },
        }
