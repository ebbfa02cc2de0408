"""Figures of score distributions, after those of Kim, Lee & Rey 2026: of whole spectra, and of the six lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from quietspec.lab.evaluation.result import NOISY
from quietspec.plots.style import (
    BLACK,
    LIGHT,
    SMALL,
    decimal_ticks,
    figure,
    line_label,
    model_colours,
    relative_flux_label,
    side_by_side,
    styled,
)
from quietspec.wavelengths import LINE_WINDOWS

if TYPE_CHECKING:
    import astropy.units as u
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from quietspec.arrays import FloatArray
    from quietspec.lab.evaluation import Evaluation, LineScores, Scores

__all__ = ["line_scores_figure", "scores_figure"]

_COLUMNS = 6  # histograms, and names of models, in a row
_LEAST = 1e-7  # 1 − r; less is rounding
_N_BINS = 50
_BOXES, _BARS, _ENTRY = 1.9, 0.75, 0.115  # inches: panels of boxes, bars of histograms, lines of their legends

# Scores by group (an S/N, a line), then by model, including the input.
_Groups: TypeAlias = "Mapping[str, Mapping[str, Scores | LineScores]]"


class _Quantity(NamedTuple):
    """A quantity that is taken from scores and shown on a logarithmic axis with tick labels of its own."""

    label: str
    note: str
    inverted: bool
    take: Callable[[Scores | LineScores], FloatArray]
    shown: Callable[[FloatArray], FloatArray]  # from values on the axis to those of tick labels, means and σ


@styled
def scores_figure(evaluation: Evaluation) -> Figure:
    """Draw RMS residual and recovery rate of the input and every model by S/N (Figure 4 of the paper).

    Parameters
    ----------
    evaluation : Evaluation
        Result of `evaluate`.

    Returns
    -------
    matplotlib.figure.Figure
        (a) box plots of the RMS residual, (b) its histograms with mean ± σ, (c, d) the same for the recovery rate, on
        an axis logarithmic in 100 % − recovery.
    """
    groups = {
        f"S/N {snr:g}": {name: by_snr[snr] for name, by_snr in evaluation.scores.items()} for snr in evaluation.snrs
    }
    return _distributions(groups, evaluation, "")


@styled
def line_scores_figure(evaluation: Evaluation) -> Figure:
    """Draw RMS residual and recovery rate in the six line windows at the lowest S/N (Figure 6 of the paper).

    Parameters
    ----------
    evaluation : Evaluation
        Result of `evaluate`.

    Returns
    -------
    matplotlib.figure.Figure
        As `scores_figure`, with lines in place of S/N.
    """
    snr = min(evaluation.snrs)
    groups = {
        line_label(line): {name: by_snr[snr].lines[line] for name, by_snr in evaluation.scores.items()}
        for line in LINE_WINDOWS
    }
    return _distributions(groups, evaluation, f"S/N {snr:g}; ")


def _distributions(groups: _Groups, evaluation: Evaluation, where: str) -> Figure:
    """Draw box plots over rows of histograms, for each of the two quantities."""
    colours = {NOISY: LIGHT} | model_colours(evaluation.models)
    columns = min(len(groups), _COLUMNS)
    n_rows = -(-len(groups) // columns)
    heights = [_BOXES, *[_BARS + _ENTRY * len(colours)] * n_rows]
    page = figure(height=0.5 + 2 * (sum(heights) + 0.3 * len(heights)))
    page.set_layout_engine("constrained", wspace=0, w_pad=0.03)
    panels = page.subplot_mosaic(_layout(len(groups), columns, n_rows), height_ratios=heights * 2)
    for key, quantity in zip("ac", _quantities(evaluation.examples[0].unit), strict=True):
        _draw_boxes(panels[key], groups, colours, quantity)
        panels[key].set_title(f"({key}) {where}boxes: quartiles, whiskers: 5–95 %{quantity.note}", loc="left")
        below = chr(ord(key) + 1)
        histograms = [panels[f"{below}{number}"] for number in range(len(groups))]
        _draw_histograms(histograms, groups, colours, quantity)
        histograms[0].set_title(f"({below})", loc="left")
        last = histograms[(n_rows - 1) * columns :]
        last[len(last) // 2].set_xlabel(quantity.label, x=0.5 if len(last) % 2 else -0.02)
    lines = -(-len(colours) // _COLUMNS)
    page.legend(*panels["a"].get_legend_handles_labels(), loc="outside upper center", ncols=-(-len(colours) // lines))
    return page


def _layout(n: int, columns: int, n_rows: int) -> list[Any]:
    """Names of the panels: boxes a and c, histograms b0, b1, … and d0, d1, …; a dot for an empty place."""
    numbers = np.arange(n_rows * columns).reshape(n_rows, columns)
    return [
        row
        for boxes, histogram in ("ab", "cd")
        for row in ([boxes] * columns, *([f"{histogram}{i}" if i < n else "." for i in line] for line in numbers))
    ]


def _quantities(unit: u.UnitBase) -> tuple[_Quantity, _Quantity]:
    def recovery(lost: FloatArray) -> FloatArray:
        return 100 * (1 - lost)

    return (
        _Quantity(relative_flux_label(unit, "RMS residual"), "", False, lambda scores: scores.rms, lambda rms: rms),
        _Quantity(
            "Recovery rate [%]", "; axis logarithmic in 100 % − rate", True,
            lambda scores: np.maximum(1 - scores.recovery, _LEAST), recovery,
        ),
    )  # fmt: skip


def _draw_boxes(axes: Axes, groups: _Groups, colours: Mapping[str, str], quantity: _Quantity) -> None:
    """Box plots side by side for each group: quartiles, whiskers from the 5th to the 95th percentile."""
    places = np.arange(len(groups))
    for name, offset, width in side_by_side(list(colours)):
        arrays = [_positive(quantity.take(models[name])) for models in groups.values()]
        boxes = axes.boxplot(
            arrays, positions=places + offset, widths=0.85 * width, whis=(5, 95), showfliers=False, patch_artist=True,
            manage_ticks=False, boxprops={"facecolor": colours[name], "edgecolor": BLACK, "lw": 0.5},
            medianprops={"color": "white", "lw": 1.2}, whiskerprops={"color": BLACK, "lw": 0.6},
            capprops={"color": BLACK, "lw": 0.6},
        )  # fmt: skip
        boxes["boxes"][0].set_label(name)
    axes.set(yscale="log", ylabel=quantity.label, xlim=(-0.55, len(groups) - 0.45))
    axes.set_xticks(places, list(groups))
    axes.tick_params(axis="x", length=0)
    decimal_ticks(axes.yaxis, _tick_label(quantity))
    axes.yaxis.set_inverted(quantity.inverted)


def _draw_histograms(panels: Sequence[Axes], groups: _Groups, colours: Mapping[str, str], quantity: _Quantity) -> None:
    """Histograms on one axis for all groups, with mean ± σ of each model in a legend above the bars."""
    values = {
        group: {name: _positive(quantity.take(models[name])) for name in colours} for group, models in groups.items()
    }
    bins = _bins([array for arrays in values.values() for array in arrays.values()])
    filled = _BARS / (_BARS + _ENTRY * len(colours))
    for panel, (group, arrays) in zip(panels, values.items(), strict=True):
        highest = 0.0
        for name, array in arrays.items():
            fractions = np.histogram(array, bins)[0] / max(len(array), 1)
            panel.stairs(fractions, bins, color=colours[name], fill=True, alpha=0.35)
            panel.stairs(fractions, bins, color=colours[name], lw=0.9, label=_plus_minus(quantity.shown(array)))
            highest = max(highest, float(fractions.max()))
        panel.set(xscale="log", xlim=bins[[0, -1]], ylim=(0, 1.1 * (highest or 1) / filled), title=group, yticks=[])
        panel.legend(
            loc="upper center", fontsize=SMALL, handlelength=0.7, handletextpad=0.4, labelspacing=0.15, borderpad=0.1
        ).set_in_layout(False)  # fmt: skip
        _few_ticks(panel, quantity, most=max(2, 14 // min(len(panels), _COLUMNS)))
        panel.xaxis.set_inverted(quantity.inverted)


def _few_ticks(panel: Axes, quantity: _Quantity, most: int) -> None:
    """Put ticks at powers of ten, but not near the ends, where labels would touch those of the next panel."""
    low, high = np.log10(sorted(panel.get_xlim()))
    margin = 0.1 * (high - low)
    powers = np.arange(np.ceil(low + margin), np.floor(high - margin) + 1)
    label = _tick_label(quantity)
    if len(powers) > 1:
        ticks = 10 ** powers[:: -(-len(powers) // most)]
        panel.set_xticks(ticks, [label(value) for value in ticks])
        panel.minorticks_off()
    else:
        decimal_ticks(panel.xaxis, label, most)
    panel.tick_params(axis="x", labelsize=SMALL)


def _bins(arrays: Sequence[FloatArray]) -> FloatArray:
    """Edges of bins, equal in the logarithm, that hold all values except a thousandth at either end."""
    ends = np.array([np.quantile(array, (0.001, 0.999)) for array in arrays if array.size]).reshape(-1, 2)
    low, high = (ends[:, 0].min(), ends[:, 1].max()) if len(ends) else (0.1, 1.0)
    return np.geomspace(low / 1.1, high * 1.1, _N_BINS + 1)


def _tick_label(quantity: _Quantity) -> Callable[[float], str]:
    """Text of a tick, as a function of its place."""
    return lambda value: f"{quantity.shown(np.array(value)):.10g}"


def _positive(values: FloatArray) -> FloatArray:
    """The values that a logarithmic axis can show."""
    return values[np.isfinite(values) & (values > 0)]


def _plus_minus(values: FloatArray) -> str:
    """Mean ± standard deviation, with two digits of the latter."""
    if not values.size:
        return "–"
    mean, deviation = float(values.mean()), float(values.std())
    if not deviation > 1e-6:
        return f"{mean:.4g}"
    digits = max(0, 1 - int(np.floor(np.log10(deviation))))
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"
