"""The figures of an evaluation, after those of Kim, Lee & Rey 2026: one function a figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from quietspec.evaluation.protocol import NOISY
from quietspec.plots.style import (
    BLACK,
    COLOURS,
    LIGHT,
    decimal_ticks,
    figure,
    flux_label,
    line_label,
    robust_limits,
    styled,
)
from quietspec.wavelengths import LINE_WINDOWS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from quietspec.evaluation import Evaluation, Example, Scores
    from quietspec.spectra import FloatArray

__all__ = [
    "coverage_figure", "evaluation_figures", "example_figure", "lines_figure", "recovery_figure", "reduction_figure",
    "rms_figure",
]  # fmt: skip

_MARKERS = "osD^vPX"


def evaluation_figures(evaluation: Evaluation) -> dict[str, Figure]:
    """Draw all figures of an evaluation, by a name fit for a file."""
    return {
        "example": example_figure(evaluation),
        "rms": rms_figure(evaluation),
        "recovery": recovery_figure(evaluation),
        "lines": lines_figure(evaluation),
        "coverage": coverage_figure(evaluation),
        "reduction": reduction_figure(evaluation),
    }


@styled
def example_figure(evaluation: Evaluation, models: Sequence[str] | None = None) -> Figure:
    """Draw one spectrum at each S/N: truth, noisy and denoised, and the residuals (paper's Figure 3).

    Parameters
    ----------
    evaluation : Evaluation
        Result of `evaluate`.
    models : sequence of str, optional
        Which models to show; the last by default.

    Returns
    -------
    matplotlib.figure.Figure
        A spectrum and a residual panel for each S/N.
    """
    shown = evaluation.models[-1:] if models is None else tuple(models)
    examples = evaluation.examples
    page = figure(height=0.6 + 2.1 * len(examples))
    panels = page.subplots(2 * len(examples), 1, sharex=True, height_ratios=[2, 1] * len(examples))
    for example, spectrum, residual in zip(examples, panels[::2], panels[1::2], strict=True):
        _draw_example(spectrum, residual, example, {name: _colour(evaluation, name) for name in shown})
    page.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=5)
    panels[-1].set_xlabel("Rest-frame wavelength in air [Å]")
    page.supylabel(flux_label(examples[0].unit), fontsize=8)
    page.align_ylabels()
    return page


def _draw_example(spectrum: Axes, residual: Axes, example: Example, colours: dict[str, str]) -> None:
    wavelength, truth = example.wavelength, example.truth
    spectrum.plot(wavelength, example.noisy, color=LIGHT, lw=0.4, label="noisy", rasterized=True)
    spectrum.plot(wavelength, truth, color=BLACK, lw=1.0, label="truth")
    residual.plot(wavelength, example.noisy - truth, color=LIGHT, lw=0.4, rasterized=True)
    residual.axhline(0, color=BLACK, lw=0.6)
    for name, colour in colours.items():
        flux, sigma = example.estimates[name]
        spectrum.plot(wavelength, flux, color=colour, lw=0.7, label=name)
        residual.fill_between(wavelength, -sigma, sigma, color=colour, alpha=0.3, lw=0)
        residual.plot(wavelength, flux - truth, color=colour, lw=0.6)
    noise = float(np.nanmedian(np.abs(example.noisy - truth)))
    spectrum.set_ylim(robust_limits(truth, margin=4 * noise))
    errors = [np.nanstd(flux - truth) for flux, _ in (example.estimates[name] for name in colours)]
    limit = max(2.5 * noise, 5 * max(errors, default=0.0))
    residual.set(ylim=(-limit, limit), ylabel="residual")
    spectrum.set_title(f"S/N {example.snr:g}", loc="left")
    spectrum.set_xlim(wavelength[0], wavelength[-1])


@styled
def rms_figure(evaluation: Evaluation) -> Figure:
    """Draw box plots of the RMS residual of every model by S/N (paper's Figure 4a)."""
    page = figure(height=3.2)
    axes = page.subplots()
    _boxes(axes, evaluation, lambda scores: scores.rms)
    axes.set(yscale="log", ylabel=flux_label(evaluation.examples[0].unit, "RMS residual against truth"))
    decimal_ticks(axes.yaxis)
    page.legend(loc="outside upper center", ncols=4)
    return page


@styled
def recovery_figure(evaluation: Evaluation) -> Figure:
    """Draw box plots of 1 − recovery rate (Pearson's r with the truth) by S/N (paper's Figure 4c)."""
    page = figure(height=3.2)
    axes = page.subplots()
    _boxes(axes, evaluation, lambda scores: 1 - scores.recovery)
    axes.set(yscale="log", ylabel="1 − r,  r = correlation with truth")
    page.legend(loc="outside upper center", ncols=4)
    return page


def _boxes(axes: Axes, evaluation: Evaluation, value: Callable[[Scores], FloatArray]) -> None:
    """Box plots side by side for each S/N: quartiles, whiskers from the 5th to the 95th percentile."""
    places = np.arange(len(evaluation.snrs))
    for name, offset, width in _side_by_side(list(evaluation.scores)):
        arrays = [value(evaluation.scores[name][snr]) for snr in evaluation.snrs]
        colour = _colour(evaluation, name)
        boxes = axes.boxplot(
            [array[np.isfinite(array)] for array in arrays], positions=places + offset, widths=0.85 * width,
            whis=(5, 95), showfliers=False, patch_artist=True, manage_ticks=False,
            boxprops={"facecolor": colour, "edgecolor": BLACK, "lw": 0.5}, medianprops={"color": "white", "lw": 1.2},
            whiskerprops={"color": BLACK, "lw": 0.6}, capprops={"color": BLACK, "lw": 0.6},
        )  # fmt: skip
        boxes["boxes"][0].set_label(name)
    _snr_ticks(axes, evaluation)


@styled
def lines_figure(evaluation: Evaluation) -> Figure:
    """Draw the RMS reduction in the six line windows, mean and scatter of the spectra, a panel for each S/N."""
    rows = -(-len(evaluation.snrs) // 2)
    page = figure(height=0.5 + 2.4 * rows)
    panels = page.subplots(rows, min(2, len(evaluation.snrs)), sharex=True, sharey="row", squeeze=False).ravel()
    places = np.arange(len(LINE_WINDOWS))
    for panel, snr in zip(panels, evaluation.snrs, strict=False):
        for number, (name, offset, _) in enumerate(_side_by_side(list(evaluation.models))):
            lines = [_finite(evaluation.scores[name][snr].lines[line]) for line in LINE_WINDOWS]
            panel.errorbar(
                places + offset, [100 * values.mean() for values in lines], [100 * values.std() for values in lines],
                fmt=_MARKERS[number % len(_MARKERS)], ms=3.5, color=_colour(evaluation, name), lw=0.8, label=name,
            )  # fmt: skip
        panel.axhline(0, color=BLACK, lw=0.5)
        panel.set_title(f"S/N {snr:g}", loc="left")
        panel.set_xticks(places, [line_label(line) for line in LINE_WINDOWS], rotation=30, ha="right")
        panel.set_xlim(-0.6, len(places) - 0.4)
        panel.tick_params(axis="x", top=False)
    for panel in panels[len(evaluation.snrs) :]:
        panel.set_visible(False)
    page.supylabel("RMS reduction in the line window [%]", fontsize=8)
    page.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return page


@styled
def coverage_figure(evaluation: Evaluation) -> Figure:
    """Draw the fraction of pixels whose truth lies within ±1σ and ±1.96σ, against what it should be."""
    page = figure(height=2.8)
    panels = page.subplots(1, 2)
    for panel, (key, nominal, title) in zip(
        panels, (("coverage68", 0.6827, "±1σ"), ("coverage95", 0.95, "±1.96σ")), strict=True
    ):
        for name, offset, width in _side_by_side(list(evaluation.models)):
            heights = [getattr(evaluation.scores[name][snr], key) for snr in evaluation.snrs]
            panel.bar(
                np.arange(len(heights)) + offset, [np.nan if h is None else h for h in heights], 0.9 * width,
                color=_colour(evaluation, name), label=name,
            )  # fmt: skip
        panel.axhline(nominal, color=BLACK, lw=1, ls="--")
        panel.set(title=f"Truth within {title}: nominal {nominal:g} (dashed)", ylabel="Fraction of pixels", ylim=(0, 1))
        _snr_ticks(panel, evaluation)
    page.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return page


@styled
def reduction_figure(evaluation: Evaluation) -> Figure:
    """Draw the residual left of the noise, 1 − RMS reduction, against S/N: mean and scatter of the spectra."""
    page = figure(height=3.2, width=4.6)
    axes = page.subplots()
    snrs = np.array(evaluation.snrs)
    for number, name in enumerate(evaluation.models):
        left = [_finite(1 - evaluation.scores[name][snr].reduction) for snr in evaluation.snrs]
        axes.errorbar(
            snrs * 1.015 ** (number - (len(evaluation.models) - 1) / 2),
            [values.mean() for values in left], [values.std() for values in left],
            fmt=_MARKERS[number % len(_MARKERS)] + "-", ms=3.5, capsize=2, color=_colour(evaluation, name), label=name,
        )  # fmt: skip
    axes.set(
        xscale="log", yscale="log", xlabel="S/N of the input", ylabel="Residual RMS over noise RMS (1 − reduction)"
    )
    axes.set_xticks(snrs, [f"{snr:g}" for snr in snrs])
    axes.minorticks_off()
    decimal_ticks(axes.yaxis)
    page.legend(loc="outside right upper")
    return page


def _finite(values: FloatArray) -> FloatArray:
    """Finite values, or one NaN, whose mean is NaN without a warning."""
    finite = values[np.isfinite(values)]
    return finite if finite.size else np.array([np.nan])


def _colour(evaluation: Evaluation, name: str) -> str:
    return LIGHT if name == NOISY else COLOURS[evaluation.models.index(name) % len(COLOURS)]


def _side_by_side(names: list[str]) -> list[tuple[str, float, float]]:
    """Offset and width of each name's mark about an integer place."""
    width = 0.84 / max(len(names), 1)
    return [(name, (number - (len(names) - 1) / 2) * width, width) for number, name in enumerate(names)]


def _snr_ticks(axes: Axes, evaluation: Evaluation) -> None:
    axes.set_xticks(np.arange(len(evaluation.snrs)), [f"{snr:g}" for snr in evaluation.snrs])
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel("S/N of the input")
