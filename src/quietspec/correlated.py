"""The covariance between the pixels of an estimate, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from quietspec.arrays import BoolArray, FloatArray
from quietspec.compact import CompactPosterior
from quietspec.errors import SpectraError
from quietspec.flags import ModelId

__all__ = ["Correlated"]

Component = Literal["host", "nucleus"]


class Correlated:
    """Base of `Denoised`, whose fields these are."""

    flux: FloatArray
    sigma: FloatArray
    remainder: FloatArray | None
    model: ModelId
    factor_of: Callable[[int], FloatArray] | None
    nucleus_of: Callable[[int], tuple[FloatArray, FloatArray]] | None
    compact: CompactPosterior | None

    def __len__(self) -> int:
        return len(self.flux)

    @property
    def valid(self) -> BoolArray:
        """Pixels with an estimate, (n_spectra, n_pixels)."""
        return np.isfinite(self.flux)

    def covariance_factor(self, row: int) -> FloatArray:
        """Factor F of the covariance F Fᵀ + diag(remainder²) of one spectrum's estimate.

        Parameters
        ----------
        row : int
            Number of the spectrum.

        Returns
        -------
        (n_pixels, n_factors)
            F, in the flux's unit.

        Raises
        ------
        SpectraError
            If the denoiser gives no covariance.

        Examples
        --------
        >>> import quietspec
        >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
        >>> denoised.covariance_factor(0).shape[0]
        2757
        """
        if self.factor_of is None:
            raise SpectraError(f"{self.model}: this denoiser gives no covariance; only sigma.")
        factor = self.factor_of(range(len(self))[row])
        return factor * self._match(row, factor)[:, None]

    def _match(self, row: int, factor: FloatArray) -> FloatArray:
        """By how much a compact factor falls short of `sigma`, pixel by pixel, (n_pixels,); 1 for exact factors."""
        if self.compact is None:
            return np.ones(len(factor))
        independent = 0.0 if self.remainder is None else self.remainder[row].astype(np.float64)
        variance = self.sigma[row].astype(np.float64) ** 2 - independent**2
        found = np.einsum("pi,pi->p", factor, factor)
        known = (variance > 0) & (found > 0)
        return np.asarray(np.sqrt(np.divide(variance, found, out=np.ones_like(found), where=known)))

    def covariance(self, row: int) -> FloatArray:
        """Covariance between the pixels of one spectrum's estimate.

        Parameters
        ----------
        row : int
            Number of the spectrum.

        Returns
        -------
        (n_pixels, n_pixels)
            In the flux's unit squared; its diagonal is ``sigma**2``.

        Raises
        ------
        SpectraError
            If the denoiser gives no covariance.

        Examples
        --------
        >>> import quietspec
        >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
        >>> bool(np.allclose(np.diag(denoised.covariance(0)), denoised.sigma[0] ** 2, rtol=1e-3))
        True
        """
        factor = self.covariance_factor(row)
        independent = 0.0 if self.remainder is None else self.remainder[row].astype(np.float64)
        return np.asarray(factor @ factor.T + np.diag(np.broadcast_to(independent, len(factor)) ** 2))

    def component(self, name: Component) -> tuple[FloatArray, FloatArray]:
        """Flux of a part of the light by itself.

        Parameters
        ----------
        name : {'host', 'nucleus'}
            Stars, or the active nucleus: power law, Fe II, Balmer continuum and broad lines. Both include the
            calibration error of the exposure, as `flux` does.

        Returns
        -------
        flux, sigma : (n_spectra, n_pixels)
            Estimate and its 1σ error, in the flux's unit. The two components add up to `flux`.

        Raises
        ------
        SpectraError
            If the denoiser does not tell them apart.

        Examples
        --------
        >>> import quietspec
        >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
        >>> host, _ = denoised.component("host")
        >>> nucleus, error = denoised.component("nucleus")
        >>> bool(np.allclose(host + nucleus, denoised.flux, rtol=1e-4)), error.shape
        (True, (4, 2757))
        """
        if name not in get_args(Component):
            raise SpectraError(f"component {name!r}: there are {' and '.join(get_args(Component))}.")
        flux, sigma = np.full((2, *self.flux.shape), np.nan)
        for row in range(len(self)):
            found, factor = self._nucleus(row)
            if name == "host":
                found, factor = self.flux[row] - found, self.covariance_factor(row) - factor
            flux[row], sigma[row] = found, np.sqrt(np.einsum("pi,pi->p", factor, factor))
        unknown = ~self.valid
        flux[unknown] = sigma[unknown] = np.nan
        return flux, sigma

    def _nucleus(self, row: int) -> tuple[FloatArray, FloatArray]:
        if self.nucleus_of is None or self.factor_of is None:
            raise SpectraError(f"{self.model}: this denoiser does not tell nuclei from stars.")
        flux, factor = self.nucleus_of(range(len(self))[row])
        return flux, factor * self._match(row, self.factor_of(range(len(self))[row]))[:, None]

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draw noise-free spectra from the posterior.

        Parameters
        ----------
        n : int
            Number of draws.
        rng : numpy.random.Generator
            Source of the draws.

        Returns
        -------
        (n, n_spectra, n_pixels)
            In the flux's unit; NaN where there is no estimate. The draws of different spectra are independent.

        Raises
        ------
        SpectraError
            If the denoiser gives no covariance.

        Examples
        --------
        >>> import numpy as np
        >>> import quietspec
        >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
        >>> drawn = denoised.draw(200, np.random.default_rng(0))
        >>> bool((np.abs(drawn.std(axis=0) / denoised.sigma - 1) < 0.3).all())
        True
        """
        drawn = np.empty((n, *self.flux.shape))
        for row in range(len(self)):
            factor = self.covariance_factor(row)
            drawn[:, row] = self.flux[row] + rng.standard_normal((n, factor.shape[1])) @ factor.T
        if self.remainder is not None:
            drawn += self.remainder * rng.standard_normal(drawn.shape)
        return drawn
