"""Air or vacuum: what a header says of it, and what the night-sky lines in the noise say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.kinds import Medium

__all__ = ["contradicted_medium", "stated_media"]

_MEDIUM_CARDS = ("AIRORVAC", "AIRVAC", "VACORAIR", "MEDIUM", "WAVEMED")
_YES, _NO = ("t", "true", "yes", "y", "1"), ("f", "false", "no", "n", "0")


def stated_media(cards: Mapping[str, Any], axis: int | None = None) -> dict[str, Medium]:
    """Find what a header says of air or vacuum, in every place that says it.

    Parameters
    ----------
    cards : mapping
        FITS header, or other metadata by keyword.
    axis : int, optional
        FITS number of the wavelength axis, whose CTYPE (FITS WCS Paper III), CUNIT and comments count as well.

    Returns
    -------
    dict of str to {'air', 'vacuum'}
        Medium by what says so, such as ``CTYPE3 = 'AWAV'``; empty where nothing does.
    """
    known = {str(key).upper(): value for key, value in cards.items()}
    stated: dict[str, Medium | None] = {}
    if axis is not None:
        ctype = str(known.get(f"CTYPE{axis}", "")).strip().upper()
        code = {"AWAV": "air", "WAVE": "vacuum", "FREQ": "vacuum", "ENER": "vacuum", "WAVN": "vacuum"}
        stated[f"CTYPE{axis} = {ctype!r}"] = code.get(ctype.partition("-")[0].strip()) or _medium_word(ctype)  # type: ignore[assignment]
        for key in (f"CTYPE{axis}", f"CUNIT{axis}", f"CRVAL{axis}"):
            comment = getattr(cards, "comments", {key: ""})[key] if key in cards else ""
            stated[f"the comment of {key}"] = _medium_word(comment)
        stated[f"CUNIT{axis} = {known.get(f'CUNIT{axis}')!r}"] = _medium_word(known.get(f"CUNIT{axis}", ""))
    if "VACUUM" in known:
        word = str(known["VACUUM"]).strip().lower()
        by_word: Medium | None = "vacuum" if word in _YES else "air" if word in _NO else _medium_word(word)
        stated[f"VACUUM = {known['VACUUM']!r}"] = by_word
    for key in _MEDIUM_CARDS:
        stated[f"{key} = {known.get(key)!r}"] = _medium_word(known.get(key, ""))
    return {source: medium for source, medium in stated.items() if medium is not None}


def _medium_word(text: Any) -> Medium | None:
    air, vacuum = (re.search(rf"(?<![a-z]){word}(?![a-z])", str(text).lower()) for word in ("air", "vac(?:uum)?"))
    return None if bool(air) == bool(vacuum) else "air" if air else "vacuum"


#: [O I] night-sky lines, strong and without neighbours, in air and vacuum Å (NIST; Ciddor 1996).
_SKY_LINES = {5577.338: 5578.887, 6300.304: 6302.046}
_CORE, _WINGS = 6.0, (9.0, 40.0)  # Å from the line: where it lies, and where the noise beside it is measured
_CONTRAST = 1.3  # of the noise in the line to that beside it
_SHIFT = 0.6  # of the way from the given medium to the other; the Earth's motion shifts lines by 0.36 of it at most
_COARSEST = 2.6  # Å per pixel
_MOST_SPECTRA = 200


def contradicted_medium(wavelength: FloatArray, ivar: FloatArray, medium: Medium) -> str | None:
    """Compare the medium with where night-sky lines raise the noise.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Å, increasing.
    ivar : (n_spectra, n_pixels)
        Inverse variance, 0 where masked.
    medium : {'air', 'vacuum'}
        What the wavelengths are said to be measured in.

    Returns
    -------
    str or None
        What contradicts it; None where nothing does or no line is seen.
    """
    some = np.asarray(ivar[:: max(1, len(ivar) // _MOST_SPECTRA)], dtype=np.float64)
    found = {line: place for line in _SKY_LINES if (place := _place(wavelength, some, line)) is not None}
    if not found:
        return None
    toward_vacuum = float(np.mean([(place - air) / (_SKY_LINES[air] - air) for air, place in found.items()]))
    away = toward_vacuum if medium == "air" else 1 - toward_vacuum
    if not _SHIFT < away < 2 - _SHIFT:
        return None
    other = "vacuum" if medium == "air" else "air"
    places = " and ".join(f"{place:.1f}" for place in found.values())
    return (
        f"the noise peaks at {places} Å, where night-sky lines lie in {other}, but the wavelengths are said to be in "
        f"{medium}"
    )


def _place(wavelength: FloatArray, ivar: FloatArray, line: float) -> float | None:
    """Centre of the excess of variance about a line, Å; None where none is seen."""
    apart = np.abs(wavelength - line)
    near = apart < _WINGS[1]
    if near.sum() < 8 or np.median(np.diff(wavelength[near])) > _COARSEST or wavelength[near].max() < line + _WINGS[0]:
        return None
    if wavelength[near].min() > line - _WINGS[0]:
        return None
    wavelength, apart, ivar = wavelength[near], apart[near], ivar[:, near]
    filled = ivar[(ivar > 0).all(axis=1)]
    if not len(filled):
        return None
    variance = np.median(np.median(filled, axis=1, keepdims=True) / filled, axis=0)
    beside = float(np.median(variance[apart > _WINGS[0]]))
    excess = np.clip(variance - beside, 0, None)
    peak = wavelength[np.argmax(np.where(apart < _CORE, excess, -1))]
    core = np.abs(wavelength - peak) < _CORE / 1.5
    if variance[core].max() < _CONTRAST**2 * beside:
        return None
    return float(np.sum(wavelength[core] * excess[core]) / np.sum(excess[core]))
