"""What a reader settles about a file: everything small in memory, the spectra themselves left in the file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.io.reading.bulk import Bulk, PartBulk, Rows
from quietspec.io.reading.masks import MaskRule
from quietspec.io.reading.noise import inverse_variance, residual_sigma
from quietspec.io.reading.options import ReadOptions
from quietspec.kinds import Medium, NoiseKind

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["Content", "Questions"]

_FLOAT32_IVAR = (1e-30, 1e30)  # beyond, float32 underflows or overflows
_NO_VALUE = (-999.0, -9999.0, -99999.0)  # what people write where they have none
_FINEST = 1e-7  # of the wavelength, per pixel; solar Fourier spectra have some 5e-7


class Questions:
    """What a file leaves open, asked all at once, and what was decided about it.

    Parameters
    ----------
    where : str
        The file and HDU, for messages.

    Attributes
    ----------
    decisions : list of (what, how)
        What was settled, such as ``("medium", "air: CTYPE3 = AWAV")``.
    warnings : list of str
        What the user should know.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.decisions: list[tuple[str, str]] = []
        self.warnings: list[str] = []
        self._open: list[str] = []

    def ask(self, what: str | None) -> None:
        """Note one more open question; None is none."""
        if what:
            self._open.append(what)

    def decide(self, what: str, how: str) -> None:
        """Note what was settled, and how it is known."""
        self.decisions.append((what, how))

    def warn(self, *notes: str | None) -> None:
        """Note what the user should know; None is nothing."""
        self.warnings += [note for note in notes if note]

    def joined(self, error: ReadError) -> ReadError:
        """All that is open, and an error that nothing can be settled without, as one error."""
        self.ask(self._plain(error))
        return ReadError(f"{self.where}: " + "\n".join(self._open))

    def _plain(self, error: ReadError) -> str:
        return re.sub(rf"^{re.escape(self.where)}(, HDU [^:]*)?: ", "", str(error))

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Turn a `ReadError` raised inside into one more open question."""
        try:
            yield
        except ReadError as error:
            self.ask(self._plain(error))

    def settle(self) -> None:
        """Raise `ReadError` if anything is open."""
        if self._open:
            raise ReadError(f"{self.where}: " + "\n".join(self._open))

    def medium(self, options: ReadOptions, found: Mapping[str, Medium | None]) -> Medium:
        """Air or vacuum: the user's word, else the first that is known; contradictions are noted.

        Parameters
        ----------
        options : ReadOptions
            What the user says.
        found : mapping of str to (Medium or None)
            What the file and its survey say, by who says it, the best first.

        Returns
        -------
        Medium
            ``air`` where it is asked for.
        """
        said = {who: medium for who, medium in ({"medium=": options.medium} | dict(found)).items() if medium}
        if not said:
            self.ask(
                'does not say whether its wavelengths are in air or vacuum.\nGive it: medium="air" or medium="vacuum".'
            )
            return "air"
        who, medium = next(iter(said.items()))
        self.decide("medium", f"{medium}: {who}" if who != "medium=" else f"{medium}: as given")
        against = [other for other, theirs in said.items() if theirs != medium]
        if against:
            self.warn(
                f"air or vacuum is contradictory: {medium} by {who.rstrip('=')}, but not by {' and '.join(against)}; "
                f"{medium} is used"
            )
        return medium


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
    mask_rule : MaskRule
        Which values of the mask mean bad; by default all but 0.
    redshift : (n_spectra,)
        NaN where unknown.
    ebv : (n_spectra,)
        E(B−V) of the Milky Way for which the flux is not corrected, mag; 0 for none.
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
    decisions : tuple of (str, str)
        What was settled, and how it is known.
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
    mask_rule: MaskRule = MaskRule()  # noqa: RUF009  (frozen)
    redshift: FloatArray = field(default_factory=lambda: np.array([np.nan]))
    ebv: FloatArray = field(default_factory=lambda: np.zeros(1))
    fwhm: FloatArray | None = None
    unit: u.UnitBase = u.dimensionless_unscaled
    units: str = ""
    factor: FloatArray | None = None
    spatial_shape: tuple[int, int] | None = None
    wcs: WCS | None = None
    warnings: tuple[str, ...] = ()
    decisions: tuple[tuple[str, str], ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        steps = np.diff(self.wavelength)
        if self.wavelength.size < 2:
            raise ReadError(
                f"{self.path}: the spectra have {self.wavelength.size} wavelength pixel; at least 2 are needed. "
                "Is this an image? Name the flux: flux_hdu=NAME."
            )
        if not (np.all(steps > 0) or np.all(steps < 0)):
            sign = 1 if np.median(steps) > 0 else -1
            pixel = int(np.argmax(~(sign * steps > 0)))
            raise ReadError(
                f"{self.path}: the wavelengths are not monotonic at pixel {pixel} ({self.wavelength[pixel]:.3f} → "
                f"{self.wavelength[pixel + 1]:.3f} Å). Sort them, or split the orders into files of their own."
            )
        step = float(np.median(np.abs(steps)))
        if step < _FINEST * float(np.median(self.wavelength)):
            raise ReadError(
                f"{self.path}: the wavelengths around {np.median(self.wavelength):.0f} Å rise by {step:.2g} Å per "
                "pixel, finer than any spectrograph. Name their unit, or others: wavelength_unit=, wave_hdu=NAME."
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
            good &= ~self.mask_rule.bad(self.mask.rows(index))
        missing = good & (flux == 0) if real else np.zeros_like(good)  # measured fluxes are never exactly 0
        filled = good & np.isin(flux, _NO_VALUE) if real else np.zeros_like(good)
        good &= ~missing & ~filled
        if self.noise is None:
            ivar, counts = inverse_variance(residual_sigma(flux, good), "sigma", good)
        else:
            noise = self.noise.rows(index)
            ivar, counts = inverse_variance(noise, self.noise_kind, good)
            if self.noise_factor is not None:
                ivar = ivar / self.noise_factor**2
            counts["flux exactly 0"] = int(np.sum(missing & np.isfinite(noise) & (noise > 0)))
        counts["flux exactly -999, -9999 or -99999"] = int(np.sum(filled))
        flux = flux.astype(np.float64)
        if self.factor is not None:
            flux, ivar = flux * self.factor, ivar / self.factor**2
        positive = ivar[ivar > 0]
        narrow = not positive.size or (positive.min() > _FLOAT32_IVAR[0] and positive.max() < _FLOAT32_IVAR[1])
        dtype = np.float32 if narrow else np.float64
        with np.errstate(over="ignore"):  # only masked pixels can
            return flux[:, self.order].astype(dtype), ivar[:, self.order].astype(dtype), +counts

    def masked(self, index: Rows) -> int:
        """Count the pixels of some spectra that the file's mask marks as bad."""
        return 0 if self.mask is None else int(np.count_nonzero(self.mask_rule.bad(self.mask.rows(index))))

    def through(self, replaced: Callable[[Bulk], Bulk]) -> Content:
        """Read through other bulks of the same values."""
        flux = replaced(self.flux)
        noise, mask = (None if bulk is None else replaced(bulk) for bulk in (self.noise, self.mask))
        return replace(self, flux=flux, noise=noise, mask=mask)

    def select(self, numbers: Rows) -> Content:
        """Keep some of the spectra, which then form no image."""
        redshift, ebv = (np.broadcast_to(values, (self.n_spectra,)) for values in (self.redshift, self.ebv))
        return replace(
            self,
            flux=PartBulk(self.flux, numbers),
            noise=None if self.noise is None else PartBulk(self.noise, numbers),
            mask=None if self.mask is None else PartBulk(self.mask, numbers),
            redshift=redshift[numbers],
            ebv=ebv[numbers],
            fwhm=self.fwhm[numbers] if self.fwhm is not None and self.fwhm.ndim == 2 else self.fwhm,
            spatial_shape=None,
            wcs=None,
        )
