"""How well denoisers do: scores against the truth, the paper's protocol, degraded and repeated real spectra.

`studies` holds the studies that the documentation reports, `tables` its tables.
"""

from quietspec.lab.evaluation.baseline import BASELINE, MeanTimesCubic
from quietspec.lab.evaluation.calibration import Calibration, measure_calibration
from quietspec.lab.evaluation.degrade import DegradedScores, degrade, score_degraded
from quietspec.lab.evaluation.limit import Limit, LimitSettings, bayes_limit
from quietspec.lab.evaluation.outsiders import detection_rate
from quietspec.lab.evaluation.protocol import EvaluationOptions, evaluate
from quietspec.lab.evaluation.ranks import Summaries, summarise, tarp_coverage
from quietspec.lab.evaluation.repeats import (
    PooledRepeats,
    RepeatScores,
    block_pulls,
    calibrated,
    noise_factor,
    pool_repeats,
    pull_scatter,
    repeat_pulls,
    score_repeat,
)
from quietspec.lab.evaluation.result import Evaluation, Example, Scores
from quietspec.lab.evaluation.robustness import StressScores, StressTest, stress_test
from quietspec.lab.evaluation.scores import (
    LineScores,
    coverage,
    equivalent_width,
    line_scores,
    recovery_rate,
    reduced_chi2,
    rms,
    rms_reduction,
    width_bias,
)
from quietspec.lab.evaluation.stresses import STRESSES, Observation, Scene, Stress, young_stars

__all__ = [
    "BASELINE",
    "STRESSES",
    "Calibration",
    "DegradedScores",
    "Evaluation",
    "EvaluationOptions",
    "Example",
    "Limit",
    "LimitSettings",
    "LineScores",
    "MeanTimesCubic",
    "Observation",
    "PooledRepeats",
    "RepeatScores",
    "Scene",
    "Scores",
    "Stress",
    "StressScores",
    "StressTest",
    "Summaries",
    "bayes_limit",
    "block_pulls",
    "calibrated",
    "coverage",
    "degrade",
    "detection_rate",
    "equivalent_width",
    "evaluate",
    "line_scores",
    "measure_calibration",
    "noise_factor",
    "pool_repeats",
    "pull_scatter",
    "recovery_rate",
    "reduced_chi2",
    "repeat_pulls",
    "rms",
    "rms_reduction",
    "score_degraded",
    "score_repeat",
    "stress_test",
    "summarise",
    "tarp_coverage",
    "width_bias",
    "young_stars",
]
