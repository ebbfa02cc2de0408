"""Spectral indices of given spectra, with their joint covariance to first order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray, as_floats, require_shape, require_wavelengths
from quietspec.indices.definitions import IndexDefinition, find_definition, find_definitions
from quietspec.indices.grids import GriddedIndices
from quietspec.indices.results import Indices

__all__ = ["FactoredCovariance", "joint_covariance", "measure_index", "measure_indices"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FactoredCovariance:
    """Covariance F Fᵀ + diag(remainder²) between the pixels of spectra.

    Parameters
    ----------
    factor : (n_pixels, n_factors) or (n_spectra, n_pixels, n_factors), optional
        F, in the flux's unit; none if not given.
    remainder : (n_pixels,) or (n_spectra, n_pixels), optional
        1σ errors that are independent from pixel to pixel; none if not given.
    """

    factor: FloatArray | None = None
    remainder: FloatArray | None = None


def measure_index(
    definition: str | IndexDefinition,
    rest_wavelength: FloatArray,
    flux: FloatArray,
    covariance: FloatArray | FactoredCovariance | None = None,
    *,
    smoothing: FloatArray | None = None,
    continuum_weights: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Measure one index.

    Parameters
    ----------
    definition : str or IndexDefinition
        The index.
    rest_wavelength : (n_pixels,)
        Rest-frame pixel centres, air Å, increasing.
    flux : (n_pixels,) or (n_spectra, n_pixels)
        Flux densities per Å.
    covariance : array or FactoredCovariance, optional
        As for `measure_indices`.
    smoothing : (n_pixels,), optional
        As for `measure_indices`.
    continuum_weights : same shape as `flux`, optional
        As for `measure_indices`.

    Returns
    -------
    value, error : () or (n_spectra,)
        The index and its 1σ error; NaN where it has no value, and all errors where no covariance is given.

    Raises
    ------
    SpectraError
        If shapes do not fit or wavelengths do not increase.
    IndexDefinitionError
        If the index is unknown.

    Examples
    --------
    A rectangular line 10 Å wide and half as deep as the continuum:

    >>> import numpy as np
    >>> wavelength = np.arange(4800.0, 4920.0, 0.5)
    >>> flux = np.where(abs(wavelength - 4861.25) < 5, 0.5, 1.0)
    >>> noise = FactoredCovariance(remainder=np.full(240, 0.01))
    >>> value, error = measure_index("Hbeta", wavelength, flux, noise)
    >>> round(float(value), 6), round(float(error), 3)
    (5.0, 0.047)
    """
    weights = None if continuum_weights is None else np.atleast_2d(continuum_weights)
    found = measure_indices(
        (find_definition(definition),), rest_wavelength, np.atleast_2d(flux), covariance, smoothing=smoothing,
        continuum_weights=weights,
    )  # fmt: skip
    value, error = found.values[:, 0], found.errors[:, 0]
    return (value[0], error[0]) if np.ndim(flux) == 1 else (value, error)


def measure_indices(
    definitions: str | IndexDefinition | Sequence[str | IndexDefinition],
    rest_wavelength: FloatArray,
    flux: FloatArray,
    covariance: FloatArray | FactoredCovariance | None = None,
    *,
    smoothing: FloatArray | None = None,
    continuum_weights: FloatArray | None = None,
) -> Indices:
    """Measure indices and their joint covariance.

    Parameters
    ----------
    definitions : str, IndexDefinition or sequence of these
        The indices; ``'lick'`` stands for the 25 Lick/IDS indices, ``'all'`` for all published ones.
    rest_wavelength : (n_pixels,)
        Rest-frame pixel centres, air Å, increasing.
    flux : (n_spectra, n_pixels)
        Flux densities per Å.
    covariance : (n_pixels, n_pixels), (n_spectra, n_pixels, n_pixels) or FactoredCovariance, optional
        Covariance between the pixels of `flux`, for all spectra or for each; errors are NaN without it.
    smoothing : (n_pixels,), optional
        σ in Å of the Gaussian that smooths the spectra first, as `added_sigma_to` gives it; the covariance stays that
        of the spectra before.
    continuum_weights : (n_spectra, n_pixels), optional
        Weights of the pixels in the fit of a generic index's continuum, such as inverse variances; equal by default.

    Returns
    -------
    Indices
        Values, covariance and flags.

    Raises
    ------
    SpectraError
        If shapes do not fit or wavelengths do not increase.
    IndexDefinitionError
        If an index is unknown.

    Notes
    -----
    With g the gradient of an index by the flux, in closed form, and g′ that of another, their covariance is gᵀ Σ g′:
    exact to first order in the errors of the flux. See `GriddedIndex` for how bands end within pixels.

    Examples
    --------
    >>> import numpy as np
    >>> wavelength = np.arange(4800.0, 5500.0)
    >>> flux = np.ones((3, 700))
    >>> found = measure_indices(["Mg_b", "Fe5270"], wavelength, flux, FactoredCovariance(remainder=0.02 * flux))
    >>> found.values.round(6)
    array([[0., 0.],
           [0., 0.],
           [0., 0.]])
    >>> found.errors[0].round(2)
    array([0.15, 0.17])
    """
    chosen = find_definitions(definitions)
    wavelength = as_floats("rest_wavelength", rest_wavelength, 1, np.float64)
    flux = as_floats("flux", flux, 2)
    require_wavelengths("rest_wavelength", wavelength)
    require_shape("flux", flux, (len(flux), len(wavelength)))
    for name, value, shape in (("smoothing", smoothing, flux.shape[1:]),
                               ("continuum_weights", continuum_weights, flux.shape)):  # fmt: skip
        if value is not None:
            require_shape(name, value, shape)
    on_grid = GriddedIndices(chosen, wavelength, smoothing)
    values, gradient, flags = on_grid(flux, continuum_weights)
    joint = joint_covariance(gradient, on_grid.pixels, len(wavelength), covariance)
    meta = {"RESOLUTN": "own" if smoothing is None else "smoothed"}
    return Indices(definitions=chosen, values=values, covariance=joint, flags=flags, meta=meta)


def joint_covariance(
    gradient: FloatArray,
    pixels: npt.NDArray[np.intp],
    n_pixels: int,
    covariance: FloatArray | FactoredCovariance | None,
) -> FloatArray:
    """Compute the covariance of functions of the flux to first order.

    Parameters
    ----------
    gradient : (n_spectra, n_functions, n_used)
        Derivative of each function by the flux.
    pixels : (n_used,) of int
        The pixels on which the functions depend.
    n_pixels : int
        Number of all pixels.
    covariance : array or FactoredCovariance, optional
        As for `measure_indices`, between all pixels.

    Returns
    -------
    (n_spectra, n_functions, n_functions)
        G Σ Gᵀ; NaN without a covariance, and where a gradient is NaN.

    Raises
    ------
    SpectraError
        If the shape of the covariance does not fit.
    """
    n_spectra, n_functions = gradient.shape[:2]
    if covariance is None:
        return np.full((n_spectra, n_functions, n_functions), np.nan)
    known = np.asarray(np.isfinite(gradient).all(axis=2))
    inner = np.where(known[:, :, None], gradient, 0.0)
    total = _projected(inner, pixels, n_pixels, covariance)
    total[~(known[:, :, None] & known[:, None, :])] = np.nan
    return total


def _projected(
    gradient: FloatArray, pixels: npt.NDArray[np.intp], n_pixels: int, covariance: FloatArray | FactoredCovariance
) -> FloatArray:
    """G Σ Gᵀ, where G is finite."""
    n_spectra, n_functions, n_used = gradient.shape
    across = gradient.swapaxes(1, 2)
    if not isinstance(covariance, FactoredCovariance):
        require_shape("covariance", covariance, (n_pixels,) * 2, (n_spectra, n_pixels, n_pixels))
        return np.asarray(gradient @ covariance[..., pixels, :][..., pixels] @ across, dtype=np.float64)
    total = np.zeros((n_spectra, n_functions, n_functions))
    if covariance.factor is not None:
        last = np.shape(covariance.factor)[-1:]
        require_shape("covariance.factor", covariance.factor, (n_pixels, *last), (n_spectra, n_pixels, *last))
        projected = gradient @ covariance.factor[..., pixels, :].astype(np.float64)
        total += projected @ projected.swapaxes(1, 2)
    if covariance.remainder is not None:
        require_shape("covariance.remainder", covariance.remainder, (n_pixels,), (n_spectra, n_pixels))
        variance = np.broadcast_to(covariance.remainder[..., pixels].astype(np.float64) ** 2, (n_spectra, n_used))
        total += (gradient * variance[:, None]) @ across
    return total
