"""Maps of stellar populations on the sky, beside their errors and, for simulated galaxies, the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np

from quietspec.errors import SpectraError
from quietspec.plots.style import BLACK, COLOURS, PAGE_WIDTH, SMALL, colour_bar, figure, hatched_image, styled

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure, SubFigure

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
_CELL = 1.5  # inches, height of one map with its title
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
        colour_bar(upper, image, "")
        y, x = np.nonzero(flagged)
        upper.plot(x, y, ".", color=BLACK, ms=0.7, mew=0)
        upper.set_title(f"{title} [{unit}]")
        image = hatched_image(lower, errors, _limits(errors, low=0.0), "cividis")
        colour_bar(lower, image, "")
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
    cell = PAGE_WIDTH / (len(comparison.methods) + 1.8)
    page = figure((3 * cell + 0.95) * len(parameters))
    parts = np.atleast_1d(np.asarray(page.subfigures(len(parameters), 1), dtype=object))
    for part, parameter in zip(parts, parameters, strict=True):
        part.suptitle("{} [{}]".format(*_LABELS[parameter]), fontsize=8)
        _draw_comparison(part, comparison, parameter)
    return page


def _draw_comparison(page: SubFigure, comparison: MapComparison, parameter: str) -> None:
    """Three rows of maps of one parameter: recovered, recovered minus true, stated error."""
    observed = comparison.simulated.observed
    if observed.spatial_shape is None:
        raise SpectraError("map_comparison_figure: these simulated spectra form no image.")
    truth = observed.image(comparison.simulated.parameters[parameter])
    maps = {name: observed.image(one.populations.values[parameter]) for name, one in comparison.methods.items()}
    errors = {name: observed.image(one.populations.error(parameter)) for name, one in comparison.methods.items()}
    differences = {name: values - truth for name, values in maps.items()}
    rms = {name: f"rms {one.scores[parameter].rms:.3f}" for name, one in comparison.methods.items()}
    rows: list[tuple[str, dict[str, FloatArray], Normalize, str]] = [
        ("", {"truth": truth} | maps, _limits(truth), "viridis"),
        ("recovered\n− true", differences, _symmetric(np.array(list(differences.values()))), "RdBu_r"),
        ("stated\nerror", errors, _limits(np.array(list(errors.values())), low=0.0), "cividis"),
    ]
    n_columns = len(maps) + 1
    for row, (label, images, norm, cmap) in enumerate(rows):
        first = n_columns - len(images)
        for column, (name, values) in enumerate(images.items(), start=first):
            place = (3, n_columns, row * n_columns + column + 1)
            axes = _sky_axes(page, place, observed.spatial_shape, observed.wcs)
            image = hatched_image(axes, values, norm, cmap)
            _outer_labels(axes, first=column == first, last=row == 2 or name == "truth", wcs=observed.wcs)
            if row < 2:
                axes.set_title(rms[name] if row else name.replace(", ", ",\n"), fontsize=SMALL, pad=2)
            if name == "truth":
                _outline(axes, comparison, observed.spatial_shape)
        colour_bar(axes, image, "")
        if label:
            page.add_subplot(3, n_columns, row * n_columns + 1, frameon=False, xticks=[], yticks=[]).text(
                0.6, 0.5, label, ha="right", va="center", fontsize=SMALL
            )


def _outline(axes: Axes, comparison: MapComparison, shape: tuple[int, int]) -> None:
    for name in ("clump", "ring"):
        if name in comparison.regions:
            axes.contour(comparison.regions[name].reshape(shape).astype(float), [0.5], colors="white", linewidths=0.6)


def _sky_axes(page: SubFigure, place: tuple[int, int, int], shape: tuple[int, int], wcs: WCS | None) -> Axes:
    """Axes of offsets on the sky from the middle of the image, or of spaxels where there is no WCS."""
    if wcs is None:
        return page.add_subplot(*place)
    axes: Any = page.add_subplot(*place, projection=_offsets(wcs, shape))
    for number, coordinate in enumerate(axes.coords):
        coordinate.set_coord_type("longitude" if number == 0 else "latitude", *((180 * u.deg,) if number == 0 else ()))
        coordinate.set_format_unit(u.arcsec, decimal=True, show_decimal_unit=False)
        coordinate.set_ticks(spacing=_tick_step(wcs, shape) * u.arcsec)
        coordinate.set_ticks_position("b" if number == 0 else "l")
        coordinate.set_auto_axislabel(False)
    sky: Axes = axes
    return sky


def _tick_step(wcs: WCS, shape: tuple[int, int]) -> float:
    """A round number of arcsec, of which some three fit the shorter side."""
    from astropy.wcs.utils import proj_plane_pixel_scales

    third = min(shape) * float(np.mean(proj_plane_pixel_scales(wcs.celestial))) * 3600 / 3
    power = 10.0 ** np.floor(np.log10(third))
    return float(power * max(digit for digit in (1, 2, 5) if digit * power <= third))


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
    right, up = axes.coords  # type: ignore[attr-defined]  # of WCSAxes
    for coordinate, shown, label in ((right, last, "Δα [″]"), (up, first, "Δδ [″]")):
        coordinate.set_ticklabel_visible(shown)
        coordinate.set_axislabel(label if shown else "", minpad=0.4)
        coordinate.tick_params(direction="out", length=2, labelsize=SMALL)


def _norm(name: str, values: FloatArray) -> Normalize:
    """Colours of a parameter: velocities about their median."""
    norm = _limits(values)
    if name == "velocity" and norm.vmin is not None and norm.vmax is not None:
        middle = float(np.nanmedian(values))
        half = max(norm.vmax - middle, middle - norm.vmin)
        norm.vmin, norm.vmax = middle - half, middle + half
    return norm


def _limits(values: FloatArray, low: float | None = None) -> Normalize:
    """Colours from low to high percentiles of the finite values."""
    from matplotlib.colors import Normalize

    finite = values[np.isfinite(values)]
    if not finite.size:
        return Normalize(0, 1)
    bottom, top = np.percentile(finite, _SPREAD)
    bottom = bottom if low is None else low
    return Normalize(float(bottom), float(max(top, bottom + 1e-3)))


def _symmetric(values: FloatArray) -> Normalize:
    """Colours about 0."""
    from matplotlib.colors import Normalize

    finite = np.abs(values[np.isfinite(values)])
    span = float(np.percentile(finite, _SPREAD[1])) if finite.size else 1.0
    return Normalize(-max(span, 1e-3), max(span, 1e-3))
