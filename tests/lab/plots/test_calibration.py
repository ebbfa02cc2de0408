"""Figures of calibration: they show the numbers they are given, and odd cases are drawn all the same."""

import numpy as np
import pytest

from quietspec.lab.plots import calibration_figure, histograms_figure, tarp_figure

from ...plots.looking import drawn, texts

LEVELS = {"50": 0.52, "68": 0.70, "90": 0.90, "95": 0.94}
ERRORS = dict.fromkeys(LEVELS, 0.01)
FRACTIONS = {"n": 40, **LEVELS, "errors": ERRORS}


def coverage(**changes) -> dict:
    return {
        "levels": LEVELS,
        "errors": ERRORS,
        "bins": {
            "age": [{"low": 8.5, "high": 9.0, **FRACTIONS}],
            "wavelength": [{"low": 4000, "high": 4500, **FRACTIONS}, {"low": 4500, "high": 5000, **FRACTIONS}],
            "mask_fraction": [],
        },
        "lines": {"Hbeta": FRACTIONS, "Mg b": None},
    } | changes


def test_coverage_is_shown_in_points_from_nominal() -> None:
    figure = drawn(calibration_figure({"survey": {"S/N 5": coverage(), "S/N 20": coverage(lines=None)}}))
    said = texts(figure)
    for label in ("survey", "S/N 5", "S/N 20", "Hβ", "Mg b", "All pixels", "log age [yr]", "Rest wavelength [Å]"):
        assert label in said
    first, by_wavelength = figure.axes[0], figure.axes[2]
    np.testing.assert_allclose(first.containers[0].lines[0].get_ydata(orig=False), [2.0, 1.73, 0.0, -1.0], atol=1e-9)
    np.testing.assert_allclose(by_wavelength.containers[0].lines[0].get_ydata(orig=False), 1.73, atol=1e-9)
    assert first.get_ylim()[0] <= -3
    assert first.get_ylim()[1] >= 3


def test_a_model_without_any_coverage_is_drawn() -> None:
    nothing = coverage(
        levels=None, errors=None, lines=None, bins={name: [] for name in ("age", "wavelength", "mask_fraction")}
    )
    drawn(calibration_figure({"paper": {"S/N 5": nothing}, "survey": {"S/N 5": coverage()}}))


@pytest.mark.parametrize("n_panels", [1, 3, 9])
def test_histograms_are_relative_to_flat(n_panels) -> None:
    counts = [10, 20, 30, 40]
    panels = {f"panel {i}": {"S/N 5": counts, "S/N 10": [25] * 4} for i in range(n_panels)}
    figure = drawn(histograms_figure(panels, "Rank"))
    steep, flat = figure.axes[0].patches[1:3]
    np.testing.assert_allclose(steep.get_data().values, [0.4, 0.8, 1.2, 1.6])
    np.testing.assert_allclose(flat.get_data().values, 1)
    assert "Rank" in texts(figure)
    assert f"panel {n_panels - 1}" in texts(figure)


def test_tarp_curves_are_drawn_against_their_credibility() -> None:
    levels = np.linspace(0, 1, 11)
    figure = drawn(tarp_figure({"data": {"S/N 5": levels**2}, "random": {"S/N 5": levels}}, levels, 100))
    assert "Expected coverage − credibility" in texts(figure)
    curved, straight = (axes.get_lines()[1].get_ydata() for axes in figure.axes)
    np.testing.assert_allclose(curved, levels**2 - levels)
    np.testing.assert_allclose(straight, 0)
