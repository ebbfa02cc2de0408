"""What spaxels of a cube that was denoised as a whole share of their errors, as measured on simulated galaxies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from quietspec.arrays import FloatArray
from quietspec.binning.weights import Weights
from quietspec.progress import Progress

__all__ = ["share_in_cube"]

_COMMON, _MOST_COMMON = 6.0, 0.5  # common share of the variance times the median S/N, and the most it can be
_AREA = 1.5  # area over which the rest is shared, in spaxels per spaxel on which an estimate rests
_FARTHEST = 1e-3  # correlation below which spaxels are taken to share only the common part
_TOGETHER = 1000  # spaxels worked on at a time


def share_in_cube(
    weights: Weights,
    shape: tuple[int, int],
    n_spaxels: FloatArray,
    snr: FloatArray,
    *,
    together: int = _TOGETHER,
    progress: Progress | None = None,
) -> Weights:
    """Weights with which covariances of the estimates of a cube denoised as a whole enter that of their sum.

    Parameters
    ----------
    weights : (n_sums, n_spectra) sparse array
        How much of each spectrum belongs to each sum, without explicit zeros.
    shape : (ny, nx)
        Shape of the image that the spectra form.
    n_spaxels : (n_spectra,)
        Number of spaxels on which each estimate rests, at least 1 for those that belong to a sum.
    snr : (n_spectra,)
        S/N of the estimates, NaN where there is none.
    together : int, optional
        Spaxels worked on at a time. Fewer take less memory; results differ by rounding only.
    progress : callable, optional
        Called with the number of members of sums that are done and of all. What it raises ends the work.

    Returns
    -------
    (n_sums, n_spectra) sparse array
        w_a Σ_b ρ_ab w_b with the correlations ρ given in `sum_estimates`.

    Examples
    --------
    >>> weights = sparse.csr_array(np.ones((1, 4)))
    >>> share_in_cube(weights, (2, 2), np.full(4, 2.0), np.full(4, 60.0)).toarray().round(2)
    array([[2.04, 2.04, 2.04, 2.04]])
    """
    size = np.asarray(weights.sum(axis=1))
    shared = np.repeat(size, np.diff(weights.indptr))
    places = np.stack(np.unravel_index(weights.indices, shape), axis=1).astype(np.float64)
    reach = _AREA * n_spaxels[weights.indices]
    common = _COMMON / max(_COMMON / _MOST_COMMON, float(np.nanmedian(snr)))
    for first, last in itertools.pairwise(weights.indptr.tolist()):
        own = slice(first, last)
        for start, near in _near(places[own], reach[own], weights.data[own], together):
            some = slice(first + start, first + start + len(near))
            shared[some] = common * shared[some] + (1 - common) * near
            if progress is not None:
                progress(some.stop, len(shared))
    return sparse.csr_array((weights.data * shared, weights.indices, weights.indptr), shape=weights.shape)


def _near(places: FloatArray, area: FloatArray, weights: FloatArray, together: int) -> Iterator[tuple[int, FloatArray]]:
    """Sums of the weights around each spaxel, with kernel exp(−π d² / area), and the number of the first, by pieces."""
    farthest = float(np.sqrt(-np.log(_FARTHEST) * area.max() / np.pi))
    tree = cKDTree(places)
    for start in range(0, len(places), together):
        some = cKDTree(places[start : start + together])
        pairs = some.sparse_distance_matrix(tree, farthest, output_type="ndarray")
        one, other = pairs["i"], pairs["j"]
        kernel = np.exp(-np.pi * pairs["v"] ** 2 / np.sqrt(area[start + one] * area[other]))
        yield start, np.asarray(np.bincount(one, kernel * weights[other], minlength=some.n), dtype=np.float64)
