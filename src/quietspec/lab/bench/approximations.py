"""What the posterior's approximations cost: its results against those without any approximation, on the same spectra.

The exact results take all directions of the basis in full (also those about which the data say next to nothing, which
are otherwise counted to first order) and all components of the mixture.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from quietspec.denoised import Denoised
from quietspec.denoisers import load_denoiser
from quietspec.denoisers.posterior import conditioning, denoiser, inference, masking
from quietspec.spectra import Spectra

__all__ = ["Approximation", "compare_with_exact"]

#: Thresholds of the approximations, and values at which nothing is approximated.
_THRESHOLDS: tuple[tuple[ModuleType, str, float], ...] = (
    (denoiser, "NEGLECTED", 0.0),
    (masking, "NEGLECTED_BEFORE", 0.0),
    (inference, "_NEGLIGIBLE", 1e-9),
    (inference, "_FIRST_ORDER", 1e-4),
    (conditioning, "_UNLIKELY", np.inf),
)


@dataclass(frozen=True)
class Approximation:
    """Differences from the exact results, in units of the stated errors, and processor time.

    Parameters
    ----------
    flux, error : tuple of float
        Median and 95th percentile over spectra of the rms difference of the flux, and of that of its error.
    labels : float
        rms difference of the labels.
    flags : int
        Spectra with other flags.
    milliseconds, exact_milliseconds : float
        Processor time per spectrum, with and without approximations.
    """

    flux: tuple[float, float]
    error: tuple[float, float]
    labels: float
    flags: int
    milliseconds: float
    exact_milliseconds: float


def compare_with_exact(spectra: Spectra) -> Approximation:
    """Denoise spectra with and without approximations.

    Parameters
    ----------
    spectra : Spectra
        Spectra with redshifts.

    Returns
    -------
    Approximation
        Differences and times.
    """
    usual, milliseconds = _timed(spectra)
    with _exact():
        exact, exact_milliseconds = _timed(spectra)
    used = exact.valid & usual.valid
    sigma = np.where(used, exact.sigma, 1)
    flux = _rms_ends(np.where(used, (usual.flux - exact.flux) / sigma, 0), used.sum(axis=1))
    error = _rms_ends(np.where(used, usual.sigma / sigma - 1, 0), used.sum(axis=1))
    labels = [np.abs(usual.parameters[name][0] - mean) / sigma for name, (mean, sigma) in exact.parameters.items()]
    return Approximation(
        flux=flux,
        error=error,
        labels=float(np.sqrt(np.nanmean(np.square(labels)))),
        flags=int(np.sum(usual.flags != exact.flags)),
        milliseconds=milliseconds,
        exact_milliseconds=exact_milliseconds,
    )


def _timed(spectra: Spectra) -> tuple[Denoised, float]:
    posterior = load_denoiser("posterior", "survey")
    start = time.process_time()
    return posterior.denoise(spectra), 1e3 * (time.process_time() - start) / len(spectra)


@contextmanager
def _exact() -> Iterator[None]:
    """Leave out the approximations for a while."""
    usual = [getattr(module, name) for module, name, _ in _THRESHOLDS]
    try:
        for module, name, value in _THRESHOLDS:
            setattr(module, name, value)
        yield
    finally:
        for (module, name, _), value in zip(_THRESHOLDS, usual, strict=True):
            setattr(module, name, value)


def _rms_ends(differences: np.ndarray[tuple[int, ...], np.dtype[np.floating]], n: object) -> tuple[float, float]:
    rms = np.sqrt(np.sum(differences**2, axis=1) / n)
    return float(np.median(rms)), float(np.quantile(rms, 0.95))
