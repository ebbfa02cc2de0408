"""Apertures: regions on the sky or on the image, and the share of each spaxel that lies within them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from quietspec.arrays import FloatArray
from quietspec.binning.weights import Weights
from quietspec.errors import QuietspecError, ReadError, SpectraError

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from regions import PixelRegion, Region

__all__ = ["Apertures", "apertures_of", "read_apertures"]

_SAMPLES = 10  # points along each side of a spaxel


@dataclass(frozen=True, eq=False)
class Apertures:
    """Apertures on an image.

    Parameters
    ----------
    names : tuple of str
        Name of each aperture.
    weights : (n_apertures, n_spaxels) sparse array
        Fraction of each spaxel that lies within each aperture.
    """

    names: tuple[str, ...]
    weights: Weights

    def __len__(self) -> int:
        return len(self.names)

    @property
    def n_spaxels(self) -> FloatArray:
        """Area of each aperture in spaxels, (n_apertures,)."""
        return np.asarray(self.weights.sum(axis=1))


def apertures_of(
    regions: Region | Iterable[Region], spatial_shape: tuple[int, int] | None, wcs: WCS | None = None
) -> Apertures:
    """Find the share of each spaxel that lies within each region.

    Parameters
    ----------
    regions : regions.Region or iterable of these
        Regions of the package `regions` with an area: of pixels, which count from 0 as astropy does, or on the sky.
        What lies in a region marked as excluded belongs to none of them.
    spatial_shape : (ny, nx)
        Image of the spaxels.
    wcs : astropy.wcs.WCS, optional
        Celestial WCS of that image; only regions on the sky need it.

    Returns
    -------
    Apertures
        Named by the region's text, label or tag, else by its number from 1.

    Raises
    ------
    SpectraError
        If the spectra form no image, a region lies outside it, has no area, or is on the sky and there is no WCS.

    Examples
    --------
    >>> from regions import CirclePixelRegion, PixCoord
    >>> aperture = apertures_of(CirclePixelRegion(PixCoord(10, 10), 3), (20, 20))
    >>> aperture.names, aperture.n_spaxels.round(2)
    (('1',), array([28.27]))
    """
    if spatial_shape is None:
        raise SpectraError("apertures: these spectra form no image, so that a region has no place among them.")
    given = list(regions) if isinstance(regions, Iterable) else [regions]
    images = [_overlap(region, spatial_shape, wcs) for region in given]
    excluded = [not region.meta.get("include", True) for region in given]
    free = np.prod([1 - image for image, out in zip(images, excluded, strict=True) if out], axis=0)
    kept = [number for number, out in enumerate(excluded) if not out]
    names = [_name(given[number], place) for place, number in enumerate(kept, start=1)]
    rows = [(images[number] * free).ravel() for number in kept]
    if not rows:
        raise SpectraError("apertures: all regions are marked as excluded.")
    for name, row in zip(names, rows, strict=True):
        if not row.any():
            raise SpectraError(
                f"aperture {name!r}: no spaxel of the {spatial_shape[0]} × {spatial_shape[1]} of the image lies within "
                "it. Are its coordinates those of this image, and does the WCS put it on the sky rightly?"
            )
    return Apertures(tuple(names), sparse.csr_array(np.array(rows)))


def read_apertures(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    spatial_shape: tuple[int, int] | None,
    wcs: WCS | None = None,
) -> Apertures:
    """Read region files, and find the share of each spaxel that lies within each region.

    Parameters
    ----------
    paths : path or sequence of path
        Region files of ds9, CRTF or FITS, as the package `regions` reads them. ds9's image coordinates count from 1.
    spatial_shape, wcs : optional
        As for `apertures_of`.

    Returns
    -------
    Apertures
        Of all files, in order.

    Raises
    ------
    ReadError
        If a file cannot be read as regions.
    SpectraError
        As for `apertures_of`.
    QuietspecError
        If the package `regions` is not installed.
    """
    named = [paths] if isinstance(paths, str | PathLike) else list(paths)
    found = []
    for path in named:
        try:
            found.append(apertures_of(_read(Path(path)), spatial_shape, wcs))
        except SpectraError as error:
            raise SpectraError(f"{path}: {error}") from error
    many = len(found) > 1
    names = [
        f"{Path(path).stem} {name}" if many and name.isdigit() else name
        for path, apertures in zip(named, found, strict=True)
        for name in apertures.names
    ]
    return Apertures(tuple(names), sparse.csr_array(sparse.vstack([apertures.weights for apertures in found])))


def _read(path: Path) -> list[Region]:
    """Regions of a file; whatever a reader of `regions` raises becomes a `ReadError`."""
    try:
        from regions import Regions
    except ImportError as error:
        raise QuietspecError("regions is not installed: pip install 'quietspec[regions]'.") from error
    if not path.is_file():
        raise ReadError(f"{path}: there is no such file of regions.")
    try:
        found: list[Any] = list(Regions.read(str(path), format=_format(path)))
    except Exception as error:
        raise ReadError(f"{path}: cannot be read as regions ({type(error).__name__}: {error}).") from error
    if not found:
        raise ReadError(
            f"{path}: holds no region. A line of a ds9 file reads, for example, "
            "'icrs; circle(150.0, 2.2, 3.0\")' or 'image; box(20, 20, 5, 5, 0)'."
        )
    return found


def _format(path: Path) -> str:
    if path.suffix.lower() in (".fits", ".fit"):
        return "fits"
    return "crtf" if path.suffix.lower() == ".crtf" or path.read_bytes()[:5] == b"#CRTF" else "ds9"


def _overlap(region: Region, shape: tuple[int, int], wcs: WCS | None) -> FloatArray:
    """Fraction of each spaxel within a region, (ny, nx)."""
    from regions import SkyRegion

    if isinstance(region, SkyRegion):
        if wcs is None:
            raise SpectraError(
                f"region {_name(region, 0)!r} is on the sky, but the image has no celestial WCS: give it in pixels."
            )
        region = region.to_pixel(wcs)
    try:
        image = region.to_mask(mode="exact").to_image(shape)
    except NotImplementedError:
        return _sampled(region, shape)
    return np.zeros(shape) if image is None else np.asarray(image, dtype=np.float64)


def _sampled(region: PixelRegion, shape: tuple[int, int]) -> FloatArray:
    """Fraction of each spaxel within a region for which `regions` computes no exact overlap, such as a compound one."""
    from regions import PixCoord

    with suppress(NotImplementedError):  # compound regions do not know their areas
        if not region.area:
            raise SpectraError(f"region {_name(region, 0)!r}: {type(region).__name__} has no area to sum over.")
    y, x = np.indices(shape, dtype=np.float64)
    offsets = (np.arange(_SAMPLES) + 0.5) / _SAMPLES - 0.5
    inside = [region.contains(PixCoord(x + dx, y + dy)) for dy in offsets for dx in offsets]
    return np.asarray(np.mean(inside, axis=0, dtype=np.float64))


def _name(region: Region, number: int) -> str:
    """Text, label or first tag of a region, else its number."""
    for key in ("text", "label", "tag"):
        value = region.meta.get(key)
        text = value[0] if isinstance(value, list | tuple) and value else value
        if text:
            return re.sub(r"^[{\"']|[}\"']$", "", str(text)).strip()
    return str(number)
