"""Correction of indices for the stellar velocity dispersion, by a model of each spectrum with and without it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.indices.definitions import IndexDefinition
from quietspec.indices.measure import measure_indices
from quietspec.indices.results import Indices

__all__ = ["DispersionCorrection", "corrected_for_dispersion", "dispersion_correction"]


class DispersionCorrection(NamedTuple):
    """What turns a measured index into that of unbroadened stars: ``factor * index + offset``.

    Parameters
    ----------
    factor, offset : (n_spectra, n_indices)
        Offset 0 for indices in Å and breaks, factor 1 for those in magnitudes; NaN where a model has no index.
    """

    factor: FloatArray
    offset: FloatArray


def dispersion_correction(
    definitions: str | IndexDefinition | tuple[str | IndexDefinition, ...],
    rest_wavelength: FloatArray,
    unbroadened: FloatArray,
    broadened: FloatArray,
) -> DispersionCorrection:
    """Compare the indices of a model without velocity dispersion with those of the same model at the measured one.

    Parameters
    ----------
    definitions : str, IndexDefinition or tuple of these
        The indices.
    rest_wavelength : (n_pixels,)
        Rest-frame pixel centres, air Å.
    unbroadened, broadened : (n_spectra, n_pixels)
        Model spectra at σ = 0 and at the measured σ, at the same instrumental resolution.

    Returns
    -------
    DispersionCorrection
        Ratio of the indices in Å and of breaks, difference of those in magnitudes, unbroadened against broadened.

    Raises
    ------
    SpectraError
        If shapes do not fit.
    IndexDefinitionError
        If an index is unknown.

    Notes
    -----
    The ratio of an index that is near zero in the broadened model, such as Hδ_A of old populations, is large and
    uncertain; its error is not part of the corrected index's.

    Examples
    --------
    >>> import numpy as np
    >>> wavelength = np.arange(4800.0, 4920.0)
    >>> line = np.exp(-0.5 * ((wavelength - 4861.3) / np.array([[3.0], [12.0]])) ** 2) / np.array([[3.0], [12.0]])
    >>> factor, _ = dispersion_correction("Hbeta", wavelength, 1 - line[:1], 1 - line[1:])
    >>> bool(factor[0, 0] > 1)
    True
    """
    sharp, broad = (measure_indices(definitions, rest_wavelength, flux) for flux in (unbroadened, broadened))
    additive = np.array([definition.kind == "magnitude" for definition in sharp.definitions])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = sharp.values / broad.values
    difference = sharp.values - broad.values
    ratio, difference = (np.where(np.isfinite(ratio + difference), part, np.nan) for part in (ratio, difference))
    known = np.where(np.isnan(difference), np.nan, 0.0)
    return DispersionCorrection(np.where(additive, known + 1, ratio), np.where(additive, difference, known))


def corrected_for_dispersion(indices: Indices, correction: DispersionCorrection) -> Indices:
    """Apply a correction for velocity dispersion to indices and their covariance.

    Parameters
    ----------
    indices : Indices
        Measured indices.
    correction : DispersionCorrection
        For the same spectra and indices.

    Returns
    -------
    Indices
        Corrected values; the covariance is scaled by the factors, whose own errors it leaves out.
    """
    factor, offset = correction
    return replace(
        indices,
        values=indices.values * factor + offset,
        covariance=indices.covariance * factor[:, :, None] * factor[:, None, :],
    )
