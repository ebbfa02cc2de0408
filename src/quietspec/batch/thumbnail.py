"""A small picture of a denoised file: maps of flux and of S/N before and after, or the brightest spectrum."""

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

_SIZE = (0.5, 1.5)  # inches, height and width
_BAND = 20  # wavelengths averaged for the map of the flux: enough to show it, few enough to read quickly
_drawing = Lock()  # all threads share matplotlib's settings


def draw_thumbnail(output: Path, picture: Path) -> None:
    """Draw the contents of a denoised file.

    Parameters
    ----------
    output : Path
        The file, as `quietspec denoise` writes it.
    picture : Path
        PNG to write.

    Raises
    ------
    WriteError
        If the picture cannot be written.
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
    """Draw three maps side by side; those of the S/N share their colours."""
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
    """Draw one spectrum."""
    page = _bare_figure()
    axes = page.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.plot(wavelength, flux, color=COLOURS[0], lw=0.6)
    axes.set_ylim(robust_limits(flux))
    return page


def _bare_figure() -> Figure:
    page = figure(*_SIZE)
    page.set_layout_engine("none")  # nothing to make room for
    return page


def _mean(band: FloatArray) -> FloatArray:
    """Average the finite values of each spaxel, (n_wavelengths, ny, nx) to (ny, nx); NaN where there are none."""
    good = np.isfinite(band)
    count = good.sum(axis=0)
    total = np.sum(band, axis=0, where=good)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
