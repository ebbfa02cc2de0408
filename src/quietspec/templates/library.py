"""`SspLibrary`: the spectra of single stellar populations on a grid of age and metallicity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from quietspec.errors import TemplateError
from quietspec.resampling import Resampler, added_sigma
from quietspec.wavelengths import SNR_WINDOW, in_window, vacuum_to_air

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray
    from quietspec.kinds import Medium

__all__ = ["SspLibrary"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SspLibrary:
    """Spectra of single stellar populations (SSPs) on a full grid of age and metallicity.

    Sorted on construction by age and, within an age, by metallicity, so that
    ``spectra.reshape(*grid_shape, n_pixels)`` has the axes (age, metallicity, wavelength).

    Parameters
    ----------
    name : str
        Name of the library, for model cards and headers.
    wavelength : (n_pixels,)
        Rest-frame Å, strictly increasing.
    medium : {'air', 'vacuum'}
        What `wavelength` is measured in.
    spectra : (n_ssp, n_pixels)
        L☉ Å⁻¹ per solar mass formed.
    log_age : (n_ssp,)
        log10 of the age in years.
    metallicity : (n_ssp,)
        [M/H], dex.
    fwhm : float or (n_pixels,)
        Resolution, FWHM in Å.
    remaining_mass : (n_ssp,), optional
        Fraction of the mass formed that is now in stars and remnants, if known.
    per_mass : bool
        Whether `spectra` are per solar mass formed. False if each SSP has its own scale, as after `normalised`: weights
        are then fractions of light, and no mass follows from them.

    Raises
    ------
    TemplateError
        If a field is malformed, or the ages and metallicities do not form a full grid; the message says which.
    """

    name: str
    wavelength: FloatArray
    medium: Medium
    spectra: FloatArray
    log_age: FloatArray
    metallicity: FloatArray
    fwhm: FloatArray
    remaining_mass: FloatArray | None = None
    per_mass: bool = True

    def __post_init__(self) -> None:
        for name in ("wavelength", "spectra", "log_age", "metallicity", "fwhm", "remaining_mass"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        if self.fwhm.ndim == 0:
            object.__setattr__(self, "fwhm", np.full(self.wavelength.shape, self.fwhm))
        self._check_shapes()
        if len(self.wavelength) < 4 or np.any(np.diff(self.wavelength) <= 0):
            raise TemplateError(f"{self.name}: wavelengths must be strictly increasing, with at least 4 pixels.")
        if not np.all(np.isfinite(self.spectra)):
            row = int(np.argmin(np.isfinite(self.spectra).all(axis=1)))
            raise TemplateError(
                f"{self.name}: the spectrum of log age {self.log_age[row]:.3f}, [M/H] {self.metallicity[row]:+.2f} has "
                "non-finite values. Cut the library with `between`, or replace the file."
            )
        self._sort_into_grid()

    def _check_shapes(self) -> None:
        n_ssp, n_pixels = self.log_age.shape, self.wavelength.shape
        expected = {"spectra": n_ssp + n_pixels, "metallicity": n_ssp, "fwhm": n_pixels}
        if self.remaining_mass is not None:
            expected["remaining_mass"] = n_ssp
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise TemplateError(
                    f"{self.name}: {name} has shape {getattr(self, name).shape}, but {n_ssp} ages and {n_pixels} "
                    f"wavelengths require {shape}."
                )

    def _sort_into_grid(self) -> None:
        order = np.lexsort((self.metallicity, self.log_age))
        for name in ("spectra", "log_age", "metallicity"):
            object.__setattr__(self, name, getattr(self, name)[order])
        if self.remaining_mass is not None:
            object.__setattr__(self, "remaining_mass", self.remaining_mass[order])
        ages, metallicities = np.unique(self.log_age), np.unique(self.metallicity)
        full = np.stack(np.meshgrid(ages, metallicities, indexing="ij")).reshape(2, -1)
        if full.shape[1] != len(self.log_age) or not np.array_equal(full, [self.log_age, self.metallicity]):
            raise TemplateError(
                f"{self.name}: {len(self.log_age)} spectra of {len(ages)} ages and {len(metallicities)} metallicities "
                f"do not form a full grid of {full.shape[1]}: {self._first_fault(full)}. Add what is missing, or "
                "remove those that do not belong."
            )

    def _first_fault(self, full: FloatArray) -> str:
        """Name the first spectrum of the full grid that is missing, or there more than once."""
        counts = [np.count_nonzero((self.log_age == age) & (self.metallicity == metal)) for age, metal in full.T]
        row = next(row for row, count in enumerate(counts) if count != 1)
        fault = f"is there {counts[row]} times" if counts[row] else "is missing"
        return f"that of log age {full[0, row]:.3f}, [M/H] {full[1, row]:+.2f} {fault}"

    @property
    def n_ssp(self) -> int:
        """Number of spectra."""
        return len(self.log_age)

    @property
    def log_ages(self) -> FloatArray:
        """Ages of the grid, (n_ages,), log10 yr, increasing."""
        return np.unique(self.log_age)

    @property
    def metallicities(self) -> FloatArray:
        """Metallicities of the grid, (n_metallicities,), dex, increasing."""
        return np.unique(self.metallicity)

    @property
    def grid_shape(self) -> tuple[int, int]:
        """(n_ages, n_metallicities)."""
        return len(self.log_ages), len(self.metallicities)

    def light(self, window: tuple[float, float] = SNR_WINDOW) -> FloatArray:
        """Return the mean flux density of each SSP in a window (Å), (n_ssp,), which turns mass into light weights."""
        inside = in_window(self.wavelength, window)
        if not inside.any():
            raise TemplateError(
                f"{self.name}: no pixel in {window[0]:.1f}–{window[1]:.1f} Å; the library covers "
                f"{self.wavelength[0]:.1f}–{self.wavelength[-1]:.1f} Å. Choose a window inside it."
            )
        return np.asarray(self.spectra[:, inside].mean(axis=1))

    def in_air(self) -> Self:
        """Return the library with its wavelengths in air."""
        if self.medium == "air":
            return self
        return replace(self, wavelength=vacuum_to_air(self.wavelength), medium="air")

    def normalised(self, window: tuple[float, float] = SNR_WINDOW) -> Self:
        """Scale every SSP to mean flux density 1 in a window (Å), so that weights become light fractions there."""
        return replace(self, spectra=self.spectra / self.light(window)[:, None], per_mass=False)

    def between(self, low: float, high: float) -> Self:
        """Keep the pixels with ``low <= wavelength <= high`` (Å).

        Returns
        -------
        SspLibrary
            The same spectra, cut to the range.

        Raises
        ------
        TemplateError
            If the library does not reach from `low` to `high` to within a pixel.
        """
        step = np.diff(self.wavelength).max()
        if low >= high or low < self.wavelength[0] - step or high > self.wavelength[-1] + step:
            raise TemplateError(
                f"{self.name}: covers {self.wavelength[0]:.1f}–{self.wavelength[-1]:.1f} Å, not "
                f"{low:.1f}–{high:.1f} Å. Choose a range inside it, or load a library that reaches further."
            )
        keep = in_window(self.wavelength, (low, high))
        return replace(self, wavelength=self.wavelength[keep], spectra=self.spectra[:, keep], fwhm=self.fwhm[keep])

    def within(
        self,
        *,
        log_age: tuple[float, float] = (-np.inf, np.inf),
        metallicity: tuple[float, float] = (-np.inf, np.inf),
    ) -> Self:
        """Keep the SSPs in a range of ages and metallicities, ends included.

        Parameters
        ----------
        log_age : (low, high), optional
            log10 of the age in years; all by default.
        metallicity : (low, high), optional
            [M/H], dex; all by default.

        Returns
        -------
        SspLibrary
            The part of the grid inside the range.

        Raises
        ------
        TemplateError
            If no SSP is inside.
        """
        keep = in_window(self.log_age, log_age) & in_window(self.metallicity, metallicity)
        if not keep.any():
            raise TemplateError(
                f"{self.name}: no SSP with log age in {log_age} and [M/H] in {metallicity}; the library has log ages "
                f"{self.log_ages[0]:.2f}–{self.log_ages[-1]:.2f} and [M/H] {self.metallicities[0]:+.2f} to "
                f"{self.metallicities[-1]:+.2f}. Choose ranges that contain some."
            )
        return replace(
            self,
            spectra=self.spectra[keep],
            log_age=self.log_age[keep],
            metallicity=self.metallicity[keep],
            remaining_mass=None if self.remaining_mass is None else self.remaining_mass[keep],
        )

    def to_fwhm(self, fwhm: float | FloatArray) -> Self:
        """Smooth to a lower resolution.

        Parameters
        ----------
        fwhm : float or (n_pixels,)
            Desired FWHM in Å, on the library's pixels.

        Returns
        -------
        SspLibrary
            Spectra convolved with Gaussians whose FWHM is the square root of the difference of squares.

        Raises
        ------
        TemplateError
            If the desired FWHM is smaller than the library's.
        """
        target = np.broadcast_to(np.asarray(fwhm, dtype=np.float64), self.wavelength.shape)
        smooth = Resampler(self.wavelength, self.wavelength, added_sigma(target, self.fwhm))
        return replace(self, spectra=smooth(self.spectra), fwhm=target)

    def at(self, wavelength: FloatArray) -> Self:
        """Evaluate the library at other wavelengths, by cubic splines.

        Parameters
        ----------
        wavelength : (n_new,)
            Wavelengths in Å, in the library's medium and inside its range, strictly increasing.

        Returns
        -------
        SspLibrary
            Flux densities at these wavelengths; the resolution is unchanged.

        Raises
        ------
        TemplateError
            If a wavelength lies outside the library.
        """
        wavelength = np.asarray(wavelength, dtype=np.float64)
        resample = Resampler(self.wavelength, wavelength)
        if not resample.covered.all():
            raise TemplateError(
                f"{self.name}: {wavelength.min():.1f}–{wavelength.max():.1f} Å requested, but the library covers "
                f"{self.wavelength[0]:.1f}–{self.wavelength[-1]:.1f} Å. Stay inside it."
            )
        fwhm = np.interp(wavelength, self.wavelength, self.fwhm)
        return replace(self, wavelength=wavelength, spectra=resample(self.spectra), fwhm=fwhm)
