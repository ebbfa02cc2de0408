"""`Spectra`: observed spectra on one wavelength axis, with their noise and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, Unpack

import astropy.units as u
import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray, as_floats, require_noise, require_shape, require_wavelengths
from quietspec.errors import SpectraError
from quietspec.exchange import (
    SpectraFields,
    SpectrumFields,
    fields_from_arrays,
    fields_from_specutils,
    specutils_spectrum,
)
from quietspec.grouping import Grouped
from quietspec.keywords import shows_keywords
from quietspec.kinds import Medium, NoiseKind
from quietspec.statistics import median_snr
from quietspec.summaries import Summarised, span

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from specutils import Spectrum, SpectrumCollection

__all__ = ["Spectra"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Spectra(Summarised, Grouped):
    """Observed spectra on one wavelength axis, with their noise.

    Validated and brought to native byte order on construction; never changed afterwards.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Observed-frame pixel centres in Å, strictly increasing. Steps may vary and gaps are allowed.
    flux : (n_spectra, n_pixels)
        Flux density per Å in `unit`. Values in masked pixels are ignored, NaN included.
    ivar : (n_spectra, n_pixels)
        Inverse variance, in ``unit**-2``; 0 marks a masked pixel.
    redshift : float or (n_spectra,)
        Redshift, NaN where unknown.
    ebv : float or (n_spectra,)
        E(B−V), mag, of the dust of the Milky Way that `flux` is not corrected for; 0 (none) if not given.
    medium : {'air', 'vacuum'}
        What `wavelength` is measured in; the wrong one shifts a spectrum by 83 km/s.
    fwhm : (n_pixels,) or (n_spectra, n_pixels), optional
        Instrumental FWHM in Å; None where unknown.
    unit : astropy unit
        Unit of `flux`; dimensionless if not given.
    spatial_shape : (ny, nx), optional
        The image the spectra form, row by row; ``ny * nx == n_spectra``.
    wcs : astropy.wcs.WCS, optional
        Celestial (2-D) WCS of that image.
    meta : mapping
        Free facts about the origin: ``survey``, ``path``, ``warnings`` and what the reader adds.

    Raises
    ------
    SpectraError
        If a field is malformed; the message names it.

    Examples
    --------
    >>> import quietspec
    >>> spectra = quietspec.read(quietspec.demo_cube())
    >>> spectra
    <Spectra: 400 spectra (20 × 20), 2757 pixels, 3710–6998 Å in vacuum, z 0.03, median S/N 5.3, FITS>
    >>> spectra[4:6, 4:6].spatial_shape
    (2, 2)
    >>> spectra.n_spectra, spectra.n_pixels, spectra.sigma.shape, bool(spectra.good.all()), spectra.snr[:2].round(1)
    (400, 2757, (400, 2757), False, array([3.1, 3.2]))
    """

    wavelength: FloatArray
    flux: FloatArray
    ivar: FloatArray
    redshift: FloatArray = field(default_factory=lambda: np.array(np.nan))
    ebv: FloatArray = field(default_factory=lambda: np.array(0.0))
    medium: Medium
    fwhm: FloatArray | None = None
    unit: u.UnitBase = u.dimensionless_unscaled
    spatial_shape: tuple[int, int] | None = None
    wcs: WCS | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settle = object.__setattr__
        settle(self, "wavelength", as_floats("Spectra.wavelength", self.wavelength, 1, np.float64))
        settle(self, "flux", as_floats("Spectra.flux", self.flux, 2))
        settle(self, "ivar", as_floats("Spectra.ivar", self.ivar, 2))
        shape = self.flux.shape
        require_wavelengths("Spectra.wavelength", self.wavelength)
        require_shape("Spectra.flux", self.flux, (shape[0], len(self.wavelength)))
        require_shape("Spectra.ivar", self.ivar, shape)
        require_noise("Spectra", self.flux, self.ivar)
        settle(self, "redshift", self._one_per_spectrum("redshift"))
        if np.any(self.redshift <= -1) or np.any(np.isinf(self.redshift)):
            raise SpectraError("Spectra.redshift: must be > -1 and finite, or NaN where unknown.")
        settle(self, "ebv", self._one_per_spectrum("ebv"))
        if not np.all((self.ebv >= 0) & np.isfinite(self.ebv)):
            raise SpectraError("Spectra.ebv: E(B-V) must be finite and at least 0; 0 where there is none.")
        if self.medium not in ("air", "vacuum"):
            raise SpectraError(f"Spectra.medium: {self.medium!r} is neither 'air' nor 'vacuum'.")
        if self.fwhm is not None:
            settle(self, "fwhm", as_floats("Spectra.fwhm", self.fwhm, np.ndim(self.fwhm), np.float64))
            require_shape("Spectra.fwhm", self.fwhm, shape, shape[1:])
            if np.any(self.fwhm < 0):
                raise SpectraError("Spectra.fwhm: negative; give the FWHM in Å, or NaN where unknown.")
        if self.spatial_shape is not None and (len(self.spatial_shape) != 2 or np.prod(self.spatial_shape) != shape[0]):
            raise SpectraError(f"Spectra.spatial_shape: {self.spatial_shape} does not hold {shape[0]} spectra.")

    def _one_per_spectrum(self, name: str) -> FloatArray:
        values = np.asarray(getattr(self, name), dtype=np.float64)
        if values.ndim > 1 or (values.ndim == 1 and len(values) != self.n_spectra):
            raise SpectraError(f"Spectra.{name}: shape {values.shape} for {self.n_spectra} spectra.")
        return np.broadcast_to(values, (self.n_spectra,)).copy()

    def _preview(self) -> tuple[FloatArray, list[FloatArray]]:
        """Wavelengths and flux of the brightest spectrum, for a thumbnail."""
        rows = np.nanargmax([self.snr], axis=1) if np.isfinite(self.snr).any() else []
        return self.wavelength, [np.where(self.good[row], self.flux[row], np.nan) for row in rows]

    def _facts(self) -> dict[str, str]:
        """What a summary tells, by name."""
        image = "" if self.spatial_shape is None else " ({} × {})".format(*self.spatial_shape)
        low, high = self.wavelength[0], self.wavelength[-1]
        facts = {
            "spectra": f"{self.n_spectra} spectra{image}" if self.n_spectra != 1 else "1 spectrum",
            "pixels": f"{self.n_pixels} pixels",
            "wavelengths": f"{low:.0f}–{high:.0f} Å in {self.medium}",
            "redshift": f"z {span(self.redshift)}",
            **({"E(B−V)": f"E(B−V) {span(self.ebv, '.3g')}"} if self.ebv.any() else {}),
            "S/N": f"median S/N {np.nanmedian(self.snr):.1f}" if np.isfinite(self.snr).any() else "no good pixel",
        }
        return facts | ({"survey": str(self.meta["survey"])} if self.meta.get("survey") else {})

    @property
    def n_spectra(self) -> int:
        """Number of spectra."""
        return int(self.flux.shape[0])

    @property
    def n_pixels(self) -> int:
        """Number of wavelength pixels."""
        return int(self.wavelength.size)

    def __len__(self) -> int:
        return self.n_spectra

    @property
    def good(self) -> BoolArray:
        """Pixels that carry data, (n_spectra, n_pixels)."""
        return self.ivar > 0

    @property
    def sigma(self) -> FloatArray:
        """1σ errors, (n_spectra, n_pixels), in `unit`; infinite where masked."""
        with np.errstate(divide="ignore"):
            return np.asarray(1 / np.sqrt(self.ivar))

    @property
    def snr(self) -> FloatArray:
        """Median flux/σ over good pixels, (n_spectra,); NaN for an empty spectrum."""
        return median_snr(self.flux, self.sigma, self.good)

    def __getitem__(self, index: Any) -> Self:
        """Select spectra by number, slice, list or mask; ``[y, x]`` slices of a cube keep its shape and WCS."""
        if isinstance(index, tuple):
            return self._cutout(*index)
        rows = np.arange(self.n_spectra)[index]
        return self._rows(np.atleast_1d(rows))

    def _rows(self, rows: npt.NDArray[np.intp], **changes: Any) -> Self:
        changes = {"spatial_shape": None, "wcs": None} | changes
        fwhm = self.fwhm if self.fwhm is None or self.fwhm.ndim == 1 else self.fwhm[rows]
        own = {name: getattr(self, name)[rows] for name in ("flux", "ivar", "redshift", "ebv")}
        return replace(self, **own, fwhm=fwhm, **changes)

    def _cutout(self, *index: Any) -> Self:
        if self.spatial_shape is None or len(index) != 2 or not all(isinstance(i, slice) for i in index):
            raise SpectraError("Spectra[y, x]: needs a spatial shape and two slices.")
        grid = np.arange(self.n_spectra).reshape(self.spatial_shape)[index]
        wcs = None if self.wcs is None else self.wcs[index]
        return self._rows(grid.ravel(), spatial_shape=grid.shape, wcs=wcs)

    def between(self, low: float, high: float) -> Self:
        """Keep the pixels with ``low <= wavelength <= high`` (observed Å).

        Parameters
        ----------
        low, high : float
            Observed wavelengths, Å.

        Returns
        -------
        Spectra
            The same spectra on fewer pixels.

        Examples
        --------
        >>> import quietspec
        >>> quietspec.read(quietspec.demo_cube()).between(4000, 5000).n_pixels
        969
        """
        keep = (self.wavelength >= low) & (self.wavelength <= high)
        fwhm = None if self.fwhm is None else self.fwhm[..., keep]
        return replace(
            self, wavelength=self.wavelength[keep], flux=self.flux[:, keep], ivar=self.ivar[:, keep], fwhm=fwhm
        )

    def with_redshift(self, redshift: float | FloatArray) -> Self:
        """Return the same spectra with another redshift.

        Parameters
        ----------
        redshift : float or (n_spectra,)
            NaN where unknown.

        Returns
        -------
        Spectra
            With this redshift.

        Examples
        --------
        >>> import quietspec
        >>> quietspec.read(quietspec.demo_cube()).with_redshift(0.0301).redshift[0].item()
        0.0301
        """
        return replace(self, redshift=np.asarray(redshift, dtype=np.float64))

    def _on_sky(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Arrange one value (or vector) per spectrum as `image` does, where the spectra form one; else as given."""
        return values if self.spatial_shape is None else self.image(values)

    def image(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Arrange one value (or vector) per spectrum on the sky.

        Parameters
        ----------
        values : (n_spectra, …)
            One row per spectrum.

        Returns
        -------
        (ny, nx, …)
            The same as an image.

        Raises
        ------
        SpectraError
            If the spectra form no image.

        Examples
        --------
        >>> import quietspec
        >>> quietspec.read(quietspec.demo_cube()).image(np.arange(400)).shape
        (20, 20)
        """
        if self.spatial_shape is None:
            raise SpectraError("Spectra.image: these spectra form no image (spatial_shape is None).")
        return np.reshape(values, self.spatial_shape + np.shape(values)[1:])

    @classmethod
    @shows_keywords(SpectraFields)
    def from_arrays(
        cls,
        wavelength: Any,
        flux: Any,
        uncertainty: Any,
        *,
        mask: Any = None,
        unit: str | u.UnitBase | None = None,
        noise_kind: NoiseKind = "sigma",
        **fields: Unpack[SpectraFields],
    ) -> Self:
        """Make `Spectra` from plain arrays, quantities, or the columns of a table.

        Parameters
        ----------
        wavelength : (n_pixels,) array, Quantity or Column
            Plain numbers are Å, and must lie between 2000 and 25000; anything else needs its unit. Frequencies and
            energies are converted.
        flux : (n_pixels,), (n_spectra, n_pixels) or (ny, nx, n_pixels) array, Quantity or Column
            Flux density, with wavelength as the last axis. One per frequency or in photons is converted to energy
            per Å.
        uncertainty : array, Quantity, Column or NDUncertainty
            Of the flux's shape, one number, or (n_pixels,). Plain numbers are in the unit of the flux.
        mask : same shape as `flux`, optional
            True where bad. Masked values of the other arrays, fluxes that are not finite, and uncertainties that are
            not positive are masked as well.
        unit : str or astropy unit, optional
            Unit of a flux that is a plain array; per unit wavelength if not given.
        noise_kind : {'sigma', 'variance', 'ivar'}
            What `uncertainty` is; an NDUncertainty says so itself.
        **fields
            ``medium``, required: {'air', 'vacuum'}, what the wavelengths are measured in;
            ``redshift`` : float or (n_spectra,), unknown if not given;
            ``ebv`` : float or (n_spectra,), E(B−V) of the Milky Way, mag, for which the flux is not corrected;
            ``fwhm`` : float, (n_pixels,) or (n_spectra, n_pixels), instrumental FWHM in Å, or a Quantity;
            ``wcs`` : the celestial WCS of a cube;
            ``meta`` : mapping, free facts about the origin;
            ``spatial_shape`` : (ny, nx), where `flux` is flat and the spectra form an image.

        Returns
        -------
        Spectra
            By increasing wavelength; with `spatial_shape` where `flux` has three dimensions. What was converted is
            said in ``meta["warnings"]``.

        Raises
        ------
        SpectraError
            If shapes or units do not fit, or the medium is not given.

        Examples
        --------
        >>> import astropy.units as u
        >>> import numpy as np
        >>> wavelength = np.linspace(0.48, 0.52, 200) * u.um
        >>> flux = np.ones((3, 200)) * u.mJy
        >>> spectra = Spectra.from_arrays(wavelength, flux, 100 * u.uJy, medium="vacuum", redshift=0.02)
        >>> spectra
        <Spectra: 3 spectra, 200 pixels, 4800–5200 Å in vacuum, z 0.02, median S/N 10.0>
        >>> spectra.unit
        Unit("1e-15 erg / (Angstrom s cm2)")
        """
        settled = fields_from_arrays(
            wavelength, flux, uncertainty, mask=mask, unit=unit, noise_kind=noise_kind, **fields
        )
        return cls(**settled)

    @classmethod
    @shows_keywords(SpectrumFields)
    def from_specutils(cls, spectrum: Spectrum | SpectrumCollection, **fields: Unpack[SpectrumFields]) -> Self:
        """Make `Spectra` from a specutils `Spectrum` (1-D to 3-D) or a `SpectrumCollection` on one common axis.

        Parameters
        ----------
        spectrum : specutils.Spectrum or specutils.SpectrumCollection
            With an uncertainty of any kind; its mask is honoured, and its flux converted to energy per Å.
        **fields
            As for `from_arrays`; they override what `spectrum` says. ``medium`` is required where neither the WCS nor
            the metadata of `spectrum` says it.

        Returns
        -------
        Spectra
            By increasing wavelength. What was converted, and a medium that contradicts the spectrum's own, is said in
            ``meta["warnings"]``.

        Raises
        ------
        SpectraError
            If there is no uncertainty, the spectra of a collection have different axes, the flux is in magnitudes or
            another unit that cannot be converted, or the medium is not known.

        Examples
        --------
        >>> import numpy as np
        >>> import astropy.units as u
        >>> from astropy.nddata import StdDevUncertainty
        >>> from specutils import Spectrum
        >>> flux = np.ones(200) * u.Unit("erg / (s cm2 Angstrom)")
        >>> spectrum = Spectrum(
        ...     flux=flux, spectral_axis=np.linspace(4800, 5200, 200) * u.AA, uncertainty=StdDevUncertainty(0.1 * flux)
        ... )
        >>> Spectra.from_specutils(spectrum, medium="vacuum").n_pixels
        200
        """
        return cls(**fields_from_specutils(spectrum, **fields))

    def to_specutils(self) -> Spectrum:
        """Convert to a specutils `Spectrum`, of shape (n_spectra, n_pixels) or (ny, nx, n_pixels).

        Returns
        -------
        specutils.Spectrum
            With 1σ uncertainty and mask (True = bad).

        Examples
        --------
        >>> import quietspec
        >>> spectra = quietspec.read(quietspec.demo_cube())
        >>> spectra[4:6, 4:6].to_specutils().shape
        (2, 2, 2757)
        """
        return specutils_spectrum(
            self.wavelength, *map(self._on_sky, (self.flux, self.sigma, ~self.good)), unit=self.unit,
            redshift=self.redshift, meta={**self.meta, "medium": self.medium},
        )  # fmt: skip
