"""Learn a `SpectralPrior` from noise-free simulated spectra: noise-weighted PCA, then EM on its coefficients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from quietspec.denoisers.prior import SpectralPrior
from quietspec.simulate import RestSpectra
from quietspec.spectra import FloatArray
from quietspec.training.mixture import Mixture, MixtureSettings, fit_mixture

__all__ = ["PriorSettings", "fit_prior", "without_floor"]

_FLOOR_KEPT = 0.1


@dataclass(frozen=True)
class PriorSettings:
    """How a prior is fitted.

    Parameters
    ----------
    n_components : int
        Basis vectors kept.
    reference_snr : float
        S/N of the noise in whose units coefficients are measured: basis vectors are ordered by their variance over
        this noise.
    mixture : MixtureSettings
        Of the mixture over the coefficients.
    outskirts : tuple of (float, float)
        Broad Gaussians added for spectra unlike those simulated: covariance in units of the whole prior's, and weight.
    """

    n_components: int = 24
    reference_snr: float = 40.0
    mixture: MixtureSettings = field(default_factory=MixtureSettings)
    outskirts: tuple[tuple[float, float], ...] = ()

    def flops(self, n: int, n_pixels: int) -> int:
        """Count the operations of fitting `n` spectra, at most: the pixels' covariance, and every round of EM.

        A round multiplies the 1 + d + d(d + 1)/2 monomials of each point with every Gaussian's weights, twice.

        Parameters
        ----------
        n, n_pixels : int
            Spectra, and their pixels.

        Returns
        -------
        int
            Floating-point operations.
        """
        size = self.n_components
        monomials = 1 + size + size * (size + 1) // 2
        rounds = self.mixture.max_iter if self.mixture.n_mixture > 1 else 1
        return 2 * n * n_pixels**2 + 4 * n * self.mixture.n_mixture * monomials * rounds


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
        Typical 1σ noise relative to the S/N window's: it says which wavelengths matter how much.
    fwhm : (n_pixels,)
        Resolution of the spectra, FWHM in Å.
    rng : numpy.random.Generator
        Starts EM.
    settings : PriorSettings, optional
        Sizes and stopping rules; the defaults if not given.
    card : mapping, optional
        Kept in the prior as it is.
    progress : callable, optional
        Called with the round of EM and the mean log likelihood.

    Returns
    -------
    SpectralPrior
        The prior.

    Notes
    -----
    Spectra are divided by their noise-weighted mean flux, so that a shape's scale is what all pixels together say.
    """
    settings = settings or PriorSettings()
    inverse = 1 / relative_sigma**2
    scale = rest.flux @ (inverse / inverse.sum()).astype(np.float32)
    shapes = rest.flux / scale[:, None]
    noise = relative_sigma / settings.reference_snr
    mean, vectors = _principal_components(shapes, noise, settings.n_components)
    coefficients = ((shapes - mean) / noise) @ vectors
    components = vectors.T * noise
    remainder = shapes - mean - coefficients @ components
    mixture, responsibilities = fit_mixture(coefficients, settings.mixture, rng, progress)
    names = tuple(name for name, values in rest.parameters.items() if np.ptp(values) > 0)
    labels = np.stack([rest.parameters[name] for name in names], axis=1)
    means, slopes, covariances = _label_regressions(coefficients, labels, responsibilities, mixture)
    prior = SpectralPrior(
        wavelength=rest.wavelength,
        fwhm=fwhm,
        mean=mean.astype(np.float64),
        components=components.astype(np.float64),
        truncation=np.sqrt(np.mean(remainder.astype(np.float64) ** 2, axis=0)),
        weights=mixture.weights,
        means=mixture.means,
        covariances=mixture.covariances,
        label_names=names,
        labels=means,
        slopes=slopes,
        label_covariances=covariances,
        card=card or {},
    )
    return without_floor(_with_outskirts(prior, settings.outskirts), settings.mixture.floor)


def without_floor(prior: SpectralPrior, floor: float) -> SpectralPrior:
    """Take most of the floor out of a prior's covariances again.

    EM needs the floor so that no Gaussian collapses; the posterior does not: it made the errors of the directions that
    data hardly constrain too large (their χ² per degree of freedom 0.66 instead of 0.99 on recipe `paper`).

    Parameters
    ----------
    prior : SpectralPrior
        As EM left it.
    floor : float
        As in `MixtureSettings`.

    Returns
    -------
    SpectralPrior
        With a tenth of the floor.
    """
    return replace(prior, covariances=prior.covariances - (1 - _FLOOR_KEPT) * floor * np.eye(prior.n_components))


def _with_outskirts(prior: SpectralPrior, outskirts: tuple[tuple[float, float], ...]) -> SpectralPrior:
    """Add Gaussians of the whole prior's mean and a multiple of its covariance, (factor, weight) each.

    They cost nothing where a spectrum is like those simulated, and follow it where it is not.

    Parameters
    ----------
    prior : SpectralPrior
        As learned.
    outskirts : tuple of (float, float)
        As in `PriorSettings`.

    Returns
    -------
    SpectralPrior
        With so many Gaussians more.
    """
    whole = prior.collapsed()
    parts = [
        replace(prior, weights=prior.weights * (1 - sum(weight for _, weight in outskirts))),
        *(
            replace(whole, weights=np.array([weight]), covariances=whole.covariances * factor)
            for factor, weight in outskirts
        ),
    ]
    names = ("weights", "means", "covariances", "labels", "slopes", "label_covariances")
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return replace(prior, **joined)


def _principal_components(shapes: FloatArray, noise: FloatArray, n: int) -> tuple[FloatArray, FloatArray]:
    """Mean shape, and eigenvectors of the covariance in units of the noise, (n_pixels, n)."""
    from scipy.linalg import eigh

    mean = shapes.mean(axis=0, dtype=np.float64).astype(np.float32)
    whitened = (shapes - mean) / noise.astype(np.float32)
    covariance = (whitened.T @ whitened) / len(whitened)
    size = len(covariance)
    _, vectors = eigh(covariance.astype(np.float64), subset_by_index=(size - n, size - 1))
    return mean, vectors[:, ::-1].astype(np.float32)


def _label_regressions(
    coefficients: FloatArray,
    labels: FloatArray,
    responsibilities: FloatArray,
    mixture: Mixture,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Label means, slopes on the coefficients and remaining covariances, per mixture component."""
    centres = mixture.means
    means = np.empty((len(centres), labels.shape[1]))
    slopes = np.empty((*means.shape, centres.shape[1]))
    remaining = np.empty((*means.shape, labels.shape[1]))
    for k, centre in enumerate(centres):
        weight = responsibilities[:, k] / responsibilities[:, k].sum()
        offset = coefficients - centre
        means[k] = weight @ labels
        around = labels - means[k]
        slopes[k] = np.linalg.solve(mixture.covariances[k], (offset * weight[:, None]).T @ around).T
        left = around - offset @ slopes[k].T
        remaining[k] = (left * weight[:, None]).T @ left
    return means, slopes, remaining
