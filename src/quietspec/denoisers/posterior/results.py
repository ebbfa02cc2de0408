"""From coordinates of spectra to a `Denoised`: estimates, errors and, on request, covariances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, BySpectrum, FloatArray
from quietspec.denoised import Denoised, ModelId
from quietspec.denoisers.base import finish
from quietspec.denoisers.posterior.discrepancy import DiscrepancyFit
from quietspec.denoisers.posterior.grid import Batch, Grid
from quietspec.denoisers.posterior.inference import CoefficientPosterior
from quietspec.parameters import ParameterPosterior
from quietspec.spectra import Spectra

__all__ = ["Accumulator", "Estimates"]


@dataclass(frozen=True, eq=False)
class Estimates(BySpectrum):
    """What is found about each spectrum, as fields of `Denoised`; batches fill in their rows.

    Parameters
    ----------
    flux, sigma, remainder : (n_spectra, n_pixels)
        Estimate, its 1σ error, and the part of this that is independent from pixel to pixel, in the spectra's unit.
    ignored : (n_spectra, n_pixels) of bool
        Good pixels left out.
    flags : (n_spectra,) of int
        Bits of `Flag`.
    noise_scale, redshift, evidence, dof : (n_spectra,)
        As in `Denoised`.
    """

    flux: FloatArray
    sigma: FloatArray
    remainder: FloatArray
    ignored: BoolArray
    flags: npt.NDArray[np.int64]
    noise_scale: FloatArray
    redshift: FloatArray
    evidence: FloatArray
    dof: FloatArray

    @classmethod
    def unset(cls, spectra: Spectra) -> Self:
        """Estimates of spectra about which nothing is known yet."""
        n, shape, dtype = len(spectra), spectra.flux.shape, spectra.flux.dtype
        return cls(
            flux=np.full(shape, np.nan, dtype=dtype),
            sigma=np.full(shape, np.nan, dtype=dtype),
            remainder=np.zeros(shape, dtype=dtype),
            ignored=np.zeros(shape, dtype=bool),
            flags=np.zeros(n, dtype=np.int64),
            noise_scale=np.ones(n),
            redshift=spectra.redshift.copy(),
            evidence=np.full(n, np.nan),
            dof=np.full(n, np.nan),
        )


class Accumulator:
    """Gathers batches into the arrays of a `Denoised`.

    Parameters
    ----------
    spectra : Spectra
        The input.
    label_names : tuple of str
        Names of the prior's labels.

    Attributes
    ----------
    estimates : Estimates
        What is known so far.
    """

    def __init__(self, spectra: Spectra, label_names: tuple[str, ...]) -> None:
        self.spectra = spectra
        self.estimates = Estimates.unset(spectra)
        self._label_names = label_names
        self._labels: list[tuple[npt.NDArray[np.intp], ParameterPosterior]] = []  # later ones replace earlier ones
        self._covariances: dict[int, tuple[_Covariances, int]] = {}

    def store(
        self,
        rows: npt.NDArray[np.intp],
        batch: Batch,
        posterior: CoefficientPosterior,
        scale: FloatArray,
        ignored: BoolArray,
        discrepancy: DiscrepancyFit | None,
    ) -> None:
        """Turn coefficients and discrepancy into flux, errors and diagnostics of the spectra `rows`."""
        grid, unit, estimates = batch.grid, batch.unit[:, None], self.estimates
        vectors = grid.coordinates.vectors
        variance = grid.coordinates.variance(posterior.covariance)
        remainder = np.abs(scale)[:, None] * grid.truncation
        flux = posterior.mean.astype(np.float32) @ vectors.T
        if discrepancy is not None:
            flux += discrepancy.flux
            remaining = discrepancy.remaining_variance(vectors, posterior.covariance, variance)
            variance = remaining + discrepancy.variance
        place = rows, grid.pixels
        estimates.flux[place] = flux * unit
        estimates.sigma[place] = np.sqrt(np.maximum(variance, 0) + remainder**2) * unit
        estimates.remainder[place] = remainder * unit
        estimates.ignored[place] = ignored
        n_used = ((batch.weight > 0) & ~ignored).sum(axis=1)
        estimates.dof[rows] = n_used - posterior.dof - (0.0 if discrepancy is None else discrepancy.dof)
        if posterior.labels.names:
            self._labels.append((rows, posterior.labels))
        known = _Covariances(grid, self.spectra.n_pixels, batch.unit, posterior.covariance, discrepancy)
        self._covariances.update({int(row): (known, number) for number, row in enumerate(rows)})

    def replace(self, rows: npt.NDArray[np.intp], other: Accumulator, which: npt.NDArray[np.intp]) -> None:
        """Replace the spectra ``rows[which]`` by those of `other`, which was made for `rows` only."""
        if not which.size:
            return
        self.estimates = self.estimates.with_rows(rows[which], other.estimates[which])
        if other._labels:
            self._labels.append((rows[which], other.labels()[which]))
        self._covariances.update({int(rows[k]): other._covariances[int(k)] for k in which})

    def labels(self) -> ParameterPosterior:
        """Posterior of the labels of all spectra; NaN where none was stored."""
        unknown = ParameterPosterior.empty(len(self.spectra), self._label_names)
        if not self._labels:
            return unknown
        rows, posteriors = zip(*self._labels, strict=True)
        return unknown.with_rows(np.concatenate(rows), ParameterPosterior.stack(posteriors))

    def finish(self, model: ModelId) -> Denoised:
        """Make the result."""
        labels, estimates = self.labels(), self.estimates
        return finish(
            self.spectra,
            estimates.flux,
            estimates.sigma,
            model=model,
            flags=estimates.flags,
            ignored=estimates.ignored,
            dof=estimates.dof,
            evidence=estimates.evidence,
            parameters={name: (labels.mean(name), labels.sigma(name)) for name in labels.names},
            parameter_posterior=labels,
            factor_of=self._factor,
            remainder=estimates.remainder,
            noise_scale=estimates.noise_scale,
            redshift=estimates.redshift,
        )

    def _factor(self, row: int) -> FloatArray:
        if row not in self._covariances:
            return np.full((self.spectra.n_pixels, 1), np.nan)
        known, number = self._covariances[row]
        return known.factor(number)


@dataclass(frozen=True, eq=False)
class _Covariances:
    """What determines the pixel covariances of a batch; a factor is computed only on request."""

    grid: Grid
    n_pixels: int
    unit: FloatArray
    covariance: FloatArray
    discrepancy: DiscrepancyFit | None

    def factor(self, number: int) -> FloatArray:
        """Factor of one spectrum's covariance, the discrepancy's beside the coordinates', (n_pixels, n_factors)."""
        half = np.linalg.cholesky(_positive(self.covariance[number]))
        factor = self.grid.coordinates.vectors.astype(np.float64) @ half
        if self.discrepancy is not None:
            remaining = self.discrepancy.remaining_errors(number, factor)
            factor = np.concatenate([remaining, self.discrepancy.factor(number)], axis=1)
        everywhere = np.zeros((self.n_pixels, factor.shape[1]))
        everywhere[self.grid.pixels] = factor * self.unit[number]
        return everywhere


def _positive(covariance: FloatArray) -> FloatArray:
    """Covariance with rounding repaired: symmetric, and a relative 1e-12 of the diagonal added."""
    return np.asarray((covariance + covariance.T) / 2 + np.diag(1e-12 * np.diagonal(covariance) + 1e-300))
