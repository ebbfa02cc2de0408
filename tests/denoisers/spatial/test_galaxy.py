"""Mean and covariance of a galaxy's spaxels."""

from __future__ import annotations

import numpy as np
import pytest

from quietspec.denoisers.spatial.frame import Likelihoods
from quietspec.denoisers.spatial.galaxy import GalaxyPrior, belonging

MEAN, SPREAD = np.array([0.5, -1.0, 0.2]), np.array([0.3, 0.1, 0.05])


def measured(truth: np.ndarray, noise: float, rng: np.random.Generator) -> Likelihoods:
    """Data with even noise about known modes."""
    n, k = truth.shape
    value = truth + noise * rng.normal(size=truth.shape)
    return Likelihoods(np.broadcast_to(np.eye(k) / noise**2, (n, k, k)).copy(), value / noise**2)


@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_mean_and_spread_are_found_below_the_noise(noise: float) -> None:
    rng = np.random.default_rng(0)
    truth = MEAN + SPREAD * rng.normal(size=(1500, 3))
    galaxy = GalaxyPrior.of(measured(truth, noise, rng), independent=1500)
    assert galaxy.mean == pytest.approx(MEAN, abs=0.03 + 0.05 * noise)
    assert np.sqrt(np.diagonal(galaxy.covariance))[0] == pytest.approx(0.3, abs=0.03 + 0.1 * noise)


def test_strangers_do_not_change_the_galaxy_and_do_not_belong_to_it() -> None:
    rng = np.random.default_rng(1)
    truth = MEAN + SPREAD * rng.normal(size=(300, 3))
    truth[:15] = [-1.5, 1.5, 1.0]
    data = measured(truth, 0.2, rng)
    galaxy = GalaxyPrior.of(data, independent=300)
    assert galaxy.mean == pytest.approx(MEAN, abs=0.1)
    share = belonging(data, galaxy.mean, galaxy.covariance)
    assert share[:15].max() < 0.1
    assert np.median(share[15:]) > 0.9


def test_errors_that_spaxels_share_are_in_the_galaxys_covariance() -> None:
    rng = np.random.default_rng(2)
    n, independent, noise, pulls = 200, 10, 1.0, []
    for _ in range(60):
        mean = rng.normal(size=3)
        # Noise of which n spaxels know their mean as well as 10 independent ones.
        common = noise * rng.normal(size=3) / independent**0.5
        data = measured(mean + common + 0.05 * rng.normal(size=(n, 3)), noise, rng)
        galaxy = GalaxyPrior.of(data, independent=independent)
        pulls.append((galaxy.mean - mean) / np.sqrt(np.diagonal(galaxy.covariance)))
    assert 0.5 < np.sqrt(np.mean(np.square(pulls))) < 1.1


@pytest.mark.parametrize("independent", [1.0, 30.0, 300.0])
def test_the_fewer_spaxels_are_independent_the_less_is_known(independent: float) -> None:
    rng = np.random.default_rng(3)
    data = measured(MEAN + SPREAD * rng.normal(size=(300, 3)), 1.0, rng)
    fewer, all_ = (GalaxyPrior.of(data, independent=count) for count in (independent / 2, independent))
    assert np.all(np.diagonal(fewer.covariance) > np.diagonal(all_.covariance))
    assert np.linalg.norm(fewer.mean) < np.linalg.norm(all_.mean)
