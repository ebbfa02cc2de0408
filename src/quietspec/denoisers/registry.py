"""Denoisers by name: the smoothers, and those that stand on the shipped (or your own) model files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, TypeVar

from quietspec.denoisers.base import Denoiser
from quietspec.denoisers.network import NetworkDenoiser
from quietspec.denoisers.posterior.denoiser import Emission, Posterior, PrincipalComponents
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.denoisers.smoothers import Butterworth, Gaussian, SavitzkyGolay, Wavelet
from quietspec.errors import ModelError

__all__ = ["DENOISERS", "load_denoiser", "load_prior", "model_cards"]

_Model = TypeVar("_Model", SpectralPrior, NetworkDenoiser)

_SMOOTHERS: dict[str, Callable[[], Denoiser]] = {
    "gaussian": Gaussian,
    "savgol": SavitzkyGolay,
    "butterworth": Butterworth,
    "wavelet": Wavelet,
}
_LEARNED = ("pca", "wiener", "posterior")


def _shipped_names(suffix: str) -> tuple[str, ...]:
    names = (entry.name for entry in files("quietspec.models").iterdir())
    return tuple(sorted(name.removesuffix(suffix) for name in names if name.endswith(suffix)))


_NETWORKS = _shipped_names(".onnx")

DENOISERS: tuple[str, ...] = (*_SMOOTHERS, *_LEARNED, *_NETWORKS)  #: names `load_denoiser` knows


def load_denoiser(
    name: str, model: str | Path = "survey", emission: Emission | None = None, *, discrepancy: bool = True
) -> Denoiser:
    """Make a denoiser.

    Parameters
    ----------
    name : str
        One of `DENOISERS`, or path of an ``.onnx`` file written by ``quietspec train-network``.
    model : str or path
        For 'pca', 'wiener' and 'posterior': name of a shipped prior ('survey', 'paper'), or a file written by
        ``quietspec train``.
    emission : {'auto', 'strong', 'none'}, optional
        For the same: how gas emission lines are treated; what the model's card says if not given.
    discrepancy : bool, optional
        For 'wiener' and 'posterior': allow for what real spectra have and the prior does not. False for simulated ones.

    Returns
    -------
    Denoiser
        Ready to use.

    Raises
    ------
    ModelError
        If the name or the model is unknown, or the file is damaged.

    Examples
    --------
    >>> import quietspec
    >>> quietspec.load_denoiser("posterior").name
    'posterior'
    """
    if name in _SMOOTHERS:
        return _SMOOTHERS[name]()
    if name in _NETWORKS:
        with as_file(files("quietspec.models") / f"{name}.onnx") as path:
            return _checked(NetworkDenoiser(name, path), name)
    if Path(name).suffix == ".onnx":
        return NetworkDenoiser(Path(name).stem, name)
    if name not in _LEARNED:
        raise ModelError(f"no denoiser {name!r}; there are {', '.join(DENOISERS)}.")
    prior = load_prior(model)
    if name == "pca":
        return PrincipalComponents(name, prior, emission=emission)
    return Posterior(name, prior if name == "posterior" else prior.collapsed(), emission, discrepancy=discrepancy)


def load_prior(model: str | Path) -> SpectralPrior:
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
    """
    shipped = _shipped_names(".npz")
    if str(model) in shipped:
        return _shipped(str(model))
    if Path(model).suffix != ".npz":
        raise ModelError(f"no model {str(model)!r}; shipped: {', '.join(shipped)}. Or give the path of an .npz.")
    return SpectralPrior.load(model)


def model_cards() -> Mapping[str, dict[str, Any]]:
    """Cards of the shipped models, by name: recipe, seed, commit, command, time, scores and hash."""
    entries = sorted(files("quietspec.models").iterdir(), key=lambda entry: entry.name)
    return {
        entry.name.removesuffix(".json"): json.loads(entry.read_text(encoding="utf-8"))
        for entry in entries
        if entry.name.endswith(".json")
    }


@lru_cache(maxsize=4)
def _shipped(name: str) -> SpectralPrior:
    with as_file(files("quietspec.models") / f"{name}.npz") as path:
        return _checked(SpectralPrior.load(path), name)


def _checked(model: _Model, name: str) -> _Model:
    if model.hash != model_cards()[name]["hash"]:
        raise ModelError(f"shipped model {name!r} does not match its card's hash: reinstall quietspec.")
    return model
