"""Maps of stellar populations on the sky, beside their errors and, for simulated galaxies, the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from quietspec.errors import SpectraError
from quietspec.plots.style import BLACK, COLOURS, SMALL, colour_bar, figure, hatched_image, styled

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage

    from quietspec.evaluation.maps import MapComparison
    from quietspec.populations import Populations
    from quietspec.spectra import FloatArray

__all__ = ["map_comparison_figure", "populations_figure"]

_LABELS = {  # name and unit of each parameter, in the order of panels
    "log_age_lw": ("log age, by light", "log yr"),
    "mh_lw": ("[M/H], by light", "dex"),
    "log_age_mw": ("log age, by mass", "log yr"),
    "mh_mw": ("[M/H], by mass", "dex"),
    "log_ml_v": (r"log $M_\ast/L_V$", "solar"),
    "a_v": (r"$A_V$", "mag"),
    "velocity": ("velocity", "km/s"),
    "sigma": (r"$\sigma$", "km/s"),
}
_COLOUR_MAPS = {"velocity": "RdBu_r"}
_COLUMNS = 4
_CELL = 1.62  # inches, height of one map with its title
_SPREAD = (2.0, 98.0)  # percentiles of a map that its colours span


@styled
def populations_figure(
    populations: Populations, spatial_shape: tuple[int, int] | None = None, wcs: WCS | None = None
) -> Figure:
    """Draw the populations of a file.

    Parameters
    ----------
    populations : Populations
        Of all spectra.
    spatial_shape : (ny, nx), optional
        Image the spectra form; without one, values are drawn by the number of the spectrum.
    wcs : astropy.wcs.WCS, optional
        Celestial WCS of the image; then axes are offsets on the sky.

    Returns
    -------
    matplotlib.figure.Figure
        Maps of each parameter, and below each its error, half the width of the 68 % interval. Dots mark spaxels with a
        flag, hatching those without a result.

    Raises
    ------
    SpectraError
        If no spectrum has a result.
    """
    names = [name for name in _LABELS if np.isfinite(populations.values.get(name, np.nan)).any()]
    if not names:
        raise SpectraError("populations_figure: no spectrum has a result, there is nothing to draw.")
    if spatial_shape is None:
        return _drawn_by_number(populations, names)
    bands = [names[start : start + _COLUMNS] for start in range(0, len(names), _COLUMNS)]
    page = figure(2 * _CELL * len(bands) + 0.25)
    parts = np.atleast_1d(np.asarray(page.subfigures(len(bands), 1), dtype=object))
    for part, band in zip(parts, bands, strict=True):
        _draw_band(part, populations, band, spatial_shape, wcs)
    return page


def _draw_band(
    page: SubFigure, populations: Populations, names: Sequence[str], shape: tuple[int, int], wcs: WCS | None
) -> None:
    """Values above errors."""
    flagged = ((populations.flags != 0) & ~populations.failed).reshape(shape)
    for column, name in enumerate(names):
        title, unit = _LABELS[name]
        values, errors = populations.values[name].reshape(shape), populations.error(name).reshape(shape)
        upper, lower = (_sky_axes(page, (2, _COLUMNS, row * _COLUMNS + column + 1), shape, wcs) for row in (0, 1))
        image = hatched_image(upper, values, _norm(name, values), _COLOUR_MAPS.get(name, "viridis"))
        colour_bar(upper, image, unit)
        y, x = np.nonzero(flagged)
        upper.plot(x, y, ".", color=BLACK, ms=0.7, mew=0)
        upper.set_title(title)
        image = hatched_image(lower, errors, _limits(errors, low=0.0), "cividis")
        colour_bar(lower, image, unit)
        lower.set_title("its error")
        _outer_labels(upper, first=column == 0, last=False, wcs=wcs)
        _outer_labels(lower, first=column == 0, last=True, wcs=wcs)


def _drawn_by_number(populations: Populations, names: Sequence[str]) -> Figure:
    """One panel a parameter, values with their intervals by the number of the spectrum."""
    page = figure(0.95 * len(names) + 0.4)
    panels = page.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    number = np.arange(len(populations))
    flagged = (populations.flags != 0) & ~populations.failed
    for axes, name in zip(panels, names, strict=True):
        value, low, high = populations.values[name], populations.low[name], populations.high[name]
        known = np.isfinite(value)
        for some, colour, label in ((known & ~flagged, COLOURS[0], ""), (known & flagged, COLOURS[1], "flagged")):
            bars = np.clip([value[some] - low[some], high[some] - value[some]], 0, None)
            axes.errorbar(number[some], value[some], bars, fmt="o", ms=2.5, lw=0.7, color=colour, label=label)
        title, unit = _LABELS[name]
        axes.set_ylabel(f"{title}\n[{unit}]")
    if flagged.any():
        panels[0].legend(*panels[0].get_legend_handles_labels())
    panels[-1].set_xlabel("Number of the spectrum")
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    return page


@styled
def map_comparison_figure(comparison: MapComparison, parameters: Sequence[str] = ("log_age_lw", "mh_lw")) -> Figure:
    """Draw what several methods made of a simulated galaxy, beside the truth.

    Parameters
    ----------
    comparison : MapComparison
        From `quietspec.evaluation.maps.compare_maps`.
    parameters : sequence of str
        Which parameters.

    Returns
    -------
    matplotlib.figure.Figure
        For each parameter a row of maps, one of recovered minus true with its root mean square, and one of the errors
        stated; a column a method, on one scale. The truth is outlined where clump and ring are.
    """
    page = figure(3 * _CELL * len(parameters) * 0.72 + 0.3)
    parts = np.atleast_1d(np.asarray(page.subfigures(len(parameters), 1), dtype=object))
    for part, parameter in zip(parts, parameters, strict=True):
        _draw_comparison(part, comparison, parameter)
    return page


def _draw_comparison(page: SubFigure, comparison: MapComparison, parameter: str) -> None:
    observed = comparison.simulated.observed
    if observed.spatial_shape is None:
        raise SpectraError("map_comparison_figure: these simulated spectra form no image.")
    shape, wcs = observed.spatial_shape, observed.wcs
    truth = observed.image(comparison.simulated.parameters[parameter])
    columns = len(comparison.methods) + 1
    axes = np.empty((3, columns), dtype=object)
    for row in range(3):
        for column in range(0 if row == 0 else 1, columns):
            axes[row, column] = _sky_axes(page, (3, columns, row * columns + column + 1), shape, wcs)
    values = {name: observed.image(one.populations.values[parameter]) for name, one in comparison.methods.items()}
    errors = {name: observed.image(one.populations.error(parameter)) for name, one in comparison.methods.items()}
    span = float(np.nanpercentile(np.abs(np.array(list(values.values())) - truth), 97))
    norm, difference_norm = _limits(truth), _symmetric(span)
    error_norm = _limits(np.array(list(errors.values())), low=0.0)
    image = hatched_image(axes[0, 0], truth, norm, "viridis")
    axes[0, 0].set_title("truth")
    _outline(axes[0, 0], comparison, shape)
    for column, name in enumerate(comparison.methods, start=1):
        image = hatched_image(axes[0, column], values[name], norm, "viridis")
        axes[0, column].set_title(name.replace(", ", ",\n"))
        difference = hatched_image(axes[1, column], values[name] - truth, difference_norm, "RdBu_r")
        rms = comparison.methods[name].scores[parameter].rms
        axes[1, column].set_title(f"rms {rms:.2f}", fontsize=SMALL, pad=2)
        error = hatched_image(axes[2, column], errors[name], error_norm, "cividis")
    title, unit = _LABELS[parameter]
    bars: list[tuple[AxesImage, str]] = [
        (image, f"{title} [{unit}]"), (difference, "recovered − true"), (error, "stated error"),
    ]  # fmt: skip
    for row, (mappable, label) in enumerate(bars):
        colour_bar(axes[row, -1], mappable, label)
        for column in range(0 if row == 0 else 1, columns):
            last = row == 2 or (row == 0 and column == 0)
            _outer_labels(axes[row, column], first=column == (0 if row == 0 else 1), last=last, wcs=wcs)


def _outline(axes: Axes, comparison: MapComparison, shape: tuple[int, int]) -> None:
    for name in ("clump", "ring"):
        if name in comparison.regions:
            axes.contour(comparison.regions[name].reshape(shape).astype(float), [0.5], colors="white", linewidths=0.6)


def _sky_axes(page: SubFigure, place: tuple[int, int, int], shape: tuple[int, int], wcs: WCS | None) -> Axes:
    """Axes of offsets on the sky from the middle of the image, or of spaxels where there is no WCS."""
    if wcs is None:
        return page.add_subplot(*place)
    axes = page.add_subplot(*place, projection=_offsets(wcs, shape))
    for number, coordinate in enumerate(axes.coords):
        coordinate.set_coord_type("longitude" if number == 0 else "latitude", *((180 * u.deg,) if number == 0 else ()))
        coordinate.set_format_unit(u.arcsec, decimal=True, show_decimal_unit=False)
        coordinate.set_ticks(number=3)
        coordinate.set_ticks_position("lb"[number == 0])
    return axes


def _offsets(wcs: WCS, shape: tuple[int, int]) -> WCS:
    """The WCS with its origin in the middle of the image, so that coordinates are small offsets."""
    from astropy.wcs import WCS

    offsets = WCS(naxis=2)
    offsets.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    offsets.wcs.cunit = ["deg", "deg"]
    offsets.wcs.crval = [0.0, 0.0]
    offsets.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    offsets.wcs.cd = wcs.celestial.pixel_scale_matrix
    return offsets


def _outer_labels(axes: Axes, *, first: bool, last: bool, wcs: WCS | None) -> None:
    """Label only the left and the lowest axes."""
    if wcs is None:
        axes.set(xlabel="x [spaxel]" if last else "", ylabel="y [spaxel]" if first else "")
        axes.tick_params(direction="out", top=False, right=False, labelbottom=last, labelleft=first)
        return
    right, up = axes.coords
    for coordinate, shown, label in ((right, last, "Δα [″]"), (up, first, "Δδ [″]")):
        coordinate.set_ticklabel_visible(shown)
        coordinate.set_axislabel(label if shown else " ", minpad=0.4)
        coordinate.tick_params(direction="out", length=2)


def _norm(name: str, values: FloatArray) -> Normalize:
    if name == "velocity":
        middle = float(np.nanmedian(values))
        half = float(np.nanpercentile(np.abs(values - middle), _SPREAD[1]))
        from matplotlib.colors import Normalize

        return Normalize(middle - max(half, 1.0), middle + max(half, 1.0))
    return _limits(values)


def _limits(values: FloatArray, low: float | None = None) -> Normalize:
    """Colours from low to high percentiles of the finite values."""
    from matplotlib.colors import Normalize

    finite = values[np.isfinite(values)]
    if not finite.size:
        return Normalize(0, 1)
    bottom, top = np.percentile(finite, _SPREAD)
    bottom = bottom if low is None else low
    return Normalize(float(bottom), float(max(top, bottom + 1e-3)))


def _symmetric(span: float) -> Normalize:
    from matplotlib.colors import Normalize

    return Normalize(-span, span)
