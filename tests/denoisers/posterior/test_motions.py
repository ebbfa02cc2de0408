"""Posteriors of the dispersion on a line of values."""

from __future__ import annotations

import numpy as np
import pytest

from quietspec.denoisers.posterior.losvd import dispersion, log_width
from quietspec.denoisers.posterior.motions import NARROWEST, WIDEST, Dispersion


@pytest.mark.parametrize("error", [0.02, 0.1, 0.3])
def test_a_gaussian_likelihood_gives_its_moments(error: float) -> None:
    nodes = np.linspace(5.0 - 4 * error, 5.0 + 4 * error, 9)
    found = Dispersion.of_nodes(nodes, -0.5 * ((nodes - 5.0) / error) ** 2)
    assert found.mean == pytest.approx(5.0, abs=0.2 * error)
    assert np.sqrt(found.variance) == pytest.approx(error, rel=0.1)


@pytest.mark.parametrize("sigma", [60.0, 130.0, 300.0])
@pytest.mark.parametrize("error", [1e-5, 1e-3, 0.005, 0.01, 0.02, 0.04])
def test_a_normal_posterior_gives_dispersions_however_sharp_it_is(sigma: float, error: float) -> None:
    """Of bright cubes denoised as a whole, dispersions came in steps of 3 km/s, with errors down to 0."""
    step = 0.02  # between values of u over its whole range, about
    for mean in log_width(np.array([sigma])) + step * np.linspace(0, 1, 7):
        found = Dispersion.of_normal(float(mean), error**2)
        low, middle, high = dispersion(mean + error * np.array([-1, 0, 1]))
        assert found.sigma_error == pytest.approx((high - low) / 2, rel=0.05)
        assert abs(found.sigma - middle) < 0.05 * found.sigma_error
        assert (found.mean, found.variance) == (mean, error**2)


@pytest.mark.parametrize("rise", [10.0, 1e3, 1e5])
@pytest.mark.parametrize("way", [1.0, -1.0])
def test_a_best_value_beyond_the_nodes_is_not_sure(rise: float, way: float) -> None:
    """An error of 0 km/s was stated where the likelihood still rose steeply at the last value tried."""
    nodes = np.linspace(*log_width(np.array([150.0, 400.0])), 9)
    found = Dispersion.of_nodes(nodes, way * rise * nodes)
    assert found.sigma_error >= 124
    assert np.sqrt(found.variance) >= 0.49 * np.ptp(nodes)


@pytest.mark.parametrize("end", [NARROWEST, WIDEST])
def test_at_the_ends_of_all_widths_the_likelihood_decides(end: float) -> None:
    nodes = np.sort(np.linspace(end, 5.0, 9))
    found = Dispersion.of_nodes(nodes, -20 * np.abs(nodes - end))
    assert abs(found.mean - end) < 0.25 * np.ptp(nodes)
    assert np.sqrt(found.variance) < 0.25 * np.ptp(nodes)
