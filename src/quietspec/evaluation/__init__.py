"""How well denoisers do: scores against the truth, the paper's protocol, and degraded real spectra."""

from quietspec.evaluation.degrade import DegradedScores, degrade, score_degraded
from quietspec.evaluation.protocol import evaluate
from quietspec.evaluation.result import Evaluation, Example, Scores
from quietspec.evaluation.scores import (
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

__all__ = [
    "DegradedScores",
    "Evaluation",
    "Example",
    "LineScores",
    "Scores",
    "coverage",
    "degrade",
    "equivalent_width",
    "evaluate",
    "line_scores",
    "recovery_rate",
    "reduced_chi2",
    "rms",
    "rms_reduction",
    "score_degraded",
    "width_bias",
]
