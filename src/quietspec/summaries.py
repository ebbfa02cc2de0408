"""Short summaries of spectra, for a prompt and for a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from quietspec.statistics import masked_median

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray

__all__ = ["Summarised", "span", "thumbnail"]

_WIDTH, _HEIGHT = 240, 60  # of a thumbnail, pixels
_STEPS = 120  # points of a thumbnail's line
_COLOURS = ("#888888", "#0072b2")  # of several lines, the last on top


def span(values: FloatArray, form: str = ".4g") -> str:
    """Range of the finite values as text: ``3.1``, ``3.1–8.4`` or ``unknown``."""
    finite = np.asarray(values)[np.isfinite(values)]
    if not finite.size:
        return "unknown"
    low, high = format(float(finite.min()), form), format(float(finite.max()), form)
    return low if low == high else f"{low}–{high}"


class Summarised(ABC):
    """Gives a class short representations, of what its `_facts` and `_preview` return."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(self._facts().values())}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(key)}</th><td>{escape(value.removeprefix(f'{key}: '))}</td></tr>"
            for key, value in self._facts().items()
        )
        wavelength, lines = self._preview()
        picture = f"<tr><td colspan='2'>{thumbnail(wavelength, *lines)}</td></tr>" if lines else ""
        return f"<table><caption>{type(self).__name__}</caption>{rows}{picture}</table>"

    @abstractmethod
    def _facts(self) -> Mapping[str, str]:
        """What a summary shows, by name."""

    @abstractmethod
    def _preview(self) -> tuple[FloatArray, list[FloatArray]]:
        """Wavelengths (n_pixels,) and the fluxes of a thumbnail's lines, the last drawn on top."""


def thumbnail(wavelength: FloatArray, *lines: FloatArray) -> str:
    """Draw spectra as a small SVG.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Å.
    *lines : (n_pixels,)
        Fluxes on one scale, the last drawn on top; NaN leaves a gap.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    edges = np.linspace(0, len(wavelength), _STEPS + 1).astype(int)
    middle = (wavelength[edges[:-1]] - wavelength[0]) / (wavelength[-1] - wavelength[0])
    binned = [
        np.concatenate([masked_median(piece[None], np.isfinite(piece)[None]) for piece in np.split(line, edges[1:-1])])
        for line in lines
    ]
    shown = np.concatenate(binned)
    shown = shown[np.isfinite(shown)]
    low, high = np.percentile(shown, (1, 99)) if shown.size else (0.0, 1.0)
    heights = [1 - (values - low) / max(high - low, 1e-300) for values in binned]
    drawn = "".join(
        f"<polyline fill='none' stroke='{colour}' points='{_points(middle, height)}'/>"
        for colour, height in zip(_COLOURS[-len(lines) :], heights, strict=True)
    )
    return f"<svg width='{_WIDTH}' height='{_HEIGHT}' xmlns='http://www.w3.org/2000/svg'>{drawn}</svg>"


def _points(x: FloatArray, y: FloatArray) -> str:
    pairs = zip(x * _WIDTH, np.clip(y, 0, 1) * _HEIGHT, strict=True)
    return " ".join(f"{right:.1f},{down:.1f}" for right, down in pairs if np.isfinite(down))
