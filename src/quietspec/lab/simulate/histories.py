"""Star-formation and enrichment histories: how much mass of each SSP makes up a galaxy.

A smooth history is a delayed-τ law of star formation with an enrichment that follows the mass formed, and with bursts
on top. The prior over its parameters is broad on purpose and assumes no relation between age, metallicity and mass: the
labels are to be read from the spectrum, not from the prior. Start times are uniform in their square root, halfway
between uniform in time (few young galaxies) and uniform in its logarithm (few old ones), which makes the mean log age
nearly flat from 8.5 to 10. The final metallicity is uniform over the library's range. Metallicity rises with the
fraction of the mass formed, as in closed and leaky boxes (Tinsley 1980); the size of the rise, its exponent and the
scatter about the relation all vary. Weights are linear in (log age, [M/H]) between the library's grid points, which
keeps the mean of both exact inside the grid. Stars younger than the youngest SSP are given that SSP's spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from quietspec.errors import TemplateError

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray
    from quietspec.templates import SspLibrary

__all__ = [
    "HistoryPrior",
    "interpolation_weights",
    "log_uniform",
    "normal_weights",
    "random_histories",
    "random_ssp_mixtures",
]

_LOG_AGE_STEP = 0.0125  # dex; step of the fine grid on which star-formation histories are integrated
_LOG_AGE_MIN = 6.0
_LEAST_FADING = 3.0  # factor of the light between a library's ages, over a dex or more, below which it was normalised


@dataclass(frozen=True)
class HistoryPrior:
    """Ranges from which smooth histories are drawn.

    Parameters
    ----------
    start_gyr : (low, high)
        Look-back time at which star formation began, Gyr; uniform in its square root.
    tau_gyr : (low, high)
        e-folding time of the delayed-τ law, Gyr; log-uniform.
    burst_probabilities : tuple of float
        Probability of 0, 1, 2, … bursts.
    burst_log_age : (low, high)
        log10 of a burst's age in years; uniform, but no older than the start of star formation.
    burst_fraction : (low, high)
        Mass of a burst over the mass of the smooth part; log-uniform.
    metallicity : (low, high)
        Final [M/H]; uniform.
    enrichment : float
        Mean of the exponentially distributed rise of [M/H] from first to last stars, dex.
    enrichment_exponent : (low, high)
        p in [M/H] = final − rise·(1 − f^p), where f is the fraction of mass formed; log-uniform.
    scatter : (low, high)
        Standard deviation of [M/H] among stars of one age, dex; log-uniform.
    burst_metallicity_scatter : float
        Standard deviation of a burst's mean [M/H] about the enrichment law, dex.
    young_bursts : float, optional
        log age below which the mass of a burst falls in proportion to its age, as young stars outshine all others.
    """

    start_gyr: tuple[float, float] = (0.5, 13.5)
    tau_gyr: tuple[float, float] = (0.1, 10.0)
    burst_probabilities: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)
    burst_log_age: tuple[float, float] = (7.8, 10.1)
    burst_fraction: tuple[float, float] = (0.003, 1.0)
    metallicity: tuple[float, float] = (-1.71, 0.30)
    enrichment: float = 0.25
    enrichment_exponent: tuple[float, float] = (0.3, 3.0)
    scatter: tuple[float, float] = (0.02, 0.3)
    burst_metallicity_scatter: float = 0.1
    young_bursts: float | None = None


def interpolation_weights(values: FloatArray, grid: FloatArray, scatter: FloatArray | float = 0.0) -> FloatArray:
    """Weights of linear interpolation on a grid, averaged over a Gaussian scatter of the values.

    Values beyond an end of the grid count as that end. With R_j = E[max(0, v − g_j)], the weight of grid point j is
    the difference between the slopes (R_{j−1} − R_j)/(g_j − g_{j−1}) on its two sides; this is exact for any scatter.

    Parameters
    ----------
    values : (...)
        Means of v.
    grid : (n_grid,)
        Grid points, increasing; at least two.
    scatter : float or (...)
        Standard deviation of v about `values`.

    Returns
    -------
    (..., n_grid)
        Weights, not negative, of sum 1.
    """
    excess = np.asarray(values, dtype=np.float64)[..., None] - grid
    spread = np.broadcast_to(np.asarray(scatter, dtype=np.float64)[..., None], excess.shape)
    if np.any(spread > 0):
        scaled = excess / np.maximum(spread, 1e-9)
        density = np.exp(-0.5 * scaled**2) / np.sqrt(2 * np.pi)
        ramp = spread * density + excess * ndtr(scaled)
    else:
        ramp = np.maximum(excess, 0)
    passed = (ramp[..., :-1] - ramp[..., 1:]) / np.diff(grid)
    ones = np.ones((*passed.shape[:-1], 1))
    steps = np.concatenate([ones, np.clip(passed, 0, 1), 0 * ones], axis=-1)
    return np.asarray(np.clip(steps[..., :-1] - steps[..., 1:], 0, None))


def normal_weights(
    library: SspLibrary, log_age: FloatArray, mh: FloatArray, scatter: tuple[float, float]
) -> FloatArray:
    """Weights of populations that are normally distributed in log age and, independently, in [M/H].

    Parameters
    ----------
    library : SspLibrary
        Library whose SSPs are mixed.
    log_age, mh : (n,)
        Means.
    scatter : (log age, [M/H])
        Standard deviations, dex.

    Returns
    -------
    (n, n_ssp)
        Fractions of the mass formed.
    """
    in_age = interpolation_weights(log_age, library.log_ages, scatter[0])
    in_mh = interpolation_weights(mh, library.metallicities, scatter[1])
    return np.asarray((in_age[:, :, None] * in_mh[:, None, :]).reshape(len(log_age), -1))


def random_histories(
    library: SspLibrary, n: int, rng: np.random.Generator, prior: HistoryPrior | None = None
) -> FloatArray:
    """Draw smooth star-formation and enrichment histories with bursts.

    Parameters
    ----------
    library : SspLibrary
        Library on whose grid the weights are defined.
    n : int
        Number of histories.
    rng : numpy.random.Generator
        Source of all draws.
    prior : HistoryPrior, optional
        Ranges of the draws; the defaults of `HistoryPrior` if not given.

    Returns
    -------
    (n, n_ssp)
        Fractions of the mass formed, of sum 1.

    Raises
    ------
    TemplateError
        If the library's spectra are not per solar mass, so that mass fractions define no spectrum, or if it has a
        single age or metallicity.
    """
    _require_masses(library)
    prior = prior or HistoryPrior()
    start = _root_uniform(rng, prior.start_gyr, n) * 1e9
    tau = log_uniform(rng, prior.tau_gyr, n) * 1e9
    law = _Enrichment.draw(prior, n, rng)
    log_ages, metallicities = library.log_ages, library.metallicities

    age_weights = _delayed_tau(start, tau, log_ages)
    at_ages = law.metallicity(_formed(10.0**log_ages, start[:, None], tau[:, None]))
    over_metallicity = interpolation_weights(at_ages, metallicities, law.scatter[:, None])
    weights = age_weights[:, :, None] * over_metallicity

    for masses, log_age in _bursts(prior, np.log10(start), rng):
        mean = law.metallicity(_formed(10.0 ** log_age[:, None], start[:, None], tau[:, None]))[:, 0]
        mean = mean + prior.burst_metallicity_scatter * rng.standard_normal(n)
        in_age = interpolation_weights(log_age, log_ages) * masses[:, None]
        weights += in_age[:, :, None] * interpolation_weights(mean, metallicities, law.scatter)[:, None, :]
    weights = weights.reshape(n, library.n_ssp)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _require_masses(library: SspLibrary) -> None:
    """Refuse libraries on which no history of mass formed can be drawn."""
    if min(library.grid_shape) < 2:
        ages, metallicities = library.grid_shape
        raise TemplateError(
            f"{library.name}: {ages} age(s) × {metallicities} metallicity(ies); histories need at least two of each. "
            "Add spectra of other ages or metallicities."
        )
    cure = (
        "Give the spectra as published, in light per solar mass formed; in Python, PaperRecipe(library, "
        "histories='mixtures') draws fractions of light instead."
    )
    if not library.per_mass:
        raise TemplateError(
            f"{library.name}: its spectra are scaled by light, not per solar mass formed, so a history of mass formed "
            f"defines no spectrum. {cure}"
        )
    light = library.light().reshape(library.grid_shape).mean(axis=1)
    if np.ptp(library.log_ages) >= 1 and light.max() < _LEAST_FADING * light.min():
        raise TemplateError(
            f"{library.name}: the light of its spectra hardly changes with age (by a factor of "
            f"{light.max() / light.min():.1f}; populations fade by more than 5 in a dex of age), so they were "
            f"normalised and are not per solar mass formed. {cure}"
        )


def random_ssp_mixtures(library: SspLibrary, n: int, rng: np.random.Generator, *, n_max: int = 5) -> FloatArray:
    """Draw mixtures of 1 to `n_max` SSPs of the grid, with light fractions uniform on the simplex (Dirichlet 1).

    Parameters
    ----------
    library : SspLibrary
        Library whose SSPs are mixed.
    n : int
        Number of mixtures.
    rng : numpy.random.Generator
        Source of all draws.
    n_max : int, optional
        Largest number of SSPs in a mixture.

    Returns
    -------
    (n, n_ssp)
        Fractions of the mass formed, of sum 1 (for a library that is not per mass, of whatever its spectra are per).
        Light in the S/N window is drawn evenly, not mass: drawn by mass, young SSPs would outshine all others.
    """
    members = rng.integers(0, library.n_ssp, size=(n, n_max))
    light = rng.standard_exponential((n, n_max))
    light[np.arange(n_max) >= rng.integers(1, n_max + 1, size=n)[:, None]] = 0
    weights = np.zeros((n, library.n_ssp))
    np.add.at(weights, (np.arange(n)[:, None], members), light / library.light()[members])
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class _Enrichment:
    """[M/H] of the stars formed when a fraction f of the mass had formed: final − rise·(1 − f^exponent)."""

    final: FloatArray
    rise: FloatArray
    exponent: FloatArray
    scatter: FloatArray

    @classmethod
    def draw(cls, prior: HistoryPrior, n: int, rng: np.random.Generator) -> _Enrichment:
        return cls(
            final=rng.uniform(*prior.metallicity, n),
            rise=rng.exponential(prior.enrichment, n),
            exponent=log_uniform(rng, prior.enrichment_exponent, n),
            scatter=log_uniform(rng, prior.scatter, n),
        )

    def metallicity(self, formed: FloatArray) -> FloatArray:
        """Mean [M/H], (n, n_ages), of stars born when the fraction `formed`, (n, n_ages), of the mass had formed."""
        return np.asarray(self.final[:, None] - self.rise[:, None] * (1 - formed ** self.exponent[:, None]))


def log_uniform(rng: np.random.Generator, limits: tuple[float, float], size: int) -> FloatArray:
    """Draw `size` numbers between positive limits, uniform in the logarithm."""
    return np.asarray(np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1]), size)))


def _root_uniform(rng: np.random.Generator, limits: tuple[float, float], size: int) -> FloatArray:
    return np.asarray(rng.uniform(limits[0] ** 0.5, limits[1] ** 0.5, size) ** 2)


def _formed(age: FloatArray, start: FloatArray, tau: FloatArray) -> FloatArray:
    """Fraction of the mass older than `age` in a delayed-τ law, SFR ∝ t exp(−t/τ), begun at look-back time `start`."""
    total = 1 - (1 + start / tau) * np.exp(-start / tau)
    elapsed = np.clip(start - age, 0, None) / tau
    return np.asarray((1 - (1 + elapsed) * np.exp(-elapsed)) / total)


def _delayed_tau(start: FloatArray, tau: FloatArray, log_ages: FloatArray) -> FloatArray:
    """Mass fractions of delayed-τ laws at the ages of the grid, (n, n_ages)."""
    edges = np.arange(_LOG_AGE_MIN, np.log10(start.max()) + 2 * _LOG_AGE_STEP, _LOG_AGE_STEP)
    ages = np.concatenate([[0.0], 10.0**edges])
    formed = _formed(ages, start[:, None], tau[:, None])
    centres = np.concatenate([[edges[0]], edges[:-1] + _LOG_AGE_STEP / 2])
    return np.asarray((formed[:, :-1] - formed[:, 1:]) @ interpolation_weights(centres, log_ages))


def _bursts(
    prior: HistoryPrior, log_start: FloatArray, rng: np.random.Generator
) -> list[tuple[FloatArray, FloatArray]]:
    """Mass relative to the smooth part, and log age, of each burst; the mass is 0 where a galaxy has fewer bursts."""
    n, n_max = len(log_start), len(prior.burst_probabilities) - 1
    count = rng.choice(n_max + 1, size=n, p=prior.burst_probabilities)
    bursts: list[tuple[FloatArray, FloatArray]] = []
    for index in range(n_max):
        masses = log_uniform(rng, prior.burst_fraction, n) * (index < count)
        low, high = prior.burst_log_age
        log_age = rng.uniform(low, np.maximum(np.minimum(high, log_start), low))
        if prior.young_bursts is not None:
            masses = masses * 10 ** np.minimum(log_age - prior.young_bursts, 0)
        bursts.append((masses, log_age))
    return bursts
