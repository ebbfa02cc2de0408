"""Train a prior of stellar populations and dust at rest: no motions, no calibration errors, the library's sharpness."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quietspec.denoisers import SpectralPrior
from quietspec.lab.simulate import SurveyRecipe
from quietspec.lab.training.prior import fit_prior
from quietspec.lab.training.settings import PriorSettings
from quietspec.lab.training.worlds import relative_noise, training_spectra
from quietspec.templates import SspLibrary

__all__ = ["rest_frame_recipe", "train_rest_prior"]

_MARGIN = 1.0  # Å: the library's own ends are left out
_STREAM = 4  # child of the seed


def rest_frame_recipe(library: SspLibrary) -> SurveyRecipe:
    """Make the recipe `survey` without motions and calibration errors, over all wavelengths of a library.

    Parameters
    ----------
    library : SspLibrary
        In air.

    Returns
    -------
    SurveyRecipe
        Its spectra reach beyond the default limits of `survey` by some 2400 km/s, which broadening and shifts use up.
    """
    limits = float(library.wavelength[0]) + _MARGIN, float(library.wavelength[-1]) - _MARGIN
    return SurveyRecipe(
        library,
        limits=limits,
        margin=0.0,
        velocity=False,
        dispersion=False,
        higher_moments=False,
        calibration_error=False,
    )


def train_rest_prior(
    library: SspLibrary,
    n: int,
    seed: int,
    settings: PriorSettings,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> SpectralPrior:
    """Train a prior of unbroadened spectra at rest.

    Parameters
    ----------
    library : SspLibrary
        In air.
    n : int
        Training spectra.
    seed : int
        Seed of all draws.
    settings : PriorSettings
        Sizes and stopping rules.
    progress : callable, optional
        Called with a line of text now and then.

    Returns
    -------
    SpectralPrior
        Its labels are those of stars and dust; its card says how it was trained.
    """
    recipe = rest_frame_recipe(library)
    rest = training_spectra(recipe, n, seed)
    progress(f"{len(rest)} training spectra of {len(rest.wavelength)} pixels drawn")
    return fit_prior(
        rest,
        relative_noise(rest.wavelength),
        np.interp(rest.wavelength, library.wavelength, library.fwhm),
        np.random.default_rng((seed, _STREAM)),
        settings,
        card={
            "recipe": "survey at rest",
            "library": library.name,
            "n": n,
            "seed": seed,
            "settings": settings.model_dump(mode="json"),
            "emission": "auto",
            "noise": "measured",
        },
        progress=lambda number, value: progress(f"EM round {number}: held-out log likelihood {value:.3f}"),
    )
