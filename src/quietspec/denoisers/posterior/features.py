r"""The features of spectra, flux over running continuum, and how well a prior explains them at every redshift at once.

Features are m + Σ z_k p_k with z ~ N(0, 1): m and p_k are the mean and the principal components of the features of
draws from the prior. In bins of equal velocity the evidence of every redshift then follows from a few correlations by
FFT and one small linear system each: Tonry & Davis 1979, AJ 84, 1511, with a prior in place of the template.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.ndimage import uniform_filter1d
from scipy.sparse import csr_array

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoisers.posterior.moving import drawn_spectra
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.wavelengths import SPEED_OF_LIGHT

__all__ = ["CONTINUUM_REACH", "Explanations", "FeatureScan"]

_STEP = 200.0  # km/s, bin of the features: about the resolution of stellar spectra in galaxies
_REACH = 32000.0  # km/s, range of redshifts tried about the given one
_NEAR = 600.0  # km/s, within which a redshift counts as the given one: rotation, and errors of catalogues
_CONTINUUM = 5000.0  # km/s, half width of the running mean whose third iterate is the continuum
CONTINUUM_REACH = 6 * _CONTINUUM  #: km/s, from the first to the last pixel that tell a continuum
_STREAM = 0, 78  # of the draws that are analysed: none that trains or tests
_COMPONENTS = 4
_DRAWS = 400
_DISCREPANCY = 0.015  # relative 1σ per bin of features that galaxies have and the prior lacks
_SLOPE = 0.1  # relative change of a continuum over `_CONTINUUM`
_EVEN = 0.1  # of χ² per bin: how far that of galaxies varies beyond its noise
_HIGHEST, _LOWEST = 0.15, -0.6  # features beyond these are lines of gas, spikes and dead pixels


@dataclass(frozen=True, eq=False)
class Explanations:
    """How well several explanations account for the features of each spectrum.

    Parameters
    ----------
    given, other : (n_spectra,)
        Log evidence over a smooth continuum of the given redshift (the best within 600 km/s), and of the best other.
    velocity : (n_spectra,)
        The best other redshift, as a velocity relative to the given one, km/s.
    starlike : (n_spectra,) of bool
        Whether the best other redshift is 0, that of stars.
    unexplained : (n_spectra,)
        By how much χ² of the bins at the given redshift exceeds their number, over its 1σ among galaxies: that of the
        noise, and a tenth of the number, to which the model's own discrepancy is known.
    information : (n_spectra,)
        Log evidence over a smooth continuum that the prior's mean features would have.
    """

    given: FloatArray
    other: FloatArray
    velocity: FloatArray
    starlike: BoolArray
    unexplained: FloatArray
    information: FloatArray


class FeatureScan:
    """Evidence of a prior's features at every redshift.

    Parameters
    ----------
    prior : SpectralPrior
        The prior.
    rng : numpy.random.Generator, optional
        For the draws from `prior` whose features are analysed; with a fixed seed by default.
    """

    def __init__(self, prior: SpectralPrior, rng: np.random.Generator | None = None) -> None:
        rng = rng or np.random.default_rng(_STREAM)
        self._step = _STEP / SPEED_OF_LIGHT
        low, high = np.log(prior.wavelength[[0, -1]])
        self._low, self._size = float(low), int((high - low) / self._step)
        self._margin = int(np.log1p(_REACH / SPEED_OF_LIGHT) / self._step) + 1
        self._length = int(fft.next_fast_len(2 * (self._size + self._margin), real=True))
        mean, components = self._features(prior, rng)
        rows, columns = np.tril_indices(_COMPONENTS)
        self._pairs = rows, columns
        self._mean, self._mean2 = self._conjugate(mean), self._conjugate(mean**2)
        self._components, self._crossed = self._conjugate(components), self._conjugate(mean * components)
        self._products = self._conjugate(components[rows] * components[columns])

    def _conjugate(self, values: FloatArray) -> npt.NDArray[np.complexfloating[Any, Any]]:
        return np.asarray(np.conj(fft.rfft(values.astype(np.float32), self._length)))

    def _features(self, prior: SpectralPrior, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Mean (n_bins,) and scaled principal components (n_components, n_bins) of the features of draws."""
        centre = np.exp(self._low + self._step * (np.arange(self._size) + 0.5))
        drawn = drawn_spectra(prior, _DRAWS, rng)
        flux = np.maximum(np.stack([np.interp(centre, prior.wavelength, one) for one in drawn]), 0)
        continuum = _continuum(flux, np.ones_like(flux))
        feature = np.divide(flux, continuum, out=np.ones_like(flux), where=continuum > 0) - 1
        mean = feature.mean(axis=0)
        _, spread, components = np.linalg.svd(feature - mean, full_matrices=False)
        return mean, components[:_COMPONENTS] * (spread[:_COMPONENTS, None] / np.sqrt(_DRAWS))

    def __call__(self, rest: FloatArray, flux: FloatArray, weight: FloatArray, redshift: float) -> Explanations:
        """Compare the given redshift with others, and both with a smooth continuum.

        Parameters
        ----------
        rest : (n_pixels,)
            Rest-frame air wavelengths at the given redshift, Å.
        flux, weight : (n_spectra, n_pixels)
            Flux, and inverse variances (0 = masked).
        redshift : float
            The given redshift.

        Returns
        -------
        Explanations
            One row per spectrum.
        """
        place = np.floor((np.log(rest) - self._low) / self._step).astype(int) + self._margin
        inside = (place >= 0) & (place < self._size + 2 * self._margin)
        power, signal, precision = self._binned(place[inside], flux[:, inside], weight[:, inside])
        lags, star = self._lags(redshift)
        evidence, fall = self._evidence(signal, precision, lags + self._margin)
        near = np.abs(lags * _STEP) <= _NEAR
        others = np.where(near, -np.inf, evidence)
        best = others.argmax(axis=1)
        count = np.maximum((precision > 0).sum(axis=1), 1)
        spectrum = fft.rfft(precision, self._length)
        expected = fft.irfft(spectrum * self._mean2, self._length)[:, self._margin]
        return Explanations(
            given=evidence[:, near].max(axis=1),
            other=others.max(axis=1),
            velocity=SPEED_OF_LIGHT * np.expm1(lags[best] * self._step),
            starlike=np.abs(lags[best] - star) * _STEP <= _NEAR,
            unexplained=(power - fall[:, near].max(axis=1) - count) / np.sqrt(2 * count + (_EVEN * count) ** 2),
            information=0.5 * np.maximum(expected, 0),
        )

    def _lags(self, redshift: float) -> tuple[npt.NDArray[np.int64], int]:
        """Redshifts to try, in bins relative to the given one, and that of stars."""
        reach, near = self._margin - 1, int(2 * _NEAR / _STEP)
        lags = np.arange(-reach, reach + 1)
        lags = lags[(np.abs(lags) <= near) | (lags % 2 == 0)]
        star = round(float(-np.log1p(redshift)) / self._step)
        return (np.append(lags, star) if lags[0] - self._size < star < lags[0] else lags), star

    def _binned(
        self, place: npt.NDArray[np.int64], flux: FloatArray, weight: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """χ² of a featureless spectrum, (n,), and the weighted features and their weights in bins, (n, n_bins)."""
        shape = (len(place), self._size + 2 * self._margin)
        gather = csr_array((np.ones(len(place)), (np.arange(len(place)), place)), shape=shape)
        weight = np.asarray(weight, dtype=np.float64)
        summed = weight @ gather
        total = (np.where(weight > 0, flux, 0.0) * weight) @ gather
        mean = np.divide(total, summed, out=np.zeros_like(total), where=summed > 0)
        continuum, onesided = _continuum(total, summed), _onesidedness(summed)
        error = np.divide(1, np.sqrt(summed), out=np.zeros_like(summed), where=summed > 0)
        size = np.abs(continuum)
        feature = np.clip(mean - continuum, _LOWEST * size - 3 * error, _HIGHEST * size + 3 * error)
        discrepancy = np.hypot(_DISCREPANCY, _SLOPE * onesided)
        weights = np.divide(summed, 1 + summed * (discrepancy * size) ** 2)
        feature = np.where(summed > 0, feature, 0.0)
        single = np.float32
        return (
            (weights * feature**2).sum(axis=1),
            (weights * feature * continuum).astype(single),
            (weights * continuum**2).astype(single),
        )

    def _evidence(
        self, signal: FloatArray, precision: FloatArray, places: npt.NDArray[np.int64]
    ) -> tuple[FloatArray, FloatArray]:
        """Log evidence over a smooth continuum, and decrease of χ² with the best features, both (n, n_lags)."""

        def at_lags(spectrum: npt.NDArray[np.complexfloating[Any, Any]]) -> FloatArray:
            return np.take(fft.irfft(spectrum, self._length), places, axis=-1)

        signals, precisions = fft.rfft(signal, self._length), fft.rfft(precision, self._length)
        mean = at_lags(signals * self._mean - 0.5 * precisions * self._mean2)
        gradient = at_lags(signals[:, None] * self._components - precisions[:, None] * self._crossed)
        gram = at_lags(precisions[:, None] * self._products)
        n, n_lags = mean.shape
        rows, columns = self._pairs
        hessian = np.empty((n, n_lags, _COMPONENTS, _COMPONENTS))
        hessian[..., rows, columns] = hessian[..., columns, rows] = np.moveaxis(gram, 1, 2)
        hessian += np.eye(_COMPONENTS)
        gradient = np.moveaxis(gradient, 1, 2)
        gain = np.einsum("nlk,nlk->nl", gradient, np.linalg.solve(hessian, gradient[..., None])[..., 0])
        return mean + 0.5 * gain - 0.5 * np.linalg.slogdet(hessian)[1], 2 * mean + gain


def _continuum(total: FloatArray, weight: FloatArray) -> FloatArray:
    """Weighted running mean, smooth to its second derivative, of sums of weight × flux and of weight in bins."""
    total, weight = _smoothed(total), _smoothed(weight)
    floor = 1e-9 * weight.max(axis=1, keepdims=True, initial=0.0)  # what rounding may leave of empty sums
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > floor)


def _onesidedness(weight: FloatArray) -> FloatArray:
    """Distance of each bin from the centre of its running mean, in units of `_CONTINUUM`: large at ends and gaps."""
    place, mean = np.arange(float(weight.shape[1])), _smoothed(weight)
    centre = np.tile(place, (len(weight), 1))
    np.divide(_smoothed(weight * place), mean, out=centre, where=mean > 0)
    return np.asarray(np.abs(centre - place) * (_STEP / _CONTINUUM))


def _smoothed(values: FloatArray) -> FloatArray:
    """Three running means, one after the other."""
    for _ in range(3):
        values = uniform_filter1d(values, 2 * int(_CONTINUUM / _STEP) + 1, axis=1, mode="constant")
    return values
