"""The figure of a denoised file: maps before and after denoising, and spectra from bright to faint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quietspec.plots.sky import compass, row_of_maps
from quietspec.plots.style import (
    COLOURS,
    LIGHT,
    SMALL,
    colour_bar,
    figure,
    flux_label,
    line_label,
    robust_limits,
    shade_runs,
    styled,
)
from quietspec.wavelengths import FWHM_PER_SIGMA, LINE_WINDOWS, air_to_vacuum, stretches, vacuum_to_air

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.figure import Figure

    from quietspec.arrays import FloatArray
    from quietspec.denoised import Denoised
    from quietspec.spectra import Spectra

__all__ = [
    "bright_to_faint",
    "denoised_map_figure",
    "draw_residual",
    "draw_spectrum",
    "legend_entries",
    "log_norm",
    "mark_spaxels",
    "spaxel_name",
]

_SMOOTHED = 9  # pixels, FWHM of the smoothed input
_LEFT_OUT, _MASKED = "#F0E442", "#c8c8c8"
_NEAR = 10.0  # Å: a line is named where there are data within this


@styled
def denoised_map_figure(denoised: Denoised, n_spectra: int = 4) -> Figure:
    """Draw what denoising did to a file.

    Parameters
    ----------
    denoised : Denoised
        Result for a cube, or for spectra that form no image (then without maps).
    n_spectra : int
        Number of spectra to show, from the brightest to a faint one.

    Returns
    -------
    matplotlib.figure.Figure
        White-light map, S/N maps before and after on the same scale, and spectra, each above what the estimate leaves
        of the smoothed input: input, smoothed input, estimate with ±1σ, and the pixels that were masked in the input or
        that the denoiser left out.
    """
    rows = bright_to_faint(denoised, n_spectra)
    has_maps = denoised.spectra.spatial_shape is not None
    n_panels = max(len(rows), 1)
    each = 2.0 if n_panels > 1 else 3.2
    page = figure(height=(2.6 if has_maps else 0.0) + each * n_panels + 0.5)
    if has_maps:
        top, bottom = np.asarray(page.subfigures(2, 1, height_ratios=[2.6, each * n_panels + 0.5]), dtype=object)
        _draw_maps(top, denoised, rows)
    else:
        bottom = page
    panels = bottom.subplots(2 * n_panels, 1, sharex=True, height_ratios=[3.2, 1] * n_panels)
    if not len(rows):
        panels[0].text(0.5, 0.5, "no spectrum could be denoised", ha="center", transform=panels[0].transAxes)
        for panel in panels:
            panel.set(xticks=[], yticks=[])
    for number, (upper, lower, row) in enumerate(zip(panels[::2], panels[1::2], rows, strict=False)):
        draw_spectrum(upper, denoised, row, COLOURS[number % len(COLOURS)])
        draw_residual(lower, denoised, row, COLOURS[number % len(COLOURS)])
        before, after = denoised.snr_before[row], denoised.snr[row]
        upper.set_title(
            f"{number + 1}   {spaxel_name(denoised.spectra, row)}:  S/N {before:.1f} before, {after:.1f} after",
            loc="left",
        )
    if len(rows):
        _mark_lines(panels[0], denoised, rows[0])
        bottom.legend(*legend_entries(panels), loc="outside lower center", ncols=3)
    panels[-1].set_xlabel(f"Observed wavelength in {denoised.spectra.medium} [Å]")
    bottom.supylabel(flux_label(denoised.spectra.unit), fontsize=8)
    return page


def bright_to_faint(denoised: Denoised, n: int) -> list[int]:
    """Choose `n` spectra with an estimate, evenly spaced in rank of input S/N, without the faintest 5 %."""
    snr = np.where(denoised.valid.any(axis=1), denoised.snr_before, np.nan)
    order = np.argsort(-snr)[: np.count_nonzero(np.isfinite(snr))]
    ranks = np.linspace(0, max(0, round(0.95 * len(order)) - 1), n).round().astype(int) if len(order) > n else None
    return [int(row) for row in (order if ranks is None else order[ranks])]


def spaxel_name(spectra: Spectra, row: int) -> str:
    """Name a spectrum by its position in the image, or by its number."""
    if spectra.spatial_shape is None:
        return f"spectrum {row}"
    y, x = np.unravel_index(row, spectra.spatial_shape)
    return f"spaxel x = {x}, y = {y}"


def draw_spectrum(axes: Axes, denoised: Denoised, row: int, colour: str, truth: FloatArray | None = None) -> None:
    """Draw one spectrum: input, smoothed input, estimate with ±1σ, pixels without weight and, if known, the truth."""
    spectra = denoised.spectra
    wavelength, flux, sigma = spectra.wavelength, denoised.flux[row], denoised.sigma[row]
    ends = _ends(wavelength)
    noisy = _without(np.where(spectra.good[row], spectra.flux[row], np.nan), ends)
    smoothed, flux = _without(_smoothed(spectra, row, spectra.flux[row]), ends), _without(flux, ends)
    axes.plot(wavelength, noisy, color=LIGHT, lw=0.4, drawstyle="steps-mid", label="input", rasterized=True)
    axes.plot(wavelength, smoothed, color="0.35", lw=0.5, label=f"input, smoothed over {_SMOOTHED} pixels")
    if truth is not None:
        axes.plot(wavelength, _without(truth, ends), color="black", lw=1.1, label="truth")
    axes.fill_between(wavelength, flux - sigma, flux + sigma, color=colour, alpha=0.35, lw=0, label="±1σ")
    axes.plot(wavelength, flux, color=colour, lw=0.8, label="denoised")
    _shade(axes, denoised, row)
    # The estimate and its error set the height of the panel, not the noise; emission lines and spikes may exceed it.
    limits = robust_limits(flux, margin=3 * float(np.nanmedian(sigma)) if np.isfinite(sigma).any() else 0.0)
    axes.set(ylim=limits, xlim=(wavelength[0], wavelength[-1]))


def draw_residual(axes: Axes, denoised: Denoised, row: int, colour: str) -> None:
    """Draw what the estimate leaves of the input, smoothed, beside the estimate's ±1σ about zero."""
    spectra = denoised.spectra
    wavelength, sigma = spectra.wavelength, denoised.sigma[row]
    ends = _ends(wavelength)
    left = _without(_smoothed(spectra, row, spectra.flux[row] - denoised.flux[row]), ends)
    band = _without(sigma, ends)
    axes.fill_between(wavelength, -band, band, color=colour, alpha=0.35, lw=0)
    axes.axhline(0, color=colour, lw=0.6)
    axes.plot(wavelength, left, color="0.35", lw=0.5)
    _shade(axes, denoised, row)
    counted = np.isfinite(left) & denoised.counted[row]
    if counted.any():
        top = max(4 * float(np.median(np.abs(left[counted]))), 2 * float(np.median(sigma[counted]))) * 1.3
        axes.set(ylim=(-top, top) if top > 0 else None)
    axes.locator_params(axis="y", nbins=3)
    axes.set_ylabel("residual", fontsize=SMALL)


def _shade(axes: Axes, denoised: Denoised, row: int) -> None:
    """Shade the pixels that do not count, by the reason."""
    wavelength, good = denoised.spectra.wavelength, denoised.spectra.good[row]
    for where, colour, label in (
        (denoised.ignored[row] & good, _LEFT_OUT, "left out of the fit"),
        (~good, _MASKED, "masked in the input"),
    ):
        shade_runs(axes, wavelength, where, color=colour, alpha=0.45, label=label)


def _ends(wavelength: FloatArray) -> list[int]:
    """Last pixels before gaps, across which no line is drawn."""
    return [stretch.stop - 1 for stretch in stretches(wavelength)][:-1]


def _smoothed(spectra: Spectra, row: int, values: FloatArray) -> FloatArray:
    """Values of a spectrum smoothed with the weights of its pixels, (n_pixels,); NaN where it has no data."""
    from scipy.ndimage import gaussian_filter1d

    result = np.full(spectra.n_pixels, np.nan)
    weight = np.where(np.isfinite(values), spectra.ivar[row], 0.0).astype(np.float64)
    flux = np.where(weight > 0, values, 0.0)
    for stretch in stretches(spectra.wavelength):
        total, known = (
            gaussian_filter1d(part[stretch], _SMOOTHED / FWHM_PER_SIGMA) for part in (flux * weight, weight)
        )
        np.divide(total, known, out=result[stretch], where=(known > 0) & (weight[stretch] > 0))
    return result


def _without(values: FloatArray, pixels: list[int]) -> FloatArray:
    """Return a copy with NaN at some pixels."""
    copy = np.array(values, dtype=np.float64)
    copy[pixels] = np.nan
    return copy


def log_norm(*values: FloatArray) -> LogNorm:
    """Make one logarithmic colour scale for several maps, from the 1st to the 99.5th percentile of all values."""
    from matplotlib.colors import LogNorm

    joined = np.concatenate([np.ravel(array) for array in values])
    positive = joined[np.isfinite(joined) & (joined > 0)]
    low, high = np.percentile(positive, (1, 99.5)) if positive.size else (1.0, 10.0)
    return LogNorm(low, max(high, 1.01 * low), clip=True)


def mark_spaxels(axes: Axes, spectra: Spectra, rows: list[int]) -> None:
    """Mark the spaxels whose spectra are shown, with their numbers."""
    from matplotlib.patheffects import withStroke

    shape = spectra.spatial_shape or (1, len(spectra))
    for number, row in enumerate(rows):
        y, x = np.unravel_index(row, shape)
        above = 3 if y < 0.85 * shape[0] else -9  # points; keeps labels at the upper edge inside the map
        axes.plot(x, y, "s", ms=4, mfc="none", mec=COLOURS[number % len(COLOURS)], mew=1.2)
        axes.annotate(
            str(number + 1), (x, y), (4, above), textcoords="offset points", fontsize=8, weight="bold",
            color=COLOURS[number % len(COLOURS)], path_effects=[withStroke(linewidth=2, foreground="white")],
        )  # fmt: skip


def _draw_maps(page: Figure, denoised: Denoised, rows: list[int]) -> None:
    """Draw the white-light map with the spaxels shown below, and the S/N before and after."""
    from matplotlib.colors import AsinhNorm

    spectra = denoised.spectra
    white, before, after = _white_light(spectra), denoised.snr_before, denoised.snr
    finite = white[np.isfinite(white)]
    scale = float(np.median(np.abs(finite))) if finite.size else 1.0
    low, high = np.percentile(finite, (1, 99.5)) if finite.size else (0.0, 1.0)
    norm = AsinhNorm(scale or 1.0, low, high if high > low else low + 1)
    shared = log_norm(before, after)
    images: list[tuple[FloatArray, str, Normalize, str]] = [
        (spectra.image(white), "White light", norm, "Greys"),
        (spectra.image(_positive(before)), "S/N before", shared, "viridis"),
        (spectra.image(_positive(after)), "S/N after", shared, "viridis"),
    ]
    (light, light_image), _, (last, snr_image) = row_of_maps(page, images, spectra.wcs)
    colour_bar(light, light_image, flux_label(spectra.unit, "Mean flux"))
    mark_spaxels(light, spectra, rows)
    compass(light, spectra.wcs)
    colour_bar(last, snr_image, "Median S/N per pixel")


def _positive(values: FloatArray) -> FloatArray:
    """Move S/N of zero or less to the bottom of a logarithmic scale; NaN remains NaN."""
    return np.asarray(np.where(values <= 0, 1e-10, values))


def _white_light(spectra: Spectra) -> FloatArray:
    """Return the mean flux over the good pixels of each spectrum, (n_spectra,); NaN where there are none."""
    count = spectra.good.sum(axis=1)
    total = np.sum(spectra.flux, axis=1, where=spectra.good, dtype=np.float64)
    return np.asarray(np.divide(total, count, out=np.full(len(spectra), np.nan), where=count > 0))


def _mark_lines(axes: Axes, denoised: Denoised, row: int) -> None:
    """Name the absorption lines of `LINE_WINDOWS` above a panel, at the redshift of its spectrum, where it has data."""
    spectra = denoised.spectra
    seen = spectra.wavelength[spectra.good[row] & denoised.valid[row]]
    redshift = float(spectra.redshift[row])
    if not np.isfinite(redshift):
        return
    rest = np.array([np.mean(window.feature) for window in LINE_WINDOWS.values()])
    observed = air_to_vacuum(rest) * (1 + redshift)
    observed = vacuum_to_air(observed) if spectra.medium == "air" else observed
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top + 0.3 * (top - bottom))  # room for the names above the spectrum
    low, high = axes.get_xlim()
    for name, place in zip(LINE_WINDOWS, observed, strict=True):
        near = bool(len(seen)) and float(np.abs(seen - place).min()) < _NEAR
        if near and low < place - 0.03 * (high - low) and place < high:  # room for the name to the left of the line
            axes.axvline(place, color="0.3", lw=0.6, ls=":", zorder=0)
            axes.annotate(
                line_label(name), (place, 0.97), (-1, 0),
                xycoords=("data", "axes fraction"), textcoords="offset points", rotation=90, ha="right", va="top",
                fontsize=7,
            )  # fmt: skip


def legend_entries(panels: list[Axes]) -> tuple[list[object], list[str]]:
    """Collect one legend entry for each kind of line in any panel."""
    entries: dict[str, object] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    return list(entries.values()), list(entries)
