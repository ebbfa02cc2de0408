"""The noise of a cube between its spaxels: how it is correlated, given or measured."""

from quietspec.noise.correlation import INDEPENDENT, MANGA_NOISE, NoiseCorrelation
from quietspec.noise.measured import (
    REACH,
    MeasuredCorrelation,
    best_patch,
    correlation_of_signs,
    measure_correlation,
    residual_signs,
)

__all__ = [
    "INDEPENDENT", "MANGA_NOISE", "REACH", "MeasuredCorrelation", "NoiseCorrelation", "best_patch",
    "correlation_of_signs", "measure_correlation", "residual_signs",
]  # fmt: skip
