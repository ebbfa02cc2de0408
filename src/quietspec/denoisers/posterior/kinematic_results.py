"""From fits of moving stars to a `Denoised`: what is kept of each, estimates, errors and covariances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised, ModelId
from quietspec.denoisers.base import finish
from quietspec.denoisers.posterior.kinematics import MOTIONS, KinematicCoordinates, State
from quietspec.denoisers.posterior.linearised import Marginalised
from quietspec.denoisers.posterior.pixel_model import PixelModel
from quietspec.denoisers.posterior.velocity_scan import VelocityScan
from quietspec.parameters import ParameterPosterior
from quietspec.spectra import Spectra

__all__ = ["Fitted", "Joint", "KinematicGrid", "KinematicResults"]

Joint = tuple[FloatArray, FloatArray]  #: mean and covariance of (motions, populations) at unit scale


@dataclass(frozen=True, eq=False)
class KinematicGrid:
    """The pixels of one redshift and resolution that the model covers, and the model there."""

    pixels: slice
    wavelength: FloatArray
    rest: FloatArray
    fwhm: FloatArray
    truncation: FloatArray
    model: PixelModel
    scan: VelocityScan


@dataclass(frozen=True, eq=False)
class Fitted:
    """One spectrum's last linearisation, what the data said there, and the likelihood of u where it is no Gaussian.

    The motions of a faint one are what the scan says of them.
    """

    marginalised: Marginalised
    faint: bool
    nodes: FloatArray
    log_likelihood: FloatArray

    @property
    def state(self) -> State:
        """Where the model was linearised."""
        return self.marginalised.linearised.state


@dataclass(frozen=True, eq=False)
class _Estimate:
    """What a spectrum's covariance follows from."""

    grid: KinematicGrid
    state: State
    unit: float
    half: FloatArray  # Cholesky factor of the covariance of a
    response: FloatArray
    inner_half: FloatArray  # the same of ζ given a

    def factor(self, n_pixels: int) -> FloatArray:
        """F of the pixel covariance F Fᵀ, (n_pixels, n_factors)."""
        linearised = self.grid.model.linearise(self.state)
        rows = linearised.factor(self.half, self.response, self.inner_half) * self.unit
        factor = np.zeros((n_pixels, rows.shape[1]))
        factor[self.grid.pixels] = rows
        return factor


class KinematicResults:
    """Gathers spectra into the arrays of a `Denoised`."""

    def __init__(self, spectra: Spectra, coordinates: KinematicCoordinates) -> None:
        n, shape = len(spectra), spectra.flux.shape
        self.spectra = spectra
        self.flux, self.sigma = (np.full(shape, np.nan, dtype=spectra.flux.dtype) for _ in range(2))
        self.remainder = np.zeros(shape, dtype=spectra.flux.dtype)
        self.ignored = np.zeros(shape, dtype=bool)
        self.flags = np.zeros(n, dtype=np.int64)
        self.noise_scale = np.ones(n)
        self.dof, self.evidence = np.full((2, n), np.nan)
        names = coordinates.prior.prior.label_names
        self._names = tuple("sigma" if name == "width" else name for name in names)
        self._labels: list[tuple[int, ParameterPosterior]] = []
        self._estimates: dict[int, _Estimate] = {}

    def store(
        self, index: int, grid: KinematicGrid, one: Fitted, joint: Joint, labels: ParameterPosterior, unit: float
    ) -> None:
        """Turn one spectrum's coordinates into flux and errors."""
        state, data, linearised = one.state, one.marginalised, one.marginalised.linearised
        mean, covariance = joint[0].copy(), joint[1].copy()
        mean[MOTIONS:] *= state.scale
        covariance[MOTIONS:] *= state.scale
        covariance[:, MOTIONS:] *= state.scale
        change = mean - np.concatenate([state.motions(), state.populations])
        rest = data.offset - data.response @ change
        flux = linearised.model + linearised.change(np.concatenate([change, rest]))
        half = _half(covariance)
        variance = linearised.variance(half, data.response, data.inner_half)
        remainder = state.scale * grid.truncation
        place = index, grid.pixels
        self.flux[place] = flux * unit
        self.sigma[place] = np.sqrt(np.maximum(variance, 0) + remainder**2) * unit
        self.remainder[place] = remainder * unit
        self._labels.append((index, labels))
        self._estimates[index] = _Estimate(grid, state, unit, half, data.response, data.inner_half)

    def finish(self, model: ModelId) -> Denoised:
        """Make the result."""
        labels = ParameterPosterior.empty(len(self.spectra), self._names)
        if self._labels:
            rows, posteriors = zip(*self._labels, strict=True)
            labels = labels.with_rows(np.array(rows), ParameterPosterior.stack(posteriors))
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
            factor_of=self._factor_of,
            remainder=self.remainder,
            noise_scale=self.noise_scale,
        )

    def _factor_of(self, row: int) -> FloatArray:
        if row not in self._estimates:
            return np.full((self.spectra.n_pixels, 1), np.nan)
        return self._estimates[row].factor(self.spectra.n_pixels)


def _half(covariance: FloatArray) -> FloatArray:
    """Cholesky factor, rounding repaired."""
    repaired = (covariance + covariance.T) / 2 + np.diag(1e-10 * np.diagonal(covariance))
    return np.linalg.cholesky(repaired)
