r"""A rest-frame basis under a line-of-sight velocity distribution (LOSVD): any velocity and dispersion, from one table.

A prior of unbroadened spectra at rest becomes an observation's basis in two linear steps: each vector is convolved with
a Gaussian in ln λ, and evaluated at the pixels. The convolution depends on the width alone, so the broadened vectors
are tabulated once, against

    u = ½ ln(σ² + σ₀²),

in which they vary evenly from no broadening at all to the widest. The line spread of an instrument, a Gaussian whose
width changes slowly with wavelength, is one more broadening and is read off the same table. Shifts are exact: a cubic
spline through the vectors is evaluated at moved wavelengths.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.ndimage import spline_filter1d
from scipy.sparse import csr_array

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.errors import ModelError
from quietspec.wavelengths import FWHM_PER_SIGMA, SPEED_OF_LIGHT

__all__ = ["BroadeningTable", "LosvdBasis", "LosvdDerivatives", "dispersion", "log_width", "velocity_step"]

_CORE = 50.0  # σ₀, km/s: dispersions far below it leave no trace in spectra of the resolution of MILES
_STEP = 0.1  # of u, between entries of the table
_WIDEST = 900.0  # km/s, of dispersion and line spread together
_BRIDGE = 128  # pixels over which the ends are joined to make the spectra periodic
_PADDING = 16  # pixels; what the spline filter does at an end fades by 0.27 per pixel
_KEPT = 40  # bases of some u that are kept, of some MB each: scans end on a lattice
_LAGRANGE = np.linalg.inv(np.vander(np.arange(4.0), increasing=True))  # of powers of the place to weights of four nodes
_EVEN = 1e-6  # relative deviation from even steps in ln λ that is put down to rounding


def log_width(sigma: FloatArray | float) -> FloatArray:
    """Width u = ½ ln(σ² + σ₀²) of dispersions in km/s: the coordinate in which spectra change evenly."""
    return np.asarray(0.5 * np.log(np.square(sigma) + _CORE**2))


def dispersion(width: FloatArray | float) -> FloatArray:
    """σ in km/s of values of u; 0 where u lies below that of no dispersion."""
    return np.asarray(np.sqrt(np.maximum(np.exp(2 * np.asarray(width)) - _CORE**2, 0.0)))


def velocity_step(prior: SpectralPrior) -> float:
    """Step of a prior's wavelengths, km/s; `ModelError` if they are not even in ln λ."""
    return _log_step(prior) * SPEED_OF_LIGHT


def _log_step(prior: SpectralPrior) -> float:
    logarithm = np.log(prior.wavelength)
    steps = np.diff(logarithm)
    if np.ptp(steps) > _EVEN * logarithm[-1]:
        raise ModelError("the prior's wavelengths are not even in ln λ, so it cannot be broadened; train it anew.")
    return float(steps.mean())


class BroadeningTable:
    """The vectors of a rest-frame prior, broadened to a ladder of dispersions.

    Parameters
    ----------
    prior : SpectralPrior
        On wavelengths even in ln λ, without motions.
    transform : (d, d), optional
        The table holds the vectors that go with x where those of mean shape and components go with T x; T = 1 if not
        given.

    Attributes
    ----------
    width : (n_widths,)
        u of the entries, in equal steps.
    vectors : (n_widths, n_grid, d) of float32
        Broadened vectors.
    step : float
        Step of the wavelengths, km/s.

    Raises
    ------
    ModelError
        If the wavelengths are not even in ln λ.
    """

    def __init__(self, prior: SpectralPrior, transform: FloatArray | None = None) -> None:
        self.prior = prior
        self.start, self._log_step = float(np.log(prior.wavelength[0])), _log_step(prior)
        self.step = self._log_step * SPEED_OF_LIGHT
        low, high = float(log_width(0.0)), float(log_width(_WIDEST))
        self.width = low + _STEP * np.arange(int(np.ceil((high - low) / _STEP)) + 1)
        basis = np.vstack([prior.mean, prior.components])
        self.vectors = self._broadened(basis if transform is None else transform.T @ basis)

    def _broadened(self, basis: FloatArray) -> FloatArray:
        n_vectors, n_grid = basis.shape
        length = scipy.fft.next_fast_len(n_grid + _BRIDGE, real=True)
        bridge = np.linspace(basis[:, -1], basis[:, 0], length - n_grid, axis=1)
        transform = scipy.fft.rfft(np.concatenate([basis, bridge], axis=1), axis=1)
        omega = 2 * np.pi * scipy.fft.rfftfreq(length, d=self.step)
        table = np.empty((len(self.width), n_grid, n_vectors), dtype=np.float32)
        for entry, sigma in zip(table, dispersion(self.width), strict=True):
            damped = transform * np.exp(-0.5 * (sigma * omega) ** 2)
            entry[:] = scipy.fft.irfft(damped, n=length, axis=1)[:, :n_grid].T
        return table

    def place(self, rest: FloatArray) -> FloatArray:
        """Positions of wavelengths (Å) in pixels of the table."""
        return np.asarray((np.log(rest) - self.start) / self._log_step)


@dataclass(frozen=True)
class _Between:
    """Cubic interpolation (Lagrange) between four entries of a table in equal steps, and its derivative.

    Parameters
    ----------
    first : (n,) of int
        First of the four entries.
    weight, slope : (n, 4)
        Weights of the entries in the value, and in its derivative with u.
    """

    first: npt.NDArray[np.intp]
    weight: FloatArray
    slope: FloatArray

    @classmethod
    def at(cls, width: FloatArray, table: FloatArray) -> _Between:
        place = (width - table[0]) / _STEP
        first = np.clip(np.floor(place).astype(np.intp) - 1, 0, len(table) - 4)
        x = np.clip(place, 0, len(table) - 1) - first
        powers = x[:, None] ** np.arange(4)
        return cls(first, powers @ _LAGRANGE, powers[:, :3] @ (np.arange(1, 4)[:, None] * _LAGRANGE[1:] / _STEP))


class LosvdBasis:
    """A prior's basis on the pixels of one observation, for any velocity and dispersion.

    Parameters
    ----------
    table : BroadeningTable
        Of the prior.
    rest : (n_pixels,)
        Rest-frame air wavelengths of the pixels at velocity 0, Å.
    fwhm : (n_pixels,), optional
        Resolution of the observation in the rest frame, Å; where it is unknown or NaN, that of the prior. Where an
        instrument is sharper than the prior, a dispersion broadens the basis by so much less, down to none.
    reach : float
        Largest |velocity| that will be asked for, km/s.
    """

    def __init__(
        self, table: BroadeningTable, rest: FloatArray, fwhm: FloatArray | None = None, reach: float = 1000.0
    ) -> None:
        place = table.place(rest)
        margin = int(np.ceil(reach / table.step)) + _PADDING
        low = max(int(place.min()) - margin, 0)
        high = min(int(place.max()) + margin + 1, table.vectors.shape[1])
        self.width = table.width
        self._step = table.step
        self._place = place - low
        part = table.vectors[:, low:high]
        wavelength = table.prior.wavelength[low:high]
        if fwhm is not None:
            own = np.interp(wavelength, table.prior.wavelength, table.prior.fwhm)
            seen = np.interp(wavelength, rest, fwhm)
            seen = np.where(seen > 0, seen, own)  # unknown: as sharp as the prior
            to_velocity = SPEED_OF_LIGHT / FWHM_PER_SIGMA / wavelength
            part = _smoothed(part, table.width, (seen**2 - own**2) * to_velocity**2)
        self._kept: dict[float, FloatArray] = {}
        self._splines = np.ascontiguousarray(_spline_coefficients(part))
        self.n_pixels, self.size = len(rest), part.shape[2]
        rows = np.arange(0, 4 * len(rest) + 1, 4, dtype=np.int32)
        first = np.tile(np.arange(4, dtype=np.int32), len(rest))
        shape = (len(rest), part.shape[1])
        self._empty = csr_array((np.zeros(4 * len(rest), dtype=np.float32), first, rows), shape=shape)

    def combined(self, transform: FloatArray) -> LosvdBasis:
        """Linear combinations of the vectors, by (d, m), as a basis of m vectors."""
        other = copy(self)
        other._kept = {}
        other._splines = np.ascontiguousarray(self._splines @ transform.astype(np.float32))
        other.size = other._splines.shape[2]
        return other

    def at(self, velocity: float, width: float) -> FloatArray:
        """Vectors on the pixels.

        Parameters
        ----------
        velocity : float
            c Δln λ, km/s.
        width : float
            u (`log_width`) of the dispersion.

        Returns
        -------
        (n_pixels, d) of float32
            The basis.
        """
        return np.asarray(self._moved(velocity).values() @ self._between(width)[0])

    def linearise(self, velocity: float, width: float, coordinates: FloatArray) -> LosvdDerivatives:
        """Vectors on the pixels, and how one spectrum changes with its LOSVD.

        Parameters
        ----------
        velocity, width : float
            As for `at`.
        coordinates : (d,)
            Of the spectrum in the basis.

        Returns
        -------
        LosvdDerivatives
            In single precision.
        """
        vectors, entries, between = self._between(width)
        weights = np.concatenate([between.weight, between.slope]).astype(np.float32)
        profile, widened = weights @ (entries @ coordinates.astype(np.float32))
        shape = _shape_responses(profile, float(dispersion(width)) / self._step)
        moved = self._moved(velocity)
        values = moved.values()
        others = values @ np.column_stack([profile, widened, *shape]).astype(np.float32)
        with_velocity = moved.slope_of(profile) * np.float32(-1 / self._step)
        return LosvdDerivatives(values @ vectors, others[:, 0], with_velocity, others[:, 1], others[:, 2:])

    def _between(self, width: float) -> tuple[FloatArray, FloatArray, _Between]:
        """Spline coefficients of the vectors at u, (n_grid, d), and of the four entries of the table about it."""
        between = _Between.at(np.array([width]), self.width)
        first = int(between.first[0])
        entries = self._splines[first : first + 4]
        vectors = self._kept.get(width)
        if vectors is None:
            weight = between.weight[0].astype(np.float32)
            vectors = (weight @ entries.reshape(4, -1)).reshape(entries.shape[1:])
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[width] = vectors
        return vectors, entries, between

    def _moved(self, velocity: float) -> _Moved:
        return _Moved.at(self._place - velocity / self._step, self._empty)


@dataclass(frozen=True)
class LosvdDerivatives:
    """A basis at one velocity and dispersion, and how one spectrum made of it changes with its LOSVD.

    Parameters
    ----------
    vectors : (n_pixels, d)
        The basis.
    spectrum : (n_pixels,)
        The spectrum.
    with_velocity, with_width : (n_pixels,)
        Derivatives of the spectrum with velocity (per km/s) and with u.
    with_shape : (n_pixels, 2)
        Derivatives with h3 and h4 at h3 = h4 = 0.
    """

    vectors: FloatArray
    spectrum: FloatArray
    with_velocity: FloatArray
    with_width: FloatArray
    with_shape: FloatArray


@dataclass(frozen=True)
class _Moved:
    """Cubic B-splines, one per pixel of a table, evaluated anywhere.

    Parameters
    ----------
    columns : (4 n_pixels,) of int
        The four splines that count at each target.
    fraction : (n_pixels,)
        Place of each target between the two pixels about it.
    empty : sparse (n_pixels, n_grid)
        A matrix of four entries per row.
    """

    columns: npt.NDArray[np.int32]
    fraction: FloatArray
    empty: Any

    @classmethod
    def at(cls, place: FloatArray, empty: Any) -> _Moved:
        """Prepare for targets at places (n_pixels,) in pixels of the table."""
        first = np.clip(np.floor(place).astype(np.int32) - 1, 0, empty.shape[1] - 4)
        columns = np.add.outer(first, np.arange(4, dtype=np.int32)).ravel()
        return cls(columns, (place - first - 1).astype(np.float32), empty)

    def values(self) -> Any:
        """Matrix that evaluates splines from their coefficients, (n_pixels, n_grid)."""
        x, y = self.fraction, 1 - self.fraction
        weight = np.empty((len(x), 4), dtype=np.float32)
        weight[:, 0], weight[:, 3] = y**3 / 6, x**3 / 6
        weight[:, 1] = 2 / 3 - x**2 * (1 - x / 2)
        weight[:, 2] = 2 / 3 - y**2 * (1 - y / 2)
        matrix = copy(self.empty)  # a new one would be checked at length
        matrix.data, matrix.indices = weight.ravel(), self.columns
        return matrix

    def slope_of(self, coefficients: FloatArray) -> FloatArray:
        """Slope per pixel of the table of one spline of these coefficients (n_grid,), (n_pixels,)."""
        x, y = self.fraction, 1 - self.fraction
        near = coefficients[self.columns].reshape(-1, 4)
        weights = (-(y**2) / 2, x * (1.5 * x - 2), -y * (1.5 * y - 2), x**2 / 2)
        return np.asarray(sum(weight * near[:, k] for k, weight in enumerate(weights)))


def _smoothed(vectors: FloatArray, width: FloatArray, more: FloatArray) -> FloatArray:
    """Broaden every entry of a table by a further variance (n_grid,), km²/s², that varies with wavelength."""
    pixel = np.arange(vectors.shape[1])
    smoothed = np.empty_like(vectors)
    for entry, sigma in zip(smoothed, dispersion(width), strict=True):
        between = _Between.at(log_width(np.sqrt(np.maximum(sigma**2 + more, 0))), width)
        entry[:] = 0
        for i in range(4):
            entry += between.weight[:, i, None].astype(np.float32) * vectors[between.first + i, pixel]
    return smoothed


def _spline_coefficients(vectors: FloatArray) -> FloatArray:
    """Coefficients of cubic B-splines through every vector, along the second axis."""
    pad = ((0, 0), (_PADDING, _PADDING), (0, 0))
    padded = np.pad(vectors, pad, mode="reflect", reflect_type="odd")
    filtered = spline_filter1d(padded, 3, axis=1, output=vectors.dtype, mode="mirror")
    return np.asarray(filtered[:, _PADDING:-_PADDING])


def _first(values: FloatArray) -> FloatArray:
    """Derivative per pixel, to fourth order; 0 at the ends."""
    result = np.zeros_like(values)
    result[2:-2] = (8 * (values[3:-1] - values[1:-3]) - values[4:] + values[:-4]) / 12
    return result


def _second(values: FloatArray) -> FloatArray:
    """Second derivative per pixel, to fourth order; 0 at the ends."""
    result = np.zeros_like(values)
    near, far = values[3:-1] + values[1:-3], values[4:] + values[:-4]
    result[2:-2] = (16 * near - far - 30 * values[2:-2]) / 12
    return result


def _shape_responses(profile: FloatArray, sigma: float) -> tuple[FloatArray, FloatArray]:
    """Change with h3 and with h4 of a spectrum broadened by a Gaussian, at h3 = h4 = 0.

    Parameters
    ----------
    profile : (n_grid,)
        The broadened spectrum.
    sigma : float
        Its dispersion, pixels.

    Returns
    -------
    with_h3, with_h4 : (n_grid,)
        From the Fourier transforms of the Gauss–Hermite terms (Cappellari 2017, MNRAS 466, 798, eq. 38), whose powers
        of frequency are derivatives. The LOSVD keeps its area, which h4 alone would change by 12 h4 / √384: light that
        h4 could add would be taken from the flux scale, whose prior at a fixed scale falls with it, at no cost.
    """
    first, second = _first(profile), _second(profile)
    third, fourth = _first(second), _second(second)
    with_h3 = -(8 * sigma**3 * third + 12 * sigma * first) / np.sqrt(48)
    with_h4 = (16 * sigma**4 * fourth + 48 * sigma**2 * second) / np.sqrt(384)
    return with_h3, with_h4
