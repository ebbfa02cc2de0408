"""Maps of stellar populations on the sky, above maps of their errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from quietspec.denoised import Flag
from quietspec.errors import SpectraError
from quietspec.plots.sky import colour_limits, outer_labels, sky_axes
from quietspec.plots.style import BLACK, COLOURS, NO_VALUE, colour_bar, figure, hatched_image, styled

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from matplotlib.artist import Artist
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure, SubFigure

    from quietspec.arrays import BoolArray, FloatArray
    from quietspec.populations import Populations

__all__ = ["PARAMETER_LABELS", "populations_figure"]

PARAMETER_LABELS = {  #: name and unit of each parameter, in the order of the panels
    "log_age_lw": ("log age (light)", "log yr"),
    "mh_lw": ("[M/H] (light)", "dex"),
    "log_age_mw": ("log age (mass)", "log yr"),
    "mh_mw": ("[M/H] (mass)", "dex"),
    "log_t50": (r"log $t_{50}$", "log yr"),
    "log_t90": (r"log $t_{90}$", "log yr"),
    "log_ml_v": (r"log $M_\ast/L_V$", "solar"),
    "a_v": (r"$A_V$", "mag"),
    "velocity": ("velocity", "km/s"),
    "sigma": (r"$\sigma$", "km/s"),
    "nucleus": ("nucleus", "share of light"),
    "flux_Halpha": (r"H$\alpha$", "flux"),
    "ew_Halpha": (r"EW H$\alpha$", "Å"),
    "flux_NII6583": ("[N II] 6583", "flux"),
    "flux_Hbeta": (r"H$\beta$", "flux"),
    "flux_OIII5007": ("[O III] 5007", "flux"),
    "flux_OII3727": ("[O II] 3727", "flux"),
    "gas_velocity": ("velocity of the gas", "km/s"),
    "gas_sigma": (r"$\sigma$ of the gas", "km/s"),
    "gas2_velocity": ("velocity of gas 2", "km/s"),
    "gas2_sigma": (r"$\sigma$ of gas 2", "km/s"),
    "gas2_share": ("share of gas 2", "of the flux"),
    "flux_broad_Halpha": (r"broad H$\alpha$", "flux"),
    "broad_fwhm": ("FWHM, broad", "km/s"),
    "av_gas": (r"$A_V$ of the gas", "mag"),
}
_COLOUR_MAPS = dict.fromkeys(("velocity", "gas_velocity", "gas2_velocity"), "RdBu_r")
_COLUMNS = 4
_FEW = 6  # spectra that are drawn in as many columns as maps are; more need the width of the page
_CELL = 1.5  # inches, height of one map with its title


@styled
def populations_figure(
    populations: Populations, spatial_shape: tuple[int, int] | None = None, wcs: WCS | None = None
) -> Figure:
    """Draw the populations of a file.

    Parameters
    ----------
    populations : Populations
        Populations of all spectra.
    spatial_shape : (ny, nx), optional
        Image that the spectra form; without one, values are drawn against the number of the spectrum.
    wcs : astropy.wcs.WCS, optional
        Celestial WCS of the image, with which the axes are offsets on the sky.

    Returns
    -------
    matplotlib.figure.Figure
        A map of each parameter (light- or mass-weighted means for ages and metallicities) and of the main emission
        lines above a map of its error, half the width of the 68 % interval. Dots mark flagged spaxels, hatching those
        without a result.

    Raises
    ------
    SpectraError
        If no spectrum has a result.
    """
    names = [name for name in PARAMETER_LABELS if np.isfinite(_interval(populations, name)[0]).any()]
    if not names:
        raise SpectraError("populations_figure: no spectrum has a result, there is nothing to draw.")
    if spatial_shape is None:
        return _drawn_by_number(populations, names)
    bands = [names[start : start + _COLUMNS] for start in range(0, len(names), _COLUMNS)]
    page = figure(2 * _CELL * len(bands) + 0.25)
    parts = np.atleast_1d(np.asarray(page.subfigures(len(bands), 1), dtype=object))
    for part, band in zip(parts, bands, strict=True):
        _draw_band(part, populations, band, spatial_shape, wcs)
    page.legend(handles=_marks(populations), loc="outside lower center", ncols=3)
    return page


def _marks(populations: Populations) -> list[Artist]:
    """Legend of the marks that there are."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks: list[Artist] = [Patch(facecolor="#d0d0d0", label="fades to grey: error above the range of the colours")]
    if _doubtful(populations).any():
        marks.append(Line2D([], [], ls="", marker=".", color=BLACK, ms=2, label="doubtful, by its flags"))
    if populations.failed.any():
        marks.append(Patch(**NO_VALUE, label="no result"))
    return marks


def _draw_band(
    page: SubFigure, populations: Populations, names: Sequence[str], shape: tuple[int, int], wcs: WCS | None
) -> None:
    """Draw a row of maps of values above one of errors."""
    flagged = _doubtful(populations).reshape(shape)
    for column, name in enumerate(names):
        title, unit = PARAMETER_LABELS[name]
        value, low, high = _interval(populations, name)
        values, errors = value.reshape(shape), (high - low).reshape(shape) / 2
        upper, lower = (sky_axes(page, (2, _COLUMNS, row * _COLUMNS + column + 1), shape, wcs) for row in (0, 1))
        norm = _norm(name, values)
        strength = 1 / (1 + (2 * errors / max((norm.vmax or 1.0) - (norm.vmin or 0.0), 1e-12)) ** 2)
        image = hatched_image(upper, values, norm, _COLOUR_MAPS.get(name, "viridis"), strength)
        colour_bar(upper, image, "")
        y, x = np.nonzero(flagged)
        upper.plot(x, y, ".", color=BLACK, ms=0.7, mew=0)
        upper.set_title(f"{title} [{unit}]")
        image = hatched_image(lower, errors, colour_limits(errors, low=0.0), "cividis")
        colour_bar(lower, image, "")
        lower.set_title("1σ error")
        outer_labels(upper, first=column == 0, last=False, wcs=wcs)
        outer_labels(lower, first=column == 0, last=True, wcs=wcs)


def _interval(populations: Populations, name: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Value of a quantity, and the ends of its 68 % interval, (n_spectra,) each; NaN where it was not measured."""
    if name in populations.values:
        return populations.values[name], populations.low[name], populations.high[name]
    unknown = np.full(len(populations), np.nan)
    value, error = populations.further.get(name, (unknown, unknown))
    return value, value - error, value + error


def _doubtful(populations: Populations) -> BoolArray:
    """Spectra that are marked as flagged; where a parameter is little more than the prior, its error shows it."""
    flags = populations.flags & ~int(Flag.PRIOR_LABELS | Flag.ULTRAVIOLET)
    return np.asarray((flags != 0) & ~populations.failed)


def _drawn_by_number(populations: Populations, names: Sequence[str]) -> Figure:
    """Draw one panel per parameter: values with their intervals against the number of the spectrum."""
    number, flagged = np.arange(len(populations)), _doubtful(populations)
    columns = _COLUMNS if len(populations) <= _FEW else 1
    page = figure(0.95 * -(-len(names) // columns) + 0.4)
    grid = page.subplots(-(-len(names) // columns), columns, sharex=True, squeeze=False)
    panels = grid.ravel()[: len(names)]
    for empty in grid.ravel()[len(names) :]:
        empty.remove()
    for axes, name in zip(panels, names, strict=True):
        value, low, high = _interval(populations, name)
        known = np.isfinite(value)
        for some, colour, label in ((known & ~flagged, COLOURS[0], ""), (known & flagged, COLOURS[1], "flagged")):
            bars = np.clip([value[some] - low[some], high[some] - value[some]], 0, None)
            axes.errorbar(number[some], value[some], bars, fmt="o", ms=2.5, lw=0.7, color=colour, label=label)
        title, unit = PARAMETER_LABELS[name]
        if columns == 1:
            axes.set_ylabel(f"{title}\n[{unit}]")
        else:
            axes.set_title(f"{title} [{unit}]")
        axes.set_xlim(-0.5, len(populations) - 0.5)
    if flagged.any():
        panels[0].legend(*panels[0].get_legend_handles_labels())
    page.supxlabel("Spectrum number", fontsize="medium")
    if columns == 1:
        panels[-1].xaxis.get_major_locator().set_params(integer=True)
    else:
        panels[-1].set_xticks(number)
    return page


def _norm(name: str, values: FloatArray) -> Normalize:
    """Choose the colour scale of a parameter, centred on the median for velocities."""
    norm = colour_limits(values)
    if name in _COLOUR_MAPS and norm.vmin is not None and norm.vmax is not None:
        middle = float(np.nanmedian(values))
        half = max(norm.vmax - middle, middle - norm.vmin)
        norm.vmin, norm.vmax = middle - half, middle + half
    return norm
