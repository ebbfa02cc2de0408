"""The Bayes limit against the posterior on a dense grid of a recipe of two draws."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from quietspec.lab.evaluation import limit
from quietspec.lab.simulate import Simulated
from quietspec.lab.simulate.given import GivenDraws
from quietspec.lab.simulate.noise import correlated_noise, lag_correlations
from quietspec.spectra import Spectra

pytest.importorskip("emcee")

X = np.linspace(-1, 1, 40)
SETTINGS = limit.LimitSettings(walkers=16, steps=240, pool=300, maxima=4, kept=60)


def shapes(slope, share):
    """A slope from a normal draw and a line of uniform depth: a posterior that is not Gaussian."""
    return np.exp(0.3 * slope[:, None] * X) * (1 - 0.6 * share[:, None] * np.exp(-0.5 * (X / 0.2) ** 2))


class Toy:
    """A recipe of two draws."""

    def noise_free(self, observed):
        return lambda n, rng: shapes(rng.standard_normal(n), rng.uniform(0, 1, n))


def observed(n=4, snr=5.0, correlation=0.0, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    truth = scale * Toy().noise_free(None)(n, rng)
    sigma = scale * rng.uniform(0.7, 1.4, truth.shape) / snr
    flux = truth + sigma * correlated_noise(truth.shape, rng, correlation)
    spectra = Spectra(wavelength=5000 + 100 * X, flux=flux, ivar=sigma**-2, redshift=0.0, medium="air")
    return Simulated(observed=spectra, truth=truth, parameters={"noise_correlation": np.full(n, correlation)})


def covariance(simulated, row):
    """Dense noise covariance from its definition, over all pixels."""
    sigma, correlation = simulated.observed.sigma[row], simulated.parameters["noise_correlation"][row]
    lags = np.zeros(len(sigma))
    lags[:3] = 1.0, *lag_correlations(correlation)
    return sigma[:, None] * lags[np.abs(np.subtract.outer(np.arange(len(sigma)), np.arange(len(sigma))))] * sigma


def on_a_grid(simulated, row, used):
    """Posterior mean over a grid of both normal draws, the scale integrated from −∞ to ∞."""
    grid = np.linspace(-5, 5, 161)
    draws = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    spectra = Toy().noise_free(None)(len(draws), GivenDraws(draws))
    inverse = np.linalg.inv(covariance(simulated, row)[np.ix_(used, used)])
    power = np.einsum("ni,ij,nj->n", spectra[:, used], inverse, spectra[:, used])
    product = spectra[:, used] @ inverse @ simulated.observed.flux[row, used]
    log_weight = 0.5 * product**2 / power - 0.5 * np.log(power) - 0.5 * (draws**2).sum(axis=1)
    weight = np.exp(log_weight - logsumexp(log_weight))
    return (weight * product / power) @ spectra


@pytest.mark.parametrize("correlation", [0.0, 0.4])
def test_the_mean_is_that_of_a_dense_grid(correlation):
    simulated = observed(n=3, correlation=correlation)
    found = limit.bayes_limit(Toy(), simulated, np.random.default_rng(1), SETTINGS)
    everywhere = np.ones(simulated.truth.shape, dtype=bool)
    exact = np.array([on_a_grid(simulated, row, everywhere[row]) for row in range(len(simulated))])
    off = np.sqrt(np.mean((found.flux - exact) ** 2, axis=1))
    assert np.sqrt(np.mean(off**2)) < 3 * np.sqrt(np.mean(found.error(everywhere) ** 2))
    assert off.max() < 0.1 * np.sqrt(np.mean((exact - simulated.truth) ** 2))
    assert np.all(found.effective > 100)
    assert np.abs(found.drift).max() < 0.5


def test_contaminated_and_masked_pixels_never_matter():
    simulated = observed(n=2, correlation=0.4)
    rng = np.random.default_rng(2)
    masked, contaminated = rng.random((2, *simulated.truth.shape)) < 0.15
    spectra = simulated.observed
    spoilt = [
        replace(
            simulated,
            observed=replace(
                spectra, flux=np.where(masked | contaminated, bad, spectra.flux), ivar=np.where(masked, 0, spectra.ivar)
            ),
            contaminated=contaminated,
        )
        for bad in (1.0, 1e12)
    ]
    quick = replace(SETTINGS, steps=160)
    one, two = (limit.bayes_limit(Toy(), values, np.random.default_rng(3), quick) for values in spoilt)
    np.testing.assert_array_equal(one.halves, two.halves)
    exact = np.array([on_a_grid(simulated, row, ~(masked | contaminated)[row]) for row in range(2)])
    assert np.sqrt(np.mean((one.flux - exact) ** 2)) < 0.15 * np.sqrt(np.mean((exact - simulated.truth) ** 2))


def target(simulated, row=0):
    return limit._Target.of(Toy().noise_free(None), simulated, row)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6])
def test_the_likelihood_is_the_dense_gaussian_one_with_the_scale_integrated_out(correlation):
    simulated = observed(n=1, correlation=correlation, snr=8.0)
    used = np.random.default_rng(4).random(len(X)) > 0.2
    simulated = replace(simulated, contaminated=~used[None])
    spectra = shapes(np.array([0.0, 1.0, -1.0, 0.5]), np.array([0.1, 0.9, 0.5, 0.4]))
    law = multivariate_normal(cov=covariance(simulated, 0)[np.ix_(used, used)])
    scales = np.linspace(0.3, 1.7, 3001)
    data = simulated.observed.flux[0, used]
    dense = [logsumexp(law.logpdf(data - scales[:, None] * shape[used])) for shape in spectra]
    found = target(simulated).log_likelihood(spectra)
    np.testing.assert_allclose(found - found[0], np.array(dense) - dense[0], atol=1e-6)


def test_the_estimate_is_the_best_fit_of_each_draw_whatever_its_scale():
    simulated = observed(n=1, correlation=0.3, scale=1e6)
    draws = np.random.default_rng(5).standard_normal((5, 2))
    spectra = Toy().noise_free(None)(5, GivenDraws(draws))
    inverse = np.linalg.inv(covariance(simulated, 0))
    scale = spectra @ inverse @ simulated.observed.flux[0] / np.einsum("ni,ij,nj->n", spectra, inverse, spectra)
    np.testing.assert_allclose(target(simulated).estimate(draws), scale[:, None] * spectra, rtol=1e-9)


def test_residuals_are_the_posterior_as_a_sum_of_squares():
    simulated = observed(n=1, correlation=0.3)
    posterior = target(simulated)
    draws = np.random.default_rng(6).standard_normal((6, 2))
    squares = np.array([np.sum(posterior.residuals(draw) ** 2) for draw in draws])
    spectra = Toy().noise_free(None)(6, GivenDraws(draws))
    power = np.einsum("ni,ij,nj->n", spectra, np.linalg.inv(covariance(simulated, 0)), spectra)
    log_posterior = posterior(draws) + 0.5 * np.log(power)
    np.testing.assert_allclose(log_posterior - log_posterior[0], -0.5 * (squares - squares[0]), atol=1e-8)
    numeric = (posterior.residuals(draws[0] + [1e-4, 0]) - posterior.residuals(draws[0] - [1e-4, 0])) / 2e-4
    np.testing.assert_allclose(posterior.jacobian(draws[0])[:, 0], numeric, atol=1e-4)


def test_sampling_errors_drop_out_of_the_rms():
    rng = np.random.default_rng(7)
    truth = rng.normal(size=(20, 4000))
    mean = truth + 0.1 * rng.normal(size=truth.shape)
    halves = mean + 0.2 * rng.normal(size=(2, *truth.shape))
    counted = rng.random(truth.shape) < 0.7
    found = limit.Limit(halves, np.ones(20), np.zeros(20))
    np.testing.assert_allclose(found.rms(truth, counted), 0.1, rtol=0.2)
    assert found.rms(truth, counted).mean() == pytest.approx(0.1, rel=0.03)
    np.testing.assert_allclose(found.error(counted), 0.2 / np.sqrt(2), rtol=0.05)
    np.testing.assert_array_equal(found.flux, halves.mean(axis=0))
    noise = halves.copy()
    noise[:, ~counted] = np.nan
    np.testing.assert_array_equal(
        limit.Limit(noise, np.ones(20), np.zeros(20)).rms(truth, counted), found.rms(truth, counted)
    )
    opposite = limit.Limit(np.stack([truth + 1, truth - 1]), np.ones(20), np.zeros(20))
    np.testing.assert_array_equal(opposite.rms(truth, counted), 0)


def test_the_same_seed_gives_the_same_limit_and_progress_is_reported():
    simulated, calls = observed(n=2), []
    quick = replace(SETTINGS, steps=20, kept=5)
    one = limit.bayes_limit(Toy(), simulated, np.random.default_rng(8), quick, progress=lambda *now: calls.append(now))
    two = limit.bayes_limit(Toy(), simulated, np.random.default_rng(8), quick)
    np.testing.assert_array_equal(one.halves, two.halves)
    assert calls == [(1, 2), (2, 2)]


@dataclass(frozen=True)
class Well:
    """A Gaussian posterior of one pixel whose value is the first of two draws."""

    centre: float = 2.0
    width: float = 0.1

    def __call__(self, draws):
        return -0.5 * ((draws[:, 0] - self.centre) / self.width) ** 2 - 0.5 * (draws**2).sum(axis=1)

    def estimate(self, draws):
        return draws[:, :1]

    def residuals(self, draw):
        return np.r_[(draw[0] - self.centre) / self.width, draw]

    def jacobian(self, draw):
        return np.vstack([[1 / self.width, 0.0], np.eye(2)])


def test_a_gaussian_posterior_has_its_mean():
    well, rng = Well(), np.random.default_rng(9)
    pool = rng.standard_normal((300, 2))
    start = -0.5 * ((pool[:, 0] - well.centre) / well.width) ** 2
    halves, effective, drift = limit.sample_mean(well, pool, start, rng, SETTINGS)
    np.testing.assert_allclose(halves[:, 0], well.centre / (1 + well.width**2), atol=0.5 * well.width)
    assert effective > 100
    assert abs(drift) < 0.5
