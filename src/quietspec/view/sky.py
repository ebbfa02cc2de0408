"""Where the spaxels of an image lie on the sky, in the few numbers that a page needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.plots.sky import directions

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["coordinates", "sky_frame"]


def sky_frame(wcs: WCS | None) -> dict[str, Any] | None:
    """Scale and directions of an image on the sky.

    Parameters
    ----------
    wcs : WCS or None
        Celestial WCS of the image.

    Returns
    -------
    dict or None
        ``arcsec``, the size of a spaxel along x and y; ``north`` and ``east``, unit vectors (dx, dy) in spaxels; None
        without a WCS.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cd = ["RA---TAN", "DEC--TAN"], [[-0.2 / 3600, 0], [0, 0.2 / 3600]]
    >>> sky_frame(wcs)
    {'arcsec': [0.2, 0.2], 'north': [0.0, 1.0], 'east': [-1.0, 0.0]}
    """
    if wcs is None or (towards := directions(wcs)) is None:
        return None
    east, north = towards
    arcsec = np.hypot(*np.asarray(wcs.celestial.pixel_scale_matrix, dtype=np.float64)) * 3600
    return {name: _rounded(values) for name, values in (("arcsec", arcsec), ("north", north), ("east", east))}


def _rounded(values: FloatArray) -> list[float]:
    return [round(float(value), 9) + 0.0 for value in values]


def coordinates(wcs: WCS | None, x: float, y: float) -> list[float] | None:
    """Right ascension and declination (degrees) of a place in an image, in spaxels from 0; None without a WCS."""
    if wcs is None:
        return None
    ra, dec = (float(value) for value in wcs.celestial.pixel_to_world_values(x, y))
    return [ra, dec] if np.isfinite([ra, dec]).all() else None
