"""Shipped model files (arrays only, no code), each with its card, and the example cube."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

__all__ = ["demo_cube"]


def demo_cube() -> Path:
    """Path of the example cube: a simulated galaxy of 20 × 20 spaxels at z = 0.03, with its truth.

    Returns
    -------
    Path
        A FITS file, to be read by `quietspec.read`.

    Examples
    --------
    >>> import quietspec
    >>> quietspec.read(demo_cube()).spatial_shape
    (20, 20)
    """
    return Path(str(files(__name__) / "demo.fits"))
