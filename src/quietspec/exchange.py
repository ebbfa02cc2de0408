"""Exchange with what other packages hold in memory: plain arrays, quantities, and specutils' spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np

from quietspec.arrays import BoolArray, FloatArray, require_shape
from quietspec.errors import SpectraError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from specutils import Spectrum, SpectrumCollection

__all__ = ["fields_from_arrays", "fields_from_specutils", "specutils_spectrum"]


def fields_from_arrays(
    wavelength: Any, flux: Any, uncertainty: Any, mask: Any = None, unit: u.UnitBase | None = None
) -> dict[str, Any]:
    """Fields of `Spectra` that arrays or quantities give.

    Parameters
    ----------
    wavelength : (n_pixels,) array or Quantity
        Å, or any length.
    flux : (n_pixels,), (n_spectra, n_pixels) or (ny, nx, n_pixels) array or Quantity
        Flux density.
    uncertainty : same shape as `flux`
        1σ errors in the flux's unit (or convertible to it).
    mask : same shape as `flux`, optional
        True where bad. Non-finite fluxes and errors that are not positive are masked as well.
    unit : astropy unit, optional
        Of a flux that is a plain array.

    Returns
    -------
    dict
        ``wavelength``, ``flux``, ``ivar``, ``unit``, and ``spatial_shape`` where `flux` has three dimensions.

    Raises
    ------
    SpectraError
        If the shapes differ.
    """
    unit = flux.unit if isinstance(flux, u.Quantity) else unit or u.dimensionless_unscaled
    values = np.asarray(flux.value if isinstance(flux, u.Quantity) else flux, dtype=np.float64)
    sigma = np.asarray(
        uncertainty.to_value(unit) if isinstance(uncertainty, u.Quantity) else uncertainty, dtype=np.float64
    )
    angstrom = wavelength.to_value(u.AA) if isinstance(wavelength, u.Quantity) else np.asarray(wavelength)
    require_shape("uncertainty", sigma, values.shape)
    good = np.isfinite(values) & (sigma > 0) & np.isfinite(sigma)
    if mask is not None:
        require_shape("mask", np.asarray(mask), values.shape)
        good &= ~np.asarray(mask, dtype=bool)
    ivar = np.divide(1, sigma**2, out=np.zeros_like(sigma), where=good)
    rows = (-1, values.shape[-1]) if values.ndim else (1, 1)
    fields = {"wavelength": angstrom, "flux": values.reshape(rows), "ivar": ivar.reshape(rows), "unit": unit}
    return fields | ({"spatial_shape": values.shape[:2]} if values.ndim == 3 else {})


def fields_from_specutils(spectrum: Spectrum | SpectrumCollection) -> dict[str, Any]:
    """Fields of `Spectra` that a specutils `Spectrum`, or a `SpectrumCollection` on one common axis, gives.

    Parameters
    ----------
    spectrum : specutils.Spectrum or specutils.SpectrumCollection
        With an uncertainty; its mask is honoured.

    Returns
    -------
    dict
        Those of `fields_from_arrays`, and ``redshift`` where the spectrum has one.

    Raises
    ------
    SpectraError
        If there is no uncertainty, or the spectra of a collection have different axes.
    """
    from astropy.nddata import StdDevUncertainty

    if spectrum.uncertainty is None:
        raise SpectraError("from_specutils: the spectrum has no uncertainty; set `uncertainty` first.")
    axis = spectrum.spectral_axis
    if axis.ndim > 1:
        if not np.all(axis == axis[0]):
            raise SpectraError("from_specutils: the spectra of the collection have different axes; convert each.")
        axis = axis[0]
    flux = spectrum.flux
    deviation = spectrum.uncertainty.represent_as(StdDevUncertainty)
    sigma = u.Quantity(deviation.array, deviation.unit or flux.unit)
    mask = None if spectrum.mask is None else np.asarray(spectrum.mask)
    index = getattr(spectrum, "spectral_axis_index", None)
    if index is not None and index not in (-1, flux.ndim - 1):
        flux, sigma = np.moveaxis(flux, index, -1), np.moveaxis(sigma, index, -1)
        mask = None if mask is None else np.moveaxis(mask, index, -1)
    wavelength = u.Quantity(axis).to(u.AA, equivalencies=u.spectral())
    if wavelength[0] > wavelength[-1]:
        wavelength, flux, sigma = wavelength[::-1], flux[..., ::-1], sigma[..., ::-1]
        mask = None if mask is None else mask[..., ::-1]
    fields = fields_from_arrays(wavelength, flux, sigma, mask)
    redshift = getattr(spectrum, "redshift", None)
    if redshift is not None and np.size(redshift) == 1 and float(redshift) != 0:
        fields["redshift"] = float(redshift)
    return fields


def specutils_spectrum(
    wavelength: FloatArray,
    flux: FloatArray,
    sigma: FloatArray,
    mask: BoolArray,
    *,
    unit: u.UnitBase,
    redshift: FloatArray,
    spatial_shape: tuple[int, int] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Spectrum:
    """Make a specutils `Spectrum`.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Å.
    flux, sigma : (n_spectra, n_pixels)
        Flux and its 1σ error.
    mask : (n_spectra, n_pixels) of bool
        True where bad.
    unit : astropy unit
        Of `flux` and `sigma`.
    redshift : (n_spectra,)
        Kept where it is the same for all.
    spatial_shape : (ny, nx), optional
        Image that the spectra form.
    meta : mapping, optional
        Facts about the origin.

    Returns
    -------
    specutils.Spectrum
        Of shape (n_spectra, n_pixels) or (ny, nx, n_pixels).
    """
    from astropy.nddata import StdDevUncertainty
    from specutils import Spectrum

    shape = (*(spatial_shape or flux.shape[:1]), len(wavelength))
    one_redshift = np.all(redshift == redshift[0]) if len(redshift) else False
    return Spectrum(
        flux=u.Quantity(flux.reshape(shape), unit),
        spectral_axis=u.Quantity(wavelength, u.AA),
        uncertainty=StdDevUncertainty(np.where(np.isfinite(sigma), sigma, 0).reshape(shape), unit=unit),
        mask=mask.reshape(shape),
        redshift=float(redshift[0]) if one_redshift else None,
        spectral_axis_index=len(shape) - 1,
        meta=dict(meta or {}),
    )
