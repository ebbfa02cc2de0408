"""Learn a `SpectralPrior` from noise-free simulated spectra: noise-weighted PCA, then EM on its coefficients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.errors import ModelError
from quietspec.lab.simulate import RestSpectra
from quietspec.lab.training.mixture import Mixture, fit_mixture
from quietspec.lab.training.settings import MixtureSettings, PriorSettings

__all__ = ["fit_prior", "refit_labels", "without_floor"]

_FLOOR_KEPT = 0.1  # fraction of the covariances' floor that is left in after EM
_LABEL_PARTS = 4  # Gaussians for the residual of the labels
_FEWEST_FOR_PARTS = 4  # spectra needed per part and label
_PART_SETTINGS = MixtureSettings(n_mixture=_LABEL_PARTS, floor=0.01, max_iter=60, held_out=0.1)


def fit_prior(
    rest: RestSpectra,
    relative_sigma: FloatArray,
    fwhm: FloatArray,
    rng: np.random.Generator,
    settings: PriorSettings | None = None,
    *,
    card: Mapping[str, Any] | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> SpectralPrior:
    """Fit basis, mixture and label regressions to noise-free spectra.

    Parameters
    ----------
    rest : RestSpectra
        Training spectra; their parameters become the labels.
    relative_sigma : (n_pixels,)
        Typical 1σ noise relative to that in the S/N window, by which wavelengths are weighted.
    fwhm : (n_pixels,)
        Resolution of the spectra, FWHM in Å.
    rng : numpy.random.Generator
        Source of the draws: held-out spectra and start of EM, Gaussians of the label fits.
    settings : PriorSettings, optional
        Sizes and stopping rules.
    card : mapping, optional
        Card of the prior, stored as it is.
    progress : callable, optional
        Called with the number of the EM round and the mean log likelihood of the held-out spectra.

    Returns
    -------
    SpectralPrior
        Basis, mixture and labels.

    Notes
    -----
    Spectra are divided by their noise-weighted mean flux, so that all pixels determine the scale of a shape.
    """
    settings = settings or PriorSettings()
    noise = relative_sigma / settings.reference_snr
    shapes = _shapes(rest, relative_sigma)
    mean, vectors = _principal_components(shapes, noise, settings.n_components)
    coefficients = ((shapes - mean) / noise) @ vectors
    components = vectors.T * noise
    remainder = shapes - mean - coefficients @ components
    mixture, responsibilities = fit_mixture(coefficients, settings.mixture, rng, progress)
    prior = SpectralPrior(
        wavelength=rest.wavelength,
        fwhm=fwhm,
        mean=mean.astype(np.float64),
        components=components.astype(np.float64),
        truncation=np.sqrt(np.mean(remainder.astype(np.float64) ** 2, axis=0)),
        weights=mixture.weights,
        means=mixture.means,
        covariances=mixture.covariances,
        card=card or {},
        **_labels(rest, coefficients, responsibilities, mixture, rng),
    )
    return without_floor(prior, settings.mixture.floor)


def refit_labels(
    prior: SpectralPrior, rest: RestSpectra, relative_sigma: FloatArray, rng: np.random.Generator
) -> SpectralPrior:
    """Fit the labels of a prior again and leave its basis and mixture as they are.

    Parameters
    ----------
    prior : SpectralPrior
        Prior made by `fit_prior`; its card states the settings.
    rest : RestSpectra
        Training spectra on the prior's wavelengths, drawn like those it was trained on; their parameters become the
        labels.
    relative_sigma : (n_pixels,)
        Relative noise, as for `fit_prior`.
    rng : numpy.random.Generator
        Source of the draws: assignment of spectra to Gaussians, start of EM.

    Returns
    -------
    SpectralPrior
        The same prior over spectra, with new labels.

    Raises
    ------
    ModelError
        If the card states no settings, or the spectra are not on the prior's wavelengths.
    """
    settings = PriorSettings.of_card(prior.card)
    if len(rest.wavelength) != len(prior.wavelength) or not np.allclose(rest.wavelength, prior.wavelength, rtol=1e-7):
        raise ModelError("the spectra are not on the prior's wavelengths; take the library it was trained on.")
    noise = relative_sigma / settings.reference_snr
    mixture = Mixture(prior.weights / prior.weights.sum(), prior.means, prior.covariances)
    coefficients = ((_shapes(rest, relative_sigma) - prior.mean) / noise) @ (prior.components / noise).T
    responsibilities, _ = mixture.responsibilities(coefficients)
    return replace(prior, **_labels(rest, coefficients, responsibilities, mixture, rng))


def _shapes(rest: RestSpectra, relative_sigma: FloatArray) -> FloatArray:
    """Divide spectra by their noise-weighted mean flux."""
    inverse = 1 / relative_sigma**2
    scale = rest.flux @ (inverse / inverse.sum()).astype(np.float32)
    return np.asarray(rest.flux / scale[:, None])


def without_floor(prior: SpectralPrior, floor: float) -> SpectralPrior:
    """Subtract most of the floor from a prior's covariances again.

    EM needs the floor so that no Gaussian collapses. The posterior does not: with the floor, errors along directions
    that the data hardly constrain were too large (χ² per degree of freedom 0.66 instead of 0.99 on recipe `paper`).

    Parameters
    ----------
    prior : SpectralPrior
        Prior with covariances from EM.
    floor : float
        Floor of the fit, as in `MixtureSettings`.

    Returns
    -------
    SpectralPrior
        Prior with a tenth of the floor.
    """
    return replace(prior, covariances=prior.covariances - (1 - _FLOOR_KEPT) * floor * np.eye(prior.n_components))


def _principal_components(shapes: FloatArray, noise: FloatArray, n: int) -> tuple[FloatArray, FloatArray]:
    """Mean shape, and first n eigenvectors of the covariance in units of the noise, (n_pixels, n)."""
    from scipy.linalg import eigh

    mean = shapes.mean(axis=0, dtype=np.float64).astype(np.float32)
    whitened = (shapes - mean) / noise.astype(np.float32)
    covariance = (whitened.T @ whitened) / len(whitened)
    size = len(covariance)
    _, vectors = eigh(covariance.astype(np.float64), subset_by_index=(size - n, size - 1))
    return mean, vectors[:, ::-1].astype(np.float32)


def _labels(
    rest: RestSpectra,
    coefficients: FloatArray,
    responsibilities: FloatArray,
    mixture: Mixture,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Fit the fields of `SpectralPrior` that describe the labels."""
    names = tuple(name for name, values in rest.parameters.items() if np.ptp(values) > 0)
    labels = np.stack([rest.parameters[name] for name in names], axis=1)
    means, slopes, covariances = _label_regressions(coefficients, labels, responsibilities, mixture)
    member = _drawn_members(responsibilities, rng)
    residual = labels - means[member] - np.einsum("npi,ni->np", slopes[member], coefficients - mixture.means[member])
    parts = [_label_parts(residual[member == k], covariances[k], rng) for k in range(len(means))]
    weights, offsets, spreads = (np.stack(arrays) for arrays in zip(*parts, strict=True))
    return {
        "label_names": names,
        "labels": means,
        "slopes": slopes,
        "label_covariances": covariances,
        "part_weights": weights,
        "part_offsets": offsets,
        "part_covariances": spreads,
    }


def _drawn_members(responsibilities: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Draw the Gaussian that each spectrum belongs to, (n,)."""
    chances = np.cumsum(responsibilities, axis=1)
    drawn = rng.random((len(chances), 1)) * chances[:, -1:]
    return np.asarray((drawn > chances[:, :-1]).sum(axis=1))


def _label_parts(
    residual: FloatArray, covariance: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weights (n_parts,), offsets and covariances of a mixture fitted to the labels' residuals in one Gaussian."""
    # Residuals have tails: similar spectra have similar ages, except for a few with an old, dim population.
    size = len(covariance)
    weights, offsets = np.zeros(_LABEL_PARTS), np.zeros((_LABEL_PARTS, size))
    weights[0], spreads = 1.0, np.tile(covariance, (_LABEL_PARTS, 1, 1))
    if len(residual) < _FEWEST_FOR_PARTS * _LABEL_PARTS * size:
        return weights, offsets, spreads
    try:
        half = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:  # labels that follow from the spectrum or from one another
        return weights, offsets, spreads
    whitened = np.linalg.solve(half, residual.T).T
    mixture, _ = fit_mixture(whitened, _PART_SETTINGS, rng)
    narrowed = mixture.covariances - (1 - _FLOOR_KEPT) * _PART_SETTINGS.floor * np.eye(size)
    used = slice(0, len(mixture.weights))
    weights[used] = mixture.weights
    offsets[used] = (mixture.means - mixture.weights @ mixture.means) @ half.T
    spreads[used] = half @ narrowed @ half.T
    return weights, offsets, spreads


def _label_regressions(
    coefficients: FloatArray,
    labels: FloatArray,
    responsibilities: FloatArray,
    mixture: Mixture,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Label means, slopes with the coefficients, and residual covariances, per Gaussian."""
    centres = mixture.means
    means = np.empty((len(centres), labels.shape[1]))
    slopes = np.empty((*means.shape, centres.shape[1]))
    covariances = np.empty((*means.shape, labels.shape[1]))
    for k, centre in enumerate(centres):
        weight = responsibilities[:, k] / responsibilities[:, k].sum()
        offset = coefficients - centre
        means[k] = weight @ labels
        around = labels - means[k]
        slopes[k] = np.linalg.solve(mixture.covariances[k], (offset * weight[:, None]).T @ around).T
        residual = around - offset @ slopes[k].T
        covariances[k] = (residual * weight[:, None]).T @ residual
    return means, slopes, covariances
