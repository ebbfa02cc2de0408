"""What all figures share: sizes, colours, axis labels with units, ticks, maps of the sky, and saving."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import astropy.units as u
import numpy as np

from quietspec.errors import WriteError
from quietspec.wavelengths import SNR_WINDOW, stretches

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from quietspec.arrays import BoolArray, FloatArray

__all__ = [
    "BLACK", "COLOURS", "LIGHT", "MARKERS", "NO_VALUE", "PAGE_WIDTH", "SMALL", "colour_bar", "decimal_ticks", "figure",
    "flux_label", "hatched_image", "line_label", "model_colours", "relative_flux_label", "robust_limits", "save",
    "shade_runs", "side_by_side", "styled",
]  # fmt: skip

PAGE_WIDTH = 7.1  #: inches, both columns of a journal page
BLACK, LIGHT = "#000000", "#b3b3b3"  #: truth, noisy input
#: Okabe & Ito 2008, Color Universal Design, without yellow, which is faint on white; then wine and olive of P. Tol;
#: then a dark violet, green and brown
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#999933",
    "#4B0092", "#225522", "#661100",
)  # fmt: skip
MARKERS = "osD^vPX<>ph"  #: one for each colour
NO_VALUE: dict[str, Any] = {"facecolor": "#e6e6e6", "edgecolor": "#cfcfcf", "hatch": "////"}  #: where a map has none
SMALL = 6.3  #: points; text in crowded panels, no smaller than journals allow

_STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "lines.linewidth": 0.9,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "image.origin": "lower",
    "image.interpolation": "nearest",
    "savefig.dpi": 200,
}

_Parameters = ParamSpec("_Parameters")


def styled(draw: Callable[_Parameters, Figure]) -> Callable[_Parameters, Figure]:
    """Run a drawing function in the style of this package, leaving the caller's matplotlib settings alone."""

    @wraps(draw)
    def wrapped(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> Figure:
        from matplotlib import style

        with style.context(["default", _STYLE]):
            return draw(*args, **kwargs)

    return wrapped


def figure(height: float, width: float = PAGE_WIDTH) -> Figure:
    """Make an empty figure of a size in inches, with a layout that keeps its parts from overlapping."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def flux_label(unit: u.UnitBase, quantity: str = "Flux") -> str:
    """Label an axis with a quantity and its unit."""
    unit = u.Unit(unit)
    if unit == u.dimensionless_unscaled:
        return quantity
    text = unit.to_string("latex_inline").replace(r"1 \times ", "")
    return f"{quantity} [{text}]"


def relative_flux_label(unit: u.UnitBase, quantity: str = "Flux") -> str:
    """Label an axis with the flux of simulated spectra; one without a unit has mean 1 in the S/N window."""
    if u.Unit(unit) != u.dimensionless_unscaled:
        return flux_label(unit, quantity)
    return rf"{quantity} / $\overline{{F}}$({SNR_WINDOW[0]:.0f}–{SNR_WINDOW[1]:.0f} Å)"


def model_colours(models: Sequence[str]) -> dict[str, str]:
    """Give each model its colour, which is the same in all figures of an evaluation."""
    return {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(models)}


def robust_limits(values: FloatArray, margin: float = 0.0) -> tuple[float, float] | None:
    """Choose axis limits from the 0.5th and 99.5th percentiles plus a margin; None if no value is finite."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    low, high = (float(limit) for limit in np.percentile(finite, (0.5, 99.5)))
    pad = margin + 0.1 * (high - low) or abs(0.05 * high) or 1.0
    return low - pad, high + pad


def line_label(name: str) -> str:
    """Write the name of a line with its Greek letter."""
    return name.replace("Hdelta", "Hδ").replace("Hbeta", "Hβ")


def decimal_ticks(axis: Axis, text: Callable[[float], str] = "{:g}".format, most: int = 12) -> None:
    """Label a logarithmic axis with plain decimals, more densely the fewer powers of ten it spans."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    decades = np.log10(high / low)
    between = (1, 2, 3, 5, 7) if decades < 1.5 else (1, 3) if decades < 2.5 else (1,)
    axis.set_major_locator(LogLocator(subs=between, numticks=most))
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axis.set_minor_formatter(NullFormatter())


def side_by_side(names: Sequence[str]) -> Iterator[tuple[str, float, float]]:
    """Yield each name with the offset and the width of its mark around an integer position."""
    width = 0.84 / max(len(names), 1)
    return ((name, (number - (len(names) - 1) / 2) * width, width) for number, name in enumerate(names))


def shade_runs(axes: Axes, wavelength: FloatArray, where: BoolArray, **kwargs: Any) -> None:
    """Shade the runs of pixels where a condition holds; gaps in wavelength end them."""
    half = 0.5 * float(np.median(np.diff(wavelength)))
    for stretch in stretches(wavelength):
        padded = np.concatenate(([False], where[stretch], [False]))
        for start, stop in stretch.start + np.flatnonzero(padded[1:] != padded[:-1]).reshape(-1, 2):
            axes.axvspan(wavelength[start] - half, wavelength[stop - 1] + half, **{"lw": 0, **kwargs})
            kwargs.pop("label", None)  # one entry in the legend


def hatched_image(
    axes: Axes, values: FloatArray, norm: Normalize, cmap: str, strength: FloatArray | None = None
) -> AxesImage:
    """Draw an image of one value per spaxel, hatched where there is none; a `strength` of 0 to 1 fades it to grey."""
    axes.patch.set(**NO_VALUE)
    masked = np.ma.masked_invalid(values)
    if strength is None:
        return axes.imshow(masked, norm=norm, cmap=cmap)
    axes.imshow(np.ma.masked_array(np.full(values.shape, 0.5), masked.mask), cmap="Greys", vmin=0.0, vmax=2.0)
    return axes.imshow(masked, norm=norm, cmap=cmap, alpha=np.nan_to_num(np.clip(strength, 0, 1)))


def colour_bar(axes: Axes, image: AxesImage, label: str) -> None:
    """Add a colour bar as high as the map, with plain numbers."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    logarithmic = isinstance(image.norm, LogNorm)
    ticks = None if logarithmic else MaxNLocator(5)
    bar = axes.figure.colorbar(image, cax=axes.inset_axes((1.04, 0, 0.06, 1)), label=label, ticks=ticks)
    bar.ax.tick_params(direction="out", which="both")
    bar.ax.minorticks_off()
    if logarithmic:
        decimal_ticks(bar.ax.yaxis)
    else:
        bar.ax.yaxis.set_major_formatter(ScalarFormatter())


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PDF, PNG or SVG, by the ending of the name; the file appears complete or not at all.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    path : str or pathlib.Path
        File to write; an existing file is replaced.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    WriteError
        If the name has another ending, or the file cannot be written.
    """
    from quietspec.io.writing.atomic import os_errors_named, whole_file

    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("pdf", "png", "svg"):
        raise WriteError(
            f"{path}: cannot write a figure as {path.suffix or 'a file without ending'}; use .pdf or .png."
        )
    with whole_file(path, overwrite=True) as partial, os_errors_named(path):
        figure.savefig(partial, format=kind, dpi=_STYLE["savefig.dpi"])
    return path
