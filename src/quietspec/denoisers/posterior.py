"""Denoise by the posterior mean under a `SpectralPrior`, on the native pixels, with its full covariance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from quietspec.denoisers.base import finish, initial_flags
from quietspec.denoisers.contamination import TRACERS, line_mask, measure_gas, noise_scale, spike_mask
from quietspec.denoisers.diagnosis import SYMPTOMS, Reason, SymptomLaws, diagnose, measure
from quietspec.denoisers.discrepancy import Discrepancy, FollowedData
from quietspec.denoisers.features import FeatureScan
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
from quietspec.mixtures import ParameterPosterior
from quietspec.spectra import BoolArray, Denoised, Flag, FloatArray, Spectra
from quietspec.wavelengths import EMISSION_LINES, SPEED_OF_LIGHT, STRONG_LINES, rest_air

__all__ = ["Emission", "Noise", "Posterior", "PrincipalComponents"]

Emission = Literal["auto", "strong", "none"]
Noise = Literal["measured", "quoted"]

_BATCH = 256  # spectra that are held in float64 at once
_FARTHEST = 2000.0  # km/s: another redshift found nearer is taken for an error of the one given
_BETTER = 5.0  # ln evidence by which it must explain the features better
_FLAGS = {
    Reason.NO_SIGNAL: Flag.NO_SIGNAL,
    Reason.WRONG_REDSHIFT: Flag.WRONG_REDSHIFT,
    Reason.STAR: Flag.STAR,
    Reason.NOT_GALAXY: Flag.NOT_GALAXY,
    Reason.UNLIKE_PRIOR: Flag.UNLIKE_PRIOR,
    Reason.ERRORS: Flag.MISSCALED,
}
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
        self,
        name: str,
        prior: SpectralPrior,
        emission: Emission | None = None,
        noise: Noise | None = None,
        *,
        discrepancy: bool = True,
    ) -> None:
        self.name = name
        self.prior = prior
        self.emission: Emission = emission or prior.card.get("emission", "auto")
        self.noise: Noise = noise or prior.card.get("noise", "measured")
        self.discrepancy = Discrepancy.from_card(prior.card) if discrepancy else None
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
        self._denoise_rows(spectra, np.flatnonzero(result.flags == 0), result)
        return self._checked(spectra, result)

    def _checked(self, spectra: Spectra, result: _Accumulator) -> Denoised:
        """Finish the result; a denoiser that can tell what is no galaxy does so here."""
        return result.finish(self.model)

    def _denoise_rows(self, spectra: Spectra, rows: npt.NDArray[np.intp], result: _Accumulator) -> None:
        """Denoise some spectra, each at its redshift in `result`."""
        for redshift in np.unique(result.redshift[rows]):
            alike = rows[result.redshift[rows] == redshift]
            for fwhm_rows in _by_resolution(spectra, alike):
                self._denoise_alike(spectra, fwhm_rows, float(redshift), result)

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
        less = self._less(weight, rows, fit.scale)
        projections = project(rows.flux, less, rows.basis.vectors)
        fit = fit_linear(projections, self._linear)
        posterior = self._solve(projections, fit.scale)
        result.store(index, rows, posterior, fit.scale, ignored, self._followed(rows, weight, posterior))
        result.evidence[index] = posterior.log_evidence + _noise_constant(less)
        result.flags[index[fit.scale < 2 * fit.error]] |= int(Flag.NO_SIGNAL)

    def _less(self, weight: FloatArray, rows: _Rows, scale: FloatArray) -> FloatArray:
        """Weights for the coefficients: the data less the discrepancy are what they describe."""
        if self.discrepancy is None:
            return weight
        spread = self.discrepancy.as_noise(rows.rest, rows.basis.vectors[:, 0])
        return weight / (1 + weight * (scale[:, None] * spread) ** 2)

    def _followed(self, rows: _Rows, weight: FloatArray, posterior: CoefficientPosterior) -> FollowedData | None:
        if self.discrepancy is None:
            return None
        model = posterior.mean @ rows.basis.vectors.T
        return self.discrepancy.follow(rows.flux - model, weight, model, rows.rest)

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
        gas = measure_gas(residual, rows.weight, rows.flux - residual, rows.rest, rows.fwhm)
        mask = np.zeros(residual.shape, dtype=bool)
        kinds = np.stack([gas.detected & (self.emission == "auto"), gas.velocity, gas.sigma], axis=1)
        for weak, velocity, sigma in np.unique(kinds, axis=0):
            alike = (kinds == (weak, velocity, sigma)).all(axis=1)
            mask[alike] = line_mask(rows.rest, rows.fwhm, velocity, sigma, EMISSION_LINES if weak else STRONG_LINES)
        for broad in np.unique(gas.broad[gas.broad > 0]):
            mask[gas.broad == broad] |= line_mask(rows.rest, rows.fwhm, 0.0, broad, TRACERS)
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
    discrepancy : bool, optional
        Allow for what real spectra have and the prior does not (`Discrepancy`), if the model's card knows it. Simulated
        spectra have none.

    References
    ----------
    Wiener 1949; Rybicki & Press 1992, ApJ 398, 169 (one Gaussian). Bovy, Hogg & Roweis 2011 (mixtures).
    """

    def __init__(
        self,
        name: str,
        prior: SpectralPrior,
        emission: Emission | None = None,
        noise: Noise | None = None,
        *,
        discrepancy: bool = True,
    ) -> None:
        super().__init__(name, prior, emission, noise, discrepancy=discrepancy)
        self._prepared = PreparedPrior(prior)
        laws = prior.card.get("symptom_laws")
        self._laws = None if laws is None else SymptomLaws.from_dict(laws)

    @cached_property
    def _scan(self) -> FeatureScan:
        return FeatureScan(self.prior)

    def _checked(self, spectra: Spectra, result: _Accumulator) -> Denoised:
        """Tell what is no galaxy at its redshift; where another redshift nearby explains it, denoise again there."""
        denoised = super()._checked(spectra, result)
        if self._laws is None:
            return denoised
        symptoms = measure(denoised, self._scan)
        found = diagnose(symptoms, self._laws)
        nearby = np.abs(np.nan_to_num(found.velocity, nan=np.inf)) <= _FARTHEST
        better = symptoms.values[:, SYMPTOMS.index("elsewhere")] > _BETTER
        again = np.flatnonzero((found.reason != Reason.NONE) & nearby & better)
        again = self._move(spectra, again, found.velocity[again], denoised, result)
        if again.size:
            denoised = super()._checked(spectra, result)
        flags = denoised.flags.copy()
        flags[again] |= int(Flag.WRONG_REDSHIFT)
        for reason, flag in _FLAGS.items():
            flags[found.reason == reason] |= int(flag)
        return replace(denoised, flags=flags, p_value=found.p_value)

    def _move(
        self,
        spectra: Spectra,
        rows: npt.NDArray[np.intp],
        velocity: FloatArray,
        denoised: Denoised,
        result: _Accumulator,
    ) -> npt.NDArray[np.intp]:
        """Denoise some spectra at redshifts moved by velocities; keep and return those fitted better there."""
        redshift = spectra.redshift[rows] + (1 + spectra.redshift[rows]) * velocity / SPEED_OF_LIGHT
        trial = _Accumulator(spectra[rows].with_redshift(redshift), self.prior)
        self._denoise_rows(trial.spectra, np.arange(len(rows)), trial)
        moved = super()._checked(trial.spectra, trial)
        better = moved.chi2 / moved.dof < denoised.chi2[rows] / denoised.dof[rows]
        result.replace(rows, trial, np.flatnonzero(better))
        return rows[better]

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
        super().__init__(name, prior, emission, noise, discrepancy=False)
        self.n_components = n_components or int(prior.card.get("pca_components", 6))

    def _solve(self, projections: Projections, scale: FloatArray) -> CoefficientPosterior:
        used = slice(0, self.n_components + 1)
        n, size = projections.data.shape
        inverse = np.linalg.pinv(projections.gram[:, used, used], hermitian=True)
        mean, covariance = np.zeros((n, size)), np.zeros((n, size, size))
        mean[:, used] = np.einsum("nij,nj->ni", inverse, projections.data[:, used])
        covariance[:, used, used] = inverse
        dof = np.full(n, self.n_components + 1.0)
        return CoefficientPosterior(mean, covariance, np.full(n, np.nan), dof, ParameterPosterior.empty(n, ()))


def _by_resolution(spectra: Spectra, rows: npt.NDArray[np.intp]) -> list[npt.NDArray[np.intp]]:
    """Split rows into sets of one resolution; those of a common one stay together."""
    if spectra.fwhm is None or spectra.fwhm.ndim == 1 or not len(rows):
        return [rows]
    _, kind = np.unique(spectra.fwhm[rows], axis=0, return_inverse=True)
    return [rows[kind.ravel() == k] for k in range(int(kind.max()) + 1)]


_ACCUMULATED = (
    "flux", "sigma", "remainder", "ignored", "flags", "noise_scale", "redshift", "evidence", "dof",
)  # fmt: skip


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
        self.redshift = spectra.redshift.copy()
        self.evidence, self.dof = np.full((2, n), np.nan)
        self.labels: list[tuple[npt.NDArray[np.intp], ParameterPosterior]] = []  # later ones replace earlier ones
        self.factors: dict[int, Callable[[], FloatArray]] = {}

    def store(
        self,
        index: npt.NDArray[np.intp],
        rows: _Rows,
        posterior: CoefficientPosterior,
        scale: FloatArray,
        ignored: BoolArray,
        followed: FollowedData | None,
    ) -> None:
        """Turn coefficients and discrepancy into flux, errors and diagnostics of the spectra `index`."""
        vectors, covered = rows.basis.vectors, rows.basis.covered
        halves = np.linalg.cholesky(_positive(posterior.covariance))
        variance = np.stack([_spread(vectors @ half, followed, number) for number, half in enumerate(halves)])
        remainder = np.abs(scale)[:, None] * rows.basis.truncation
        flux = posterior.mean @ vectors.T
        if followed is not None:
            flux += followed.flux
            variance += followed.variance
        self.flux[index] = np.where(covered, flux, np.nan)
        self.sigma[index] = np.where(covered, np.sqrt(variance + remainder**2), np.nan)
        self.remainder[index] = np.where(covered, remainder, 0.0)
        self.ignored[index] = ignored
        used = ((rows.weight > 0) & ~ignored).sum(axis=1)
        self.dof[index] = used - posterior.dof - (0.0 if followed is None else followed.dof)
        if posterior.labels.names:
            self.labels.append((index, posterior.labels))
        for number, (row, half) in enumerate(zip(index, halves, strict=True)):
            self.factors[int(row)] = partial(_factor, vectors, half, followed, number)

    def replace(self, rows: npt.NDArray[np.intp], other: _Accumulator, which: npt.NDArray[np.intp]) -> None:
        """Put in the place of spectra `rows` what another, of these alone, holds; of `which` of them."""
        for name in _ACCUMULATED:
            getattr(self, name)[rows[which]] = getattr(other, name)[which]
        if other.labels and which.size:
            self.labels.append((rows[which], other.posterior_of_labels()[which]))
        self.factors.update({int(rows[k]): other.factors[int(k)] for k in which})

    def posterior_of_labels(self) -> ParameterPosterior:
        """Posterior of the labels of all spectra; NaN where none was stored."""
        unknown = ParameterPosterior.empty(len(self.spectra), self.prior.label_names)
        if not self.labels:
            return unknown
        rows, posteriors = zip(*self.labels, strict=True)
        return unknown.with_rows(np.concatenate(rows), ParameterPosterior.stack(posteriors))

    def finish(self, model: str) -> Denoised:
        labels = self.posterior_of_labels()
        return finish(
            self.spectra,
            self.flux,
            self.sigma,
            model=model,
            flags=self.flags,
            ignored=self.ignored,
            dof=self.dof,
            evidence=self.evidence,
            parameters={name: (labels.mean(name), labels.sigma(name)) for name in labels.names},
            parameter_posterior=labels,
            factor_of=self._factor,
            remainder=self.remainder,
            noise_scale=self.noise_scale,
            redshift=self.redshift,
        )

    def _factor(self, row: int) -> FloatArray:
        if row not in self.factors:
            return np.full((self.spectra.n_pixels, 1), np.nan)
        return self.factors[row]()


def _spread(errors: FloatArray, followed: FollowedData | None, number: int) -> FloatArray:
    """Variance of the model's part of the estimate, (n_pixels,), from a factor of its covariance."""
    left = errors if followed is None else followed.unexplained(number, errors)
    return np.asarray(np.einsum("pi,pi->p", left, left))


def _factor(vectors: FloatArray, half: FloatArray, followed: FollowedData | None, number: int) -> FloatArray:
    """Factor of the pixel covariance: that of the coefficients, and that of the discrepancy beside it."""
    stars = vectors @ half
    if followed is None:
        return stars
    return np.concatenate([followed.unexplained(number, stars), followed.factor(number)], axis=1)


def _noise_constant(weight: FloatArray) -> FloatArray:
    """−½ Σ ln(2πσ²) over the pixels used, (n_spectra,)."""
    terms = np.where(weight > 0, np.log(np.where(weight > 0, weight, 1.0) / (2 * np.pi)), 0.0)
    return np.asarray(0.5 * terms.sum(axis=1))


def _positive(covariance: FloatArray) -> FloatArray:
    """Covariances with rounding repaired: symmetric, and a relative 1e-12 of the diagonal added."""
    diagonal = np.einsum("nii->ni", covariance)
    size = covariance.shape[1]
    return np.asarray(
        (covariance + np.swapaxes(covariance, 1, 2)) / 2 + np.eye(size) * (1e-12 * diagonal[:, None, :] + 1e-300)
    )
