"""Cosmic rays that no mask marks, in single spaxels: sharper than the spectrograph's resolution and than the seeing.

A denoiser finds the spikes of a spectrum by what its own fit leaves. In a sum of hundreds of spaxels each spike is
small, and there are many: they must be found before spaxels are summed, when nothing is fitted yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, BySpectrum, FloatArray
from quietspec.binning.weights import Weights
from quietspec.errors import SpectraError
from quietspec.spectra import Spectra
from quietspec.statistics import robust_scatter

__all__ = ["NO_SPIKES", "SpikeSearch", "Spikes", "find_spikes"]

_THRESHOLD = 6.0  # errors by which a pixel exceeds all those 3 and 4 pixels away
_SHARP = 0.15  # share of that by which both adjacent pixels exceed them in the sharpest line that is well sampled
_LONE = 0.1  # less of it than the eight spaxels about a point source have on average
_FEWEST = 3  # of these spaxels must have data
_WINGS = (-4, -3, 3, 4)  # pixels to compare with
_EVERY = 4  # pixel counts for the scatter of a spectrum
_AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]

Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Spikes:
    """Pixels that spikes spoil.

    Parameters
    ----------
    row, pixel : (n_spoilt,) of int
        Spectrum and pixel of each, ordered by spectrum.
    """

    row: Numbers
    pixel: Numbers

    def __len__(self) -> int:
        return len(self.row)

    def within(self, rows: Numbers) -> Spikes:
        """Keep those of spectra `rows`, in increasing order, and number these from 0."""
        place = np.minimum(np.searchsorted(rows, self.row), len(rows) - 1)
        there = rows[place] == self.row
        return Spikes(place[there], self.pixel[there])

    def counts(self, weights: Weights) -> Numbers:
        """Number of them in the spectra of each sum, (n_sums,)."""
        of_spectrum = np.bincount(self.row, minlength=weights.shape[1])
        return np.asarray((weights > 0) @ of_spectrum, dtype=np.intp)

    def masked(self, spectra: Spectra) -> Spectra:
        """Mask them in the spectra where they are.

        Parameters
        ----------
        spectra : Spectra
            All spectra of the image.

        Returns
        -------
        Spectra
            With inverse variances of 0 there.
        """
        ivar = spectra.ivar.copy()
        ivar[self.row, self.pixel] = 0
        return replace(spectra, ivar=ivar)


_NONE = np.empty(0, dtype=np.intp)
NO_SPIKES = Spikes(_NONE, _NONE)  #: none were looked for, or there are none


def find_spikes(spectra: Spectra) -> Spikes:
    """Find pixels of single spaxels that neither the galaxy nor noise explains: cosmic rays and dead pixels.

    Parameters
    ----------
    spectra : Spectra
        Spectra that form an image.

    Returns
    -------
    Spikes
        Pixels 6σ or more above all pixels 3 and 4 away, or below all, if the adjacent pixels are less so, one of them
        by less than 0.15 of that, and the mean over the eight spaxels around and over three pixels less than 0.1; and
        the pixels beside them. A line whose FWHM is 2 pixels or more spreads further over pixels, and a point source
        whose FWHM is 1.3 spaxels or more further over spaxels: only what is too sharp for both is found.

    Raises
    ------
    SpectraError
        If the spectra form no image.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import quietspec
    >>> cube = quietspec.read(quietspec.demo_cube())
    >>> flux = cube.flux.copy()
    >>> flux[210, 1000] += 20 * cube.sigma[210, 1000]
    >>> spikes = find_spikes(replace(cube, flux=flux))
    >>> spikes.pixel[spikes.row == 210]
    array([ 999, 1000, 1001])
    """
    if spectra.spatial_shape is None:
        raise SpectraError("find_spikes: these spectra form no image, so that none of them are neighbours.")
    search = SpikeSearch(spectra.spatial_shape)
    search.add(spectra)
    return search.result()


class SpikeSearch:
    """Search through an image whose spectra arrive some hundreds at a time, in order; see `find_spikes`.

    Parameters
    ----------
    shape : (ny, nx)
        The image.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._ny, self._nx = shape
        self._start = 0  # number of the first spectrum that is held
        self._excess = np.empty((0, 0), dtype=np.float32)
        self._suspects = _Suspects(_NONE, _NONE, np.empty(0, dtype=np.float32))  # not judged yet
        self._found: list[Spikes] = []

    def add(self, spectra: Spectra) -> None:
        """Add the next spectra."""
        excess, suspects = _stand_out(spectra)
        end = self._start + len(self._excess)
        self._suspects = _Suspects.stack([self._suspects, replace(suspects, row=suspects.row + end)])
        self._excess = np.concatenate([self._excess.reshape(-1, excess.shape[1]), excess])
        end += len(excess)
        self._judge(end if end == self._ny * self._nx else max(end - self._nx - 1, 0))

    def result(self) -> Spikes:
        """Return what was found, and the pixels beside it."""
        if not self._found:
            return NO_SPIKES
        row, pixel = (np.concatenate([getattr(part, name) for part in self._found]) for name in ("row", "pixel"))
        n_pixels = self._excess.shape[1]
        spoilt = np.unique(row[:, None] * n_pixels + pixel[:, None] + [-1, 0, 1])
        return Spikes(*(part.astype(np.intp) for part in np.divmod(spoilt, n_pixels)))

    def _judge(self, end: int) -> None:
        """Judge the suspects in spectra before `end`, and forget the spectra that are beside no later one."""
        ready = self._suspects.row < end
        lone = self._lone(self._suspects[ready])
        self._found.append(Spikes(lone.row, lone.pixel))
        self._suspects = self._suspects[~ready]
        first = max(end - self._nx - 1, self._start)
        self._excess, self._start = self._excess[first - self._start :], first

    def _lone(self, suspects: _Suspects) -> _Suspects:
        """Those that the spaxels around do not show."""
        row, size = suspects.row, np.abs(suspects.excess)
        y, x = np.divmod(row, self._nx)
        total, known = np.zeros((2, len(row)))
        for dy, dx in _AROUND:
            inside = (y + dy >= 0) & (y + dy < self._ny) & (x + dx >= 0) & (x + dx < self._nx)
            other = np.where(inside, row + dy * self._nx + dx, row) - self._start
            beside = self._excess[other, suspects.pixel]
            there = inside & np.isfinite(beside)
            total += np.where(there, beside, 0.0) * np.sign(suspects.excess)
            known += there
        return suspects[(known >= _FEWEST) & (total < _LONE * size * known)]


@dataclass(frozen=True, eq=False)
class _Suspects(BySpectrum):
    """Pixels that stand out of their spectrum as spikes do, and by how much; `row` counts spectra."""

    row: Numbers
    pixel: Numbers
    excess: npt.NDArray[np.float32]


def _stand_out(spectra: Spectra) -> tuple[npt.NDArray[np.float32], _Suspects]:
    """How far pixels and those beside them stand out together (NaN where masked), and what may be a spike."""
    good = spectra.good
    flux = _filled(spectra.flux.astype(np.float32), good)
    low, middle, high = _levels(flux)
    pull = (flux - middle) * np.where(good, np.sqrt(spectra.ivar), 0).astype(np.float32)
    noise = np.fmax(1.0, robust_scatter(pull[:, ::_EVERY], good[:, ::_EVERY]))[:, None]
    row, pixel = np.nonzero((np.abs(pull) > _THRESHOLD * noise)[:, 1:-1])
    pixel += 1
    one, level = flux[row, pixel], np.where(flux > middle, high, low)[row, pixel]
    excess = one - level
    beside = np.sort([np.sign(pull[row, pixel]) * (flux[row, pixel + step] - level) for step in (-1, 1)], axis=0)
    size = np.sign(pull[row, pixel]) * excess
    enough = size * np.sqrt(spectra.ivar[row, pixel]) > _THRESHOLD * noise[row, 0]
    suspect = enough & (beside[0] < _SHARP * size) & (beside[1] <= size)
    return np.where(good, _smoothed(flux) - middle, np.nan), _Suspects(row, pixel, excess)[suspect]


def _filled(flux: npt.NDArray[np.float32], good: BoolArray) -> npt.NDArray[np.float32]:
    """Interpolate over masked pixels, in place."""
    pixels = np.arange(flux.shape[1])
    flux[~good.any(axis=1)] = 0
    for row in np.flatnonzero(~good.all(axis=1) & good.any(axis=1)):
        bad = ~good[row]
        flux[row, bad] = np.interp(pixels[bad], pixels[~bad], flux[row, ~bad])
    return flux


def _levels(flux: npt.NDArray[np.float32]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Lowest, median and highest flux of the pixels 3 and 4 away on both sides of each."""
    first, second, third, fourth = _shifted(flux, _WINGS)
    low, high = np.minimum(first, second), np.maximum(first, second)
    lower, higher = np.minimum(third, fourth), np.maximum(third, fourth)
    middle = (np.maximum(low, lower) + np.minimum(high, higher)) / 2
    return np.minimum(low, lower), middle, np.maximum(high, higher)


def _smoothed(flux: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Mean of each pixel and those beside it."""
    before, after = _shifted(flux, (-1, 1))
    return np.asarray((before + flux + after) / 3)


def _shifted(flux: npt.NDArray[np.float32], steps: tuple[int, ...]) -> list[npt.NDArray[np.float32]]:
    """Flux some pixels further on; the ends are repeated."""
    reach = max(map(abs, steps))
    padded = np.pad(flux, ((0, 0), (reach, reach)), mode="edge")
    return [padded[:, reach + step : reach + step + flux.shape[1]] for step in steps]
