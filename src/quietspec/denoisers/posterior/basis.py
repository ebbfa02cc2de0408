"""What denoisers on a fixed basis share: the basis on the pixels, gas and spikes, noise, flux from coordinates."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoised import Flag
from quietspec.denoisers.base import Emission
from quietspec.denoisers.posterior.contamination import noise_scale
from quietspec.denoisers.posterior.coordinates import Coordinates, PreparedPrior
from quietspec.denoisers.posterior.grid import BasisGrid, Batch
from quietspec.denoisers.posterior.inference import CoefficientPosterior
from quietspec.denoisers.posterior.linear import LinearFit
from quietspec.denoisers.posterior.masking import find_contamination
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.denoisers.posterior.results import Accumulator, Solution
from quietspec.denoisers.posterior.walk import Noise, PriorDenoiser
from quietspec.errors import ModelError, SpectraError
from quietspec.spectra import Spectra
from quietspec.wavelengths import rest_air

__all__ = ["BasisDenoiser"]


class BasisDenoiser(PriorDenoiser[BasisGrid]):
    """A denoiser that projects spectra onto a prior's basis as it is, motions included.

    Parameters
    ----------
    name : str
        Name in tables.
    prior : SpectralPrior
        The prior.
    emission, noise : str, optional
        As for `PriorDenoiser`.
    """

    _together = 256

    def __init__(
        self, name: str, prior: SpectralPrior, emission: Emission | None = None, noise: Noise | None = None
    ) -> None:
        super().__init__(name, prior, emission, noise)
        if self.emission == "fit":
            raise ModelError(f"{name}: emission 'fit' needs the posterior of a prior at rest, such as `survey`.")
        self.prepared = PreparedPrior(prior)

    def _new_grid(self, spectra: Spectra, redshift: float, fwhm: FloatArray | None) -> BasisGrid | None:
        rest = rest_air(spectra.wavelength, redshift, spectra.medium)
        basis = self.prior.on_pixels(rest, fwhm)
        sharp = np.interp(rest, self.prior.wavelength, self.prior.fwhm)
        width = np.maximum(sharp, np.nan_to_num(fwhm)) if fwhm is not None else sharp
        covered = np.flatnonzero(basis.covered)
        if not covered.size:
            return None
        pixels = slice(int(covered[0]), int(covered[-1]) + 1)  # wavelengths increase
        vectors = basis.vectors[pixels]
        coordinates = Coordinates(self.prepared, vectors)
        return BasisGrid(pixels, rest[pixels], width[pixels], basis.truncation[pixels], vectors, coordinates)

    def _denoise_batch(self, rows: npt.NDArray[np.intp], batch: Batch[BasisGrid], result: Accumulator) -> None:
        estimates = result.estimates
        ignored, fit, residual = find_contamination(batch, self.emission)
        weight = np.where(ignored, 0, batch.weight)
        # Noise: rescaled if it is to be measured, and with what the basis leaves out.
        if self.noise == "measured":
            level = noise_scale(residual, weight, fit.dof)
            level = np.where(batch.inflation > 1, np.maximum(level, 1.0), level)
            estimates.noise_scale[rows] = level
            weight /= _column(level) ** 2
        weight /= 1 + weight * (_column(fit.scale) * batch.grid.truncation.astype(np.float32)) ** 2
        posterior, fit = self._solve(batch, residual, weight, fit)
        result.store(rows, batch, _solution(batch, posterior, fit.scale, ignored))
        estimates.noise_scale[rows] *= batch.inflation
        estimates.evidence[rows] = posterior.log_evidence + batch.noise_constant(weight)
        estimates.flags[rows[fit.scale < 2 * fit.error]] |= int(Flag.NO_SIGNAL)

    @abstractmethod
    def _solve(
        self, batch: Batch[BasisGrid], residual: FloatArray, weight: FloatArray, fit: LinearFit
    ) -> tuple[CoefficientPosterior, LinearFit]:
        """Posterior of the coordinates of the spectra, and the last fit of their scale, from a first fit."""


def _solution(
    batch: Batch[BasisGrid], posterior: CoefficientPosterior, scale: FloatArray, ignored: BoolArray
) -> Solution:
    """Turn coordinates into flux and errors."""
    coordinates = batch.grid.coordinates
    vectors = coordinates.vectors

    return Solution(
        flux=posterior.mean.astype(np.float32) @ vectors.T,
        variance=coordinates.variance(posterior.covariance),
        remainder=np.abs(scale)[:, None] * batch.grid.truncation,
        ignored=ignored,
        determined=posterior.dof,
        labels=posterior.labels,
        factor=_Factor(vectors, posterior.covariance),
    )


@dataclass(frozen=True, eq=False)
class _Factor:
    """Square root of the pixel covariance of a batch's spectra."""

    vectors: FloatArray
    covariance: FloatArray

    def __call__(self, number: int) -> FloatArray:
        half = np.linalg.cholesky(_positive(self.covariance[number]))
        return np.asarray(self.vectors.astype(np.float64) @ half)

    def nucleus(self, number: int) -> tuple[FloatArray, FloatArray]:
        raise SpectraError("this denoiser does not tell nuclei from stars; the posterior of the model `survey` does.")


def _positive(covariance: FloatArray) -> FloatArray:
    """Covariance with rounding repaired: symmetric, and a relative 1e-12 of the diagonal added."""
    return np.asarray((covariance + covariance.T) / 2 + np.diag(1e-12 * np.diagonal(covariance) + 1e-300))


def _column(values: FloatArray) -> FloatArray:
    return values.astype(np.float32)[:, None]
