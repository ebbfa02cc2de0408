"""Units as surveys write them: flux densities and wavelengths."""

from __future__ import annotations

import re
import warnings
from typing import Any

import astropy.units as u
import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError

__all__ = ["flux_unit", "per_wavelength", "to_angstrom"]

_REWRITES = (  # what surveys write → what astropy parses
    (r"/\s*(pixel|pix|spaxel|fiber|fibre|bin)\b", ""),  # per spatial element: the same for all pixels of a spectrum
    (r"\b(spaxel|fiber|fibre)\s*(\^|\*\*)?\s*\(?-1\)?", ""),
    (r"\b10\s*(\*\*|\^)\s*\(?\s*([+-]?\d+)\s*\)?", r"1e\2 "),  # 10**(-16)
    (r"\bFLAM(\d+)\b", r"1e-\1 erg / (s cm2 Angstrom)"),  # KCWI
    (r"\b(?:angstroms?|ang|aa|a)\b", "Angstrom"),
    (r"\bergs\b", "erg"),
    (r"\bsec(?:ond)?s?\b", "s"),
    (r"(?<=[a-z)0-9])\s*\.\s*(?=[a-z(])", " "),  # 10**(-19).erg.cm**(-2)
)
_LENGTHS = {
    "angstrom": u.AA, "angstroms": u.AA, "ang": u.AA, "a": u.AA, "aa": u.AA, "å": u.AA,
    "nm": u.nm, "nanometer": u.nm, "nanometers": u.nm, "nanometre": u.nm,
    "um": u.um, "µm": u.um, "μm": u.um, "micron": u.um, "microns": u.um, "micrometer": u.um,
}  # fmt: skip
_PER_ANGSTROM = u.erg / (u.s * u.cm**2 * u.AA)
_PER_HERTZ = u.erg / (u.s * u.cm**2 * u.Hz)
_NOT_FLUX = ("length", "angle", "temperature", "speed", "time", "frequency", "mass", "area")
_SPECTRAL_RANGE = (10.0, 1e8)  # Å: extreme ultraviolet to 1 cm


def _parsed(text: str) -> u.UnitBase | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", u.UnitsWarning)
        try:
            return u.Unit(text)
        except (ValueError, TypeError):
            return None


def flux_unit(text: str | None, where: str) -> tuple[u.UnitBase, str | None]:
    """Parse a flux unit.

    Parameters
    ----------
    text : str or None
        As in BUNIT or a table's header.
    where : str
        The file and HDU, for messages.

    Returns
    -------
    unit : astropy unit
        Of a flux density without its "per spaxel"; dimensionless where the file gives none, or one that cannot be
        understood.
    warning : str or None
        What could not be understood.

    Raises
    ------
    ReadError
        If the text is the unit of something else.
    """
    if text is None or not text.strip():
        return u.dimensionless_unscaled, "the flux has no unit"
    cleaned = text
    for pattern, replacement in _REWRITES:
        cleaned = re.sub(pattern, replacement, cleaned, flags=re.IGNORECASE)
    unit = _parsed(cleaned.strip())
    if unit is None:
        return u.dimensionless_unscaled, f"the flux unit {text!r} is not understood; fluxes are kept as they are"
    logarithmic = any(base in (u.mag, u.dex, u.dB) for base in unit.bases)
    if logarithmic or unit.physical_type in _NOT_FLUX:
        raise ReadError(f"{where}: the unit {text!r} is not one of a flux. Name the flux: --flux-hdu NAME.")
    return unit, None


def per_wavelength(unit: u.UnitBase, wavelength: FloatArray) -> tuple[u.UnitBase, FloatArray | None]:
    """Turn a flux density per frequency into one per Å.

    Parameters
    ----------
    unit : astropy unit
        Unit of the flux.
    wavelength : (n_pixels,)
        Å.

    Returns
    -------
    unit : astropy unit
        Per wavelength; for a unit per frequency a power of ten in erg/s/cm²/Å (per sr where it was) that keeps the
        numbers near those in the file.
    factor : (n_pixels,) or None
        What to multiply flux and σ by; None for 1.
    """
    for per_solid_angle in (u.dimensionless_unscaled, u.sr):
        if (unit * per_solid_angle).is_equivalent(_PER_HERTZ):
            target = _PER_ANGSTROM / per_solid_angle
            density = (1 * unit * per_solid_angle).to(_PER_ANGSTROM, u.spectral_density(wavelength * u.AA)).value
            decade = 10.0 ** np.round(np.log10(np.median(density)))
            return u.Unit(decade * target), np.asarray(density / decade)
    return unit, None


def to_angstrom(values: Any, text: str | None, where: str) -> tuple[FloatArray, str | None]:
    """Convert wavelengths to Å.

    Parameters
    ----------
    values : (n_pixels,)
        Wavelengths (or frequencies, energies) in the file's unit.
    text : str or None
        That unit.
    where : str
        The file and HDU, for messages.

    Returns
    -------
    wavelength : (n_pixels,)
        In Å.
    warning : str or None
        Said where the unit was told from the values alone, which is done for 2000–25000 only.

    Raises
    ------
    ReadError
        If the unit is unknown, is not one of wavelength, or gives impossible wavelengths.
    """
    values = np.asarray(values, dtype=np.float64)
    low, high = (float(np.nanmin(values)), float(np.nanmax(values))) if values.size else (np.nan, np.nan)
    give = "Give the unit: --wavelength-unit Angstrom, nm, um or m."
    warning = None
    if text is None or not text.strip():
        if not (low >= 2000 and high <= 25000):
            raise ReadError(f"{where}: the wavelengths ({low:g} to {high:g}) have no unit. {give}")
        text, warning = "Angstrom", "the wavelengths have no unit; taken as Å from their values"
    unit = _LENGTHS.get(text.strip().lower()) or _parsed(text.strip())
    if unit is None or not unit.is_equivalent(u.AA, u.spectral()):
        raise ReadError(f"{where}: {text!r} is not a unit of wavelength. {give}")
    wavelength = np.asarray(u.Quantity(values, unit).to_value(u.AA, u.spectral()))
    shortest, longest = float(np.nanmin(wavelength)), float(np.nanmax(wavelength))
    if not (shortest > _SPECTRAL_RANGE[0] and longest < _SPECTRAL_RANGE[1]):
        raise ReadError(
            f"{where}: the wavelengths run from {shortest:g} to {longest:g} Å when read in {text.strip()!r}, "
            f"which no spectrum does. {give}"
        )
    return wavelength, warning
