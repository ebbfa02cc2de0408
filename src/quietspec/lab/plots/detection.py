"""The figure of detection: how many spectra that are not galaxies are caught, at what price in galaxies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from quietspec.lab.evaluation.outsiders import detection_rate
from quietspec.plots.style import COLOURS, LIGHT, MARKERS, decimal_ticks, figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from quietspec.arrays import FloatArray

__all__ = ["detection_figure"]

_COLUMNS = 3
_LEAST, _QUOTED = 0.002, 0.01  # false-alarm rates: where the axis begins, and the one of the summary
_RATES = np.geomspace(_LEAST, 1, 200)


@styled
def detection_figure(
    galaxies: Mapping[float, FloatArray], outsiders: Mapping[str, Mapping[float, FloatArray]]
) -> Figure:
    """Draw the receiver operating characteristic of each kind of outsider by S/N.

    Parameters
    ----------
    galaxies : mapping of S/N to (n,)
        p-values of galaxies.
    outsiders : mapping of kind to mapping of S/N to (m,)
        p-values of spectra that are not galaxies, or not at their redshift.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per kind, with one line per S/N: fraction caught against fraction of galaxies flagged. The last panel
        shows the fraction caught of every kind against S/N, at 1 % of the galaxies flagged.
    """
    rows = -(-(len(outsiders) + 1) // _COLUMNS)
    page = figure(0.4 + 1.85 * rows)
    panels = page.subplots(rows, _COLUMNS, squeeze=False).ravel()
    colours = dict(zip(galaxies, COLOURS, strict=False))
    for axes, (kind, by_snr) in zip(panels, outsiders.items(), strict=False):
        _characteristic(axes, kind, galaxies, by_snr, colours)
    summary = panels[len(outsiders)]
    _summary(summary, galaxies, outsiders)
    for axes in panels[len(outsiders) + 1 :]:
        axes.set_visible(False)
    for row in range(rows):
        panels[row * _COLUMNS].set_ylabel("Fraction caught")
    handles, labels = panels[0].get_legend_handles_labels()
    page.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return page


def _characteristic(
    axes: Axes,
    kind: str,
    galaxies: Mapping[float, FloatArray],
    by_snr: Mapping[float, FloatArray],
    colours: Mapping[float, str],
) -> None:
    for snr, p_values in by_snr.items():
        rates = _RATES[len(galaxies[snr]) * _RATES >= 1]  # below this there are too few galaxies
        axes.plot(rates, detection_rate(galaxies[snr], p_values, rates), color=colours[snr], label=f"S/N {snr:g}")
    axes.plot(_RATES, _RATES, color=LIGHT, ls=":")
    axes.axvline(_QUOTED, color=LIGHT, lw=0.6)
    axes.set(title=kind, xscale="log", xlim=(_LEAST, 1), ylim=(-0.02, 1.04), xlabel="Galaxies flagged")
    decimal_ticks(axes.xaxis)


def _summary(
    axes: Axes, galaxies: Mapping[float, FloatArray], outsiders: Mapping[str, Mapping[float, FloatArray]]
) -> None:
    for number, (kind, by_snr) in enumerate(outsiders.items()):
        rates = [float(detection_rate(galaxies[snr], p_values, _QUOTED)) for snr, p_values in by_snr.items()]
        marker, colour = MARKERS[number % len(MARKERS)], COLOURS[number % len(COLOURS)]
        axes.plot(list(by_snr), rates, marker + "-", color=colour, ms=3, label=kind)
    axes.axhline(0.95, color=LIGHT, lw=0.6)
    axes.set(title="At 1 % of galaxies flagged", xscale="log", ylim=(-0.02, 1.04), xlabel="S/N")
    axes.set_xticks(list(galaxies), [f"{snr:g}" for snr in galaxies])
    axes.minorticks_off()
    axes.legend(fontsize=6.3, loc="lower right", handlelength=1.2, labelspacing=0.2)
