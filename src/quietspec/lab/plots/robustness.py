"""The figure of the stress tests: loss against amount, one panel per stress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.plots.style import LIGHT, MARKERS, PAGE_WIDTH, SMALL, figure, model_colours, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from quietspec.arrays import FloatArray
    from quietspec.lab.evaluation.robustness import StressTest
    from quietspec.lab.evaluation.stresses import Stress

__all__ = ["robustness_figure"]

_COLUMNS = 4
_LINEAR = 3.0  # points; the axis of losses is linear below and logarithmic beyond
_LIMITS = (-3.0, 150.0)
_MOST_LETTERS = 20  # of the amounts that fit in one line under a panel


@styled
def robustness_figure(tests: Sequence[StressTest]) -> Figure:
    """Draw loss against amount for every stress.

    Parameters
    ----------
    tests : sequence of StressTest
        Tests with the same stresses and models at one or more S/N.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per stress, with equal steps from amount to amount: mean loss on the pixels seen (solid) and on those
        that the stress masked (dashed), in points of the noise. Each S/N has its marker, each model its colour. The
        axis is linear up to 3 points and logarithmic beyond.
    """
    from matplotlib.lines import Line2D

    stresses = tests[0].stresses
    rows = -(-len(stresses) // _COLUMNS)
    page = figure(height=0.5 + 1.55 * rows, width=PAGE_WIDTH)
    panels = page.subplots(rows, _COLUMNS, sharey=True, squeeze=False)
    for axes, stress in zip(panels.flat, stresses, strict=False):
        _draw(axes, stress, tests)
    for axes in panels.flat[len(stresses) :]:
        axes.remove()
    page.supylabel("Loss [points of the noise's RMS]", fontsize=8)
    hidden = Line2D([], [], color=LIGHT, ls="--", marker=MARKERS[0], ms=3, mfc="none", label="masked pixels")
    handles, _ = panels[0, 0].get_legend_handles_labels()
    page.legend(handles=[*handles, hidden], loc="outside upper center", ncols=4)
    return page


def _draw(axes: Axes, stress: Stress, tests: Sequence[StressTest]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    place = np.arange(len(stress.amounts))
    axes.axhline(0, color=LIGHT, lw=0.6)
    for test, marker in zip(tests, MARKERS, strict=False):
        for model, colour in model_colours(list(test.scores[stress.name])).items():
            columns = test.columns(stress.name, model)
            style: dict[str, Any] = {"color": colour, "marker": marker, "ms": 3, "mew": 0.6}
            axes.plot(place, _points(columns["loss"]), label=f"{model}, S/N {test.snr:g}", **style)
            axes.plot(place, _points(columns["hidden_loss"]), ls="--", mfc="none", **style)
    axes.set_yscale("symlog", linthresh=_LINEAR, linscale=1.0)
    axes.set_ylim(*_LIMITS)
    axes.yaxis.set_major_locator(FixedLocator([-3, 0, 3, 10, 30, 100]))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    names = [f"{amount:g}".replace("-", "−") for amount in stress.amounts]
    crowded = sum(map(len, names)) > _MOST_LETTERS
    axes.set_xticks(place, names, fontsize=SMALL, rotation=35 if crowded else 0)
    axes.set_xlabel(stress.quantity, fontsize=7)
    axes.set_title(stress.name, loc="left")


def _points(fractions: list[float | None]) -> FloatArray:
    return np.array([np.nan if value is None else 100 * value for value in fractions])
