"""Learn a `SpectralPrior` from noise-free simulated spectra: noise-weighted PCA, then EM on its coefficients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.errors import ModelError
from quietspec.lab.simulate import RestSpectra
from quietspec.lab.training.mixture import Mixture, fit_mixture
from quietspec.lab.training.settings import MixtureSettings, PriorSettings
from quietspec.statistics import MAD_TO_SIGMA

__all__ = ["fit_prior", "refit_labels", "without_floor"]

_LEAST_NUCLEUS = 2e-3  # of the rms of nuclei, in galaxies that have none
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
    more: Iterable[RestSpectra] = (),
    card: Mapping[str, Any] | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> SpectralPrior:
    """Fit basis, mixture and label regressions to noise-free spectra.

    Parameters
    ----------
    rest : RestSpectra
        Training spectra; their parameters become the labels. If they have nuclei, these get basis vectors of their own.
    relative_sigma : (n_pixels,)
        Typical 1σ noise relative to that in the S/N window, by which wavelengths are weighted.
    fwhm : (n_pixels,)
        Resolution of the spectra, FWHM in Å.
    rng : numpy.random.Generator
        Source of the draws: held-out spectra and start of EM, Gaussians of the label fits.
    settings : PriorSettings, optional
        Sizes and stopping rules.
    more : iterable of RestSpectra, optional
        Further training spectra, drawn alike: the mixture is fitted to them, too, not the basis. They are not kept.
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
    basis = _Basis.learned(rest, relative_sigma, settings)
    coefficients, parameters = basis.coefficients(rest), dict(rest.parameters)
    for some in more:
        coefficients = np.concatenate([coefficients, basis.coefficients(some)])
        parameters = {name: np.concatenate([known, some.parameters[name]]) for name, known in parameters.items()}
    mixture, responsibilities = _fitted(coefficients, settings, rng, progress)
    prior = SpectralPrior(
        wavelength=rest.wavelength,
        fwhm=fwhm,
        mean=basis.mean.astype(np.float64),
        components=basis.components.astype(np.float64),
        truncation=basis.truncation(rest),
        weights=mixture.weights,
        means=mixture.means,
        covariances=mixture.covariances,
        card=card or {},
        **_labels(parameters, coefficients, responsibilities, mixture, rng),
    )
    return without_floor(prior, settings.mixture.floor)


def _fitted(
    coefficients: FloatArray,
    settings: PriorSettings,
    rng: np.random.Generator,
    progress: Callable[[int, float], None] | None,
) -> tuple[Mixture, FloatArray]:
    """Mixture over coefficients, and responsibilities; galaxies with a nucleus have Gaussians of their own."""
    if not settings.n_nucleus:
        return fit_mixture(coefficients, settings.mixture, rng, progress)
    n_stars = settings.n_components
    active = coefficients[:, n_stars:].any(axis=1)
    quiet, ours = fit_mixture(coefficients[~active, :n_stars], settings.mixture, rng, progress)
    of_nuclei = settings.mixture.model_copy(update={"n_mixture": settings.n_mixture_nuclei})
    bright, theirs = fit_mixture(coefficients[active], of_nuclei, rng, progress)
    # What a galaxy without a nucleus may have of its light all the same: without it, nothing would be known too well.
    least = (_LEAST_NUCLEUS * np.sqrt(np.mean(coefficients[active, n_stars:] ** 2, axis=0))) ** 2
    covariances = np.zeros((len(quiet.weights), *bright.covariances.shape[1:]))
    covariances[:, :n_stars, :n_stars] = quiet.covariances
    covariances[:, n_stars:, n_stars:] = np.diag(least + settings.mixture.floor)
    share = float(active.mean())
    mixture = Mixture(
        np.concatenate([(1 - share) * quiet.weights, share * bright.weights]),
        np.concatenate([np.pad(quiet.means, ((0, 0), (0, settings.n_nucleus))), bright.means]),
        np.concatenate([covariances, bright.covariances]),
    )
    responsibilities = np.zeros((len(coefficients), len(mixture.weights)))
    responsibilities[np.ix_(~active, np.arange(len(quiet.weights)))] = ours
    responsibilities[np.ix_(active, np.arange(len(quiet.weights), len(mixture.weights)))] = theirs
    return mixture, responsibilities


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
    if settings.n_nucleus:
        raise ModelError("a prior with nuclei cannot be relabelled; train it again.")
    mixture = Mixture(prior.weights / prior.weights.sum(), prior.means, prior.covariances)
    basis = _Basis(relative_sigma / settings.reference_snr, prior.mean, prior.components, settings.n_nucleus)
    coefficients = basis.coefficients(rest)
    responsibilities, _ = mixture.responsibilities(coefficients)
    return replace(prior, **_labels(rest.parameters, coefficients, responsibilities, mixture, rng))


@dataclass(frozen=True, eq=False)
class _Basis:
    """Mean shape and components: principal ones of the stars, then those of nuclei.

    Parameters
    ----------
    noise : (n_pixels,)
        1σ noise of a shape, by which pixels are weighted. Components of stars are orthonormal in its units, and so are
        those of nuclei.
    mean : (n_pixels,)
        Mean shape of the stars.
    components : (n_components, n_pixels)
        Components.
    n_nucleus : int
        How many of them, the last, are those of nuclei.
    """

    noise: FloatArray
    mean: FloatArray
    components: FloatArray
    n_nucleus: int = 0

    @classmethod
    def learned(cls, rest: RestSpectra, relative_sigma: FloatArray, settings: PriorSettings) -> Self:
        """Principal components of spectra, in units of the noise."""
        noise = (relative_sigma / settings.reference_snr).astype(np.float32)
        stars, nucleus = _shapes(rest, noise)
        mean = stars.mean(axis=0, dtype=np.float64).astype(np.float32)
        parts = [_principal_components((stars - mean) / noise, settings.n_components)]
        if settings.n_nucleus:
            if nucleus is None:
                raise ModelError(
                    "n_nucleus: the training spectra have no nuclei; set it to 0, or take the recipe `wide`."
                )
            parts.append(_principal_components(nucleus[nucleus.any(axis=1)] / noise, settings.n_nucleus))
        return cls(noise, mean, np.concatenate(parts, axis=1).T * noise, settings.n_nucleus)

    def coefficients(self, rest: RestSpectra) -> FloatArray:
        """Coefficients of spectra, (n, n_components)."""
        stars, nucleus = _shapes(rest, self.noise)
        vectors = (self.components / self.noise).T
        n_stars = vectors.shape[1] - self.n_nucleus
        found = np.asarray(((stars - self.mean) / self.noise) @ vectors[:, :n_stars])
        if nucleus is None or not self.n_nucleus:
            return found
        return np.concatenate([found, (nucleus / self.noise) @ vectors[:, n_stars:]], axis=1)

    def truncation(self, rest: RestSpectra) -> FloatArray:
        """1σ of what the components leave of the shapes of stars, (n_pixels,)."""
        stars, _ = _shapes(rest, self.noise)
        n_stars = len(self.components) - self.n_nucleus
        left = stars - self.mean - self.coefficients(rest)[:, :n_stars] @ self.components[:n_stars]
        if not self.n_nucleus:
            return np.asarray(np.sqrt(np.mean(left.astype(np.float64) ** 2, axis=0)))
        # Of several libraries the oddest leave most, and most galaxies are not of these.
        return np.array([MAD_TO_SIGMA * np.median(np.abs(pixel)) for pixel in left.T])


def _shapes(rest: RestSpectra, noise: FloatArray) -> tuple[FloatArray, FloatArray | None]:
    """Stars and nuclei over the noise-weighted mean flux of the stars, (n, n_pixels) each."""
    inverse = 1 / noise**2
    stars = rest.flux if rest.nucleus is None else rest.flux - rest.nucleus
    scale = (stars @ (inverse / inverse.sum()).astype(np.float32))[:, None]
    return np.asarray(stars / scale), None if rest.nucleus is None else rest.nucleus / scale


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


def _principal_components(whitened: FloatArray, n: int) -> FloatArray:
    """First n eigenvectors of the second moments of points, (n_pixels, n)."""
    from scipy.linalg import eigh

    moments = (whitened.T @ whitened) / len(whitened)
    size = len(moments)
    _, vectors = eigh(moments.astype(np.float64), subset_by_index=(size - n, size - 1))
    return np.asarray(vectors[:, ::-1].astype(np.float32))


def _labels(
    parameters: Mapping[str, FloatArray],
    coefficients: FloatArray,
    responsibilities: FloatArray,
    mixture: Mixture,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Fit the fields of `SpectralPrior` that describe the labels."""
    names = tuple(name for name, values in parameters.items() if np.ptp(values) > 0)
    labels = np.stack([parameters[name] for name in names], axis=1)
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
