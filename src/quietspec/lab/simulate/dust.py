"""Attenuation of starlight by dust."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray

__all__ = ["CALZETTI_RV", "attenuation_curve", "transmission"]

CALZETTI_RV = 4.05
_V_BAND = 5500.0
_BUMP, _BUMP_WIDTH = 2175.0, 350.0  # Å (Noll et al. 2009, A&A 507, 1793)


def attenuation_curve(wavelength: FloatArray) -> FloatArray:
    """Attenuation of starburst galaxies relative to that at 5500 Å, A(λ)/A_V.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Rest-frame Å, 1200 to 22000.

    Returns
    -------
    (n_pixels,)
        k(λ)/k(5500 Å), so that A_V is exactly the attenuation at 5500 Å (the published polynomial gives 0.9995 A_V).

    References
    ----------
    Calzetti et al. 2000, ApJ 533, 682, eq. 4.
    """
    return np.asarray(_calzetti(np.asarray(wavelength)) / _calzetti(np.array(_V_BAND)))


def _calzetti(wavelength: FloatArray) -> FloatArray:
    """k(λ) = A(λ)/E(B−V)."""
    inverse = 1e4 / wavelength
    blue = 2.659 * (-2.156 + inverse * (1.509 + inverse * (-0.198 + 0.011 * inverse)))
    red = 2.659 * (-1.857 + 1.040 * inverse)
    return np.asarray(np.where(wavelength < 6300, blue, red) + CALZETTI_RV)


def transmission(
    wavelength: FloatArray, a_v: FloatArray, slope: FloatArray | float = 0.0, bump: FloatArray | float = 0.0
) -> FloatArray:
    """Fraction of the light that passes through the dust.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Rest-frame Å.
    a_v : (n,)
        Attenuation at 5500 Å, mag.
    slope : float or (n,), optional
        Exponent δ of the power law (λ/5500 Å)^δ that makes the curve steeper (δ < 0) or greyer than Calzetti's, as is
        observed (Noll et al. 2009, A&A 507, 1793; Salim et al. 2018, ApJ 859, 11).
    bump : float or (n,), optional
        Strength of the bump at 2175 Å, as A(λ)/E(B−V) above the curve: 0 in Calzetti's, about 3 in the Milky Way.

    Returns
    -------
    (n, n_pixels) of float32
        10^(−0.4 A(λ)).
    """
    steepness = np.broadcast_to(np.asarray(slope, dtype=np.float32), np.shape(a_v))[:, None]
    depth = (-0.4 * np.log(10) * np.asarray(a_v)).astype(np.float32)[:, None]
    curve: FloatArray = attenuation_curve(wavelength).astype(np.float32)
    if np.any(bump):
        curve = curve + np.broadcast_to(np.asarray(bump, np.float32), np.shape(a_v))[:, None] * _bump(wavelength)
    tilt = np.exp(steepness * np.log(wavelength / _V_BAND).astype(np.float32)) if np.any(steepness) else 1
    return np.asarray(np.exp(depth * (curve * tilt)))


def _bump(wavelength: FloatArray) -> FloatArray:
    """Bump at 2175 Å of unit strength, A(λ)/A_V: a Drude profile."""
    width = (wavelength * _BUMP_WIDTH) ** 2
    profile = width / ((wavelength**2 - _BUMP**2) ** 2 + width)
    return np.asarray(profile / CALZETTI_RV, dtype=np.float32)
