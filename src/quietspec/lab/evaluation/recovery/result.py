"""Result of the whole experiment: every arm at every S/N, with equivalent S/N and ratios to the limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from quietspec.lab.evaluation.recovery.arms import LIMIT, ArmResult
from quietspec.populations import PpxfOptions

__all__ = ["Recovery"]


@dataclass(frozen=True, eq=False)
class Recovery:
    """Result of the experiment.

    Parameters
    ----------
    recipe, library : str
        Names of the simulated world, and of the templates of the pPXF fits.
    seed : int
        Seed of the noise.
    snrs : tuple of float
        S/N of the spectra.
    options : PpxfOptions
        Options of the pPXF fits.
    arms : mapping of str to mapping of float to ArmResult
        Results by arm and S/N.
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
        """S/N at which pPXF on noisy spectra reaches an rms, and whether it lies beyond the upper end of the ladder.

        Parameters
        ----------
        short : str
            Short name of the parameter.
        rms : float
            Its rms, dex.

        Returns
        -------
        snr : float
            Interpolated linearly in ln(S/N) against ln(rms); an end of the ladder if it lies outside. NaN without a
            ladder.
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
        """Ratio of the rms of each arm to that of the limit, over the spectra that both have."""
        table: dict[str, dict[str, dict[str, float]]] = {}
        for snr, limit in self.arms.get(LIMIT, {}).items():
            for name, by_snr in self.arms.items():
                if name != LIMIT and snr in by_snr:
                    table.setdefault(name, {})[f"{snr:g}"] = _ratios(by_snr[snr], limit)
        return table


def _ratios(result: ArmResult, limit: ArmResult) -> dict[str, float]:
    n = min(len(limit), len(result))
    shared = limit.trusted[:n] & result.trusted[:n]
    ratios = {f"{short}_ratio": result.rms(short, shared) / limit.rms(short, shared) for short in limit.values}
    return {"n": float(shared.sum()), **ratios}
