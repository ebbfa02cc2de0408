"""Spectral indices of denoised spectra, with errors by the covariance between their pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from quietspec.arrays import FloatArray, IntArray, groups, require_shape
from quietspec.denoised import Denoised
from quietspec.indices.definitions import IndexDefinition, find_definitions
from quietspec.indices.grids import GriddedIndices, IndexFlag
from quietspec.indices.measure import FactoredCovariance, joint_covariance
from quietspec.indices.resolution import Resolution, added_sigma_to
from quietspec.indices.results import Indices
from quietspec.wavelengths import SPEED_OF_LIGHT, rest_air

__all__ = ["fitted_redshift", "indices_of"]

_BLOCK = 64  # spectra at a time; their gradients take some 20 MB


def indices_of(
    denoised: Denoised,
    names: str | IndexDefinition | Iterable[str | IndexDefinition] = ("lick", "Dn4000"),
    *,
    resolution: Resolution = "own",
    redshift: float | FloatArray | None = None,
    fwhm: float | FloatArray | None = None,
) -> Indices:
    """Measure spectral indices of denoised spectra.

    The estimate of the denoiser holds no emission lines, so that the indices are corrected for them.

    Parameters
    ----------
    denoised : Denoised
        Denoised spectra.
    names : str, IndexDefinition or iterable of these
        Which: published indices by name, ``'lick'`` for the 25 Lick/IDS indices, ``'all'``, or own definitions.
    resolution : {'own', 'lick'}, float or callable
        Instrumental resolution at which they are measured: the spectra's own, that of Lick/IDS, a FWHM in rest-frame Å,
        or a function from rest-frame wavelengths (Å) to such FWHM, such as `constant_sigma` makes.
    redshift : float or (n_spectra,), optional
        Redshift at which the bands are put; that at which each spectrum was denoised by default. `fitted_redshift`
        gives the one fitted to the stars.
    fwhm : float, (n_pixels,) or (n_spectra, n_pixels), optional
        Instrumental FWHM in observed Å; that of the spectra by default.

    Returns
    -------
    Indices
        Values, joint covariance, and flags where there is no value. The covariance is NaN where the denoiser gives
        none between pixels.

    Raises
    ------
    IndexDefinitionError
        If an index is unknown.
    SpectraError
        If a shape does not fit, or the resolution of the spectra is needed and unknown.

    Notes
    -----
    Errors are exact to first order: gᵀ(F Fᵀ + diag(remainder²))g with the gradient g in closed form, smoothing
    included. The uncertainty of `redshift` is not part of them beyond what the denoiser's covariance holds.

    Examples
    --------
    >>> import quietspec
    >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
    >>> found = indices_of(denoised, ["Hbeta", "Mg_b", "Dn4000"])
    >>> found.values.shape, bool((found.errors > 0).all())
    ((4, 3), True)
    """
    chosen = find_definitions(names)
    shape = denoised.spectra.flux.shape
    at = np.broadcast_to(denoised.redshift if redshift is None else redshift, shape[:1])  # type: ignore[arg-type]
    width = denoised.spectra.fwhm if fwhm is None else np.asarray(fwhm, dtype=np.float64)
    if width is not None:
        require_shape("fwhm", width, (), shape[1:], shape)
    values = np.full((shape[0], len(chosen)), np.nan)
    covariance = np.full((*values.shape, len(chosen)), np.nan)
    flags = np.full(values.shape, int(IndexFlag.NO_REDSHIFT))
    with threadpool_limits(limits=1):  # matrices as small as these lose by more threads
        for z, rows, own in _alike(at, width):
            rest = rest_air(denoised.spectra.wavelength, z, denoised.spectra.medium)
            on_grid = GriddedIndices(
                chosen, rest, added_sigma_to(resolution, rest, None if own is None else own / (1 + z))
            )
            for block in np.split(rows, range(_BLOCK, len(rows), _BLOCK)):
                values[block], covariance[block], flags[block] = _measured(denoised, block, on_grid)
    meta = {"RESOLUTN": _named(resolution)}
    return Indices(definitions=chosen, values=values, covariance=covariance, flags=flags, meta=meta)


def _named(resolution: Resolution) -> str:
    """A resolution as text, for headers."""
    if isinstance(resolution, str):
        return resolution
    return "by wavelength" if callable(resolution) else f"{resolution} Angstrom"


def _alike(
    redshift: FloatArray, fwhm: FloatArray | None
) -> Iterator[tuple[float, npt.NDArray[np.intp], FloatArray | None]]:
    """Group spectra that share a redshift and a resolution; the latter is one number or (n_pixels,)."""
    for z, rows in groups(redshift):
        if fwhm is None or fwhm.ndim < 2:
            yield float(z), rows, fwhm
            continue
        distinct, kind = np.unique(fwhm[rows], axis=0, return_inverse=True)
        for number, own in enumerate(distinct):
            yield float(z), rows[kind.ravel() == number], own


def _measured(
    denoised: Denoised, rows: npt.NDArray[np.intp], on_grid: GriddedIndices
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Values, covariance and flags of the indices of some spectra, of which one factor at a time is in memory."""
    values, gradient, flags = on_grid(denoised.flux[rows])
    joint = [
        joint_covariance(slopes[None], on_grid.pixels, denoised.flux.shape[1], _covariance(denoised, row))
        for row, slopes in zip(rows, gradient, strict=True)
    ]
    return values, np.concatenate(joint), flags


def _covariance(denoised: Denoised, row: np.intp) -> FactoredCovariance | None:
    """Covariance between the pixels of one denoised spectrum; None where the denoiser gives none."""
    if denoised.factor_of is None:
        return None
    remainder = None if denoised.remainder is None else denoised.remainder[row]
    return FactoredCovariance(factor=denoised.covariance_factor(int(row)), remainder=remainder)


def fitted_redshift(denoised: Denoised) -> FloatArray:
    """Compute the redshifts of the stars, by the velocities that the denoiser fitted.

    Parameters
    ----------
    denoised : Denoised
        Denoised spectra.

    Returns
    -------
    (n_spectra,)
        (1 + z)(1 + V/c) − 1; the redshifts at which the spectra were denoised where no velocity was fitted.
    """
    redshift = np.asarray(denoised.redshift, dtype=np.float64)
    if "velocity" not in denoised.parameters:
        return redshift
    velocity = np.nan_to_num(np.asarray(denoised.parameters["velocity"][0], dtype=np.float64))
    return np.asarray((1 + redshift) * (1 + velocity / SPEED_OF_LIGHT) - 1)
