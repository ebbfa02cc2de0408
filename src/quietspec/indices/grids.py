"""`GriddedIndex`: a spectral index on one wavelength grid, as a differentiable function of the flux."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray, IntArray
from quietspec.indices.definitions import Band, IndexDefinition
from quietspec.resampling import Resampler
from quietspec.wavelengths import stretches

__all__ = ["GriddedIndex", "GriddedIndices", "IndexFlag"]

_COVERED = 1 - 1e-6  # fraction of a band that pixels must cover
_KERNEL = 5.0  # σ of a smoothing Gaussian within which pixels enter
_NEEDED = 3.0  # σ that a spectrum must reach beyond a band that is smoothed
_SPLINE = 8  # pixels more; the effect of an end on the spline filter falls by a factor 0.27 per pixel


class IndexFlag(IntFlag):
    """Why an index has no value; bits combine."""

    OK = 0
    NOT_COVERED = 1  #: a band lies partly outside the wavelengths, or in a gap between them
    NO_FLUX = 2  #: a pixel in a band has no finite flux, or the denoiser says nothing there
    NO_CONTINUUM = 4  #: the continuum, or the flux in a band, is not positive
    TOO_COARSE = 8  #: the resolution of the spectrum is coarser than the one asked for
    NO_REDSHIFT = 16  #: the redshift is unknown

    @property
    def reason(self) -> str:
        """What is wrong, as text; empty where nothing is."""
        return "; ".join(text for flag, text in _REASONS.items() if self & flag)


_REASONS = {
    IndexFlag.NOT_COVERED: "a band is not covered by the wavelengths",
    IndexFlag.NO_FLUX: "a pixel in a band has no flux estimate",
    IndexFlag.NO_CONTINUUM: "the continuum is not positive",
    IndexFlag.TOO_COARSE: "the spectrum is coarser than the resolution asked for",
    IndexFlag.NO_REDSHIFT: "the redshift is unknown",
}


class GriddedIndex:
    """A spectral index on one wavelength grid.

    The flux density is constant within each pixel, and bands end within pixels: integrals are sums over pixels, each
    weighted by the width that lies in the band. The continuum, and the factor λ² of a flux density per unit frequency,
    are taken at the centres of pixels. A side band stands at its mean wavelength by the same sum, so that a straight
    line has index 0 exactly.

    Parameters
    ----------
    definition : IndexDefinition
        The index.
    wavelength : (n_pixels,)
        Rest-frame pixel centres, air Å, increasing; gaps are allowed.
    sigma : (n_pixels,), optional
        σ in Å of the Gaussian that smooths the spectrum before the index is measured; NaN where its resolution is
        coarser than wanted. No smoothing by default.

    Attributes
    ----------
    flag : IndexFlag
        Why no spectrum on this grid has a value.
    pixels : (n_window,) of int
        Pixels on which the value depends.
    """

    def __init__(self, definition: IndexDefinition, wavelength: FloatArray, sigma: FloatArray | None = None) -> None:
        self.definition = definition.in_air()
        edges = _edges(wavelength)
        bands = self.definition.bands
        used = np.any([_overlap(edges, band) > 0 for band in bands], axis=0)
        self.flag = _coverage(edges, bands, wavelength, used, sigma)
        if self.flag:
            used[:] = False
        inner = np.flatnonzero(used)
        self._wavelength = wavelength[inner]
        self._edges = edges[:, inner]
        self._integrated = np.zeros(inner.size)
        for band, weight in self.definition.weighted_features:
            self._integrated += weight * _overlap(self._edges, band)
        self.pixels: npt.NDArray[np.intp] = inner
        self._smoothing: FloatArray | None = None
        self._inner = inner
        if sigma is not None and inner.size:
            self.pixels, self._smoothing = _smoothing(wavelength, inner, sigma)

    def __call__(
        self, flux: FloatArray, continuum_weights: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray, IntArray]:
        """Measure the index.

        Parameters
        ----------
        flux : (n_spectra, n_pixels)
            Flux densities per Å; the unit does not matter.
        continuum_weights : (n_spectra, n_pixels), optional
            Weights of the pixels in the fit of a generic index's continuum, such as inverse variances; their errors
            are neglected. Equal weights by default.

        Returns
        -------
        value : (n_spectra,)
            The index, NaN where it has none.
        gradient : (n_spectra, n_window)
            Its derivative by the flux in each of `pixels`, NaN where it has no value.
        flags : (n_spectra,) of int
            Bits of `IndexFlag`.
        """
        flags = np.full(len(flux), int(self.flag))
        if self.flag:
            return np.full(len(flux), np.nan), np.full((len(flux), 0), np.nan), flags
        window = np.asarray(flux[:, self.pixels], dtype=np.float64)
        flags[~np.isfinite(window).all(axis=1)] |= int(IndexFlag.NO_FLUX)
        inner = window if self._smoothing is None else window @ self._smoothing
        with np.errstate(all="ignore"):  # what is not finite is flagged
            if self.definition.kind == "break":
                value, gradient, positive = self._break(inner)
            else:
                value, gradient, positive = self._line(inner, continuum_weights)
        flags[(flags == 0) & ~positive] |= int(IndexFlag.NO_CONTINUUM)
        if self._smoothing is not None:
            gradient = gradient @ self._smoothing.T
        bad = flags != 0
        return np.where(bad, np.nan, value), np.where(bad[:, None], np.nan, gradient), flags

    def _break(self, flux: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Ratio of two bands, its gradient, and whether both are positive."""
        per = self._wavelength**2 if self.definition.per == "frequency" else np.ones_like(self._wavelength)
        above, below = (mean * per for mean in reversed(self._side_means()))
        if self.definition.ratio == "blue/red":
            above, below = below, above
        top, bottom = flux @ above, flux @ below
        value = top / bottom
        gradient = (above - value[:, None] * below) / bottom[:, None]
        return value, gradient, (top > 0) & (bottom > 0)

    def _line(self, flux: FloatArray, weights: FloatArray | None) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Index by a straight continuum, its gradient, and whether continuum and flux are positive."""
        # With C = (u·f) α + (v·f) β, the gradient of ∑ w f/C by f is w/C − (∑ w f α/C²) u − (∑ w f β/C²) v.
        u, alpha, v, beta = self._sides() if not self.definition.generic else self._fit(weights)
        w = self._integrated
        continuum = np.sum(u * flux, axis=1, keepdims=True) * alpha + np.sum(v * flux, axis=1, keepdims=True) * beta
        ratio = np.where(w != 0, flux / continuum, 0.0)
        area = ratio @ w
        each = w * ratio / continuum
        gradient = w / continuum
        gradient = gradient - np.sum(each * alpha, axis=1, keepdims=True) * u
        gradient = gradient - np.sum(each * beta, axis=1, keepdims=True) * v
        positive = (continuum > 0).all(axis=1, where=w != 0)
        if self.definition.kind == "angstrom":
            return w.sum() - area, -gradient, positive
        scale = -2.5 / np.log(10)
        return scale * np.log(area / w.sum()), scale * gradient / area[:, None], positive & (area > 0)

    def _side_means(self) -> tuple[FloatArray, FloatArray]:
        """Weights of the mean fluxes in the blue and the red band."""
        blue, *_, red = self.definition.bands
        return _mean(_overlap(self._edges, blue)), _mean(_overlap(self._edges, red))

    def _sides(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Functionals u, v of the flux and functions α, β of wavelength of the line through two side bands."""
        blue, red = self._side_means()
        start, end = blue @ self._wavelength, red @ self._wavelength
        rising = (self._wavelength - start) / (end - start)
        return blue, 1 - rising, red, rising

    def _fit(self, weights: FloatArray | None) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """The same for the line fitted to the continuum bands: u gives its level in their middle, v its slope."""
        width = np.sum([_overlap(self._edges, band) for band in self.definition.continuum], axis=0)[None]
        if weights is not None:
            width = width * np.asarray(weights[:, self._inner], dtype=np.float64)
        level = width / width.sum(axis=1, keepdims=True)
        away = self._wavelength - np.sum(level * self._wavelength, axis=1, keepdims=True)
        slope = level * away / np.sum(level * away**2, axis=1, keepdims=True)
        return level, np.ones_like(away), slope, away


class GriddedIndices:
    """Several spectral indices on one wavelength grid.

    Parameters
    ----------
    definitions : sequence of IndexDefinition
        The indices.
    wavelength : (n_pixels,)
        As for `GriddedIndex`.
    sigma : (n_pixels,), optional
        As for `GriddedIndex`.

    Attributes
    ----------
    pixels : (n_used,) of int
        Pixels on which any of them depends.
    """

    def __init__(
        self, definitions: Sequence[IndexDefinition], wavelength: FloatArray, sigma: FloatArray | None = None
    ) -> None:
        self._indices = [GriddedIndex(definition, wavelength, sigma) for definition in definitions]
        self.pixels: npt.NDArray[np.intp] = np.unique(np.concatenate([index.pixels for index in self._indices]))
        self._places = [np.searchsorted(self.pixels, index.pixels) for index in self._indices]

    def __call__(
        self, flux: FloatArray, continuum_weights: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray, IntArray]:
        """Measure the indices.

        Parameters
        ----------
        flux : (n_spectra, n_pixels)
            As for `GriddedIndex`.
        continuum_weights : (n_spectra, n_pixels), optional
            As for `GriddedIndex`.

        Returns
        -------
        values : (n_spectra, n_indices)
            The indices, NaN where they have no value.
        gradient : (n_spectra, n_indices, n_used)
            Their derivatives by the flux in each of `pixels`, NaN where an index has no value.
        flags : (n_spectra, n_indices) of int
            Bits of `IndexFlag`.
        """
        parts = [index(flux, continuum_weights) for index in self._indices]
        values = np.stack([part[0] for part in parts], axis=1)
        flags = np.stack([part[2] for part in parts], axis=1)
        gradient = np.zeros((*values.shape, self.pixels.size))
        for number, (place, part) in enumerate(zip(self._places, parts, strict=True)):
            gradient[:, number, place] = part[1]
        gradient[np.isnan(values)] = np.nan
        return values, gradient, flags


def _edges(wavelength: FloatArray) -> FloatArray:
    """Lower and upper edges of pixels, (2, n_pixels): midway between centres, and half a step out at ends and gaps."""
    edges = np.empty((2, len(wavelength)))
    for run in stretches(wavelength):
        centre = wavelength[run]
        if centre.size < 2:  # a pixel alone between two gaps has no known width
            edges[:, run] = centre
            continue
        middle = (centre[1:] + centre[:-1]) / 2
        border = np.concatenate([[2 * centre[0] - middle[0]], middle, [2 * centre[-1] - middle[-1]]])
        edges[0, run], edges[1, run] = border[:-1], border[1:]
    return edges


def _overlap(edges: FloatArray, band: Band) -> FloatArray:
    """Width of each pixel that lies in a band, Å, (n_pixels,)."""
    return np.asarray(np.clip(np.minimum(edges[1], band[1]) - np.maximum(edges[0], band[0]), 0, None))


def _mean(width: FloatArray) -> FloatArray:
    """Weights of a mean over a band."""
    return np.asarray(width / width.sum())


def _coverage(
    edges: FloatArray, bands: tuple[Band, ...], wavelength: FloatArray, used: BoolArray, sigma: FloatArray | None
) -> IndexFlag:
    """Tell whether pixels cover all bands, and the margins that smoothing needs."""
    if sigma is not None and np.isnan(sigma[used]).any():
        return IndexFlag.TOO_COARSE
    for low, high in bands:
        if sigma is not None:
            margin = _NEEDED * np.nan_to_num(np.interp([low, high], wavelength, sigma))
            low, high = low - margin[0], high + margin[1]
        if _overlap(edges, (low, high)).sum() < _COVERED * (high - low):
            return IndexFlag.NOT_COVERED
    return IndexFlag.OK


def _smoothing(
    wavelength: FloatArray, inner: npt.NDArray[np.intp], sigma: FloatArray
) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Matrix S, (n_window, n_inner), such that ``flux[window] @ S`` is the smoothed flux in `inner`; and the window."""
    windows, blocks, columns = [], [], []
    for run in stretches(wavelength):
        here = np.flatnonzero((inner >= run.start) & (inner < run.stop))
        if not here.size:
            continue
        target, width = wavelength[inner[here]], sigma[inner[here]]
        low, high = np.searchsorted(wavelength, [np.min(target - _KERNEL * width), np.max(target + _KERNEL * width)])
        window = np.arange(max(low - _SPLINE, run.start), min(high + _SPLINE, run.stop))
        blocks.append(Resampler(wavelength[window], target, width)(np.eye(window.size)))
        windows.append(window)
        columns.append(here)
    matrix = np.zeros((sum(map(len, windows)), inner.size))
    row = 0
    for block, here in zip(blocks, columns, strict=True):
        matrix[row : row + len(block), here] = block
        row += len(block)
    return np.concatenate(windows), matrix
