"""Wavelet shrinkage in the observed frame, with the thresholds of BayesShrink."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from quietspec.denoisers.base import import_extra
from quietspec.denoisers.smoothers import MIN_PIVOT, MIN_SUPPORT, Estimate, Smoother, require

if TYPE_CHECKING:
    from quietspec.arrays import BoolArray, FloatArray

__all__ = ["Wavelet"]


@dataclass(frozen=True)
class Wavelet(Smoother):
    """Soft thresholding of the stationary wavelet transform, with BayesShrink thresholds.

    Parameters
    ----------
    scale : float
        Coarsest scale that is thresholded, in observed Å; wider features are kept.
    wavelet : str
        A discrete wavelet of PyWavelets, which comes with ``pip install 'quietspec[lab]'``.

    Notes
    -----
    A running mean is subtracted and the rest divided by its 1σ errors, so that the noise is 1 at every level and steps
    in the errors do not look like lines; masked pixels are then 0. The threshold of each level is BayesShrink's.

    `sigma` is approximate, since the result is not linear in the data: it is the error of the Wiener filter that has
    the same signal in each level, σ_i·√g with one g per spectrum. There is no covariance and no χ².

    References
    ----------
    Chang, Yu & Vetterli 2000, IEEE Trans. Image Process. 9, 1532, Section III (BayesShrink).

    Examples
    --------
    >>> from importlib.resources import files
    >>> import quietspec
    >>> from quietspec.denoisers import Wavelet
    >>> spectra = quietspec.read(str(files("quietspec.models") / "demo.fits"))[:1]
    >>> bool(Wavelet(scale=60).denoise(spectra).snr[0] > spectra.snr[0])
    True
    """

    scale: float = 120.0
    wavelet: str = "coif1"
    name: ClassVar[str] = "wavelet"

    def __post_init__(self) -> None:
        pywt = import_extra("pywt", "Wavelet")
        require(self.scale > 0, f"Wavelet: scale {self.scale} Å; it must be positive.")
        known = self.wavelet in pywt.wavelist(kind="discrete")
        require(known, f"Wavelet: no discrete wavelet {self.wavelet!r}; see pywt.wavelist(kind='discrete').")

    def _smooth(self, data: FloatArray, weight: FloatArray, step: float) -> Estimate:
        good = weight > 0
        baseline, mean_weight, supported = _running_mean(data, weight, size=2 * round(self.scale / step) + 1)
        inverse_sigma = np.sqrt(np.where(good, weight, mean_weight))
        levels = max(1, round(np.log2(self.scale / step)))
        signal, gain = _shrunk(np.where(good, (data - baseline) * inverse_sigma, 0), self.wavelet, levels)
        flux = np.where(supported, baseline + signal / inverse_sigma, np.nan)
        return Estimate(flux, gain / inverse_sigma**2, np.full_like(data, np.nan))


def _running_mean(data: FloatArray, weight: FloatArray, size: int) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Weighted mean of `data`, mean weight of the good pixels, and where enough of these support both."""
    from scipy.ndimage import uniform_filter1d

    support, total, mean = (
        uniform_filter1d(values, size, axis=-1, mode="constant")
        for values in ((weight > 0).astype(np.float64), weight, weight * data)
    )
    supported = (support >= MIN_SUPPORT) & (total > MIN_PIVOT * support)
    divide = {"out": np.ones_like(data), "where": supported}
    return np.divide(mean, total, **divide) * supported, np.divide(total, support, **divide), supported


def _shrunk(whitened: FloatArray, wavelet: str, levels: int) -> tuple[FloatArray, FloatArray]:
    """Shrink rows of unit noise; returns them and, (n, 1), the fraction of the noise variance that remains."""
    pywt = import_extra("pywt", "Wavelet")
    size, pad = whitened.shape[1], 2**levels
    padded = np.pad(whitened.astype(np.float32), ((0, 0), (pad, pad + (-size) % pad)), mode="symmetric")
    coarse, *details = pywt.swt(padded, wavelet, levels, axis=-1, norm=True, trim_approx=True)
    kept, gain = [coarse], np.full((len(whitened), 1), 0.5**levels)
    for level, detail in zip(range(levels, 0, -1), details, strict=True):
        noise = 0.5**level  # variance that unit noise has in this level
        # Clipped at 5σ, so that a spike or an emission line does not lower the threshold of the whole spectrum.
        energy = np.mean(np.minimum(detail[:, pad : pad + size] ** 2, 25 * noise), axis=1, keepdims=True)
        signal = np.maximum(energy - noise, 1e-9 * noise)
        kept.append(pywt.threshold(detail, noise / np.sqrt(signal), mode="soft"))
        gain = gain + noise * signal / (signal + noise)
    restored = pywt.iswt(kept, wavelet, norm=True, axis=-1)
    return restored[:, pad : pad + size].astype(np.float64), gain
