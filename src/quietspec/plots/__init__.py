"""Figures from result objects: one function a figure, each a matplotlib `Figure`; nothing here keeps pyplot state."""

from quietspec.plots.bench import bench_figures
from quietspec.plots.calibration import calibration_figure, histograms_figure, tarp_figure
from quietspec.plots.denoised import denoised_map_figure
from quietspec.plots.detection import detection_figure
from quietspec.plots.evaluation import cost_figure, coverage_figure, evaluation_figures, reduction_figure
from quietspec.plots.examples import example_figure, lines_figure
from quietspec.plots.gain import gain_figure
from quietspec.plots.network import architecture_figure, learning_figure
from quietspec.plots.populations_maps import map_comparison_figure, populations_figure
from quietspec.plots.robustness import robustness_figure
from quietspec.plots.scores import line_scores_figure, scores_figure
from quietspec.plots.style import save

__all__ = [
    "architecture_figure",
    "bench_figures",
    "calibration_figure",
    "cost_figure",
    "coverage_figure",
    "denoised_map_figure",
    "detection_figure",
    "evaluation_figures",
    "example_figure",
    "gain_figure",
    "histograms_figure",
    "learning_figure",
    "line_scores_figure",
    "lines_figure",
    "map_comparison_figure",
    "populations_figure",
    "reduction_figure",
    "robustness_figure",
    "save",
    "scores_figure",
    "tarp_figure",
]
