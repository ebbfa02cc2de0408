"""`NoiseCorrelation`: how the noise of the spaxels of a cube is correlated, hence how the noise of a sum grows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import SpectraError
from quietspec.wavelengths import FWHM_PER_SIGMA

__all__ = ["INDEPENDENT", "MANGA_NOISE", "NoiseCorrelation"]

_LEAST = 0.01  # correlation at which that of a kernel is cut off
_WIDEST = 20.0  # spaxels; the FWHM of a wider kernel is a mistake


@dataclass(frozen=True, eq=False)
class NoiseCorrelation:
    """Correlation of the noise between the spaxels of a cube.

    Resampling onto the grid of a cube mixes neighbours, and all spaxels share the noise of the sky that was subtracted.
    Two spaxels correlate by ``common + (1 - common) * lags[offset]``. Correlations at different offsets are shrunk
    alike, if need be, until no combination of spaxels has a negative variance.

    Parameters
    ----------
    lags : (2 r + 1, 2 r + 1)
        Correlation at offsets (dy, dx) of −r to r spaxels; 1 in the centre, and the same for opposite offsets. There is
        none beyond r.
    common : float or (n_pixels,)
        Correlation that does not fall with distance, 0 to 1.
    excess : float
        The noise of a sum of N spaxels is larger than the above says, by the factor 1 + `excess` log10 N.

    Raises
    ------
    SpectraError
        If the lags do not form such a square, or a number is out of range.

    Examples
    --------
    >>> correlation = NoiseCorrelation([[0.0, 0.2, 0.0], [0.2, 1.0, 0.2], [0.0, 0.2, 0.0]])
    >>> correlation
    <NoiseCorrelation: reach 1, neighbours 0.20 and 0.20, diagonal 0.00, common 0.000>
    >>> correlation.error_of_sum(3, 3).round(2).item()  # over that of nine independent spaxels
    1.24
    """

    lags: FloatArray = field(default_factory=lambda: np.ones((1, 1)))
    common: float | FloatArray = 0.0
    excess: float = 0.0

    def __post_init__(self) -> None:
        lags = np.asarray(self.lags, dtype=np.float64)
        if lags.ndim != 2 or lags.shape[0] != lags.shape[1] or lags.shape[0] % 2 == 0:
            raise SpectraError(f"NoiseCorrelation.lags: shape {lags.shape}; it must be a square of odd size.")
        reach = lags.shape[0] // 2
        if not np.allclose(lags, lags[::-1, ::-1]) or not np.isclose(lags[reach, reach], 1) or np.abs(lags).max() > 1:
            raise SpectraError(
                "NoiseCorrelation.lags: must be 1 in the centre, the same for opposite offsets, and nowhere beyond ±1."
            )
        if not np.all((np.asarray(self.common) >= 0) & (np.asarray(self.common) <= 1)) or not self.excess >= 0:
            raise SpectraError("NoiseCorrelation: common must be between 0 and 1, and excess at least 0.")
        object.__setattr__(self, "lags", _without_negative_power(lags))

    def __repr__(self) -> str:
        if self.reach == 0:
            near = "independent neighbours"
        else:
            at = self.lags[self.reach :, self.reach :]
            near = f"reach {self.reach}, neighbours {at[0, 1]:.2f} and {at[1, 0]:.2f}, diagonal {at[1, 1]:.2f}"
        law = f", noise × (1 + {self.excess:g} log10 N)" if self.excess else ""
        return f"<NoiseCorrelation: {near}, common {self.typical_common:.3f}{law}>"

    @property
    def reach(self) -> int:
        """Largest offset in spaxels at which neighbours are correlated."""
        return len(self.lags) // 2

    @property
    def typical_common(self) -> float:
        """Median of `common` over wavelength."""
        return float(np.median(self.common))

    @classmethod
    def of_kernel(cls, fwhm: float) -> Self:
        """Correlation of white noise that was smoothed by a Gaussian kernel, as drizzling does approximately.

        Parameters
        ----------
        fwhm : float
            FWHM of the kernel in spaxels.

        Returns
        -------
        NoiseCorrelation
            exp(−d²/4s²) at distance d, with s = `fwhm` / 2.355; cut off where it is below 0.01.

        Raises
        ------
        SpectraError
            If the FWHM is not between 0 and 20 spaxels.

        Examples
        --------
        >>> NoiseCorrelation.of_kernel(1.5)
        <NoiseCorrelation: reach 2, neighbours 0.54 and 0.54, diagonal 0.29, common 0.000>
        """
        if not 0 <= fwhm <= _WIDEST:
            raise SpectraError(f"noise correlation of a kernel of FWHM {fwhm:g}: give 0 to {_WIDEST:g} spaxels.")
        sigma = max(fwhm / FWHM_PER_SIGMA, 1e-3)
        reach = int(2 * sigma * np.sqrt(-np.log(_LEAST)))
        dy, dx = np.indices((2 * reach + 1,) * 2) - reach
        return cls(np.exp(-(dy**2 + dx**2) / (4 * sigma**2)))

    def error_of_sum(self, ny: int, nx: int) -> FloatArray:
        """Error of the sum over a rectangle of spaxels of equal noise, relative to that of as many independent ones.

        Parameters
        ----------
        ny, nx : int
            Size of the rectangle.

        Returns
        -------
        float
            At least 1 where no correlation is negative; for the typical `common`.

        Examples
        --------
        >>> MANGA_NOISE.error_of_sum(1, 10).item()
        2.62
        """
        across, along = (
            np.clip(n - np.abs(np.arange(-self.reach, self.reach + 1)), 0, None).astype(float) for n in (ny, nx)
        )
        n = ny * nx
        pairs = across @ self.lags @ along
        variance = (1 - self.typical_common) * pairs + self.typical_common * n**2
        return np.asarray(np.sqrt(variance / n) * self.factor(np.array(n)))

    def draw(self, shape: tuple[int, int, int], rng: np.random.Generator) -> FloatArray:
        """Draw noise of unit variance that is correlated like this; `excess` is left out.

        Parameters
        ----------
        shape : (ny, nx, n_pixels)
            Spaxels, and pixels of each, between which the noise is independent.
        rng : numpy.random.Generator
            Source of the noise.

        Returns
        -------
        (ny, nx, n_pixels)
            The noise.

        Examples
        --------
        >>> noise = NoiseCorrelation.of_kernel(1.5).draw((20, 20, 1000), np.random.default_rng(0))
        >>> noise.var().round(2).item(), (noise[:, 1:] * noise[:, :-1]).mean().round(2).item()
        (1.0, 0.54)
        """
        sides = [side + 2 * self.reach for side in shape[:2]]
        root = np.sqrt(np.maximum(_power(self.lags, (sides[0], sides[1])), 0.0))[..., None]
        white = np.fft.fft2(rng.standard_normal((*sides, shape[2])), axes=(0, 1))
        near = np.fft.ifft2(white * root, axes=(0, 1)).real[: shape[0], : shape[1]]
        shared = rng.standard_normal(shape[2])
        return np.asarray(np.sqrt(1 - self.common) * near + np.sqrt(self.common) * shared)

    def factor(self, n: FloatArray) -> FloatArray:
        """Factor 1 + `excess` log10 n on the noise of sums of `n` spaxels."""
        return np.asarray(1 + self.excess * np.log10(np.maximum(n, 1.0)))

    def between(self, dy: FloatArray, dx: FloatArray) -> FloatArray:
        """Correlation of spaxels at offsets in spaxels, rounded to whole ones; for the typical `common`.

        Parameters
        ----------
        dy, dx : arrays of one shape
            Offsets.

        Returns
        -------
        array of that shape
            1 where the offset is 0.

        Examples
        --------
        >>> NoiseCorrelation.of_kernel(1.5).between(np.array([0, 0, 5]), np.array([0, 1, 0])).round(2)
        array([1.  , 0.54, 0.  ])
        """
        y, x = (np.rint(offset).astype(int) + self.reach for offset in (dy, dx))
        side = len(self.lags)
        inside = (y >= 0) & (y < side) & (x >= 0) & (x < side)
        near = np.where(inside, self.lags[y.clip(0, side - 1), x.clip(0, side - 1)], 0.0)
        correlation = (1 - self.typical_common) * near + self.typical_common
        return np.where((y == self.reach) & (x == self.reach), 1.0, correlation)

    def offsets(self) -> list[tuple[int, int, float]]:
        """Offsets (dy, dx) other than 0 at which neighbours are correlated, and their correlation."""
        reach = self.reach
        found = np.argwhere(self.lags)
        return [(int(y) - reach, int(x) - reach, float(self.lags[y, x])) for y, x in found if (y, x) != (reach, reach)]


def _without_negative_power(lags: FloatArray) -> FloatArray:
    """Shrink the correlations at all offsets but 0 until the power spectrum of such noise is nowhere negative."""
    lowest = min(float(_power(lags, (max(64, 4 * len(lags)),) * 2).min()), 0.0)
    shrunk = lags / (1 - lowest)
    shrunk[len(lags) // 2, len(lags) // 2] = 1.0
    return np.asarray(shrunk)


def _power(lags: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Power spectrum of noise of these correlations, on an image that repeats itself."""
    reach = len(lags) // 2
    padded = np.zeros(shape)
    offsets = np.arange(-reach, reach + 1)
    np.add.at(padded, (offsets[:, None], offsets[None, :]), lags)
    return np.asarray(np.fft.fft2(padded).real)


INDEPENDENT = NoiseCorrelation()  #: noise that is independent between spaxels

#: MaNGA's 0.5″ spaxels (Law et al. 2016, AJ 152, 83).
MANGA_NOISE = NoiseCorrelation(excess=1.62)
