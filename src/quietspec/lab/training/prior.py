"""Learn a `SpectralPrior` from noise-free simulated spectra: noise-weighted PCA, then EM on its coefficients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.errors import ModelError
from quietspec.lab.simulate import RestSpectra
from quietspec.lab.training.mixture import Mixture, MixtureSettings, fit_mixture

__all__ = ["PriorSettings", "fit_prior", "refit_labels", "without_floor"]

_FLOOR_KEPT = 0.1
_LABEL_PARTS = 4
_FEWEST_FOR_PARTS = 4  # spectra for each part and label
_PART_SETTINGS = MixtureSettings(n_mixture=_LABEL_PARTS, floor=0.01, max_iter=60, held_out=0.1)


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
    return without_floor(_with_outskirts(prior, settings.outskirts), settings.mixture.floor)


def refit_labels(
    prior: SpectralPrior, rest: RestSpectra, relative_sigma: FloatArray, rng: np.random.Generator
) -> SpectralPrior:
    """Fit the labels of a prior anew, its basis and mixture as they are.

    Parameters
    ----------
    prior : SpectralPrior
        As `fit_prior` made it; its card tells the settings.
    rest : RestSpectra
        Training spectra on the prior's wavelengths, drawn as those it was trained on; their parameters become the
        labels.
    relative_sigma : (n_pixels,)
        As for `fit_prior`.
    rng : numpy.random.Generator
        Assigns spectra to Gaussians, and starts EM.

    Returns
    -------
    SpectralPrior
        The same prior of spectra with other labels.

    Raises
    ------
    ModelError
        If the card tells no settings, or the spectra are not on the prior's wavelengths.
    """
    if "settings" not in prior.card:
        raise ModelError("the prior's card does not say how it was trained; train it anew with `quietspec train`.")
    if len(rest.wavelength) != len(prior.wavelength) or not np.allclose(rest.wavelength, prior.wavelength, rtol=1e-7):
        raise ModelError("the spectra are not on the prior's wavelengths; take the library it was trained on.")
    settings = prior.card["settings"]
    noise = relative_sigma / settings["reference_snr"]
    outskirts = tuple((float(factor), float(weight)) for factor, weight in settings.get("outskirts", ()))
    inner = slice(0, prior.n_mixture - len(outskirts))
    mixture = Mixture(prior.weights[inner] / prior.weights[inner].sum(), prior.means[inner], prior.covariances[inner])
    coefficients = ((_shapes(rest, relative_sigma) - prior.mean) / noise) @ (prior.components / noise).T
    responsibilities, _ = mixture.responsibilities(coefficients)
    labelled = replace(
        prior,
        weights=mixture.weights,
        means=mixture.means,
        covariances=mixture.covariances,
        **_labels(rest, coefficients, responsibilities, mixture, rng),
    )
    spectral = {name: getattr(prior, name) for name in ("weights", "means", "covariances")}
    return replace(_with_outskirts(labelled, outskirts), **spectral)


def _shapes(rest: RestSpectra, relative_sigma: FloatArray) -> FloatArray:
    """Spectra over their noise-weighted mean flux."""
    inverse = 1 / relative_sigma**2
    scale = rest.flux @ (inverse / inverse.sum()).astype(np.float32)
    return np.asarray(rest.flux / scale[:, None])


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
    whole = _told_nothing(prior.collapsed())
    parts = [
        replace(prior, weights=prior.weights * (1 - sum(weight for _, weight in outskirts))),
        *(
            replace(whole, weights=np.array([weight]), covariances=whole.covariances * factor)
            for factor, weight in outskirts
        ),
    ]
    names = ["weights", "means", "covariances", "labels", "slopes", "label_covariances"]
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    label_parts = zip(*(part.label_parts() for part in parts), strict=True)
    most = prior.label_parts()[0].shape[1]
    padded = [[_repeated(array, most) for array in arrays] for arrays in label_parts]
    weights, offsets, covariances = (np.concatenate(arrays) for arrays in padded)
    weights /= weights.sum(axis=1, keepdims=True)
    return replace(prior, **joined, part_weights=weights, part_offsets=offsets, part_covariances=covariances)


def _told_nothing(whole: SpectralPrior) -> SpectralPrior:
    """One Gaussian whose labels do not follow the coefficients: far out, a regression would run off the grid."""
    explained = whole.slopes @ whole.covariances @ np.swapaxes(whole.slopes, 1, 2)
    return replace(whole, slopes=np.zeros_like(whole.slopes), label_covariances=whole.label_covariances + explained)


def _repeated(parts: FloatArray, n: int) -> FloatArray:
    """The first of each Gaussian's label parts n times, where there is only one."""
    return np.repeat(parts, n, axis=1) if parts.shape[1] == 1 else parts


def _principal_components(shapes: FloatArray, noise: FloatArray, n: int) -> tuple[FloatArray, FloatArray]:
    """Mean shape, and eigenvectors of the covariance in units of the noise, (n_pixels, n)."""
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
    """Fields of `SpectralPrior` that tell of the labels."""
    names = tuple(name for name, values in rest.parameters.items() if np.ptp(values) > 0)
    labels = np.stack([rest.parameters[name] for name in names], axis=1)
    means, slopes, covariances = _label_regressions(coefficients, labels, responsibilities, mixture)
    member = _drawn_members(responsibilities, rng)
    left = labels - means[member] - np.einsum("npi,ni->np", slopes[member], coefficients - mixture.means[member])
    parts = [_label_parts(left[member == k], covariances[k], rng) for k in range(len(means))]
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
    """Draw for each spectrum the Gaussian it belongs to."""
    chances = np.cumsum(responsibilities, axis=1)
    drawn = rng.random((len(chances), 1)) * chances[:, -1:]
    return np.asarray((drawn > chances[:, :-1]).sum(axis=1))


def _label_parts(
    left: FloatArray, covariance: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weights (n_parts,), offsets and covariances of the mixture of what is left of the labels of one Gaussian."""
    # A regression leaves tails: spectra alike have ages alike, but for a few with an old, dim population.
    size = len(covariance)
    weights, offsets = np.zeros(_LABEL_PARTS), np.zeros((_LABEL_PARTS, size))
    weights[0], spreads = 1.0, np.tile(covariance, (_LABEL_PARTS, 1, 1))
    if len(left) < _FEWEST_FOR_PARTS * _LABEL_PARTS * size:
        return weights, offsets, spreads
    try:
        half = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:  # labels that follow from the spectrum, or from one another
        return weights, offsets, spreads
    whitened = np.linalg.solve(half, left.T).T
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
