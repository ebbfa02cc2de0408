"""How well denoisers do: scores against the truth, the paper's protocol, and degraded real spectra."""

from quietspec.evaluation.degrade import DegradedScores, degrade, score_degraded
from quietspec.evaluation.protocol import Evaluation, Example, Scores, evaluate
from quietspec.evaluation.scores import (
    coverage,
    equivalent_width,
    line_reductions,
    recovery_rate,
    reduced_chi2,
    rms,
    rms_reduction,
)

__all__ = [
    "DegradedScores",
    "Evaluation",
    "Example",
    "Scores",
    "coverage",
    "degrade",
    "equivalent_width",
    "evaluate",
    "line_reductions",
    "recovery_rate",
    "reduced_chi2",
    "rms",
    "rms_reduction",
    "score_degraded",
]
