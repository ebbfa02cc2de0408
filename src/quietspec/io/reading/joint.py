"""Two arms of a spectrograph on one axis; where they overlap, combined by inverse variance on one arm's pixels."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from quietspec.arrays import BoolArray, FloatArray

__all__ = ["Joint"]

_EVEN = 1 - 1e-9  # pixels of one size but for rounding
_COVERED = 0.8  # of a pixel: what is covered less by good pixels of the other arm takes nothing from it
_OPPOSITE = 2.0  # relative difference of fluxes of which one is zero, or of the other sign
_DIFFER = 0.05  # of the flux: arms that differ by more in the overlap are calibrated differently
_SURE = 5.0  # standard errors


class Joint:
    """Joins spectra of two arms.

    In the overlap the pixels are those of the arm with the larger ones; the other's are averaged over them, weighted
    by how much of each lies inside, and both are combined by inverse variance. The variance of an average is that
    which sums over many pixels have, so that sharing a pixel between neighbours does not make errors too small;
    neighbouring errors are correlated there.

    Parameters
    ----------
    blue, red : (n_blue,), (n_red,)
        Wavelengths, Å, increasing; the first of `red` is beyond the first of `blue`.

    Attributes
    ----------
    wavelength : (n_pixels,)
        Å, strictly increasing.

    Examples
    --------
    >>> import numpy as np
    >>> joint = Joint(np.arange(4000.0, 4010.0), np.arange(4008.0, 4015.0))
    >>> flux, ivar = joint.join(np.full((1, 10), 1.0), np.ones((1, 10)), np.full((1, 7), 4.0), np.full((1, 7), 2.0))
    >>> len(joint.wavelength), flux[0, 7:11].tolist(), ivar[0, 7:11].tolist()
    (15, [1.0, 3.0, 3.0, 4.0], [1.0, 3.0, 3.0, 2.0])
    """

    def __init__(self, blue: FloatArray, red: FloatArray) -> None:
        in_blue, in_red = blue >= red[0], red <= blue[-1]
        self._overlap = bool(in_blue.any() and in_red.any())
        self._keep_blue, self._keep_red = np.ones(len(blue), dtype=bool), np.ones(len(red), dtype=bool)
        self._blue_is_coarse = not self._overlap or _step(blue, in_blue) >= _step(red, in_red) * _EVEN
        if self._overlap and self._blue_is_coarse:
            self._keep_red = red > blue[-1] + 0.5 * _step(red, in_red)
        elif self._overlap:
            self._keep_blue = blue < red[0] - 0.5 * _step(blue, in_blue)
        self.wavelength: FloatArray = np.concatenate([blue[self._keep_blue], red[self._keep_red]])
        coarse, fine = (blue, red) if self._blue_is_coarse else (red, blue)
        self._shares = _shares(coarse, fine) if self._overlap else csr_array((len(coarse), len(fine)))
        self._covered = np.asarray(self._shares.sum(axis=1))
        width = self._shares @ _widths(fine) / np.where(self._covered > 0, self._covered, 1) if self._overlap else 1.0
        self._fineness = np.minimum(width / _widths(coarse), 1.0)

    def join(
        self, blue: FloatArray, blue_ivar: FloatArray, red: FloatArray, red_ivar: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Join spectra.

        Parameters
        ----------
        blue, blue_ivar : (n_spectra, n_blue)
            Flux and inverse variance; 0 where masked.
        red, red_ivar : (n_spectra, n_red)
            The same of the other arm.

        Returns
        -------
        flux, ivar : (n_spectra, n_pixels)
            At `wavelength`.
        """
        if self._overlap and self._blue_is_coarse:
            blue, blue_ivar = _combined(blue, blue_ivar, *self._averaged(red, red_ivar))
        elif self._overlap:
            red, red_ivar = _combined(red, red_ivar, *self._averaged(blue, blue_ivar))
        return self._side_by_side(blue, red), self._side_by_side(blue_ivar, red_ivar)

    def ratio(self, blue: FloatArray, blue_ivar: FloatArray, red: FloatArray, red_ivar: FloatArray) -> float | None:
        """Flux of the red arm over that of the blue one in the overlap, where it differs from 1 beyond its error."""
        if not self._overlap:
            return None
        coarse, fine = ((blue, blue_ivar), (red, red_ivar))[:: 1 if self._blue_is_coarse else -1]
        (flux, ivar), (other, other_ivar) = coarse, self._averaged(*fine)
        both = (ivar > 0) & (other_ivar > 0)
        if not both.any():
            return None
        weight = 1 / (1 / ivar[both] + 1 / other_ivar[both])
        model = 0.5 * (flux[both] + other[both])
        power = float(np.sum(weight * model**2))
        difference = float(np.sum(weight * model * (other[both] - flux[both]))) / power if power > 0 else 0.0
        if abs(difference) < max(_DIFFER, _SURE / np.sqrt(power)) if power > 0 else True:
            return None
        if abs(difference) >= _OPPOSITE:
            return float("inf") if (difference > 0) == self._blue_is_coarse else 0.0
        relative = (1 + difference / 2) / (1 - difference / 2)
        return relative if self._blue_is_coarse else 1 / relative

    def resolution(self, blue: FloatArray, red: FloatArray) -> FloatArray:
        """Join the FWHM (Å) of both arms, (n_pixels,) or (n_spectra, n_pixels); in the overlap the mean of both."""
        coarse, fine = (blue, red) if self._blue_is_coarse else (red, blue)
        inside = self._covered > _COVERED
        theirs = np.asarray((self._shares @ np.atleast_2d(fine).T).T)[:, inside] / self._covered[inside]
        mean = np.array(coarse, dtype=np.float64)
        mean[..., inside] = 0.5 * (mean[..., inside] + (theirs if coarse.ndim == 2 else theirs[0]))
        return self._side_by_side(mean, red) if self._blue_is_coarse else self._side_by_side(blue, mean)

    def _side_by_side(self, blue: FloatArray, red: FloatArray) -> FloatArray:
        return np.concatenate([blue[..., self._keep_blue], red[..., self._keep_red]], axis=-1)

    def _averaged(self, flux: FloatArray, ivar: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The finer arm on the pixels of the coarser one; inverse variance 0 where too little of it is good."""
        good = ivar > 0
        share = (self._shares @ good.astype(np.float64).T).T
        usable = share > _COVERED
        divisor = np.where(usable, share, 1.0)
        mean = (self._shares @ np.where(good, flux, 0.0).astype(np.float64).T).T / divisor
        variance = np.divide(1.0, ivar, out=np.zeros(ivar.shape), where=good)
        spread = (self._shares @ variance.T).T / divisor * self._fineness
        return mean, np.divide(1.0, spread, out=np.zeros(spread.shape), where=usable & (spread > 0))


def _combined(
    flux: FloatArray, ivar: FloatArray, other: FloatArray, other_ivar: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The mean of two spectra, weighted by inverse variance; what only one has is kept as it is."""
    both = (ivar > 0) & (other_ivar > 0)
    total = ivar + other_ivar
    weighted = (np.where(both, flux, 0) * ivar + other * other_ivar) / np.where(both, total, 1)
    mean = np.where(both, weighted, np.where(other_ivar > 0, other, flux))
    return mean.astype(flux.dtype), total.astype(ivar.dtype)


def _step(wavelength: FloatArray, where: BoolArray) -> float:
    """Median step of the pixels in a stretch; of all where it holds too few."""
    some = wavelength[where] if np.sum(where) > 1 else wavelength
    return float(np.median(np.diff(some)))


def _edges(wavelength: FloatArray) -> FloatArray:
    middle = (wavelength[1:] + wavelength[:-1]) / 2
    return np.concatenate([[2 * wavelength[0] - middle[0]], middle, [2 * wavelength[-1] - middle[-1]]])


def _widths(wavelength: FloatArray) -> FloatArray:
    return np.diff(_edges(wavelength))


def _shares(own: FloatArray, other: FloatArray) -> csr_array:
    """Fraction of each pixel of `own` that each pixel of `other` covers, (n_own, n_other)."""
    edges, theirs = _edges(own), _edges(other)
    rows, columns, values = [], [], []
    first = np.searchsorted(theirs, edges[:-1], side="right") - 1
    last = np.searchsorted(theirs, edges[1:], side="left")
    for row, (low, high) in enumerate(zip(np.maximum(first, 0), np.minimum(last, len(other)), strict=True)):
        for column in range(low, high):
            inside = min(edges[row + 1], theirs[column + 1]) - max(edges[row], theirs[column])
            if inside > 1e-9 * (edges[row + 1] - edges[row]):
                rows.append(row)
                columns.append(column)
                values.append(inside / (edges[row + 1] - edges[row]))
    return csr_array((values, (rows, columns)), shape=(len(own), len(other)))
