"""The noise of a cube between its spaxels: how it is correlated, given or measured."""

from quietspec.noise.correlation import INDEPENDENT, MANGA_NOISE, NoiseCorrelation
from quietspec.noise.measured import REACH, MeasuredCorrelation, best_patch, measure_correlation

__all__ = [
    "INDEPENDENT", "MANGA_NOISE", "REACH", "MeasuredCorrelation", "NoiseCorrelation", "best_patch",
    "measure_correlation",
]  # fmt: skip
