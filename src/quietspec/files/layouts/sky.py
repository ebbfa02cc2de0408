"""Where the spaxels of a map are on the sky: offsets, areas, and headers with the celestial WCS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quietspec.arrays import FloatArray

if TYPE_CHECKING:
    from astropy.io import fits
    from astropy.wcs import WCS

__all__ = ["centre_of", "map_header", "offsets", "pixel_area"]

_ARCSEC = 3600.0  # per degree


def map_header(wcs: WCS | None, *, channels: bool = False) -> fits.Header:
    """Header of an image with a celestial WCS, or of a stack of such images.

    Parameters
    ----------
    wcs : astropy.wcs.WCS or None
        The celestial WCS; without one the header is empty.
    channels : bool
        Whether several images are stacked along a third axis, which counts them.

    Returns
    -------
    astropy.io.fits.Header
        PC matrix, CDELT, CRVAL and so on.
    """
    from astropy.io import fits

    if wcs is None:
        return fits.Header()
    header = wcs.celestial.to_header()
    if channels:
        header["WCSAXES"] = 3
        header["CTYPE3"], header["CUNIT3"] = (" ", "number of the channel"), " "
        header["CRPIX3"], header["CRVAL3"], header["CDELT3"] = 1.0, 1.0, 1.0
    return header


def centre_of(wcs: WCS, shape: tuple[int, int]) -> tuple[float, float]:
    """Longitude and latitude of the middle of an image.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Celestial WCS.
    shape : (ny, nx)
        Shape of the image.

    Returns
    -------
    float, float
        Degrees.
    """
    ny, nx = shape
    longitude, latitude = wcs.celestial.pixel_to_world_values((nx - 1) / 2, (ny - 1) / 2)
    return float(longitude), float(latitude)


def offsets(wcs: WCS, shape: tuple[int, int], centre: tuple[float, float]) -> FloatArray:
    """Offsets of spaxels on the sky, x towards the east and y towards the north.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Celestial WCS.
    shape : (ny, nx)
        Shape of the image.
    centre : float, float
        Longitude and latitude of the origin, degrees.

    Returns
    -------
    (2, ny, nx)
        x and y, arcsec.
    """
    y, x = np.indices(shape)
    longitude, latitude = wcs.celestial.pixel_to_world_values(x, y)
    east = (longitude - centre[0] + 180) % 360 - 180
    return np.asarray([east * np.cos(np.radians(centre[1])), latitude - centre[1]]) * _ARCSEC


def pixel_area(wcs: WCS) -> float:
    """Area of a spaxel, arcsec²."""
    from astropy.wcs.utils import proj_plane_pixel_area

    return float(proj_plane_pixel_area(wcs.celestial)) * _ARCSEC**2
