"""What a reader settles about a file: everything small in memory, the spectra themselves left in the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.io.reading.bulk import Bulk, Rows
from quietspec.io.reading.noise import inverse_variance, residual_sigma
from quietspec.io.reading.options import NoiseKind, ReadOptions
from quietspec.wavelengths import Medium

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["Content", "Questions"]

_FLOAT32_IVAR = (1e-30, 1e30)  # beyond, float32 underflows or overflows


class Questions:
    """What a file leaves open; asked all at once, so that a user need not answer one at a time."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._open: list[str] = []

    def ask(self, what: str | None) -> None:
        """Note one more open question; None is none."""
        if what:
            self._open.append(what)

    def settle(self) -> None:
        """Raise `ReadError` if anything is open."""
        if self._open:
            raise ReadError(f"{self.where}: " + "\n".join(self._open))

    def medium(self, options: ReadOptions, *found: Medium | None) -> Medium:
        """Air or vacuum: the user's word, else the first that is known."""
        known = next((medium for medium in (options.medium, *found) if medium), None)
        if known is None:
            self.ask("does not say whether its wavelengths are in air or vacuum.\nGive it: --medium air or vacuum.")
        return known or "air"


@dataclass(frozen=True, kw_only=True)
class Content:
    """Spectra in one file, on one wavelength axis.

    Parameters
    ----------
    survey : str
        Name of the format.
    path : Path
        The file.
    wavelength : (n_pixels,)
        Å, increasing or decreasing.
    medium : {'air', 'vacuum'}
        What they are measured in.
    flux, noise, mask : Bulk
        Of shape (n_spectra, n_pixels), in the file's order; without `noise`, it is estimated from the residuals.
    noise_kind : {'sigma', 'variance', 'ivar'}
        What `noise` holds.
    noise_factor : (n_pixels,) or (), optional
        What brings σ from the unit of the noise to that of the flux.
    bad_bits : int, optional
        Bits of the mask that mean bad; any by default.
    redshift : (n_spectra,)
        NaN where unknown.
    fwhm : (n_pixels,) or (n_spectra, n_pixels), optional
        Instrumental FWHM in Å.
    unit : astropy unit
        Unit of the flux.
    units : str
        The same as the file writes it.
    factor : (n_pixels,), optional
        What brings flux and σ to `unit`.
    spatial_shape : (ny, nx), optional
        Image that the spectra form.
    wcs : astropy.wcs.WCS, optional
        Its celestial WCS.
    warnings : tuple of str
        What the user should know.
    meta : mapping
        Further facts.
    """

    survey: str
    path: Path
    wavelength: FloatArray
    medium: Medium
    flux: Bulk
    noise: Bulk | None
    noise_kind: NoiseKind = "sigma"
    noise_factor: FloatArray | None = None
    mask: Bulk | None = None
    bad_bits: int | None = None
    redshift: FloatArray = field(default_factory=lambda: np.array([np.nan]))
    fwhm: FloatArray | None = None
    unit: u.UnitBase = u.dimensionless_unscaled
    units: str = ""
    factor: FloatArray | None = None
    spatial_shape: tuple[int, int] | None = None
    wcs: WCS | None = None
    warnings: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        steps = np.diff(self.wavelength)
        if self.wavelength.size < 2:
            raise ReadError(
                f"{self.path}: the spectra have {self.wavelength.size} wavelength pixel; at least 2 are needed. "
                "Is this an image? Name the flux: --flux-hdu NAME."
            )
        if not (np.all(steps > 0) or np.all(steps < 0)):
            sign = 1 if np.median(steps) > 0 else -1
            pixel = int(np.argmax(~(sign * steps > 0)))
            raise ReadError(
                f"{self.path}: the wavelengths are not monotonic at pixel {pixel} ({self.wavelength[pixel]:.3f} → "
                f"{self.wavelength[pixel + 1]:.3f} Å). Sort them, or split the orders into files of their own."
            )

    @property
    def n_spectra(self) -> int:
        """Number of spectra."""
        return self.flux.shape[0]

    @property
    def order(self) -> slice:
        """What puts the pixels in order of increasing wavelength."""
        return slice(None, None, 1 if self.wavelength[-1] > self.wavelength[0] else -1)

    def rows(self, index: Rows) -> tuple[FloatArray, FloatArray, Counter[str]]:
        """Read some spectra.

        Parameters
        ----------
        index : (n,)
            Their numbers.

        Returns
        -------
        flux, ivar : (n, n_pixels)
            By increasing wavelength; float32, or float64 where that would under- or overflow.
        counts : Counter
            Pixels masked for a reason the user may not expect, by reason.
        """
        flux = np.asarray(self.flux.rows(index))
        real = flux.dtype.kind == "f"
        good = np.isfinite(flux)
        if self.mask is not None:
            good &= ~self._bad(self.mask.rows(index))
        missing = good & (flux == 0) if real else np.zeros_like(good)  # measured fluxes are never exactly 0
        good &= ~missing
        if self.noise is None:
            ivar, counts = inverse_variance(residual_sigma(flux, good), "sigma", good)
        else:
            noise = self.noise.rows(index)
            ivar, counts = inverse_variance(noise, self.noise_kind, good)
            if self.noise_factor is not None:
                ivar = ivar / self.noise_factor**2
            counts["flux exactly 0"] = int(np.sum(missing & np.isfinite(noise) & (noise > 0)))
        flux = flux.astype(np.float64)
        if self.factor is not None:
            flux, ivar = flux * self.factor, ivar / self.factor**2
        positive = ivar[ivar > 0]
        narrow = not positive.size or (positive.min() > _FLOAT32_IVAR[0] and positive.max() < _FLOAT32_IVAR[1])
        dtype = np.float32 if narrow else np.float64
        with np.errstate(over="ignore"):  # only masked pixels can
            return flux[:, self.order].astype(dtype), ivar[:, self.order].astype(dtype), +counts

    def _bad(self, mask: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        if self.bad_bits is None or mask.dtype.kind not in "iu":
            return np.asarray(mask != 0)
        return np.asarray((mask.astype(np.int64) & self.bad_bits) != 0)
