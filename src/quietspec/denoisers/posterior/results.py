"""From coordinates of spectra to a `Denoised`: estimates, errors and, when asked for, covariances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoised import Denoised
from quietspec.denoisers.base import finish
from quietspec.denoisers.posterior.discrepancy import FollowedData
from quietspec.denoisers.posterior.grid import Grid, Rows
from quietspec.denoisers.posterior.inference import CoefficientPosterior
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.parameters import ParameterPosterior
from quietspec.spectra import Spectra

__all__ = ["Accumulator"]

_ACCUMULATED = (
    "flux", "sigma", "remainder", "ignored", "flags", "noise_scale", "redshift", "evidence", "dof",
)  # fmt: skip


class Accumulator:
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
        self.factors: dict[int, tuple[_Covariances, int]] = {}

    def store(
        self,
        index: npt.NDArray[np.intp],
        rows: Rows,
        posterior: CoefficientPosterior,
        scale: FloatArray,
        ignored: BoolArray,
        followed: FollowedData | None,
    ) -> None:
        """Turn coefficients and discrepancy into flux, errors and diagnostics of the spectra `index`."""
        grid, unit = rows.grid, rows.unit[:, None]
        vectors = grid.coordinates.vectors
        variance = grid.coordinates.variance(posterior.covariance)
        remainder = np.abs(scale)[:, None] * grid.truncation
        flux = posterior.mean.astype(np.float32) @ vectors.T
        if followed is not None:
            flux += followed.flux
            variance = followed.unexplained_variance(vectors, posterior.covariance, variance) + followed.variance
        place = index, grid.pixels
        self.flux[place] = flux * unit
        self.sigma[place] = np.sqrt(np.maximum(variance, 0) + remainder**2) * unit
        self.remainder[place] = remainder * unit
        self.ignored[place] = ignored
        used = ((rows.weight > 0) & ~ignored).sum(axis=1)
        self.dof[index] = used - posterior.dof - (0.0 if followed is None else followed.dof)
        if posterior.labels.names:
            self.labels.append((index, posterior.labels))
        known = _Covariances(grid, self.spectra.n_pixels, rows.unit, posterior.covariance, followed)
        self.factors.update({int(row): (known, number) for number, row in enumerate(index)})

    def replace(self, rows: npt.NDArray[np.intp], other: Accumulator, which: npt.NDArray[np.intp]) -> None:
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
        """Make the result."""
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
        known, number = self.factors[row]
        return known.factor(number)


@dataclass(frozen=True, eq=False)
class _Covariances:
    """What the pixel covariances of a batch follow from; a factor is computed only when asked for."""

    grid: Grid
    n_pixels: int
    unit: FloatArray
    covariance: FloatArray
    followed: FollowedData | None

    def factor(self, number: int) -> FloatArray:
        """That of the coordinates, and that of the discrepancy beside it, (n_pixels, n_factors)."""
        half = np.linalg.cholesky(_positive(self.covariance[number]))
        stars = self.grid.coordinates.vectors.astype(np.float64) @ half
        if self.followed is not None:
            unexplained = self.followed.unexplained(number, stars)
            stars = np.concatenate([unexplained, self.followed.factor(number)], axis=1)
        factor = np.zeros((self.n_pixels, stars.shape[1]))
        factor[self.grid.pixels] = stars * self.unit[number]
        return factor


def _positive(covariance: FloatArray) -> FloatArray:
    """Covariance with rounding repaired: symmetric, and a relative 1e-12 of the diagonal added."""
    return np.asarray((covariance + covariance.T) / 2 + np.diag(1e-12 * np.diagonal(covariance) + 1e-300))
