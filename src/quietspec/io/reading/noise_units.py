"""Unit and kind of a file's noise: by what the file says and, where that contradicts itself, by the pixels' scatter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError, UnitError
from quietspec.io.reading.bulk import Bulk
from quietspec.io.reading.content import Questions
from quietspec.io.reading.conventions import named
from quietspec.io.reading.noise import error_excess
from quietspec.io.reading.options import ReadOptions
from quietspec.io.reading.units import FluxScale, flux_scale
from quietspec.kinds import NoiseKind
from quietspec.units import NOISE_POWERS, FluxUnit, flux_unit, parse_unit

__all__ = ["NoiseScale", "StatedNoise", "is_share", "noise_scale", "settled_units"]

_WORDS: dict[NoiseKind, str] = {"sigma": "errors", "variance": "variances", "ivar": "inverse variances"}
_RELATIVE = ("%", "percent", "per cent")
_SAME = 1e-6  # relative difference of factors that are one
_SAMPLED = 5  # spectra
_LIKE = 10.0  # factor by which errors may differ from the scatter of the pixels, by correlation above all
_BETTER = 2.5  # factor by which another reading must be farther from the scatter
_ALIKE = 1.25  # factor by which two readings may differ and count as one


@dataclass(frozen=True, kw_only=True)
class StatedNoise:
    """What is said of the noise.

    Parameters
    ----------
    values : Bulk
        The noise itself.
    unit : str or None
        Its unit, as the file writes it.
    kind : {'sigma', 'variance', 'ivar'}
        What it is.
    certain : bool
        Whether the kind is known from the user or the survey, not from a name alone.
    who : str
        Which HDU or column holds it.
    """

    values: Bulk
    unit: Any
    kind: NoiseKind
    certain: bool
    who: str = ""


@dataclass(frozen=True, kw_only=True)
class NoiseScale:
    """How to read the noise.

    Parameters
    ----------
    kind : {'sigma', 'variance', 'ivar'}
        What it is.
    factor : (n_pixels,) or () or None
        What brings σ from the unit of the noise to the stated unit of the flux; None for 1.
    warning : str or None
        What the user should know.
    question : str or None
        What is left open.
    """

    kind: NoiseKind
    factor: FloatArray | None = None
    warning: str | None = None
    question: str | None = None


def settled_units(
    text: Any,
    name: str,
    noise: StatedNoise | None,
    flux: Bulk,
    wavelength: FloatArray,
    options: ReadOptions,
    questions: Questions,
) -> tuple[FluxScale, NoiseScale]:
    """Settle the units of flux and noise.

    Parameters
    ----------
    text : str or None
        Unit of the flux, as the file writes it.
    name : str
        What the flux is called, which may say its unit.
    noise : StatedNoise or None
        What is said of the noise; None where it is estimated from the flux.
    flux : Bulk
        The flux.
    wavelength : (n_pixels,)
        Å, in the file's order.
    options : ReadOptions
        What the user says: `flux_unit`.
    questions : Questions
        Takes down what was decided, what the user should know, and what is left open.

    Returns
    -------
    flux : FluxScale
        What turns the flux into one per Å.
    noise : NoiseScale
        How to read the noise.

    Raises
    ------
    ReadError
        If the unit of the flux is not understood, or is not that of a flux density.
    """
    what = named(name)
    if what is not None and not text:
        text = None if what.unit == "fnu" else what.unit
        if what.unit == "fnu" and options.flux_unit is None:
            questions.ask(f'{name} is a flux per frequency, by its name, but has no unit.\nGive it: flux_unit="Jy".')
    try:
        scale = flux_scale(text, wavelength, questions.where, options.flux_unit)
    except ReadError as error:
        raise questions.joined(error) from error
    read_as = NoiseScale(kind="sigma") if noise is None else noise_scale(noise, flux, scale, wavelength)
    questions.warn(scale.warning, read_as.warning)
    questions.ask(read_as.question)
    questions.decide("noise", "estimated from the residuals" if noise is None else f"{noise.who}, as {read_as.kind}")
    read = str(scale.unit) or "relative flux per unit wavelength"
    questions.decide("flux unit", f"{options.flux_unit or scale.text or 'none'}, read as {read}")
    return scale, read_as


def noise_scale(noise: StatedNoise, flux: Bulk, scale: FluxScale, wavelength: FloatArray) -> NoiseScale:
    """Settle what the noise is and in which unit.

    Parameters
    ----------
    noise : StatedNoise
        What is said of it.
    flux : Bulk
        The flux.
    scale : FluxScale
        Its unit.
    wavelength : (n_pixels,)
        Å, in the file's order.

    Returns
    -------
    NoiseScale
        By its own unit. Where that contradicts what the noise is called, or makes errors that are far from the
        scatter of the pixels, the reading that agrees with the scatter; where none does alone, a question.
    """
    if not isinstance(noise.unit, str) or not noise.unit.strip():
        odd = None if noise.unit in (None, "") else f"the unit of the noise is {noise.unit!r}; that of the flux is used"
        return NoiseScale(kind=noise.kind, warning=odd)
    if is_share(noise.unit):
        share = f"the noise has the unit {noise.unit!r}: it is a share of the flux"
        cure = "Convert it to the unit of the flux: noise_hdu=NAME, or leave it out: noise_from_residuals=True."
        return NoiseScale(kind=noise.kind, question=f"{share}.\n{cure}")
    readings = _by_unit(noise.unit, scale, wavelength)
    if noise.kind in readings and np.all(np.abs(readings[noise.kind] - 1) < _SAME):
        return NoiseScale(kind=noise.kind)
    kinds: tuple[NoiseKind, ...] = (noise.kind,) if noise.certain else (noise.kind, *readings)
    candidates = [(kind, readings[kind]) for kind in dict.fromkeys(kinds) if kind in readings]
    candidates.append((noise.kind, np.ones(())))
    excess = np.array([_excess(noise.values, flux, kind, factor) for kind, factor in candidates])
    away = np.abs(np.log(np.where(excess > 0, excess, np.inf)))
    like = away < np.log(_LIKE)
    if noise.kind in readings and (like[0] or not like.any()):
        return NoiseScale(kind=noise.kind, factor=readings[noise.kind])
    best = int(np.argmin(away))
    farther = np.nan_to_num(away, posinf=1e3) - np.nan_to_num(away[best], posinf=1e3)
    rivals = (farther < np.log(_BETTER)) & ~(np.abs(farther) < np.log(_ALIKE))
    says = f"the noise has the unit {noise.unit!r}, {_against(noise, readings, scale)}"
    if not like[best] or rivals.any():
        return _undecided(noise, readings, says)
    kind, factor = candidates[best]
    unit = "that unit" if best < len(candidates) - 1 else "the unit of the flux"
    return NoiseScale(
        kind=kind,
        factor=None if np.all(np.abs(factor - 1) < _SAME) else factor,
        warning=f"{says}; taken as {_WORDS[kind]} in {unit}, which agrees with the scatter of the pixels",
    )


def is_share(unit: Any) -> bool:
    """Whether a unit says that the noise is a share of the flux."""
    return isinstance(unit, str) and unit.strip().lower() in _RELATIVE


def _by_unit(text: str, scale: FluxScale, wavelength: FloatArray) -> dict[NoiseKind, FloatArray]:
    """Kinds of noise that its unit allows, each with the factor that brings σ to the stated unit of the flux."""
    plain, own = (re.sub(r"[\s()]", "", each).lower() for each in (scale.text or "", text))
    if plain and own == plain:
        return {"sigma": np.ones(())}
    if plain and own in (f"{plain}**2", f"{plain}^2"):  # also where the parentheses were forgotten
        return {"variance": np.ones(())}
    unit = parse_unit(text)
    found: dict[NoiseKind, FloatArray] = {}
    for kind, power in NOISE_POWERS.items():
        root = None if unit is None else _root(unit, power)
        if root is not None:
            try:
                found[kind] = root.in_unit_of(scale.stated, wavelength)
            except UnitError:
                continue
    return found


def _root(unit: u.UnitBase, power: int) -> FluxUnit | None:
    try:
        root = flux_unit(unit ** (1 / power))
    except (UnitError, u.UnitsError, OverflowError):  # a power of its scale may be none that a float holds
        return None
    return None if root.kind == "relative" else root


def _excess(noise: Bulk, flux: Bulk, kind: NoiseKind, factor: FloatArray) -> float:
    """Median ratio of the errors, read in one way, to the scatter of the pixels in some spectra; NaN without any."""
    rows = np.unique(np.linspace(0, flux.shape[0] - 1, _SAMPLED).round().astype(np.intp))
    values, theirs = (np.asarray(each.rows(rows), dtype=np.float64) for each in (flux, noise))
    good = np.isfinite(values) & (values != 0) & np.isfinite(theirs) & (theirs > 0)
    with np.errstate(all="ignore"):
        sigma = theirs ** (1 / NOISE_POWERS[kind]) * factor
    return error_excess(sigma, values, good)


def _against(noise: StatedNoise, readings: dict[NoiseKind, FloatArray], scale: FluxScale) -> str:
    if noise.kind in readings:
        return "which makes errors far from the scatter of the pixels"
    if readings:
        return f"that of {' or '.join(_WORDS[kind] for kind in readings)}, but its name says {_WORDS[noise.kind]}"
    return f"which cannot be compared with that of the flux, {scale.text or str(scale.stated.unit) or 'none'!r}"


def _undecided(noise: StatedNoise, readings: dict[NoiseKind, FloatArray], says: str) -> NoiseScale:
    if noise.certain:
        return NoiseScale(kind=noise.kind, warning=f"{says}; taken as {_WORDS[noise.kind]} in the unit of the flux")
    others = [f'noise_kind="{kind}"' for kind in dict.fromkeys((*readings, noise.kind))]
    return NoiseScale(
        kind=noise.kind,
        question=f"{says}.\nSay what it is: {' or '.join(others)}; another noise is named by noise_hdu=NAME.",
    )
