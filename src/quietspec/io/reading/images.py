"""Spectra in image HDUs: cubes, row-stacked and single spectra, by a layout that says where things are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.io.reading.axes import header_medium, header_wavelength, spectral_axis
from quietspec.io.reading.bulk import Bulk, CubeBulk, StackBulk
from quietspec.io.reading.content import Content, Questions
from quietspec.io.reading.conventions import header_redshift, noise_kind_of
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.noise_units import NoiseScale, StatedNoise, noise_scale
from quietspec.io.reading.options import NoiseKind, ReadOptions
from quietspec.io.reading.sky import sky_wcs
from quietspec.io.reading.squeeze import n_axes, squeezed
from quietspec.io.reading.units import flux_scale
from quietspec.wavelengths import Medium

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["Layout", "image_content"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where a survey keeps things, and what it leaves unsaid. Options of the user override it.

    Parameters
    ----------
    survey : str
        Name of the format.
    flux, noise, mask : str or int
        HDUs; None for none.
    noise_kind : {'sigma', 'variance', 'ivar'}, optional
        What the noise HDU holds; by its name otherwise.
    bad_bits : int, optional
        Bits of the mask that mean bad; any by default.
    medium : {'air', 'vacuum'}, optional
        What the survey's wavelengths are in, whatever the header says.
    unit : str, optional
        Of the flux, where the header has none.
    wavelength : (n_pixels,), optional
        In Å; from the flux HDU's header otherwise.
    fwhm : float, array or callable, optional
        Instrumental FWHM in Å, (n_pixels,) or (n_spectra, n_pixels), or a function of the wavelengths that gives it.
    redshift : float or (n_spectra,), optional
        From the headers otherwise.
    warnings : tuple of str
        What the user should know.
    meta : mapping
        Further facts.
    """

    survey: str
    flux: str | int
    noise: str | int | None = None
    noise_kind: NoiseKind | None = None
    mask: str | int | None = None
    bad_bits: int | None = None
    medium: Medium | None = None
    unit: str | None = None
    wavelength: FloatArray | None = None
    fwhm: Callable[[FloatArray], FloatArray] | FloatArray | float | None = None
    redshift: float | FloatArray | None = None
    warnings: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)


def image_content(file: FitsFile, options: ReadOptions, layout: Layout) -> Content:
    """Settle the content of a file whose spectra are images.

    Parameters
    ----------
    file : FitsFile
        The file.
    options : ReadOptions
        What the user says.
    layout : Layout
        What the survey does.

    Returns
    -------
    Content
        With nothing big read.

    Raises
    ------
    ReadError
        If an HDU is missing or misshapen, or something cannot be settled.
    """
    flux = file[options.flux_hdu if options.flux_hdu is not None else layout.flux]
    where = f"{file.path}, HDU {file.number(flux)} {flux.name}".rstrip()
    if not flux.is_image or n_axes(flux.shape) not in (1, 2, 3) or 0 in flux.shape:
        raise ReadError(f"{where}: holds no spectra (1-D, 2-D or 3-D image). Name the flux: --flux-hdu NAME.")
    flux = squeezed(flux)
    questions = Questions(str(file.path))
    axis = spectral_axis(flux.header, flux.shape)
    bulk = _bulk(flux, axis, where)
    wavelength, told = layout.wavelength, tuple[str, ...]()
    if wavelength is None:
        wavelength, told = header_wavelength(flux.header, axis, options.wavelength_unit, where)
    if len(wavelength) != bulk.shape[1]:
        raise ReadError(f"{where}: {bulk.shape[1]} pixels a spectrum but {len(wavelength)} wavelengths.")
    noise, kind = _noise(file, options, layout, bulk, axis, questions)
    medium = questions.medium(options, layout.medium, header_medium(flux.header, axis), header_medium(file.primary))
    text = flux.header.get("BUNIT") or file.primary.get("BUNIT") or layout.unit
    scale = flux_scale(text, wavelength, where, options.flux_unit)
    stated = _stated_noise(file, options, layout, noise, kind)
    read_as = NoiseScale(kind=kind) if stated is None else noise_scale(stated, bulk, scale, wavelength)
    questions.ask(read_as.question)
    questions.settle()
    spatial_shape, wcs, lost = _image(flux, axis)
    return Content(
        survey=layout.survey,
        path=file.path,
        wavelength=wavelength,
        medium=medium,
        flux=bulk,
        noise=noise,
        noise_kind=read_as.kind,
        noise_factor=read_as.factor,
        mask=_mask(file, options, layout, bulk, axis),
        bad_bits=layout.bad_bits if options.mask_hdu is None else None,
        redshift=_redshift(file, flux, options, layout, bulk.shape[0]),
        fwhm=_fwhm(options, layout, wavelength),
        unit=scale.unit,
        units=options.flux_unit or scale.text or "",
        factor=scale.factor,
        spatial_shape=spatial_shape,
        wcs=wcs,
        warnings=(*layout.warnings, *told, *(note for note in (scale.warning, read_as.warning, lost) if note)),
        meta=layout.meta,
    )


def _stated_noise(
    file: FitsFile, options: ReadOptions, layout: Layout, noise: Bulk | None, kind: NoiseKind
) -> StatedNoise | None:
    """What the user, the survey and the file say of the noise."""
    key = options.noise_hdu if options.noise_hdu is not None else layout.noise
    if key is None or noise is None:
        return None
    by_survey = layout.noise_kind is not None and options.noise_hdu is None
    certain = options.noise_kind is not None or by_survey
    return StatedNoise(values=noise, unit=file[key].header.get("BUNIT"), kind=kind, certain=certain)


def _image(flux: Any, axis: int) -> tuple[tuple[int, int] | None, WCS | None, str | None]:
    """Image that the spectra of a cube form, its celestial WCS, and why there is none."""
    if len(flux.shape) < 3:
        return None, None, None
    x, y = (number for number in (1, 2, 3) if number != axis)
    wcs, lost = sky_wcs(flux.header, (x, y))
    return (int(flux.shape[3 - y]), int(flux.shape[3 - x])), wcs, lost


def _bulk(hdu: Any, axis: int, where: str, target: Bulk | None = None) -> Bulk:
    """Spectra of an image HDU; values along the wavelength alone are repeated for every spectrum of `target`."""
    n_axes = len(hdu.shape)
    if target is not None and hdu.shape == target.shape[1:]:
        return StackBulk(hdu, where, target.shape)
    if n_axes == 3 and axis == 3:
        return CubeBulk(hdu, where)
    if axis == 1 and n_axes < 3:
        return StackBulk(hdu, where)
    spectra = np.moveaxis(hdu.data, n_axes - axis, -1)  # an unusual order; read whole
    return StackBulk(spectra.reshape(-1, spectra.shape[-1]), where)


def _beside(file: FitsFile, key: str | int, bulk: Bulk, axis: int) -> Bulk:
    """HDU with one value for each flux value."""
    hdu = file[key]
    where = f"{file.path}, HDU {file.number(hdu)} {hdu.name}".rstrip()
    if not hdu.is_image or not hdu.shape:
        raise ReadError(f"{where}: is not an image.")
    found = _bulk(squeezed(hdu), axis, where, bulk)
    if found.shape != bulk.shape:
        raise ReadError(
            f"{where}: {found.shape[0]} spectra of {found.shape[1]} pixels do not match the flux, {bulk.shape[0]} of "
            f"{bulk.shape[1]}."
        )
    return found


def _noise(
    file: FitsFile, options: ReadOptions, layout: Layout, flux: Bulk, axis: int, questions: Questions
) -> tuple[Bulk | None, NoiseKind]:
    key = options.noise_hdu if options.noise_hdu is not None else layout.noise
    if key is None:
        if not options.noise_from_residuals:
            flux_hdu = options.flux_hdu if options.flux_hdu is not None else layout.flux
            questions.ask(
                f"found flux (HDU {flux_hdu}) but no variance, error or ivar beside it.\nGive the noise: "
                "--noise-hdu NAME, or --noise-from-residuals to estimate it from the spectrum itself."
            )
        return None, "sigma"
    named = layout.noise_kind if options.noise_hdu is None else None
    kind = options.noise_kind or named or noise_kind_of(file[key].name)
    if kind is None:
        questions.ask(f"HDU {key} could hold errors, variances or inverse variances.\nGive it: --noise-kind KIND.")
    return _beside(file, key, flux, axis), kind or "sigma"


def _mask(file: FitsFile, options: ReadOptions, layout: Layout, flux: Bulk, axis: int) -> Bulk | None:
    key = options.mask_hdu if options.mask_hdu is not None else layout.mask
    return None if key is None else _beside(file, key, flux, axis)


def _redshift(file: FitsFile, flux: Any, options: ReadOptions, layout: Layout, n_spectra: int) -> FloatArray:
    known = options.redshift if options.redshift is not None else layout.redshift
    if known is None:
        known = header_redshift(flux.header, file.primary)
    return np.broadcast_to(np.asarray(np.nan if known is None else known, dtype=np.float64), (n_spectra,))


def _fwhm(options: ReadOptions, layout: Layout, wavelength: FloatArray) -> FloatArray | None:
    known = options.fwhm if options.fwhm is not None else layout.fwhm
    if known is None:
        return None
    fwhm = np.asarray(known(wavelength) if callable(known) else known, dtype=np.float64)
    return np.full(len(wavelength), fwhm) if fwhm.ndim == 0 else fwhm
