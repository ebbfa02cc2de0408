"""Names that surveys give to HDUs, columns and keywords, and what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from quietspec.io.reading.options import NoiseKind

__all__ = [
    "FLUX_NAMES", "FWHM_NAMES", "LOG_WAVELENGTH_NAMES", "MASK_NAMES", "NOISE_NAMES", "REDSHIFT_NAMES",
    "RESOLUTION_NAMES", "WAVELENGTH_NAMES", "find_name", "header_redshift", "noise_kind_of",
]  # fmt: skip

FLUX_NAMES = ("flux", "sci", "data", "spec", "spectrum", "spectra", "flam", "f_lambda", "flux_lambda", "fluxdensity")
WAVELENGTH_NAMES = ("wave", "wavelength", "lambda", "lam", "wl", "wavelengths", "spectral_axis")
LOG_WAVELENGTH_NAMES = ("loglam", "loglambda", "logwave", "log_wave", "log_lambda")
MASK_NAMES = ("mask", "dq", "qual", "quality", "badpix", "and_mask", "flags")
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

_REDSHIFT_KEYWORDS = ("Z_SPEC", "REDSHIFT", "Z_TONRY", "Z")
_VELOCITY_KEYWORD = "MED_VEL"  # CALIFA: median systemic velocity c·z in km/s


def find_name(names: Iterable[str], wanted: Iterable[str]) -> str | None:
    """First of `wanted` (lower case) that is among `names`, as it is spelt there."""
    spelt = {name.lower(): name for name in reversed(list(names))}
    return next((spelt[name] for name in wanted if name in spelt), None)


def noise_kind_of(name: str) -> NoiseKind | None:
    """Tell what an HDU or column of this name holds (``RED_IVAR`` as ``IVAR``); None where no convention says."""
    lower = name.lower()
    if lower in NOISE_NAMES:
        return NOISE_NAMES[lower]
    return next((kind for known, kind in NOISE_NAMES.items() if lower.endswith("_" + known)), None)


def header_redshift(*headers: Mapping[str, Any]) -> float | None:
    """Redshift that a header (or table metadata) gives, by any keyword known for it."""
    from quietspec.wavelengths import SPEED_OF_LIGHT

    for header in headers:
        known = {str(key).upper(): value for key, value in header.items()}
        for key in _REDSHIFT_KEYWORDS:
            value = known.get(key)
            if isinstance(value, int | float) and not isinstance(value, bool) and -0.1 < value < 20:
                return float(value)
        velocity = known.get(_VELOCITY_KEYWORD)
        if isinstance(velocity, int | float) and velocity != 0:
            return float(velocity) / SPEED_OF_LIGHT
    return None
