"""Reddening by dust of the Milky Way in front of a galaxy: what of its light arrives.

The law is that of Gordon et al. 2023 with R_V = 3.1, by the package dust_extinction. It is loaded only where some
reddening is asked for, since it takes a second to import.
"""

from __future__ import annotations

from typing import overload

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray

__all__ = ["LAW", "SFD_SCALE", "scaled_ebv", "transmission"]

LAW = "G23, R_V = 3.1"  #: the law's name, as headers state it
_R_V = 3.1  # of the diffuse medium of the Milky Way
_REACH = (912.0, 320_000.0)  # Å, the range of wavelengths of Gordon et al. 2023

#: What E(B−V) of the maps of Schlegel, Finkbeiner & Davis (1998, ApJ 500, 525) is multiplied by to agree with the
#: colours of stars (Schlafly & Finkbeiner 2011, ApJ 737, 103).
SFD_SCALE = 0.86


def transmission(wavelength: npt.ArrayLike, ebv: npt.ArrayLike) -> FloatArray:
    """Share of a galaxy's light that passes the dust of the Milky Way.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Observed wavelengths, Å. Air or vacuum does not matter: the law changes by 10⁻⁴ of its value between them.
    ebv : float or (n_spectra,)
        Colour excess E(B−V) of the Milky Way in front of the galaxy, mag, at least 0; such as from the maps of Schlegel
        et al. (1998) times 0.86 (Schlafly & Finkbeiner 2011), or of Planck.

    Returns
    -------
    (n_pixels,) or (n_spectra, n_pixels)
        10^(−0.4 A_λ), at most 1. Beyond 912 Å to 32 µm the law is taken at the nearer end.

    Raises
    ------
    ValueError
        If `ebv` is negative or not finite.

    References
    ----------
    Gordon, Clayton, Decleir, Fitzpatrick, Massa, Misselt & Tollerud 2023, ApJ 950, 86.

    Examples
    --------
    >>> import numpy as np
    >>> transmission(np.array([4000.0, 6000.0, 9000.0]), 0.1).round(3)
    array([0.667, 0.773, 0.871])
    >>> transmission(np.array([4000.0, 6000.0]), [0.0, 0.1]).shape
    (2, 2)
    """
    size, pixels = np.asarray(ebv, dtype=np.float64), np.asarray(wavelength, dtype=np.float64)
    if not np.all((size >= 0) & np.isfinite(size)):
        raise ValueError("ebv: E(B−V) must be finite and at least 0.")
    if not size.any():
        return np.ones(size.shape + pixels.shape)
    return np.asarray(np.exp(-size[..., None] * _optical_depth(pixels)))


def _optical_depth(wavelength: FloatArray) -> FloatArray:
    """Optical depth per unit of E(B−V), (n_pixels,)."""
    import astropy.units as u
    from dust_extinction.parameter_averages import G23

    relative = G23(Rv=_R_V)(np.clip(wavelength, *_REACH) * u.AA)  # A_λ over A_V
    return np.asarray(relative * _R_V * 0.4 * np.log(10))


@overload
def scaled_ebv(ebv: None) -> None: ...
@overload
def scaled_ebv(ebv: npt.ArrayLike) -> FloatArray: ...
def scaled_ebv(ebv: npt.ArrayLike | None) -> FloatArray | None:
    """E(B−V) of Schlegel et al. (1998) on the scale of Schlafly & Finkbeiner (2011); None stays None."""
    return None if ebv is None else np.asarray(SFD_SCALE * np.asarray(ebv, dtype=np.float64))
