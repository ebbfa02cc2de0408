"""What spaxels of a cube share is bounded, symmetric, and the same however many are worked on at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.binning.sharing import share_in_cube
from quietspec.binning.weights import checked_weights

SHAPE = 7, 9


def drawn(seed: int):
    """Weights of two sums, numbers of spaxels and S/N, one of them unknown."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 1, (2, 63)) * (rng.random((2, 63)) < 0.6)
    weights[:, 5] = 1.0
    snr = rng.uniform(20, 200, 63)
    snr[7] = np.nan
    return checked_weights(weights, 63), 1 + rng.exponential(5, 63), snr


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 80))
def test_the_size_of_pieces_does_not_matter(seed, together):
    weights, n_spaxels, snr = drawn(seed)
    seen: list[tuple[float, float]] = []
    found = share_in_cube(
        weights, SHAPE, n_spaxels, snr, together=together, progress=lambda done, total: seen.append((done, total))
    )
    wanted = share_in_cube(weights, SHAPE, n_spaxels, snr)
    np.testing.assert_allclose(found.toarray(), wanted.toarray(), rtol=1e-12)
    assert seen == sorted(seen)
    assert seen[-1] == (weights.nnz, weights.nnz)


@given(st.integers(0, 2**32 - 1))
def test_shares_lie_between_independent_and_full_ones(seed):
    weights, n_spaxels, snr = drawn(seed)
    shared = share_in_cube(weights, SHAPE, n_spaxels, snr).toarray()
    dense = weights.toarray()
    assert (shared >= dense**2 * (1 - 1e-12)).all()
    assert (shared <= dense * dense.sum(axis=1, keepdims=True) * (1 + 1e-12)).all()


@pytest.mark.parametrize("snr", [12.0, 3.0, 0.0, -1.0])
def test_at_most_half_is_common_to_all(snr):
    apart = np.zeros((1, 63))
    apart[0, [0, 62]] = 1.0
    shared = share_in_cube(checked_weights(apart, 63), SHAPE, np.ones(63), np.full(63, snr))
    np.testing.assert_allclose(shared.data, 1.5)


def test_what_progress_raises_ends_the_work():
    weights, n_spaxels, snr = drawn(3)

    def refuse(done: float, total: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        share_in_cube(weights, SHAPE, n_spaxels, snr, progress=refuse)
