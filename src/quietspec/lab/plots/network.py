"""Figures of the network, after those of Kim, Lee & Rey 2026: its architecture and how it learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.plots.style import BLACK, COLOURS, LIGHT, PAGE_WIDTH, SMALL, decimal_ticks, figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["architecture_figure", "learning_figure"]

_ENCODER, _MIDDLE, _DECODER = "#d3e6f3", "#f9dfcd", "#cfece2"  # tints of the first three colours
_STEP = 0.78  # inches from one resolution to the next
_BOX = (0.95, 0.4)  # inches


@styled
def architecture_figure(
    channels: Sequence[int] = (96, 192, 384), last: int = 64, n_blocks: int = 8, n_heads: int = 12, kernel: int = 7
) -> Figure:
    """Draw an Enhanced U-Net Transformer (Figure 1 of the paper).

    Parameters
    ----------
    channels : sequence of int
        Channels after each encoder stage; all defaults are those of the paper.
    last : int
        Channels of the last decoder stage.
    n_blocks, n_heads : int
        Transformer blocks, and attention heads in each.
    kernel : int
        Pixels of each convolution.

    Returns
    -------
    matplotlib.figure.Figure
        Feature maps as boxes of channels × pixels, one row per resolution.
    """
    page = figure(height=_STEP * (len(channels) + 1) + 0.1)
    page.set_layout_engine("none")
    axes = page.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, PAGE_WIDTH), ylim=(-_STEP * (len(channels) + 0.55), _STEP * 0.55))
    axes.axis("off")
    shift = min(0.3, 0.6 / max(len(channels) - 1, 1))
    places = [(1.6 + shift * level, -_STEP * level) for level in range(len(channels))]
    _draw_maps(axes, places, channels, last)
    bottom = -_STEP * len(channels)
    width = PAGE_WIDTH - 2 * places[-1][0] + 0.7
    text = f"{n_blocks} transformer blocks, {n_heads} heads\n{channels[-1]} × {_pixels(len(channels))}"
    _box(axes, (PAGE_WIDTH / 2, bottom), text, _MIDDLE, (width, 0.5))
    _draw_arrows(axes, places, bottom)
    convolution = f"convolution of {kernel} px"
    encoder = f"Encoder stage:\n{convolution},\ninstance norm., ReLU,\nmax-pooling by 2"
    decoder = f"Decoder stage:\ninterpolation by 2,\nskip appended,\n{convolution}"
    for x, text in ((0.15, encoder), (PAGE_WIDTH - 1.2, decoder)):
        axes.text(x, bottom, text, va="center", fontsize=7)
    return page


def _pixels(level: int) -> str:
    return f"L/{2**level}" if level else "L"


def _draw_maps(axes: Axes, places: list[tuple[float, float]], channels: Sequence[int], last: int) -> None:
    """Boxes for the input, the output and the maps of encoder and decoder, with the skips between them."""
    outputs = (last, *channels[:-1])
    for level, ((x, y), encoded, decoded) in enumerate(zip(places, channels, outputs, strict=True)):
        _box(axes, (x, y), f"{encoded} × {_pixels(level)}", _ENCODER, _BOX)
        _box(axes, (PAGE_WIDTH - x, y), f"{decoded} × {_pixels(level)}", _DECODER, _BOX)
        inner = x + _BOX[0] / 2
        _arrow(axes, (inner, y), (PAGE_WIDTH - inner, y), linestyle=(0, (4, 3)))
        axes.text(PAGE_WIDTH / 2, y + 0.05, f"skip: {encoded} channels appended", ha="center", fontsize=SMALL)
    left, top = places[0]
    for x, name in ((0.5, "noisy"), (PAGE_WIDTH - 0.5, "denoised")):
        _box(axes, (x, top), f"{name}\n1 × L", "white", (0.7, _BOX[1]))
    _arrow(axes, (0.85, top), (left - _BOX[0] / 2, top))
    _arrow(axes, (PAGE_WIDTH - left + _BOX[0] / 2, top), (PAGE_WIDTH - 0.85, top))
    axes.text(PAGE_WIDTH - 1.02, top + 0.24, "projection", ha="center", fontsize=SMALL)


def _draw_arrows(axes: Axes, places: list[tuple[float, float]], bottom: float) -> None:
    """Arrows down the encoder and up the decoder."""
    below = [*places[1:], (places[-1][0], bottom)]
    half = _BOX[1] / 2
    for (_, upper), (x, lower) in zip(places, below, strict=True):
        ending = lower + (half if lower > bottom else 0.25)
        x = x - 0.1
        _arrow(axes, (x, upper - half), (x, ending))
        _arrow(axes, (PAGE_WIDTH - x, ending), (PAGE_WIDTH - x, upper - half))
        middle = (upper - half + ending) / 2
        axes.text(x + 0.07, middle, "pool ÷2", va="center", fontsize=SMALL)
        axes.text(PAGE_WIDTH - x - 0.07, middle, "interpolate ×2", va="center", ha="right", fontsize=SMALL)
    middle = bottom + 0.25 + (_STEP - half - 0.25) / 2
    axes.text(PAGE_WIDTH / 2, middle, "+ sinusoidal positions", va="center", ha="center", fontsize=SMALL)


def _box(axes: Axes, centre: tuple[float, float], text: str, colour: str, size: tuple[float, float]) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (centre[0] - size[0] / 2, centre[1] - size[1] / 2)
    style = "round,pad=0,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch(corner, *size, boxstyle=style, facecolor=colour, edgecolor=BLACK, lw=0.7))
    axes.text(*centre, text, ha="center", va="center", fontsize=7.5)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], **kwargs: Any) -> None:
    style = {"arrowstyle": "-|>", "color": BLACK, "lw": 0.8, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7} | kwargs
    axes.annotate("", end, start, arrowprops=style)


@styled
def learning_figure(curves: Mapping[str, Mapping[str, Sequence[float | None]]]) -> Figure:
    """Draw training and validation loss against the training step (Figure 2 of the paper).

    Parameters
    ----------
    curves : mapping of str to mapping
        By model: sequences ``"step"``, ``"training_loss"`` and ``"validation_loss"`` of one length; None or NaN where a
        loss was not measured.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per model, with the lowest validation loss marked.
    """
    from matplotlib.ticker import MaxNLocator

    page = figure(height=2.6, width=PAGE_WIDTH if len(curves) > 1 else 4.6)
    panels = page.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for panel, (name, curve) in zip(panels, curves.items(), strict=True):
        step, training, validation = (
            np.array(curve[key], dtype=np.float64) for key in ("step", "training_loss", "validation_loss")
        )
        _draw_curve(panel, step, training, color=LIGHT, lw=0.7, label="training")
        _draw_curve(panel, step, validation, color=COLOURS[0], lw=1.2, label="validation")
        if np.isfinite(validation).any():
            best = int(np.nanargmin(validation))
            panel.plot(
                step[best], validation[best], "o", ms=4.5, mfc="none", color=BLACK, label="lowest validation loss"
            )
        panel.set(yscale="log", xlabel="Training step", title=name)
        panel.xaxis.set_major_locator(MaxNLocator(5))
    panels[0].set_ylabel("Loss")
    decimal_ticks(panels[0].yaxis)
    page.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return page


def _draw_curve(axes: Axes, step: np.ndarray[Any, Any], loss: np.ndarray[Any, Any], **style: Any) -> None:
    taken = np.isfinite(loss)
    axes.plot(step[taken], loss[taken], **style)
