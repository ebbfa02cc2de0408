"""A random generator that serves given numbers: it turns any recipe into a function of standard normal numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray

__all__ = ["GivenDraws"]

_FARTHEST = 8.0  # standard deviations; beyond, a sampler's trial steps give spectra of zeros and infinities
_EDGE = 1e-12  # distance kept from the probabilities 0 and 1, where quantiles are infinite


class GivenDraws(np.random.Generator):
    """Serve the columns of a table of standard normal numbers as random draws, one row per spectrum.

    With it a recipe becomes a deterministic map from independent standard normal numbers to spectra. The recipe's prior
    is then a unit Gaussian, which suits samplers, and needs no second implementation that might differ from the first.

    Parameters
    ----------
    normal : (n, n_columns)
        The numbers. A draw for n spectra takes the next column, mapped by the quantile function of its distribution.

    Raises
    ------
    ValueError
        From any draw whose size is not a multiple of n or whose shape is (n, n), and when no columns are left.
    """

    def __init__(self, normal: FloatArray) -> None:
        super().__init__(np.random.PCG64(0))
        self._normal = np.clip(normal, -_FARTHEST, _FARTHEST)
        self.used = 0  #: columns served so far

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Return the next columns, shaped (n,), (n, k) or (k, n)."""
        n = len(self._normal)
        shape = (n,) if size is None else tuple(np.atleast_1d(size).tolist())
        count = int(np.prod(shape)) // n
        columns = self._normal[:, self.used : self.used + count]
        if count * n != np.prod(shape) or columns.shape[1] != count:
            raise ValueError(
                f"draws of shape {shape}: the numbers given have shape {self._normal.shape}, {self.used} columns used."
            )
        if n > 1 and shape == (n, n):
            raise ValueError(
                f"draws of shape {shape}: either axis may count the {n} spectra. Use another number of spectra."
            )
        self.used += count
        rows_first = len(shape) > 1 and shape[0] == n
        return (columns if rows_first else columns.T).reshape(shape).astype(dtype)

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Draw uniformly between 0 and 1."""
        return np.clip(ndtr(self.standard_normal(size)), _EDGE, 1 - _EDGE)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        """Draw uniformly between two limits."""
        return low + (np.asarray(high) - low) * self.random(size)

    def exponential(self, scale: Any = 1.0, size: Any = None) -> Any:
        """Draw from the exponential distribution of the given mean."""
        return -scale * np.log1p(-self.random(size))

    def choice(
        self, a: Any, size: Any = None, replace: Any = True, p: Any = None, axis: Any = 0, shuffle: Any = True
    ) -> Any:
        """Draw integers from 0 upwards with the probabilities `p`."""
        return np.searchsorted(np.cumsum(p)[:-1], self.random(size), side="right")

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("GivenDraws serves only standard_normal, random, uniform, exponential and choice.")

    integers = normal = standard_exponential = poisson = lognormal = gamma = permutation = _refuse
