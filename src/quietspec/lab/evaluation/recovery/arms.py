"""One arm of the experiment: how it goes from noisy spectra to populations, and what it found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from quietspec.arrays import BoolArray, BySpectrum, FloatArray

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from quietspec.populations.fit import Errors

__all__ = ["LIMIT", "NOISY", "POPULATIONS", "RECOVERED", "Arm", "ArmResult"]

#: Parameters that are scored, by their short names.
RECOVERED: dict[str, str] = {
    "age": "log_age_mw", "mh": "mh_mw", "age_lw": "log_age_lw", "mh_lw": "mh_lw", "ml": "log_ml_v",
}  # fmt: skip
NOISY, POPULATIONS, LIMIT = "noisy", "populations", "limit"  #: arms without a denoiser's name

_ERRORS = ("flat", "sigma", "covariance")  # suffixes of arms: the errors that pPXF gets
_KINDS = ("values", "truth", "inside")  # mappings of `ArmResult`
_FEWEST = 3  # spectra without which there are no scores


@dataclass(frozen=True)
class Arm:
    """One way from a noisy spectrum to its populations.

    Parameters
    ----------
    name : str
        ``noisy``: pPXF on the noisy spectra. ``DENOISER``: pPXF on denoised spectra with the errors of the input, the
        only ones there are if a network gives none. ``DENOISER-flat``, ``-sigma``, ``-covariance``: the same with one
        error for all pixels, with the estimate's own errors, or with their full covariance. ``populations``: read off
        the posterior itself. ``limit``: exact posterior means under the recipe.
    n : int
        Number of spectra.
    """

    name: str
    n: int

    @property
    def denoiser(self) -> str | None:
        """Name of the denoiser it needs."""
        if self.name in (NOISY, LIMIT):
            return None
        stem, _, errors = self.name.rpartition("-")
        return "posterior" if self.name == POPULATIONS else stem if errors in _ERRORS else self.name

    @property
    def errors(self) -> Errors:
        """Errors of the denoised spectra that pPXF gets."""
        errors = self.name.rpartition("-")[2]
        return cast("Errors", errors if errors in _ERRORS else "input")


@dataclass(frozen=True, eq=False)
class ArmResult(BySpectrum):
    """Populations that one arm found at one S/N, beside the truth.

    Parameters
    ----------
    values, truth : mapping of str to (n,)
        Recovered and true values by the short names of `RECOVERED`; NaN where there is none.
    inside : mapping of str to (n,) of bool
        Whether the truth lies in the stated central 68.27 % interval.
    trusted : (n,) of bool
        Spectra whose value counts: fitted, and for the limit sampled well enough.
    seconds : (n,)
        Processor time per spectrum, averaged over the spectra that were worked on together.
    """

    values: Mapping[str, FloatArray]
    truth: Mapping[str, FloatArray]
    inside: Mapping[str, BoolArray]
    trusted: BoolArray
    seconds: FloatArray

    def __len__(self) -> int:
        return len(self.trusted)

    def scores(self) -> dict[str, float]:
        """Scores by their names in the JSON.

        Returns
        -------
        dict of str to float
            ``n``, ``untrusted`` and ``seconds_per_spectrum``; for each parameter ``_rms`` (bias included) and its 1σ
            ``_rms_error``, ``_bias``, ``_scatter``, ``_r`` (Pearson), ``_slope`` of recovered against true values and
            ``_coverage68``.
        """
        rows = self.trusted
        scores: dict[str, float] = {
            "n": int(rows.sum()),
            "untrusted": float(1 - rows.mean()),
            "seconds_per_spectrum": float(self.seconds.mean()),
        }
        for short, values in self.values.items():
            found = _scores(values[rows], self.truth[short][rows], self.inside[short][rows])
            scores |= {f"{short}_{name}": value for name, value in found.items()}
        return scores

    def rms(self, short: str, rows: BoolArray) -> float:
        """Rms error of one parameter over some of the first spectra, dex; NaN over none."""
        error = (self.values[short] - self.truth[short])[: len(rows)][rows]
        return float(np.sqrt(np.mean(error**2))) if error.size else float("nan")

    def save(self, path: Path, settings: str) -> None:
        """Write as .npz, with the settings that made it."""
        from quietspec.io.writing.atomic import whole_file

        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {f"{kind}:{short}": values for kind in _KINDS for short, values in getattr(self, kind).items()}
        with whole_file(path, overwrite=True) as partial, partial.open("wb") as stream:
            np.savez_compressed(stream, trusted=self.trusted, seconds=self.seconds, settings=settings, **arrays)

    @classmethod
    def load(cls, path: Path, settings: str) -> ArmResult | None:
        """Read what `save` wrote; None if there is no file, or if other settings made it."""
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as file:
            if str(file["settings"]) != settings:
                return None
            mappings = {
                kind: {name.partition(":")[2]: file[name] for name in file.files if name.startswith(f"{kind}:")}
                for kind in _KINDS
            }
            return cls(**mappings, trusted=file["trusted"], seconds=file["seconds"])


def _scores(found: FloatArray, true: FloatArray, inside: BoolArray) -> dict[str, float]:
    if len(found) < _FEWEST:
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
