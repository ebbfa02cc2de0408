"""Sums over round apertures of a cube, fluxes in bands of them, and their pulls: what studies of sums share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised
from quietspec.spectra import Spectra
from quietspec.statistics import MAD_TO_SIGMA

__all__ = ["Bands", "Measured", "Pulls", "round_apertures"]

_BAND = 100.0  # Å

Measured: TypeAlias = Mapping[str, tuple[FloatArray, FloatArray]]  #: values and their errors, by quantity


@dataclass
class Pulls:
    """Pulls by method, quantity and size of the aperture."""

    found: dict[tuple[str, str, int], list[FloatArray]] = field(default_factory=dict)

    def add(self, method: str, size: int, measured: Measured, truth: Mapping[str, FloatArray]) -> None:
        """Add those of quantities that were measured with a method in apertures of a size."""
        for name, (value, error) in measured.items():
            pulls = ((value - truth[name]) / error).ravel()
            self.found.setdefault((method, name, size), []).append(pulls[np.isfinite(pulls)])

    def extend(self, others: Pulls) -> None:
        """Add those that another one holds."""
        for key, parts in others.found.items():
            self.found.setdefault(key, []).extend(parts)

    def records(self) -> Iterator[dict[str, Any]]:
        """Summarise them, one record per method, quantity and size."""
        for (method, quantity, size), parts in self.found.items():
            pulls = np.concatenate(parts)
            if pulls.size:
                yield {"method": method, "quantity": quantity, "n_spaxels": size, **_summary(pulls)}


def _summary(pulls: FloatArray) -> dict[str, float]:
    """Scatter of pulls about 0, and what share of them is within the 68 and 95 % intervals."""
    size = np.abs(pulls)
    return {
        "n": int(pulls.size),
        "mean": float(pulls.mean()),
        "rms": float(np.sqrt((pulls**2).mean())),
        "robust": float(MAD_TO_SIGMA * np.median(size)),
        "inside_68": float((size < 0.9945).mean()),
        "inside_95": float((size < 1.96).mean()),
    }


class Bands:
    """Means over bands of 100 Å that all spectra cover."""

    def __init__(self, spectra: Spectra, denoised: Denoised) -> None:
        wavelength, valid = spectra.wavelength, np.asarray(denoised.valid[denoised.valid.any(axis=1)].all(axis=0))
        number = np.floor(wavelength / _BAND).astype(int)
        whole = [band for band in np.unique(number) if valid[number == band].all()]
        rows = np.array([number == band for band in whole], dtype=float)
        self._matrix = rows / rows.sum(axis=1, keepdims=True)

    def __len__(self) -> int:
        return len(self._matrix)

    def means(self, flux: FloatArray) -> FloatArray:
        """Means, (n_spectra, n_bands)."""
        return np.asarray(np.nan_to_num(flux) @ self._matrix.T)

    def __call__(self, denoised: Denoised) -> tuple[FloatArray, FloatArray]:
        """Means and their errors, (n_spectra, n_bands) each."""
        variance = []
        for row in range(len(denoised)):
            along = self._matrix @ np.nan_to_num(denoised.covariance_factor(row))
            independent = np.zeros(denoised.flux.shape[1]) if denoised.remainder is None else denoised.remainder[row]
            variance.append((along**2).sum(axis=1) + self._matrix**2 @ np.nan_to_num(independent) ** 2)
        return self.means(denoised.flux), np.sqrt(variance)


def round_apertures(
    shape: tuple[int, int], sizes: Sequence[int], count: int, rng: np.random.Generator
) -> Iterator[tuple[int, FloatArray]]:
    """Apertures of each size, (n_apertures, n_spaxels): the spaxels nearest to a place, about which they fit."""
    y, x = np.indices(shape).reshape(2, -1)
    for size in sizes:
        edge = np.minimum(np.sqrt(size / np.pi), (np.array(shape) - 1) / 2)
        places = rng.uniform(edge, np.array(shape) - 1 - edge, (count, 2))
        distance = np.hypot(*(np.array([y, x])[:, None] - places.T[:, :, None]))
        weights = np.zeros(distance.shape)
        np.put_along_axis(weights, np.argsort(distance, axis=1)[:, :size], 1.0, axis=1)
        yield size, weights
