"""Compact posteriors: coded numbers, packed roots, rows of different lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.compact import BLOCK, CODES, CompactPosterior, log_snr_of, pack_root, unpack_root
from quietspec.io.posterior import posterior_hdu


def _root(seed: int, size: int, spread: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.tril(rng.standard_normal((size, size))) * 10.0 ** rng.uniform(-spread, spread, size)[:, None]


@given(st.integers(0, 1000), st.integers(1, 12), st.floats(0, 4))
@settings(max_examples=60, deadline=None)
def test_roots_keep_each_row_to_half_a_step_of_its_largest_element(seed: int, size: int, spread: float) -> None:
    root = _root(seed, size, spread)
    found = unpack_root(*pack_root(root))
    largest = np.abs(root).max(axis=1, keepdims=True)
    assert np.all(np.abs(found - root) < largest * (0.5 / 127 + 2e-3))
    assert np.array_equal(np.triu(found, 1), np.zeros_like(found))


def test_what_was_packed_once_is_packed_to_the_same_again() -> None:
    packed, size = pack_root(_root(3, 9, 2.0))
    again, same = pack_root(unpack_root(packed, size))
    assert np.array_equal(again, packed)
    assert np.array_equal(same, size)


@given(st.sampled_from(sorted(CODES)), st.floats(-1, 1))
def test_codes_are_right_to_half_a_step(name: str, value: float) -> None:
    code = CODES[name]
    assert abs(code.decode(code.encode(np.array(value))) - value) <= 0.5001 * code.step


def test_values_beyond_a_code_stay_at_its_end() -> None:
    code = CODES["log_snr"]
    assert code.decode(code.encode(np.array([1e9, -1e9]))).tolist() == pytest.approx([32.767, -32.768])


def _posterior(n: int, knots: int, first: float = 1.0) -> CompactPosterior:
    root, size = pack_root(np.eye(3))
    weight = np.repeat([4.0, 0.0], [BLOCK, 8])
    return CompactPosterior(
        settings={"emission": "auto"},
        unit=np.full(n, first),
        scale=np.full(n, 2.0, dtype=np.float32),
        motions=np.zeros((n, 2), dtype=np.float32),
        populations=np.ones((n, 1), dtype=np.float32),
        change=np.zeros((n, 1), dtype=np.float32),
        moments=np.zeros((n, 2), dtype=np.float32),
        calibration=np.full((n, knots), 7, dtype=np.int16),
        gas=np.zeros((n, 0), dtype=np.float32),
        root=np.tile(root, (n, 1)),
        log_root_size=np.tile(size, (n, 1)),
        log_snr=np.tile(log_snr_of(weight, 2.0), (n, 1)),
        sky=np.zeros(n, dtype=np.float32),
    )


def test_rows_of_different_lengths_are_filled_with_zeros() -> None:
    both = CompactPosterior.stack([_posterior(2, 3), _posterior(1, 5)])
    assert both.calibration.tolist() == [[7, 7, 7, 0, 0], [7, 7, 7, 0, 0], [7, 7, 7, 7, 7]]


def test_rows_without_an_estimate_are_not_known() -> None:
    placed = _posterior(2, 3).on(np.array([4, 1]), 6)
    assert len(placed) == 6
    assert placed.known.tolist() == [1, 4]
    assert placed[placed.known].calibration.shape == (2, 3)


def test_inverse_variances_are_kept_as_means_of_blocks() -> None:
    weight = _posterior(1, 3).weight(0, BLOCK + 8)
    assert weight.shape == (BLOCK + 8,)
    assert weight[:BLOCK] == pytest.approx(4.0, rel=2e-3)
    assert np.all(weight[BLOCK:] == 0)


@given(st.permutations(range(6)), st.integers(0, 6))
def test_table_has_the_rows_of_all_parts_in_order(numbers: list[int], cut: int) -> None:
    rows = np.array(numbers)
    parts = [(rows[:cut], _posterior(cut, 3)), (rows[cut:], _posterior(6 - cut, 5))]
    for numbers_of_part, part in parts:
        part.unit[:] = 1.0 + numbers_of_part
    whole = CompactPosterior.stack([part for _, part in parts]).on(rows, 6)
    table = posterior_hdu(parts)
    assert table is not None
    found = table.data.view(np.ndarray)
    assert not parts
    assert found["spectrum"].tolist() == list(range(6))
    assert found["unit"].tolist() == whole.unit.tolist()
    assert found["calibration"].tolist() == whole.calibration.tolist()
    assert found["root"].tolist() == whole.root.tolist()


def test_no_table_without_an_estimate() -> None:
    assert posterior_hdu([]) is None
    assert posterior_hdu([(np.empty(0, np.intp), _posterior(0, 3))]) is None
