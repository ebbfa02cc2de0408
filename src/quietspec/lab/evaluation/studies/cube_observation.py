"""How simulated galaxies are observed, as the studies of cubes share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quietspec.lab.simulate.cube_worlds import WORLDS
from quietspec.lab.simulate.galaxy_cubes import CubeSetup

if TYPE_CHECKING:
    import numpy as np

__all__ = ["CubeObservation"]


@dataclass(frozen=True, kw_only=True)
class CubeObservation:
    """Galaxies, and their observation.

    Parameters
    ----------
    size : int
        Spaxels along each side.
    instrument : str
        Name in `quietspec.lab.simulate.INSTRUMENTS`.
    limits : (low, high)
        Observed Å.
    snr : float
        S/N of the brightest spaxel.
    drizzle : float
        Correlation of the noise of neighbouring spaxels.
    missing : float
        Share of the spaxels without data.
    seed : int
        Seed of all draws.
    worlds : sequence of str
        Names in `WORLDS`.
    """

    size: int = 20
    instrument: str = "MaNGA"
    limits: tuple[float, float] = (3800.0, 7200.0)
    snr: float = 35.0
    drizzle: float = 0.3
    missing: float = 0.02
    seed: int = 18
    worlds: Sequence[str] = tuple(WORLDS)

    def setup(self, rng: np.random.Generator, **changes: Any) -> CubeSetup:
        """Return the observation of one galaxy; which spaxels are missing is drawn."""
        shape = (self.size, self.size)
        options: dict[str, Any] = {
            "snr": self.snr, "drizzle": self.drizzle, "missing": rng.random(shape) < self.missing,
            "instrument": self.instrument, "limits": self.limits,
        }  # fmt: skip
        return CubeSetup(shape=shape, **options | changes)
