"""Weights of sums: how much of each spectrum belongs to each, checked, as a sparse matrix."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from quietspec.errors import SpectraError

__all__ = ["Weights", "checked_weights", "label_weights"]

Weights: TypeAlias = sparse.csr_array  #: (n_sums, n_spectra): how much of each spectrum belongs to each sum


def label_weights(number: npt.ArrayLike, n_spectra: int) -> Weights:
    """Weights of the sums over bins.

    Parameters
    ----------
    number : (n_spectra,) of int
        Bin of each spectrum, numbered from 0 without gaps; −1 for none.
    n_spectra : int
        Number of spectra.

    Returns
    -------
    (n_bins, n_spectra) sparse array
        1 for the spectra of a bin.

    Raises
    ------
    SpectraError
        If the numbers are not one per spectrum, there is no bin, or a bin has no spectrum.

    Examples
    --------
    >>> label_weights([0, 1, -1, 0], 4).toarray()
    array([[1., 0., 0., 1.],
           [0., 1., 0., 0.]])
    """
    given = np.asarray(number).ravel()
    with np.errstate(invalid="ignore"):
        labels = given.astype(np.intp) if given.dtype.kind in "iuf" else np.empty(0, dtype=np.intp)
    if not np.array_equal(labels, given):
        raise SpectraError("bins: must be whole numbers, with −1 for spectra in no bin.")
    if len(labels) != n_spectra:
        raise SpectraError(f"bins: {len(labels)} numbers for {n_spectra} spectra.")
    members = np.flatnonzero(labels >= 0)
    n_bins = int(labels.max(initial=-1)) + 1
    if not n_bins or (np.bincount(labels[members], minlength=n_bins) == 0).any():
        raise SpectraError("bins must be numbered from 0 without gaps, and at least one is needed.")
    return sparse.csr_array((np.ones(len(members)), (labels[members], members)), shape=(n_bins, n_spectra))


def checked_weights(weights: npt.ArrayLike | Weights, n_spectra: int) -> Weights:
    """Make weights a sparse matrix.

    Parameters
    ----------
    weights : (n_sums, n_spectra), or (n_spectra,) for one sum
        As for `sum_spectra`.
    n_spectra : int
        Number of spectra.

    Returns
    -------
    (n_sums, n_spectra) sparse array
        The weights, without explicit zeros.

    Raises
    ------
    SpectraError
        If they do not fit, are negative, or are all 0 for a sum.

    Examples
    --------
    >>> checked_weights([0, 0.5, 1], 3).toarray()
    array([[0. , 0.5, 1. ]])
    """
    found = weights if sparse.issparse(weights) else np.atleast_2d(np.asarray(weights, dtype=np.float64))
    matrix = sparse.csr_array(found, dtype=np.float64)
    matrix.eliminate_zeros()
    if matrix.shape[1] != n_spectra:
        raise SpectraError(f"weights: {matrix.shape[1]} for {n_spectra} spectra.")
    if not np.all(np.isfinite(matrix.data)) or np.any(matrix.data < 0) or np.any(np.diff(matrix.indptr) == 0):
        raise SpectraError("weights: must be finite and not negative, and some of each sum above 0.")
    return matrix
