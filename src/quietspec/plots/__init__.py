"""Figures from result objects: one function a figure, each a matplotlib `Figure`; nothing here keeps pyplot state."""

from quietspec.plots.denoised import denoised_map_figure
from quietspec.plots.evaluation import (
    coverage_figure,
    evaluation_figures,
    example_figure,
    lines_figure,
    recovery_figure,
    reduction_figure,
    rms_figure,
)
from quietspec.plots.gain import gain_figure
from quietspec.plots.style import save

__all__ = [
    "coverage_figure",
    "denoised_map_figure",
    "evaluation_figures",
    "example_figure",
    "gain_figure",
    "lines_figure",
    "recovery_figure",
    "reduction_figure",
    "rms_figure",
    "save",
]
