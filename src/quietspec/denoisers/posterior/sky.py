r"""What the air leaves in spectra: where it absorbs and glows, errors are larger than elsewhere, and correlated.

In units of the noise of each pixel, what is left of the bands of O₂, H₂O and OH after their correction is a Gaussian
process of correlation exp(−Δλ²/2ℓ²), so many times (q) as large as the noise. Noise and process have the covariance
1 + q² U Uᵀ there, with few columns U. A least-squares fit whose whitened sides S = (design, data) have the products SᵀS
then has SᵀS − XᵀX in their place, with X = L⁻¹ Uᵀ S and L Lᵀ = q⁻² + UᵀU.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy.linalg import block_diag
from scipy.linalg.lapack import dpotrf, dtrtrs

from quietspec.arrays import BoolArray, FloatArray

__all__ = ["NO_SKY", "SKY_WINDOWS", "SkyFilter", "SkyPixels"]

#: Bands in which the air absorbs or glows, observed air Å: O₂ B; from there on H₂O (7160–7340, 8100–8400, 8900–9800),
#: O₂ A (7590–7720) and the bands of OH (8–3, 4–0, 9–4, 5–1, 6–2; beyond 8750 Å 7–3, 3–0, 8–4, 4–1) leave few gaps.
SKY_WINDOWS: tuple[tuple[float, float], ...] = ((6860.0, 6950.0), (7160.0, 8540.0), (8750.0, 10400.0))
_SCALE = 100.0  # Å, ℓ
_WIDE = 500.0  # Å: in bands wider than this the process has no mean
_FEWEST = 30  # pixels in the bands
_JITTER = 1e-4


@dataclass(frozen=True, eq=False)
class SkyPixels:
    """The pixels of an observation in the bands of the air.

    Parameters
    ----------
    inside : (n_pixels,) of bool
        Which they are.
    columns : (n_pixels, n_columns) of float32
        U; 0 outside the bands.
    """

    inside: BoolArray
    columns: FloatArray

    @classmethod
    def of(cls, air: FloatArray) -> SkyPixels:
        """Find them among pixels of observed air wavelengths (n_pixels,), Å; `NO_SKY` if there are hardly any."""
        bands = [np.flatnonzero((air > low) & (air < high)) for low, high in SKY_WINDOWS]
        pixels = np.concatenate(bands)
        if len(pixels) < _FEWEST:
            return NO_SKY
        processes = block_diag(*(_process(air[band]) for band in bands))
        inside = np.zeros(len(air), dtype=bool)
        columns = np.zeros((len(air), processes.shape[1]), dtype=np.float32)
        inside[pixels], columns[pixels] = True, processes
        return cls(inside, columns)

    @property
    def size(self) -> int:
        """Number of columns."""
        return int(self.columns.shape[1])

    @cached_property
    def rows(self) -> slice:
        """Pixels from the first of the bands to the last."""
        inside = np.flatnonzero(self.inside)
        return slice(int(inside[0]), int(inside[-1]) + 1)

    def filter(self, weight: FloatArray, size: float) -> SkyFilter | None:
        """Prepare fits to a spectrum of inverse variances (n_pixels,) with a process of size q; None where it is 0."""
        if not (size and self.size):
            return None
        columns = self.columns * (weight > 0)[:, None]
        return SkyFilter.of(columns, size)


#: No pixels in these bands.
NO_SKY = SkyPixels(np.zeros(0, dtype=bool), np.empty((0, 0), dtype=np.float32))


def _process(air: FloatArray) -> FloatArray:
    """Return U (n, n_columns) of the n pixels of one band."""
    if not air.size:
        return np.empty((0, 0))
    width = float(np.ptp(air))
    place = np.linspace(air[0], air[-1], int(np.ceil(width / _SCALE)) + 1)  # linear interpolation between them
    correlation = np.exp(-0.5 * ((place[:, None] - place) / _SCALE) ** 2) + _JITTER * np.eye(len(place))
    columns = np.maximum(1 - np.abs(air[:, None] - place) / _SCALE, 0) @ np.linalg.cholesky(correlation)
    # Between two places the interpolated process is smaller than at them.
    columns /= np.sqrt(np.maximum(np.einsum("pk,pk->p", columns, columns), _JITTER))[:, None]
    if width > _WIDE:  # an offset of all of it is flux calibration or stars, from which it must not be taken
        columns -= columns.mean(axis=0)
        columns /= np.sqrt((columns**2).sum(axis=1).mean())
    return np.asarray(columns)


@dataclass(frozen=True, eq=False)
class SkyFilter:
    """What the process of one spectrum takes from the products of a fit.

    Parameters
    ----------
    columns : (n_pixels, n_columns) of float32
        U, 0 at pixels that are not used.
    lower : (n_columns, n_columns)
        L.
    log_determinant : float
        ln det(1 + q² U Uᵀ).
    """

    columns: FloatArray
    lower: FloatArray
    log_determinant: float

    @classmethod
    def of(cls, columns: FloatArray, size: float) -> Self:
        """Make that of some columns (n_pixels, n_columns) and a size q."""
        precision = (columns.T @ columns).astype(np.float64) + size**-2 * np.eye(columns.shape[1])
        lower, failed = dpotrf(precision, lower=1, clean=1)
        if failed:
            raise np.linalg.LinAlgError("the sky's process is not determined")
        log_determinant = 2 * float(np.log(np.diagonal(lower)).sum() + len(lower) * np.log(size))
        return cls(columns, lower, log_determinant)

    def along(self, sides: FloatArray) -> FloatArray:
        """Uᵀ S of whitened sides (n_pixels, n), (n_columns, n)."""
        return np.asarray(self.columns.T @ sides)

    def taken(self, along: FloatArray) -> FloatArray:
        """X = L⁻¹ Uᵀ S of `along` (n_columns, n): XᵀX is what the process takes from SᵀS."""
        return np.asarray(dtrtrs(self.lower, along.astype(np.float64), lower=1)[0])

    def mean(self, residual: FloatArray) -> FloatArray:
        """Posterior mean of the process in whitened residuals (n_pixels,) of a known model, (n_pixels,)."""
        half = self.taken(self.along(residual[:, None]))
        return np.asarray(self.columns @ dtrtrs(self.lower, half, lower=1, trans=1)[0][:, 0])
