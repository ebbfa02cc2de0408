"""Evidence of a spectrum at every velocity and dispersion of a lattice, under one Gaussian and few coordinates.

It finds the neighbourhood in which a spectrum's velocity and dispersion are then fitted, and, where the signal is so
faint that their posterior is broad or has several peaks, it is that posterior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from quietspec.arrays import BySpectrum, FloatArray
from quietspec.denoisers.posterior.losvd import LosvdBasis, dispersion, log_width

__all__ = [
    "FINE_LATTICE", "LATTICE", "ScanResult", "VelocityScan", "log_prior_of_velocity", "log_prior_of_width",
    "moments_on_lattice", "on_fine_lattice", "prior_sigma_of_motions",
]  # fmt: skip

_VELOCITIES = np.linspace(-750.0, 750.0, 17)  # km/s
_WIDTHS = np.linspace(float(log_width(15.0)), float(log_width(500.0)), 6)
_FINE_VELOCITIES = np.linspace(-750.0, 750.0, 201)
_FINE_WIDTHS = np.linspace(_WIDTHS[0], _WIDTHS[-1], 61)
LATTICE = _VELOCITIES, _WIDTHS  #: velocities, km/s, and u that are scanned …
FINE_LATTICE = _FINE_VELOCITIES, _FINE_WIDTHS  #: … and those to which a scan is interpolated
_TO_FINE = (
    CubicSpline(_VELOCITIES, np.eye(len(_VELOCITIES)))(_FINE_VELOCITIES),
    CubicSpline(_WIDTHS, np.eye(len(_WIDTHS)))(_FINE_WIDTHS).T,
)
_COORDINATES = 8  # at most; beyond them the spectrum is the prior's mean
_HUGE = 1e30
_USUAL = 110.0  # km/s, of the first look at a spectrum
_USUAL_SIGMA = (20.0, 500.0)  # km/s, between which the prior is even in ln σ …
_EDGE = 0.25  # … and 1σ in ln σ of its decline beyond
_CORE, _TAIL, _TAIL_SHARE = 110.0, 350.0, 0.2  # km/s: widths of the prior of velocities, and share of the wider


def log_prior_of_width(width: FloatArray) -> FloatArray:
    """Log density of the prior of u, not normalised: even in ln σ between 20 and 500 km/s, declining beyond."""
    sigma = np.maximum(dispersion(width), 1.0)
    logarithm = np.log(sigma)
    beyond = np.maximum(np.log(_USUAL_SIGMA[0]) - logarithm, 0) + np.maximum(logarithm - np.log(_USUAL_SIGMA[1]), 0)
    return np.asarray(-0.5 * (beyond / _EDGE) ** 2 + 2 * width - 2 * logarithm)


def log_prior_of_velocity(velocity: FloatArray) -> FloatArray:
    """Log density of the prior of velocities, not normalised: a normal law with a wider one below it."""
    core = (1 - _TAIL_SHARE) / _CORE * np.exp(-0.5 * (velocity / _CORE) ** 2)
    return np.asarray(np.log(core + _TAIL_SHARE / _TAIL * np.exp(-0.5 * (velocity / _TAIL) ** 2)))


def prior_sigma_of_motions() -> dict[str, float]:
    """Standard deviations of the priors of ``velocity`` and ``sigma``, km/s."""
    spreads = []
    for values, log_density in (
        (_FINE_VELOCITIES, log_prior_of_velocity(_FINE_VELOCITIES)),
        (dispersion(_FINE_WIDTHS), log_prior_of_width(_FINE_WIDTHS)),
    ):
        weight = np.exp(log_density - log_density.max())
        mean = np.average(values, weights=weight)
        spreads.append(float(np.sqrt(np.average((values - mean) ** 2, weights=weight))))
    return dict(zip(("velocity", "sigma"), spreads, strict=True))


@dataclass(frozen=True, eq=False)
class ScanResult(BySpectrum):
    """What a scan says of velocity and u of each spectrum.

    Parameters
    ----------
    peak : (n_spectra, 2)
        Velocity (km/s) and u of the highest posterior density.
    mean : (n_spectra, 2)
        Posterior means.
    covariance : (n_spectra, 2, 2)
        Posterior covariances.
    populations : (n_spectra, d)
        Coordinates of the populations that fit best at the best point of the lattice.
    model : (n_spectra, n_pixels)
        Their flux there.
    logs : (n_spectra, n_velocities, n_widths) of float32
        Log evidence on the lattice relative to its highest value, before the prior.
    """

    peak: FloatArray
    mean: FloatArray
    covariance: FloatArray
    populations: FloatArray
    model: FloatArray
    logs: FloatArray


class VelocityScan:
    """Prepared bases of one pixel grid over a lattice of velocities and dispersions.

    Parameters
    ----------
    basis : LosvdBasis
        In coordinates in which the prior at unit scale is N(centre, 1), the best determined first.
    centre : (d,)
        The prior's mean.
    """

    #: Products of weights or data with prepared numbers, per pixel and spectrum.
    products_per_pixel = len(_VELOCITIES) * len(_WIDTHS) * (_COORDINATES + 1) * (_COORDINATES + 4) // 2

    def __init__(self, basis: LosvdBasis, centre: FloatArray) -> None:
        q = self._size = min(_COORDINATES, basis.size)
        first = np.zeros((basis.size, q + 1))
        first[:q, :q] = np.eye(q)
        first[q:, q] = centre[q:]
        few = basis.combined(first)
        rows, columns = np.tril_indices(q + 1)
        self._pairs = rows, columns
        nodes = [few.at(velocity, width) for velocity in _VELOCITIES for width in _WIDTHS]
        self._vectors = np.ascontiguousarray(np.concatenate(nodes, axis=1))
        self._usual = (len(_VELOCITIES) // 2) * len(_WIDTHS) + int(np.abs(_WIDTHS - log_width(_USUAL)).argmin())
        self._products = np.concatenate([node[:, rows] * node[:, columns] for node in nodes], axis=1)
        self._centre, self._whole_centre = centre[:q], centre
        reference = basis.at(0.0, float(log_width(120.0)))
        self._mean = reference @ centre.astype(np.float32)
        self._log_prior = log_prior_of_velocity(_FINE_VELOCITIES)[:, None] + log_prior_of_width(_FINE_WIDTHS)

    def scale(self, flux: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Scale of the prior's mean spectrum that fits best, and its 1σ, (n_spectra,) each."""
        information = np.maximum((weight @ self._mean**2).astype(np.float64), 1e-30)
        return ((flux * weight) @ self._mean) / information, information**-0.5

    def residual(self, flux: FloatArray, weight: FloatArray) -> FloatArray:
        """What the populations that fit best at velocity 0 and a usual dispersion leave, (n_spectra, n_pixels)."""
        rows, columns = self._pairs
        q, n = self._size, len(rows)
        vectors = self._vectors[:, self._usual * (q + 1) : (self._usual + 1) * (q + 1)]
        gram = np.empty((len(flux), q + 1, q + 1))
        packed = weight @ self._products[:, self._usual * n : (self._usual + 1) * n]
        gram[:, rows, columns] = gram[:, columns, rows] = packed
        scale = np.maximum(*self.scale(flux, weight))[:, None]
        expected = np.concatenate([scale * self._centre, scale], axis=1)
        precision = np.append(np.ones(q), _HUGE**0.3) * scale**-2
        sides = ((weight * flux) @ vectors) + precision * expected
        gram[:, np.arange(q + 1), np.arange(q + 1)] += precision
        found = np.linalg.solve(gram, sides[:, :, None])[:, :, 0]
        return np.asarray(flux - found.astype(np.float32) @ vectors.T)

    def on_lattice(self, flux: FloatArray, weight: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log evidence on the lattice, but for a constant of each spectrum, and the best coordinates at each point.

        Parameters
        ----------
        flux, weight : (n_spectra, n_pixels)
            Flux and inverse variances.
        scale : (n_spectra,)
            Flux scale > 0.

        Returns
        -------
        logs : (n_spectra, n_velocities, n_widths)
            Log evidence relative to its highest value.
        factors : (n_spectra, n_velocities · n_widths, q + 1, q + 1)
            Cholesky factor L of the precision of the first q coordinates, and below it L⁻¹ times the gradient.
        """
        n, q = len(flux), self._size
        rows, columns = self._pairs
        packed = (weight @ self._products).reshape(n, -1, len(rows)).astype(np.float64)
        sides = ((weight * flux) @ self._vectors).reshape(n, -1, q + 1).astype(np.float64)
        size = scale[:, None]
        bordered = np.zeros((*packed.shape[:2], q + 1, q + 1))
        bordered[..., rows, columns] = packed
        with_mean, mean_square = bordered[..., q, :q].copy(), bordered[..., q, q].copy()
        diagonal = np.arange(q)
        bordered[..., diagonal, diagonal] += size[..., None] ** -2
        bordered[..., q, :q] = sides[..., :q] - size[..., None] * with_mean + self._centre / size[..., None]
        bordered[..., q, q] = _HUGE
        # Its Cholesky factor holds the determinant and, in the last row, the square root of what the fit gains.
        factor = np.linalg.cholesky(bordered)
        gain = np.einsum("nki,nki->nk", factor[..., q, :q], factor[..., q, :q])
        determinant = 2 * np.log(np.einsum("nkii->nki", factor)[..., :q]).sum(axis=2)
        logs = 0.5 * gain - 0.5 * determinant + size * sides[..., q] - 0.5 * size**2 * mean_square
        logs -= logs.max(axis=1, keepdims=True)
        return logs.reshape(n, len(_VELOCITIES), len(_WIDTHS)), factor

    def __call__(self, flux: FloatArray, weight: FloatArray) -> ScanResult:
        """Scan spectra.

        Parameters
        ----------
        flux, weight : (n_spectra, n_pixels)
            Flux and inverse variances, in single precision.

        Returns
        -------
        ScanResult
            Peaks and moments of the posterior of velocity and u.
        """
        scale = np.maximum(*self.scale(flux, weight))
        logs, factors = self.on_lattice(flux, weight, scale)
        fine = on_fine_lattice(logs) + self._log_prior
        flat = fine.reshape(len(fine), -1)
        highest = flat.argmax(axis=1)
        density = np.exp(flat - flat.max(axis=1, keepdims=True)).reshape(fine.shape)
        density /= density.sum(axis=(1, 2), keepdims=True)
        place = np.stack(np.unravel_index(highest, fine.shape[1:]), axis=1)
        peak = np.stack([_FINE_VELOCITIES[place[:, 0]], _FINE_WIDTHS[place[:, 1]]], axis=1)
        return ScanResult(
            peak, *moments_on_lattice(density), *self._best(logs, factors, scale), logs.astype(np.float32)
        )

    def _best(self, logs: FloatArray, factors: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Populations and flux at the best point of the lattice, (n_spectra, d) and (n_spectra, n_pixels)."""
        q, rows = self._size, np.arange(len(logs))
        coarse = log_prior_of_velocity(_VELOCITIES)[:, None] + log_prior_of_width(_WIDTHS)
        best = (logs + coarse).reshape(len(logs), -1).argmax(axis=1)
        factor = factors[rows, best]
        found = np.linalg.solve(np.swapaxes(factor[:, :q, :q], 1, 2), factor[:, q, :q, None])[:, :, 0]
        populations = scale[:, None] * self._whole_centre
        populations[:, :q] = found
        vectors = self._vectors.reshape(len(self._vectors), -1, q + 1)
        amounts = np.concatenate([found, scale[:, None]], axis=1).astype(np.float32)
        model = np.stack([vectors[:, point] @ amount for point, amount in zip(best, amounts, strict=True)])
        return populations, model


def on_fine_lattice(logs: FloatArray) -> FloatArray:
    """Interpolate what is known on the lattice of a scan, (n, n_velocities, n_widths), to a finer one."""
    return np.asarray(_TO_FINE[0] @ logs @ _TO_FINE[1])


def moments_on_lattice(
    density: FloatArray, lattice: tuple[FloatArray, FloatArray] = FINE_LATTICE
) -> tuple[FloatArray, FloatArray]:
    """Means (n, 2) and covariances (n, 2, 2) of velocity and width, of densities on a lattice that sum to 1."""
    velocities, widths = lattice
    by_velocity, by_width = density.sum(axis=2), density.sum(axis=1)
    mean = np.stack([by_velocity @ velocities, by_width @ widths], axis=1)
    covariance = np.empty((len(density), 2, 2))
    covariance[:, 0, 0] = by_velocity @ velocities**2 - mean[:, 0] ** 2
    covariance[:, 1, 1] = by_width @ widths**2 - mean[:, 1] ** 2
    both = np.einsum("nij,i,j->n", density, velocities, widths, optimize=True)
    covariance[:, 0, 1] = covariance[:, 1, 0] = both - mean[:, 0] * mean[:, 1]
    return mean, covariance
