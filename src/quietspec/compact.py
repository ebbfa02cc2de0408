"""What the covariance of estimates follows from, small enough to keep for each spectrum and to travel in a file.

The covariance between the pixels of a spectrum follows from the model, from where it was linearised, from a square root
of the covariance of the coordinates that the mixture prior is about, and from how much the data say of the rest
(calibration, h3 and h4, gas), which their inverse variances tell. All of it is kept in coded integers or single
precision; what a run says and what its file says are therefore the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from quietspec.arrays import SHARED, BySpectrum, FloatArray, IntArray

__all__ = ["BLOCK", "CODES", "Code", "CompactPosterior", "log_snr_of", "pack_root", "unpack_root"]

BLOCK = 32  #: pixels over which inverse variances are averaged


@dataclass(frozen=True)
class Code:
    """How numbers are coded as integers: value = zero + step · integer.

    Parameters
    ----------
    zero, step : float
        Of the code.
    dtype : type
        Of the integers.
    """

    zero: float
    step: float
    dtype: type[np.integer[Any]]

    def encode(self, values: FloatArray) -> IntArray:
        """Nearest integers, within their range."""
        limits = np.iinfo(self.dtype)
        return np.asarray(np.clip(np.rint((values - self.zero) / self.step), limits.min, limits.max).astype(self.dtype))

    def decode(self, integers: IntArray) -> FloatArray:
        """Values in double precision."""
        return np.asarray(self.zero + self.step * integers.astype(np.float64))


#: Codes of the fields of `CompactPosterior` that hold integers.
CODES: Mapping[str, Code] = {
    "root": Code(-128 / 127, 1 / 127, np.uint8),
    "log_root_size": Code(0.0, 1e-3, np.int16),
    "log_snr": Code(0.0, 1e-3, np.int16),
    "calibration": Code(0.0, 1e-4, np.int16),
}
_NOTHING = -30.0  # ln of a size that is none


@dataclass(frozen=True, eq=False)
class CompactPosterior(BySpectrum):
    """Compact posterior of n spectra; rows of zeros belong to spectra without an estimate.

    Parameters
    ----------
    settings : mapping
        Settings of the denoiser that made it, JSON types.
    unit : (n_spectra,)
        Flux unit of each spectrum, in the unit of the flux; 0 without an estimate.
    scale : (n_spectra,) of float32
        Flux scale, in `unit`; populations are in units of it.
    motions : (n_spectra, 2) of float32
        Velocity (km/s) and width u at which the model is linearised.
    populations : (n_spectra, d) of float32
        Coordinates of the populations there.
    change : (n_spectra, d) of float32
        Their mean less `populations`.
    moments : (n_spectra, 2) of float32
        h3 and h4 there, in units of their priors.
    calibration : (n_spectra, n_knots) of int16
        Deviations of the calibration from 1 at its knots, coded; zeros fill shorter rows here and below.
    gas : (n_spectra, 3 + n_groups or more) of float32
        Velocity (km/s), ln σ (km/s) of the gas, whether these are fitted (1 or 0), fluxes in units of `unit` and
        `scale`; where some spectrum has a second component, n_groups, its velocity and ln σ, its n_groups sizes of
        fluxes and 1 + n_groups coordinates follow; no columns where no lines are fitted.
    root : (n_spectra, m (m + 1) / 2) of uint8
        Square root of the covariance of (velocity, u, populations) in units of their priors and `scale`: its lower
        triangle, row by row, each in units of its largest element, coded.
    log_root_size : (n_spectra, m) of int16
        ln of those elements, coded.
    log_snr : (n_spectra, n_blocks) of int16
        ½ ln of the mean inverse variance, in units of `scale` and `unit`, of each block of `BLOCK` pixels, coded.
    sky : (n_spectra,) of float32
        Size of what the air leaves in its bands, in units of the noise.
    """

    settings: Mapping[str, Any] = field(metadata=SHARED)
    unit: FloatArray
    scale: FloatArray
    motions: FloatArray
    populations: FloatArray
    change: FloatArray
    moments: FloatArray
    calibration: IntArray
    gas: FloatArray
    root: IntArray
    log_root_size: IntArray
    log_snr: IntArray
    sky: FloatArray

    def __len__(self) -> int:
        return len(self.unit)

    @property
    def known(self) -> npt.NDArray[np.intp]:
        """Spectra with an estimate."""
        return np.flatnonzero(self.unit > 0)

    @classmethod
    def stack(cls, parts: Sequence[Self]) -> Self:
        """Join several sets of spectra, in order; shorter rows are filled with zeros."""
        names = [one.name for one in fields(cls) if one.name != "settings"]
        widest = {name: max(getattr(part, name).shape[1:] for part in parts) for name in names}
        joined: dict[str, Any] = {
            name: np.concatenate([_widened(getattr(part, name), widest[name]) for part in parts]) for name in names
        }
        return replace(parts[0], **joined)

    def on(self, rows: npt.NDArray[np.intp], n_spectra: int) -> Self:
        """Put these spectra in the rows of a larger set, of which the others have no estimate."""
        empty: dict[str, Any] = {
            one.name: np.zeros((n_spectra, *getattr(self, one.name).shape[1:]), getattr(self, one.name).dtype)
            for one in fields(self)
            if one.name != "settings"
        }
        return replace(self, **empty).with_rows(rows, self)

    def weight(self, row: int, n_pixels: int) -> FloatArray:
        """Inverse variances of the pixels of one spectrum, in `unit`, (n_pixels,)."""
        log_snr = CODES["log_snr"].decode(self.log_snr[row])
        blocks = np.where(log_snr > _NOTHING, np.exp(2 * log_snr), 0.0) / float(self.scale[row]) ** 2
        return np.repeat(blocks, BLOCK)[:n_pixels].astype(np.float32)


def _widened(array: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.pad(array, [(0, 0), *((0, more - n) for more, n in zip(shape, array.shape[1:], strict=True))])


def log_snr_of(weight: FloatArray, scale: float) -> IntArray:
    """Code the inverse variances of one spectrum, (n_pixels,), in blocks, (n_blocks,)."""
    starts = np.arange(0, len(weight), BLOCK)
    size = np.minimum(BLOCK, len(weight) - starts)
    mean = np.add.reduceat(weight.astype(np.float64), starts) / size * scale**2
    return CODES["log_snr"].encode(0.5 * np.log(np.maximum(mean, np.exp(2 * _NOTHING))))


def pack_root(root: FloatArray) -> tuple[IntArray, IntArray]:
    """Code lower triangles.

    Parameters
    ----------
    root : (m, m)
        A lower triangle.

    Returns
    -------
    root : (m (m + 1) / 2,) of uint8
        `CompactPosterior.root`.
    log_root_size : (m,) of int16
        `CompactPosterior.log_root_size`.
    """
    size = CODES["log_root_size"].encode(np.log(np.maximum(np.abs(root).max(axis=1), np.exp(_NOTHING))))
    relative = root / np.exp(CODES["log_root_size"].decode(size))[:, None]
    return CODES["root"].encode(relative[np.tril_indices(len(root))]), size


def unpack_root(packed: IntArray, log_root_size: IntArray) -> FloatArray:
    """Invert `pack_root`, to 8 bits per element: (m, m)."""
    m = len(log_root_size)
    root = np.zeros((m, m))
    root[np.tril_indices(m)] = CODES["root"].decode(packed)
    return root * np.exp(CODES["log_root_size"].decode(log_root_size))[:, None]
