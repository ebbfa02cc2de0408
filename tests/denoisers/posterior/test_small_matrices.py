"""Factors and inverses of many small matrices against numpy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quietspec.denoisers.posterior.small_matrices import factorised, inverted, solved, sum_by_spectrum


@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 20])
@pytest.mark.parametrize("size", [1, 5, 40])
def test_factors_and_inverses_are_those_of_numpy(precision: type[np.floating[Any]], n: int, size: int) -> None:
    root = np.random.default_rng(size).standard_normal((n, size, 2 * size)).astype(precision)
    matrices = root @ np.swapaxes(root, 1, 2) + np.eye(size, dtype=precision)
    factors = factorised(matrices.copy())
    tolerance = 2e3 * np.finfo(precision).eps
    np.testing.assert_allclose(np.tril(factors), np.linalg.cholesky(matrices), atol=tolerance)
    np.testing.assert_allclose(inverted(factors), np.linalg.inv(matrices), atol=tolerance)
    assert factors.dtype == inverted(factors).dtype == precision


def test_a_matrix_that_is_not_positive_has_no_factor() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        factorised(np.array([np.eye(3), -np.eye(3)]))


def test_sums_by_spectrum_are_those_of_outer_products() -> None:
    one, other = np.random.default_rng(1).standard_normal((2, 5, 3))
    starts = np.array([0, 2, 3])
    each = np.einsum("ni,nj->nij", one, other)
    np.testing.assert_allclose(sum_by_spectrum(starts, one, other), np.add.reduceat(each, starts))


def test_solutions_are_those_of_numpy_of_any_matrix() -> None:
    root, side = np.random.default_rng(2).standard_normal((6, 9)), np.arange(6.0)
    precision = root @ root.T
    for matrix in (precision, -precision):
        np.testing.assert_allclose(solved(matrix, side), np.linalg.solve(matrix, side), rtol=1e-10)


def test_matrices_without_rows_are_inverted_without_a_word_of_lapack(capfd: pytest.CaptureFixture[str]) -> None:
    assert inverted(np.zeros((3, 0, 0), dtype=np.float32)).shape == (3, 0, 0)
    assert capfd.readouterr() == ("", "")
