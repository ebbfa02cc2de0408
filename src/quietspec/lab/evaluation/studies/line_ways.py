"""What the studies of lines share: galaxies that all have gas, both ways to fit them, scores of fluxes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised
from quietspec.denoisers import KinematicPosterior, SpectralPrior
from quietspec.lab.simulate import Simulated, SurveyRecipe

__all__ = ["LINES", "all_with_gas", "both_ways", "flux_scores", "inside"]

LINES = ("Hbeta", "[OIII]5007", "Halpha", "[NII]6583")  #: lines that are scored
_EW_HALPHA = (3.0, 100.0)  # Å


class Drawn(Protocol):
    """Simulated spectra, with whatever a study knows of them."""

    @property
    def made(self) -> Simulated:
        """The spectra."""
        ...


AnyDrawn = TypeVar("AnyDrawn", bound=Drawn)


def all_with_gas(recipe: SurveyRecipe) -> SurveyRecipe:
    """Return the recipe in which every galaxy has lines, with equivalent widths of Hα of 3–100 Å.

    Parameters
    ----------
    recipe : SurveyRecipe
        Galaxies.

    Returns
    -------
    SurveyRecipe
        The same in all else.
    """
    with_gas = copy(recipe)
    emission = replace(recipe.prior.emission, gas_fraction=1.0, ew_halpha=_EW_HALPHA)
    with_gas.prior = replace(recipe.prior, emission=emission)
    return with_gas


def both_ways(
    prior: SpectralPrior,
    drawn: Sequence[AnyDrawn],
    alone: str,
    scores: Callable[[list[tuple[AnyDrawn, Denoised]]], dict[str, Any]],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Fit spectra with one component of one motion, and with what the evidence asks for.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    drawn : sequence
        Simulated spectra.
    alone : str
        Name of the first way.
    scores : callable
        Scores pairs of simulated and fitted spectra.

    Yields
    ------
    str, dict
        Name of the way, and its scores.
    """
    for name, further in ((alone, False), ("by evidence", True)):
        fit = KinematicPosterior("posterior", prior, emission="fit", two_components=further)
        yield name, scores([(one, fit.denoise(one.made.observed)) for one in drawn])


def inside(pulls: FloatArray, limit: float) -> float:
    """Return the share of pulls below a limit, to either side."""
    return float(np.mean(np.abs(pulls) < limit))


def flux_scores(value: FloatArray, sigma: FloatArray, truth: FloatArray) -> dict[str, float]:
    """Score fluxes of a line.

    Parameters
    ----------
    value, sigma, truth : (n,)
        Fluxes, their errors, and true ones; those without an estimate are left out.

    Returns
    -------
    dict of str to float
        Coverage, slope, mean pull (each at most 5), and median errors.
    """
    known = np.isfinite(value) & (sigma > 0)
    value, sigma, truth = value[known], sigma[known], truth[known]
    pulls = (value - truth) / sigma
    return {
        "inside 68": inside(pulls, 1.0),
        "inside 95": inside(pulls, 1.96),
        "slope": float(np.sum(truth * value / sigma**2) / np.sum(truth**2 / sigma**2)),
        "mean pull": float(np.mean(np.clip(pulls, -5, 5))),
        "typical error": float(np.median(np.abs(value - truth))),
        "median relative error": float(np.median(np.abs(value / truth - 1))),
    }
