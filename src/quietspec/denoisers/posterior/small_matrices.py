"""Small matrices: Cholesky factors, inverses, solutions, and sums of outer products, without numpy's checks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import get_lapack_funcs
from scipy.linalg.lapack import dposv

from quietspec.arrays import FloatArray

__all__ = ["factorised", "inverted", "solved", "sum_by_spectrum"]


def factorised(precisions: FloatArray) -> FloatArray:
    """Put Cholesky factors into the lower triangles of matrices (n, i, i), in place: numpy would copy each twice."""
    (potrf,) = get_lapack_funcs(("potrf",), dtype=precisions.dtype)
    for one in precisions:
        if potrf(one.T, lower=0, clean=0, overwrite_a=1)[1]:
            raise np.linalg.LinAlgError("a covariance is not positive")
    return precisions


def inverted(factors: FloatArray) -> FloatArray:
    """Inverses of matrices, by the lower triangles (n, i, i) of their Cholesky factors."""
    if not factors.size:  # LAPACK complains of matrices without rows: spectra in which no stars are seen
        return factors.copy()
    (potri,) = get_lapack_funcs(("potri",), dtype=factors.dtype)
    inverse = np.array([potri(one.T, lower=0)[0].T for one in factors], dtype=factors.dtype).reshape(factors.shape)
    return np.where(np.tri(factors.shape[1], dtype=bool), inverse, np.swapaxes(inverse, 1, 2))


def solved(precision: FloatArray, side: FloatArray) -> FloatArray:
    """P⁻¹ b for one positive matrix P (i, i), which rounding may have made less than that, and a side b (i,)."""
    _, solution, failed = dposv(precision, side, lower=1)
    return np.linalg.solve(precision, side) if failed else np.asarray(solution)


def sum_by_spectrum(starts: npt.NDArray[np.intp], one: FloatArray, other: FloatArray) -> FloatArray:
    """Sums over the rows of each spectrum of their outer products.

    Parameters
    ----------
    starts : (m,) of int
        First row of each spectrum.
    one, other : (n_rows, i), (n_rows, j)
        The rows, by spectrum.

    Returns
    -------
    (m, i, j)
        In float64.
    """
    ends = np.append(starts[1:], len(one))
    return np.stack([one[a:b].T @ other[a:b] for a, b in zip(starts, ends, strict=True)]).astype(np.float64)
