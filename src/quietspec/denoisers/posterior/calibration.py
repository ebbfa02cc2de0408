"""Flux calibration as part of the model: a smooth factor about 1 whose deviations are a Gaussian process.

A spectrograph multiplies a spectrum by a factor that wanders about 1, on scales from the whole spectrum down to some
tens of Å, and by a grey factor in each of its arms. What a library of stars gets wrong looks the same. On an
observation's pixels the deviation is linear between knots in observed wavelength: what data say of it is
tridiagonal.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.sparse import csr_array

from quietspec.arrays import FloatArray, IntArray
from quietspec.errors import ModelError
from quietspec.wavelengths import stretches

__all__ = ["CalibrationKnots", "CalibrationLaw", "SharedCalibration", "rough_factor"]

_ORDER = 4  # Legendre polynomials of the smooth part
_SPACING = 50.0  # Å, most between knots
_PER_SCALE = 1.0  # most between knots, in units of the shortest scale
_ROUGH_WIDTH, _ROUGH_SIZE = 120.0, 0.03  # Å, and 1σ, of the deviations that `rough_factor` looks for
_LARGEST, _SHORTEST = 1.0, 5.0  # size, and scale in Å, of a possible law
_JITTER = 2e-4  # 1σ of each knot on its own, so that the covariance has an inverse


def rough_factor(
    flux: FloatArray, weight: FloatArray, model: FloatArray, wavelength: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Estimate the calibration from a rough model: what lets a fit of velocities be made without it.

    Parameters
    ----------
    flux, weight, model : (n_spectra, n_pixels)
        Data, inverse variances and model.
    wavelength : (n_pixels,)
        Observed wavelengths, Å.

    Returns
    -------
    factor : (n_spectra, n_pixels)
        1 plus the mean relative deviation within some 100 Å, as far as it stands out from the noise.
    dof : (n_spectra,)
        Number of deviations that the data determine.
    """
    signal, information = weight * model * (flux - model), weight * model**2
    factor, dof = np.ones_like(flux), np.zeros(len(flux))
    for arm in stretches(wavelength):
        step = float(np.median(np.diff(wavelength[arm]))) if arm.stop - arm.start > 1 else _ROUGH_WIDTH
        width = max(round(_ROUGH_WIDTH / step), 1)
        total, known = (width * uniform_filter1d(part[:, arm], width, axis=1) for part in (signal, information))
        known = np.maximum(known, 0)
        factor[:, arm] += total / (known + _ROUGH_SIZE**-2)
        dof += (known / (known + _ROUGH_SIZE**-2)).sum(axis=1) / width
    return np.maximum(factor, 0.5), dof


@dataclass(frozen=True, eq=False)
class CalibrationKnots:
    """The deviation from 1 on the pixels of one observation.

    Parameters
    ----------
    hats : sparse (n_pixels, n_knots)
        Linear interpolation between the knots.
    covariance, precision : (n_knots, n_knots)
        Of the knots' values before the data.
    places : (n_knots,)
        Wavelengths of the knots, observed Å.
    """

    hats: Any
    covariance: FloatArray
    precision: FloatArray
    places: FloatArray

    @cached_property
    def log_precision(self) -> float:
        """Log determinant of the precision."""
        return float(np.linalg.slogdet(self.precision)[1])

    @cached_property
    def gather(self) -> Any:
        """Hᵀ, (n_knots, n_pixels)."""
        return csr_array(self.hats.T)

    @cached_property
    def _bands(self) -> Any:
        """Maps values of pixels (n_pixels,) to the diagonal of Hᵀ diag(values) H and the entries beside it."""
        shares = self.hats.data.reshape(-1, 2)
        columns = self.hats.indices.reshape(-1, 2)[:, 0]
        pixel = np.arange(len(shares))
        n = self.n_knots
        data = np.concatenate([shares[:, 0] ** 2, shares[:, 1] ** 2, shares[:, 0] * shares[:, 1]])
        rows = np.concatenate([columns, columns + 1, columns + n])
        return csr_array((data, (rows, np.tile(pixel, 3))), shape=(2 * n, len(shares)))

    def information(self, values: FloatArray) -> FloatArray:
        """Hᵀ diag(values) H of values (n_pixels,), (n_knots, n_knots)."""
        bands, n = self._bands @ values, self.n_knots
        information = np.diag(bands[:n].astype(np.float64))
        knot = np.arange(n - 1)
        information[knot, knot + 1] = information[knot + 1, knot] = bands[n:-1]
        return information

    def gathering(self, values: FloatArray) -> Any:
        """Hᵀ diag(values) of values (n_pixels,), sparse (n_knots, n_pixels)."""
        matrix = copy(self.gather)  # a new one would be checked at length
        matrix.data = self.gather.data * values[self.gather.indices]
        return matrix

    def scaled(self, values: FloatArray) -> Any:
        """diag(values) H of values (n_pixels,), sparse (n_pixels, n_knots)."""
        matrix = copy(self.hats)
        matrix.data = self.hats.data * np.repeat(values, 2)
        return matrix

    def dense(self, values: FloatArray, rows: IntArray) -> FloatArray:
        """Some rows of diag(values) H, (n_rows, n_knots), for values (n_pixels,)."""
        shares, lower = self.hats.data.reshape(-1, 2)[rows], self.hats.indices[2 * rows]
        dense, each = np.zeros((len(rows), self.n_knots), dtype=np.float32), np.arange(len(rows))
        for beside in range(2):
            dense[each, lower + beside] = shares[:, beside] * values[rows]
        return dense

    def gathered(self, columns: FloatArray, rows: IntArray) -> FloatArray:
        """Hᵀ of columns (n_rows, n) that are 0 on all pixels but `rows`, which increase, (n_knots, n)."""
        shares, lower = self.hats.data.reshape(-1, 2)[rows], self.hats.indices[2 * rows]
        result = np.zeros((self.n_knots, columns.shape[1]), dtype=columns.dtype)
        starts = np.flatnonzero(np.diff(lower, prepend=-1))
        for beside in range(2):
            result[lower[starts] + beside] += np.add.reduceat(columns * shares[:, beside, None], starts)
        return result

    def variance(self, half: FloatArray) -> FloatArray:
        """Diagonal of H C Hᵀ, (n_pixels,), for a square root (n_knots, n) of the covariance C of the knots."""
        low, high = self.hats.data.reshape(-1, 2).T
        knot = self.hats.indices.reshape(-1, 2)[:, 0]
        diagonal, beside = (np.einsum("ki,ki->k", one, half[: len(one)]) for one in (half, half[1:]))
        return np.asarray(low**2 * diagonal[knot] + high**2 * diagonal[knot + 1] + 2 * low * high * beside[knot])

    @property
    def n_knots(self) -> int:
        """Number of knots."""
        return len(self.covariance)

    def modes(self, number: int) -> CalibrationModes:
        """Represent the deviation by its few largest modes, in which no two knots need to be told apart."""
        size, directions = np.linalg.eigh(self.covariance)
        return CalibrationModes(self.hats, directions[:, -number:] * np.sqrt(size[-number:]))

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draw `n` factors, (n, n_pixels)."""
        half = np.linalg.cholesky(self.covariance)
        return np.asarray(1 + (self.hats @ (half @ rng.standard_normal((self.n_knots, n)))).T)


class CalibrationModes:
    """The deviation from 1 on the pixels of one observation as a sum of few modes, whose amplitudes are N(0, 1).

    It serves where `CalibrationKnots` does, amplitudes in the place of values at the knots.

    Parameters
    ----------
    hats : sparse (n_pixels, n_knots)
        Linear interpolation between the knots.
    vectors : (n_knots, n_modes)
        The modes at the knots, each as large as it is expected to be.
    """

    log_precision = 0.0

    def __init__(self, hats: Any, vectors: FloatArray) -> None:
        self.vectors = vectors
        self.hats = np.asarray(hats @ vectors.astype(np.float32))
        self.precision = np.eye(vectors.shape[1])

    @property
    def n_knots(self) -> int:
        """Number of modes."""
        return len(self.precision)

    @property
    def gather(self) -> FloatArray:
        """Hᵀ, (n_modes, n_pixels)."""
        return self.hats.T

    def information(self, values: FloatArray) -> FloatArray:
        """Hᵀ diag(values) H of values (n_pixels,), (n_modes, n_modes)."""
        return np.asarray(self.hats.T @ (self.hats * values[:, None]))

    def gathering(self, values: FloatArray) -> FloatArray:
        """Hᵀ diag(values) of values (n_pixels,), (n_modes, n_pixels)."""
        return (self.hats * values[:, None]).T

    def scaled(self, values: FloatArray) -> Any:
        """diag(values) H of values (n_pixels,), (n_pixels, n_modes)."""
        return self.hats * values[:, None]

    def dense(self, values: FloatArray, rows: IntArray) -> FloatArray:
        """Some rows of diag(values) H, (n_rows, n_modes), for values (n_pixels,)."""
        return np.asarray(self.hats[rows] * values[rows, None])

    def gathered(self, columns: FloatArray, rows: IntArray) -> FloatArray:
        """Hᵀ of columns (n_rows, n) that are 0 on all pixels but `rows`, (n_modes, n)."""
        return np.asarray(self.hats[rows].T @ columns)

    def variance(self, half: FloatArray) -> FloatArray:
        """Diagonal of H C Hᵀ, (n_pixels,), for a square root (n_modes, n) of the covariance C of the amplitudes."""
        deviations = self.hats @ half
        return np.asarray(np.einsum("pi,pi->p", deviations, deviations))


@dataclass(frozen=True)
class CalibrationLaw:
    """How far the flux calibration of an instrument wanders.

    Parameters
    ----------
    smooth : float
        Root mean square of the smooth part: Legendre polynomials of orders 1 to 4 over the whole spectrum, of equal
        power in each.
    grey : float
        1σ of the grey factor of each arm, where there are several.
    waves : tuple of (float, float)
        Scale ℓ (observed Å) and root mean square of each process of correlation exp(−Δλ²/2ℓ²) within an arm.
    """

    smooth: float = 0.03
    grey: float = 0.02
    waves: tuple[tuple[float, float], ...] = ((400.0, 0.015), (45.0, 0.012))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Make one of what `to_dict` returned; `ModelError` if this is no possible law."""
        try:
            waves = tuple((float(scale), float(size)) for scale, size in content["waves"])
            law = cls(float(content["smooth"]), float(content["grey"]), waves)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"a calibration law is malformed ({error!r}). Learn it again.") from error
        sizes = (law.smooth, law.grey, *(size for _, size in waves))
        if not all(0 <= size <= _LARGEST for size in sizes) or not all(scale >= _SHORTEST for scale, _ in waves):
            raise ModelError(
                f"a calibration law has sizes beyond 0 to {_LARGEST:g} or scales below {_SHORTEST:g} Å. Learn it again."
            )
        return law

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> dict[str, Self]:
        """Laws of a model's card by instrument.

        Parameters
        ----------
        card : mapping
            Its entry ``calibration``, if there is one, holds laws by instrument, as
            `quietspec.instruments.instrument_of` names them.

        Returns
        -------
        dict of str to CalibrationLaw
            ``default`` is for all instruments that have none of their own: the card's, else that of this class.
        """
        entry = card.get("calibration", {})
        laws = entry.get("laws", {}) if isinstance(entry, Mapping) else None
        if not isinstance(laws, Mapping):
            raise ModelError("the card's calibration laws are malformed. Learn them again.")
        return {"default": cls()} | {name: cls.from_dict(content) for name, content in laws.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types, as model cards hold them."""
        return asdict(self)

    def reduced(self, share: float) -> Self:
        """Return the law whose variances are this share of its own."""
        size = share**0.5
        waves = tuple((scale, size * wave) for scale, wave in self.waves)
        return replace(self, smooth=size * self.smooth, grey=size * self.grey, waves=waves)

    def knots(self, wavelength: FloatArray) -> CalibrationKnots:
        """Represent the deviation on an observation's pixels.

        Parameters
        ----------
        wavelength : (n_pixels,)
            Observed wavelengths, Å; gaps in them separate arms.

        Returns
        -------
        CalibrationKnots
            Each arm has knots of its own.
        """
        arms = list(stretches(wavelength))
        spacing = min([_SPACING, *(_PER_SCALE * scale for scale, _ in self.waves)])
        places, columns, shares, first = [], [], [], 0
        for arm in arms:
            low, high = wavelength[arm][[0, -1]]
            place = np.linspace(low, high, max(int(np.ceil((high - low) / spacing)), 1) + 1)
            position = np.interp(wavelength[arm], place, np.arange(len(place)))
            lower = np.clip(np.floor(position).astype(np.int32), 0, len(place) - 2)
            columns.append(first + lower[:, None] + np.arange(2, dtype=np.int32))
            shares.append(np.stack([1 - (position - lower), position - lower], axis=1))
            places.append(place)
            first += len(place)
        rows = np.arange(0, 2 * len(wavelength) + 1, 2, dtype=np.int32)
        data = np.concatenate(shares).astype(np.float32).ravel()
        hats = csr_array((data, np.concatenate(columns).ravel(), rows), shape=(len(wavelength), first))
        arm_of = np.repeat(np.arange(len(arms)), [len(place) for place in places])
        covariance = self._covariance(np.concatenate(places), arm_of)
        return CalibrationKnots(hats, covariance, np.linalg.inv(covariance), np.concatenate(places))

    def _covariance(self, place: FloatArray, arm: IntArray) -> FloatArray:
        position = np.interp(place, [place.min(), place.max()], [-1.0, 1.0])
        basis = np.polynomial.legendre.legvander(position, _ORDER)[:, 1:]
        basis *= self.smooth / np.sqrt(_ORDER) / np.sqrt(np.mean(basis**2, axis=0))
        within = (arm[:, None] == arm).astype(float)
        covariance = basis @ basis.T + _JITTER**2 * np.eye(len(place))
        if arm[-1] > 0:
            covariance += self.grey**2 * within
        for scale, size in self.waves:
            covariance += size**2 * within * np.exp(-0.5 * ((place[:, None] - place) / scale) ** 2)
        return np.asarray(covariance)


@dataclass(frozen=True, eq=False)
class SharedCalibration:
    """What all spectra of a cube have in common of their calibration errors: a factor that multiplies each.

    Parameters
    ----------
    places : (n_knots,)
        Observed wavelengths, Å.
    deviation : (n_knots,)
        Of the factor from 1 there; linear between them.
    """

    places: FloatArray
    deviation: FloatArray

    def factor(self, wavelength: FloatArray) -> FloatArray:
        """Return the factor at wavelengths, (n_pixels,)."""
        return np.asarray(1 + np.interp(wavelength, self.places, self.deviation))

    def to_dict(self) -> dict[str, list[float]]:
        """Return JSON types, as files hold them."""
        return {"places": self.places.round(3).tolist(), "deviation": self.deviation.round(6).tolist()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Make one of what `to_dict` returned; `KeyError`, `TypeError` or `ValueError` if it is damaged."""
        return cls(np.asarray(content["places"], dtype=float), np.asarray(content["deviation"], dtype=float))
