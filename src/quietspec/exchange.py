"""Exchange with what other packages hold in memory: plain arrays, quantities, columns, and specutils' spectra."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Required, TypedDict, get_args

import astropy.units as u
import numpy as np

from quietspec.arrays import BoolArray, FloatArray, as_floats
from quietspec.errors import SpectraError, UnitError
from quietspec.kinds import Medium, NoiseKind
from quietspec.medium import contradicted_medium, stated_media
from quietspec.resolution import instrumental_fwhm
from quietspec.units import NOISE_POWERS, FluxUnit, angstroms, flux_unit

if TYPE_CHECKING:
    import numpy.typing as npt
    from astropy.wcs import WCS
    from specutils import Spectrum, SpectrumCollection

__all__ = ["SpectraFields", "SpectrumFields", "fields_from_arrays", "fields_from_specutils", "specutils_spectrum"]

_NDDATA_KINDS: dict[str, NoiseKind] = {"std": "sigma", "var": "variance", "ivar": "ivar"}
_WAVELENGTH_CODES = ("WAVE", "AWAV", "FREQ", "ENER", "WAVN")


class SpectraFields(TypedDict, total=False):
    """Fields of `Spectra` that arrays do not say, and which their owner may give."""

    medium: Required[Medium]
    redshift: npt.ArrayLike
    ebv: npt.ArrayLike
    fwhm: npt.ArrayLike | u.Quantity | None
    spatial_shape: tuple[int, int] | None
    wcs: WCS | None
    meta: Mapping[str, Any]


class SpectrumFields(SpectraFields, total=False):
    """The same, where the spectra may say the medium themselves."""

    medium: Medium  # type: ignore[misc]


class _Values(NamedTuple):
    """Plain numbers, NaN where masked, their unit and mask."""

    numbers: FloatArray
    unit: u.UnitBase | None
    mask: BoolArray | None


def fields_from_arrays(
    wavelength: Any,
    flux: Any,
    uncertainty: Any,
    *,
    mask: Any = None,
    unit: str | u.UnitBase | None = None,
    noise_kind: NoiseKind = "sigma",
    **fields: Any,
) -> dict[str, Any]:
    """Fields of `Spectra` that arrays or quantities give.

    Parameters
    ----------
    wavelength : (n_pixels,) array, Quantity or Column
        Plain numbers are Å, and must lie between 2000 and 25000; anything else needs its unit.
    flux : (n_pixels,), (n_spectra, n_pixels) or (ny, nx, n_pixels) array, Quantity or Column
        Flux density. One per frequency or in photons is converted to energy per Å.
    uncertainty : array, Quantity, Column or NDUncertainty
        Of the flux's shape, or one that broadcasts to it; plain numbers are in the unit of the flux.
    mask : same shape as `flux`, optional
        True where bad. Masked values of the other arrays, fluxes that are not finite, and uncertainties that are not
        positive are masked as well.
    unit : str or astropy unit, optional
        Unit of a flux that is a plain array; per unit wavelength if not given.
    noise_kind : {'sigma', 'variance', 'ivar'}
        What `uncertainty` is; an NDUncertainty says so itself.
    **fields
        Fields of `Spectra`: ``medium`` is required; ``fwhm`` may be one number, or a Quantity.

    Returns
    -------
    dict
        Fields of `Spectra`, by increasing wavelength.

    Raises
    ------
    SpectraError
        If shapes or units do not fit, or the medium is not given.
    """
    _require_medium(fields.get("medium"))
    pixels = _wavelengths(wavelength)
    warnings: list[str] = []
    values = _values("flux", flux)
    shape = _require_spectra(values.numbers, len(pixels))
    noise, noise_kind = _uncertainty(uncertainty, noise_kind)
    sigma = _broadcast("uncertainty", noise.numbers, shape)
    bad = _mask_of(values.mask, shape) | _mask_of(noise.mask, shape)
    if mask is not None:
        bad |= _broadcast("mask", np.asarray(mask, dtype=bool), shape)
    found = _flux_unit(values.unit, unit)
    ivar = _inverse_variance(sigma, noise_kind, _noise_factor(noise, noise_kind, found, pixels))
    ivar[bad | ~np.isfinite(values.numbers)] = 0
    per_angstrom, factor = found.per_angstrom(pixels)
    numbers = values.numbers
    if factor is not None:
        numbers, ivar = numbers * factor, ivar / factor**2
        warnings.append(f"the flux, in {found.unit}, is converted to {per_angstrom}")
    order = slice(None, None, -1 if len(pixels) > 1 and pixels[0] > pixels[-1] else 1)
    rows = (-1, len(pixels))
    settled = {
        "wavelength": pixels[order],
        "flux": numbers.reshape(rows)[:, order],
        "ivar": ivar.reshape(rows)[:, order],
        "unit": per_angstrom,
        **({"spatial_shape": shape[:2]} if len(shape) == 3 else {}),
    }
    if (fwhm := fields.pop("fwhm", None)) is not None:
        settled["fwhm"] = _fwhm(fwhm, pixels, settled["flux"].shape, warnings)[..., order]
    if not settled["ivar"].any():
        warnings.append("no pixel is usable: every flux is masked or NaN, or has no positive uncertainty")
    against = contradicted_medium(settled["wavelength"], settled["ivar"], fields["medium"])
    return _with_warnings(settled | fields, [*warnings, *([against] if against else [])])


def _require_medium(medium: Any) -> None:
    if medium not in get_args(Medium):
        said = "does not say" if medium is None else f"is {medium!r}"
        raise SpectraError(
            f"medium: {said}: are the wavelengths in air or vacuum? Give medium='air' or medium='vacuum'. (SDSS, DESI, "
            "MaNGA and JWST are in vacuum; MUSE, SAMI and CALIFA in air. The wrong one shifts a spectrum by 83 km/s.)"
        )


def _values(name: str, given: Any) -> _Values:
    """Numbers, unit and mask of an array, Quantity, Column, masked array, or masked Quantity."""
    unit, mask = getattr(given, "unit", None), getattr(given, "mask", None)
    plain = getattr(given, "unmasked", given)
    if isinstance(plain, np.ma.MaskedArray):
        plain = plain.data
    plain = getattr(plain, "value", plain) if unit is not None else plain
    numbers = as_floats(name, plain, np.ndim(plain), np.float64)
    mask = np.broadcast_to(mask, numbers.shape) if isinstance(mask, np.ndarray | np.bool_) else None
    if mask is not None and mask.any():
        numbers = np.where(mask, np.nan, numbers)
    return _Values(numbers, None if unit is None or unit == "" else unit, mask)


def _wavelengths(given: Any) -> FloatArray:
    values = _values("wavelength", given)
    if values.numbers.ndim != 1 or not np.isfinite(values.numbers).all():
        raise SpectraError(
            f"wavelength: shape {values.numbers.shape} with {np.sum(~np.isfinite(values.numbers))} values that are "
            "masked or not finite; one finite wavelength per pixel is needed, (n_pixels,)."
        )
    try:
        return angstroms(values.numbers, values.unit)[0]
    except UnitError as error:
        raise SpectraError(f"wavelength: {error}. Give a Quantity, such as wavelength * u.um.") from error


def _require_spectra(flux: FloatArray, n_pixels: int) -> tuple[int, ...]:
    if flux.ndim not in (1, 2, 3) or flux.shape[-1] != n_pixels:
        hint = ""
        if n_pixels in flux.shape[:-1]:
            axis = flux.shape.index(n_pixels)
            hint = f" Wavelength is axis {axis} of it: np.moveaxis(flux, {axis}, -1)."
        raise SpectraError(
            f"flux: shape {flux.shape} for {n_pixels} wavelengths. Expected (n_pixels,), (n_spectra, n_pixels) or "
            f"(ny, nx, n_pixels), with wavelength last.{hint}"
        )
    return flux.shape


def _uncertainty(given: Any, noise_kind: NoiseKind) -> tuple[_Values, NoiseKind]:
    kind = getattr(given, "uncertainty_type", None)
    if kind is not None:
        if kind not in _NDDATA_KINDS:
            raise SpectraError(
                f"uncertainty: {type(given).__name__} does not say what it is. Give a StdDevUncertainty, "
                "VarianceUncertainty or InverseVariance."
            )
        values = _values("uncertainty", given.array)
        return _Values(values.numbers, given.unit, values.mask), _NDDATA_KINDS[kind]
    if given is None:
        raise SpectraError("uncertainty: None; the noise of each pixel is needed.")
    if noise_kind not in NOISE_POWERS:
        raise SpectraError(f"noise_kind: {noise_kind!r} is none of {', '.join(map(repr, NOISE_POWERS))}.")
    return _values("uncertainty", given), noise_kind


def _broadcast(name: str, array: Any, shape: tuple[int, ...]) -> Any:
    if array.shape not in (shape, shape[-1:], ()):
        raise SpectraError(f"{name}: shape {array.shape} does not match that of the flux, {shape} (wavelength last).")
    return np.broadcast_to(array, shape)


def _mask_of(mask: BoolArray | None, shape: tuple[int, ...]) -> BoolArray:
    return np.zeros(shape, dtype=bool) if mask is None else np.array(np.broadcast_to(mask, shape))


def _flux_unit(own: Any, given: Any) -> FluxUnit:
    try:
        found = flux_unit(str(own) if isinstance(own, str) else own if own is not None else given)
    except UnitError as error:
        raise SpectraError(f"flux: {error}.") from error
    if own is not None and given is not None and flux_unit(given).unit != found.unit:
        raise SpectraError(f"unit: {given} is given for a flux in {own}. Leave it out, or convert the flux.")
    return found


def _noise_factor(noise: _Values, kind: NoiseKind, flux: FluxUnit, wavelength: FloatArray) -> FloatArray | None:
    """Factor that brings σ to the unit of the flux; None for 1."""
    if noise.unit is None:
        return None
    if noise.unit == u.percent:
        raise SpectraError("uncertainty: in %, a share of the flux. Convert it: uncertainty * abs(flux) / 100.")
    try:
        factor = flux_unit(u.Unit(noise.unit) ** (1 / NOISE_POWERS[kind])).in_unit_of(flux, wavelength)
    except UnitError as error:
        raise SpectraError(
            f"uncertainty: in {noise.unit}, which is not the unit of {kind} for a flux in {flux.unit or 'no unit'}. "
            "Convert it, or say what it is: noise_kind='sigma', 'variance' or 'ivar'."
        ) from error
    return None if np.all(factor == 1) else factor


def _inverse_variance(noise: FloatArray, kind: NoiseKind, factor: FloatArray | None) -> FloatArray:
    """Inverse variances in the unit of the flux; 0 where the noise is not positive and finite."""
    if factor is not None:
        noise = noise * factor ** NOISE_POWERS[kind]
    good = np.isfinite(noise) & (noise > 0)
    if kind == "ivar":
        return np.where(good, noise, 0.0)
    variance = noise**2 if kind == "sigma" else noise
    ivar = np.divide(1, variance, out=np.zeros_like(variance), where=good)
    ivar[~np.isfinite(ivar)] = 0
    return ivar


def _fwhm(given: Any, wavelength: FloatArray, shape: tuple[int, int], warnings: list[str]) -> FloatArray:
    values = _values("fwhm", given)
    numbers = values.numbers.reshape(shape) if values.numbers.ndim == 3 else values.numbers
    if numbers.ndim == 2 and numbers.shape != shape:
        raise SpectraError(f"fwhm: shape {numbers.shape} does not match that of the flux, {shape}.")
    try:
        fwhm, note = instrumental_fwhm(numbers, wavelength, unit=values.unit)
    except UnitError as error:
        raise SpectraError(f"fwhm: {error}. Give the FWHM in Å, or a Quantity.") from error
    warnings += [note] if note else []
    return fwhm


def _with_warnings(fields: dict[str, Any], warnings: list[str]) -> dict[str, Any]:
    if not warnings:
        return fields
    meta = dict(fields.get("meta", {}))
    return fields | {"meta": meta | {"warnings": [*meta.get("warnings", ()), *warnings]}}


def fields_from_specutils(spectrum: Spectrum | SpectrumCollection, **fields: Any) -> dict[str, Any]:
    """Fields of `Spectra` that a specutils `Spectrum`, or a `SpectrumCollection` on one common axis, gives.

    Parameters
    ----------
    spectrum : specutils.Spectrum or specutils.SpectrumCollection
        With an uncertainty of any kind; its mask is honoured, its flux converted as by `fields_from_arrays`.
    **fields
        Fields of `Spectra`, which override what `spectrum` says. ``medium`` is required where neither the WCS nor the
        metadata of `spectrum` says it.

    Returns
    -------
    dict
        Those of `fields_from_arrays`, and ``redshift`` where the spectrum has one.

    Raises
    ------
    SpectraError
        If there is no uncertainty, the spectra of a collection have different axes, or as `fields_from_arrays`.
    """
    for needed in ("spectral_axis", "flux", "uncertainty"):
        if not hasattr(type(spectrum), needed):
            raise SpectraError(f"a {type(spectrum).__name__} is not a Spectrum of specutils; convert each one in it.")
    _flux_unit(getattr(spectrum, "unit", None), None)  # `flux` fails where it is a magnitude
    if spectrum.uncertainty is None:
        raise SpectraError("the spectrum has no uncertainty; set `uncertainty` first.")
    axis, flux, uncertainty = spectrum.spectral_axis, spectrum.flux, spectrum.uncertainty
    if axis.ndim > 1:
        if not np.all(axis == axis[0]):
            raise SpectraError("the spectra of the collection have different axes; convert each.")
        axis = axis[0]
    noise, kind = _uncertainty(uncertainty, "sigma")
    sigma = noise.numbers if noise.unit is None else u.Quantity(noise.numbers, noise.unit)
    mask = None if spectrum.mask is None else np.asarray(spectrum.mask)
    index = getattr(spectrum, "spectral_axis_index", None)
    if index is not None and index not in (-1, flux.ndim - 1):
        flux, sigma = np.moveaxis(flux, index, -1), np.moveaxis(sigma, index, -1)
        mask = None if mask is None else np.moveaxis(mask, index, -1)
    redshift = getattr(spectrum, "redshift", None)
    if redshift is not None and np.size(redshift) == 1 and float(redshift) != 0:
        fields = {"redshift": float(redshift)} | fields
    stated = _stated_media(spectrum)
    given = fields.get("medium")
    if given is None and len(set(stated.values())) == 1:
        fields["medium"] = next(iter(stated.values()))
    settled = fields_from_arrays(_wavelength_of(axis), flux, sigma, mask=mask, noise_kind=kind, **fields)
    against = [source for source, medium in stated.items() if medium != settled["medium"]]
    return _with_warnings(settled, [f"medium={settled['medium']!r} contradicts {source}" for source in against])


def _wavelength_of(axis: Any) -> u.Quantity:
    """Wavelengths of a spectral axis; a velocity needs its rest wavelength."""
    if not axis.unit.is_equivalent(u.km / u.s):
        return u.Quantity(axis)
    try:
        return u.Quantity(axis.to(u.AA, doppler_rest=axis.doppler_rest, doppler_convention=axis.doppler_convention))
    except (ValueError, AttributeError, u.UnitConversionError, TypeError) as error:
        raise SpectraError(
            "wavelength: the spectral axis is a velocity without a rest wavelength. Set `doppler_rest` and "
            "`doppler_convention` of the axis, or make the spectrum on an axis of wavelength."
        ) from error


def _stated_media(spectrum: Any) -> dict[str, Medium]:
    """What the WCS and the metadata of a spectrum say of air or vacuum."""
    meta = spectrum.meta if isinstance(spectrum.meta, Mapping) else {}
    ctypes = list(getattr(getattr(getattr(spectrum, "wcs", None), "wcs", None), "ctype", ()))
    stated = stated_media(meta)
    header = meta.get("header")
    cards: dict[str, Any] = {f"CTYPE{number}": ctype for number, ctype in enumerate(ctypes, start=1)}
    for source in (cards, header if isinstance(header, Mapping) else {}):
        axes = [axis for axis in (1, 2, 3) if str(source.get(f"CTYPE{axis}", "")).startswith(_WAVELENGTH_CODES)]
        for axis in (*axes, None):
            stated |= stated_media(source, axis)
    return stated


def specutils_spectrum(
    wavelength: FloatArray,
    flux: FloatArray,
    sigma: FloatArray,
    mask: BoolArray,
    *,
    unit: u.UnitBase,
    redshift: FloatArray,
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
    meta : mapping, optional
        Facts about the origin.

    Returns
    -------
    specutils.Spectrum
        Of the shape of `flux`.
    """
    from astropy.nddata import StdDevUncertainty
    from specutils import Spectrum

    one_redshift = np.all(redshift == redshift[0]) if len(redshift) else False
    return Spectrum(
        flux=u.Quantity(flux, unit),
        spectral_axis=u.Quantity(wavelength, u.AA),
        uncertainty=StdDevUncertainty(np.where(np.isfinite(sigma), sigma, 0), unit=unit),
        mask=mask,
        redshift=float(redshift[0]) if one_redshift else None,
        spectral_axis_index=flux.ndim - 1,
        meta=dict(meta or {}),
    )
