"""Galaxies that are the same at every S/N, and what an observation adds to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from quietspec.lab.simulate.emission import random_gas
from quietspec.lab.simulate.instruments import INSTRUMENTS
from quietspec.lab.simulate.simulated import Recipe, RestSpectra, Simulated
from quietspec.lab.simulate.survey import SurveyRecipe, halpha_continuum
from quietspec.lab.streams import stream

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Draws", "viewing_of"]


@dataclass(frozen=True, eq=False)
class Draws:
    """Two random streams for one set of test spectra.

    Parameters
    ----------
    galaxies : numpy.random.Generator
        For stars, motions, dust, gas, instrument and redshift.
    noise : numpy.random.Generator
        For noise, calibration errors, spikes and masks.
    """

    galaxies: np.random.Generator
    noise: np.random.Generator

    @classmethod
    def of(cls, purpose: str, snr: float, seed: int, *key: int) -> Self:
        """Make the streams of a purpose; the galaxies do not depend on the S/N.

        Parameters
        ----------
        purpose : str
            Name of the purpose (`stream`).
        snr : float
            The S/N.
        seed : int
            What the user gives.
        *key : int
            Which set.

        Returns
        -------
        Draws
            The same at every call.
        """
        noise = stream(f"{purpose}: noise", seed, *key, round(1e6 * snr))
        return cls(stream(f"{purpose}: galaxies", seed, *key), noise)

    def simulate(
        self, recipe: Recipe, n: int, snr: float, instrument: str | None = None, redshift: float | None = None
    ) -> Simulated:
        """Draw galaxies and observe them.

        Parameters
        ----------
        recipe : Recipe
            The simulated world.
        n : int
            Number of spectra.
        snr : float
            Their S/N.
        instrument : str, optional
            Name in `INSTRUMENTS`; drawn if not given.
        redshift : float, optional
            Redshift; drawn if not given.

        Returns
        -------
        Simulated
            The spaxels of one galaxy.
        """
        return self.observe(recipe, recipe.rest(n, self.galaxies), snr, instrument, redshift)

    def observe(
        self,
        recipe: Recipe,
        rest: RestSpectra,
        snr: float,
        instrument: str | None = None,
        redshift: float | None = None,
    ) -> Simulated:
        """Observe galaxies whose stars are given.

        Parameters
        ----------
        recipe : Recipe
            The simulated world.
        rest : RestSpectra
            Noise-free spectra.
        snr : float
            Their S/N.
        instrument : str, optional
            Name in `INSTRUMENTS`; drawn if not given.
        redshift : float, optional
            Redshift; drawn if not given.

        Returns
        -------
        Simulated
            The spaxels of one galaxy.
        """
        observe: Callable[..., Simulated] = recipe.observe
        return observe(rest, self.noise, snr, **viewing_of(recipe, rest, self.galaxies, instrument, redshift))


def viewing_of(
    recipe: Recipe,
    rest: RestSpectra,
    rng: np.random.Generator,
    instrument: str | None = None,
    redshift: float | None = None,
) -> dict[str, Any]:
    """Draw what belongs to galaxies beside their stars: instrument, redshift and gas.

    Parameters
    ----------
    recipe : Recipe
        The simulated world.
    rest : RestSpectra
        Noise-free spectra.
    rng : numpy.random.Generator
        Source of the draws.
    instrument : str, optional
        Name in `INSTRUMENTS`; drawn from those of the recipe if not given.
    redshift : float, optional
        Redshift; drawn from the instrument's range if not given.

    Returns
    -------
    dict
        Keywords of the recipe's `observe`; none with the recipe `paper`, which knows neither.
    """
    if not isinstance(recipe, SurveyRecipe):
        return {}
    name = instrument or recipe.instruments[rng.integers(len(recipe.instruments))].name
    z = float(rng.uniform(*recipe.redshifts(INSTRUMENTS[name]))) if redshift is None else redshift
    known = rest.parameters
    gas = random_gas(halpha_continuum(rest), known["a_v"], known["velocity"], rng, recipe.prior.emission)
    return {"instrument": name, "redshift": z, "gas": gas}
