"""Noise laws: how the 1σ error varies with wavelength in real surveys, and noise drawn accordingly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from quietspec.arrays import BoolArray, FloatArray

__all__ = [
    "SAMI_NOISE", "NoiseLaw", "correlated_images", "correlated_noise", "lag_correlations", "scale_to_snr", "window_snr",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class NoiseLaw:
    """1σ noise relative to that in the S/N window as a function of observed wavelength, with its spread over spectra.

    The logarithm is interpolated linearly between nodes; beyond the first and last node their values hold.

    Parameters
    ----------
    wavelength : (n_nodes,)
        Wavelengths of the nodes, observed Å.
    median : (n_nodes,)
        Median over spectra of the relative 1σ noise.
    low, high : (n_nodes,)
        Its 16th and 84th percentiles.
    section : (n_nodes,) of int
        Section of each node; nodes of one section deviate from the median together.
    source : str
        Where the numbers come from.
    correlation : (low, high)
        Range of the lag-1 correlation between pixels.
    section_correlation : (n_sections, n_sections), optional
        Correlation between the deviations of the sections; they are independent if not given.
    """

    wavelength: FloatArray
    median: FloatArray
    low: FloatArray
    high: FloatArray
    section: npt.NDArray[np.integer[Any]]
    source: str
    correlation: tuple[float, float] = (0.0, 0.0)
    section_correlation: FloatArray | None = None

    @property
    def n_sections(self) -> int:
        """Number of sections."""
        return int(np.max(self.section)) + 1

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draw positions within the spread, (n, n_sections): standard normal numbers, clipped at ±2."""
        position = rng.standard_normal((n, self.n_sections))
        if self.section_correlation is not None:
            position = position @ np.linalg.cholesky(self.section_correlation).T
        return np.asarray(np.clip(position, -2, 2))

    def relative_sigma(self, wavelength: FloatArray, spread: FloatArray | None = None) -> FloatArray:
        """Relative 1σ noise.

        Parameters
        ----------
        wavelength : (n_pixels,)
            Observed Å.
        spread : (n, n_sections), optional
            Positions within the spread, −1 for the 16th and +1 for the 84th percentile; the median if not given.

        Returns
        -------
        (n, n_pixels) of float32
            Noise over that in the S/N window; one row if no spread is given.
        """
        if spread is None:
            spread = np.zeros((1, self.n_sections))
        position = spread[:, self.section]
        upward, downward = np.log(self.high / self.median), np.log(self.median / self.low)
        at_nodes = np.log(self.median) + position * np.where(position > 0, upward, downward)
        between = np.stack([np.interp(wavelength, self.wavelength, row) for row in np.eye(len(self.wavelength))])
        return np.asarray(np.exp(at_nodes.astype(np.float32) @ between.astype(np.float32)))


def _sami_law() -> NoiseLaw:
    table = np.array(
        [
            (3700, 5.3, 3.2, 7.2, 0), (3750, 4.0, 2.6, 5.3, 0), (3800, 3.1, 2.0, 4.1, 0), (3850, 2.6, 1.8, 3.3, 0),
            (3900, 2.3, 1.5, 2.8, 0), (4000, 1.9, 1.3, 2.2, 0), (4200, 1.4, 1.1, 1.6, 0), (4400, 1.2, 1.0, 1.3, 0),
            (4528, 1.08, 1.06, 1.10, 1), (4600, 1.03, 1.0, 1.06, 1), (4800, 0.97, 0.9, 1.03, 1),
            (5000, 0.92, 0.81, 0.99, 1), (5200, 0.85, 0.76, 0.95, 1), (5400, 0.84, 0.72, 1.0, 1),
            (5600, 0.91, 0.81, 1.1, 1), (5700, 1.06, 0.96, 1.3, 1),
            (6300, 0.94, 0.70, 1.5, 2), (6500, 0.85, 0.60, 1.3, 2), (6700, 0.81, 0.56, 1.2, 2),
            (6900, 0.88, 0.62, 1.3, 2), (7100, 0.81, 0.53, 1.2, 2), (7300, 0.87, 0.59, 1.2, 2),
            (7400, 0.90, 0.56, 1.3, 2),
        ]
    )  # fmt: skip
    source = "SAMI DR3 cubes 56140 B and D, 230776 A: square root of VARIANCE, median and 16–84 % over the bins"
    wavelength, median, low, high, section = table.T
    return NoiseLaw(
        wavelength,
        median,
        low,
        high,
        section.astype(int),
        source=source,
        correlation=(0.2, 0.5),
        # Mean over the three cubes, between the nodes at 3700, 5200 and 6700 Å: mostly a spread in colour.
        section_correlation=np.array([[1.0, -0.45, -0.45], [-0.45, 1.0, 0.65], [-0.45, 0.65, 1.0]]),
    )


#: Noise law of SAMI, both arms, over 3700–7400 Å.
SAMI_NOISE = _sami_law()


def window_snr(flux: FloatArray, sigma: FloatArray, inside: BoolArray) -> FloatArray:
    """S/N per pixel of noise-free spectra, (n,): mean flux over mean 1σ noise in the pixels of a window.

    Parameters
    ----------
    flux, sigma : (n, n_pixels)
        Noise-free flux and 1σ noise.
    inside : (n_pixels,) of bool
        Pixels of the window.

    Returns
    -------
    (n,)
        S/N.
    """
    return np.asarray(flux[:, inside].mean(axis=1, dtype=float) / sigma[:, inside].mean(axis=1, dtype=float))


def scale_to_snr(flux: FloatArray, relative: FloatArray, inside: BoolArray, snr: FloatArray) -> FloatArray:
    """Scale a relative noise so that `window_snr` equals `snr`.

    Parameters
    ----------
    flux, relative : (n, n_pixels)
        Noise-free flux, and 1σ noise up to a factor per spectrum.
    inside : (n_pixels,) of bool
        Pixels of the window.
    snr : (n,)
        Wanted S/N.

    Returns
    -------
    (n, n_pixels)
        1σ noise.
    """
    factor = window_snr(flux, relative, inside) / snr
    return np.asarray(relative * factor[:, None].astype(relative.dtype))


def correlated_noise(
    shape: tuple[int, int], rng: np.random.Generator, correlation: FloatArray | float = 0.0
) -> FloatArray:
    """Draw unit-variance Gaussian noise whose neighbouring pixels are correlated, as after resampling.

    The noise is a moving average (a, 1, a) of white noise over three pixels, since resampling onto a new grid mixes
    neighbours only. The correlation is 2a/(1 + 2a²) at lag 1, a²/(1 + 2a²) at lag 2, and zero beyond.

    Parameters
    ----------
    shape : (n_spectra, n_pixels)
        Shape of the noise.
    rng : numpy.random.Generator
        Source of all draws.
    correlation : float or (n_spectra,)
        Lag-1 correlation, 0 to 0.66.

    Returns
    -------
    (n_spectra, n_pixels) of float32
        Noise of variance 1 in every pixel.

    Raises
    ------
    ValueError
        If a correlation is outside this range.
    """
    wanted = np.broadcast_to(np.asarray(correlation, dtype=np.float64), shape[:1])
    if not np.any(wanted):
        return rng.standard_normal(shape, dtype=np.float32)
    if np.any((wanted < 0) | (wanted > 0.66)):
        raise ValueError(f"correlation: {wanted.min():.2f}–{wanted.max():.2f}; this noise reaches only 0 to 0.66.")
    return _mixed(
        rng.standard_normal((shape[0], shape[1] + 2), dtype=np.float32),
        _side_weight(wanted).astype(np.float32)[:, None],
    )


def correlated_images(
    shape: tuple[int, int, int], rng: np.random.Generator, spatial: float, spectral: float = 0.0
) -> FloatArray:
    """Draw unit-variance noise of a cube that is correlated between neighbouring spaxels, as after drizzling.

    Parameters
    ----------
    shape : (ny, nx, n_pixels)
        Shape of the noise.
    rng : numpy.random.Generator
        Source of all draws.
    spatial : float
        Correlation with each of the four neighbours in the image, 0 to 0.66; the noise is a moving average over 3 × 3
        spaxels, as that of `correlated_noise` is along the wavelength.
    spectral : float, optional
        Correlation with the neighbouring pixel of the same spaxel, 0 to 0.66.

    Returns
    -------
    (ny, nx, n_pixels) of float32
        Noise of variance 1 in every pixel.
    """
    ny, nx, n_pixels = shape
    white = correlated_noise(((ny + 2) * (nx + 2), n_pixels), rng, spectral).reshape(ny + 2, nx + 2, n_pixels)
    side = _side_weight(np.array([spatial])).astype(np.float32)
    for axis in (0, 1):
        white = np.moveaxis(_mixed(np.moveaxis(white, axis, -1), side), -1, axis)
    return np.ascontiguousarray(white)


def _mixed(white: FloatArray, side: FloatArray) -> FloatArray:
    """Moving average (a, 1, a) of unit variance along the last axis, which loses its two ends; `side` is a."""
    mixed = white[..., :-2] + white[..., 2:]
    mixed *= side
    mixed += white[..., 1:-1]
    mixed /= np.sqrt(1 + 2 * side**2)
    return np.asarray(mixed)


def lag_correlations(correlation: float) -> tuple[float, float]:
    """Correlations of `correlated_noise` at lags 1 and 2; there is none beyond."""
    side = float(_side_weight(np.array(correlation)))
    return correlation, side**2 / (1 + 2 * side**2)


def _side_weight(correlation: FloatArray) -> FloatArray:
    """Weight a of the neighbours in (a, 1, a) that gives the wanted lag-1 correlation."""
    root = np.sqrt(1 - 2 * correlation**2)
    return np.asarray(np.divide(1 - root, 2 * correlation, out=np.zeros_like(root), where=correlation > 0))
