"""Figures of evaluations, calibration and timings: one function per figure, each a matplotlib `Figure`."""

from quietspec.lab.plots.bench import bench_figures
from quietspec.lab.plots.calibration import calibration_figure, histograms_figure, tarp_figure
from quietspec.lab.plots.cube_maps import cube_maps_figure
from quietspec.lab.plots.degraded import degraded_figure
from quietspec.lab.plots.detection import detection_figure
from quietspec.lab.plots.evaluation import cost_figure, coverage_figure, evaluation_figures, reduction_figure
from quietspec.lab.plots.examples import example_figure, lines_figure
from quietspec.lab.plots.gain import gain_figure
from quietspec.lab.plots.map_comparison import map_comparison_figure
from quietspec.lab.plots.network import architecture_figure, learning_figure
from quietspec.lab.plots.observed_truth import observed_pulls_figure, prediction_figure
from quietspec.lab.plots.real_populations import sami_repeats_figure
from quietspec.lab.plots.robustness import robustness_figure
from quietspec.lab.plots.scores import line_scores_figure, scores_figure
from quietspec.lab.plots.ultraviolet import ultraviolet_figure

__all__ = [
    "architecture_figure",
    "bench_figures",
    "calibration_figure",
    "cost_figure",
    "coverage_figure",
    "cube_maps_figure",
    "degraded_figure",
    "detection_figure",
    "evaluation_figures",
    "example_figure",
    "gain_figure",
    "histograms_figure",
    "learning_figure",
    "line_scores_figure",
    "lines_figure",
    "map_comparison_figure",
    "observed_pulls_figure",
    "prediction_figure",
    "reduction_figure",
    "robustness_figure",
    "sami_repeats_figure",
    "scores_figure",
    "tarp_figure",
    "ultraviolet_figure",
]
