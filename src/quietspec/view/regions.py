"""Regions drawn on a map: their spaxels, the sum of the spectra, and its error from the stored posterior."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray, IntArray
from quietspec.errors import ViewError
from quietspec.flags import FAILURES
from quietspec.view.document import Document
from quietspec.view.opened_spectra import ShownSpectra
from quietspec.view.stored import Stored

__all__ = ["Band", "Sharing", "Stop", "Sum", "band_of", "go_on", "rows_inside", "sum_of"]

Stop = Callable[[], bool]
#: Whether it is known, from measurements on simulated galaxies, how far errors of spaxels are shared.
Sharing = Literal["measured", "unknown"]

#: What the error of a sum of estimates takes for granted, in words for the page.
_ASSUMED: Mapping[Sharing, str] = {
    "measured": (
        "Estimates of spaxels that were denoised together err alike, neighbours most of all. The band is the error "
        "with what they share, as measured on simulated galaxies"
    ),
    "unknown": (
        "Estimates of different spaxels share the prior and the flux calibration, so they err alike, to a degree that "
        "is not known. The band is the error if all of it were shared, the largest there can be"
    ),
}
_BESIDE = (
    "; the dashed lines are those of independent errors. The posterior of the summed data has smaller errors: "
    "denoised.sum(region) in Python."
)
_NO_ESTIMATE = "The error is that of the data if the noise of spaxels is independent."
_MOST_VERTICES = 500
_TILE = 64  # spectra added at once
_TOGETHER = 100  # spaxels whose neighbours are looked up at once: some 45 MB where estimates rest on 1000 spaxels


@dataclass(frozen=True)
class Sum:
    """The sum of the spectra in a region, on the pixels where all of them have an estimate.

    Parameters
    ----------
    n_inside, n_summed : int
        Spaxels in the region, and those among them that have an estimate.
    sharing : {'measured', 'unknown'} or None
        Whether it is known how far errors of spaxels are shared; None where there are no estimates.
    flux, sigma, sigma_independent : (n_pixels,), optional
        Sum of the estimates; its 1σ error with what spaxels share, where unknown all of it; and if their errors are
        independent.
    input : (n_pixels,), optional
        Sum of the input of the same spaxels, where none of them is masked.
    input_sigma : (n_pixels,), optional
        Its error, if the noise of spaxels is independent.
    """

    n_inside: int
    n_summed: int
    sharing: Sharing | None
    flux: FloatArray | None
    sigma: FloatArray | None
    sigma_independent: FloatArray | None
    input: FloatArray | None
    input_sigma: FloatArray | None

    @property
    def words(self) -> str:
        """What the band of the sum is."""
        return _NO_ESTIMATE if self.sharing is None else _ASSUMED[self.sharing] + _BESIDE


@dataclass(frozen=True)
class Band:
    """The flux of a region, integrated over a band of wavelengths.

    Parameters
    ----------
    flux : float
        In the unit of the flux times Å.
    error : float
        1σ by the covariance between pixels, with what spaxels share, where unknown all of it.
    independent : float or None
        The same if errors of spaxels are independent; None for the posterior of a sum, which needs no such assumption.
    diagonal : float
        What VAR alone would give, as if pixels were independent too: too small.
    sharing : {'measured', 'unknown'} or None
        Whether it is known how far errors of spaxels are shared; None for the posterior of a sum.
    """

    flux: float
    error: float
    independent: float | None
    diagonal: float
    sharing: Sharing | None


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
    spectra, kept = _spectra(document), _estimated(document, rows)
    total = _Total(_shares(document, kept, stop))
    for tile in _tiles(kept, stop):
        total.add(spectra.read(tile), tile)
    if not total.n:
        raise ViewError("no spaxel of the region has an estimate.")
    return Sum(len(rows), total.n, total.sharing, **total.summed())


def _estimated(document: Document, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Spectra whose flags do not say that they have no estimate."""
    flags = document.flags
    return rows if flags is None else rows[(flags[rows] & int(FAILURES)) == 0]


def _shares(document: Document, rows: npt.NDArray[np.intp], stop: Stop) -> FloatArray | None:
    """Factors with which variances of spaxels enter that of their sum, (n_spectra,); None where they are not known."""
    if document.kind != "denoised" or document.shape is None or not {"N_SPAXELS", "SNR_OUT"} <= {*document.quantities}:
        return None
    n_spaxels = document.values("N_SPAXELS")
    if not rows.size or not (n_spaxels[rows] >= 1).all():  # NaN in a damaged file
        return None
    from quietspec.binning.sharing import share_in_cube
    from quietspec.binning.weights import checked_weights  # takes a second

    weights = np.zeros(document.n_spectra)
    weights[rows] = 1.0
    shared = share_in_cube(
        checked_weights(weights, len(weights)), document.shape, n_spaxels, document.values("SNR_OUT"),
        together=_TOGETHER, progress=lambda done, total: go_on(stop),
    )  # fmt: skip
    return np.asarray(shared.toarray()[0])


def go_on(stop: Stop) -> None:
    """Raise a `ViewError` if nobody waits for the answer any more."""
    if stop():
        raise ViewError("the question was withdrawn.")


def _spectra(document: Document) -> Any:
    if document.spectra is None:
        raise ViewError(f"{document.path.name}: holds maps, no spectra.")
    return document.spectra


def _tiles(rows: npt.NDArray[np.intp], stop: Stop) -> Iterator[npt.NDArray[np.intp]]:
    for start in range(0, len(rows), _TILE):
        go_on(stop)
        yield rows[start : start + _TILE]


class _Total:
    """Sums of spectra, tile by tile, with what their errors share where that is known."""

    def __init__(self, shares: FloatArray | None) -> None:
        self.n = 0
        self._shares = shares
        self._sums: dict[str, FloatArray] = {}

    def add(self, shown: ShownSpectra, rows: npt.NDArray[np.intp]) -> None:
        """Add the spectra of a tile that have an estimate."""
        told = shown.input if shown.flux is None else shown.flux
        if told is None:
            return
        kept = np.isfinite(told).any(axis=1)
        self.n += int(kept.sum())
        variance = _squared(shown.sigma)
        shared = None if variance is None or self._shares is None else self._shares[rows, None] * variance
        terms: dict[str, FloatArray | None] = {
            "flux": shown.flux, "sigma": shown.sigma, "variance": variance, "shared_variance": shared,
            "input": shown.input, "input_variance": _squared(shown.input_sigma),
        }  # fmt: skip
        for name, values in terms.items():
            if values is not None:
                added = values[kept].astype(np.float64).sum(axis=0)
                self._sums[name] = added if name not in self._sums else self._sums[name] + added

    @property
    def sharing(self) -> Sharing | None:
        """Whether it is known how far errors are shared; None where there are no estimates."""
        if "flux" not in self._sums:
            return None
        return "unknown" if self._shares is None else "measured"

    def summed(self) -> dict[str, FloatArray | None]:
        """Fields of a `Sum`."""
        variances = {"sigma_independent": "variance", "input_sigma": "input_variance", "sigma": "shared_variance"}
        roots = {name: np.sqrt(self._sums[of]) for name, of in variances.items() if of in self._sums}
        known = self._sums | roots
        return {name: known.get(name) for name in ("flux", "sigma", "sigma_independent", "input", "input_sigma")}


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
    tiles = _tiles(_estimated(document, rows), stop)
    found = [each for tile in tiles for each in _integrated(document, stored, tile, weights, stop)]
    if not found:
        raise ViewError("no spaxel of the region has an estimate in the whole band.")
    kept = np.array([row for row, *_ in found])
    flux, errors, diagonal = np.array([values for _, *values in found]).T
    shares = _shares(document, kept, stop)
    error = errors.sum() if shares is None else np.sqrt(shares[kept] @ errors**2)
    independent, alone = (float(np.linalg.norm(each)) for each in (errors, diagonal))
    return Band(float(flux.sum()), float(error), independent, alone, "unknown" if shares is None else "measured")


def _integrated(
    document: Document, stored: Stored, rows: npt.NDArray[np.intp], weights: FloatArray, stop: Stop
) -> Iterator[tuple[int, float, float, float]]:
    """Number, flux, error and error by VAR alone of each spectrum that has an estimate in the whole band."""
    shown = _spectra(document).read(rows)
    values = np.where(weights != 0, shown.flux, 0.0)
    whole = np.asarray(np.isfinite(values).all(axis=1))
    for number, error in enumerate(stored.errors(rows, weights, shown)):
        go_on(stop)
        if whole[number]:
            diagonal = math.sqrt(np.nansum((weights * shown.sigma[number]) ** 2))
            yield int(rows[number]), float(weights @ values[number]), error, diagonal
