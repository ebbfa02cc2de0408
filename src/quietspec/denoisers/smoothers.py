"""Classical smoothers in the observed frame: they need no redshift and no training, and honour errors and masks.

Their default widths minimise the mean RMS residual on 400 training spectra of the recipe `paper` at S/N 10
(``benchmarks/tune_smoothers.py``, MILES). The best widths grow as the S/N falls.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from quietspec.denoised import Flag, ModelId
from quietspec.denoisers.base import FEWEST_PIXELS, finish, initial_flags
from quietspec.denoisers.outliers import without_gross_outliers
from quietspec.errors import ModelError
from quietspec.wavelengths import stretches

if TYPE_CHECKING:
    from quietspec.arrays import BoolArray, FloatArray
    from quietspec.denoised import Denoised
    from quietspec.spectra import Spectra

__all__ = ["Butterworth", "Estimate", "Gaussian", "SavitzkyGolay", "Smoother", "require"]

BATCH_VALUES = 2**17  # pixels smoothed at a time: 1 MB per array, to fit into the processor's cache
MIN_SUPPORT = 0.05  # least fraction of a kernel on good pixels; below it a gap is too wide to be filled
MIN_PIVOT = 1e-9  # relative pivot below which a local polynomial is not determined


class Estimate(NamedTuple):
    """Smoothed flux (NaN where undetermined), its variance and ∂flux_i/∂data_i, each (n_spectra, n_pixels)."""

    flux: FloatArray
    variance: FloatArray
    leverage: FloatArray


class Smoother(ABC):
    """The loop over stretches and batches that all smoothers share."""

    name: ClassVar[str]

    @property
    def model(self) -> ModelId:
        """The smoother with its settings."""
        return ModelId(repr(self))

    def denoise(self, spectra: Spectra) -> Denoised:
        """Smooth every spectrum.

        Parameters
        ----------
        spectra : Spectra
            Redshifts are not used.

        Returns
        -------
        Denoised
            `sigma` holds the propagated noise only, not the bias of smoothing. For linear smoothers, `dof` is the
            expectation of χ² in the absence of bias, N − 2 tr S + tr(S V Sᵀ V⁻¹) for a smoothing matrix S and noise
            covariance V, and `covariance` is exact.
        """
        return without_gross_outliers(spectra, self._denoise)

    def _denoise(self, spectra: Spectra) -> Denoised:
        shape = spectra.flux.shape
        flux, sigma, dof = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape[0])
        for stretch in stretches(spectra.wavelength):
            step = _step(spectra.wavelength[stretch])
            for rows in _batches(shape):
                data, weight, scale = _prepared(spectra, rows, stretch)
                estimate = self._smooth(data, weight, step)
                flux[rows, stretch] = estimate.flux / scale
                sigma[rows, stretch] = np.sqrt(estimate.variance) / scale
                used = (weight > 0) & np.isfinite(estimate.flux)
                terms = 1 - 2 * estimate.leverage + estimate.variance * weight
                dof[rows] += np.sum(terms, axis=1, where=used)
        flags = initial_flags(spectra)
        n_estimated = (spectra.good & np.isfinite(flux)).sum(axis=1)
        flags[(flags == 0) & (n_estimated < FEWEST_PIXELS)] |= int(Flag.UNDETERMINED)
        return finish(spectra, flux, sigma, model=self.model, flags=flags, **self._linear_facts(spectra, dof))

    @abstractmethod
    def _smooth(self, data: FloatArray, weight: FloatArray, step: float) -> Estimate:
        """Smooth one evenly sampled stretch; `data` is 0 where `weight` (inverse variance) is 0."""

    def _linear_facts(self, spectra: Spectra, dof: FloatArray) -> dict[str, Any]:
        return {}


class _LinearSmoother(Smoother):
    """A smoother whose result is S·data, with S known exactly."""

    @abstractmethod
    def _reach(self, step: float) -> int:
        """Number of pixels on either side that affect an estimate."""

    def _linear_facts(self, spectra: Spectra, dof: FloatArray) -> dict[str, Any]:
        return {"dof": dof, "factor_of": lambda row: self._factor(spectra, row)}

    def _factor(self, spectra: Spectra, row: int) -> FloatArray:
        """S·diag(σ) of one spectrum, (n_pixels, n_pixels); NaN rows where there is no estimate."""
        from scipy.linalg import block_diag

        return np.asarray(block_diag(*(self._stretch_factor(spectra, row, s) for s in stretches(spectra.wavelength))))

    def _stretch_factor(self, spectra: Spectra, row: int, stretch: slice) -> FloatArray:
        # S is banded, so the responses to the impulses of a comb do not overlap when its teeth are a band apart:
        # smoothing one comb per column of the band gives all of S.
        step = _step(spectra.wavelength[stretch])
        _, weight, scale = _prepared(spectra, slice(row, row + 1), stretch)
        size, reach = weight.shape[1], min(self._reach(step), weight.shape[1])
        pixel, period = np.arange(size), 2 * reach + 1
        combs = np.where(pixel % period == np.arange(min(period, size))[:, None], 1.0, 0.0) * (weight > 0)
        smoothed = self._smooth(combs, np.broadcast_to(weight, combs.shape), step).flux
        matrix = np.where(abs(pixel[:, None] - pixel) <= reach, smoothed[pixel % period].T, 0)
        matrix[np.isnan(smoothed[0])] = np.nan
        sigma = np.divide(1, np.sqrt(weight[0]) * scale[0], out=np.zeros(size), where=weight[0] > 0)
        return np.asarray(matrix * sigma)


def _step(wavelength: FloatArray) -> float:
    return float(np.median(np.diff(wavelength))) if len(wavelength) > 1 else 1.0


def _batches(shape: tuple[int, ...]) -> Iterator[slice]:
    size = max(1, BATCH_VALUES // shape[1])
    return (slice(start, start + size) for start in range(0, shape[0], size))


def _prepared(spectra: Spectra, rows: slice, stretch: slice) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Scale the data by (n, 1) so that the largest inverse variance is 1; returns data, inverse variances and scale."""
    weight = spectra.ivar[rows, stretch].astype(np.float64)
    scale = np.sqrt(weight.max(axis=1, keepdims=True))
    scale[scale == 0] = 1
    data = np.where(weight > 0, spectra.flux[rows, stretch], 0.0)
    return data * scale, weight / scale**2, scale


def _correlate(values: FloatArray, kernel: FloatArray) -> FloatArray:
    from scipy.ndimage import correlate1d

    return np.asarray(correlate1d(values, kernel, axis=-1, mode="constant"))


def require(condition: bool, message: str) -> None:
    """Raise `ModelError` unless a setting is possible."""
    if not condition:
        raise ModelError(message)


class _KernelSmoother(_LinearSmoother):
    """Normalised convolution: flux_i = Σ_j k_ij w_j y_j / Σ_j k_ij w_j, over good pixels j."""

    @abstractmethod
    def _kernel(self, step: float) -> FloatArray:
        """Symmetric kernel of odd length and unit sum, for pixels of `step` Å."""

    def _weights(self, weight: FloatArray, reach: int) -> FloatArray:
        """Weights of the pixels, from their inverse variances (1 at most)."""
        return weight

    def _reach(self, step: float) -> int:
        return len(self._kernel(step)) // 2

    def _smooth(self, data: FloatArray, weight: FloatArray, step: float) -> Estimate:
        kernel = self._kernel(step)
        good = weight > 0
        weights = self._weights(weight, len(kernel) // 2)
        supported = _correlate(good.astype(np.float64), kernel) >= MIN_SUPPORT
        norm = np.where(supported, _correlate(weights, kernel), np.nan)
        scatter = np.divide(weights**2, weight, out=np.zeros_like(weight), where=good)
        return Estimate(
            _correlate(weights * data, kernel) / norm,
            np.maximum(_correlate(scatter, kernel**2), 0) / norm**2,
            kernel.max() * weights / norm,
        )


@dataclass(frozen=True)
class Gaussian(_KernelSmoother):
    """Gaussian smoothing, each pixel weighted by its inverse variance.

    Parameters
    ----------
    width : float
        Standard deviation of the kernel in observed Å.

    Examples
    --------
    >>> from importlib.resources import files
    >>> import quietspec
    >>> from quietspec.denoisers import Gaussian
    >>> spectra = quietspec.read(str(files("quietspec.models") / "demo.fits"))[:1]
    >>> denoised = Gaussian(width=6).denoise(spectra)
    >>> print(denoised.model)
    Gaussian(width=6)
    >>> bool(denoised.snr[0] > spectra.snr[0])
    True
    """

    width: float = 4.0
    name: ClassVar[str] = "gaussian"
    truncate: ClassVar[float] = 4.0

    def __post_init__(self) -> None:
        require(self.width > 0, f"Gaussian: width {self.width} Å; it must be positive.")

    def _kernel(self, step: float) -> FloatArray:
        width = self.width / step
        half = max(1, round(self.truncate * width))
        kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / width) ** 2)
        return np.asarray(kernel / kernel.sum())


@dataclass(frozen=True)
class Butterworth(_KernelSmoother):
    """Zero-phase Butterworth low-pass, run forwards and backwards: its gain is 1/(1 + (f/f_c)^(2·order)).

    Parameters
    ----------
    cutoff : float
        Period in observed Å at which half the amplitude is left; shorter periods are removed.
    order : int
        Order of the filter.

    Notes
    -----
    The two-sided impulse response, cut where it is below 10⁻⁴ of its peak, acts as the kernel of a normalised
    convolution. It has negative lobes, so that very different weights could cancel: the weights are inverse variances
    over their local mean, kept between 0.1 and 1.

    Examples
    --------
    >>> from importlib.resources import files
    >>> import quietspec
    >>> from quietspec.denoisers import Butterworth
    >>> spectra = quietspec.read(str(files("quietspec.models") / "demo.fits"))[:1]
    >>> denoised = Butterworth(cutoff=40).denoise(spectra)
    >>> bool(denoised.snr[0] > spectra.snr[0])
    True
    """

    cutoff: float = 25.0
    order: int = 1
    name: ClassVar[str] = "butterworth"

    def __post_init__(self) -> None:
        require(self.cutoff > 0, f"Butterworth: cutoff {self.cutoff} Å; it must be positive.")
        require(1 <= self.order <= 3, f"Butterworth: order {self.order}; it must be 1, 2 or 3.")

    def _kernel(self, step: float) -> FloatArray:
        from scipy.signal import butter, sosfiltfilt

        if self.cutoff <= 2 * step:  # no frequency of this sampling is above the cut-off
            return np.array([0.0, 1.0, 0.0])
        half = int(np.ceil(4 * self.cutoff / step))
        impulse = np.zeros(2 * half + 1)
        impulse[half] = 1
        kernel = sosfiltfilt(butter(self.order, 1 / self.cutoff, fs=1 / step, output="sos"), impulse, padtype=None)
        keep = int(np.abs(np.flatnonzero(abs(kernel) > 1e-4 * kernel.max()) - half).max())
        kernel = kernel[half - keep : half + keep + 1]
        return np.asarray((kernel + kernel[::-1]) / (2 * kernel.sum()))

    def _weights(self, weight: FloatArray, reach: int) -> FloatArray:
        from scipy.ndimage import uniform_filter1d

        good = weight > 0
        size = 2 * reach + 1
        total = uniform_filter1d(weight, size, axis=-1, mode="constant")
        count = uniform_filter1d(good.astype(np.float64), size, axis=-1, mode="constant")
        relative = np.divide(weight * count, total, out=np.zeros_like(weight), where=good & (total > 0))
        return np.where(good, np.clip(relative, 0.1, 1), 0)


@dataclass(frozen=True)
class SavitzkyGolay(_LinearSmoother):
    """Local polynomial by weighted least squares: the Savitzky–Golay filter where all weights are equal.

    Parameters
    ----------
    window : float
        Full width of the fitted window in observed Å.
    order : int
        Degree of the polynomial.

    Notes
    -----
    The normal equations of all pixels consist of moments Σ_k w_{i+k} k^a, which are convolutions; the variance of the
    fitted value is the first element of their inverse.

    References
    ----------
    Savitzky & Golay 1964, Anal. Chem. 36, 1627; Fan & Gijbels 1996, Local Polynomial Modelling, Section 3.1.

    Examples
    --------
    >>> from importlib.resources import files
    >>> import quietspec
    >>> from quietspec.denoisers import SavitzkyGolay
    >>> spectra = quietspec.read(str(files("quietspec.models") / "demo.fits"))[:1]
    >>> denoised = SavitzkyGolay(window=41, order=2).denoise(spectra)
    >>> denoised.covariance(0).shape == (spectra.n_pixels, spectra.n_pixels)
    True
    """

    window: float = 25.0
    order: int = 2
    name: ClassVar[str] = "savgol"
    min_support: ClassVar[float] = 0.25  # least fraction of good pixels in a window: polynomials extrapolate badly

    def __post_init__(self) -> None:
        require(self.window > 0, f"SavitzkyGolay: window {self.window} Å; it must be positive.")
        require(0 <= self.order <= 5, f"SavitzkyGolay: order {self.order}; it must be 0 to 5.")

    def _reach(self, step: float) -> int:
        return max(1, (self.order + 1) // 2, round((self.window / step - 1) / 2))

    def _smooth(self, data: FloatArray, weight: FloatArray, step: float) -> Estimate:
        half = self._reach(step)
        offset = np.linspace(-1, 1, 2 * half + 1)
        count = _correlate((weight > 0).astype(np.float64), np.ones_like(offset))
        moments = [_correlate(weight, offset**a) for a in range(2 * self.order + 1)]
        data_moments = [_correlate(weight * data, offset**a) for a in range(self.order + 1)]
        enough = count >= max(self.order + 1, self.min_support * len(offset))
        value, variance = _fitted_constant(moments, data_moments, enough)
        return Estimate(value, variance, variance * weight)


def _fitted_constant(
    moments: list[FloatArray], data_moments: list[FloatArray], enough: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Solve the normal equations of local polynomials for the constant term; returns it and its variance."""
    # Gaussian elimination of millions of systems of two to six unknowns together, highest power first:
    # numpy.linalg.solve takes several times longer on systems so small.
    order = len(data_moments) - 1
    matrix = {(a, b): moments[a + b] for a in range(order + 1) for b in range(a, order + 1)}
    right = list(data_moments)
    determined = enough & (moments[0] > 0)
    for k in range(order, 0, -1):
        determined &= matrix[k, k] > MIN_PIVOT * moments[2 * k]
        inverse = np.divide(1, matrix[k, k], out=np.zeros_like(matrix[k, k]), where=determined)
        for a in range(k):
            ratio = matrix[a, k] * inverse
            right[a] = right[a] - ratio * right[k]
            for b in range(a, k):
                matrix[a, b] = matrix[a, b] - ratio * matrix[b, k]
    determined &= matrix[0, 0] > MIN_PIVOT * moments[0]
    variance = np.divide(1, matrix[0, 0], out=np.full_like(right[0], np.nan), where=determined)
    return right[0] * variance, variance
