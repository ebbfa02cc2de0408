"""The figure of the demo: denoised spectra beside the truth of simulated spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quietspec.errors import SpectraError
from quietspec.lab.evaluation.scores import rms
from quietspec.plots.denoised import bright_to_faint, draw_spectrum, legend_entries, log_norm, mark_spaxels, spaxel_name
from quietspec.plots.sky import compass, row_of_maps
from quietspec.plots.style import COLOURS, colour_bar, figure, flux_label, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from quietspec.arrays import FloatArray
    from quietspec.denoised import Denoised

__all__ = ["gain_figure"]


@styled
def gain_figure(truth: FloatArray, denoised: Denoised, n_spectra: int = 3) -> Figure:
    """Draw how much smaller denoising makes the errors.

    Parameters
    ----------
    truth : (n_spectra, n_pixels)
        Noise-free flux in the unit of the spectra; NaN where unknown.
    denoised : Denoised
        Estimates made from the noisy spectra of an image.
    n_spectra : int
        Number of spectra shown, from the brightest to a faint one.

    Returns
    -------
    matplotlib.figure.Figure
        Maps of the RMS error before and after on one scale and of their ratio, and spectra with their truth. Pixels
        that the denoiser ignored (emission lines, spikes) do not count.

    Raises
    ------
    SpectraError
        If the spectra form no image, or none has an estimate.
    """
    spectra = denoised.spectra
    rows = bright_to_faint(denoised, n_spectra)
    counted = denoised.counted
    before, after = rms(spectra.flux - truth, counted), rms(denoised.flux - truth, counted)
    if not rows:
        raise SpectraError("gain_figure: no spectrum could be denoised, there is nothing to draw.")
    page = figure(height=2.7 + 1.5 * len(rows))
    top, bottom = np.asarray(page.subfigures(2, 1, height_ratios=[2.5, 0.2 + 1.5 * len(rows)]), dtype=object)
    _draw_error_maps(top, denoised, rows, before, after)
    panels = bottom.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    for number, (panel, row) in enumerate(zip(panels, rows, strict=True)):
        draw_spectrum(panel, denoised, row, COLOURS[number % len(COLOURS)], truth[row])
        name, snr, ratio = spaxel_name(spectra, row), denoised.snr_before[row], before[row] / after[row]
        panel.set_title(f"{number + 1}   {name}:  S/N {snr:.1f},  RMS error {ratio:.1f} times smaller", loc="left")
    bottom.legend(*legend_entries(panels), loc="outside lower center", ncols=4)
    panels[-1].set_xlabel(f"Observed wavelength in {spectra.medium} [Å]")
    bottom.supylabel(flux_label(spectra.unit), fontsize=8)
    return page


def _draw_error_maps(page: Figure, denoised: Denoised, rows: list[int], before: FloatArray, after: FloatArray) -> None:
    from matplotlib.colors import Normalize

    spectra, ratio = denoised.spectra, before / after
    norm = log_norm(before, after)
    limits = Normalize(0, float(np.nanpercentile(ratio, 99)))
    images = [
        (spectra.image(before), "RMS error, input", norm, "cividis"),
        (spectra.image(after), "RMS error, denoised", norm, "cividis"),
        (spectra.image(ratio), "Times smaller", limits, "viridis"),
    ]
    (first, _), (error, error_image), (last, ratio_image) = row_of_maps(page, images, spectra.wcs)
    colour_bar(error, error_image, flux_label(spectra.unit, "RMS error"))
    colour_bar(last, ratio_image, "RMS error before / after")
    mark_spaxels(first, spectra, rows)
    compass(first, spectra.wcs)
