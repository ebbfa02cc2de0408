"""V-band luminosities and mass-to-light ratios of SSPs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from astropy import units as u
from astropy.constants import L_sun

from quietspec.errors import TemplateError
from quietspec.templates.library import SspLibrary
from quietspec.wavelengths import rest_air

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray

__all__ = ["MassToLight", "mass_to_light", "v_luminosity"]

# Bessell 1990, PASP 102, 1181, Table 2: relative response to energy, which includes the factor λ of photon counting.
_V_WAVELENGTH = np.arange(4700.0, 7001.0, 100.0)  # Å, air
_V_RESPONSE = np.array([
    0.000, 0.030, 0.163, 0.458, 0.780, 0.967, 1.000, 0.973, 0.898, 0.792, 0.684, 0.574,
    0.461, 0.359, 0.270, 0.197, 0.135, 0.081, 0.045, 0.025, 0.017, 0.013, 0.009, 0.000,
])  # fmt: skip
_V_ZERO_FLUX = 363.1e-11  # erg/s/cm²/Å at V = 0: Bessell, Castelli & Plez 1998, A&A 333, 231, Table A2
_SUN_V = 4.81  # absolute Vega magnitude of the Sun: Willmer 2018, ApJS 236, 47, Table 3


class MassToLight(NamedTuple):
    """V-band mass-to-light ratios, and which mass they refer to.

    Parameters
    ----------
    ratio : (n_ssp,)
        Solar masses per solar V-band luminosity.
    mass : {'stars and remnants', 'formed'}
        The mass they refer to.
    """

    ratio: FloatArray
    mass: Literal["stars and remnants", "formed"]


def v_luminosity(library: SspLibrary) -> FloatArray:
    """Compute the Johnson V luminosity of each SSP in solar units, per solar mass formed.

    Parameters
    ----------
    library : SspLibrary
        Library that covers 4700–7000 Å, in L☉ Å⁻¹ per solar mass formed.

    Returns
    -------
    (n_ssp,)
        L_V / L_V,☉ / M☉.

    Raises
    ------
    TemplateError
        If the library does not cover the band, or is not in luminosity per solar mass.

    References
    ----------
    Bessell 1990, PASP 102, 1181 (response); Bessell, Castelli & Plez 1998, A&A 333, 231 (flux at V = 0); Willmer 2018,
    ApJS 236, 47 (the Sun).
    """
    if not library.per_mass:
        raise TemplateError(
            f"{library.name}: its spectra are scaled by light, not per solar mass formed, so it has no mass-to-light "
            "ratios. Use a library with masses, as it was before `normalised`."
        )
    wavelength = rest_air(library.wavelength, 0.0, library.medium)
    if wavelength[0] > _V_WAVELENGTH[1] or wavelength[-1] < _V_WAVELENGTH[-2]:
        raise TemplateError(
            f"{library.name}: covers {wavelength[0]:.1f}–{wavelength[-1]:.1f} Å, not the V band "
            f"({_V_WAVELENGTH[1]:.0f}–{_V_WAVELENGTH[-2]:.0f} Å). Use a library that does."
        )
    response = np.interp(wavelength, _V_WAVELENGTH, _V_RESPONSE, left=0, right=0)
    weights = response * np.gradient(wavelength)
    density = library.spectra @ (weights / weights.sum())
    at_10pc = (1 * L_sun / (4 * np.pi * (10 * u.pc) ** 2)).to_value(u.erg / u.s / u.cm**2)  # flux of 1 L☉
    return np.asarray(density * at_10pc / _V_ZERO_FLUX * 10 ** (0.4 * _SUN_V))


def mass_to_light(library: SspLibrary) -> MassToLight:
    """Compute the V-band mass-to-light ratio of each SSP, in solar units.

    Parameters
    ----------
    library : SspLibrary
        Library that covers the V band, in L☉ Å⁻¹ per solar mass formed.

    Returns
    -------
    MassToLight
        Ratios of the mass in stars and remnants if the library knows `remaining_mass`, otherwise of the mass formed.
        The ratio of a mixture is not the mean of its SSPs' ratios: first sum masses and `v_luminosity`.

    Raises
    ------
    TemplateError
        If the library does not cover the band, or is not in luminosity per solar mass.
    """
    luminosity = v_luminosity(library)
    if library.remaining_mass is None:
        return MassToLight(1 / luminosity, "formed")
    return MassToLight(library.remaining_mass / luminosity, "stars and remnants")
