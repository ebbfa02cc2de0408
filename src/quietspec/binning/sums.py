"""Sums of spectra over bins and apertures, with errors that know how the noise of their spaxels is correlated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray, require_shape
from quietspec.binning.spikes import NO_SPIKES, Spikes
from quietspec.binning.totals import Means, Sums
from quietspec.binning.weights import Weights, checked_weights, label_weights
from quietspec.errors import SpectraError
from quietspec.noise import INDEPENDENT, NoiseCorrelation
from quietspec.spectra import Spectra
from quietspec.statistics import masked_median

__all__ = ["Binned", "bin_spectra", "signal_and_noise", "sum_rows", "sum_spectra"]

_AT_ONCE = 512  # spectra that are held at once


@dataclass(frozen=True, eq=False)
class Binned:
    """Spectra summed over bins.

    Parameters
    ----------
    number : (n_spaxels,) of int
        Bin of each spaxel, counted from 0; −1 for those in no bin.
    spectra : Spectra
        The n_bins sums.
    """

    number: npt.NDArray[np.intp]
    spectra: Spectra

    @property
    def n_spaxels(self) -> npt.NDArray[np.intp]:
        """Number of spaxels in each bin, (n_bins,)."""
        return np.bincount(self.number[self.number >= 0], minlength=len(self.spectra))


def bin_spectra(
    spectra: Spectra, number: npt.NDArray[np.integer[Any]], correlation: NoiseCorrelation = INDEPENDENT
) -> Binned:
    """Sum spectra over bins.

    Parameters
    ----------
    spectra : Spectra
        Spectra of the spaxels.
    number : (n_spaxels,) of int
        Bin of each spaxel, numbered from 0 without gaps; −1 for none.
    correlation : NoiseCorrelation, optional
        Correlation of the noise between spaxels; none by default.

    Returns
    -------
    Binned
        As by `sum_spectra`.

    Raises
    ------
    SpectraError
        If there is no bin, or a bin has no spaxel.

    Examples
    --------
    >>> import quietspec
    >>> cube = quietspec.read(quietspec.demo_cube())
    >>> y, x = np.divmod(np.arange(400), 20)
    >>> binned = bin_spectra(cube, 5 * (y // 4) + x // 4)
    >>> len(binned.spectra), binned.n_spaxels[0].item()
    (25, 16)
    """
    return Binned(
        np.asarray(number, dtype=np.intp), sum_spectra(spectra, label_weights(number, len(spectra)), correlation)
    )


def sum_spectra(
    spectra: Spectra, weights: npt.ArrayLike | Weights, correlation: NoiseCorrelation = INDEPENDENT
) -> Spectra:
    """Sum spectra with weights.

    Parameters
    ----------
    spectra : Spectra
        Spectra of the spaxels.
    weights : (n_sums, n_spectra), or (n_spectra,) for one sum
        How much of each spaxel belongs to each sum, such as the fraction of it within an aperture; dense or sparse.
    correlation : NoiseCorrelation, optional
        Correlation of the noise between spaxels; none by default.

    Returns
    -------
    Spectra
        The n_sums sums Σ w f, in the unit of the flux (the flux of a spaxel: a surface brightness must first be
        multiplied by its area), with variances Σ w w′ σ σ′ ρ over all pairs of spaxels. Where some spaxels are masked
        in a pixel, the sum over the others is divided by their share of the light; where that is less than half, the
        pixel is masked. Redshift, E(B−V) and resolution are weighted means.

    Raises
    ------
    SpectraError
        If the weights do not fit, are negative, or are all 0 for a sum; or neighbours are correlated but the spectra
        form no image.

    Examples
    --------
    >>> import quietspec
    >>> cube = quietspec.read(quietspec.demo_cube())
    >>> whole = sum_spectra(cube, np.ones(400))
    >>> smoothed = sum_spectra(cube, np.ones(400), NoiseCorrelation.of_kernel(1.5))
    >>> whole.snr.round().item(), (whole.snr / smoothed.snr).round(1).item()
    (141.0, 2.2)
    """
    checked = checked_weights(weights, len(spectra))
    light, _ = signal_and_noise(spectra)
    return sum_rows(spectra.__getitem__, checked, light, correlation, spectra.spatial_shape)


def sum_rows(
    read: Callable[[npt.NDArray[np.intp]], Spectra],
    weights: Weights,
    light: FloatArray,
    correlation: NoiseCorrelation,
    spatial_shape: tuple[int, int] | None,
    spikes: Spikes = NO_SPIKES,
) -> Spectra:
    """Sum spectra that are read some hundreds at a time.

    Parameters
    ----------
    read : callable
        Returns the spectra of some numbers, in their order.
    weights : (n_sums, n_spectra) sparse array
        As for `sum_spectra`.
    light : (n_spectra,)
        Flux of each spectrum, by which the others stand in for a masked one.
    correlation : NoiseCorrelation
        Correlation of the noise between spaxels.
    spatial_shape : (ny, nx) or None
        Image that all spectra form.
    spikes : Spikes, optional
        Pixels to mask.

    Returns
    -------
    Spectra
        The sums, with the metadata of the spectra read last.

    Raises
    ------
    SpectraError
        If neighbours are correlated but the spectra form no image.
    """
    if correlation.reach and spatial_shape is None:
        raise SpectraError("sums: these spectra form no image, so that none of them are neighbours with common noise.")
    sums, means = Sums(weights, light, correlation, spatial_shape or (weights.shape[1], 1)), Means(weights)
    for rows in _blocks(np.unique(weights.indices).astype(np.intp)):
        spectra = spikes.within(rows).masked(read(rows))
        require_shape("NoiseCorrelation.common", np.asarray(correlation.common), (), (spectra.n_pixels,))
        sums.add(rows, spectra)
        means.add(rows, spectra)
    changes: dict[str, Any] = {**sums.result(), **means.result(spectra)}
    return replace(spectra, **changes, spatial_shape=None, wcs=None)


def _blocks(rows: npt.NDArray[np.intp]) -> Iterator[npt.NDArray[np.intp]]:
    return iter(np.split(rows, range(_AT_ONCE, len(rows), _AT_ONCE)))


def signal_and_noise(spectra: Spectra) -> tuple[FloatArray, FloatArray]:
    """Median flux and 1σ error over the good pixels of each spectrum.

    Parameters
    ----------
    spectra : Spectra
        The spectra.

    Returns
    -------
    signal, noise : (n_spectra,)
        In the flux's unit; NaN where no pixel is good.

    Examples
    --------
    >>> import quietspec
    >>> signal, noise = signal_and_noise(quietspec.read(quietspec.demo_cube()))
    >>> bool((noise > 0).all())
    True
    """
    good = spectra.good
    sigma = np.where(good, spectra.sigma, 0.0)
    return masked_median(np.where(good, spectra.flux, 0.0), good), masked_median(sigma, good)
