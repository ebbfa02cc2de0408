"""Figures of `quietspec lab bench`: how fast each method is, how time grows, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.plots.style import PAGE_WIDTH, figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["bench_figures"]

_OURS, _OTHERS = "#0072b2", "#999999"


def bench_figures(result: Mapping[str, Any]) -> dict[str, Figure]:
    """Draw the result of `quietspec.lab.bench.run_bench`.

    Parameters
    ----------
    result : mapping
        The result, or its JSON.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        ``bench_speed``, ``bench_scaling``, ``bench_profile``.
    """
    return {
        "bench_speed": _speed_figure(result),
        "bench_scaling": _scaling_figure(result),
        "bench_profile": _profile_figure(result),
    }


@styled
def _speed_figure(result: Mapping[str, Any]) -> Figure:
    rates = sorted(result["spectra_per_second"].items(), key=lambda item: item[1])
    page = figure(height=0.7 + 0.28 * len(rates))
    axes = page.subplots()
    names, values = zip(*rates, strict=True)
    colours = [_OURS if name.startswith("posterior") or name.endswith("-file") else _OTHERS for name in names]
    axes.barh(names, values, color=colours)
    for place, value in enumerate(values):
        text = f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
        axes.annotate(text, (value, place), (3, 0), textcoords="offset points", va="center", fontsize=7)
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 3, max(values) * 4)
    axes.set_xlabel("Spectra per second")
    return page


@styled
def _scaling_figure(result: Mapping[str, Any]) -> Figure:
    scaling = result["scaling"]
    page = figure(height=2.3, width=PAGE_WIDTH)
    of_spectra, of_memory, of_pixels, of_components = page.subplots(1, 4)
    counts, seconds, own, each = (
        np.array([point[key] for point in scaling["spectra"]])
        for key in ("n_spectra", "seconds", "peak_rss_bytes", "peak_worker_bytes")
    )
    memory = own + result["options"]["workers"] * each
    _grow(of_spectra, counts, seconds, "Spectra", "Time, file to file [s]")
    _grow(of_memory, counts, memory / 1e9, "Spectra", "Peak memory [GB]")
    for axes, name, key, label in (
        (of_pixels, "pixels", "n_pixels", "Pixels per spectrum"),
        (of_components, "components", "n_components", "Components"),
    ):
        points = scaling[name]
        cost = np.array([point["ms"] for point in points])
        _grow(axes, np.array([point[key] for point in points]), cost, label, "Processor time per spectrum [ms]")
    return page


def _grow(axes: Axes, x: Any, y: Any, x_label: str, y_label: str) -> None:
    axes.plot(x, y, "o-", color=_OURS, ms=3)
    axes.set_xlim(0, 1.1 * float(max(x)))
    axes.set_ylim(0, 1.2 * float(max(y)))
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)


@styled
def _profile_figure(result: Mapping[str, Any]) -> Figure:
    steps = result["profile_ms"]
    page = figure(height=0.7 + 0.24 * len(steps))
    axes = page.subplots()
    names = list(steps)[::-1]
    axes.barh(names, [steps[name] for name in names], color=_OURS)
    axes.set_xlabel("Processor time per spectrum [ms]")
    return page
