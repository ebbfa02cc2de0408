"""Adaptive bins of nearly equal S/N.

The binning, usual before populations are fitted, is that of PowerBin (Cappellari 2025, MNRAS 544, 1432), the successor
of Voronoi binning.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.binning.sums import signal_and_noise
from quietspec.errors import QuietspecError, SpectraError
from quietspec.noise import INDEPENDENT, NoiseCorrelation
from quietspec.spectra import Spectra

__all__ = ["bin_image", "bin_to_snr"]

_FEWEST_TO_TILE = 4  # spaxels; fewer cannot be triangulated


def bin_to_snr(spectra: Spectra, target: float, correlation: NoiseCorrelation = INDEPENDENT) -> npt.NDArray[np.intp]:
    """Group the spaxels of an image into bins of nearly equal S/N.

    Parameters
    ----------
    spectra : Spectra
        Spectra that form an image.
    target : float
        S/N of a bin: the sum of its spaxels' median fluxes over the noise of that sum, per pixel.
    correlation : NoiseCorrelation, optional
        Correlation of the noise between spaxels; none by default.

    Returns
    -------
    (n_spaxels,) of int
        Bin numbers from 0, in the order of their first spaxels; −1 for spaxels without data or with a negative median
        flux.

    Raises
    ------
    SpectraError
        If the spectra form no image, or no spaxel has a signal.
    QuietspecError
        If PowerBin is not installed.

    Examples
    --------
    >>> import quietspec
    >>> number = bin_to_snr(quietspec.read(quietspec.demo_cube()), 30)
    >>> number.shape, number.min().item(), number.max().item() < 100
    ((400,), 0, True)
    """
    if spectra.spatial_shape is None:
        raise SpectraError("bin_to_snr: these spectra form no image, so none of them are neighbours.")
    return bin_image(*signal_and_noise(spectra), spectra.spatial_shape, target, correlation)


def bin_image(
    signal: FloatArray, noise: FloatArray, shape: tuple[int, int], target: float, correlation: NoiseCorrelation
) -> npt.NDArray[np.intp]:
    """Group spaxels of known signal and noise into bins of nearly equal S/N.

    Parameters
    ----------
    signal, noise : (n_spaxels,)
        Flux and its 1σ error, NaN where there are no data.
    shape : (ny, nx)
        Image they form.
    target : float
        S/N of a bin.
    correlation : NoiseCorrelation
        Correlation of the noise between spaxels.

    Returns
    -------
    (n_spaxels,) of int
        As from `bin_to_snr`.

    Raises
    ------
    SpectraError
        If no spaxel has a signal.
    """
    usable = np.flatnonzero((signal > 0) & np.isfinite(noise))
    if not usable.size:
        raise SpectraError("bin_to_snr: no spaxel has a positive median flux.")
    number = np.full(len(signal), -1)
    places = np.stack(np.divmod(usable, shape[1]), axis=1)
    found = _power_bins(places[:, ::-1], _Law(signal[usable], noise[usable], places, correlation), target)
    first, kind = np.unique(found, return_index=True, return_inverse=True)[1:]
    number[usable] = np.argsort(np.argsort(first))[kind]
    return number


class _Law:
    """How S/N adds up: signals linearly, noise in quadrature or faster where it is correlated."""

    def __init__(
        self, signal: FloatArray, noise: FloatArray, places: npt.NDArray[np.intp], correlation: NoiseCorrelation
    ) -> None:
        self._signal, self._noise, self._correlation = signal, noise, correlation
        self._common = correlation.typical_common
        offsets = correlation.offsets()
        self._values = np.array([value for *_, value in offsets])
        self._neighbours = _neighbours(places, [offset[:2] for offset in offsets])
        self._inside = np.zeros(len(signal) + 1)  # noise of the spaxels of one bin; the last entry stands for none

    def __call__(self, index: Any) -> float:
        """Return (S/N)² of a bin of these spaxels, which PowerBin calls its capacity."""
        index = np.atleast_1d(index)
        noise = self._noise[index]
        variance = np.sum(noise**2)
        if self._values.size:
            self._inside[index] = noise
            variance += noise @ (self._inside[self._neighbours[index]] @ self._values)
            self._inside[index] = 0.0
        common = self._common
        variance = (1 - common) * variance + common * noise.sum() ** 2
        variance *= self._correlation.factor(np.array(float(len(index)))) ** 2
        return float(self._signal[index].sum() ** 2 / variance)


def _neighbours(places: npt.NDArray[np.intp], offsets: list[tuple[int, int]]) -> npt.NDArray[np.intp]:
    """Number of the spaxel at each offset from each spaxel, (n, n_offsets); n where there is none."""
    n, margin = len(places), max((max(abs(dy), abs(dx)) for dy, dx in offsets), default=0)
    grid = np.full(places.max(axis=0) + 1 + 2 * margin, n)
    y, x = places.T + margin
    grid[y, x] = np.arange(n)
    columns = [grid[y + dy, x + dx] for dy, dx in offsets]
    return np.stack(columns, axis=1) if columns else np.empty((n, 0), dtype=np.intp)


def _power_bins(places: npt.NDArray[np.intp], law: _Law, target: float) -> npt.NDArray[np.intp]:
    """Number bins: one bin if all spaxels together are too faint, none binned if each is bright."""
    n = len(places)
    single = np.array([law([spaxel]) for spaxel in range(n)])
    if np.all(single > target**2):
        return np.arange(n)
    if n < _FEWEST_TO_TILE or law(np.arange(n)) < target**2:
        return np.zeros(n, dtype=np.intp)
    if find_spec("powerbin") is None:
        raise QuietspecError("powerbin is not installed: pip install 'quietspec[populations]'.")
    from powerbin import PowerBin

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # about the scatter of bins where there is but one
        bins = PowerBin(places.astype(float), law, float(target) ** 2, pixelsize=1.0, verbose=0)
    return np.asarray(bins.bin_num, dtype=np.intp)
