"""Totals of sums whose spectra arrive a block at a time, so that a cube of any size need not be held in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from quietspec.arrays import FloatArray
from quietspec.binning.weights import Weights
from quietspec.noise import NoiseCorrelation
from quietspec.spectra import Spectra

__all__ = ["Means", "Sums"]

_LEAST_SHARE = 0.5  # fraction of a sum's light that must come from good pixels


class Sums:
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


class Means:
    """Weighted means of the redshift, E(B−V) and resolution of spectra, over those where they are known."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._totals: dict[str, FloatArray] = {}
        self._known: dict[str, FloatArray] = {}

    def add(self, rows: npt.NDArray[np.intp], spectra: Spectra) -> None:
        """Add the spectra of these numbers."""
        some = self._weights[:, rows]
        for name in ("redshift", "ebv", "fwhm"):
            values = getattr(spectra, name)
            if values is not None and (name != "fwhm" or values.ndim == 2):
                known = np.isfinite(values)
                self._totals[name] = self._totals.get(name, 0.0) + some @ np.where(known, values, 0.0)
                self._known[name] = self._known.get(name, 0.0) + some @ known.astype(float)

    def result(self, spectra: Spectra) -> dict[str, FloatArray | None]:
        """Redshift, E(B−V) and resolution of the sums; NaN where no member knows its own."""
        means = {
            name: np.divide(total, self._known[name], out=np.full(total.shape, np.nan), where=self._known[name] > 0)
            for name, total in self._totals.items()
        }
        return {"fwhm": spectra.fwhm, **means}
