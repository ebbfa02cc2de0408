"""Line-of-sight velocity distributions (LOSVD), applied to spectra in Fourier space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from quietspec.arrays import BySpectrum, FloatArray
from quietspec.wavelengths import SPEED_OF_LIGHT

__all__ = ["FourierLibrary", "Losvd", "log_wavelengths", "losvd_transform"]


@dataclass(frozen=True, eq=False)
class Losvd(BySpectrum):
    """Gauss–Hermite LOSVDs: velocity and sigma (km/s), h3 and h4, each (n,). Velocity is defined as c·Δln λ."""

    velocity: FloatArray
    sigma: FloatArray
    h3: FloatArray
    h4: FloatArray


def log_wavelengths(low: float, high: float, velocity_scale: float) -> FloatArray:
    """Wavelengths (Å) from `low` up to `high`, in even steps of ln λ by `velocity_scale` (km/s), (n_pixels,)."""
    n = int(np.log(high / low) * SPEED_OF_LIGHT / velocity_scale) + 1
    return np.asarray(low * np.exp(np.arange(n) * (velocity_scale / SPEED_OF_LIGHT)))


def losvd_transform(frequency: FloatArray, losvd: Losvd) -> npt.NDArray[np.complex64]:
    """Fourier transform of Gauss–Hermite LOSVDs, ∫ L(v) exp(−i ω v) dv.

    Parameters
    ----------
    frequency : (n_frequencies,)
        Angular frequency ω, s/km.
    losvd : Losvd
        LOSVDs of n spectra.

    Returns
    -------
    (n, n_frequencies) of complex64
        The transform; 1 at ω = 0 where h4 is 0.

    References
    ----------
    Cappellari 2017, MNRAS 466, 798, eq. 38; moments as in van der Marel & Franx 1993, ApJ 407, 525.
    """
    omega = frequency.astype(np.float32)
    velocity, sigma = losvd.velocity.astype(np.float32)[:, None], losvd.sigma.astype(np.float32)[:, None]
    x = sigma * omega
    square = x * x
    envelope = np.exp(-0.5 * square)
    phase = -velocity * omega
    gauss: npt.NDArray[np.complex64] = np.empty(x.shape, dtype=np.complex64)
    gauss.real, gauss.imag = envelope * np.cos(phase), envelope * np.sin(phase)
    if not (np.any(losvd.h3) or np.any(losvd.h4)):
        return gauss
    h3, h4 = losvd.h3.astype(np.float32)[:, None], losvd.h4.astype(np.float32)[:, None]
    moments = np.empty_like(gauss)  # 1 + Σ h_m (−i)^m H_m(x) / √(m! 2^m)
    moments.real = 1 + h4 / np.sqrt(384) * ((16 * square - 48) * square + 12)
    moments.imag = h3 / np.sqrt(48) * (8 * square - 12) * x
    gauss *= moments
    return gauss


class FourierLibrary:
    """Spectra on a log-λ grid, held as Fourier transforms, so that a broadened mixture takes one inverse transform.

    Parameters
    ----------
    flux : (n_ssp, n_pixels)
        Spectra, evenly sampled in ln λ.
    velocity_scale : float
        Step of the grid, km/s.

    Notes
    -----
    The ends are joined by a straight line to make the spectra periodic. Pixels closer to an end than the width of the
    LOSVD are contaminated by the other end and have to be cut off.
    """

    def __init__(self, flux: FloatArray, velocity_scale: float) -> None:
        self.n_pixels = flux.shape[1]
        self._length = scipy.fft.next_fast_len(self.n_pixels + 64, real=True)
        bridge = np.linspace(flux[:, -1], flux[:, 0], self._length - self.n_pixels, axis=1)
        transform = scipy.fft.rfft(np.concatenate([flux, bridge], axis=1), axis=1)
        self._transform = np.ascontiguousarray(transform.astype(np.complex64)).view(np.float32)
        self._frequency = 2 * np.pi * scipy.fft.rfftfreq(self._length, d=velocity_scale)

    def mix(self, weights: FloatArray, losvd: Losvd | None = None) -> FloatArray:
        """Mix the spectra and convolve each mixture with its LOSVD.

        Parameters
        ----------
        weights : (n, n_ssp)
            Weights of the spectra in each mixture.
        losvd : Losvd, optional
            LOSVDs of the n mixtures; none is applied if not given.

        Returns
        -------
        (n, n_pixels) of float32
            Broadened mixtures.
        """
        transform = (weights.astype(np.float32) @ self._transform).view(np.complex64)
        if losvd is not None:
            transform *= losvd_transform(self._frequency, losvd)
        return np.asarray(scipy.fft.irfft(transform, n=self._length, axis=1)[:, : self.n_pixels])
