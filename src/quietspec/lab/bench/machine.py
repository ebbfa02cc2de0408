"""How fast the machine that a benchmark runs on copies and multiplies."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

__all__ = ["Rates", "measured_rates"]

_COPIED = 2**27  # bytes, more than a cache holds
_REPEATS = 5


@dataclass(frozen=True)
class Rates:
    """The best rates of one core.

    Parameters
    ----------
    copied : float
        Bytes read and written per second by a large copy.
    single : float
        Floating-point operations per second in large matrix products of single precision.
    """

    copied: float
    single: float


def measured_rates() -> Rates:
    """Measure the rates in one thread; the best of five repeats counts."""
    source = np.ones(_COPIED // 8)
    target = np.empty_like(source)
    with threadpool_limits(limits=1):
        copied = 2 * source.nbytes / _best(lambda: np.copyto(target, source))
        left, right = np.ones((512, 2048), np.float32), np.ones((2048, 2048), np.float32)
        out = np.empty((512, 2048), np.float32)
        return Rates(copied, 2 * 512 * 2048**2 / _best(lambda: np.matmul(left, right, out=out)))


def _best(action: Callable[[], object]) -> float:
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
