"""Denoise low-signal-to-noise galaxy spectra and integral-field cubes, with errors that can be trusted."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quietspec.denoised import Denoised, Flag
    from quietspec.denoisers import Denoiser, load_denoiser
    from quietspec.errors import QuietspecError
    from quietspec.io import fetch, open_spectra, read, write
    from quietspec.models import demo_cube
    from quietspec.spectra import Spectra

    __version__: str

__all__ = [
    "Denoised",
    "Denoiser",
    "Flag",
    "QuietspecError",
    "Spectra",
    "__version__",
    "demo_cube",
    "fetch",
    "load_denoiser",
    "open_spectra",
    "read",
    "write",
]

# Imported on first use, so that `import quietspec` and `quietspec --help` do not wait for astropy, nor for metadata.
_HOMES = {
    "quietspec.denoisers": ("Denoiser", "load_denoiser"),
    "quietspec.errors": ("QuietspecError",),
    "quietspec.io": ("fetch", "open_spectra", "read", "write"),
    "quietspec.denoised": ("Denoised", "Flag"),
    "quietspec.models": ("demo_cube",),
    "quietspec.spectra": ("Spectra",),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("quietspec")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'quietspec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
