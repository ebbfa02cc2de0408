"""The two values that flow through everything: observed `Spectra`, and what a denoiser makes of them, `Denoised`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntFlag
from typing import TYPE_CHECKING, Any, Literal, Self

import astropy.units as u
import numpy as np
import numpy.typing as npt

from quietspec.errors import SpectraError
from quietspec.mixtures import ParameterPosterior
from quietspec.robust import masked_median

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from specutils import Spectrum, SpectrumCollection

__all__ = ["BoolArray", "Denoised", "Flag", "FloatArray", "Medium", "Spectra"]

FloatArray = npt.NDArray[np.floating[Any]]
BoolArray = npt.NDArray[np.bool_]
Medium = Literal["air", "vacuum"]


class Flag(IntFlag):
    """Why a spectrum was not denoised, or why its result is in doubt. Bits combine."""

    OK = 0
    EMPTY = 1  #: no pixel with a finite flux and a positive inverse variance
    NO_REDSHIFT = 2  #: the denoiser works in the rest frame and the redshift is unknown
    OUT_OF_RANGE = 4  #: the redshift moves every good pixel out of the model's wavelengths
    NO_SIGNAL = 8  #: the flux scale is not above zero by twice its error
    POOR_FIT = 16  #: χ² per degree of freedom above 1.5, and improbable (p < 0.001), after `noise_scale`
    UNLIKE_PRIOR = 32  #: at its redshift, but with features or colours that the model does not know
    WRONG_REDSHIFT = 64  #: another redshift explains its features better; used instead if within 2000 km/s
    STAR = 128  #: stars at redshift 0 explain its features better
    NOT_GALAXY = 256  #: a smooth continuum explains it better than any galaxy does: quasar, artefact
    MISSCALED = 512  #: the scatter of its channels is not what the quoted errors say

    @property
    def failed(self) -> bool:
        """Whether the denoised spectrum is NaN because of this flag."""
        return bool(self & (Flag.EMPTY | Flag.NO_REDSHIFT | Flag.OUT_OF_RANGE))


def _floats(name: str, value: Any, ndim: int, dtype: type | None = None) -> FloatArray:
    """Native-endian float array of `ndim` dimensions, or a `SpectraError` that names the field."""
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"dtype {array.dtype}")
        keep = array.dtype.kind == "f" and array.dtype.itemsize <= 8
        target = np.dtype(dtype) if dtype else (array.dtype.newbyteorder("=") if keep else np.dtype(np.float64))
        array = array.astype(target, copy=False)
    except (TypeError, ValueError) as error:
        raise SpectraError(f"Spectra.{name}: expected numbers, got {type(value).__name__} ({error}).") from error
    if array.ndim != ndim:
        raise SpectraError(f"Spectra.{name}: expected {ndim} dimension(s), got shape {array.shape}.")
    return array


def _require_shape(name: str, array: npt.NDArray[Any], *allowed: tuple[int, ...]) -> None:
    if array.shape not in allowed:
        raise SpectraError(f"{name}: shape {array.shape} does not match {' or '.join(map(str, allowed))}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Spectra:
    """Observed spectra on one wavelength axis, with their noise.

    Validated and brought to native byte order on construction; never changed afterwards.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Observed-frame pixel centres in Å, strictly increasing. Steps may vary and gaps are allowed.
    flux : (n_spectra, n_pixels)
        Flux density per Å in `unit`. Values in masked pixels are ignored, NaN included.
    ivar : (n_spectra, n_pixels)
        Inverse variance in 1/`unit`²; 0 marks a masked pixel.
    redshift : float or (n_spectra,)
        Redshift, NaN where unknown.
    medium : {'air', 'vacuum'}
        What `wavelength` is measured in.
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
    """

    wavelength: FloatArray
    flux: FloatArray
    ivar: FloatArray
    redshift: FloatArray = field(default_factory=lambda: np.array(np.nan))
    medium: Medium = "air"
    fwhm: FloatArray | None = None
    unit: u.UnitBase = u.dimensionless_unscaled
    spatial_shape: tuple[int, int] | None = None
    wcs: WCS | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settle = object.__setattr__
        settle(self, "wavelength", _floats("wavelength", self.wavelength, 1, np.float64))
        settle(self, "flux", _floats("flux", self.flux, 2))
        settle(self, "ivar", _floats("ivar", self.ivar, 2))
        shape = self.flux.shape
        self._check_wavelength()
        _require_shape("Spectra.flux", self.flux, (shape[0], len(self.wavelength)))
        _require_shape("Spectra.ivar", self.ivar, shape)
        if not np.all(self.ivar >= 0) or np.any(np.isinf(self.ivar)):
            row, pixel = np.argwhere(~((self.ivar >= 0) & np.isfinite(self.ivar)))[0]
            raise SpectraError(
                f"Spectra.ivar: {self.ivar[row, pixel]} at spectrum {row}, pixel {pixel}; inverse variances must be "
                "finite and ≥ 0. Set bad pixels to 0."
            )
        if np.any((self.ivar > 0) & ~np.isfinite(self.flux)):
            row, pixel = np.argwhere((self.ivar > 0) & ~np.isfinite(self.flux))[0]
            raise SpectraError(
                f"Spectra.flux: {self.flux[row, pixel]} at spectrum {row}, pixel {pixel} whose ivar is not 0. "
                "Set the ivar of bad pixels to 0."
            )
        settle(self, "redshift", self._settled_redshift())
        if self.medium not in ("air", "vacuum"):
            raise SpectraError(f"Spectra.medium: {self.medium!r} is neither 'air' nor 'vacuum'.")
        if self.fwhm is not None:
            settle(self, "fwhm", _floats("fwhm", self.fwhm, np.ndim(self.fwhm), np.float64))
            _require_shape("Spectra.fwhm", self.fwhm, shape, shape[1:])
            if np.any(self.fwhm < 0):
                raise SpectraError("Spectra.fwhm: negative; give the FWHM in Å, or NaN where unknown.")
        if self.spatial_shape is not None and (len(self.spatial_shape) != 2 or np.prod(self.spatial_shape) != shape[0]):
            raise SpectraError(f"Spectra.spatial_shape: {self.spatial_shape} does not hold {shape[0]} spectra.")

    def _check_wavelength(self) -> None:
        wavelength = self.wavelength
        if wavelength.size < 2:
            raise SpectraError(f"Spectra.wavelength: {wavelength.size} pixel(s); at least 2 are needed.")
        if not np.all(np.isfinite(wavelength)) or wavelength[0] <= 0:
            raise SpectraError("Spectra.wavelength: values must be finite and positive (Å).")
        steps = np.diff(wavelength)
        if np.any(steps <= 0):
            pixel = int(np.argmax(steps <= 0))
            raise SpectraError(
                f"Spectra.wavelength: not strictly increasing at pixel {pixel} "
                f"({wavelength[pixel]:.3f} → {wavelength[pixel + 1]:.3f} Å). Sort or split the spectrum."
            )

    def _settled_redshift(self) -> FloatArray:
        redshift = np.asarray(self.redshift, dtype=np.float64)
        if redshift.ndim > 1 or (redshift.ndim == 1 and len(redshift) != self.n_spectra):
            raise SpectraError(f"Spectra.redshift: shape {redshift.shape} for {self.n_spectra} spectra.")
        if np.any(redshift <= -1) or np.any(np.isinf(redshift)):
            raise SpectraError("Spectra.redshift: must be > -1 and finite, or NaN where unknown.")
        return np.broadcast_to(redshift, (self.n_spectra,)).copy()

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
        return replace(
            self, flux=self.flux[rows], ivar=self.ivar[rows], redshift=self.redshift[rows], fwhm=fwhm, **changes
        )

    def _cutout(self, *index: Any) -> Self:
        if self.spatial_shape is None or len(index) != 2 or not all(isinstance(i, slice) for i in index):
            raise SpectraError("Spectra[y, x]: needs a spatial shape and two slices.")
        grid = np.arange(self.n_spectra).reshape(self.spatial_shape)[index]
        wcs = None if self.wcs is None else self.wcs[index]
        return self._rows(grid.ravel(), spatial_shape=grid.shape, wcs=wcs)

    def between(self, low: float, high: float) -> Self:
        """Keep the pixels with ``low <= wavelength <= high`` (observed Å)."""
        keep = (self.wavelength >= low) & (self.wavelength <= high)
        fwhm = None if self.fwhm is None else self.fwhm[..., keep]
        return replace(
            self, wavelength=self.wavelength[keep], flux=self.flux[:, keep], ivar=self.ivar[:, keep], fwhm=fwhm
        )

    def with_redshift(self, redshift: float | FloatArray) -> Self:
        """Return the same spectra with another redshift, a number or (n_spectra,)."""
        return replace(self, redshift=np.asarray(redshift, dtype=np.float64))

    def image(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Arrange one value (or vector) a spectrum on the sky: (n_spectra, …) → (ny, nx, …)."""
        if self.spatial_shape is None:
            raise SpectraError("Spectra.image: these spectra form no image (spatial_shape is None).")
        return np.reshape(values, self.spatial_shape + np.shape(values)[1:])

    @classmethod
    def from_arrays(cls, wavelength: Any, flux: Any, uncertainty: Any, *, mask: Any = None, **fields: Any) -> Self:
        """Make `Spectra` from plain arrays or quantities.

        Parameters
        ----------
        wavelength : (n_pixels,) array or Quantity
            Å, or any length.
        flux : (n_pixels,), (n_spectra, n_pixels) or (ny, nx, n_pixels) array or Quantity
            Flux density.
        uncertainty : same shape as `flux`
            1σ errors in the flux's unit (or convertible to it).
        mask : same shape as `flux`, optional
            True where bad. Non-finite fluxes and errors that are not positive are masked as well.
        **fields
            Other fields of `Spectra`.

        Returns
        -------
        Spectra
            With `spatial_shape` set where `flux` has three dimensions.
        """
        unit = flux.unit if isinstance(flux, u.Quantity) else fields.pop("unit", u.dimensionless_unscaled)
        values = np.asarray(flux.value if isinstance(flux, u.Quantity) else flux, dtype=np.float64)
        sigma = np.asarray(
            uncertainty.to_value(unit) if isinstance(uncertainty, u.Quantity) else uncertainty, dtype=np.float64
        )
        angstrom = wavelength.to_value(u.AA) if isinstance(wavelength, u.Quantity) else np.asarray(wavelength)
        _require_shape("uncertainty", sigma, values.shape)
        good = np.isfinite(values) & (sigma > 0) & np.isfinite(sigma)
        if mask is not None:
            _require_shape("mask", np.asarray(mask), values.shape)
            good &= ~np.asarray(mask, dtype=bool)
        ivar = np.divide(1, sigma**2, out=np.zeros_like(sigma), where=good)
        if values.ndim == 3:
            fields.setdefault("spatial_shape", values.shape[:2])
        rows = (-1, values.shape[-1]) if values.ndim else (1, 1)
        return cls(wavelength=angstrom, flux=values.reshape(rows), ivar=ivar.reshape(rows), unit=unit, **fields)

    @classmethod
    def from_specutils(cls, spectrum: Spectrum | SpectrumCollection, **fields: Any) -> Self:
        """Make `Spectra` from a specutils `Spectrum` (1-D to 3-D) or a `SpectrumCollection` on one common axis.

        Parameters
        ----------
        spectrum : specutils.Spectrum or specutils.SpectrumCollection
            With an uncertainty; its mask is honoured.
        **fields
            Other fields of `Spectra`; they override what `spectrum` says.

        Returns
        -------
        Spectra
            On the same pixels.

        Raises
        ------
        SpectraError
            If there is no uncertainty, or the spectra of a collection have different axes.
        """
        from astropy.nddata import StdDevUncertainty

        if spectrum.uncertainty is None:
            raise SpectraError("from_specutils: the spectrum has no uncertainty; set `uncertainty` first.")
        axis = spectrum.spectral_axis
        if axis.ndim > 1:
            if not np.all(axis == axis[0]):
                raise SpectraError("from_specutils: the spectra of the collection have different axes; convert each.")
            axis = axis[0]
        flux = spectrum.flux
        deviation = spectrum.uncertainty.represent_as(StdDevUncertainty)
        sigma = u.Quantity(deviation.array, deviation.unit or flux.unit)
        mask = None if spectrum.mask is None else np.asarray(spectrum.mask)
        index = getattr(spectrum, "spectral_axis_index", None)
        if index is not None and index not in (-1, flux.ndim - 1):
            flux, sigma = np.moveaxis(flux, index, -1), np.moveaxis(sigma, index, -1)
            mask = None if mask is None else np.moveaxis(mask, index, -1)
        wavelength = u.Quantity(axis).to(u.AA, equivalencies=u.spectral())
        if wavelength[0] > wavelength[-1]:
            wavelength, flux, sigma = wavelength[::-1], flux[..., ::-1], sigma[..., ::-1]
            mask = None if mask is None else mask[..., ::-1]
        redshift = getattr(spectrum, "redshift", None)
        if redshift is not None and np.size(redshift) == 1 and float(redshift) != 0:
            fields.setdefault("redshift", float(redshift))
        return cls.from_arrays(wavelength, flux, sigma, mask=mask, **fields)

    def to_specutils(self) -> Spectrum:
        """Convert to a specutils `Spectrum`, of shape (n_spectra, n_pixels) or (ny, nx, n_pixels)."""
        return _as_specutils(self, self.flux, self.sigma, ~self.good)


def _stacked_posteriors(tiles: Sequence[Denoised]) -> ParameterPosterior | None:
    posteriors = [tile.parameter_posterior for tile in tiles if tile.parameter_posterior is not None]
    return ParameterPosterior.stack(posteriors) if len(posteriors) == len(tiles) else None


def _as_specutils(spectra: Spectra, flux: FloatArray, sigma: FloatArray, mask: BoolArray) -> Spectrum:
    from astropy.nddata import StdDevUncertainty
    from specutils import Spectrum

    shape = (*(spectra.spatial_shape or flux.shape[:1]), spectra.n_pixels)
    redshift = spectra.redshift
    one_redshift = np.all(redshift == redshift[0]) if len(redshift) else False
    return Spectrum(
        flux=u.Quantity(flux.reshape(shape), spectra.unit),
        spectral_axis=u.Quantity(spectra.wavelength, u.AA),
        uncertainty=StdDevUncertainty(np.where(np.isfinite(sigma), sigma, 0).reshape(shape), unit=spectra.unit),
        mask=mask.reshape(shape),
        redshift=float(redshift[0]) if one_redshift else None,
        spectral_axis_index=len(shape) - 1,
        meta=dict(spectra.meta),
    )


def median_snr(flux: FloatArray, sigma: FloatArray, good: BoolArray) -> FloatArray:
    """Median of flux/sigma over the good pixels of each spectrum, (n_spectra,); NaN where there are none."""
    ratio = np.divide(flux, sigma, out=np.zeros(np.shape(flux)), where=good)
    return masked_median(ratio, good)


_PER_SPECTRUM = ("flux", "sigma", "flags", "ignored", "chi2", "dof", "evidence", "noise_scale", "p_value", "redshift")


@dataclass(frozen=True, kw_only=True, eq=False)
class Denoised:
    """What a denoiser says the noise-free spectra are, and how sure it is.

    Parameters
    ----------
    spectra : Spectra
        What was denoised.
    flux, sigma : (n_spectra, n_pixels)
        Estimate of the noise-free flux and its 1σ error, in ``spectra.unit``; NaN where the denoiser says nothing
        (outside its wavelengths, or the spectrum's flag is a failure).
    flags : (n_spectra,) of int
        Bits of `Flag`.
    ignored : (n_spectra, n_pixels) of bool
        Good input pixels the denoiser left out: emission lines, spikes.
    model : str
        Name of the denoiser, with the hash of its file where it has one.
    chi2, dof : (n_spectra,)
        χ² of data minus estimate over the pixels used, and the number of these less the effective number of
        parameters; NaN where the denoiser does not define them.
    evidence : (n_spectra,)
        Log evidence ln p(data | model); NaN where the denoiser defines none.
    parameters : mapping of str to ((n_spectra,), (n_spectra,))
        Mean and 1σ of physical parameters, by name.
    parameter_posterior : ParameterPosterior, optional
        Joint posterior of the same parameters; none where the denoiser has only means and errors.
    factor_of : callable, optional
        Maps a row number to F of shape (n_pixels, n_factors); the pixel covariance is F Fᵀ + diag(remainder²).
    remainder : (n_spectra, n_pixels), optional
        The part of `sigma` that is independent from pixel to pixel; none if not given.
    noise_scale : (n_spectra,), optional
        Factor by which the denoiser took the input's errors to be larger than quoted; 1 if not given.
    p_value : (n_spectra,), optional
        Probability that a galaxy at its redshift looks as odd as this spectrum; NaN where nothing tells.
    redshift : (n_spectra,), optional
        Redshift at which each was denoised; that of ``spectra`` if not given.
    """

    spectra: Spectra
    flux: FloatArray
    sigma: FloatArray
    flags: npt.NDArray[np.integer[Any]]
    ignored: BoolArray
    model: str
    chi2: FloatArray
    dof: FloatArray
    evidence: FloatArray
    parameters: Mapping[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    parameter_posterior: ParameterPosterior | None = None
    factor_of: Callable[[int], FloatArray] | None = None
    remainder: FloatArray | None = None
    noise_scale: FloatArray = field(default_factory=lambda: np.array(1.0))
    p_value: FloatArray = field(default_factory=lambda: np.array(np.nan))
    redshift: FloatArray | None = None

    def __post_init__(self) -> None:
        shape = self.spectra.flux.shape
        redshift = self.spectra.redshift if self.redshift is None else self.redshift
        for name, values in (("noise_scale", self.noise_scale), ("p_value", self.p_value), ("redshift", redshift)):
            object.__setattr__(self, name, np.broadcast_to(values, shape[:1]))
        for name in ("flux", "sigma", "ignored"):
            _require_shape(f"Denoised.{name}", getattr(self, name), shape)
        for name in ("flags", "chi2", "dof", "evidence"):
            _require_shape(f"Denoised.{name}", getattr(self, name), shape[:1])

    def __len__(self) -> int:
        return len(self.spectra)

    @property
    def valid(self) -> BoolArray:
        """Pixels with an estimate, (n_spectra, n_pixels)."""
        return np.isfinite(self.flux)

    @property
    def snr(self) -> FloatArray:
        """Median of denoised flux over its error, on the good pixels the model covers, (n_spectra,)."""
        return median_snr(self.flux, self.sigma, self.valid & self.spectra.good)

    @property
    def snr_before(self) -> FloatArray:
        """The same for the input, on the same pixels, (n_spectra,)."""
        return median_snr(self.spectra.flux, self.spectra.sigma, self.valid & self.spectra.good)

    @property
    def residual(self) -> FloatArray:
        """Input minus estimate, (n_spectra, n_pixels): noise, emission lines and whatever the model does not know."""
        return np.asarray(self.spectra.flux - self.flux)

    def covariance_factor(self, row: int) -> FloatArray:
        """F of shape (n_pixels, n_factors): F Fᵀ + diag(remainder²) is the covariance of one spectrum's estimate."""
        if self.factor_of is None:
            raise SpectraError(f"{self.model}: this denoiser gives no covariance; only sigma.")
        return self.factor_of(range(len(self))[row])

    def covariance(self, row: int) -> FloatArray:
        """Covariance between the pixels of one estimate, (n_pixels, n_pixels), in unit²."""
        factor = self.covariance_factor(row)
        independent = 0.0 if self.remainder is None else self.remainder[row].astype(np.float64)
        return np.asarray(factor @ factor.T + np.diag(np.broadcast_to(independent, len(factor)) ** 2))

    def __getitem__(self, index: Any) -> Self:
        """Select spectra by number, slice, list, mask, or ``[y, x]`` slices of a cube."""
        grid = np.arange(len(self))
        rows = grid.reshape(self.spectra.spatial_shape or (-1,))[index] if isinstance(index, tuple) else grid[index]
        rows = np.atleast_1d(rows).ravel()
        of = self.factor_of
        return replace(
            self,
            spectra=self.spectra[index],
            parameters={name: (mean[rows], sigma[rows]) for name, (mean, sigma) in self.parameters.items()},
            parameter_posterior=None if self.parameter_posterior is None else self.parameter_posterior[rows],
            factor_of=None if of is None else (lambda row: of(int(rows[row]))),
            remainder=None if self.remainder is None else self.remainder[rows],
            **{name: getattr(self, name)[rows] for name in _PER_SPECTRUM},
        )

    @classmethod
    def stack(cls, tiles: Sequence[Denoised], spectra: Spectra) -> Self:
        """Join the results of consecutive tiles of `spectra`.

        Parameters
        ----------
        tiles : sequence of Denoised
            From one denoiser, in the order of the spectra.
        spectra : Spectra
            The whole input.

        Returns
        -------
        Denoised
            Of the whole; covariance factors are kept where the tiles have them.
        """
        first = tiles[0]
        starts = np.cumsum([0, *(len(tile) for tile in tiles)])

        def factor_of(row: int) -> FloatArray:
            number = int(np.searchsorted(starts, row, side="right")) - 1
            return tiles[number].covariance_factor(row - int(starts[number]))

        def joined(name: str) -> npt.NDArray[Any]:
            return np.concatenate([getattr(tile, name) for tile in tiles])

        return cls(
            spectra=spectra,
            model=first.model,
            parameters={
                name: (
                    np.concatenate([tile.parameters[name][0] for tile in tiles]),
                    np.concatenate([tile.parameters[name][1] for tile in tiles]),
                )
                for name in first.parameters
            },
            parameter_posterior=_stacked_posteriors(tiles),
            factor_of=None if first.factor_of is None else factor_of,
            remainder=None if first.remainder is None else joined("remainder"),
            **{name: joined(name) for name in _PER_SPECTRUM},
        )

    def to_specutils(self) -> Spectrum:
        """Convert the estimate to a specutils `Spectrum`; pixels without one are masked."""
        return _as_specutils(self.spectra, self.flux, self.sigma, ~self.valid)
