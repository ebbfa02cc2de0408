"""Regions drawn on a map: their spaxels, the sum of the spectra, and its error from the stored posterior."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray, IntArray
from quietspec.errors import ViewError
from quietspec.flags import FAILURES
from quietspec.view.document import Document
from quietspec.view.opened_spectra import ShownSpectra
from quietspec.view.stored import Stored

__all__ = ["ASSUMED", "Band", "Sum", "band_of", "rows_inside", "sum_of"]

#: What the error of a sum takes for granted, in words for the page.
ASSUMED = (
    "Estimates of different spaxels share the prior and the flux calibration, so they err alike, to a degree that is "
    "not known. The band is the error if all of it were shared, the largest there can be; the dashed lines are those "
    "of independent errors. The posterior of the summed data has smaller errors: denoised.sum(region) in Python."
)
_MOST_VERTICES = 500
_TILE = 64  # spectra added at once

Stop = Callable[[], bool]


@dataclass(frozen=True)
class Sum:
    """The sum of the spectra in a region, on the pixels where all of them have an estimate.

    Parameters
    ----------
    n_inside, n_summed : int
        Spaxels in the region, and those among them that have an estimate.
    flux, sigma, sigma_independent : (n_pixels,), optional
        Sum of the estimates; its 1σ error if the errors of spaxels are all shared, and if they are independent.
    input : (n_pixels,), optional
        Sum of the input of the same spaxels, where none of them is masked.
    input_sigma : (n_pixels,), optional
        Its error, if the noise of spaxels is independent.
    """

    n_inside: int
    n_summed: int
    flux: FloatArray | None
    sigma: FloatArray | None
    sigma_independent: FloatArray | None
    input: FloatArray | None
    input_sigma: FloatArray | None


@dataclass(frozen=True)
class Band:
    """The flux of a region, integrated over a band of wavelengths.

    Parameters
    ----------
    flux : float
        In the unit of the flux times Å.
    error : float
        1σ by the covariance between pixels, if the errors of spaxels are all shared.
    independent : float or None
        The same if they are independent; None for the posterior of a sum, which needs no such assumption.
    diagonal : float
        What VAR alone would give, as if pixels were independent too: too small.
    """

    flux: float
    error: float
    independent: float | None
    diagonal: float


def rows_inside(shape: Mapping[str, Any], image: tuple[int, int] | None) -> npt.NDArray[np.intp]:
    """Find the spaxels whose centres lie in a region.

    Parameters
    ----------
    shape : mapping
        ``type`` and, in spaxels with centres at whole numbers: of a ``rectangle`` `x0`, `y0`, `x1`, `y1`; of a
        ``circle`` `x`, `y`, `r`; of a ``polygon`` `points`, pairs (x, y).
    image : (ny, nx) or None
        Shape of the image.

    Returns
    -------
    (n,) of int
        Numbers of the spectra.

    Raises
    ------
    ViewError
        If the region is malformed, or no centre lies in it.

    Examples
    --------
    >>> rows_inside({"type": "circle", "x": 1, "y": 1, "r": 1}, (3, 3))
    array([1, 3, 4, 5, 7])
    """
    if image is None:
        raise ViewError("a region needs an image; these spectra form none.")
    y, x = np.indices(image)
    inside = _inside(shape, x.ravel(), y.ravel())
    rows = np.flatnonzero(inside)
    if not rows.size:
        raise ViewError("no spaxel's centre lies in the region. Draw a larger one.")
    return rows


def _inside(shape: Mapping[str, Any], x: IntArray, y: IntArray) -> BoolArray:
    kind = shape.get("type")
    if kind == "rectangle":
        x0, y0, x1, y1 = (_number(shape, name) for name in ("x0", "y0", "x1", "y1"))
        return (x >= min(x0, x1)) & (x <= max(x0, x1)) & (y >= min(y0, y1)) & (y <= max(y0, y1))
    if kind == "circle":
        centre_x, centre_y, radius = (_number(shape, name) for name in ("x", "y", "r"))
        return np.asarray(np.hypot(x - centre_x, y - centre_y) <= radius + 1e-9)
    if kind == "polygon":
        return _in_polygon(_points(shape), x, y)
    raise ViewError(f"a region is a rectangle, a circle or a polygon, not {kind!r}.")


def _number(shape: Mapping[str, Any], name: str) -> float:
    value = shape.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 1e6:
        raise ViewError(f"a {shape.get('type')} needs a number {name}.")
    return float(value)


def _points(shape: Mapping[str, Any]) -> list[tuple[float, float]]:
    points = shape.get("points")
    if not isinstance(points, list) or not 3 <= len(points) <= _MOST_VERTICES:
        raise ViewError(f"a polygon needs 3 to {_MOST_VERTICES} points.")
    if any(not isinstance(point, list) or len(point) != 2 for point in points):
        raise ViewError("a point of a polygon is a pair of numbers.")
    named = [{"type": "polygon", "x": x, "y": y} for x, y in points]
    return [(_number(point, "x"), _number(point, "y")) for point in named]


def _in_polygon(points: list[tuple[float, float]], x: IntArray, y: IntArray) -> BoolArray:
    """Which places lie in a polygon: a ray to the right crosses its sides an odd number of times."""
    inside = np.zeros(x.shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        if y0 == y1:
            continue
        crosses = (y0 > y) != (y1 > y)
        inside ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


def sum_of(document: Document, rows: npt.NDArray[np.intp], stop: Stop = lambda: False) -> Sum:
    """Add up the spectra of a region.

    Parameters
    ----------
    document : Document
        The file.
    rows : (n,) of int
        Numbers of the spectra.
    stop : callable, optional
        Whether nobody waits for the answer any more.

    Returns
    -------
    Sum
        Of those spectra that have an estimate; of spectra of other surveys, those with a good pixel.

    Raises
    ------
    ViewError
        If none has one, or nobody waits any more.
    """
    total = _Total()
    for tile in _tiles(rows, stop):
        total.add(_spectra(document).read(tile), tile)
    if not total.n:
        raise ViewError("no spaxel of the region has an estimate.")
    return Sum(len(rows), total.n, **total.summed())


def _spectra(document: Document) -> Any:
    if document.spectra is None:
        raise ViewError(f"{document.path.name}: holds maps, no spectra.")
    return document.spectra


def _tiles(rows: npt.NDArray[np.intp], stop: Stop) -> Iterator[npt.NDArray[np.intp]]:
    for start in range(0, len(rows), _TILE):
        if stop():
            raise ViewError("the question was withdrawn.")
        yield rows[start : start + _TILE]


class _Total:
    """Sums of spectra, tile by tile."""

    def __init__(self) -> None:
        self.n = 0
        self._sums: dict[str, FloatArray] = {}

    def add(self, shown: ShownSpectra, rows: npt.NDArray[np.intp]) -> None:
        """Add the spectra of a tile that have an estimate."""
        told = shown.input if shown.flux is None else shown.flux
        if told is None:
            return
        kept = np.isfinite(told).any(axis=1)
        self.n += int(kept.sum())
        terms: dict[str, FloatArray | None] = {
            "flux": shown.flux, "variance": _squared(shown.sigma), "sigma": shown.sigma, "input": shown.input,
            "input_variance": _squared(shown.input_sigma),
        }  # fmt: skip
        for name, values in terms.items():
            if values is not None:
                added = values[kept].astype(np.float64).sum(axis=0)
                self._sums[name] = added if name not in self._sums else self._sums[name] + added

    def summed(self) -> dict[str, FloatArray | None]:
        """Fields of a `Sum`."""
        found: dict[str, FloatArray | None] = {name: self._sums.get(name) for name in ("flux", "sigma", "input")}
        for name, variance in (("sigma_independent", "variance"), ("input_sigma", "input_variance")):
            found[name] = np.sqrt(self._sums[variance]) if variance in self._sums else None
        return found


def _squared(values: FloatArray | None) -> FloatArray | None:
    return None if values is None else values.astype(np.float64) ** 2


def band_of(
    document: Document, rows: npt.NDArray[np.intp], limits: tuple[float, float], stop: Stop = lambda: False
) -> Band:
    """Integrate the estimates of a region over a band, with the error that the covariance between pixels gives.

    Parameters
    ----------
    document : Document
        A denoised file with a POSTERIOR.
    rows : (n,) of int
        Numbers of the spectra.
    limits : (float, float)
        First and last wavelength, observed Å.
    stop : callable, optional
        Whether nobody waits for the answer any more.

    Returns
    -------
    Band
        Flux and error.

    Raises
    ------
    ViewError
        If the file has no POSTERIOR, the band holds no pixel, no spaxel has an estimate in all of it, or nobody waits.
    """
    stored = Stored.of(document)
    wavelength = _spectra(document).source.wavelength
    weights = np.where((wavelength >= limits[0]) & (wavelength <= limits[1]), np.gradient(wavelength), 0.0)
    if not weights.any():
        raise ViewError("no pixel lies in the band.")
    flags = document.flags
    kept = rows if flags is None else rows[(flags[rows] & int(FAILURES)) == 0]
    flux: list[float] = []
    errors: list[float] = []
    diagonal: list[float] = []
    for tile in _tiles(kept, stop):
        shown = _spectra(document).read(tile)
        values = np.where(weights != 0, shown.flux, 0.0)
        whole = np.asarray(np.isfinite(values).all(axis=1))
        for number, error in enumerate(stored.errors(tile, weights, shown)):
            if stop():
                raise ViewError("the question was withdrawn.")
            if whole[number]:
                flux.append(float(weights @ values[number]))
                errors.append(error)
                diagonal.append(float(np.nansum((weights * shown.sigma[number]) ** 2)))
    if not flux:
        raise ViewError("no spaxel of the region has an estimate in the whole band.")
    return Band(sum(flux), sum(errors), float(np.hypot.reduce(errors)), math.sqrt(sum(diagonal)))
