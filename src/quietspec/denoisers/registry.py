"""Denoisers by name: the smoothers, and those that rest on a model file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from importlib.resources import as_file
from pathlib import Path
from typing import Final, Literal, cast, get_args

from quietspec.denoisers.base import Denoiser, Emission
from quietspec.denoisers.choice import ByCoverage
from quietspec.denoisers.network import NetworkDenoiser
from quietspec.denoisers.posterior import KinematicPosterior, Posterior, PrincipalComponents, SpectralPrior
from quietspec.denoisers.posterior.walk import Noise
from quietspec.denoisers.shipped import (
    NETWORKS,
    PRIORS,
    ShippedModel,
    ShippedNetwork,
    model_cards,
    network_file,
    prior_file,
)
from quietspec.denoisers.smoothers import Butterworth, Gaussian, SavitzkyGolay
from quietspec.denoisers.spatial import SpatialPosterior
from quietspec.denoisers.wavelet import Wavelet
from quietspec.errors import ModelError

__all__ = ["AUTO", "DENOISERS", "DenoiserName", "load_denoiser", "load_prior", "posterior_of"]

SmootherName = Literal["gaussian", "savgol", "butterworth", "wavelet"]
BasisName = Literal["pca", "wiener", "posterior"]
DenoiserName = SmootherName | BasisName | ShippedNetwork

_SMOOTHERS: dict[str, Callable[[], Denoiser]] = {
    "gaussian": Gaussian,
    "savgol": SavitzkyGolay,
    "butterworth": Butterworth,
    "wavelet": Wavelet,
}
AUTO: Final = "auto"  #: model that is chosen by coverage …
_BY_COVERAGE: tuple[ShippedModel, ...] = ("survey", "ultraviolet")  # … among these; the first is preferred
_BASIS: tuple[BasisName, ...] = get_args(BasisName)

DENOISERS: tuple[str, ...] = (*_SMOOTHERS, *_BASIS, *NETWORKS)  #: names that `load_denoiser` knows


def load_denoiser(
    name: DenoiserName | str | Path,
    model: Literal["auto"] | ShippedModel | str | Path = AUTO,
    emission: Emission | None = None,
    *,
    spatial: bool = False,
) -> Denoiser:
    """Make a denoiser.

    Parameters
    ----------
    name : str or path
        One of `DENOISERS`, or the path of an ``.onnx`` file written by ``quietspec lab train-network``.
    model : str or path
        For 'pca', 'wiener' and 'posterior': the name of a shipped prior ('survey', 'ultraviolet', 'paper'), or a file
        written by ``quietspec lab train``. 'auto' is 'survey', but 'ultraviolet' for spectra of which it covers more
        and 'survey' leaves out over a tenth of the pixels (not with 'pca').
    emission : {'auto', 'strong', 'none', 'fit'}, optional
        For the same: how gas emission lines are treated; as the model's card says by default. 'fit', with 'posterior'
        and a prior at rest such as 'survey', fits them with the stars.
    spatial : bool
        For 'posterior' and a prior at rest: whether the spaxels of a cube learn from their galaxy and neighbours;
        'auto' is then 'survey'.

    Returns
    -------
    Denoiser
        The denoiser, ready to use.

    Raises
    ------
    ModelError
        If the name or the model is unknown, a file is damaged, or a package it needs is not installed.

    Examples
    --------
    >>> from importlib.resources import files
    >>> import quietspec
    >>> cube = quietspec.read(str(files("quietspec.models") / "demo.fits"))
    >>> denoised = quietspec.load_denoiser("posterior").denoise(cube[:2])
    >>> bool((denoised.snr > cube[:2].snr).all())
    True
    >>> print(quietspec.load_denoiser("gaussian").model)
    Gaussian(width=4.0)
    """
    text = str(name)
    if spatial and text != "posterior":
        raise ModelError(f"{text} denoises each spaxel by itself; only 'posterior' takes them together.")
    if text in _SMOOTHERS:
        return _SMOOTHERS[text]()
    if text in NETWORKS:
        with as_file(network_file(text)) as path:
            return NetworkDenoiser(text, path)
    if Path(name).suffix == ".onnx":
        return NetworkDenoiser(Path(name).stem, name)
    if text not in _BASIS:
        raise ModelError(f"no denoiser {text!r}; there are {', '.join(DENOISERS)}, and files that end in .onnx.")
    if spatial:
        return _spatial(text, _BY_COVERAGE[0] if model == AUTO else model, emission)
    if model != AUTO:
        return _resting_on(text, model, emission)
    if text == "pca":
        return _resting_on(text, _BY_COVERAGE[0], emission)
    return ByCoverage(text, {one: partial(_kinematic, text, one, emission) for one in _BY_COVERAGE})


def _kinematic(text: str, model: str, emission: Emission | None) -> KinematicPosterior:
    """Denoiser of a model of `_BY_COVERAGE`, all of which are at rest."""
    return cast("KinematicPosterior", _resting_on(text, model, emission))


def _spatial(text: str, model: str | Path, emission: Emission | None) -> Denoiser:
    """Denoiser of cubes as a whole."""
    prior = load_prior(model)
    with _card_blamed(model):
        if not prior.at_rest:
            raise ModelError("cubes are denoised as a whole with a prior at rest, such as 'survey'; this is none.")
        return SpatialPosterior(text, prior, emission=emission)


def _resting_on(text: str, model: str | Path, emission: Emission | None) -> Denoiser:
    """Denoiser that rests on a prior."""
    prior = load_prior(model)
    with _card_blamed(model):
        if text == "pca":
            return PrincipalComponents(text, prior, emission=emission)
        return posterior_of(text, prior if text == "posterior" else prior.collapsed(), emission)


def posterior_of(
    name: str, prior: SpectralPrior, emission: Emission | None = None, noise: Noise | None = None
) -> Posterior | KinematicPosterior:
    """Make the posterior that goes with a prior: with motions as parameters if the prior is at rest.

    Parameters
    ----------
    name : str
        Name in tables.
    prior : SpectralPrior
        The prior.
    emission, noise : str, optional
        As for `Posterior`.

    Returns
    -------
    Posterior or KinematicPosterior
        The denoiser.
    """
    return (KinematicPosterior if prior.at_rest else Posterior)(name, prior, emission=emission, noise=noise)


@contextmanager
def _card_blamed(model: str | Path) -> Iterator[None]:
    """Turn whatever a model's card gives rise to into a `ModelError` that names the model."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{model}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{model}: its card is damaged ({type(error).__name__}: {error}). Train it again.") from error


def load_prior(model: ShippedModel | str | Path) -> SpectralPrior:
    """Load a prior.

    Parameters
    ----------
    model : str or path
        Name of a shipped prior, or path of a model file.

    Returns
    -------
    SpectralPrior
        The prior; shipped ones are checked against the hash in their card.

    Raises
    ------
    ModelError
        If there is no such model, or it is damaged.

    Examples
    --------
    >>> from quietspec.denoisers import load_prior
    >>> load_prior("survey").label_names[:2]
    ('log_age_mw', 'mh_mw')
    """
    if str(model) in PRIORS:
        return _shipped(str(model))
    if Path(model).suffix != ".npz":
        raise ModelError(f"no model {str(model)!r}; shipped: {', '.join(PRIORS)}. Or give the path of an .npz.")
    return SpectralPrior.load(model)


@lru_cache(maxsize=4)
def _shipped(name: str) -> SpectralPrior:
    with as_file(prior_file(name)) as path:
        prior = SpectralPrior.load(path)
    if prior.hash != model_cards()[name]["hash"]:
        raise ModelError(f"shipped model {name!r} does not match its card's hash: reinstall quietspec.")
    return prior
