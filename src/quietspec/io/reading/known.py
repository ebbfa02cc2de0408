"""Redshift, foreground extinction and resolution: the first of those who state them whose statement can be one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError, UnitError
from quietspec.io.reading.content import Questions
from quietspec.io.reading.conventions import header_ebv, header_resolution
from quietspec.io.reading.options import MOST_EBV, ReadOptions
from quietspec.resolution import instrumental_fwhm, possible_fwhm

__all__ = [
    "AS_GIVEN", "StatedResolution", "given_fwhm", "settle_ebv", "settle_fwhm", "settle_redshift", "stated_by_header",
]  # fmt: skip

AS_GIVEN = "as given"  #: who states what the user gives, which is not doubted
_SAME_REDSHIFT = 1e-3  # statements that differ by more contradict each other
_SAME_EBV = 2e-3  # mag
_REDSHIFTS = (-0.1, 30.0)  # that a file may state


@dataclass(frozen=True, kw_only=True)
class StatedResolution:
    """A resolution as an HDU, a column or the user states it; to be checked.

    Parameters
    ----------
    values : (), (n_pixels,), (n_spectra,) or (n_spectra, n_pixels)
        FWHM or R = λ/FWHM.
    what : {'fwhm', 'resolving power'}
        Which of them, by its name.
    unit : str, optional
        Unit of a FWHM; Å if not given.
    who : str, optional
        Who states it.
    """

    values: npt.ArrayLike
    what: Literal["fwhm", "resolving power"] = "fwhm"
    unit: str | None = None
    who: str | None = None

    def fwhm(
        self, wavelength: FloatArray, n_spectra: int, pixels: npt.NDArray[np.bool_] | None = None
    ) -> tuple[FloatArray, str | None]:
        """Bring it to a FWHM.

        Parameters
        ----------
        wavelength : (n_pixels,)
            Å.
        n_spectra : int
            Number of spectra.
        pixels : (n_pixels of the file,) of bool, optional
            Pixels of the file that have a wavelength; all by default.

        Returns
        -------
        fwhm : (n_pixels,) or (n_spectra, n_pixels)
            In Å.
        warning : str or None
            How many values were not usable.

        Raises
        ------
        UnitError
            If it cannot be a resolution of these spectra.
        """
        values = np.squeeze(np.asarray(self.values, dtype=np.float64))
        if pixels is not None and values.shape[-1:] == pixels.shape:
            values = values[..., pixels]
        if values.shape == (n_spectra,) and values.shape != wavelength.shape:
            values = np.repeat(values[:, None], len(wavelength), axis=1)
        if values.ndim == 2 and len(values) != n_spectra:
            raise UnitError(f"a resolution of shape {values.shape} does not fit {n_spectra} spectra")
        return instrumental_fwhm(values, wavelength, what=self.what, unit=self.unit)


def stated_by_header(*headers: Mapping[str, Any]) -> tuple[StatedResolution | None, str]:
    """Resolution that a header states, and by which keyword."""
    power, who = header_resolution(*headers)
    return None if power is None else StatedResolution(values=power, what="resolving power"), who


def settle_fwhm(
    stated: Iterable[tuple[Any, str]],
    wavelength: FloatArray,
    n_spectra: int,
    questions: Questions,
    pixels: npt.NDArray[np.bool_] | None = None,
) -> FloatArray | None:
    """Settle the instrumental FWHM.

    Parameters
    ----------
    stated : iterable of (value, who)
        The best first: `StatedResolution`; a FWHM in Å, (), (n_pixels,) or (n_spectra, n_pixels), that a survey
        vouches for; a function of the wavelengths that gives it; or None.
    wavelength : (n_pixels,)
        Å.
    n_spectra : int
        Number of spectra.
    questions : Questions
        Takes down what was decided, and what is not used and why.
    pixels : (n_pixels of the file,) of bool, optional
        Pixels of the file that have a wavelength; all by default.

    Returns
    -------
    (n_pixels,) or (n_spectra, n_pixels) or None
        In Å; None where nobody knows it.
    """
    for value, who in stated:
        if value is None:
            continue
        known = value(wavelength) if callable(value) else value
        if isinstance(known, StatedResolution):
            who = known.who or who
            try:
                known, note = known.fwhm(wavelength, n_spectra, pixels)
            except UnitError as error:
                questions.warn(f"{who}: {error}; not used. Give the FWHM in Å: fwhm=")
                continue
            questions.warn(None if note is None else f"{who}: {note}")
        if known is None:
            continue
        fwhm: FloatArray = np.asarray(known, dtype=np.float64)
        if pixels is not None and fwhm.shape[-1:] == pixels.shape:
            fwhm = fwhm[..., pixels]
        try:
            fwhm, note = possible_fwhm(fwhm, wavelength)
        except UnitError as error:
            questions.warn(f"{who}: {error}; not used. Give the FWHM in Å: fwhm=")
            continue
        questions.warn(None if note is None else f"{who}: {note}")
        questions.decide("resolution", who)
        return np.full(len(wavelength), fwhm) if fwhm.ndim == 0 else fwhm
    questions.decide("resolution", "unknown")
    return None


def given_fwhm(fwhm: float | None, wavelength: FloatArray, where: str) -> float | None:
    """FWHM that the user gives, in Å, or a `ReadError` where no instrument has it."""
    if fwhm is not None:
        try:
            instrumental_fwhm(fwhm, wavelength)
        except UnitError as error:
            raise ReadError(f"{where}: fwhm={fwhm:g}: {error}. Give the FWHM in Å.") from error
    return fwhm


def settle_redshift(stated: Iterable[tuple[Any, str]], n_spectra: int, questions: Questions) -> FloatArray:
    """Settle the redshifts.

    Parameters
    ----------
    stated : iterable of (value, who)
        The best first: one number, one per spectrum, or None.
    n_spectra : int
        Number of spectra.
    questions : Questions
        Takes down what was decided, and what is not used and why.

    Returns
    -------
    (n_spectra,)
        NaN where unknown.
    """
    settled: FloatArray | None = None
    by, against = "unknown", []
    for value, who in stated:
        redshift = None if value is None else _possible_redshift(value, who, n_spectra, questions)
        if redshift is not None and settled is None:
            settled, by = redshift, who
        elif redshift is not None and settled is not None:
            apart = np.abs(redshift - settled)
            if np.any(apart > _SAME_REDSHIFT):
                against.append(f"{redshift[np.nanargmax(apart)]:.5g} by {who}")
    questions.decide("redshift", by + (f", but {' and '.join(against)}" if against else ""))
    if against and by != AS_GIVEN:
        questions.warn(f"the redshift is contradictory: by {by}, but {' and '.join(against)}; the former is used")
    return np.full(n_spectra, np.nan) if settled is None else settled


def _possible_redshift(value: Any, who: str, n_spectra: int, questions: Questions) -> FloatArray | None:
    """One statement as (n_spectra,), NaN where it cannot be a redshift; None where it states nothing usable."""
    redshift = np.squeeze(np.asarray(value, dtype=np.float64))
    if redshift.size not in (1, n_spectra):
        questions.warn(f"{who}: {redshift.size} redshifts for {n_spectra} spectra; not used. Give one: redshift=Z")
        return None
    redshift = np.broadcast_to(redshift.ravel(), (n_spectra,))
    possible = ((redshift > _REDSHIFTS[0]) & (redshift < _REDSHIFTS[1])) | (who == AS_GIVEN)
    wrong = ~possible & ~np.isnan(redshift)
    if wrong.any():
        some = f"{int(wrong.sum())} of {n_spectra} redshifts cannot be one, such as {redshift[wrong][0]:g}"
        questions.warn(f"{who}: {some}; unknown. Give one: redshift=Z")
    return np.where(possible, redshift, np.nan) if possible.any() or np.size(value) > 1 else None


def settle_ebv(
    options: ReadOptions,
    stated: FloatArray | float | None,
    who: str,
    headers: Iterable[Mapping[str, Any]],
    n_spectra: int,
    questions: Questions,
) -> FloatArray:
    """Settle E(B−V) of the Milky Way for which the flux is not corrected.

    Parameters
    ----------
    options : ReadOptions
        What the user says.
    stated : float or (n_spectra,), optional
        What a survey states that is known to leave its fluxes uncorrected.
    who : str
        By what it states this.
    headers : iterable of mapping
        Headers that may name a colour excess without saying what was done about it.
    n_spectra : int
        Number of spectra.
    questions : Questions
        Takes down what was decided, and what the user should know.

    Returns
    -------
    (n_spectra,)
        In mag; 0 for none.
    """
    known = None if stated is None else _possible_ebv(stated, who, n_spectra, questions)
    known = known if known is not None and known.any() else None
    if options.ebv is not None:
        other = 0.0 if known is None else float(known[np.argmax(np.abs(known - options.ebv))])
        against = f", but {other:.3g} by {who}" if known is not None and abs(other - options.ebv) > _SAME_EBV else ""
        questions.decide("foreground extinction", f"E(B−V) {options.ebv:.3g}: {AS_GIVEN}{against}")
        return np.full(n_spectra, options.ebv)
    if known is not None:
        size = f"{known.min():.3g}" if np.ptp(known) == 0 else f"{known.min():.3g} to {known.max():.3g}"
        questions.decide("foreground extinction", f"E(B−V) {size}: {who}; the flux is not corrected for it")
        questions.warn(f"E(B−V) {size} of the Milky Way, by {who}, reddens the flux; if it is corrected for: ebv=0")
        return known
    value, card = header_ebv(*headers)
    if value is not None:
        questions.warn(
            f"{card} = {value:.3g} of the header is left out: the flux may be corrected for it; if it is not: "
            f"ebv={value:.3g}"
        )
    questions.decide("foreground extinction", "none" if value is None else f"none; {card} of the header is left out")
    return np.zeros(n_spectra)


def _possible_ebv(stated: FloatArray | float, who: str, n_spectra: int, questions: Questions) -> FloatArray | None:
    """One statement as (n_spectra,), 0 where it cannot be a colour excess; None where it states nothing usable."""
    ebv = np.asarray(stated, dtype=np.float64).ravel()
    if ebv.size not in (1, n_spectra):
        questions.warn(f"{who}: {ebv.size} values of E(B−V) for {n_spectra} spectra; not used. Give one: ebv=E")
        return None
    possible = (ebv >= 0) & (ebv <= MOST_EBV)
    if not possible.any():
        return None
    if not possible.all():
        questions.warn(f"{who}: {int((~possible).sum())} of {ebv.size} E(B−V) cannot be one; 0 is used for them")
    return np.broadcast_to(np.where(possible, ebv, 0.0), (n_spectra,)).copy()
