"""The Bayes limit: the posterior mean of noise-free spectra under the very recipe that made them.

No estimate has a smaller mean square residual on a recipe's spectra than the mean of their posterior under the recipe
itself. It is found here by ensemble sampling of the recipe's own random draws: histories, motions, dust and calibration
error as the recipe makes them, not a model of them. The sampler knows more than any denoiser does: the variance and
correlation of the noise, and which pixels gas and spikes touch (it leaves them out). Its residual is therefore a lower
bound. The flux scale is free, with a flat prior, as it is for a denoiser whose result scales with its input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky_banded
from scipy.linalg.lapack import dtbtrs

from quietspec.errors import QuietspecError
from quietspec.lab.evaluation.scores import rms
from quietspec.lab.simulate.given import GivenDraws
from quietspec.lab.simulate.noise import lag_correlations
from quietspec.progress import Progress

if TYPE_CHECKING:
    from emcee import EnsembleSampler

    from quietspec.arrays import BoolArray, FloatArray
    from quietspec.lab.simulate import Recipe, Simulated

__all__ = ["Limit", "LimitSettings", "bayes_limit", "sample_mean"]

Forward = Callable[[int, np.random.Generator], "FloatArray"]

_MOST_DRAWS = 200  # columns offered to a recipe to find out how many it uses
_BLOCK = 200  # spectra made at a time
_STEP_LENGTHS = ((1.0, 0.35), (0.5, 0.3), (0.25, 0.25))  # in units of the usual length, and the share of such steps
_CLIMB = 15  # steps towards a maximum
_STEP = 1e-3  # step of the derivatives, in standard deviations of the prior
_FAIRNESS = 10.0  # walkers start e times less often from a maximum that is less probable by this much, in ln
_REMOTE = 1e6  # σ given to unused pixels, in units of the median of the others


@dataclass(frozen=True)
class LimitSettings:
    """How a posterior is sampled.

    Parameters
    ----------
    walkers : int
        Walkers in each of two independent ensembles; twice the recipe's number of draws where that is more.
    steps : int
        Steps of each walker; the first half is discarded.
    pool, maxima : int
        Draws from the prior, and how many of them climb to a maximum of the posterior, about which walkers start.
    kept : int
        Steps of the second half whose spectra are averaged.
    """

    walkers: int = 64
    steps: int = 200
    pool: int = 5_000
    maxima: int = 8
    kept: int = 25


@dataclass(frozen=True, eq=False)
class Limit:
    """Posterior means under the recipe, from two independent ensembles.

    Parameters
    ----------
    halves : (2, n_spectra, n_pixels)
        Posterior mean flux by each ensemble.
    effective : (n_spectra,)
        Effective sample size of the posterior density in the kept halves of both chains.
    drift : (n_spectra,)
        Mean ln posterior of the chains' last quarter minus that of the quarter before, in units of its own standard
        deviation: above about 0.5 the chains had not converged.
    """

    halves: FloatArray
    effective: FloatArray
    drift: FloatArray

    @property
    def flux(self) -> FloatArray:
        """Mean of the two ensembles, (n_spectra, n_pixels)."""
        return np.asarray(self.halves.mean(axis=0))

    def error(self, counted: BoolArray) -> FloatArray:
        """Sampling error of `flux`, (n_spectra,): half the difference of the ensembles, rms over the pixels counted."""
        return rms(0.5 * (self.halves[0] - self.halves[1]), counted)

    def rms(self, truth: FloatArray, counted: BoolArray) -> FloatArray:
        """Residual of the exact mean: the sampling errors of the ensembles are independent, so they drop out.

        Parameters
        ----------
        truth : (n_spectra, n_pixels)
            Noise-free flux.
        counted : (n_spectra, n_pixels) of bool
            Pixels that count.

        Returns
        -------
        (n_spectra,)
            Square root of the mean product of the two ensembles' residuals; 0 where that is negative.
        """
        product = np.where(counted, (self.halves[0] - truth) * (self.halves[1] - truth), 0.0).sum(axis=1)
        return np.asarray(np.sqrt(np.maximum(product / counted.sum(axis=1), 0.0)))


def bayes_limit(
    recipe: Recipe,
    simulated: Simulated,
    rng: np.random.Generator,
    settings: LimitSettings | None = None,
    *,
    progress: Progress | None = None,
) -> Limit:
    """Sample the posterior of simulated spectra under their own recipe.

    Parameters
    ----------
    recipe : Recipe
        The recipe that made the spectra.
    simulated : Simulated
        Spectra from one call of `Recipe.observe`.
    rng : numpy.random.Generator
        Source of all draws.
    settings : LimitSettings, optional
        How long to sample.
    progress : callable, optional
        Called with the number of spectra done and their total.

    Returns
    -------
    Limit
        The posterior means.

    Raises
    ------
    QuietspecError
        If emcee is missing.
    """
    settings = settings or LimitSettings()
    forward = recipe.noise_free(simulated.observed)
    pool = rng.standard_normal((settings.pool, _n_draws(forward, rng)))
    spectra = _made(forward, pool)
    results = []
    for row in range(len(simulated)):
        target = _Target.of(forward, simulated, row)
        start = target.log_likelihood(spectra)
        results.append(sample_mean(target, pool, start, rng, settings))
        if progress is not None:
            progress(row + 1, len(simulated))
    halves, effective, drift = (np.array(values) for values in zip(*results, strict=True))
    return Limit(np.swapaxes(halves, 0, 1), effective, drift)


def sample_mean(
    target: Any, pool: FloatArray, log_likelihood: FloatArray, rng: np.random.Generator, settings: LimitSettings
) -> tuple[FloatArray, float, float]:
    """Sample one posterior by two ensembles.

    Parameters
    ----------
    target : callable
        Maps (n, d) standard normal draws to their log posterior, (n,). Its method ``estimate`` gives their spectra,
        (n, n_pixels); ``residuals`` and ``jacobian`` give the same posterior of one draw (d,) as a sum of squares.
    pool : (n_pool, d)
        Draws from the prior.
    log_likelihood : (n_pool,)
        Log likelihood of each draw of the pool.
    rng : numpy.random.Generator
        Source of all draws.
    settings : LimitSettings
        How long to sample.

    Returns
    -------
    halves : (2, n_pixels)
        Posterior mean by each ensemble.
    effective, drift : float
        As in `Limit`.

    References
    ----------
    Foreman-Mackey et al. 2013, PASP 125, 306 (emcee); ter Braak 2006, Stat. Comput. 16, 239 (differential evolution).
    """
    chains = []
    halves = []
    for _ in range(2):
        sampler = _sampled(target, pool, log_likelihood, rng, settings)
        kept = sampler.get_chain(thin=max(1, sampler.iteration // settings.kept))
        halves.append(np.mean([target.estimate(points).mean(axis=0) for points in kept], axis=0))
        chains.append(sampler.get_log_prob())
    return np.array(halves), *_convergence(np.concatenate(chains, axis=1))


def _sampled(
    target: Any, pool: FloatArray, log_likelihood: FloatArray, rng: np.random.Generator, settings: LimitSettings
) -> EnsembleSampler:
    """Run one ensemble from Gaussian approximations about several maxima; discard its first half."""
    members = _starting_points(log_likelihood, settings.maxima, rng)
    points = _approximate_draws(target, pool[members], max(settings.walkers, 2 * pool.shape[1]), rng)
    sampler = _sampler(target, points.shape, rng)
    points = sampler.run_mcmc(points, settings.steps // 2, progress=False)
    sampler.reset()
    sampler.run_mcmc(points, settings.steps // 2, progress=False)
    return sampler


def _approximate_draws(target: Any, starts: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    """Draw n points from Gaussians about the maxima reached from `starts`, in proportion to their evidence."""
    from scipy.optimize import least_squares
    from scipy.special import softmax

    size = starts.shape[1]
    found = [
        least_squares(target.residuals, start, jac=target.jacobian, method="lm", max_nfev=_CLIMB) for start in starts
    ]
    factors = [np.linalg.cholesky(result.jac.T @ result.jac) for result in found]
    evidence = np.array(
        [-result.cost - np.log(np.diag(factor)).sum() for result, factor in zip(found, factors, strict=True)]
    )
    chosen = rng.choice(len(found), n, p=softmax(evidence / _FAIRNESS))
    white = rng.standard_normal((n, size))
    return np.stack([found[k].x + np.linalg.solve(factors[k].T, w) for k, w in zip(chosen, white, strict=True)])


def _sampler(target: Any, shape: tuple[int, ...], rng: np.random.Generator) -> EnsembleSampler:
    try:
        import emcee
    except ImportError as error:
        raise QuietspecError("emcee is not installed: pip install 'quietspec[validation]'.") from error
    # Steps of several lengths: histories make the posterior curved and uneven, where the usual length is too long.
    usual = 2.38 / np.sqrt(2 * shape[1])
    moves = [(emcee.moves.DEMove(gamma0=usual * factor), weight) for factor, weight in _STEP_LENGTHS]
    sampler = emcee.EnsembleSampler(*shape, target, vectorize=True, moves=[*moves, (emcee.moves.DESnookerMove(), 0.1)])
    sampler.random_state = np.random.RandomState(int(rng.integers(2**31))).get_state()
    return sampler


def _starting_points(log_likelihood: FloatArray, n: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Choose n different draws by likelihood, tempered so that the weight does not fall on a few of them."""
    relative = log_likelihood - log_likelihood.max()
    for temperature in 2.0 ** np.arange(40):
        weight = np.exp(relative / temperature)
        weight /= weight.sum()
        if 1 / np.sum(weight**2) > n / 2 and np.count_nonzero(weight) >= n:
            break
    return rng.choice(len(weight), n, replace=False, p=weight)


def _convergence(log_posterior: FloatArray) -> tuple[float, float]:
    """Effective sample size and drift of chains (n_steps, n_chains)."""
    from emcee.autocorr import integrated_time

    moving = log_posterior[:, np.ptp(log_posterior, axis=0) > 0]
    time = float(integrated_time(moving[:, :, None], quiet=True, tol=0)[0])
    early, late = np.array_split(log_posterior, 2)
    drift = (late.mean() - early.mean()) / max(float(log_posterior.std()), 1e-30)
    return moving.size / max(time, 1.0), float(drift)


def _n_draws(forward: Forward, rng: np.random.Generator) -> int:
    given = GivenDraws(rng.standard_normal((2 * _MOST_DRAWS + 1, _MOST_DRAWS)))
    forward(2 * _MOST_DRAWS + 1, given)
    return given.used


def _made(forward: Forward, draws: FloatArray) -> FloatArray:
    """Spectra of given draws, (n, n_pixels)."""
    blocks = (draws[first : first + _BLOCK] for first in range(0, len(draws), _BLOCK))
    return np.concatenate([forward(len(block), GivenDraws(block)) for block in blocks])


@dataclass(frozen=True, eq=False)
class _Target:
    """Log posterior of one spectrum over a recipe's draws, with the flux scale integrated out."""

    forward: Forward
    factor: FloatArray
    data: FloatArray
    noise_scaled: FloatArray

    @classmethod
    def of(cls, forward: Forward, simulated: Simulated, row: int) -> _Target:
        observed = simulated.observed
        used = observed.good[row] & np.isfinite(simulated.truth[row])
        if simulated.contaminated is not None:
            used &= ~simulated.contaminated[row]
        sigma = np.divide(1.0, np.sqrt(observed.ivar[row].astype(float)), out=np.zeros(len(used)), where=used)
        correlation = simulated.parameters.get("noise_correlation", np.zeros(len(observed)))[row]
        factor = _noise_factor(sigma, used, lag_correlations(float(correlation)))
        flux = np.where(used, observed.flux[row], 0.0)
        data = _whitened(factor, flux[None])[0]
        return cls(forward, factor, data, _unwhitened(factor, data))

    def __call__(self, draws: FloatArray) -> FloatArray:
        spectra = self.forward(len(draws), GivenDraws(draws))
        return np.asarray(self.log_likelihood(spectra) - 0.5 * np.einsum("ij,ij->i", draws, draws))

    def log_likelihood(self, spectra: FloatArray) -> FloatArray:
        """Log likelihood of spectra of unknown scale, (n,), up to a constant; computed in blocks."""
        blocks = [self._moments(spectra[first : first + _BLOCK]) for first in range(0, len(spectra), _BLOCK)]
        power, product = (np.concatenate(values) for values in zip(*blocks, strict=True))
        return np.asarray(0.5 * product * np.abs(product) / power - 0.5 * np.log(power))

    def estimate(self, draws: FloatArray) -> FloatArray:
        """Spectra of draws, each at its best scale, (n, n_pixels)."""
        spectra = self.forward(len(draws), GivenDraws(draws))
        power, product = self._moments(spectra)
        return np.asarray(spectra * (product / power)[:, None])

    def residuals(self, draw: FloatArray) -> FloatArray:
        """Whitened model at its best scale minus data, and the draw itself: their squares sum to −2 ln posterior."""
        return np.asarray(self._residuals(draw[None])[0])

    def jacobian(self, draw: FloatArray) -> FloatArray:
        """Derivatives of `residuals`, (n_pixels + d, d)."""
        steps = _STEP * np.eye(len(draw))
        return np.asarray((self._residuals(draw + steps) - self._residuals(draw - steps)).T / (2 * _STEP))

    def _residuals(self, draws: FloatArray) -> FloatArray:
        white = _whitened(self.factor, self.forward(len(draws), GivenDraws(draws)))
        scale = (white @ self.data) / np.einsum("ij,ij->i", white, white)
        return np.concatenate([white * scale[:, None] - self.data, draws], axis=1)

    def _moments(self, spectra: FloatArray) -> tuple[FloatArray, FloatArray]:
        """fᵀC⁻¹f and fᵀC⁻¹y of spectra f."""
        white = _whitened(self.factor, spectra)
        return np.einsum("ij,ij->i", white, white), spectra @ self.noise_scaled


def _noise_factor(sigma: FloatArray, used: BoolArray, correlations: tuple[float, ...]) -> FloatArray:
    """Banded lower Cholesky factor of the noise covariance; unused pixels are independent and of huge variance."""
    remote = np.where(used, sigma, _REMOTE * np.median(sigma[used]))
    bands = np.zeros((1 + len(correlations), len(sigma)))
    bands[0] = remote**2
    for lag, correlation in enumerate(correlations, start=1):
        bands[lag, :-lag] = correlation * (sigma * used)[:-lag] * (sigma * used)[lag:]
    return np.asarray(cholesky_banded(bands, lower=True))


def _whitened(factor: FloatArray, spectra: FloatArray) -> FloatArray:
    solution, _ = dtbtrs(factor, np.asfortranarray(spectra.T, dtype=np.float64), uplo="L")
    return np.asarray(solution.T)


def _unwhitened(factor: FloatArray, data: FloatArray) -> FloatArray:
    """C⁻¹y from L⁻¹y."""
    solution, _ = dtbtrs(factor, data[:, None], uplo="L", trans="T")
    return np.asarray(solution[:, 0])
