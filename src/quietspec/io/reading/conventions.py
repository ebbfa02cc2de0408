"""Names that surveys and people give to HDUs, columns and keywords, and what they mean.

A name is taken apart into words (``OPT_FLAM_SIG``, ``fluxErr``, ``e_flux``); the words say what it holds, and those
that say nothing (``OPT``) tie what belongs together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

from quietspec.kinds import Medium, NoiseKind
from quietspec.wavelengths import SPEED_OF_LIGHT

__all__ = [
    "FWHM_NAMES", "NOISE_NAMES", "REDSHIFT_NAMES", "RESOLUTION_NAMES", "WAVELENGTH_NAMES", "Named", "Role",
    "find_name", "find_role", "header_ebv", "header_redshifts", "header_resolution", "is_stranger", "named",
    "noise_kind_of", "rivals", "without_unit",
]  # fmt: skip

Role = Literal["wavelength", "flux", "noise", "mask"]

WAVELENGTH_NAMES = ("wave", "wavelength", "lambda", "lam", "wl", "wavelengths", "spectral_axis")
REDSHIFT_NAMES = ("z", "redshift", "z_spec", "zspec", "z_best")
FWHM_NAMES = ("fwhm",)
RESOLUTION_NAMES = ("sres", "specres", "resolution")  # R = λ/FWHM

#: In the order of preference where a file holds several.
NOISE_NAMES: dict[str, NoiseKind] = {
    "ivar": "ivar", "invvar": "ivar", "inverse_variance": "ivar", "inv_var": "ivar",
    "stat": "variance", "var": "variance", "variance": "variance",
    "err": "sigma", "error": "sigma", "errors": "sigma", "sigma": "sigma", "std": "sigma", "stddev": "sigma",
    "uncert": "sigma", "uncertainty": "sigma", "noise": "sigma", "flux_err": "sigma", "flux_error": "sigma",
    "fluxerr": "sigma", "eflux": "sigma", "e_flux": "sigma", "err_flux": "sigma",
}  # fmt: skip

#: Words that say what a name holds, in the order of preference where a file holds several.
_FLUX = (
    "flux", "fluxes", "flx", "flam", "sci", "science", "data", "spec", "spectrum", "spectra", "fnu", "intensity", "fl",
    "f",
)  # fmt: skip
_WAVELENGTH = (
    "wave", "wavelength", "wavelengths", "waves", "wav", "wavel", "wlen", "lambda", "lambdas", "lam", "lbda", "wl",
    "wvl", "wv", "freq", "frequency", "nu", "energy",
)  # fmt: skip
_NOISE: dict[str, NoiseKind] = {
    "ivar": "ivar", "stat": "variance", "var": "variance", "variance": "variance", "mse": "variance", "err": "sigma",
    "errs": "sigma", "error": "sigma", "errors": "sigma", "sigma": "sigma", "sig": "sigma", "std": "sigma",
    "stddev": "sigma", "stdev": "sigma", "unc": "sigma", "uncert": "sigma", "uncertainty": "sigma",
    "uncertainties": "sigma",
    "noise": "sigma", "rms": "sigma",
}  # fmt: skip
_NO_ERROR = ("inv", "inverse", "frac", "fractional", "rel", "relative", "percent", "log", "log10", "ln")  #: 1/σ, σ/f
_SQUARED = ("2", "sq", "squared")  # behind an error: its square, or the second of several
_ERROR_OF = ("e", "d", "delta")  # e_flux, dflux: errors where a word of flux follows
_MASKS_OF = ("and", "or", "cr", "bit")  # andmask: before a word of mask alone
_MASK = (
    "mask", "dq", "qual", "quality", "bpm", "badpix", "bad", "gpm", "goodpix", "good", "flag", "flags", "valid",
    "isgood", "usable", "use", "ok", "invalid", "unusable", "reject", "rejected", "qc",
)  # fmt: skip
_GOOD = ("gpm", "goodpix", "good", "valid", "isgood", "usable", "use", "ok")
_PHRASES = {
    ("inverse", "variance"): "ivar", ("inverse", "var"): "ivar", ("inv", "variance"): "ivar", ("inv", "var"): "ivar",
    ("spectral", "axis"): "wave", ("bad", "pix"): "badpix", ("bad", "pixel"): "badpix", ("bad", "pixels"): "badpix",
    ("good", "pix"): "goodpix", ("good", "pixel"): "goodpix", ("good", "pixels"): "goodpix",
    ("flux", "density"): "flux", ("f", "lambda"): "flam", ("f", "lam"): "flam", ("flux", "lambda"): "flam",
    ("flux", "lam"): "flam", ("f", "nu"): "fnu", ("flux", "nu"): "fnu", ("std", "dev"): "std", ("std", "err"): "err",
}  # fmt: skip
_LOG10, _LN, _LOG = ("log10",), ("ln",), ("log",)
_MEDIA: dict[str, Medium] = {"air": "air", "vac": "vacuum", "vacuum": "vacuum"}
_UNITS = {
    "a": "Angstrom", "aa": "Angstrom", "ang": "Angstrom", "angstrom": "Angstrom", "angstroms": "Angstrom", "nm": "nm",
    "um": "um", "micron": "um", "microns": "um", "hz": "Hz", "ghz": "GHz",
}  # fmt: skip
_FLUX_UNITS = {"jy": "Jy", "mjy": "mJy", "ujy": "uJy", "njy": "nJy", "megajy": "MJy", "somejy": "fnu"}
_CAPITALS = {"MJy": " megajy ", "MJY": " somejy "}  # the latter could be milli or mega
_TELLING = ("wavelength", "lambda", "wave", "flux", "mask", "ivar", "error")  # within longer words, too
_SILENT = {"obs", "observed", "calibrated", "cal", "arr", "array", "val", "value", "values", "and", "of", "the", "bit"}
_STRANGERS = {  # what else a file may hold by a name that has a word of flux, noise or wavelength in it
    "sky", "nosky", "model", "models", "mod", "bestfit", "best", "fit", "fitted", "syn", "synthetic", "continuum",
    "cont", "raw", "uncalibrated", "telluric", "tell", "template", "templates", "background", "bkg", "bg", "resid",
    "residual", "residuals", "emission", "emline", "line", "lines", "norm", "normalized", "normalised", "sens",
    "sensfunc", "sensitivity", "throughput", "response", "profile", "trace", "arc", "arcs", "flat", "dark", "npix",
    "poisson", "rnoise", "subtracted", "corr", "index", "units", "ra", "dec", "targ", "mag", "integ", "median",
    "snr", "disp", "dispersion", "noss", "covar", "collapsed", "smooth", "smoothed",
}  # fmt: skip
_KNOWN = {
    *_FLUX, *_WAVELENGTH, *_NOISE, *_MASK, *_MEDIA, *_SILENT, *(word for phrase in _PHRASES for word in phrase),
    *_LOG10, *_LN, *_LOG, *_FLUX_UNITS, *_NO_ERROR, *_SQUARED[1:], "opt", "box", "blue", "red", "rest", "pixel", "pix",
}  # fmt: skip

_REDSHIFT_KEYWORDS = ("Z_SPEC", "REDSHIFT", "Z_TONRY", "Z")
_RESOLUTION_KEYWORDS = ("SPEC_RES", "SPECRES", "RESOLUTION", "RESOLVING_POWER")  # R; FWHM is the seeing in most headers
_LEAST_POWER = 50.0
_EBV_KEYWORDS = ("EBV", "EBVGAL", "EBV_MW", "EBV_GAL", "EBVMW", "E_BV", "E(B-V)", "EBVSFD", "EBV_SFD")
_VELOCITY_KEYWORD = "MED_VEL"  # CALIFA: median systemic velocity c·z in km/s


@dataclass(frozen=True)
class Named:
    """What a name says.

    Parameters
    ----------
    role : {'wavelength', 'flux', 'noise', 'mask'}
        What it names.
    affix : frozenset of str
        Words that say nothing by themselves, such as ``opt`` or ``red``: what belongs together shares them.
    preference : int
        Place among names of the same role and affix; the smallest is taken.
    kind : {'sigma', 'variance', 'ivar'}, optional
        Of a noise.
    log : {'log10', 'ln', 'log'}, optional
        Of wavelengths that are logarithms; ``log`` where the base is unsaid.
    medium : {'air', 'vacuum'}, optional
        Of wavelengths.
    rest : bool
        Whether wavelengths are in the rest frame.
    unit : str, optional
        Of wavelengths, or of a flux or noise; ``fnu`` where no more is said than that it is per frequency.
    good : bool
        Whether a mask marks good pixels.
    """

    role: Role
    affix: frozenset[str] = frozenset()
    preference: int = 0
    kind: NoiseKind | None = None
    log: Literal["log10", "ln", "log"] | None = None
    medium: Medium | None = None
    rest: bool = False
    unit: str | None = None
    good: bool = False


@lru_cache(maxsize=4096)
def named(name: str) -> Named | None:
    """What a column or HDU holds, by its name; None where no convention says, or where it is something else's.

    Parameters
    ----------
    name : str
        Of a column or an HDU, without its unit.

    Returns
    -------
    Named or None
        None for the sky, models, and other things that are not the spectrum.

    Examples
    --------
    >>> named("OPT_FLAM_SIG").role, named("OPT_FLAM_SIG").kind, named("lnWave").log
    ('noise', 'sigma', 'ln')
    >>> named("SKY_FLUX") is None
    True
    """
    words = _words(name)
    if _STRANGERS & set(words):
        return None
    for role in (_mask, _noise, _flux, _wavelength):
        found = role(words)
        if found is not None:
            return found
    return None


def is_stranger(name: str) -> bool:
    """Whether a name says that something else than the spectrum is meant: the sky, a model, lines."""
    return bool(_STRANGERS & set(_words(name)))


def _mask(words: list[str]) -> Named | None:
    told = [word for word in words if word in _MASK]
    if not told or any(word in _WAVELENGTH for word in words):
        return None
    rest = _affix(words, (*_MASK, *_FLUX, *_NOISE))
    return Named("mask", rest, _MASK.index(told[0]), good=any(word in _GOOD for word in told))


def _noise(words: list[str]) -> Named | None:
    told = [word for word in words if word in _NOISE]
    prefixed = any(first in _ERROR_OF and second in _FLUX for first, second in pairwise(words))
    if any(word in _WAVELENGTH or word in _NO_ERROR for word in words) or not (told or prefixed):
        return None
    word = told[0] if told else "err"
    rest = _affix(words, (*_NOISE, *_FLUX, *_FLUX_UNITS, *(_ERROR_OF if prefixed else ())))
    return Named("noise", rest, list(_NOISE).index(word), kind=_NOISE[word], unit=_flux_unit(words))


def _flux(words: list[str]) -> Named | None:
    told = [word for word in words if word in _FLUX]
    if not told or any(word in _WAVELENGTH for word in words):
        return None
    unit = _flux_unit(words) or ("fnu" if "fnu" in told else None)
    return Named("flux", _affix(words, (*_FLUX, *_FLUX_UNITS)), _FLUX.index(told[0]), unit=unit)


def _flux_unit(words: list[str]) -> str | None:
    return next((_FLUX_UNITS[word] for word in words if word in _FLUX_UNITS), None)


def _wavelength(words: list[str]) -> Named | None:
    told = [word for word in words if word in _WAVELENGTH]
    if len(words) == 1 and len(words[0]) > 1 and words[0] in _UNITS:  # a column called by its unit
        return Named("wavelength", preference=50, unit=_UNITS[words[0]])
    if not told or any(word in _NOISE or word in _MASK for word in words):
        return None
    log: Any = next((word for word in words if word in (*_LOG10, *_LN, *_LOG)), None)
    about = (*_WAVELENGTH, *_MEDIA, *_UNITS, *_LOG10, *_LN, *_LOG, *_FLUX, "rest", "frame")
    return Named(
        "wavelength",
        _affix(words, about),
        2 * _WAVELENGTH.index(told[0]) + 1000 * ("rest" in words) + 100 * (log is not None),
        log=log,
        medium=next((_MEDIA[word] for word in words if word in _MEDIA), None),
        rest="rest" in words,
        unit=next((_UNITS[word] for word in words if word in _UNITS and word not in told), None),
    )


def _affix(words: list[str], known: Iterable[str]) -> frozenset[str]:
    return frozenset(words) - set(known) - _SILENT


def _words(name: str) -> list[str]:
    """Lower-case words of a name: ``FLUX_LAM_ERR``, ``fluxErr``, ``fluxerr``; usual phrases as one word."""
    name = re.sub("MJ[yY]", lambda found: _CAPITALS[found.group()], name.strip().removeprefix("\ufeff"))
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])(?!Jy)", " ", name)
    rough = re.findall(r"log10|[a-zα-ω]+|\d+", spaced.lower().replace("λ", " lambda "))
    words = [part for word in rough for part in (_split(word) or _ending(word))]
    for phrase, word in _PHRASES.items():
        for start in range(len(words) - len(phrase), -1, -1):
            if tuple(words[start : start + len(phrase)]) == phrase:
                words[start : start + len(phrase)] = [word]
    return words


def _split(word: str) -> list[str] | None:
    """A word as known words put together, ``fluxerr`` as ``flux`` and ``err``; None if it is not."""
    if word in _KNOWN or word in _STRANGERS:
        return [word]
    for cut in range(len(word) - 1, 0, -1):
        head = word[:cut]
        known = head in _KNOWN and len(head) > 1 and head not in _SILENT
        tail = word[cut:]
        prefix = (
            (head in _ERROR_OF and tail.startswith(_FLUX[:-2]))
            or (head in _MASKS_OF and tail in _MASK)
            or (head == "f" and (tail in _NOISE or tail in _MASK))
        )
        if known or prefix:
            rest = _split(tail)
            if rest is not None:
                return [head, *rest]
    return None


def _ending(word: str) -> list[str]:
    """An unknown word that ends or begins with a known one, in two: ``nanmask``, ``fluxcorr``."""
    for known in _TELLING:
        if word.endswith(known):
            return [word.removesuffix(known), known]
        if word.startswith(known):
            return [known, word.removeprefix(known)]
    return [word]


def find_role(names: Iterable[str], role: Role, affix: frozenset[str] | None = None) -> str | None:
    """Name of what plays a role.

    Parameters
    ----------
    names : iterable of str
        Columns or HDUs.
    role : {'wavelength', 'flux', 'noise', 'mask'}
        What is looked for.
    affix : frozenset of str, optional
        Words that name what it should belong to; names with these are taken before those with none, and a name with
        others only where it is the only one.

    Returns
    -------
    str or None
        The best; None where none fits.

    Examples
    --------
    >>> find_role(["B_FLUX", "B_IVAR", "R_FLUX", "R_IVAR"], "noise", named("R_FLUX").affix)
    'R_IVAR'
    """
    found = _ranked(names, role)
    if affix is None:
        return found[0][0] if found else None
    for allowed in (affix, frozenset[str]()):
        fitting = [name for name, what in found if what.affix == allowed]
        if fitting:
            return fitting[0]
    return found[0][0] if len(found) == 1 else None


def rivals(names: Iterable[str], role: Role) -> list[str]:
    """Names that could play a role as well as the best does: one where it is clear, none where there is none."""
    found = _ranked(names, role)
    if not found:
        return []
    best = found[0][1]
    equal = [name for name, what in found if len(what.affix) == len(best.affix)]
    return equal if best.affix else equal[:1]


def _ranked(names: Iterable[str], role: Role) -> list[tuple[str, Named]]:
    told = [(name, what) for name in names if (what := named(name)) is not None and what.role == role]
    return sorted(told, key=lambda pair: (len(pair[1].affix), pair[1].preference))


def find_name(names: Iterable[str], wanted: Iterable[str]) -> str | None:
    """First of `wanted` (lower case) that is among `names`, as it is spelt there."""
    spelt = {name.lower(): name for name in reversed(list(names))}
    return next((spelt[name] for name in wanted if name in spelt), None)


def noise_kind_of(name: str, beside: str = "") -> NoiseKind | None:
    """What noise of this name is beside a flux; None where no convention says, as for ``err2`` beside ``flux``."""
    what, flux = named(name), named(beside)
    if what is None or what.role != "noise":
        return None
    own = what.affix - (frozenset() if flux is None else flux.affix)
    return None if own & {*_SQUARED} else what.kind


def without_unit(name: str) -> tuple[str, str | None]:
    """Split ``flux(erg/s/cm2/A)``, ``lambda [A]``, ``log10(lambda/A)`` into name and unit, None where there is none."""
    found = re.fullmatch(r"\s*(?P<name>[^()\[\]]+?)\s*[(\[](?P<unit>.*)[)\]]\s*", name)
    if found is not None and found["name"].lower() in (*_LOG10, *_LN, *_LOG):
        what, _, unit = found["unit"].partition("/")
        if named(what) is not None:
            return f"{found['name']}_{what.strip()}", unit.strip() or None
    return (name.strip(), None) if found is None else (found["name"], found["unit"].strip() or None)


def header_redshifts(*headers: Mapping[str, Any]) -> list[tuple[float, str]]:
    """Redshifts that a header (or table metadata) and a primary one give, the best first, and by which keyword."""
    found: list[tuple[float, str]] = []
    for header, where in zip(headers, ("the header", "the primary header"), strict=False):
        known = {str(key).upper(): value for key, value in header.items()}
        for key in _REDSHIFT_KEYWORDS:
            value = known.get(key)
            if isinstance(value, int | float) and not isinstance(value, bool) and -0.1 < value < 20:
                found.append((float(value), f"{key} of {where}"))
        velocity = known.get(_VELOCITY_KEYWORD)
        if isinstance(velocity, int | float) and velocity != 0:
            found.append((float(velocity) / SPEED_OF_LIGHT, f"{_VELOCITY_KEYWORD} of {where}"))
    return found


def header_resolution(*headers: Mapping[str, Any]) -> tuple[float | None, str]:
    """Resolving power R = λ/FWHM that a header (or table metadata) gives, and by which keyword."""
    for header in headers:
        known = {str(key).upper(): value for key, value in header.items()}
        for key in _RESOLUTION_KEYWORDS:
            value = known.get(key)
            if isinstance(value, int | float) and not isinstance(value, bool) and value > _LEAST_POWER:
                return float(value), f"{key} of the header"
    return None, ""


def header_ebv(*headers: Mapping[str, Any]) -> tuple[float | None, str]:
    """E(B−V) of the Milky Way that a header (or table metadata) names, and by which keyword."""
    for header in headers:
        known = {str(key).upper(): value for key, value in header.items()}
        for key in _EBV_KEYWORDS:
            value = known.get(key)
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 5:
                return float(value), key
    return None, ""
