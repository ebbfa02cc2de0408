"""The figure of degraded real spectra: what denoising leaves against what a perfect denoiser would leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quietspec.plots.style import BLACK, COLOURS, figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["degraded_figure"]

_MARKERS = ("o", "s", "^")
_TICKS = (0.03, 0.1, 0.3, 1)


@styled
def degraded_figure(content: Mapping[str, Any]) -> Figure:
    """Draw the residual left against what the noise of the undegraded spectra leaves to a perfect denoiser.

    Parameters
    ----------
    content : mapping
        Result of `quietspec.lab.evaluation.studies.degraded.degraded_study`.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per method; each survey has its colour, each S/N its marker. On the line nothing more can be gained.
    """
    from matplotlib.ticker import FixedLocator, NullFormatter

    records = content["spectra"]
    surveys = list(dict.fromkeys(record["survey"] for record in records))
    methods = list(next(iter(records[0]["scores"].values())))
    page = figure(2.7)
    panels = page.subplots(1, len(methods), sharex=True, sharey=True)
    for axes, method in zip(panels, methods, strict=True):
        for colour, survey in zip(COLOURS, surveys, strict=False):
            for marker, snr in zip(_MARKERS, content["snr"], strict=False):
                scores = [r["scores"][f"{snr:g}"][method] for r in records if r["survey"] == survey]
                axes.plot(
                    [1 - each["allowed"] for each in scores], [1 - each["reduction"] for each in scores], marker,
                    ms=3.5, mew=0.5, mfc="none", color=colour, label=f"{survey}, S/N {snr:g}",
                )  # fmt: skip
        axes.axline((0.1, 0.1), (0.5, 0.5), color=BLACK, lw=0.6)
        axes.set(title=method, xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(FixedLocator(_TICKS))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
    panels[0].set_ylabel("Residual left / added noise")
    panels[len(methods) // 2].set_xlabel("Residual left by a perfect denoiser (the spectra's own noise) / added noise")
    page.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(surveys))
    return page
