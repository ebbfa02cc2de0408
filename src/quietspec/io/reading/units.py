"""What a file says of the units of its flux and wavelengths, turned into factors and wavelengths in Å."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError, UnitError
from quietspec.units import FluxUnit, angstroms, flux_unit, likely_units

if TYPE_CHECKING:
    import astropy.units as u
    import numpy.typing as npt

__all__ = ["FluxScale", "flux_scale", "to_angstrom"]

_LENGTHS = ("Angstrom", "nm", "um", "m", "log10(Angstrom)", "ln(Angstrom)")


@dataclass(frozen=True, kw_only=True)
class FluxScale:
    """What turns the flux of a file into flux per Å.

    Parameters
    ----------
    text : str or None
        Unit of the flux as the file writes it.
    stated : FluxUnit
        That unit, or the one that the user gives.
    unit : astropy unit
        Unit of the flux per Å.
    factor : (n_pixels,) or None
        What brings flux and σ from the stated unit to `unit`; None for 1.
    warning : str or None
        What the user should know.
    """

    text: str | None
    stated: FluxUnit
    unit: u.UnitBase
    factor: FloatArray | None
    warning: str | None


def flux_scale(text: Any, wavelength: FloatArray, where: str, given: str | None = None) -> FluxScale:
    """Settle the unit of the flux.

    Parameters
    ----------
    text : str or None
        Unit of the flux, as BUNIT or a column has it.
    wavelength : (n_pixels,)
        Å.
    where : str
        The file and HDU, for messages.
    given : str, optional
        Unit of the flux that the user gives; it overrides `text`.

    Returns
    -------
    FluxScale
        A flux per frequency or in photons is converted to energy per Å.

    Raises
    ------
    ReadError
        If the unit is not understood, or is not that of a flux density.
    """
    try:
        stated = flux_unit(_as_text(text) if given is None else given)
        unit, factor = stated.per_angstrom(wavelength)
    except UnitError as error:
        raise ReadError(
            f'{where}: {error}. If the file is wrong, give the unit: flux_unit="erg/s/cm2/Angstrom"; another flux is '
            "named by flux_hdu=NAME."
        ) from error
    written = str(text or "") if given is None else given
    warning = {
        "per wavelength": None,
        "converted": f"the flux, in {written}, is converted to {unit}",
        "counts": f"the flux, in {written}, is not calibrated: its colours are also those of the instrument",
        "relative": f"the flux has no unit{f' but {written!r}' if written else ''}; taken as per unit wavelength",
    }[stated.kind]
    text = None if text is None else str(text)
    return FluxScale(text=text, stated=stated, unit=unit, factor=factor, warning=warning)


def _as_text(unit: Any) -> str | None:
    if unit is None or isinstance(unit, str):
        return unit
    raise UnitError(f"the unit of the flux is {unit!r}, which is not a unit")


def to_angstrom(values: npt.ArrayLike, text: str | None, where: str) -> tuple[FloatArray, str | None]:
    """Convert wavelengths to Å.

    Parameters
    ----------
    values : (n_pixels,)
        Wavelengths (or frequencies, energies, logarithms of wavelengths) in the file's unit.
    text : str or None
        That unit, as `quietspec.units.angstroms` understands it.
    where : str
        The file and HDU, for messages.

    Returns
    -------
    wavelength : (n_pixels,)
        In Å.
    warning : str or None
        What was concluded from the values alone.

    Raises
    ------
    ReadError
        If the unit is unknown, is not one of wavelength, or gives impossible wavelengths.
    """
    try:
        return angstroms(values, text)
    except UnitError as error:
        units = " or ".join(f'"{unit}"' for unit in dict.fromkeys((*likely_units(values), *_LENGTHS)))
        raise ReadError(f"{where}: {error}. Give the unit: wavelength_unit={units}.") from error
