"""Training of a prior on a recipe: draw spectra, fit the prior, choose the number of components for plain PCA.

Priors of the recipe `survey` are of stars and dust at rest, since the posterior has motions and flux
calibration as parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoisers import PrincipalComponents, SpectralPrior
from quietspec.lab.simulate import (
    SAMI_NOISE,
    PaperRecipe,
    Recipe,
    RestSpectra,
    SurveyRecipe,
    get_recipe,
    paper_spectra,
)
from quietspec.lab.streams import training_stream
from quietspec.lab.training.prior import fit_prior, refit_labels
from quietspec.lab.training.settings import PriorRun, PriorSettings
from quietspec.templates import SspLibrary

__all__ = ["relabelled_prior", "train_from", "train_prior", "training_spectra"]

_TRAINING, _TUNING = 1, 2  # streams of a seed
_TUNING_SPECTRA, _TUNING_SNR = 300, 10.0
_PCA_SIZES = range(2, 13)
_DRAWN_AT_ONCE = 2000
_NOISIEST = 3.0  # in units of the noise in the S/N window
_ULTRAVIOLET = 3000.0  # Å


def training_spectra(recipe: Recipe, n: int, seed: int) -> RestSpectra:
    """Draw noise-free spectra for training.

    Parameters
    ----------
    recipe : Recipe
        Simulated world.
    n : int
        Number of spectra; with the recipe `paper`, the first `n` of its training part.
    seed : int
        Seed (not used by the recipe `paper`, whose split is fixed).

    Returns
    -------
    RestSpectra
        Spectra; those of the recipe `survey` are at rest, unbroadened, and over all wavelengths of the library.
    """
    return RestSpectra.stack(list(_drawn(recipe, n, seed)))


def _drawn(recipe: Recipe, n: int, seed: int) -> Iterator[RestSpectra]:
    """Training spectra, some at a time."""
    if isinstance(recipe, PaperRecipe):
        yield from paper_spectra(recipe, "train", 0, n)
        return
    rng = training_stream(seed, _TRAINING)
    world = _world_of_training(recipe)
    for start in range(0, n, _DRAWN_AT_ONCE):
        yield world.rest(min(_DRAWN_AT_ONCE, n - start), rng)


def train_from(
    run: PriorRun, library: SspLibrary, *, progress: Callable[[str], None] = lambda _: None
) -> SpectralPrior:
    """Train the prior that a run describes.

    Parameters
    ----------
    run : PriorRun
        All settings.
    library : SspLibrary
        Templates of the training spectra; the shipped priors use MILES.
    progress : callable, optional
        Called with a line of text at each step.

    Returns
    -------
    SpectralPrior
        As `train_prior` returns it.
    """
    return train_prior(get_recipe(run.recipe, library), run.n, run.seed, run.settings, progress=progress)


def train_prior(
    recipe: Recipe,
    n: int,
    seed: int,
    settings: PriorSettings | None = None,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> SpectralPrior:
    """Train a prior on a recipe.

    Parameters
    ----------
    recipe : Recipe
        Simulated world.
    n : int
        Number of training spectra.
    seed : int
        Seed of all draws.
    settings : PriorSettings, optional
        Sizes and stopping rules.
    progress : callable, optional
        Called with a line of text at each step.

    Returns
    -------
    SpectralPrior
        Prior whose card states how it was trained (recipe, library, number of spectra, seed, settings) and how it is to
        be used (emission lines, noise, kinematics where they are explicit, number of components for plain PCA).
    """
    settings = settings or PriorSettings()
    drawn = _drawn(recipe, n, seed)
    parts = None if settings.basis_spectra is None else -(-settings.basis_spectra // _DRAWN_AT_ONCE)
    rest = RestSpectra.stack(list(islice(drawn, parts)))
    progress(f"{len(rest)} of {n} training spectra of {len(rest.wavelength)} pixels drawn")
    own = _world_of_training(recipe).library
    card = {
        "recipe": recipe.name,
        "library": recipe.libraries,
        "n": n,
        "seed": seed,
        "settings": settings.model_dump(),
        "emission": "none" if recipe.name == "paper" else "auto",
        "noise": "quoted" if recipe.name == "paper" else "measured",
        **({"kinematics": "explicit"} if isinstance(recipe, SurveyRecipe) else {}),
        **({"nucleus_components": settings.n_nucleus} if settings.n_nucleus else {}),
    }
    prior = fit_prior(
        rest,
        relative_noise(rest.wavelength),
        np.interp(rest.wavelength, own.wavelength, own.fwhm),
        training_stream(seed, _TRAINING, 1),
        settings,
        more=drawn,
        card=card,
        progress=lambda number, value: progress(f"EM round {number}: held-out log likelihood {value:.3f}"),
    )
    return replace(prior, card={**card, "pca_components": _best_pca(prior, recipe, seed)})


def relabelled_prior(prior: SpectralPrior, recipe: Recipe, n: int, seed: int) -> SpectralPrior:
    """Fit the labels of a trained prior again, to the spectra it was trained on.

    Parameters
    ----------
    prior : SpectralPrior
        Prior made by `train_prior`.
    recipe : Recipe
        Simulated world that it was trained on.
    n : int
        Number of training spectra.
    seed : int
        Seed of all draws.

    Returns
    -------
    SpectralPrior
        The same prior over spectra, with new labels.
    """
    rest = training_spectra(recipe, n, seed)
    rng = training_stream(seed, _TRAINING, 2)
    return refit_labels(prior, rest, relative_noise(rest.wavelength), rng)


def _world_of_training(recipe: Recipe) -> Recipe:
    """World that a prior is to learn: the recipe `survey` at rest."""
    return recipe.at_rest() if isinstance(recipe, SurveyRecipe) else recipe


def relative_noise(wavelength: FloatArray) -> FloatArray:
    """SAMI's median noise law, at most `_NOISIEST`, since the noise of other surveys rises less towards the blue."""
    # The ultraviolet is observed at other wavelengths at each redshift.
    if wavelength[0] < _ULTRAVIOLET:
        return np.ones(len(wavelength))
    return np.asarray(np.minimum(SAMI_NOISE.relative_sigma(wavelength)[0].astype(np.float64), _NOISIEST))


def _best_pca(prior: SpectralPrior, recipe: Recipe, seed: int) -> int:
    """Number of components with which plain PCA leaves the smallest residual on tuning spectra of S/N 10."""
    rng = training_stream(seed, _TUNING)
    simulated = recipe.simulate(_TUNING_SPECTRA, rng, _TUNING_SNR)
    sizes = [size for size in _PCA_SIZES if size <= prior.n_components]
    errors = []
    for size in sizes:
        estimate = PrincipalComponents("pca", prior, size).denoise(simulated.observed).flux
        errors.append(np.sqrt(np.nanmean((estimate - simulated.truth) ** 2, axis=1)).mean())
    return sizes[int(np.nanargmin(errors))]
