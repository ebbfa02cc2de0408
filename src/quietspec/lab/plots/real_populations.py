"""The figure of repeated populations: one galaxy in two exposures, by several methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.lab.evaluation.studies.real_populations import DRAWN
from quietspec.plots.populations_maps import PARAMETER_LABELS
from quietspec.plots.style import BLACK, COLOURS, figure, robust_limits, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["sami_repeats_figure"]


@styled
def sami_repeats_figure(content: Mapping[str, Any]) -> Figure:
    """Draw the values of cube D against those of cube B.

    Parameters
    ----------
    content : mapping
        Result of `quietspec.lab.evaluation.studies.real_populations.sami_repeats`.

    Returns
    -------
    matplotlib.figure.Figure
        One row per parameter, one column per method.
    """
    values = content["values"]
    page = figure(4.6)
    panels = page.subplots(len(DRAWN), len(values), squeeze=False)
    for row, parameter in enumerate(DRAWN):
        limits = robust_limits(np.concatenate([part for one in values.values() for part in one[parameter][:2]]))
        for axes, (name, one), colour in zip(panels[row], values.items(), COLOURS, strict=False):
            first, second, first_error, second_error = (np.array(part) for part in one[parameter])
            axes.errorbar(first, second, second_error, first_error, fmt="o", ms=2, lw=0.4, color=colour, alpha=0.7)
            axes.axline((0, 0), slope=1, color=BLACK, lw=0.6, zorder=0)
            axes.set(xlim=limits, ylim=limits, aspect="equal")
            pulls = content["methods"][name][parameter]["pulls"]
            axes.set_title(f"{name}: pulls {pulls:.1f}" if row == 0 else f"pulls {pulls:.1f}")
            axes.set_xlabel("cube B")
        panels[row, 0].set_ylabel("{} [{}]\ncube D".format(*PARAMETER_LABELS[parameter]))
    return page
