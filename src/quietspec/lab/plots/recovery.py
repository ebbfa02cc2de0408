"""Figures of recovered populations: Figures 7 and 8 of the paper for every arm, and rms against S/N."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quietspec.plots.style import BLACK, COLOURS, LIGHT, MARKERS, PAGE_WIDTH, decimal_ticks, figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure

    from quietspec.lab.evaluation.recovery import ArmResult, Recovery

__all__ = ["recovered_figure", "recovery_figures", "rms_figure"]

_NAMES = {"age": r"$\langle\log\,$age$\rangle_M$ [log yr]", "mh": r"$\langle$[M/H]$\rangle_M$ [dex]"}
_NUMBERS = {"age": "figure7_age", "mh": "figure8_mh"}
_NOISY = "noisy"
_WORTH_A_NOTE = 0.0005  # share of spectra outside a panel
_MOSTLY = 0.9  # share of spectra that have to count for an rms that compares with others


def recovery_figures(result: Recovery) -> dict[str, Figure]:
    """Draw all figures of the experiment.

    Parameters
    ----------
    result : Recovery
        Result of `recover`.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        Figures by file name without suffix; Figures 7 and 8 are numbered as in Kim, Lee & Rey 2026.
    """
    figures = {
        f"{number}_{arm}": recovered_figure(result, arm, short)
        for arm in result.arms
        if arm != _NOISY
        for short, number in _NUMBERS.items()
    }
    return figures | {"recovery_rms": rms_figure(result)}


@styled
def recovered_figure(result: Recovery, arm: str, short: str) -> Figure:
    """Draw recovered against true values, the noisy arm above and another arm below, with one column per S/N.

    Parameters
    ----------
    result : Recovery
        Result of `recover`.
    arm : str
        Name of the arm below.
    short : {'age', 'mh'}
        Short name of the parameter.

    Returns
    -------
    matplotlib.figure.Figure
        Colours show the logarithm of the density; on the line recovered and true values are equal.
    """
    rows = [name for name in (_NOISY, arm) if name in result.arms]
    truth = next(iter(result.arms[arm].values())).truth[short]
    limits = (float(truth.min()) - 0.25, float(truth.max()) + 0.25)
    page = figure(2.35 * len(rows) + 0.3, PAGE_WIDTH)
    grid = page.subplots(len(rows), len(result.snrs), squeeze=False, sharex=True, sharey=True)
    drawn = None
    for line, name in zip(grid, rows, strict=True):
        for axes, snr in zip(line, result.snrs, strict=True):
            drawn = _panel(axes, result.arms[name][snr], short, limits)
            axes.set_title(f"{name}, S/N {snr:g}")
        line[0].set_ylabel(f"Recovered {_NAMES[short]}")
    for axes in grid[-1]:
        axes.set_xlabel(f"True {_NAMES[short]}")
    if drawn is not None:
        page.colorbar(drawn, ax=grid, label="Share of spectra per cell", aspect=30, pad=0.01)
    return page


def _panel(axes: Axes, result: ArmResult, short: str, limits: tuple[float, float]) -> PolyCollection:
    true, found = result.truth[short][result.trusted], result.values[short][result.trusted]
    shares = np.full(len(true), 1 / max(len(true), 1))
    cells = axes.hexbin(
        true, found, C=shares, reduce_C_function=np.sum, gridsize=45, extent=(*limits, *limits), bins="log",
        vmin=1e-4, vmax=1e-2, cmap="viridis", linewidths=0.1,
    )  # fmt: skip
    axes.plot(limits, limits, color=COLOURS[1], linewidth=0.8)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    scores = result.scores()
    lines = [f"$R_p$ = {scores[f'{short}_r']:.3f}", f"rms = {scores[f'{short}_rms']:.3f}"]
    text = "\n".join([*lines, f"bias = {scores[f'{short}_bias']:+.3f}".replace("-", "−")])
    outside = float(np.mean((found < limits[0]) | (found > limits[1])))
    if outside > _WORTH_A_NOTE:
        text += f"\n{100 * outside:.1f} % outside"
    axes.text(0.96, 0.04, text, transform=axes.transAxes, va="bottom", ha="right", fontsize=7)
    return cells


@styled
def rms_figure(result: Recovery) -> Figure:
    """Draw the rms error of age and metallicity against S/N for every arm, beside the curve of noisy spectra.

    Parameters
    ----------
    result : Recovery
        Result of `recover`.

    Returns
    -------
    matplotlib.figure.Figure
        The horizontal distance from a mark to the grey curve is the S/N gained. An arm is drawn where nine in ten of
        its spectra count.
    """
    page = figure(3.6, PAGE_WIDTH)
    panels = page.subplots(1, 2)
    arms = [name for name in result.arms if name != _NOISY]
    for axes, short in zip(panels, _NAMES, strict=True):
        noisy = result.ladder or result.arms.get(_NOISY, {})
        levels = sorted(noisy)
        values = [noisy[snr].scores()[f"{short}_rms"] for snr in levels]
        axes.plot(levels, values, color=LIGHT, linewidth=2, label="noisy, pPXF", zorder=1)
        for number, name in enumerate(arms):
            levels = sorted(snr for snr, arm in result.arms[name].items() if arm.trusted.mean() > _MOSTLY)
            scores = [result.arms[name][snr].scores() for snr in levels]
            colour, dashes = (BLACK, "--") if name == "limit" else (COLOURS[number % len(COLOURS)], "-")
            axes.errorbar(
                levels,
                [score[f"{short}_rms"] for score in scores],
                [score[f"{short}_rms_error"] for score in scores],
                color=colour,
                linestyle=dashes,
                linewidth=0.8,
                marker=MARKERS[number % len(MARKERS)],
                markersize=3.5,
                label=name,
            )
        axes.set(xscale="log", yscale="log", xlabel="S/N of the input", ylabel=f"rms error of {_NAMES[short]}")
        decimal_ticks(axes.xaxis)
        decimal_ticks(axes.yaxis)
    handles, labels = panels[0].get_legend_handles_labels()
    page.legend(handles, labels, loc="outside lower center", ncols=5)
    return page
