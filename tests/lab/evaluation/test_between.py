"""Errors between galaxies are those of their means."""

import numpy as np
import pytest

from quietspec.lab.evaluation.between import between_galaxies


def test_the_error_is_that_of_the_mean_of_galaxies():
    rng = np.random.default_rng(3)
    n, spread = 40, 2.0
    galaxies = [rng.normal(level, 0.1, 30) for level in rng.normal(0, spread, n)]
    assert between_galaxies(galaxies) == pytest.approx(spread / np.sqrt(n), rel=0.3)
    pooled = np.concatenate(galaxies)
    assert between_galaxies(galaxies) > 4 * pooled.std() / np.sqrt(len(pooled))  # spectra of one galaxy are alike


def test_weights_and_values_that_are_missing_do_not_count():
    values = [np.array([1.0, np.nan]), np.array([3.0, 5.0]), np.array([np.nan])]
    weights = [np.ones(2), np.array([1.0, 0.0]), np.ones(1)]
    assert between_galaxies(values, weights) == pytest.approx(between_galaxies([np.array([1.0]), np.array([3.0])]))


def test_one_galaxy_has_no_scatter():
    assert between_galaxies([np.array([1.0, 2.0]), np.array([np.nan])]) is None
    assert between_galaxies([np.array([True, False]), np.array([True])]) > 0
