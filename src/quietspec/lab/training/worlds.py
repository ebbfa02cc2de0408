"""Train a prior on a recipe: draw its training spectra, weigh them by its noise, choose the PCA's size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoisers import PrincipalComponents, SpectralPrior
from quietspec.lab.simulate import SAMI_NOISE, PaperRecipe, Recipe, RestSpectra, SurveyRecipe, paper_spectra
from quietspec.lab.training.prior import PriorSettings, fit_prior, refit_labels

__all__ = ["relabelled_prior", "train_prior", "training_spectra"]

_TRAINING, _TUNING = 1, 2  # children of the seed; evaluation uses the seed itself
_TUNING_SPECTRA, _TUNING_SNR = 300, 10.0
_PCA_SIZES = range(2, 13)
_NOISIEST = 3.0


def training_spectra(recipe: Recipe, n: int, seed: int) -> RestSpectra:
    """Draw noise-free spectra for training.

    Parameters
    ----------
    recipe : Recipe
        The simulated world. Of the recipe `paper` the first `n` of the training part are used.
    n : int
        Number of spectra.
    seed : int
        Seed (not used by the recipe `paper`, whose split is fixed).

    Returns
    -------
    RestSpectra
        Of the recipe `survey` with its smooth calibration error, since that is part of what is to be recovered.
    """
    if isinstance(recipe, PaperRecipe):
        return _joined(list(paper_spectra(recipe, "train", 0, n)))
    rng = np.random.default_rng((seed, _TRAINING))
    parts = [recipe.rest(min(2000, n - start), rng) for start in range(0, n, 2000)]
    if isinstance(recipe, SurveyRecipe):
        parts = [recipe.miscalibrated(part, rng) for part in parts]
    return _joined(parts)


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
        The simulated world.
    n : int
        Training spectra.
    seed : int
        Seed of all draws.
    settings : PriorSettings, optional
        Sizes and stopping rules.
    progress : callable, optional
        Called with a line of text now and then.

    Returns
    -------
    SpectralPrior
        Its card says how it was trained: recipe, library, seed, number of spectra, settings, emission handling, size
        of the PCA.
    """
    settings = settings or PriorSettings()
    rest = training_spectra(recipe, n, seed)
    progress(f"{len(rest)} training spectra of {len(rest.wavelength)} pixels drawn")
    card = {
        "recipe": recipe.name,
        "library": recipe.library.name,
        "n": n,
        "seed": seed,
        "settings": asdict(settings),
        "emission": "none" if recipe.name == "paper" else "auto",
        "noise": "quoted" if recipe.name == "paper" else "measured",
    }
    prior = fit_prior(
        rest,
        _relative_sigma(rest.wavelength),
        np.interp(rest.wavelength, recipe.library.wavelength, recipe.library.fwhm),
        np.random.default_rng((seed, _TRAINING, 1)),
        settings,
        card=card,
        progress=lambda number, value: progress(f"EM round {number}: held-out log likelihood {value:.3f}"),
    )
    return replace(prior, card={**card, "pca_components": _best_pca(prior, recipe, seed)})


def relabelled_prior(prior: SpectralPrior, recipe: Recipe, n: int, seed: int) -> SpectralPrior:
    """Fit the labels of a trained prior anew, to the spectra it was trained on.

    Parameters
    ----------
    prior : SpectralPrior
        From `train_prior`.
    recipe : Recipe
        The simulated world it was trained on.
    n : int
        Training spectra.
    seed : int
        Seed of all draws.

    Returns
    -------
    SpectralPrior
        The same but for its labels.
    """
    rest = training_spectra(recipe, n, seed)
    rng = np.random.default_rng((seed, _TRAINING, 2))
    return refit_labels(prior, rest, _relative_sigma(rest.wavelength), rng)


def _joined(parts: list[RestSpectra]) -> RestSpectra:
    names = parts[0].parameters
    return RestSpectra(
        wavelength=parts[0].wavelength,
        flux=np.concatenate([part.flux for part in parts]),
        parameters={name: np.concatenate([part.parameters[name] for part in parts]) for name in names},
    )


def _relative_sigma(wavelength: FloatArray) -> FloatArray:
    """SAMI's median law, at most `_NOISIEST`: other surveys' noise rises less to the blue."""
    return np.asarray(np.minimum(SAMI_NOISE.relative_sigma(wavelength)[0].astype(np.float64), _NOISIEST))


def _best_pca(prior: SpectralPrior, recipe: Recipe, seed: int) -> int:
    """Number of components at which plain PCA leaves the least residual on tuning spectra of S/N 10."""
    rng = np.random.default_rng((seed, _TUNING))
    simulated = recipe.simulate(_TUNING_SPECTRA, rng, _TUNING_SNR)
    errors = []
    for size in _PCA_SIZES:
        estimate = PrincipalComponents("pca", prior, size).denoise(simulated.observed).flux
        errors.append(np.sqrt(np.nanmean((estimate - simulated.truth) ** 2, axis=1)).mean())
    return int(_PCA_SIZES[int(np.nanargmin(errors))])
