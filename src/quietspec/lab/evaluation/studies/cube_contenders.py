"""Ways to denoise a cube that are compared: spaxel by spaxel, in bins, and as a whole."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.binning import INDEPENDENT, Binned, NoiseCorrelation, bin_spectra, bin_to_snr
from quietspec.denoised import Denoised, Flag
from quietspec.denoisers import load_denoiser
from quietspec.errors import QuietspecError
from quietspec.spectra import Spectra

__all__ = ["CONTENDERS", "REFERENCE", "Contender", "available", "denoise_bins", "make_contender"]

Contender = Callable[[Spectra], Denoised]

REFERENCE = "spaxels"  #: contender with which the others are compared
_TARGET = 20.0  # S/N of the bins


def make_contender(name: str, model: str = "survey") -> Contender:
    """Make a contender.

    Parameters
    ----------
    name : str
        Key of `CONTENDERS`.
    model : str, optional
        Shipped model, or path of an .npz.

    Returns
    -------
    callable
        Function from a cube to its estimate, spaxel by spaxel.

    Raises
    ------
    QuietspecError
        If there is no such contender, or not in this version.
    """
    if name not in CONTENDERS:
        raise QuietspecError(f"no contender {name!r}; there are {', '.join(CONTENDERS)}.")
    return CONTENDERS[name](model)


def available() -> list[str]:
    """Names of the contenders that this version has."""
    return [name for name in CONTENDERS if name != "spatial" or _knows_spatial()]


def denoise_bins(
    spectra: Spectra, denoise: Contender, target: float = _TARGET, correlation: NoiseCorrelation = INDEPENDENT
) -> Denoised:
    """Denoise the bins of a cube, and give each spaxel the answer of its bin, scaled to its own brightness.

    Parameters
    ----------
    spectra : Spectra
        The cube.
    denoise : callable
        What denoises the sums over bins.
    target : float, optional
        S/N of a bin (`bin_to_snr`).
    correlation : NoiseCorrelation, optional
        Correlation of the noise between spaxels; none by default.

    Returns
    -------
    Denoised
        Estimates of the spaxels; those in no bin are flagged as empty. Errors are those of the bin's estimate and of
        the spaxel's brightness. There is no covariance.
    """
    binned = bin_spectra(spectra, bin_to_snr(spectra, target, correlation), correlation)
    return _on_spaxels(spectra, binned, denoise(binned.spectra))


def _on_spaxels(spectra: Spectra, binned: Binned, of_bins: Denoised) -> Denoised:
    outside = binned.number < 0
    spread = of_bins[np.maximum(binned.number, 0)]
    scale, error = _brightness(spectra, spread.flux)
    unknown = outside | ~np.isfinite(scale)
    flux = np.where(unknown[:, None], np.nan, scale[:, None] * spread.flux)
    sigma = np.hypot(scale[:, None] * spread.sigma, error[:, None] * spread.flux)
    parameters = {
        name: (np.where(outside, np.nan, mean), np.where(outside, np.nan, error))
        for name, (mean, error) in spread.parameters.items()
    }
    changes: dict[str, Any] = dict.fromkeys(("factor_of", "nucleus_of", "remainder", "lines"))
    return replace(
        spread,
        spectra=spectra,
        flux=flux,
        sigma=np.where(unknown[:, None], np.nan, sigma),
        flags=np.where(unknown, int(Flag.EMPTY), spread.flags),
        ignored=np.zeros(flux.shape, dtype=bool),
        parameters=parameters,
        **changes,
    )


def _brightness(spectra: Spectra, flux: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Factor by which each spaxel's data fit an estimate best, and its error, (n_spaxels,) each."""
    weight = np.where(spectra.good & np.isfinite(flux), spectra.ivar, 0.0).astype(np.float64)
    model, data = (np.where(weight > 0, values, 0.0) for values in (flux, spectra.flux))
    square = np.vecdot(weight * model, model)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.vecdot(weight * model, data) / square, 1 / np.sqrt(square)


def _spaxels(model: str) -> Contender:
    return load_denoiser("posterior", model).denoise


def _bins(model: str) -> Contender:
    return partial(denoise_bins, denoise=_spaxels(model))


def _knows_spatial() -> bool:
    return "spatial" in inspect.signature(load_denoiser).parameters


def _spatial(model: str) -> Contender:
    if not _knows_spatial():
        raise QuietspecError("this version denoises spaxel by spaxel only: load_denoiser has no spatial=True.")
    options: dict[str, Any] = {"spatial": True}
    return load_denoiser("posterior", model, **options).denoise


#: Contenders by name; each is made for a model.
CONTENDERS: dict[str, Callable[[str], Contender]] = {
    REFERENCE: _spaxels,
    "bins of S/N 20": _bins,
    "spatial": _spatial,
}
