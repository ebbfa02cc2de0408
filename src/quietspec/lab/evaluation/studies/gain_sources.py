"""Where the gain of denoising before pPXF comes from: histories, regularisation, the denoiser, or the errors it gets.

At one S/N, spectra of the training part of recipe `paper` (so that no test spectrum decides an option) are fitted with
every combination of histories (smooth, mixtures of 1–5 SSPs), regularisation, denoiser and errors given to pPXF; noisy
spectra also with additive polynomials. The prior is the shipped one, which was trained on smooth histories: mixtures
are outside its distribution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.table import Table

from quietspec.arrays import FloatArray
from quietspec.denoisers import load_denoiser
from quietspec.lab.evaluation.recovery import recipe_options
from quietspec.lab.simulate import PaperRecipe, paper_spectra
from quietspec.lab.streams import stream
from quietspec.populations import Populations, fit_denoised, fit_populations, posterior_populations
from quietspec.populations.fit import Errors
from quietspec.templates import SspLibrary

__all__ = ["GainSettings", "gain_study", "gain_table"]

_REGULARISATIONS = (0.0, 10.0, 100.0)
_WAYS: tuple[tuple[str, Errors], ...] = (
    ("wiener", "input"), ("wiener", "sigma"), ("posterior", "input"), ("posterior", "flat"), ("posterior", "sigma"),
)  # fmt: skip


@dataclass(frozen=True)
class GainSettings:
    """How much is fitted.

    Parameters
    ----------
    n : int
        Spectra.
    snr : float
        Their S/N.
    seed : int
        Seed of the noise.
    jobs : int
        pPXF fits in parallel.
    regularisations : tuple of float
        Regularisations of pPXF.
    """

    n: int = 300
    snr: float = 5.0
    seed: int = 0
    jobs: int = 2
    regularisations: tuple[float, ...] = _REGULARISATIONS


def gain_study(library: SspLibrary, settings: GainSettings) -> list[dict[str, Any]]:
    """Fit all combinations.

    Parameters
    ----------
    library : SspLibrary
        Templates of the recipe and of pPXF.
    settings : GainSettings
        How much is fitted.

    Returns
    -------
    list of dict
        One record per combination: the options, and rms and bias of mass-weighted age and [M/H] in dex.
    """
    recipes = (PaperRecipe(library, histories="smooth"), PaperRecipe(library, histories="mixtures"))
    return [row for recipe in recipes for row in _rows(recipe, settings)]


def _rows(recipe: PaperRecipe, settings: GainSettings) -> Iterator[dict[str, Any]]:
    rest = next(paper_spectra(recipe, "train", 0, settings.n))
    simulated = recipe.observe(rest, stream("gain: noise", settings.seed), settings.snr)

    def row(regularisation: str, spectrum: str, errors: str, found: Populations) -> dict[str, Any]:
        options = {
            "histories": recipe.histories,
            "regularisation": regularisation,
            "spectrum": spectrum,
            "errors": errors,
        }
        return options | _scores(found, simulated.parameters)

    denoised = {name: load_denoiser(name, "paper").denoise(simulated.observed) for name in ("wiener", "posterior")}
    yield row("–", "populations", "–", posterior_populations(denoised["posterior"]))
    for regularisation in settings.regularisations:
        # SciPy's nnls (1.17) is faster, but never returns on some spectra without regularisation.
        options = replace(
            recipe_options(recipe), regularisation=regularisation, solver="nnls" if regularisation else "lsq_box"
        )
        for additive in (-1, 4):
            fitted = replace(options, additive=additive)
            noisy = fit_populations(simulated.observed, recipe.library, fitted, jobs=settings.jobs)
            name = "noisy" if additive < 0 else f"noisy, additive polynomial of degree {additive}"
            yield row(f"{regularisation:g}", name, "input", noisy)
        for name, errors in _WAYS:
            found = fit_denoised(denoised[name], recipe.library, options, errors=errors, jobs=settings.jobs)
            yield row(f"{regularisation:g}", name, errors, found)


def _scores(found: Populations, truth: Mapping[str, FloatArray]) -> dict[str, float]:
    scores: dict[str, float] = {}
    for short, name in (("age", "log_age_mw"), ("mh", "mh_mw")):
        error = found.values[name] - truth[name]
        scores |= {f"{short}_rms": float(np.sqrt(np.nanmean(error**2))), f"{short}_bias": float(np.nanmean(error))}
    return scores


def gain_table(rows: list[dict[str, Any]]) -> Table:
    """Tabulate the records of `gain_study`.

    Parameters
    ----------
    rows : list of dict
        The records.

    Returns
    -------
    rich.table.Table
        One row per record.
    """
    table = Table(*rows[0], box=None)
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:.3f}" for value in row.values()))
    return table
