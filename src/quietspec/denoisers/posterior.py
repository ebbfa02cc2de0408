"""Denoise by the posterior mean under a `SpectralPrior`, on the native pixels, with its full covariance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2 as chi2_distribution

from quietspec.denoisers.base import finish, initial_flags
from quietspec.denoisers.contamination import line_mask, measure_gas, noise_scale, spike_mask
from quietspec.denoisers.inference import (
    CoefficientPosterior,
    LinearFit,
    PreparedPrior,
    Projections,
    fit_linear,
    infer,
    project,
)
from quietspec.denoisers.prior import PixelBasis, SpectralPrior
from quietspec.spectra import BoolArray, Denoised, Flag, FloatArray, Spectra
from quietspec.wavelengths import EMISSION_LINES, STRONG_LINES, rest_air

__all__ = ["Emission", "Noise", "Posterior", "PrincipalComponents"]

Emission = Literal["auto", "strong", "none"]
Noise = Literal["measured", "quoted"]

_BATCH = 256  # spectra that are held in float64 at once
_UNLIKELY = 0.001
_FIRST_MASK = (0.0, 250.0)  # velocity and σ, km/s, of the line mask under which the first continuum is fitted


@dataclass(frozen=True)
class _Rows:
    """One batch of spectra at one redshift, in float64, as the passes see it."""

    flux: FloatArray
    weight: FloatArray
    basis: PixelBasis
    rest: FloatArray
    fwhm: FloatArray


class _BasisDenoiser(ABC):
    """What all denoisers that project onto a prior's basis share: the walk over redshifts, and contamination."""

    def __init__(
        self, name: str, prior: SpectralPrior, emission: Emission | None = None, noise: Noise | None = None
    ) -> None:
        self.name = name
        self.prior = prior
        self.emission: Emission = emission or prior.card.get("emission", "auto")
        self.noise: Noise = noise or prior.card.get("noise", "measured")
        self._linear = PreparedPrior(prior.collapsed())

    @property
    def model(self) -> str:
        """Name and hash, as written to output files."""
        return f"{self.name} {self.prior.hash[:16]}"

    def denoise(self, spectra: Spectra) -> Denoised:
        """Estimate the noise-free flux and its error on the pixels of `spectra`.

        Parameters
        ----------
        spectra : Spectra
            With redshifts.

        Returns
        -------
        Denoised
            NaN outside the model's wavelengths. Emission lines and spikes are left out of the fit (`ignored`) and
            come back in `Denoised.residual`.
        """
        result = _Accumulator(spectra, self.prior)
        result.flags |= initial_flags(spectra, rest_frame=True)
        usable = np.flatnonzero(result.flags == 0)
        for redshift in np.unique(spectra.redshift[usable]):
            rows = usable[spectra.redshift[usable] == redshift]
            for fwhm_rows in _by_resolution(spectra, rows):
                self._denoise_alike(spectra, fwhm_rows, float(redshift), result)
        return result.finish(self.model)

    def _denoise_alike(
        self, spectra: Spectra, rows: npt.NDArray[np.intp], redshift: float, result: _Accumulator
    ) -> None:
        """Denoise spectra of one redshift and one resolution."""
        rest = rest_air(spectra.wavelength, redshift, spectra.medium)
        fwhm = None if spectra.fwhm is None else np.atleast_2d(spectra.fwhm)[0 if spectra.fwhm.ndim == 1 else rows[0]]
        fwhm = None if fwhm is None else fwhm / (1 + redshift)
        basis = self.prior.on_pixels(rest, fwhm)
        sharp = np.interp(rest, self.prior.wavelength, self.prior.fwhm)
        width = np.maximum(sharp, np.nan_to_num(fwhm)) if fwhm is not None else sharp
        seen = (spectra.good[rows] & basis.covered).any(axis=1)
        result.flags[rows[~seen]] |= int(Flag.OUT_OF_RANGE)
        rows = rows[seen]
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            weight = np.where(basis.covered, spectra.ivar[batch], 0.0)
            flux = np.where(weight > 0, spectra.flux[batch], 0.0)
            self._denoise_batch(_Rows(flux, weight, basis, rest, width), batch, result)

    def _denoise_batch(self, rows: _Rows, index: npt.NDArray[np.intp], result: _Accumulator) -> None:
        ignored, fit, residual = self._contamination(rows)
        weight = np.where(ignored, 0.0, rows.weight)
        if self.noise == "measured":
            result.noise_scale[index] = noise_scale(residual, weight, fit.dof)
            weight /= result.noise_scale[index][:, None] ** 2
        weight /= 1 + weight * (fit.scale[:, None] * rows.basis.truncation) ** 2
        projections = project(rows.flux, weight, rows.basis.vectors)
        fit = fit_linear(projections, self._linear)
        result.store(index, rows, self._solve(projections, fit.scale), fit.scale, ignored)
        result.flags[index[fit.scale < 2 * fit.error]] |= int(Flag.NO_SIGNAL)

    @abstractmethod
    def _solve(self, projections: Projections, scale: FloatArray) -> CoefficientPosterior:
        """Coefficients of the spectra, given their flux scale."""

    def _contamination(self, rows: _Rows) -> tuple[BoolArray, LinearFit, FloatArray]:
        """Pixels spoilt by spikes and (unless `emission` is 'none') gas, the fit behind it and what that left."""
        first = np.zeros(rows.flux.shape, dtype=bool)
        if self.emission != "none":
            first |= line_mask(rows.rest, rows.fwhm, *_FIRST_MASK)
        ignored = first
        for _ in range(2):
            weight = np.where(ignored, 0.0, rows.weight)
            fit = fit_linear(project(rows.flux, weight, rows.basis.vectors), self._linear)
            residual = rows.flux - fit.mean @ rows.basis.vectors.T
            ignored = spike_mask(residual, np.where(first, 0.0, rows.weight))
            if self.emission != "none":
                ignored |= self._lines(residual, rows)
        return np.asarray(ignored & (rows.weight > 0)), fit, residual

    def _lines(self, residual: FloatArray, rows: _Rows) -> BoolArray:
        """Mask strong lines always, weak ones where gas is seen, as wide as the gas's lines are."""
        gas = measure_gas(residual, rows.weight, rows.rest, rows.fwhm)
        mask = np.zeros(residual.shape, dtype=bool)
        kinds = np.stack([gas.detected & (self.emission == "auto"), gas.velocity, gas.sigma], axis=1)
        for weak, velocity, sigma in np.unique(kinds, axis=0):
            alike = (kinds == (weak, velocity, sigma)).all(axis=1)
            mask[alike] = line_mask(rows.rest, rows.fwhm, velocity, sigma, EMISSION_LINES if weak else STRONG_LINES)
        return mask


class Posterior(_BasisDenoiser):
    """Posterior mean under a Gaussian-mixture prior; with a one-Gaussian prior it is the Wiener filter.

    Parameters
    ----------
    name : str
        Name in tables.
    prior : SpectralPrior
        The prior.
    emission : {'auto', 'strong', 'none'}, optional
        Gas emission lines: 'auto' masks the strong ones always and the weak ones where gas is detected, 'strong' the
        strong ones only, 'none' none. What the model's card says if not given, else 'auto'.
    noise : {'measured', 'quoted'}, optional
        'measured' rescales each spectrum's errors by what a first fit leaves (`noise_scale`), 'quoted' believes the
        input. What the model's card says if not given, else 'measured'.

    References
    ----------
    Wiener 1949; Rybicki & Press 1992, ApJ 398, 169 (one Gaussian). Bovy, Hogg & Roweis 2011 (mixtures).
    """

    def __init__(
        self, name: str, prior: SpectralPrior, emission: Emission | None = None, noise: Noise | None = None
    ) -> None:
        super().__init__(name, prior, emission, noise)
        self._prepared = PreparedPrior(prior)

    def _solve(self, projections: Projections, scale: FloatArray) -> CoefficientPosterior:
        return infer(projections, self._prepared, scale)


class PrincipalComponents(_BasisDenoiser):
    """Weighted least-squares projection onto the mean and the first basis vectors: PCA as it is usually done.

    Parameters
    ----------
    name : str
        Name in tables.
    prior : SpectralPrior
        Whose basis is used; the mixture serves only to find spikes and lines.
    n_components : int, optional
        Components used; what the model's card says (``pca_components``) if not given, else 6.
    emission, noise : str, optional
        As for `Posterior`.

    References
    ----------
    Connolly & Szalay 1999, AJ 117, 2052 (PCA of gappy spectra by weighted least squares).
    """

    def __init__(
        self,
        name: str,
        prior: SpectralPrior,
        n_components: int | None = None,
        emission: Emission | None = None,
        noise: Noise | None = None,
    ) -> None:
        super().__init__(name, prior, emission, noise)
        self.n_components = n_components or int(prior.card.get("pca_components", 6))

    def _solve(self, projections: Projections, scale: FloatArray) -> CoefficientPosterior:
        used = slice(0, self.n_components + 1)
        n, size = projections.data.shape
        inverse = np.linalg.pinv(projections.gram[:, used, used], hermitian=True)
        mean, covariance = np.zeros((n, size)), np.zeros((n, size, size))
        mean[:, used] = np.einsum("nij,nj->ni", inverse, projections.data[:, used])
        covariance[:, used, used] = inverse
        unset, no_labels = np.full(n, np.nan), np.zeros((n, 0))
        return CoefficientPosterior(
            mean, covariance, unset, np.zeros(n), np.full(n, self.n_components + 1.0), no_labels, no_labels
        )


def _by_resolution(spectra: Spectra, rows: npt.NDArray[np.intp]) -> list[npt.NDArray[np.intp]]:
    """Split rows into sets of one resolution; those of a common one stay together."""
    if spectra.fwhm is None or spectra.fwhm.ndim == 1 or not len(rows):
        return [rows]
    _, kind = np.unique(spectra.fwhm[rows], axis=0, return_inverse=True)
    return [rows[kind.ravel() == k] for k in range(int(kind.max()) + 1)]


class _Accumulator:
    """Gathers batches into the arrays of a `Denoised`."""

    def __init__(self, spectra: Spectra, prior: SpectralPrior) -> None:
        n, shape = len(spectra), spectra.flux.shape
        self.spectra, self.prior = spectra, prior
        self.flux, self.sigma = (np.full(shape, np.nan, dtype=spectra.flux.dtype) for _ in range(2))
        self.remainder = np.zeros(shape, dtype=spectra.flux.dtype)
        self.ignored = np.zeros(shape, dtype=bool)
        self.flags = np.zeros(n, dtype=np.int64)
        self.noise_scale = np.ones(n)
        self.evidence, self.dof = np.full((2, n), np.nan)
        self.labels, self.label_sigma = np.full((2, n, len(prior.label_names)), np.nan)
        self.factors: dict[int, Callable[[], FloatArray]] = {}

    def store(
        self,
        index: npt.NDArray[np.intp],
        rows: _Rows,
        posterior: CoefficientPosterior,
        scale: FloatArray,
        ignored: BoolArray,
    ) -> None:
        """Turn coefficients into flux, errors and diagnostics of the spectra `index`."""
        vectors, covered = rows.basis.vectors, rows.basis.covered
        halves = np.linalg.cholesky(_positive(posterior.covariance))
        variance = np.stack([np.einsum("pi,pi->p", half, half) for half in (vectors @ half for half in halves)])
        remainder = np.abs(scale)[:, None] * rows.basis.truncation
        self.flux[index] = np.where(covered, posterior.mean @ vectors.T, np.nan)
        self.sigma[index] = np.where(covered, np.sqrt(variance + remainder**2), np.nan)
        self.remainder[index] = np.where(covered, remainder, 0.0)
        self.ignored[index] = ignored
        used = ((rows.weight > 0) & ~ignored).sum(axis=1)
        self.dof[index] = used - posterior.dof
        self.evidence[index] = posterior.log_evidence + _noise_constant(rows.weight, ignored)
        unlikely = chi2_distribution.sf(posterior.penalty, np.maximum(posterior.dof, 1)) < _UNLIKELY
        self.flags[index[unlikely]] |= int(Flag.UNLIKE_PRIOR)
        if posterior.labels.shape[1]:
            self.labels[index], self.label_sigma[index] = posterior.labels, posterior.label_sigma
        for row, half in zip(index, halves, strict=True):
            self.factors[int(row)] = partial(np.matmul, vectors, half)

    def finish(self, model: str) -> Denoised:
        parameters = {
            name: (self.labels[:, i], self.label_sigma[:, i]) for i, name in enumerate(self.prior.label_names)
        }
        return finish(
            self.spectra,
            self.flux,
            self.sigma,
            model=model,
            flags=self.flags,
            ignored=self.ignored,
            dof=self.dof,
            evidence=self.evidence,
            parameters=parameters,
            factor_of=self._factor,
            remainder=self.remainder,
            noise_scale=self.noise_scale,
        )

    def _factor(self, row: int) -> FloatArray:
        if row not in self.factors:
            return np.full((self.spectra.n_pixels, 1), np.nan)
        return self.factors[row]()


def _noise_constant(weight: FloatArray, ignored: BoolArray) -> FloatArray:
    """−½ Σ ln(2πσ²) over the pixels used, (n_spectra,)."""
    used = (weight > 0) & ~ignored
    terms = np.where(used, np.log(np.where(used, weight, 1.0) / (2 * np.pi)), 0.0)
    return np.asarray(0.5 * terms.sum(axis=1))


def _positive(covariance: FloatArray) -> FloatArray:
    """Covariances with rounding repaired: symmetric, and a relative 1e-12 of the diagonal added."""
    diagonal = np.einsum("nii->ni", covariance)
    size = covariance.shape[1]
    return np.asarray(
        (covariance + np.swapaxes(covariance, 1, 2)) / 2 + np.eye(size) * (1e-12 * diagonal[:, None, :] + 1e-300)
    )
