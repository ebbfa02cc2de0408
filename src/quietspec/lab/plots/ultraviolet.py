"""The figure of real spectra whose near ultraviolet is seen, as the models `survey` and `ultraviolet` estimate them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from quietspec.plots.style import COLOURS, LIGHT, figure, styled
from quietspec.wavelengths import INTERSTELLAR_BANDS, rest_air

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from quietspec.denoised import Denoised
    from quietspec.spectra import Spectra

__all__ = ["ultraviolet_figure"]

_SMOOTHED = 5  # pixels over which the data are averaged, for the eye


@styled
def ultraviolet_figure(spectra: Sequence[tuple[str, Spectra, Mapping[str, Denoised]]]) -> Figure:
    """Draw spectra and estimates over the wavelengths at rest.

    Parameters
    ----------
    spectra : sequence of (str, Spectra, mapping of str to Denoised)
        Name, the one spectrum, and its estimates by model.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per spectrum; bands of interstellar absorption, which no model of stars predicts, are shaded.
    """
    page = figure(1.35 * len(spectra) + 0.6)
    panels = page.subplots(len(spectra), 1, squeeze=False)[:, 0]
    for axes, (name, one, estimates) in zip(panels, spectra, strict=True):
        _draw(axes, one, estimates)
        axes.set_title(f"{name}, z = {one.redshift[0]:.3f}, S/N {one.snr[0]:.0f}", loc="left")
    page.supylabel("Flux / median flux", fontsize=8)
    panels[-1].set_xlabel("Wavelength at rest [Å]")
    page.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return page


def _draw(axes: Axes, spectra: Spectra, estimates: Mapping[str, Denoised]) -> None:
    rest = rest_air(spectra.wavelength, float(spectra.redshift[0]), spectra.medium)
    good = spectra.good[0]
    unit = np.median(spectra.flux[0][good])
    weight = np.convolve(good, np.ones(_SMOOTHED), "same")
    total = np.convolve(np.where(good, spectra.flux[0], 0.0), np.ones(_SMOOTHED), "same")
    mean = np.divide(total, weight, out=np.full(len(rest), np.nan), where=weight > 0)
    axes.plot(rest, mean / unit, color=LIGHT, lw=0.5, label=f"data, mean of {_SMOOTHED} pixels")
    for colour, (name, found) in zip(COLOURS, estimates.items(), strict=False):
        flux, sigma = found.flux[0] / unit, found.sigma[0] / unit
        axes.plot(rest, flux, color=colour, lw=0.7, label=f"{name}, ±1σ")
        axes.fill_between(rest, flux - sigma, flux + sigma, color=colour, alpha=0.3, lw=0)
    for low, high in INTERSTELLAR_BANDS:
        axes.axvspan(low, high, color="0.9", lw=0, zorder=0)
    inside = np.isfinite(mean)
    low, high = np.percentile(mean[inside] / unit, (1, 99))
    axes.set(xlim=(rest[good][0], rest[good][-1]), ylim=(min(low - 0.2, 0.0), 1.3 * high))
