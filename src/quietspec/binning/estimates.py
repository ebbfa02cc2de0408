"""Sums of estimates: for results whose data are not at hand, with errors that hold however spaxels are correlated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.binning.sums import sum_spectra
from quietspec.binning.weights import Weights, checked_weights
from quietspec.denoised import Denoised
from quietspec.errors import SpectraError

__all__ = ["sum_estimates"]

_MOST_COLUMNS = 600  # of a factor, before it is made as short as its rank allows
_NEGLIGIBLE = 1e-9  # of the largest variance along an axis


def sum_estimates(denoised: Denoised, weights: npt.ArrayLike | Weights) -> Denoised:
    """Sum estimates with weights, without their data.

    Parameters
    ----------
    denoised : Denoised
        Denoised spectra.
    weights : (n_sums, n_spectra), or (n_spectra,) for one sum
        How much of each spectrum belongs to each sum; spectra without an estimate must not belong to any.

    Returns
    -------
    Denoised
        Estimates Σ w f with covariance Σ w · Σ w C, where C is that of each spectrum. It has no data, lines or
        parameters.

    Raises
    ------
    SpectraError
        If the weights do not fit, or a sum has a spectrum without an estimate.

    Notes
    -----
    Estimates share their prior and their calibration and err alike, but how their errors are correlated is unknown.
    No correlation gives a larger covariance than this one, which is that of errors that are all equal: by Cauchy and
    Schwarz, (Σ w e)(Σ w e)ᵀ ≤ Σ w · Σ w e eᵀ. The posterior of the summed data has smaller errors, and less bias.

    Examples
    --------
    >>> import quietspec
    >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
    >>> total = sum_estimates(denoised, np.ones(4))
    >>> bool(np.allclose(total.flux, denoised.flux.sum(axis=0)))
    True
    >>> bool((total.sigma[0] <= denoised.sigma.sum(axis=0) * 1.1).all())
    True
    """
    matrix = checked_weights(weights, len(denoised))
    if not denoised.valid[np.unique(matrix.indices)].any(axis=1).all():
        raise SpectraError("sum of estimates: some of the spectra have no estimate; leave them out.")
    size = np.asarray(matrix.sum(axis=1))[:, None]
    known = matrix @ (~denoised.valid).astype(float) == 0
    independent = np.zeros(denoised.flux.shape) if denoised.remainder is None else denoised.remainder
    flux, variance, remainder = (
        matrix @ np.nan_to_num(each).astype(np.float64) for each in (denoised.flux, denoised.sigma**2, independent**2)
    )
    nothing = np.full(len(flux), np.nan)
    fields: dict[str, Any] = dict.fromkeys(("chi2", "dof", "evidence", "p_value"), nothing)
    fields |= dict.fromkeys(("nucleus_of", "parameter_posterior", "lines", "compact"))
    return replace(
        denoised,
        spectra=sum_spectra(replace(denoised.spectra, ivar=np.zeros_like(denoised.spectra.ivar)), matrix),
        flux=np.where(known, flux, np.nan),
        sigma=np.where(known, np.sqrt(size * variance), np.nan),
        flags=np.bitwise_or.reduceat(denoised.flags[matrix.indices], matrix.indptr[:-1]),
        ignored=np.zeros(flux.shape, dtype=bool),
        parameters={},
        factor_of=None if denoised.factor_of is None else lambda row: _factor(denoised, matrix, row),
        remainder=np.sqrt(size * remainder),
        redshift=matrix @ np.asarray(denoised.redshift) / size[:, 0],
        noise_scale=np.ones(len(flux)),
        **fields,
    )


def _factor(denoised: Denoised, matrix: Weights, row: int) -> FloatArray:
    """Square root of Σ w · Σ w C for one sum, (n_pixels, n_factors), as narrow as its rank allows."""
    members = slice(*matrix.indptr[[row, row + 1]])
    weights = matrix.data[members]
    root: FloatArray = np.empty((denoised.flux.shape[1], 0))
    for spectrum, weight in zip(matrix.indices[members].tolist(), weights, strict=True):
        root = np.hstack([root, np.sqrt(weights.sum() * weight) * denoised.covariance_factor(spectrum)])
        if root.shape[1] > _MOST_COLUMNS:
            root = _narrow(root)
    return root


def _narrow(root: FloatArray) -> FloatArray:
    """Fewer columns with the same covariance; pixels without an estimate stay NaN."""
    known = np.isfinite(root).all(axis=1)
    variance, axes = np.linalg.eigh(root[known].T @ root[known])
    return np.asarray(root @ axes[:, variance > _NEGLIGIBLE * variance[-1]])
