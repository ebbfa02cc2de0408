"""Sums of spectra over bins and apertures, with errors that know how the noise of their spaxels is correlated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from quietspec.arrays import FloatArray, require_shape
from quietspec.binning.correlation import INDEPENDENT, NoiseCorrelation
from quietspec.errors import SpectraError
from quietspec.spectra import Spectra
from quietspec.statistics import masked_median

__all__ = [
    "Binned",
    "Weights",
    "bin_spectra",
    "checked_weights",
    "label_weights",
    "signal_and_noise",
    "sum_rows",
    "sum_spectra",
]

Weights: TypeAlias = sparse.csr_array  #: (n_sums, n_spectra): how much of each spectrum belongs to each sum

_LEAST_SHARE = 0.5  # fraction of a sum's light that must come from good pixels
_AT_ONCE = 512  # spectra that are held at once


@dataclass(frozen=True, eq=False)
class Binned:
    """Spectra summed over bins.

    Parameters
    ----------
    number : (n_spaxels,) of int
        Bin of each spaxel, counted from 0; −1 for those in no bin.
    spectra : Spectra
        The n_bins sums.
    """

    number: npt.NDArray[np.intp]
    spectra: Spectra

    @property
    def n_spaxels(self) -> npt.NDArray[np.intp]:
        """Number of spaxels in each bin, (n_bins,)."""
        return np.bincount(self.number[self.number >= 0], minlength=len(self.spectra))


def bin_spectra(
    spectra: Spectra, number: npt.NDArray[np.integer[Any]], correlation: NoiseCorrelation = INDEPENDENT
) -> Binned:
    """Sum spectra over bins.

    Parameters
    ----------
    spectra : Spectra
        Spectra of the spaxels.
    number : (n_spaxels,) of int
        Bin of each spaxel, numbered from 0 without gaps; −1 for none.
    correlation : NoiseCorrelation, optional
        Correlation of the noise between spaxels; none by default.

    Returns
    -------
    Binned
        As by `sum_spectra`.

    Raises
    ------
    SpectraError
        If there is no bin, or a bin has no spaxel.

    Examples
    --------
    >>> import quietspec
    >>> cube = quietspec.read(quietspec.demo_cube())
    >>> y, x = np.divmod(np.arange(400), 20)
    >>> binned = bin_spectra(cube, 5 * (y // 4) + x // 4)
    >>> len(binned.spectra), binned.n_spaxels[0].item()
    (25, 16)
    """
    return Binned(
        np.asarray(number, dtype=np.intp), sum_spectra(spectra, label_weights(number, len(spectra)), correlation)
    )


def label_weights(number: npt.ArrayLike, n_spectra: int) -> Weights:
    """Weights of the sums over bins.

    Parameters
    ----------
    number : (n_spectra,) of int
        Bin of each spectrum, numbered from 0 without gaps; −1 for none.
    n_spectra : int
        Number of spectra.

    Returns
    -------
    (n_bins, n_spectra) sparse array
        1 for the spectra of a bin.

    Raises
    ------
    SpectraError
        If the numbers are not one per spectrum, there is no bin, or a bin has no spectrum.

    Examples
    --------
    >>> label_weights([0, 1, -1, 0], 4).toarray()
    array([[1., 0., 0., 1.],
           [0., 1., 0., 0.]])
    """
    given = np.asarray(number).ravel()
    with np.errstate(invalid="ignore"):
        labels = given.astype(np.intp) if given.dtype.kind in "iuf" else np.empty(0, dtype=np.intp)
    if not np.array_equal(labels, given):
        raise SpectraError("bins: must be whole numbers, with −1 for spectra in no bin.")
    if len(labels) != n_spectra:
        raise SpectraError(f"bins: {len(labels)} numbers for {n_spectra} spectra.")
    members = np.flatnonzero(labels >= 0)
    n_bins = int(labels.max(initial=-1)) + 1
    if not n_bins or (np.bincount(labels[members], minlength=n_bins) == 0).any():
        raise SpectraError("bins must be numbered from 0 without gaps, and at least one is needed.")
    return sparse.csr_array((np.ones(len(members)), (labels[members], members)), shape=(n_bins, n_spectra))


def sum_spectra(
    spectra: Spectra, weights: npt.ArrayLike | Weights, correlation: NoiseCorrelation = INDEPENDENT
) -> Spectra:
    """Sum spectra with weights.

    Parameters
    ----------
    spectra : Spectra
        Spectra of the spaxels.
    weights : (n_sums, n_spectra), or (n_spectra,) for one sum
        How much of each spaxel belongs to each sum, such as the fraction of it within an aperture; dense or sparse.
    correlation : NoiseCorrelation, optional
        Correlation of the noise between spaxels; none by default.

    Returns
    -------
    Spectra
        The n_sums sums Σ w f, in the unit of the flux (the flux of a spaxel: a surface brightness must first be
        multiplied by its area), with variances Σ w w′ σ σ′ ρ over all pairs of spaxels. Where some spaxels are masked
        in a pixel, the sum over the others is divided by their share of the light; where that is less than half, the
        pixel is masked. Redshift, E(B−V) and resolution are weighted means.

    Raises
    ------
    SpectraError
        If the weights do not fit, are negative, or are all 0 for a sum; or neighbours are correlated but the spectra
        form no image.

    Examples
    --------
    >>> import quietspec
    >>> cube = quietspec.read(quietspec.demo_cube())
    >>> whole = sum_spectra(cube, np.ones(400))
    >>> smoothed = sum_spectra(cube, np.ones(400), NoiseCorrelation.of_kernel(1.5))
    >>> whole.snr.round().item(), (whole.snr / smoothed.snr).round(1).item()
    (141.0, 2.2)
    """
    checked = checked_weights(weights, len(spectra))
    light, _ = signal_and_noise(spectra)
    return sum_rows(spectra.__getitem__, checked, light, correlation, spectra.spatial_shape)


def checked_weights(weights: npt.ArrayLike | Weights, n_spectra: int) -> Weights:
    """Make weights a sparse matrix.

    Parameters
    ----------
    weights : (n_sums, n_spectra), or (n_spectra,) for one sum
        As for `sum_spectra`.
    n_spectra : int
        Number of spectra.

    Returns
    -------
    (n_sums, n_spectra) sparse array
        The weights, without explicit zeros.

    Raises
    ------
    SpectraError
        If they do not fit, are negative, or are all 0 for a sum.

    Examples
    --------
    >>> checked_weights([0, 0.5, 1], 3).toarray()
    array([[0. , 0.5, 1. ]])
    """
    found = weights if sparse.issparse(weights) else np.atleast_2d(np.asarray(weights, dtype=np.float64))
    matrix = sparse.csr_array(found, dtype=np.float64)
    matrix.eliminate_zeros()
    if matrix.shape[1] != n_spectra:
        raise SpectraError(f"weights: {matrix.shape[1]} for {n_spectra} spectra.")
    if not np.all(np.isfinite(matrix.data)) or np.any(matrix.data < 0) or np.any(np.diff(matrix.indptr) == 0):
        raise SpectraError("weights: must be finite and not negative, and some of each sum above 0.")
    return matrix


def sum_rows(
    read: Callable[[npt.NDArray[np.intp]], Spectra],
    weights: Weights,
    light: FloatArray,
    correlation: NoiseCorrelation,
    spatial_shape: tuple[int, int] | None,
) -> Spectra:
    """Sum spectra that are read some hundreds at a time.

    Parameters
    ----------
    read : callable
        Returns the spectra of some numbers, in their order.
    weights : (n_sums, n_spectra) sparse array
        As for `sum_spectra`.
    light : (n_spectra,)
        Flux of each spectrum, by which the others stand in for a masked one.
    correlation : NoiseCorrelation
        Correlation of the noise between spaxels.
    spatial_shape : (ny, nx) or None
        Image that all spectra form.

    Returns
    -------
    Spectra
        The sums, with the metadata of the spectra read last.

    Raises
    ------
    SpectraError
        If neighbours are correlated but the spectra form no image.
    """
    if correlation.reach and spatial_shape is None:
        raise SpectraError("sums: these spectra form no image, so that none of them are neighbours with common noise.")
    sums, means = _Sums(weights, light, correlation, spatial_shape or (weights.shape[1], 1)), _Means(weights)
    for rows in _blocks(np.unique(weights.indices).astype(np.intp)):
        spectra = read(rows)
        require_shape("NoiseCorrelation.common", np.asarray(correlation.common), (), (spectra.n_pixels,))
        sums.add(rows, spectra)
        means.add(rows, spectra)
    changes: dict[str, Any] = {**sums.result(), **means.result(spectra)}
    return replace(spectra, **changes, spatial_shape=None, wcs=None)


def _blocks(rows: npt.NDArray[np.intp]) -> Iterator[npt.NDArray[np.intp]]:
    return iter(np.split(rows, range(_AT_ONCE, len(rows), _AT_ONCE)))


class _Sums:
    """Fluxes and variances of sums whose spectra arrive a block at a time, in increasing order."""

    def __init__(
        self, weights: Weights, light: FloatArray, correlation: NoiseCorrelation, shape: tuple[int, int]
    ) -> None:
        entries = sparse.coo_array(weights.T)  # sorted by spectrum
        order = np.lexsort((entries.col, entries.row))
        self._spectrum, self._sum, self._weight = entries.row[order], entries.col[order], entries.data[order]
        self._n, (_, self._nx), self._correlation = weights.shape[0], shape, correlation
        self._pairs = _Pairs(correlation, shape)
        total = weights.sum(axis=1)
        self._factor = correlation.factor(total**2 / (weights**2).sum(axis=1))
        shining = weights @ np.maximum(np.nan_to_num(light), 0.0)
        dark = shining[self._sum] <= 0  # the spectra of dark sums count alike
        self._light = self._weight * np.where(dark, 1.0, np.maximum(np.nan_to_num(light), 0.0)[self._spectrum])
        self._all_light = np.bincount(self._sum, self._light, minlength=self._n)
        self._totals: dict[str, FloatArray] = {}

    def add(self, rows: npt.NDArray[np.intp], spectra: Spectra) -> None:
        """Add the spectra of these numbers."""
        low, high = np.searchsorted(self._spectrum, [rows[0], rows[-1] + 1])
        some = slice(low, high)
        place, weight = np.searchsorted(rows, self._spectrum[some]), self._weight[some, None]
        good = spectra.good[place]
        variance = np.divide(1.0, spectra.ivar[place], out=np.zeros(good.shape), where=good)
        noise = weight * np.sqrt(variance)
        join = sparse.csr_array(
            (np.ones(len(place)), (self._sum[some], np.arange(len(place)))), shape=(self._n, len(place))
        )
        parts = {
            "flux": weight * np.where(good, spectra.flux[place], 0.0).astype(np.float64),
            "share": self._light[some, None] * good,
            "variance": weight**2 * variance + self._pairs.products(self._sum[some], self._spectrum[some], noise),
            "noise": noise,
        }
        for name, values in parts.items():
            if name != "noise" or np.any(self._correlation.common):
                self._totals[name] = self._totals.get(name, 0.0) + join @ values

    def result(self) -> dict[str, FloatArray]:
        """Flux and inverse variance of the sums."""
        share = self._totals["share"] / self._all_light[:, None]
        fine = share >= _LEAST_SHARE
        scale = np.where(fine, share, 1.0)
        common = self._correlation.common
        variance = (1 - common) * self._totals["variance"] + common * self._totals.get("noise", 0.0) ** 2
        variance = variance * self._factor[:, None] ** 2
        ivar = np.divide(scale**2, variance, out=np.zeros_like(variance), where=fine & (variance > 0))
        return {"flux": np.where(fine, self._totals["flux"] / scale, 0.0), "ivar": ivar}


class _Pairs:
    """Covariance of spaxels with their neighbours in the same sum, also with those of earlier blocks."""

    def __init__(self, correlation: NoiseCorrelation, shape: tuple[int, int]) -> None:
        self._offsets, self._reach = correlation.offsets(), correlation.reach
        self._shape = shape
        self._keys, self._noise = np.empty(0, dtype=np.int64), np.empty((0, 0))

    def products(
        self, sums: npt.NDArray[np.intp], spectra: npt.NDArray[np.intp], noise: FloatArray
    ) -> FloatArray | float:
        """Σ ρ σ σ′ over the neighbours of each member, those of earlier blocks twice, as they count for both."""
        if not self._offsets:
            return 0.0
        n_spectra, earlier = self._shape[0] * self._shape[1], len(self._keys)
        keys = np.concatenate([self._keys, sums.astype(np.int64) * n_spectra + spectra])
        held = np.concatenate([self._noise.reshape(-1, noise.shape[1]), noise])
        found = noise * (self._matrix(keys, spectra, earlier) @ held)
        recent = keys % n_spectra // self._shape[1] >= spectra[-1] // self._shape[1] - self._reach
        self._keys, self._noise = keys[recent], held[recent]
        return np.asarray(found)

    def _matrix(self, keys: npt.NDArray[np.int64], spectra: npt.NDArray[np.intp], earlier: int) -> sparse.csr_array:
        """Correlation of each member of the block with all that are held, its own variance left out."""
        order = np.argsort(keys)
        y, x = np.divmod(spectra, self._shape[1])
        entries: list[tuple[Any, Any, Any]] = []
        for dy, dx, value in self._offsets:
            inside = (y + dy >= 0) & (y + dy < self._shape[0]) & (x + dx >= 0) & (x + dx < self._shape[1])
            wanted = keys[earlier:] + dy * self._shape[1] + dx
            place = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
            there = np.flatnonzero(inside & (keys[place] == wanted))
            other = place[there]
            entries.append((there, other, np.where(other < earlier, 2 * value, value)))
        row, column, values = (np.concatenate(part) for part in zip(*entries, strict=True))
        return sparse.csr_array((values, (row, column)), shape=(len(spectra), len(keys)))


class _Means:
    """Weighted means of the redshift, E(B−V) and resolution of spectra."""

    def __init__(self, weights: Weights) -> None:
        self._weights, self._size = weights, weights.sum(axis=1)
        self._totals: dict[str, FloatArray] = {}

    def add(self, rows: npt.NDArray[np.intp], spectra: Spectra) -> None:
        """Add the spectra of these numbers."""
        some = self._weights[:, rows]
        for name in ("redshift", "ebv", "fwhm"):
            values = getattr(spectra, name)
            if values is not None and (name != "fwhm" or values.ndim == 2):
                self._totals[name] = self._totals.get(name, 0.0) + some @ values

    def result(self, spectra: Spectra) -> dict[str, FloatArray | None]:
        """Redshift, E(B−V) and resolution of the sums."""
        means = {name: (total.T / self._size).T for name, total in self._totals.items()}
        return {"fwhm": spectra.fwhm, **means}


def signal_and_noise(spectra: Spectra) -> tuple[FloatArray, FloatArray]:
    """Median flux and 1σ error over the good pixels of each spectrum.

    Parameters
    ----------
    spectra : Spectra
        The spectra.

    Returns
    -------
    signal, noise : (n_spectra,)
        In the flux's unit; NaN where no pixel is good.

    Examples
    --------
    >>> import quietspec
    >>> signal, noise = signal_and_noise(quietspec.read(quietspec.demo_cube()))
    >>> bool((noise > 0).all())
    True
    """
    good = spectra.good
    sigma = np.where(good, spectra.sigma, 0.0)
    return masked_median(np.where(good, spectra.flux, 0.0), good), masked_median(sigma, good)
