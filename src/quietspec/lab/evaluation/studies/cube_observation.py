"""How simulated galaxies are observed, as the studies of cubes share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    drizzle: float = 0.3
    missing: float = 0.02
    seed: int = 18
    worlds: Sequence[str] = tuple(WORLDS)

    def setup(self, rng: np.random.Generator, snr: float) -> CubeSetup:
        """Return the observation of one galaxy, whose brightest spaxel has this S/N; missing spaxels are drawn."""
        shape = (self.size, self.size)
        return CubeSetup(
            shape=shape, snr=snr, instrument=self.instrument, limits=self.limits, drizzle=self.drizzle,
            missing=rng.random(shape) < self.missing,
        )  # fmt: skip
