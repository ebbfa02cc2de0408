"""The arms of one object, in files of their own or in one, as one set of spectra."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.io.reading.bulk import Rows
from quietspec.io.reading.content import Content
from quietspec.io.reading.joint import Joint
from quietspec.wavelengths import air_to_vacuum, vacuum_to_air

__all__ = ["Arms"]

_MOST_OVERLAP = 0.5  # of the shorter arm; what overlaps more are repeats
_SAME_REDSHIFT = 1e-3
_SAME_EBV = 2e-3  # mag
_LOOKED_AT = 25  # spectra by which arms are compared


class Arms:
    """Spectra whose pixels lie in one content, or in several that are arms of one object.

    Parameters
    ----------
    parts : sequence of Content
        One per arm.

    Attributes
    ----------
    parts : list of Content
        By increasing wavelength, in the unit and medium of the first.
    wavelength : (n_pixels,)
        Å, strictly increasing.
    fwhm : (n_pixels,) or (n_spectra, n_pixels) or None
        Instrumental FWHM in Å; None where that of an arm is unknown.
    redshift : (n_spectra,)
        NaN where no arm knows it.
    ebv : (n_spectra,)
        E(B−V) of the Milky Way that no arm's flux is corrected for, mag.
    warnings : list of str
        Where arms overlap, and by how much they differ there.

    Raises
    ------
    ReadError
        If the parts are not arms of one object.
    """

    def __init__(self, parts: Sequence[Content]) -> None:
        self.parts = _alike(parts)
        self._joints: list[Joint] = []
        self.wavelength: FloatArray = self.parts[0].wavelength[self.parts[0].order]
        for part in self.parts[1:]:
            self._joints.append(Joint(self.wavelength, part.wavelength[part.order]))
            self.wavelength = self._joints[-1].wavelength
        self.fwhm = self._joint_fwhm()
        self.redshift = _joint_redshift(self.parts)
        self.ebv = _joint_ebv(self.parts)
        notes = [note for pair in pairwise(self.parts) if (note := _overlap(*pair)) is not None]
        self.warnings: list[str] = [*(self._mismatches() if notes else []), *notes]

    def rows(self, index: Rows) -> tuple[FloatArray, FloatArray, Counter[str]]:
        """Read some spectra: flux, inverse variance, and pixels masked by reason; see `Content.rows`."""
        (flux, ivar, counts), *others = (part.rows(index) for part in self.parts)
        for join, (red, red_ivar, more) in zip(self._joints, others, strict=True):
            flux, ivar = join.join(flux, ivar, red, red_ivar)
            counts += more
        return flux, ivar, counts

    def masked(self, index: Rows) -> int:
        """Count the pixels of some spectra that the masks of the files mark as bad."""
        return sum(part.masked(index) for part in self.parts)

    def _joint_fwhm(self) -> FloatArray | None:
        arms: list[FloatArray] = []
        for part in self.parts:
            fwhm = None if part.fwhm is None else part.fwhm[..., part.order]
            if fwhm is None:
                return None
            if fwhm.shape not in (part.wavelength.shape, part.flux.shape):
                shape = part.flux.shape
                raise ReadError(f"{part.path}: a resolution of shape {fwhm.shape} for fluxes of {shape}. Give fwhm=.")
            arms.append(fwhm)
        if len({fwhm.ndim for fwhm in arms}) > 1:
            arms = [np.broadcast_to(fwhm, (self.parts[0].n_spectra, fwhm.shape[-1])) for fwhm in arms]
        joint = arms[0]
        for arm, join in zip(arms[1:], self._joints, strict=True):
            joint = join.resolution(joint, arm)
        return joint

    def _mismatches(self) -> list[str]:
        """Arms whose fluxes differ where they overlap, by some spectra."""
        n_spectra = self.parts[0].n_spectra
        index = np.unique(np.linspace(0, n_spectra - 1, min(n_spectra, _LOOKED_AT)).round().astype(np.intp))
        (flux, ivar, _), *others = (part.rows(index) for part in self.parts)
        notes = []
        for join, part, (red, red_ivar, _) in zip(self._joints, self.parts[1:], others, strict=True):
            ratio = join.ratio(flux, ivar, red, red_ivar)
            if ratio is not None:
                off = f"{100 * (ratio - 1):+.0f} %"
                notes.append(f"the arm from {part.wavelength.min():.0f} Å on is {off} off the bluer one in the overlap")
            flux, ivar = join.join(flux, ivar, red, red_ivar)
        return notes


def _alike(parts: Sequence[Content]) -> list[Content]:
    """The arms by increasing wavelength, in the medium of the first; a `ReadError` if they are of different objects."""
    ordered = sorted(parts, key=lambda part: part.wavelength.min())
    first = ordered[0]
    for other in ordered[1:]:
        _require_same_object(first, other)
    result = [_in_medium(part, first) for part in ordered]
    for blue, red in pairwise(result):
        _require_arms(blue, red)
    return result


def _overlap(blue: Content, red: Content) -> str | None:
    """What the user should know where two arms overlap; None where they do not."""
    low, high = red.wavelength.min(), blue.wavelength.max()
    if low > high:
        return None
    return (
        f"arms overlap at {low:.1f}–{high:.1f} Å and are joined there by inverse variance; errors of neighbouring "
        "pixels are correlated there"
    )


def _require_same_object(first: Content, other: Content) -> None:
    both = f"{first.path} and {other.path}"
    names = first.meta.get("object"), other.meta.get("object")
    if all(names) and names[0] != names[1]:
        raise ReadError(f"{both}: are of different objects, {names[0]} and {names[1]}. Read them one at a time.")
    for what in ("n_spectra", "spatial_shape"):
        here, there = getattr(first, what), getattr(other, what)
        if here != there:
            raise ReadError(
                f"{both}: differ in {what} ({here}, {there}), so are not arms of one object. Read them one at a time."
            )
    if first.unit != other.unit:
        raise ReadError(
            f"{both}: have different flux units ({first.unit}, {other.unit}), so cannot be joined. Read them one at a "
            "time."
        )


def _require_arms(blue: Content, red: Content) -> None:
    """Raise `ReadError` where two files overlap by more than arms do."""
    low, high = red.wavelength.min(), min(blue.wavelength.max(), red.wavelength.max())
    if high - low > _MOST_OVERLAP * min(np.ptp(blue.wavelength), np.ptp(red.wavelength)):
        raise ReadError(
            f"{blue.path} and {red.path}: wavelengths overlap by {high - low:.0f} Å ({low:.1f} to {high:.1f} Å), more "
            "than arms of one object do. Read them one at a time."
        )


def _in_medium(part: Content, like: Content) -> Content:
    if part.medium == like.medium:
        return part
    convert = air_to_vacuum if like.medium == "vacuum" else vacuum_to_air
    note = f"{part.path.name}: wavelengths in {part.medium} are given in {like.medium}, as those of {like.path.name}"
    return replace(part, wavelength=convert(part.wavelength), medium=like.medium, warnings=(*part.warnings, note))


def _joint_redshift(parts: Sequence[Content]) -> FloatArray:
    redshifts = np.array([np.broadcast_to(part.redshift, (part.n_spectra,)) for part in parts])
    result: FloatArray = redshifts[0].copy()
    for other, part in zip(redshifts[1:], parts[1:], strict=True):
        if np.any(np.abs(other - result) > _SAME_REDSHIFT):
            raise ReadError(f"{parts[0].path} and {part.path}: have different redshifts. Give one: redshift=Z.")
        result = np.where(np.isfinite(result), result, other)
    return result


def _joint_ebv(parts: Sequence[Content]) -> FloatArray:
    """E(B−V) in front of all arms; an arm that one file states none for has that of the others."""
    stated = np.array([np.broadcast_to(part.ebv, (part.n_spectra,)) for part in parts])
    result = stated.max(axis=0)
    if np.any((stated > 0) & (result - stated > _SAME_EBV)):
        both = " and ".join(str(path) for path in dict.fromkeys(part.path for part in parts))
        raise ReadError(f"{both}: state different E(B-V) of the Milky Way for one object. Give one: ebv=E.")
    return np.asarray(result)
