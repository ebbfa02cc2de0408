"""The figure of the stress tests shows every stress, model and S/N, hidden pixels only where there are any."""

import numpy as np
import pytest

from quietspec.lab.evaluation.robustness import StressScores, StressTest
from quietspec.lab.evaluation.stresses import STRESSES
from quietspec.lab.plots.robustness import robustness_figure

from ...plots.looking import drawn, texts


def scores(loss: float, hidden: float) -> StressScores:
    def fill(value):
        return np.full(4, value)

    return StressScores(
        reduction=fill(0.9 - loss), loss=fill(loss), hidden_reduction=fill(0.9 - hidden), hidden_loss=fill(hidden),
        coverage68=fill(0.68), hidden_coverage68=fill(0.6), pull=fill(1.0), failed=fill(0.0), flagged=fill(0.0),
        silent=fill(0.0), line_errors=np.full((4, 3), np.nan),
    )  # fmt: skip


def stress_test(snr: float, stresses=STRESSES) -> StressTest:
    found = {
        stress.name: {
            model: [scores(0.01 * step, 0.02 * step if stress.name == "masks" else np.nan) for step in steps]
            for model, steps in (("posterior", range(len(stress.amounts))), ("wiener", range(len(stress.amounts))))
        }
        for stress in stresses
    }
    return StressTest(recipe="survey", snr=snr, n=4, seed=0, stresses=stresses, scores=found)


@pytest.mark.parametrize("stresses", [STRESSES, STRESSES[:3]])
def test_one_panel_per_stress_and_one_entry_per_model_and_snr(stresses) -> None:
    figure = drawn(robustness_figure([stress_test(10.0, stresses), stress_test(20.0, stresses)]))
    said = texts(figure)
    assert len(figure.axes) == len(stresses)
    for stress in stresses:
        assert stress.name in said
        assert stress.quantity in said
    assert "posterior, S/N 10" in said
    assert "wiener, S/N 20" in said


def test_losses_are_drawn_in_points() -> None:
    figure = robustness_figure([stress_test(10.0)])
    panel = figure.axes[0]
    curves = {line.get_linestyle(): line.get_ydata() for line in panel.get_lines() if len(line.get_xdata()) == 6}
    np.testing.assert_allclose(curves["-"], np.arange(6))
    np.testing.assert_allclose(curves["--"], 2 * np.arange(6))
    low, high = panel.get_ylim()
    assert low < 0 < 100 < high
