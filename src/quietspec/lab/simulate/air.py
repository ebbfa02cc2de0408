"""What the air leaves in observed spectra: its absorption wrongly corrected, and its glow wrongly subtracted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from quietspec.denoisers.posterior.sky import SKY_WINDOWS
from quietspec.lab.simulate.histories import log_uniform
from quietspec.wavelengths import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quietspec.arrays import BoolArray, FloatArray

__all__ = ["AirPrior", "AirResiduals"]

#: Bands of absorption: observed air Å, and mean optical depth at airmass 1 as for a few mm of water. Rounded from plots
#: of atmospheric transmission; residuals hang on their product with `AirPrior.absorption` alone.
_BANDS = {
    "O2 B": (6867.0, 6944.0, 0.1), "H2O 7200": (7160.0, 7340.0, 0.07), "O2 A": (7594.0, 7700.0, 0.5),
    "H2O 8200": (8100.0, 8400.0, 0.05), "H2O 9300": (8930.0, 9800.0, 0.25),
}  # fmt: skip
_LINE_EVERY, _BUMP_EVERY = 12.0, 120.0  # Å per line, and per smooth bump of the glow's residuals
_BUMPS = 40.0, 250.0  # FWHM, Å


@dataclass(frozen=True)
class AirPrior:
    """Ranges of the residuals.

    Parameters
    ----------
    none : float
        Share of the observations without any.
    smooth, sharp : (low, high)
        Root mean square in the bands, over the pixel noise, of smooth residuals of the glow (whole bands of OH wrongly
        scaled) and of sharp ones (single lines); log-uniform.
    absorption : float
        Standard deviation of the relative error of the optical depth.
    """

    none: float = 0.3
    smooth: tuple[float, float] = (0.05, 1.0)
    sharp: tuple[float, float] = (0.1, 1.5)
    absorption: float = 0.05


@dataclass(frozen=True, eq=False)
class AirResiduals:
    """Residuals of one exposure.

    Parameters
    ----------
    glow : (n_pixels,)
        What is added, over the noise.
    absorption : (n_pixels,)
        What is added, over the flux.
    """

    glow: FloatArray
    absorption: FloatArray

    @classmethod
    def draw(cls, prior: AirPrior, air: FloatArray, fwhm: FloatArray, rng: np.random.Generator) -> Self:
        """Draw those of one exposure.

        Parameters
        ----------
        prior : AirPrior
            Ranges.
        air, fwhm : (n_pixels,)
            Observed air wavelengths and resolution, Å.
        rng : numpy.random.Generator
            Source of all draws.

        Returns
        -------
        AirResiduals
            Lines lie anywhere in the bands.
        """
        nothing = np.zeros(len(air))
        if rng.random() < prior.none:
            return cls(nothing, nothing)
        smooth, sharp = (
            np.where(_inside(air, SKY_WINDOWS), _features(air, every, width, rng), 0.0)
            for every, width in ((_BUMP_EVERY, log_uniform(rng, _BUMPS, len(air))), (_LINE_EVERY, fwhm))
        )
        glow = _scaled(smooth, float(log_uniform(rng, prior.smooth, 1)[0]))
        glow += _scaled(sharp, float(log_uniform(rng, prior.sharp, 1)[0]))
        comb, depth = np.abs(_features(air, _LINE_EVERY, fwhm, rng)), nothing.copy()
        for low, high, mean in _BANDS.values():
            inside = _inside(air, ((low, high),))
            depth[inside] = mean * comb[inside] / max(float(comb[inside].mean()), 1e-9) if inside.any() else 0.0
        return cls(glow, np.expm1(prior.absorption * rng.standard_normal() * depth))

    def added(self, truth: FloatArray, sigma: FloatArray) -> FloatArray:
        """Flux that is added to noise-free spectra (n, n_pixels) of 1σ noise (n, n_pixels)."""
        return np.asarray((self.absorption * truth + self.glow * sigma).astype(truth.dtype))


def _inside(air: FloatArray, bands: Iterable[tuple[float, float]]) -> BoolArray:
    return np.asarray(np.any([(air > low) & (air < high) for low, high in bands], axis=0))


def _features(air: FloatArray, every: float, width: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Features of either sign at random places, one per `every` Å, with FWHM of a width (n_pixels,) in Å there."""
    number = max(int((air[-1] - air[0]) / every), 1)
    pixel = rng.integers(0, len(air), number)
    height, total = rng.standard_normal(number), np.zeros(len(air))
    for centre, sigma, size in zip(air[pixel], width[pixel] / FWHM_PER_SIGMA, height, strict=True):
        near = slice(*np.searchsorted(air, [centre - 4 * sigma, centre + 4 * sigma]))
        total[near] += size * np.exp(-0.5 * ((air[near] - centre) / sigma) ** 2)
    return total


def _scaled(pattern: FloatArray, size: float) -> FloatArray:
    """Give a pattern this root mean square where it is not 0."""
    seen = pattern[pattern != 0]
    return pattern * (size / np.sqrt(np.mean(seen**2))) if seen.size else pattern
