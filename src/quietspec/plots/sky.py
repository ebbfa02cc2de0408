"""Maps on the sky, in offsets from the centre of an image, and their colour scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np

from quietspec.plots.style import SMALL, hatched_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.wcs import WCS
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage

    from quietspec.arrays import FloatArray

__all__ = ["SPREAD", "colour_limits", "compass", "directions", "outer_labels", "row_of_maps", "sky_axes"]

_SINGULAR = 1e-20  # square degrees; no spaxel is so small
SPREAD = (2.0, 98.0)  #: percentiles of a map between which its colours run


def sky_axes(page: Figure | SubFigure, place: tuple[int, int, int], shape: tuple[int, int], wcs: WCS | None) -> Axes:
    """Make axes of offsets on the sky from the centre of the image, or of spaxels without a WCS."""
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
    """Choose a round number of arcsec of which about three fit the shorter side."""
    from astropy.wcs.utils import proj_plane_pixel_scales

    third = min(shape) * float(np.mean(proj_plane_pixel_scales(wcs.celestial))) * 3600 / 3
    power = 10.0 ** np.floor(np.log10(third))
    return float(power * max(digit for digit in (1, 2, 5) if digit * power <= third))


def _offsets(wcs: WCS, shape: tuple[int, int]) -> WCS:
    """Move the origin of a WCS to the centre of the image, so that coordinates are small offsets."""
    from astropy.wcs import WCS

    offsets = WCS(naxis=2)
    offsets.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    offsets.wcs.cunit = ["deg", "deg"]
    offsets.wcs.crval = [0.0, 0.0]
    offsets.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    offsets.wcs.cd = wcs.celestial.pixel_scale_matrix
    return offsets


def row_of_maps(
    page: Figure | SubFigure, images: Sequence[tuple[FloatArray, str, Normalize, str]], wcs: WCS | None
) -> list[tuple[Axes, AxesImage]]:
    """Draw images side by side, (ny, nx) each, given with title, colour scale and colours; only the first labels y."""
    drawn = []
    for column, (values, title, norm, colours) in enumerate(images, start=1):
        axes = sky_axes(page, (1, len(images), column), values.shape, wcs)
        drawn.append((axes, hatched_image(axes, values, norm, colours)))
        axes.set_title(title)
        outer_labels(axes, first=column == 1, last=True, wcs=wcs)
    return drawn


def outer_labels(axes: Axes, *, first: bool, last: bool, wcs: WCS | None) -> None:
    """Label the axes of a panel only in the first column and the last row."""
    if wcs is None:
        axes.set(xlabel="x [spaxel]" if last else "", ylabel="y [spaxel]" if first else "")
        axes.tick_params(direction="out", top=False, right=False, labelbottom=last, labelleft=first)
        return
    right, up = axes.coords  # type: ignore[attr-defined]  # of WCSAxes
    for coordinate, shown, label in ((right, last, "Δα [″]"), (up, first, "Δδ [″]")):
        coordinate.set_ticklabel_visible(shown)
        coordinate.set_axislabel(label if shown else "", minpad=0.4)
        coordinate.tick_params(direction="out", length=2, labelsize=SMALL)


def directions(wcs: WCS) -> tuple[FloatArray, FloatArray] | None:
    """Unit vectors (dx, dy) in spaxels to the east and the north; None where the WCS has no inverse."""
    matrix = np.asarray(wcs.celestial.pixel_scale_matrix, dtype=np.float64)  # degrees east and north per spaxel
    if abs(np.linalg.det(matrix)) < _SINGULAR:
        return None
    east, north = (direction / np.hypot(*direction) for direction in np.linalg.inv(matrix).T)
    return east, north


def compass(axes: Axes, wcs: WCS | None) -> None:
    """Draw arrows to the north and the east in the lower right corner of a map; nothing without a WCS."""
    if wcs is None or (towards := directions(wcs)) is None:
        return
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2, foreground="white")]
    start, length = np.array([0.84, 0.12]), 0.13  # of the map
    for name, direction in zip("EN", towards, strict=True):
        step = length * direction
        (line,) = axes.plot(
            *np.stack([start, start + step], axis=1), transform=axes.transAxes, color="black", lw=0.9, path_effects=halo
        )
        line.set_clip_on(False)
        x, y = start + 1.4 * step
        axes.text(
            x, y, name, transform=axes.transAxes, fontsize=SMALL, ha="center", va="center",
            path_effects=halo,
        )  # fmt: skip


def colour_limits(values: FloatArray, low: float | None = None) -> Normalize:
    """Choose a colour scale from low to high percentiles of the finite values."""
    from matplotlib.colors import Normalize

    finite = values[np.isfinite(values)]
    if not finite.size:
        return Normalize(0, 1)
    bottom, top = np.percentile(finite, SPREAD)
    bottom = bottom if low is None else low
    return Normalize(float(bottom), float(max(top, bottom + 1e-3)))
