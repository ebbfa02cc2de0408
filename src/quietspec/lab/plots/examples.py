"""Figures of one spectrum, after those of Kim, Lee & Rey 2026: the whole at each S/N, its lines at the lowest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from quietspec.plots.style import (
    BLACK,
    LIGHT,
    SMALL,
    figure,
    line_label,
    model_colours,
    relative_flux_label,
    robust_limits,
    styled,
)
from quietspec.wavelengths import LINE_WINDOWS, LineWindow, in_window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from quietspec.lab.evaluation import Evaluation, Example

__all__ = ["example_figure", "lines_figure"]

_SHOWN = 4  # models that can be distinguished in one panel, …
_ALIKE = 8.0  # … and the largest ratio of their residuals to that of the best


@styled
def example_figure(evaluation: Evaluation, models: Sequence[str] | None = None) -> Figure:
    """Draw one spectrum at each S/N: truth, noisy and denoised flux, and the residuals (Figure 3 of the paper).

    Parameters
    ----------
    evaluation : Evaluation
        Result of `evaluate`.
    models : sequence of str, optional
        Models to show; by default up to four with the smallest residuals at the lowest S/N, none of which exceeds
        the smallest by a factor of 8.

    Returns
    -------
    matplotlib.figure.Figure
        For each S/N a panel of spectra, and below it the residual of each model with its ±1σ, on a scale of its own.
    """
    colours = _chosen(evaluation, models)
    examples = evaluation.examples
    strips = 0.05 + 0.27 * len(colours)
    page = figure(height=0.7 + (1.25 + strips) * len(examples))
    panels = page.subplots(2 * len(examples), 1, sharex=True, height_ratios=[1.15, strips] * len(examples))
    for example, spectrum, residual in zip(examples, panels[::2], panels[1::2], strict=True):
        _draw_spectrum(spectrum, example, colours)
        _draw_strips(residual, example, colours)
        spectrum.set_title(f"S/N {example.snr:g};  below: residuals with ±1σ, each on its own scale", loc="left")
        noise = float(np.nanmedian(np.abs(example.noisy - example.truth)))
        spectrum.set(ylim=robust_limits(example.truth, margin=4 * noise), xlim=example.wavelength[[0, -1]])
    page.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(colours) + 2)
    panels[-1].set_xlabel("Rest-frame wavelength in air [Å]")
    page.supylabel(relative_flux_label(examples[0].unit), fontsize=8)
    return page


def _chosen(evaluation: Evaluation, models: Sequence[str] | None) -> dict[str, str]:
    """Colours of the models to show, in the order of the evaluation."""
    if models is None:
        lowest = {name: by_snr[min(evaluation.snrs)].reduction for name, by_snr in evaluation.scores.items()}
        left = {name: np.nanmean(1 - lowest[name]) if np.isfinite(lowest[name]).any() else np.inf for name in lowest}
        best = sorted(evaluation.models, key=lambda name: left[name])[:_SHOWN]
        models = [name for name in best if left[name] <= _ALIKE * left[best[0]]]
    return {name: colour for name, colour in model_colours(evaluation.models).items() if name in models}


def _draw_spectrum(axes: Axes, example: Example, colours: Mapping[str, str], scale: float = 1.0) -> None:
    """Draw noisy, truth and estimates, divided by `scale`."""
    wavelength = example.wavelength
    axes.plot(wavelength, example.noisy / scale, color=LIGHT, lw=0.4, label="noisy", rasterized=True)
    axes.plot(wavelength, example.truth / scale, color=BLACK, lw=1.2, label="truth")
    for name, colour in colours.items():
        axes.plot(wavelength, example.estimates[name][0] / scale, color=colour, lw=0.7, label=name)


def _draw_strips(axes: Axes, example: Example, colours: Mapping[str, str]) -> None:
    """Draw the residual of each model in a strip of height 1, with its scale at the left."""
    labels = []
    for number, (name, colour) in enumerate(colours.items()):
        flux, sigma = example.estimates[name]
        residual = flux - example.truth
        scale = _round_up(2.5 * _spread(residual))  # half the strip
        axes.axhline(-number, color=BLACK, lw=0.5)
        middle, upper, lower = (np.clip(v / scale, -1, 1) / 2 - number for v in (residual, sigma, -sigma))
        axes.fill_between(example.wavelength, lower, upper, color=colour, alpha=0.3, lw=0, rasterized=True)
        axes.plot(example.wavelength, middle, color=colour, lw=0.5)
        labels.append(f"{name}\n±{scale:g}")
    axes.set_ylim(0.55 - len(colours), 0.55)
    axes.set_yticks(-np.arange(len(colours)), labels, fontsize=SMALL)
    axes.tick_params(axis="y", length=0)


def _spread(residual: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> float:
    """Standard deviation about zero; 0 where nothing is defined."""
    finite = residual[np.isfinite(residual)]
    return float(np.sqrt(np.mean(np.square(finite, dtype=np.float64)))) if finite.size else 0.0


def _round_up(value: float) -> float:
    """Round up to 1, 2 or 5 times a power of ten; 1 for zero."""
    if not value > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * next(digit for digit in (1, 2, 5, 10) if digit * power >= value))


@styled
def lines_figure(evaluation: Evaluation, models: Sequence[str] | None = None) -> Figure:
    """Draw the six lines of one spectrum at the two lowest S/N, and the residuals (Figure 5 of the paper).

    Parameters
    ----------
    evaluation : Evaluation
        Result of `evaluate`.
    models : sequence of str, optional
        Models to show; as in `example_figure` by default.

    Returns
    -------
    matplotlib.figure.Figure
        Two rows for each S/N, spectra and residuals, divided by the mean true flux of each panel. Feature bands are
        yellow, bands of the pseudo-continuum grey.
    """
    colours = _chosen(evaluation, models)
    examples = sorted(evaluation.examples, key=lambda example: example.snr)[:2]
    page = figure(height=0.6 + 2.5 * len(examples))
    rows = page.subplots(
        2 * len(examples), len(LINE_WINDOWS), sharex="col", sharey="row", height_ratios=[1.5, 1] * len(examples)
    )
    for example, spectra, residuals in zip(examples, rows[::2], rows[1::2], strict=True):
        _draw_lines(spectra, residuals, example, colours)
        spectra[0].set_ylabel(f"S/N {example.snr:g}\nFlux / panel's mean")
        residuals[0].set_ylabel("Residual")
    for panel, line in zip(rows[0], LINE_WINDOWS, strict=True):
        panel.set_title(line_label(line))
    page.supxlabel("Rest-frame wavelength in air [Å]", fontsize=8)
    page.legend(*rows[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(colours) + 2)
    page.align_ylabels()
    return page


def _draw_lines(
    spectra: Sequence[Axes], residuals: Sequence[Axes], example: Example, colours: Mapping[str, str]
) -> None:
    """Draw one row of lines, and the row of residuals below it."""
    worst, depth = 0.0, []
    for spectrum, residual, window in zip(spectra, residuals, LINE_WINDOWS.values(), strict=True):
        limits = (window.blue[0] - 4, window.red[1] + 4)
        seen = in_window(example.wavelength, limits) & np.isfinite(example.truth)
        for panel in (spectrum, residual):
            _shade(panel, window)
            panel.set_xlim(limits)
        if not seen.any():
            spectrum.text(0.5, 0.5, "not covered", ha="center", transform=spectrum.transAxes, fontsize=SMALL)
            continue
        mean = float(np.mean(example.truth[seen]))
        _draw_spectrum(spectrum, example, colours, mean)
        depth.append(example.truth[seen] / mean)
        residual.axhline(0, color=BLACK, lw=0.6)
        for name, colour in colours.items():
            values = (example.estimates[name][0] - example.truth) / mean
            residual.plot(example.wavelength, values, color=colour, lw=0.8)
            worst = max(worst, 3 * _spread(values[seen]))
    if depth:
        spectra[0].set_ylim(robust_limits(np.concatenate(depth), margin=0.25))
        residuals[0].set_ylim(-worst or -1, worst or 1)


def _shade(axes: Axes, window: LineWindow) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.axvspan(*window.feature, color="#f0e442", alpha=0.35, lw=0)
    for band in (window.blue, window.red):
        axes.axvspan(*band, color="0.5", alpha=0.15, lw=0)
    axes.xaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 4, 5, 10]))
    axes.tick_params(axis="x", labelsize=SMALL)
