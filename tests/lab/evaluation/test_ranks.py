"""Ranks and TARP: the true posterior passes, others fail."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from quietspec.errors import QuietspecError
from quietspec.lab.evaluation import Summaries, summarise, tarp_coverage
from quietspec.wavelengths import in_window

from .known_errors import WAVELENGTH, run


@settings(max_examples=25, deadline=None)
@given(shift=st.floats(-3, 3), spread=st.floats(0.2, 4), n_draws=st.integers(5, 60), seed=st.integers(0, 1000))
def test_ranks_count_the_draws_below(shift, spread, n_draws, seed) -> None:
    rng = np.random.default_rng(seed)
    truth, draws = rng.standard_normal((7, 2)), shift + spread * rng.standard_normal((7, n_draws, 2))
    truth[0, 0], draws[1, 0, 1] = np.nan, np.nan
    found = Summaries(names=("a", "b"), truth=truth, draws=draws, reference=truth)
    expected = [[sum(d[j] < t[j] for d in each) for j in (0, 1)] for t, each in zip(truth, draws, strict=True)]
    assert np.isnan(found.ranks).tolist() == [[True, False], [False, True], *[[False, False]] * 5]
    assert_array_equal(found.ranks[2:], expected[2:])
    for values in found.probabilities(rng).values():
        assert np.all((values[2:] >= 0) & (values[2:] <= 1))


def test_draws_have_the_stated_covariance() -> None:
    simulated, denoised, rng = run(2)
    found = summarise(simulated, denoised, rng, n_draws=3000)
    blue = in_window(WAVELENGTH, (3900, 4300))
    weights = blue / blue.sum()
    stated = np.sqrt(weights @ denoised.covariance(0) @ weights)
    column = found.names.index("blue")
    assert found.draws[0, :, column].std() == pytest.approx(stated, rel=0.05)
    assert_allclose(found.truth[:, column], simulated.truth[:, blue].mean(axis=1), rtol=1e-5)
    good = simulated.observed.good
    noisy = np.where(good, simulated.observed.flux, 1.0)
    assert_allclose(found.reference[:, column], noisy[:, blue].mean(axis=1), rtol=1e-5)


def gaussian_summaries(n: int, scale: float, rng: np.random.Generator) -> Summaries:
    """Data x = t + noise of σ 1, t of σ 2: the posterior is known; its σ is stated `scale` times too large."""
    truth = 2 * rng.standard_normal((n, 3))
    data = truth + rng.standard_normal((n, 3))
    draws = 0.8 * data[:, None] + scale * np.sqrt(0.8) * rng.standard_normal((n, 150, 3))
    return Summaries(names=("a", "b", "c"), truth=truth, draws=draws, reference=data)


def test_tarp_passes_the_true_posterior_and_no_other() -> None:
    pytest.importorskip("tarp")
    rng, levels = np.random.default_rng(2), np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the global stream must be left alone
    right = gaussian_summaries(1500, 1.0, rng)
    assert_allclose(tarp_coverage(right, right.reference, levels), levels, atol=0.05)
    narrow = gaussian_summaries(1500, 0.5, rng)
    assert np.abs(tarp_coverage(narrow, narrow.reference, levels) - levels).max() > 0.1
    # the prior passes with reference points that know nothing, but not with those of the data
    prior = replace(right, draws=2 * rng.standard_normal((1500, 150, 3)))
    assert_allclose(tarp_coverage(prior, rng.uniform(-6, 6, (1500, 3)), levels), levels, atol=0.05)
    assert np.abs(tarp_coverage(prior, prior.reference, levels) - levels).max() > 0.1
    assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_tarp_leaves_out_what_a_spectrum_lacks() -> None:
    pytest.importorskip("tarp")
    rng, levels = np.random.default_rng(3), np.array([0.25, 0.5, 0.75])
    found = gaussian_summaries(1500, 1.0, rng)
    found.truth[::3, 1] = np.nan
    found.reference[:, 2] = np.nan
    assert_allclose(tarp_coverage(found, found.reference, levels), levels, atol=0.05)


def test_missing_library_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tarp", None)
    found = gaussian_summaries(5, 1.0, np.random.default_rng(0))
    with pytest.raises(QuietspecError, match=r"pip install 'quietspec\[validation\]'"):
        tarp_coverage(found, found.reference, np.array([0.5]))
