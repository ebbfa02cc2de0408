"""Wavelengths: air and vacuum, the rest frame, and all named windows and lines, with their sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from quietspec.kinds import Medium
from quietspec.arrays import FloatArray

__all__ = [
    "EMISSION_LINES", "FWHM_PER_SIGMA", "INTERSTELLAR_BANDS",
    "LINE_WINDOWS", "SNR_WINDOW", "SPEED_OF_LIGHT", "STRONG_LINES", "LineWindow",
    "air_to_vacuum", "in_window", "rest_air", "stretches", "vacuum_to_air",
]  # fmt: skip

SPEED_OF_LIGHT = 299_792.458  #: km/s, exact
FWHM_PER_SIGMA = float(2 * np.sqrt(2 * np.log(2)))

_GAP = 3.0  # a step larger than the median of the steps around it by this factor is a gap
_AIR_BEGINS = 2000.0  # Å; by convention shorter wavelengths are given in vacuum

SNR_WINDOW = (4484.77, 4573.12)  #: rest-frame air Å where S/N is defined (Kim, Lee & Rey 2026, Section 2)


@dataclass(frozen=True)
class LineWindow:
    """An absorption feature and its two pseudo-continua, rest-frame air Å."""

    feature: tuple[float, float]
    blue: tuple[float, float]
    red: tuple[float, float]
    source: str


#: The six windows of the paper's line tests. It gives no limits; these are the standard index definitions.
LINE_WINDOWS: dict[str, LineWindow] = {
    "Ca II H": LineWindow(
        (3958.47, 3978.47), (3944.0, 3954.0), (3984.0, 4004.0), "±10 Å about Ca II H 3968.47 Å (NIST); ours"
    ),
    "Hdelta": LineWindow(
        (4083.50, 4122.25), (4041.60, 4081.50), (4128.50, 4161.00), "HδA, Worthey & Ottaviani 1997, Table 1"
    ),
    "Fe I 4383": LineWindow(
        (4369.125, 4420.375), (4359.125, 4370.375), (4442.875, 4455.375), "Fe4383, Trager et al. 1998, Table 2"
    ),
    "Hbeta": LineWindow(
        (4847.875, 4876.625), (4827.875, 4847.875), (4876.625, 4891.625), "Hβ, Trager et al. 1998, Table 2"
    ),
    "Mg b": LineWindow(
        (5160.125, 5192.625), (5117.700, 5142.700), (5191.375, 5206.375), "Mg b, Trager et al. 1998, Table 2"
    ),
    "Na D": LineWindow(
        (5876.875, 5909.375), (5860.625, 5875.675), (5922.125, 5948.125), "Na D, Trager et al. 1998, Table 2"
    ),
}

#: Gas emission lines, rest-frame air Å (NIST; Osterbrock & Ferland 2006).
EMISSION_LINES: dict[str, float] = {
    "CII]2326": 2325.4, "FeII2365": 2364.83, "FeII2396": 2395.63, "[NeIV]2424": 2423.1, "[OII]2470": 2470.22,
    "FeII2612": 2611.87, "FeII2626": 2625.67, "MgII2796": 2795.53, "MgII2803": 2802.70, "OIII3133": 3132.79,
    "HeII3203": 3203.10, "[NeV]3346": 3345.83,
    "[NeV]3426": 3425.88, "[OII]3726": 3726.03, "[OII]3729": 3728.82, "H12": 3750.15, "H11": 3770.63, "H10": 3797.90,
    "H9": 3835.39,
    "[NeIII]3869": 3868.76, "HeI3889": 3888.65, "H8": 3889.05,
    "[NeIII]3967": 3967.47, "Hepsilon": 3970.07, "Hdelta": 4101.73, "Hgamma": 4340.47, "[OIII]4363": 4363.21,
    "HeI4471": 4471.50, "HeII4686": 4685.71, "Hbeta": 4861.33, "[OIII]4959": 4958.91, "[OIII]5007": 5006.84,
    "[NI]5198": 5197.90, "[NI]5200": 5200.26, "[NII]5755": 5754.59, "HeI5876": 5875.62, "[OI]6300": 6300.30,
    "[SIII]6312": 6312.06, "[OI]6364": 6363.78, "[NII]6548": 6548.05, "Halpha": 6562.80, "[NII]6583": 6583.45,
    "HeI6678": 6678.15,
    "[SII]6716": 6716.44, "[SII]6731": 6730.82, "HeI7065": 7065.25,
    "[ArIII]7136": 7135.79, "[OII]7320": 7319.99, "[OII]7330": 7330.73, "[ArIII]7751": 7751.11, "OI8446": 8446.36,
    "Pa12": 8750.47, "Pa11": 8862.78, "Pa10": 9014.91, "[SIII]9069": 9068.6, "Pa9": 9229.01, "[SIII]9531": 9530.6,
    "Pa8": 9545.97,
}  # fmt: skip

#: Bands where gas and dust between the stars absorb: rest-frame air Å. Na D, and the band at 6283.8 Å (Jenniskens &
#: Désert 1994, A&AS 106, 39); in the ultraviolet Fe II, Mg II and Mg I, from outflows of 600 km/s on.
INTERSTELLAR_BANDS: tuple[tuple[float, float], ...] = (
    (2338.5, 2345.0), (2368.5, 2385.0), (2580.5, 2602.0), (2790.0, 2806.0), (2846.5, 2854.0),
    (5886.5, 5899.5), (6278.5, 6291.0),
)  # fmt: skip
#: Lines seen in nearly every galaxy with gas, which are masked whether or not gas is detected.
STRONG_LINES: tuple[str, ...] = (
    "[OII]3726", "[OII]3729", "Hbeta", "[OIII]4959", "[OIII]5007", "[NII]6548", "Halpha", "[NII]6583", "[SII]6716",
    "[SII]6731", "[SIII]9069", "[SIII]9531",
)  # fmt: skip


def air_to_vacuum(wavelength: FloatArray) -> FloatArray:
    """Convert air wavelengths to vacuum (both Å), by Ciddor 1996, Applied Optics 35, 1566; below 2000 Å unchanged."""
    vacuum = wavelength
    for _ in range(4):  # each time the error falls by a factor of 10⁵ or more
        vacuum = wavelength * _refraction(vacuum)
    return np.where(wavelength >= _AIR_BEGINS, vacuum, wavelength)


def vacuum_to_air(wavelength: FloatArray) -> FloatArray:
    """Convert vacuum wavelengths to air (both Å), by Ciddor 1996, Applied Optics 35, 1566; below 2000 Å unchanged."""
    return np.where(wavelength >= _AIR_BEGINS, wavelength / _refraction(wavelength), wavelength)


def _refraction(vacuum: FloatArray) -> FloatArray:
    """Refractive index of standard air of 450 ppm CO₂ at vacuum wavelengths, Å: Ciddor's Equation 1 and Appendix A."""
    # Written out since specutils, which has it and is what the tests compare with, takes a second and a half to import.
    squared = (1e4 / np.maximum(vacuum, _AIR_BEGINS)) ** 2  # wave numbers, μm⁻²
    return np.asarray(1 + 5.792105e-2 / (238.0185 - squared) + 1.67917e-3 / (57.362 - squared))


def rest_air(wavelength: FloatArray, redshift: float, medium: Medium) -> FloatArray:
    """Compute the rest-frame air wavelengths (Å) of observed pixels.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Observed wavelengths, Å.
    redshift : float
        Redshift.
    medium : {'air', 'vacuum'}
        What `wavelength` is measured in.

    Returns
    -------
    (n_pixels,)
        Observed wavelengths converted to vacuum, where light is redshifted, divided by 1 + z, and converted to air.
    """
    if redshift == 0 and medium == "air":
        return wavelength
    vacuum = wavelength if medium == "vacuum" else air_to_vacuum(wavelength)
    return vacuum_to_air(vacuum / (1 + redshift))


def stretches(wavelength: FloatArray) -> Iterator[slice]:
    """Find the runs of pixels without a gap in wavelength, such as the arms of a spectrograph."""
    from scipy.ndimage import median_filter

    steps = np.diff(wavelength)
    breaks = np.flatnonzero(steps > _GAP * median_filter(steps, size=5, mode="nearest")) + 1
    edges = [0, *breaks.tolist(), len(wavelength)]
    return (slice(low, high) for low, high in pairwise(edges))


def in_window(wavelength: FloatArray, window: tuple[float, float]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return which wavelengths lie in a window, ends included."""
    return np.asarray((wavelength >= window[0]) & (wavelength <= window[1]))
