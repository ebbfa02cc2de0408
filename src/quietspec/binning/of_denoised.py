"""Sums of denoised spectra: the data are summed, then denoised; or, where these are not at hand, the estimates.

A posterior mean is drawn towards the prior, and the spaxels of a galaxy are drawn the same way: the errors of N of them
do not average out, and a sum of posteriors is as biased as each of them. The sum of the data has N times their weight.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.binning.estimates import sum_estimates
from quietspec.binning.regions import apertures_of
from quietspec.binning.spikes import NO_SPIKES, find_spikes
from quietspec.binning.sums import sum_spectra
from quietspec.binning.weights import Weights, checked_weights, label_weights
from quietspec.denoised import Denoised
from quietspec.denoisers import Denoiser, load_denoiser, load_prior
from quietspec.denoisers.shipped import PRIORS
from quietspec.errors import ModelError, SpectraError
from quietspec.noise import NoiseCorrelation, best_patch, measure_correlation

if TYPE_CHECKING:
    from regions import Region

__all__ = ["Correlation", "Summed", "bin_denoised", "sum_denoised"]

#: How the noise of spaxels is correlated: as given, or as the residuals show.
Correlation = NoiseCorrelation | Literal["measured"]
#: What is summed.
Summed = Literal["data", "estimates"]


def bin_denoised(
    denoised: Denoised,
    labels: npt.ArrayLike,
    correlation: Correlation = "measured",
    denoiser: Denoiser | None = None,
    of: Summed = "data",
    clean: bool = True,
) -> Denoised:
    """Sum denoised spectra over bins.

    Parameters
    ----------
    denoised : Denoised
        Denoised spectra.
    labels : (n_spectra,) of int, or (ny, nx)
        Bin of each spectrum, numbered from 0 without gaps; −1 for none.
    correlation, denoiser, of, clean : optional
        As for `sum_denoised`.

    Returns
    -------
    Denoised
        One spectrum per bin; the flux is that of the whole bin.

    Raises
    ------
    SpectraError
        If the labels do not fit, or as for `sum_denoised`.
    ModelError
        As for `sum_denoised`.

    Examples
    --------
    >>> import quietspec
    >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[8:12, 8:12])
    >>> y, x = np.indices((4, 4)) // 2
    >>> bin_denoised(denoised, 2 * y + x, NoiseCorrelation()).spectra
    <Spectra: 4 spectra, 2757 pixels, 3710–6998 Å in vacuum, z 0.03, median S/N 47.5, FITS>
    """
    return _sums(denoised, label_weights(labels, len(denoised)), correlation, denoiser, of, clean)


def sum_denoised(
    denoised: Denoised,
    region: npt.ArrayLike | Region | Iterable[Region] | None = None,
    correlation: Correlation = "measured",
    denoiser: Denoiser | None = None,
    of: Summed = "data",
    clean: bool = True,
) -> Denoised:
    """Sum denoised spectra over an aperture.

    Parameters
    ----------
    denoised : Denoised
        Denoised spectra.
    region : array, regions.Region or iterable of these, optional
        Which spectra: a mask of bool, numbers of int, or a fraction of each (float), where masks and fractions may have
        the shape (ny, nx); or regions of the package `regions`, each of which makes one sum. All spectra by default.
    correlation : NoiseCorrelation or 'measured', optional
        Correlation of the noise between spaxels, for sums of data; measured from the residuals by default.
    denoiser : Denoiser, optional
        What denoises the sums of data; the one that made `denoised` by default.
    of : {'data', 'estimates'}, optional
        What is summed. The posterior of the summed data is the right one wherever the data are at hand: it knows N
        spaxels as one spectrum of their joint S/N. A sum of estimates needs no data, so that files of results do;
        since spaxels share the prior, their errors are not independent: `sum_estimates` says how they add up.
    clean : bool, optional
        Whether to leave cosmic rays of single spaxels that no mask marks (`find_spikes`) out of sums of data, where the
        spectra form an image. ``spectra.meta["n_spikes"]`` of the result is the number of pixels.

    Returns
    -------
    Denoised
        One spectrum per region; the flux is that of the whole region.

    Raises
    ------
    SpectraError
        If the region does not fit, or the data are to be summed and are not at hand.
    ModelError
        If `denoised` is not by a shipped model and no denoiser is given.

    Examples
    --------
    >>> import quietspec
    >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[8:12, 8:12])
    >>> inner = sum_denoised(denoised, denoised.snr_before > 30, NoiseCorrelation())
    >>> rougher = sum_denoised(denoised, denoised.snr_before > 30, of="estimates")
    >>> bool(inner.snr > rougher.snr)
    True
    """
    return _sums(denoised, _region_weights(denoised, region), correlation, denoiser, of, clean)


def _region_weights(denoised: Denoised, region: Any) -> FloatArray | Weights:
    n_spectra, spectra = len(denoised), denoised.spectra
    if region is None:
        return np.ones(n_spectra)
    if _is_region(region) or (not isinstance(region, np.ndarray) and _is_region(next(iter(region), None))):
        return apertures_of(region, spectra.spatial_shape, spectra.wcs).weights
    given = np.asarray(region)
    if given.dtype.kind in "iu":
        return _numbered(given, n_spectra)
    if given.dtype.kind not in "bf" or given.size != n_spectra:
        raise SpectraError(
            f"region: {given.size} values of type {given.dtype} for {n_spectra} spectra; give a mask or a fraction for "
            "each, or the numbers of some."
        )
    return given.astype(np.float64).ravel()


def _is_region(given: Any) -> bool:
    return hasattr(given, "to_mask") or hasattr(given, "to_pixel")


def _numbered(rows: npt.NDArray[np.integer[Any]], n_spectra: int) -> FloatArray:
    if rows.size and (rows.min() < 0 or rows.max() >= n_spectra):
        raise SpectraError(f"region: spectra {rows.min()} to {rows.max()}; there are 0 to {n_spectra - 1}.")
    weights = np.zeros(n_spectra)
    weights[rows] = 1.0
    return weights


def _sums(
    denoised: Denoised,
    weights: FloatArray | Weights,
    correlation: Correlation,
    denoiser: Denoiser | None,
    of: Summed,
    clean: bool,
) -> Denoised:
    weights = checked_weights(weights, len(denoised))
    if of == "estimates":
        return sum_estimates(denoised, weights)
    if not denoised.spectra.good.any():
        raise SpectraError(
            "sums: this result does not hold the data that were denoised, which are what is summed. Read and denoise "
            'the original file; or sum the estimates, with larger errors: of="estimates".'
        )
    again = denoiser or _denoiser_of(denoised)
    known = _measured(denoised) if correlation == "measured" else correlation
    spectra = denoised.spectra
    spikes = find_spikes(spectra) if clean and spectra.spatial_shape is not None else NO_SPIKES
    sums = sum_spectra(spikes.masked(spectra), weights, known)
    left_out = int(spikes.counts(weights).sum())
    return again.denoise(replace(sums, meta={**sums.meta, "n_spikes": left_out}))


def _measured(denoised: Denoised) -> NoiseCorrelation:
    """Measure the correlation on the best part of a cube."""
    shape = denoised.spectra.spatial_shape
    if shape is None:
        raise SpectraError(
            "sums: these spectra form no image, so that the correlation of the noise between neighbours cannot be "
            "measured. Give it: correlation=NoiseCorrelation() if there is none."
        )
    patch = best_patch(denoised.spectra.image(denoised.spectra.snr))
    return measure_correlation(denoised[patch]).correlation


def _denoiser_of(denoised: Denoised) -> Denoiser:
    """Denoiser that made a result, where its model is shipped."""
    for model in PRIORS:
        if denoised.model.hash is not None and load_prior(model).hash == denoised.model.hash:
            return load_denoiser(denoised.model.name, model, "fit" if denoised.lines is not None else None)
    raise ModelError(f"{denoised.model}: is not a model that comes with this version. Give the denoiser: denoiser=")
