"""Figures of recovered populations show the numbers they were given, and odd cases are drawn all the same."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.lab.evaluation.recovery import ArmResult, Recovery
from quietspec.lab.plots.recovery import recovered_figure, recovery_figures, rms_figure
from quietspec.populations import PpxfOptions

from ...plots.looking import drawn, texts


def result(scatter, n=60, trusted=1.0):
    rng = np.random.default_rng(2)
    truth = {"age": rng.uniform(8, 10, n), "mh": rng.uniform(-1.5, 0.3, n)}
    values = {name: true + scatter * rng.standard_normal(n) for name, true in truth.items()}
    inside = {name: np.abs(values[name] - true) < scatter for name, true in truth.items()}
    return ArmResult(
        values=values, truth=truth, inside=inside, trusted=np.arange(n) < trusted * n, seconds=np.full(n, 0.01)
    )


@pytest.fixture
def recovery():
    arms = {"noisy": {5.0: result(0.4), 20.0: result(0.3)}, "populations": {5.0: result(0.2), 20.0: result(0.1)}}
    ladder = {snr: result(1 / snr) for snr in (3.0, 10.0, 80.0)}
    return Recovery("paper", "tiny", 0, (5.0, 20.0), PpxfOptions(), arms, ladder)


def test_every_arm_has_its_figures(recovery):
    figures = recovery_figures(recovery)
    assert set(figures) == {"figure7_age_populations", "figure8_mh_populations", "recovery_rms"}
    for figure in figures.values():
        drawn(figure)


def test_panels_show_their_arm_and_scores(recovery):
    shown = texts(drawn(recovered_figure(recovery, "populations", "age")))
    assert "noisy, S/N 5" in shown
    assert "populations, S/N 20" in shown
    assert f"rms = {recovery.arms['populations'][20.0].scores()['age_rms']:.3f}" in shown


def test_values_beyond_the_panel_are_counted(recovery):
    far = result(0.2)
    far.values["age"][:6] = 99.0
    arms = {**recovery.arms, "populations": {5.0: far, 20.0: far}}
    assert "10.0 % outside" in texts(recovered_figure(replace(recovery, arms=arms), "populations", "age"))


def test_rms_figure_leaves_out_arms_that_rest_on_few(recovery):
    arms = {**recovery.arms, "limit": {5.0: result(0.1), 20.0: result(0.05, trusted=0.5)}}
    figure = drawn(rms_figure(replace(recovery, arms=arms)))
    limit = next(box for box in figure.axes[0].containers if box.get_label() == "limit")
    assert list(limit.lines[0].get_xdata()) == [5.0]


def test_experiment_without_noisy_arm_or_ladder(recovery):
    arms = {"populations": recovery.arms["populations"]}
    for figure in recovery_figures(replace(recovery, arms=arms, ladder={})).values():
        drawn(figure)
