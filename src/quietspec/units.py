"""Units of flux and wavelength as people write them: understood, told apart by kind, and converted where exact."""

from __future__ import annotations

import operator
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.units.function import FunctionUnitBase

from quietspec.arrays import FloatArray
from quietspec.errors import UnitError
from quietspec.kinds import NoiseKind

__all__ = ["NOISE_POWERS", "FluxUnit", "angstroms", "flux_unit", "likely_units", "parse_unit"]

NOISE_POWERS: dict[NoiseKind, int] = {"sigma": 1, "variance": 2, "ivar": -2}  #: of the unit of the flux

FluxKind = Literal["per wavelength", "converted", "counts", "relative"]

_PLAIN = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−–×·∙⋅ÅÅμ", "0123456789---    AAµ", "$\\")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_SPATIAL = r"(?:pixels?|pix|spaxels?|spax|fib(?:er|re)s?|bins?|lenslets?)"
_END = r"(?![a-z])"  # digits may follow, as in cm2
_METRES = {"": "m", "micro": "um", "nano": "nm", "milli": "mm", "centi": "cm"}
_JANSKYS = {"": "Jy", "mega": "MJy", "milli": "mJy", "micro": "uJy", "nano": "nJy"}

#: What people write, and what astropy parses; applied in this order, whatever the case of the letters.
_REWRITES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"\{", "("),
    (r"\}", ")"),
    (rf"/\s*{_SPATIAL}{_END}", ""),  # per spatial element: the same for all pixels of a spectrum
    (rf"\b{_SPATIAL}\s*(\^|\*\*)?\s*\(?-1\)?", ""),
    (r"(?<![a-z0-9.])[x*]?\s*10\s*(?:\*\*|\^)?\s*\(\s*([+-]?)\s*(\d+)\s*\)", r" 1e\1\2 "),  # 10**(-16)
    (r"(?<![a-z0-9.])[x*]?\s*10\s*(?:(?:\*\*|\^)\s*([+-]?)|([+-]))\s*(\d+)", r" 1e\1\2\3 "),  # 10^-16, 10-16
    (r"^\s*[x*]?\s*e([+-]\d+)", r"1e\1 "),
    (rf"(?<![\w^*])\(\s*({_NUMBER})\s*\)", r"\1 "),  # a factor in parentheses
    (r"^\s*1(?:\.0*)?\s*[x*]?\s+(?=1e)", ""),
    (rf"^\s*({_NUMBER})\s*[x*.]?\s*(?=[a-df-z(]|er|el)", r"\1 "),
    (r"^\s*([^\s\d(].*?)[\s(x*]+(1e[+-]?\d+)[\s)]*$", r"\2 \1"),  # a factor behind the unit
    (r"\bflam(\d+)\b", r"1e-\1 erg / (s cm2 Angstrom)"),  # KCWI
    (r"\bflam\b", "erg / (s cm2 Angstrom)"),
    (r"\bfnu\b", "erg / (s cm2 Hz)"),
    (r"\bphotlam\b", "photon / (s cm2 Angstrom)"),
    (r"\bphotnu\b", "photon / (s cm2 Hz)"),
    (rf"(?<![a-z])(?:[aå]ngstr[oö]e?ms?|ang|aa|a){_END}(?:\.(?=\s|$))?", "Angstrom"),
    (r"(?<![a-z])sec(?:ond)?s?(?![a-z])(?:\.(?=\s|$))?", "s"),
    (r"\bhertz\b", "Hz"),
    (r"\bwatts?\b", "W"),
    (r"\b(mega|milli|micro|nano)?-?jansk(?:ys?|ies)\b", lambda found: _JANSKYS[(found[1] or "").lower()]),
    (r"(?<![a-z])([munkgµ]?)jy(?![a-z])", r"\1Jy"),
    (r"\b(nano)?-?magg(?:y|ies?)\b", lambda found: "nmgy" if found[1] else "mgy"),
    (r"\b(?:photons?|phots?)\b", "photon"),
    (r"\b(?:counts?|cts?|cnts?)\b", "ct"),
    (r"\b(?:electrons?|e-(?![\w]))", "electron"),
    (r"\badus?\b", "adu"),
    (r"\bdns?\b", "DN"),
    (r"\bl_?sun\b", "solLum"),
    (r"\bkayser\b", "cm-1"),
    (r"\b(micro|nano|milli|centi)?-?met(?:er|re)s?\b", lambda found: _METRES[(found[1] or "").lower()]),
    (r"\bmicrons?\b", "um"),
    (r"(?<![a-z])([gkmt]?)hz(?![a-z])", lambda found: found[1].upper().replace("K", "k") + "Hz"),
    (rf"(?<![a-z])(ergs|erg|cm|um|nm|sr|arcsec|s){_END}", lambda found: found[1].lower().replace("ergs", "erg")),
    (rf"(?<![a-z])w{_END}", "W"),
    (r"(?<=[a-z)0-9])\s*\.\s*(?=[a-z(])(?!e[+-]?\d)", " "),  # 10**(-19).erg.cm**(-2)
)
_ENCLOSED = re.compile(r"[(\[](.*)[)\]]\s*(?:(?:\*\*|\^)?\s*[({]?\s*([+-]?\d+)\s*[)}]?)?", re.DOTALL)
_FACTORED = re.compile(
    rf"(?P<scale>{_NUMBER}|10\s*(?:\*\*|\^)\s*\(?[+-]?\d+\)?)\s*(?P<sign>[*x/]?)\s*(?P<rest>[(\[].*)",
    re.IGNORECASE | re.DOTALL,
)  # 10^40 (erg/s/cm2/A)^-2, 1/(1e-20 erg/s/cm2/A)^2
_NO_UNIT = re.compile(
    r"(none|no units?|unit ?-?less|dimension ?-?less|normali[sz]ed.*|rel\.?|relative.*|arb|arb\W.*|arbitrary.*|a\.u\.|"
    r"n/?a|flux|intensity|-+)?",
    re.IGNORECASE,
)
_LOGARITHM = re.compile(r"mag(?!g)|\bdex\b|\bdb\b|\blog|\bln\b", re.IGNORECASE)
_PER_WAVENUMBER = re.compile(r"/\s*\(?\s*c?m\s*(?:\^|\*\*)?\s*[({]?\s*-\s*1|kayser|wave ?number", re.IGNORECASE)

_PER_ANGSTROM = u.erg / (u.s * u.cm**2 * u.AA)
_MAGGIE = u.Unit(3631 * u.Jy)  # by definition
_COUNTS = (u.ct, u.adu, u.DN, u.electron)
_AREAS = (u.dimensionless_unscaled, u.sr, u.beam)  # on the sky
_NARROWEST, _WIDEST = 300.0, 1e7  # Å: no stars are observed at shorter or longer wavelengths
_UNLABELLED = (2000.0, 25000.0)  # numbers taken as Å where no unit is given


def parse_unit(text: str) -> u.UnitBase | None:
    """Parse a unit as people write it.

    Parameters
    ----------
    text : str
        Such as ``10**(-20)*erg/s/cm**2/Angstrom`` or ``(1E-17 erg s^{-1} cm^{-2} Å^{-1} spaxel^{-1})^2``.

    Returns
    -------
    astropy unit or None
        Without its "per spatial element"; None where the text is not understood.
    """
    text = re.sub(r"\\[,;: ]", " ", text).translate(_PLAIN).strip(" '\"")
    whole = _ENCLOSED.fullmatch(text)
    if whole and _balanced(whole[1]):
        inner = parse_unit(whole[1])
        return None if inner is None else _possible(pow, inner, int(whole[2] or 1))
    for attempt in (_rewritten(text), _rewritten(text.lower())):
        unit = _possible(_understood, attempt)
        if isinstance(unit, u.UnitBase | FunctionUnitBase):  # commas make structured units
            return unit
    factored = _FACTORED.fullmatch(text)
    if factored is None or not _ENCLOSED.fullmatch(factored["rest"]):
        return None
    scale, rest = parse_unit(factored["scale"]), parse_unit(factored["rest"])
    if scale is None or rest is None:
        return None
    return _possible(operator.truediv if factored["sign"] == "/" else operator.mul, scale, rest)


def _understood(text: str) -> u.UnitBase:
    return _without_maggies(u.Unit(text))


def _possible(make: Callable[..., Any], *parts: Any) -> Any:
    """Make a unit; None where the parts make none, or one of a size that floats cannot hold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", u.UnitsWarning)
        try:
            return make(*parts)
        except (ValueError, TypeError, AttributeError, ArithmeticError):
            return None


def _rewritten(text: str) -> str:
    for pattern, replacement in _REWRITES:
        text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
    return text.strip()


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if depth < 0:
            return False
    return depth == 0


def _without_maggies(unit: u.UnitBase) -> u.UnitBase:
    """Write maggies, which astropy relates to no other unit, as 3631 Jy."""
    if isinstance(unit, FunctionUnitBase):
        return unit
    for base, power in zip(unit.bases, unit.powers, strict=True):
        if base.is_equivalent(u.mgy):
            unit = unit / base**power * u.Unit(base.to(u.mgy) * _MAGGIE) ** power
    return unit


@dataclass(frozen=True)
class FluxUnit:
    """Unit of a flux and what kind it is.

    Parameters
    ----------
    unit : astropy unit
        The unit, without its "per spatial element".
    kind : {'per wavelength', 'converted', 'counts', 'relative'}
        Per wavelength already; per frequency or in photons, to be converted to energy per wavelength; counts of a
        detector, not calibrated; or no unit at all.
    """

    unit: u.UnitBase
    kind: FluxKind

    def per_angstrom(self, wavelength: FloatArray) -> tuple[u.UnitBase, FloatArray | None]:
        """Turn a flux per frequency or in photons into energy per Å.

        Parameters
        ----------
        wavelength : (n_pixels,)
            Å.

        Returns
        -------
        unit : astropy unit
            The same where nothing is to be done; otherwise a power of ten in erg/s/cm²/Å (per sr or beam where it
            was; erg/s/Å for a luminosity) that keeps the numbers near the given ones.
        factor : (n_pixels,) or None
            What to multiply flux and σ by; None for 1.
        """
        if self.kind != "converted":
            return self.unit, None
        spectral = u.spectral_density(wavelength * u.AA)
        for target in (_PER_ANGSTROM, _PER_ANGSTROM * u.cm**2):
            for area in _AREAS:
                if (self.unit * area).is_equivalent(target, spectral):
                    density = (1 * self.unit * area).to(target, spectral).value
                    decade = 10.0 ** np.round(np.log10(np.median(density)))
                    return u.Unit(decade * target / area), np.asarray(density / decade)
        raise UnitError(f"{str(self.unit)!r} cannot be converted to energy per Å.")

    def in_unit_of(self, other: FluxUnit, wavelength: FloatArray) -> FloatArray:
        """Factor that turns numbers in this unit into numbers in another.

        Parameters
        ----------
        other : FluxUnit
            The other unit.
        wavelength : (n_pixels,)
            Å.

        Returns
        -------
        (n_pixels,) or ()
            The factor.

        Raises
        ------
        UnitError
            If one is not the same kind of quantity as the other.
        """
        spectral = u.spectral_density(wavelength * u.AA) if "converted" in (self.kind, other.kind) else []
        for area in _AREAS:
            if (self.unit * area).is_equivalent(other.unit * area, spectral):
                return np.asarray((1 * self.unit * area).to_value(other.unit * area, spectral))
        raise UnitError(f"{str(self.unit)!r} cannot be converted to {str(other.unit)!r}")


def flux_unit(text: str | u.UnitBase | None) -> FluxUnit:
    """Understand the unit of a flux.

    Parameters
    ----------
    text : str or astropy unit or None
        As a header, a column or a user gives it.

    Returns
    -------
    FluxUnit
        The unit and its kind.

    Raises
    ------
    UnitError
        If the text is not understood, or is the unit of a magnitude, of a flux integrated over wavelength, or of
        something else.
    """
    if text is None or (isinstance(text, str) and _NO_UNIT.fullmatch(text.strip())):
        return FluxUnit(u.dimensionless_unscaled, "relative")
    unit = parse_unit(text) if isinstance(text, str) else _without_maggies(u.Unit(text))
    if isinstance(unit, FunctionUnitBase) or _LOGARITHM.search(str(text)):
        raise UnitError(
            f"the unit {str(text)!r} is not one of a flux but a logarithm of flux. Convert it first (AB magnitudes: "
            "F_ν = 3631 Jy × 10^(−0.4 m), σ = 0.92 F_ν σ_m)"
        )
    if unit is None:
        raise UnitError(f"the unit {str(text)!r} is not understood")
    if _PER_WAVENUMBER.search(str(text)):
        raise UnitError(f"the unit {str(text)!r} is one of a flux per wavenumber. Convert it to a flux per Å first")
    return FluxUnit(unit, _kind(unit, str(text)))


def _kind(unit: u.UnitBase, text: str) -> FluxKind:
    """Kind of a flux unit by what it is made of; units that differ in kind can have equal dimensions."""
    powers = dict.fromkeys(("energy", "photon", "count", "density", "length", "time", "frequency", "other"), 0.0)
    for base, power in zip(unit.bases, unit.powers, strict=True):
        for what, amount in _ingredients(base).items():
            powers[what] += amount * float(power)
    found = {what: power for what, power in powers.items() if power}
    if unit.is_equivalent(u.one):
        return "relative"
    if not found or powers["other"]:
        raise UnitError(f"the unit {text!r} is not one of a flux")
    if found == {"density": 1}:
        return "per wavelength" if any(base.is_equivalent(_PER_ANGSTROM) for base in unit.bases) else "converted"
    if powers["count"] == 1 or found in ({"photon": 1}, {"photon": 1, "time": -1}):
        return "counts"
    light = {what: power for what, power in found.items() if what not in ("energy", "photon")}
    if powers["energy"] + powers["photon"] == 1 and not powers["density"]:
        if light in ({"time": -1, "length": -3}, {"time": -1, "length": -1}):
            return "per wavelength" if powers["energy"] == 1 else "converted"
        if light in ({"time": -1, "length": -2, "frequency": -1}, {"time": -1, "frequency": -1}):
            return "converted"
        if light in ({"time": -1, "length": -2}, {"time": -1}):
            raise UnitError(f"the unit {text!r} is one of a flux integrated over wavelength, not of one per Å")
    raise UnitError(f"the unit {text!r} is not one of a flux per wavelength or frequency")


def _ingredients(base: u.UnitBase) -> dict[str, float]:
    """What one factor of a unit adds to the powers of energy, length and so on."""
    if base in _COUNTS:
        return {"count": 1}
    if base == u.photon:
        return {"photon": 1}
    if base.is_equivalent(u.Jy) or base.is_equivalent(_PER_ANGSTROM):
        return {"density": 1}
    if base.is_equivalent(u.W):
        return {"energy": 1, "time": -1}
    for what, unit in (("energy", u.J), ("length", u.m), ("time", u.s), ("frequency", u.Hz)):
        if base.is_equivalent(unit):
            return {what: 1}
    neutral = base.is_equivalent(u.one) or base.is_equivalent(u.rad) or base.is_equivalent(u.sr) or base == u.beam
    return {} if neutral else {"other": 1}


_LOG = re.compile(r"\s*(log10|log_10|log|dex|ln|loge|log_e)[\s(\[_]*([^)\]]*)[)\]]?\s*", re.IGNORECASE)
_NATURAL = ("ln", "loge", "log_e")
_MEDIUM = re.compile(r"[\s,(\[]*\b(?:in )?(?:air|vac(?:uum)?)\b[\s,)\]]*", re.IGNORECASE)


def angstroms(values: npt.ArrayLike, unit: str | u.UnitBase | None) -> tuple[FloatArray, str | None]:
    """Convert wavelengths to Å.

    Parameters
    ----------
    values : (n_pixels,)
        Wavelengths, frequencies, energies or wave numbers, or logarithms of wavelengths.
    unit : str or astropy unit or None
        Their unit: ``nm``, ``GHz``, ``log10(Angstrom)`` (``log`` is the same), ``ln(nm)`` and so on. Without one,
        numbers between 2000 and 25000 are taken as Å.

    Returns
    -------
    wavelength : (n_pixels,)
        In Å.
    warning : str or None
        What was concluded from the values alone.

    Raises
    ------
    UnitError
        If the unit is not one of wavelength, or no galaxy is observed at such wavelengths.
    """
    numbers = np.asarray(values, dtype=np.float64)
    unit = str(unit) if isinstance(unit, FunctionUnitBase) else unit  # dex(Angstrom)
    logarithm = _LOG.fullmatch(unit) if isinstance(unit, str) else None
    if logarithm is not None:
        exp = np.exp if logarithm[1].lower() in _NATURAL else _exp10
        return _in_angstrom(exp(numbers), _length(logarithm[2] or "Angstrom"), str(unit)), None
    if unit is None or (isinstance(unit, str) and not unit.strip()):
        if not _within(numbers, *_UNLABELLED):
            like = " or ".join(likely_units(numbers))
            raise UnitError(f"the wavelengths ({_range(numbers)}) have no unit{like and f'; they could be {like}'}")
        return numbers, "the wavelengths have no unit; taken as Å from their values"
    length = _length(unit)
    if _within(numbers, 0, _NARROWEST) and length == u.AA:
        for exp, name in ((_exp10, "log10"), (np.exp, "ln")):
            if _within(exp(numbers), *_UNLABELLED):
                return exp(numbers), f"wavelengths of {_range(numbers)} Å cannot be; taken as {name} of Å"
    return _in_angstrom(numbers, length, str(unit)), None


def _length(unit: str | u.UnitBase) -> u.UnitBase:
    """Unit of wavelength, frequency, energy or wave number."""
    parsed = parse_unit(_MEDIUM.sub("", unit)) if isinstance(unit, str) else u.Unit(unit)
    if isinstance(parsed, FunctionUnitBase):
        raise UnitError(f"{str(unit)!r} is not a unit of wavelength but a logarithm")
    if parsed is not None and parsed.is_equivalent(u.km / u.s):
        raise UnitError(f"{str(unit)!r} is a unit of velocity, which gives no wavelengths without a rest wavelength")
    if parsed is None or not parsed.is_equivalent(u.AA, u.spectral()):
        raise UnitError(f"{str(unit)!r} is not a unit of wavelength")
    return parsed


def _in_angstrom(numbers: FloatArray, unit: u.UnitBase, name: str) -> FloatArray:
    with np.errstate(divide="ignore", over="ignore"):
        wavelength = np.asarray(u.Quantity(numbers, unit).to_value(u.AA, u.spectral()))
    if not _within(wavelength, _NARROWEST, _WIDEST):
        raise UnitError(
            f"the wavelengths run from {_range(wavelength)} Å when read in {name.strip()!r}, which no spectrum does"
        )
    return wavelength


def _within(numbers: FloatArray, low: float, high: float) -> bool:
    known = numbers[~np.isnan(numbers)]
    return bool(known.size and known.min() >= low and known.max() <= high)


def _exp10(numbers: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):
        return np.asarray(10.0**numbers)


def _range(numbers: FloatArray) -> str:
    known = numbers[~np.isnan(numbers)]
    return f"{known.min():g} to {known.max():g}" if known.size else "NaN"


def likely_units(values: npt.ArrayLike) -> list[str]:
    """Units in which numbers are wavelengths of an optical or near-infrared spectrum."""
    numbers = np.asarray(values, dtype=np.float64)
    looks = {"log10(Angstrom)": _exp10(numbers), "ln(Angstrom)": np.exp(np.minimum(numbers, 700.0))}
    looks |= {"nm": 10 * numbers, "um": 1e4 * numbers, "m": 1e10 * numbers}
    return [name for name, wavelength in looks.items() if _within(wavelength, 2000.0, 60000.0)]
