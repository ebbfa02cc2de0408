"""The posterior of sums of denoised spectra: the data are summed, then denoised.

A posterior mean is drawn towards the prior, and the spaxels of a galaxy are drawn the same way: the errors of N of them
do not average out, and a sum of posteriors is as biased as each of them. The sum of the data has N times their weight.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.binning.correlation import NoiseCorrelation
from quietspec.binning.measured import best_patch, measure_correlation
from quietspec.binning.regions import apertures_of
from quietspec.binning.sums import Weights, label_weights, sum_spectra
from quietspec.denoised import Denoised
from quietspec.denoisers import Denoiser, load_denoiser, load_prior
from quietspec.denoisers.shipped import PRIORS
from quietspec.errors import ModelError, SpectraError

if TYPE_CHECKING:
    from regions import Region

__all__ = ["Correlation", "bin_denoised", "sum_denoised"]

#: How the noise of spaxels is correlated: as given, or as the residuals show.
Correlation = NoiseCorrelation | Literal["measured"]


def bin_denoised(
    denoised: Denoised,
    labels: npt.ArrayLike,
    correlation: Correlation = "measured",
    denoiser: Denoiser | None = None,
) -> Denoised:
    """Sum the data of denoised spectra over bins, and denoise the sums.

    Parameters
    ----------
    denoised : Denoised
        Denoised spectra, with their data.
    labels : (n_spectra,) of int, or (ny, nx)
        Bin of each spectrum, numbered from 0 without gaps; −1 for none.
    correlation : NoiseCorrelation or 'measured', optional
        Correlation of the noise between spaxels; measured from the residuals by default.
    denoiser : Denoiser, optional
        What denoises the sums; that of `denoised` by default.

    Returns
    -------
    Denoised
        One spectrum per bin; the flux is that of the whole bin.

    Raises
    ------
    SpectraError
        If the data are not at hand, or the labels do not fit.
    ModelError
        If `denoised` is not by a shipped model and no denoiser is given.

    Examples
    --------
    >>> import quietspec
    >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[6:14, 6:14])
    >>> y, x = np.indices((8, 8)) // 4
    >>> bin_denoised(denoised, 2 * y + x, NoiseCorrelation()).spectra
    <Spectra: 4 spectra, 2757 pixels, 3710–6998 Å in vacuum, z 0.03, median S/N 42.2, FITS>
    """
    return _denoised_sums(denoised, label_weights(labels, len(denoised)), correlation, denoiser)


def sum_denoised(
    denoised: Denoised,
    region: npt.ArrayLike | Region | Iterable[Region] | None = None,
    correlation: Correlation = "measured",
    denoiser: Denoiser | None = None,
) -> Denoised:
    """Sum the data of denoised spectra over an aperture, and denoise the sum.

    Parameters
    ----------
    denoised : Denoised
        Denoised spectra, with their data.
    region : (n_spectra,) or (ny, nx) of bool or float, regions.Region or iterable of these, optional
        Which spectra, or which fraction of each; or regions, of which each makes one sum. All spectra by default.
    correlation, denoiser : optional
        As for `bin_denoised`.

    Returns
    -------
    Denoised
        One spectrum per region; the flux is that of the whole region.

    Raises
    ------
    SpectraError
        If the data are not at hand, or the region does not fit.
    ModelError
        If `denoised` is not by a shipped model and no denoiser is given.

    Examples
    --------
    >>> import quietspec
    >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[6:14, 6:14])
    >>> inner = sum_denoised(denoised, denoised.snr_before > 8, NoiseCorrelation())
    >>> inner
    <Denoised: 1 spectrum, by posterior f6476c755dd308f1, median S/N 80.1 → 371.5, z 0.03, flags: none>
    """
    return _denoised_sums(denoised, _region_weights(denoised, region), correlation, denoiser)


def _region_weights(denoised: Denoised, region: Any) -> FloatArray | Weights:
    if region is None:
        return np.ones(len(denoised))
    if hasattr(region, "to_mask") or hasattr(region, "to_pixel") or _holds_regions(region):
        spectra = denoised.spectra
        return apertures_of(region, spectra.spatial_shape, spectra.wcs).weights
    weights = np.asarray(region, dtype=np.float64)
    if weights.size != len(denoised):
        raise SpectraError(f"region: {weights.size} weights for {len(denoised)} spectra; give one for each.")
    return weights.ravel()


def _holds_regions(given: Any) -> bool:
    return not isinstance(given, np.ndarray) and isinstance(given, Iterable) and hasattr(next(iter(given), 0), "meta")


def _denoised_sums(
    denoised: Denoised, weights: FloatArray | Weights, correlation: Correlation, denoiser: Denoiser | None
) -> Denoised:
    if not denoised.spectra.good.any():
        raise SpectraError(
            "sums: this result does not hold the data that were denoised, which are what is summed. Read the original "
            "file and denoise it."
        )
    again = denoiser or _denoiser_of(denoised)
    known = measured(denoised) if correlation == "measured" else correlation
    return again.denoise(sum_spectra(denoised.spectra, weights, known))


def measured(denoised: Denoised) -> NoiseCorrelation:
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
