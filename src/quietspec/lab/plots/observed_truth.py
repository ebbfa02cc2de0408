"""Figures of observed truth: how well halves of real data are predicted, and the scatter of the pulls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.lab.evaluation.studies.observed_truth import EDGES, ITSELF
from quietspec.plots.style import BLACK, COLOURS, MARKERS, decimal_ticks, figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["observed_pulls_figure", "prediction_figure"]

_WITH_PULLS = {"posterior": COLOURS[0], ITSELF: BLACK}


@styled
def prediction_figure(content: Mapping[str, Any]) -> Figure:
    """Draw how well each method's halves predict the other halves.

    Parameters
    ----------
    content : mapping
        Result of `quietspec.lab.evaluation.studies.observed_truth.observed_truth_study`.

    Returns
    -------
    matplotlib.figure.Figure
        One column per data set: above the ratio of residuals, below the residual left after subtracting the noise of
        the target, against S/N.
    """
    records = content["prediction"]
    names, methods = (list(dict.fromkeys(record[key] for record in records)) for key in ("data", "method"))
    page = figure(4.3)
    panels = page.subplots(2, len(names), sharey="row", squeeze=False)
    for (upper, lower), name in zip(panels.T, names, strict=True):
        upper.set_title(name)
        for colour, marker, method in zip(COLOURS, MARKERS, methods, strict=False):
            some = [r for r in records if r["data"] == name and r["method"] == method]
            style = {"color": colour, "marker": marker, "ms": 3.2, "elinewidth": 0.6, "label": method}
            snr = [r["snr"] for r in some]
            _error_bars(upper, snr, [r["ratio"] for r in some], [r["ratio_error"] for r in some], style)
            _error_bars(lower, snr, [1 - r["reduction"] for r in some], [r["reduction_error"] for r in some], style)
        for axes in (upper, lower):
            axes.axhline(1, color=BLACK, lw=0.6, ls=":")
            _snr_axis(axes, name)
        upper.set_xlabel("")
    panels[0, 0].set(ylabel="rms(noisy − target) /\nrms(denoised − target)", yscale="log")
    panels[1, 0].set(ylabel="Residual left, noise of\nthe target subtracted", yscale="log", ylim=(0.05, 1.3))
    for axes in panels[:, 0]:
        decimal_ticks(axes.yaxis)
    handles = {
        label: handle for axes in panels[0] for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    page.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=4)
    return page


def _error_bars(
    axes: Axes, snr: Sequence[float], values: Sequence[float], errors: Sequence[float], style: Mapping[str, Any]
) -> None:
    below = np.minimum(errors, 0.9 * np.array(values))  # what a logarithmic axis can show
    axes.errorbar(snr, values, np.array([below, errors]), **style)


def _snr_axis(axes: Axes, name: str) -> None:
    """A logarithmic axis of S/N over the bins of a data set."""
    axes.set(xscale="log", xlim=(0.8 * EDGES[name][0], EDGES[name][-1]), xlabel="S/N of the noisy half")
    decimal_ticks(axes.xaxis, most=5)


@styled
def observed_pulls_figure(content: Mapping[str, Any]) -> Figure:
    """Draw the scatter of pulls by S/N and by rest wavelength.

    Parameters
    ----------
    content : mapping
        Result of `quietspec.lab.evaluation.studies.observed_truth.observed_truth_study`.

    Returns
    -------
    matplotlib.figure.Figure
        One column per data set; the grey band is within a tenth of right errors.
    """
    names = list(dict.fromkeys(record["data"] for record in content["pulls"]))
    page = figure(4.3)
    panels = page.subplots(2, len(names), sharey=True, squeeze=False)
    for column, name in zip(panels.T, names, strict=True):
        column[0].set_title(name)
        _draw_pulls(column, [record for record in content["pulls"] if record["data"] == name])
        for axes in column:
            axes.axhspan(0.9, 1.1, color="#e6e6e6", lw=0)
            axes.axhline(1, color=BLACK, lw=0.6)
        _snr_axis(column[0], name)
        column[1].set(xlim=(3700, 7400), xlabel="Rest wavelength [Å]", xticks=(4000, 5000, 6000, 7000))
    panels[0, 0].set(yscale="log", ylim=(0.6, 5))
    decimal_ticks(panels[0, 0].yaxis)
    for axes in panels[:, 0]:
        axes.set_ylabel("Scatter of pulls")
    page.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return page


def _draw_pulls(column: Sequence[Axes], records: Sequence[Mapping[str, Any]]) -> None:
    """Scatter of pixels and 30-pixel means by S/N (above) and by wavelength (below)."""
    kinds = [*(("posterior", kind) for kind in ("pixel", "block")), (ITSELF, "block")]
    for (method, kind), marker in zip(kinds, MARKERS, strict=False):
        filled = kind == "block"
        for axes, by in zip(column, ("snr", "wavelength"), strict=True):
            some = [r for r in records if (r["method"], r["kind"], r["by"]) == (method, kind, by)]
            axes.plot(
                [r["centre"] for r in some], [r["robust"] for r in some], marker=marker, ms=3.2,
                color=_WITH_PULLS[method], ls="-" if filled else "--", mfc=None if filled else "white",
                label=f"{method}, {'30-pixel means' if filled else 'pixels'}",
            )  # fmt: skip
