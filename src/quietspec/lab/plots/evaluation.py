"""All figures of an evaluation, and those that sum it up: residual, coverage, quality against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.lab.plots.examples import example_figure, lines_figure
from quietspec.lab.plots.network import architecture_figure, learning_figure
from quietspec.lab.plots.scores import line_scores_figure, scores_figure
from quietspec.plots.style import BLACK, MARKERS, SMALL, decimal_ticks, figure, model_colours, side_by_side, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from quietspec.arrays import FloatArray
    from quietspec.lab.evaluation import Evaluation

__all__ = ["cost_figure", "coverage_figure", "evaluation_figures", "reduction_figure"]

Cards = Mapping[str, Mapping[str, Any]]

_LEAST = 1e-6  # residual over noise; less is rounding
_PAPER = {5.0: 0.965, 20.0: 0.94}  # RMS reduction by S/N; Kim, Lee & Rey 2026, abstract


def evaluation_figures(evaluation: Evaluation, cards: Cards | None = None) -> dict[str, Figure]:
    """Draw all figures of an evaluation.

    Parameters
    ----------
    evaluation : Evaluation
        Result of `evaluate`.
    cards : mapping of str to mapping, optional
        Cards of the models that were trained, of which ``"curve"`` (as `learning_figure` takes it) and
        ``"training_flops"`` are used.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        Figures by file name without suffix; numbered as in Kim, Lee & Rey 2026.
    """
    cards = {name: card for name, card in (cards or {}).items() if name in evaluation.models}
    curves = {name: card["curve"] for name, card in cards.items() if "curve" in card}
    return {
        "figure1_architecture": architecture_figure(),
        **({"figure2_learning": learning_figure(curves)} if curves else {}),
        "figure3_example": example_figure(evaluation),
        "figure4_scores": scores_figure(evaluation),
        "figure5_lines": lines_figure(evaluation),
        "figure6_line_scores": line_scores_figure(evaluation),
        "reduction": reduction_figure(evaluation),
        "coverage": coverage_figure(evaluation),
        "quality_cost": cost_figure(evaluation, cards),
    }


@styled
def coverage_figure(evaluation: Evaluation) -> Figure:
    """Draw the fraction of pixels whose truth lies within ±1σ and ±1.96σ, beside its nominal value."""
    page = figure(height=2.8)
    panels = page.subplots(1, 2)
    colours = model_colours(evaluation.models)
    places = np.arange(len(evaluation.snrs))
    for panel, (key, nominal, title) in zip(
        panels, (("coverage68", 0.6827, "±1σ"), ("coverage95", 0.95, "±1.96σ")), strict=True
    ):
        for name, offset, width in side_by_side(evaluation.models):
            heights = [getattr(evaluation.scores[name][snr], key) for snr in evaluation.snrs]
            panel.bar(
                places + offset, [np.nan if h is None else h for h in heights], 0.9 * width, color=colours[name],
                label=name,
            )  # fmt: skip
        panel.axhline(nominal, color=BLACK, lw=1, ls="--")
        panel.set(title=f"Truth within {title}: nominal {nominal:g} (dashed)", ylabel="Fraction of pixels", ylim=(0, 1))
        panel.set_xticks(places, [f"{snr:g}" for snr in evaluation.snrs])
        panel.tick_params(axis="x", length=0)
        panel.set_xlabel("S/N of the input")
    page.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return page


@styled
def reduction_figure(evaluation: Evaluation) -> Figure:
    """Draw the residual, 1 − RMS reduction, against S/N: mean and scatter over the spectra."""
    page = figure(height=3.2, width=4.6)
    axes = page.subplots()
    snrs = np.array(evaluation.snrs)
    for number, (name, colour) in enumerate(model_colours(evaluation.models).items()):
        mean, deviation = _left(evaluation, name)
        axes.errorbar(
            snrs * 1.015 ** (number - (len(evaluation.models) - 1) / 2), mean, deviation,
            fmt=MARKERS[number % len(MARKERS)] + "-", ms=3.5, capsize=2, color=colour, label=name,
        )  # fmt: skip
    published = {snr: 1 - value for snr, value in _PAPER.items() if snr in evaluation.snrs}
    if evaluation.recipe == "paper" and published:
        place, value = zip(*published.items(), strict=True)
        axes.plot(place, value, "*", ms=9, mfc="none", color=BLACK, label="EUT, Kim et al. 2026")
    axes.set(xscale="log", xlabel="S/N of the input", ylabel="Residual RMS over noise RMS (1 − reduction)")
    axes.set_xticks(snrs, [f"{snr:g}" for snr in snrs])
    axes.minorticks_off()
    _scale_residuals(axes)
    page.legend(loc="outside right upper")
    return page


@styled
def cost_figure(evaluation: Evaluation, cards: Cards | None = None) -> Figure:
    """Draw the residual against the cost of each method.

    Parameters
    ----------
    evaluation : Evaluation
        Result of `evaluate`.
    cards : mapping of str to mapping, optional
        Cards of the models that were trained, with the key ``"training_flops"`` if the cost is known. A model without
        a card needs no training.

    Returns
    -------
    matplotlib.figure.Figure
        Mean residual against inference time and, if a card states it, training cost: a line for each model from its
        lowest S/N (filled) to its highest (open).
    """
    flops = {name: card.get("training_flops") for name, card in (cards or {}).items()}
    known = {name: float(value) for name, value in flops.items() if value}
    page = figure(height=3.1, **({} if known else {"width": 4.6}))
    panels = page.subplots(1, 2 if known else 1, sharey=True, squeeze=False)[0]
    milliseconds = {
        name: 1e3 * float(np.mean([scores.seconds_per_spectrum for scores in evaluation.scores[name].values()]))
        for name in evaluation.models
    }
    _draw_costs(panels[0], evaluation, milliseconds)
    panels[0].set(xscale="log", xlabel="Inference time [ms per spectrum]", ylabel="Residual RMS over noise RMS")
    if known:
        _draw_training(panels[1], evaluation, known, [name for name in flops if name not in known])
    decimal_ticks(panels[0].xaxis)
    _scale_residuals(panels[0])
    page.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper")
    return page


def _draw_costs(axes: Axes, evaluation: Evaluation, costs: Mapping[str, float]) -> None:
    """Draw a vertical line for each model at its cost, through the mean residuals at its S/N."""
    order = np.argsort(evaluation.snrs)
    snrs = np.array(evaluation.snrs)[order]
    for number, (name, colour) in enumerate(model_colours(evaluation.models).items()):
        if name not in costs:
            continue
        left = _left(evaluation, name)[0][order]
        cost, marker = [costs[name]] * len(snrs), MARKERS[number % len(MARKERS)]
        axes.plot(cost, left, "-", marker=".", ms=3, color=colour, lw=0.9)
        if len(snrs) > 1:
            axes.plot(cost[-1], left[-1], marker, ms=5, color=colour, mfc="white")
        axes.plot(cost[0], left[0], marker, ms=5, color=colour, label=name)
    ends = f"filled: S/N {snrs[0]:g};  open: S/N {snrs[-1]:g}" if len(snrs) > 1 else f"S/N {snrs[0]:g}"
    axes.set_title(ends, loc="left")


def _draw_training(axes: Axes, evaluation: Evaluation, known: Mapping[str, float], unknown: Sequence[str]) -> None:
    """Draw residuals against training cost, with a strip at the left for models that need no training."""
    untrained = [name for name in evaluation.models if name not in known and name not in unknown]
    powers = np.arange(np.floor(np.log10(min(known.values()))), np.ceil(np.log10(max(known.values()))) + 1)
    strip = 10 ** (powers[0] - 1)  # middle of the strip, which is a decade wide
    beside = {name: strip * 10 ** (0.8 * offset) for name, offset, _ in side_by_side(untrained)}
    _draw_costs(axes, evaluation, {**known, **beside})
    axes.axvspan(strip / 10**0.5, strip * 10**0.5, color="0.93", lw=0)
    axes.set(xscale="log", xlabel="Training cost [floating-point operations]")
    step = -(-len(powers) // 6)
    ticks = [strip, *10.0 ** powers[::step]]
    axes.set_xticks(ticks, ["none", *(rf"$10^{{{power:.0f}}}$" for power in powers[::step])])
    axes.minorticks_off()
    axes.set_xlim(strip / 10**0.5, 10 ** (powers[-1] + 0.2))
    axes.set_title(f"not on record: {', '.join(unknown)}" if unknown else "", loc="left", fontsize=SMALL)


def _left(evaluation: Evaluation, name: str) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of 1 − reduction by S/N; NaN where no spectrum has one."""
    found = np.full((2, len(evaluation.snrs)), np.nan)
    for column, snr in enumerate(evaluation.snrs):
        left = 1 - evaluation.scores[name][snr].reduction
        finite = np.maximum(left[np.isfinite(left)], _LEAST)
        if finite.size:
            found[:, column] = finite.mean(), finite.std()
    return found[0], found[1]


def _scale_residuals(axes: Axes) -> None:
    """Make the vertical axis logarithmic, if there is anything on it."""
    if any(np.isfinite(line.get_ydata()).any() for line in axes.get_lines()):
        axes.set_yscale("log")
        decimal_ticks(axes.yaxis)
