"""Figures of calibration: coverage against nominal by level and bin, histograms that should be flat, TARP curves.

They take plain numbers, as `Calibration.to_json` and results files hold them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.plots.populations_maps import PARAMETER_LABELS
from quietspec.plots.style import BLACK, COLOURS, MARKERS, SMALL, figure, line_label, side_by_side, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from quietspec.arrays import FloatArray

__all__ = ["calibration_figure", "histograms_figure", "tarp_figure"]

_NOMINAL = {"50": 0.5, "68": 0.6827, "90": 0.9, "95": 0.95}
_GOALS = {"all": 1.0, "bin": 2.0}  # percentage points
_BIN_LABELS = {
    "age": "log age [yr]",
    "wavelength": "Rest wavelength [Å]",
    "mask_fraction": "Masked fraction",
}
_BAND = 0.95  # probability of the binomial bands

Coverage = Mapping[str, Any]


@styled
def calibration_figure(rows: Mapping[str, Mapping[str, Coverage]]) -> Figure:
    """Draw coverage minus nominal: of all pixels by level, and at ±1σ by bin and by line.

    Parameters
    ----------
    rows : mapping of str to mapping of str to mapping
        Results of `Calibration.to_json` by row of panels, then by curve.

    Returns
    -------
    matplotlib.figure.Figure
        Deviations with standard errors; grey bands show the goals of one point overall and two points in a bin.
    """
    page = figure(height=0.5 + 2.0 * len(rows))
    panels = page.subplots(len(rows), 5, sharey="row", squeeze=False)
    for line, (title, curves) in zip(panels, rows.items(), strict=True):
        for axes in line:
            goal = _GOALS["all" if axes is line[0] else "bin"]
            axes.axhspan(-goal, goal, color="0.9", lw=0)
            axes.axhline(0, color=BLACK, lw=0.6)
        _draw_levels(line[0], curves)
        for axes, name in zip(line[1:4], _BIN_LABELS, strict=True):
            _draw_bins(axes, name, curves)
        _draw_lines(line[4], curves)
        line[0].set_ylabel(f"{title}\nCoverage − nominal [points]")
        low, high = line[0].get_ylim()
        line[0].set_ylim(min(low, -3), max(high, 3))
    for axes, title in zip(panels[0], ("All pixels", "±1σ", "±1σ", "±1σ", "±1σ, EW of lines"), strict=True):
        axes.set_title(title)
    page.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=6)
    return page


def _draw_levels(axes: Axes, curves: Mapping[str, Coverage]) -> None:
    for number, (label, offset, _) in enumerate(side_by_side(list(curves))):
        found = curves[label]
        if found["levels"] is None:
            continue
        values = [100 * (found["levels"][name] - nominal) for name, nominal in _NOMINAL.items()]
        errors = [100 * found["errors"][name] for name in _NOMINAL]
        _points(axes, np.arange(4) + 0.5 * offset, values, errors, number, label)
    axes.set_xticks(range(4), list(_NOMINAL))
    axes.set_xlabel("Nominal [%]")


def _draw_bins(axes: Axes, name: str, curves: Mapping[str, Coverage]) -> None:
    for number, (label, offset, _) in enumerate(side_by_side(list(curves))):
        bins = curves[label]["bins"][name]
        centres = np.array([(each["low"] + each["high"]) / 2 for each in bins])
        widths = np.array([each["high"] - each["low"] for each in bins])
        _points(axes, centres + 0.5 * offset * widths, *_one_sigma(bins), number)
    axes.set_xlabel(_BIN_LABELS[name])


def _draw_lines(axes: Axes, curves: Mapping[str, Coverage]) -> None:
    lines = next((list(found["lines"]) for found in curves.values() if found["lines"]), [])
    for number, (label, offset, _) in enumerate(side_by_side(list(curves))):
        found = [(place, (curves[label]["lines"] or {}).get(name)) for place, name in enumerate(lines)]
        known = [(place, each) for place, each in found if each is not None]
        places = np.array([place for place, _ in known])
        _points(axes, places + 0.5 * offset, *_one_sigma([each for _, each in known]), number)
    axes.set_xticks(range(len(lines)), [line_label(name) for name in lines], rotation=60, fontsize=SMALL)


def _one_sigma(fractions: Sequence[Coverage]) -> tuple[list[float], list[float]]:
    """Coverage of ±1σ minus nominal and its standard error, in percentage points."""
    values = [100 * (each["68"] - _NOMINAL["68"]) for each in fractions]
    return values, [100 * each["errors"]["68"] for each in fractions]


def _points(
    axes: Axes, places: FloatArray, values: list[float], errors: list[float], number: int, label: str | None = None
) -> None:
    axes.errorbar(
        places, values, errors, fmt=MARKERS[number % len(MARKERS)], ms=2.5, lw=0.7,
        color=COLOURS[number % len(COLOURS)], label=label,
    )  # fmt: skip


@styled
def histograms_figure(
    histograms: Mapping[str, Mapping[str, Sequence[int]]], label: str = "Rank of the truth among draws, from 0 to 1"
) -> Figure:
    """Draw histograms that are flat if a posterior is right: of ranks, or of the probability of χ².

    Parameters
    ----------
    histograms : mapping of str to mapping of str to sequence of int
        Counts in equal bins of 0–1, by panel, then by curve.
    label : str, optional
        Label of the horizontal axis.

    Returns
    -------
    matplotlib.figure.Figure
        Counts over their expectation, with the binomial 95 % band. A valley in the middle means that the stated errors
        are too small, a hill that they are too large, and a slope that the estimates are biased.
    """
    from scipy.stats import binom

    columns = min(len(histograms), 4)
    rows = -(-len(histograms) // columns)
    page = figure(height=0.9 + 1.25 * rows)
    panels = page.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    handles: dict[str, Any] = {}
    for axes, (title, curves) in zip(panels.flat, histograms.items(), strict=False):
        least = min(sum(counts) for counts in curves.values())
        n_bins = len(next(iter(curves.values())))
        axes.axhspan(*np.divide(binom.interval(_BAND, least, 1 / n_bins), least / n_bins), color="0.9", lw=0)
        for number, (curve, counts) in enumerate(curves.items()):
            relative = np.asarray(counts) * n_bins / max(sum(counts), 1)
            handles[curve] = axes.stairs(
                relative, np.linspace(0, 1, n_bins + 1), color=COLOURS[number % len(COLOURS)], lw=0.9, baseline=None
            )
        axes.set_title(PARAMETER_LABELS.get(title, (line_label(title), ""))[0], pad=3)
    for axes in panels.flat[len(histograms) :]:
        axes.set_axis_off()
    page.supxlabel(label, fontsize=8)
    page.supylabel("Spectra / expected", fontsize=8)
    page.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=6)
    return page


@styled
def tarp_figure(panels: Mapping[str, Mapping[str, Sequence[float]]], levels: Sequence[float], n: int) -> Figure:
    """Draw the expected coverage of the joint posterior minus its credibility (`tarp_coverage`).

    Parameters
    ----------
    panels : mapping of str to mapping of str to (n_levels,)
        Expected coverage by panel, then by curve.
    levels : (n_levels,)
        Credibilities.
    n : int
        Number of spectra, for the binomial 95 % band at each level.

    Returns
    -------
    matplotlib.figure.Figure
        Curves that are flat at 0 if the posterior is right.
    """
    from scipy.stats import binom

    page = figure(height=2.6)
    credibility = np.asarray(levels)
    low, high = np.array(binom.interval(_BAND, n, credibility)) / n - credibility
    each = page.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, curves) in zip(each, panels.items(), strict=True):
        axes.fill_between(credibility, low, high, color="0.9", lw=0)
        axes.axhline(0, color=BLACK, lw=0.6)
        for number, (label, coverage) in enumerate(curves.items()):
            axes.plot(
                credibility, np.asarray(coverage) - credibility, color=COLOURS[number % len(COLOURS)], label=label
            )
        axes.set(title=title, xlim=(0, 1), xlabel="Credibility")
    each[0].set_ylabel("Expected coverage − credibility")
    page.legend(*each[0].get_legend_handles_labels(), loc="outside upper center", ncols=6)
    return page
