"""A small picture of a denoised file: flux, and S/N before and after, as maps or along the spectra."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from quietspec.plots import save
from quietspec.plots.denoised import log_norm
from quietspec.plots.style import COLOURS, figure, robust_limits, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from quietspec.arrays import FloatArray

__all__ = ["draw_thumbnail"]

_SIZE = (0.5, 1.5)  # inches high and wide
_BAND = 20  # wavelengths whose mean is the map of the flux: enough to see it, few enough to read at once
_drawing = Lock()  # matplotlib's settings are one for all threads


def draw_thumbnail(output: Path, picture: Path) -> None:
    """Draw a file that `quietspec denoise` wrote.

    Parameters
    ----------
    output : Path
        The file.
    picture : Path
        PNG to write.

    Raises
    ------
    WriteError
        If it cannot be written.
    """
    with fits.open(output) as hdus:
        flux = hdus["FLUX"]
        if len(flux.shape) == 3:
            middle = max(flux.shape[0] // 2 - _BAND // 2, 0)
            band = np.asarray(flux.section[middle : middle + _BAND], dtype=np.float64)
            before, after = (np.asarray(hdus[name].data, dtype=np.float64) for name in ("SNR_IN", "SNR_OUT"))
            draw: Callable[[], Figure] = partial(_maps_figure, _mean(band), before, after)
        else:
            brightest = int(np.argmax(np.nan_to_num(hdus["SPECTRA"].data["snr_out"], nan=-np.inf)))
            wavelength = np.asarray(hdus["WAVE"].data["wavelength"], dtype=np.float64)
            draw = partial(_spectrum_figure, wavelength, np.asarray(flux.section[brightest], dtype=np.float64))
    with _drawing:
        save(draw(), picture)


@styled
def _maps_figure(flux: FloatArray, before: FloatArray, after: FloatArray) -> Figure:
    """Three maps side by side, those of the S/N in the same colours."""
    page = _bare_figure()
    limits = robust_limits(flux) or (0.0, 1.0)
    snr = log_norm(before, after)
    looks: list[tuple[FloatArray, dict[str, Any]]] = [
        (flux, {"cmap": "Greys", "vmin": limits[0], "vmax": limits[1]}),
        (before, {"cmap": "viridis", "norm": snr}),
        (after, {"cmap": "viridis", "norm": snr}),
    ]
    for number, (image, look) in enumerate(looks):
        axes = page.add_axes((number / 3, 0, 0.32, 1))
        axes.set_axis_off()
        axes.imshow(np.ma.masked_invalid(image), **look)
    return page


@styled
def _spectrum_figure(wavelength: FloatArray, flux: FloatArray) -> Figure:
    page = _bare_figure()
    axes = page.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.plot(wavelength, flux, color=COLOURS[0], lw=0.6)
    axes.set_ylim(robust_limits(flux))
    return page


def _bare_figure() -> Figure:
    page = figure(*_SIZE)
    page.set_layout_engine("none")  # nothing to keep clear of
    return page


def _mean(band: FloatArray) -> FloatArray:
    good = np.isfinite(band)
    count = good.sum(axis=0)
    total = np.sum(band, axis=0, where=good)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
