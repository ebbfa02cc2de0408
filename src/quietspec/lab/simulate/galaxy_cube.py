"""`GalaxyCube`: a simulated galaxy on the sky with all that is known of it, whichever simulator made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray, select_rows
from quietspec.lab.simulate.simulated import Simulated

__all__ = ["GalaxyCube", "best_gaussian", "line_strengths", "near"]

_ITERATIONS = 60  # of a map that halves the error at each


@dataclass(frozen=True, eq=False)
class GalaxyCube:
    """A simulated cube and its truth.

    Parameters
    ----------
    simulated : Simulated
        Spectra with a spatial shape, their noise-free flux and true parameters. Parameters are those of all the light
        that seeing brings into a spaxel: populations by mass or light, velocity and dispersion of the Gaussian that
        fits the sum of the LOSVDs best (the one whose h1 and h2 vanish). Each part's LOSVD counts by its light times
        the strength of its lines (`line_strengths`), since a spectrum shows the motion of what has lines.
    regions : mapping of str to (n_spaxels,) of bool
        Spaxels near what is sharp: ``clump``, ``ring``, ``step``, ``edge``, … and ``border``, that of the field.
    shares : mapping of str to (n_spaxels,)
        Share of the light of what does not belong to the galaxy: ``star``, ``companion``.
    seeing : float
        FWHM of the point-spread function, spaxels.
    """

    simulated: Simulated
    regions: Mapping[str, BoolArray]
    shares: Mapping[str, FloatArray]
    seeing: float

    @property
    def shape(self) -> tuple[int, int]:
        """Spaxels along y and x."""
        shape = self.simulated.observed.spatial_shape
        assert shape is not None
        return shape

    @property
    def observed_spaxels(self) -> BoolArray:
        """Spaxels that have data, (n_spaxels,)."""
        return np.asarray(self.simulated.observed.good.any(axis=1))

    def foreign(self, least: float = 0.05) -> BoolArray:
        """Spaxels where stars of others give at least this share of the light, (n_spaxels,)."""
        none = np.zeros(len(self.simulated), dtype=bool)
        return np.asarray(np.any([none, *(share >= least for share in self.shares.values())], axis=0))

    def shuffled(self, rng: np.random.Generator) -> GalaxyCube:
        """Return the same spaxels in random places; regions and shares go with them.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of the permutation.

        Returns
        -------
        GalaxyCube
            A cube in which place says nothing. Noise is not independent of place any more if it was correlated.
        """
        order: npt.NDArray[np.intp] = rng.permutation(len(self.simulated))
        moved, before = self.simulated[order], self.simulated.observed
        observed = replace(moved.observed, spatial_shape=before.spatial_shape, wcs=before.wcs)
        return replace(
            self,
            simulated=replace(moved, observed=observed),
            regions=select_rows(self.regions, order),
            shares=select_rows(self.shares, order),
        )


def near(places: BoolArray, distance: float) -> BoolArray:
    """Points of an image that are at most `distance` away from marked ones, in points.

    Parameters
    ----------
    places : (ny, nx) of bool
        Marked points.
    distance : float
        Largest distance, in points.

    Returns
    -------
    (ny, nx) of bool
        None where nothing is marked.
    """
    from scipy.ndimage import distance_transform_edt

    if not places.any():
        return np.zeros(places.shape, dtype=bool)
    return np.asarray(distance_transform_edt(~places) <= distance)


def line_strengths(spectra: FloatArray, weights: FloatArray) -> FloatArray:
    """Strength of the absorption lines of mixtures of spectra, by which their motions count in a sum of them.

    To first order, broadening changes a spectrum by its curvature, so that the width of the one LOSVD that fits a sum
    is a mean of those of its parts, each weighted by its curvature.

    Parameters
    ----------
    spectra : (n_ssp, n_pixels)
        Spectra at rest, evenly sampled in ln λ.
    weights : (n, n_ssp)
        Weights of the spectra in each mixture.

    Returns
    -------
    (n,)
        Root mean square curvature of the mixtures, per pixel squared.

    Examples
    --------
    >>> import numpy as np
    >>> dip = np.exp(-0.5 * np.linspace(-5, 5, 101) ** 2)
    >>> spectra = np.stack([1 - dip, 2 - dip, np.ones(101)])
    >>> strength = line_strengths(spectra, np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1]]))
    >>> bool(np.allclose(strength, strength[0]))  # a continuum adds nothing
    True
    """
    curvature = np.diff(spectra, n=2, axis=1).astype(np.float64)
    products = curvature @ curvature.T / curvature.shape[1]
    return np.asarray(np.sqrt(np.maximum(np.vecdot(weights @ products, weights), 0.0)))


def best_gaussian(velocity: FloatArray, losvd: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Velocity and dispersion of the Gaussians that fit LOSVDs best: those about which h1 and h2 vanish.

    Parameters
    ----------
    velocity : (n_velocities,)
        Grid, km/s.
    losvd : (n, n_velocities)
        LOSVDs, on any scale.

    Returns
    -------
    velocity, sigma : (n,)
        Mean and standard deviation, km/s; the latter is at least half a step of the grid. NaN for an empty LOSVD.

    References
    ----------
    van der Marel & Franx 1993, ApJ 407, 525.
    """
    least = (0.5 * float(np.diff(velocity).min())) ** 2
    mean, variance = _moments(velocity, losvd, least)
    for _ in range(_ITERATIONS):  # h1 = h2 = 0 where the product of both has mean V and variance σ²/2
        gauss = np.exp(-0.5 * (velocity - mean[:, None]) ** 2 / variance[:, None])
        mean, variance = _moments(velocity, losvd * gauss, least / 2)
        variance = 2 * variance
    return mean, np.sqrt(variance)


def _moments(velocity: FloatArray, losvd: FloatArray, least: float) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of distributions (n, n_velocities); the variance is at least `least`."""
    with np.errstate(invalid="ignore"):
        share = losvd / losvd.sum(axis=1, keepdims=True)
    mean = share @ velocity
    return mean, np.maximum((share * (velocity - mean[:, None]) ** 2).sum(axis=1), least)
