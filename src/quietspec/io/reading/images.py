"""Spectra in image HDUs: cubes, row-stacked and single spectra, by a layout that says where things are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.io.reading.axes import spectral_axis
from quietspec.io.reading.bulk import Bulk, ConstantBulk, CubeBulk, PartBulk, StackBulk
from quietspec.io.reading.content import Content, Questions
from quietspec.io.reading.conventions import header_redshift, noise_kind_of
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.grids import Grid, image_grid
from quietspec.io.reading.known import (
    AS_GIVEN,
    StatedResolution,
    given_fwhm,
    settle_fwhm,
    settle_redshift,
    stated_by_header,
)
from quietspec.io.reading.masks import MaskRule, doubt
from quietspec.io.reading.noise_units import StatedNoise, settled_units
from quietspec.io.reading.options import ReadOptions
from quietspec.io.reading.sky import sky_wcs
from quietspec.io.reading.squeeze import n_axes, squeezed
from quietspec.kinds import Medium, NoiseKind
from quietspec.medium import stated_media

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["Layout", "image_content", "values_beside"]

_FEW = 10  # rows of an image that may be flux, error and sky of one spectrum


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
    mask_good : bool, optional
        Whether the survey's mask marks good pixels; None where no survey says what its values mean.
    medium : {'air', 'vacuum'}, optional
        What the survey's wavelengths are in, whatever the header says.
    unit : str, optional
        Of the flux, where the header has none.
    wavelength : (n_pixels,), Grid or callable, optional
        In Å, or a function that settles them; from the flux HDU's header otherwise.
    fwhm : float, array, StatedResolution or callable, optional
        Instrumental FWHM in Å, (n_pixels,) or (n_spectra, n_pixels), or a function of the wavelengths that gives it.
        What the file states but no survey vouches for is a `StatedResolution`, which is checked.
    redshift : float or (n_spectra,), optional
        From the headers otherwise.
    redshift_by : str, optional
        Who states the redshift; the survey if not given.
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
    mask_good: bool | None = False
    medium: Medium | None = None
    unit: str | None = None
    wavelength: FloatArray | Grid | Callable[[], Grid] | None = None
    fwhm: Callable[[FloatArray], FloatArray] | StatedResolution | FloatArray | float | None = None
    redshift: float | FloatArray | None = None
    redshift_by: str | None = None
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
    hdu = file[options.flux_hdu if options.flux_hdu is not None else layout.flux]
    where = f"{file.path}, {_named(file, hdu)}"
    if hdu.is_image and n_axes(hdu.shape) > 3:
        long = " × ".join(str(size) for size in hdu.shape if size != 1)
        raise ReadError(f"{where}: has {n_axes(hdu.shape)} axes ({long} pixels). Cut out a cube, with 3.")
    if not hdu.is_image or n_axes(hdu.shape) == 0 or 0 in hdu.shape:
        raise ReadError(f"{where}: holds no spectra (1-D, 2-D or 3-D image). Name the flux: flux_hdu=NAME.")
    flux = squeezed(hdu)
    questions = Questions(str(file.path))
    questions.warn(*layout.warnings, options.columns and "columns= is about tables; it is not used for an image")
    questions.decide("flux", _named(file, hdu))
    axis = spectral_axis(flux.header, flux.shape)
    bulk = _bulk(flux, axis, where)
    grid: Grid | None = None
    with questions.asking():
        grid = image_grid(file, flux, axis, options, layout.wavelength, where)
    noise, kind = _noise(file, options, layout, bulk, axis, questions)
    mask, rule = _mask(file, options, layout, (bulk, noise), axis, questions)
    medium = questions.medium(options, _media(file, flux, axis, layout, grid))
    if grid is None:
        questions.settle()
        raise ReadError(f"{where}: has no wavelengths. Name what holds them: wave_hdu=NAME.")
    questions.warn(*grid.warnings)
    questions.decide("wavelengths", grid.how)
    bulk, noise, mask = _with_wavelength(bulk, grid), _with_wavelength(noise, grid), _with_wavelength(mask, grid)
    text = flux.header.get("BUNIT") or file.primary.get("BUNIT") or layout.unit
    stated = _stated_noise(file, options, layout, noise, kind)
    scale, read_as = settled_units(text, stated, bulk, grid.wavelength, options, questions)
    questions.settle()
    redshifts, widths = _known(file, flux, options, layout, grid.wavelength)
    spatial_shape, wcs, lost = _image(flux, axis)
    questions.warn(lost)
    return Content(
        survey=layout.survey,
        path=file.path,
        wavelength=grid.wavelength,
        medium=medium,
        flux=bulk,
        noise=noise,
        noise_kind=read_as.kind,
        noise_factor=read_as.factor,
        mask=mask,
        mask_rule=rule,
        redshift=settle_redshift(redshifts, bulk.shape[0], questions),
        fwhm=settle_fwhm(widths, grid.wavelength, bulk.shape[0], questions, grid.pixels),
        unit=scale.unit,
        units=options.flux_unit or scale.text or "",
        factor=scale.factor,
        spatial_shape=spatial_shape,
        wcs=wcs,
        warnings=tuple(questions.warnings),
        decisions=tuple(questions.decisions),
        meta=layout.meta,
    )


def _known(
    file: FitsFile, flux: Any, options: ReadOptions, layout: Layout, wavelength: FloatArray
) -> tuple[list[tuple[Any, str]], list[tuple[Any, str]]]:
    """Redshifts and resolutions by all who state them, the best first."""
    own, where = f"as {layout.survey} has it", str(file.path)
    redshifts: list[tuple[Any, str]] = [
        (options.redshift, AS_GIVEN),
        (layout.redshift, layout.redshift_by or own),
        (header_redshift(flux.header, file.primary), "the header"),
    ]
    widths: list[tuple[Any, str]] = [
        (given_fwhm(options.fwhm, wavelength, where), AS_GIVEN),
        (layout.fwhm, own),
        stated_by_header(flux.header, file.primary),
    ]
    return redshifts, widths


def values_beside(file: FitsFile, key: str | int, flux: str | int, like: Bulk) -> Bulk:
    """Values of another HDU for the spectra `like`, which come from HDU `flux`: for every pixel, or for all spectra."""
    hdu = squeezed(file[flux])
    return _beside(file, key, like, spectral_axis(hdu.header, hdu.shape))


@overload
def _with_wavelength(bulk: Bulk, grid: Grid) -> Bulk: ...
@overload
def _with_wavelength(bulk: Bulk | None, grid: Grid) -> Bulk | None: ...
def _with_wavelength(bulk: Bulk | None, grid: Grid) -> Bulk | None:
    """The pixels that have a wavelength."""
    return bulk if bulk is None or grid.pixels is None else PartBulk(bulk, pixels=grid.pixels)


def _media(file: FitsFile, flux: Any, axis: int, layout: Layout, grid: Grid | None) -> dict[str, Medium | None]:
    """Air or vacuum by all who say."""
    return {
        "the name of the wavelengths": None if grid is None else grid.medium,
        layout.survey: layout.medium,
        **stated_media(flux.header, axis),
        **{f"{who} of the primary header": medium for who, medium in stated_media(file.primary).items()},
    }


def _stated_noise(
    file: FitsFile, options: ReadOptions, layout: Layout, noise: Bulk | None, kind: NoiseKind
) -> StatedNoise | None:
    """What the user, the survey and the file say of the noise."""
    key = options.noise_hdu if options.noise_hdu is not None else layout.noise
    if key is None or noise is None:
        return None
    by_survey = layout.noise_kind is not None and options.noise_hdu is None
    certain = options.noise_kind is not None or by_survey
    unit, name = file[key].header.get("BUNIT"), _named(file, file[key])
    return StatedNoise(values=noise, unit=unit, kind=kind, certain=certain, name=name)


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
    if target is not None and tuple(size for size in hdu.shape if size > 1) == target.shape[1:]:
        return StackBulk(hdu if n_axes == 1 else np.ravel(hdu.data), where, target.shape)
    if target is not None and n_axes < 3 and np.prod(hdu.shape) == target.shape[0] and hdu.shape != target.shape:
        return ConstantBulk(np.asarray(hdu.data).ravel(), target.shape[1])
    if n_axes == 3 and axis == 3:
        return CubeBulk(hdu, where)
    if axis == 1 and n_axes < 3:
        return StackBulk(hdu, where)
    spectra = np.moveaxis(hdu.data, n_axes - axis, -1)  # an unusual order; read whole
    return StackBulk(spectra.reshape(-1, spectra.shape[-1]), where)


def _beside(file: FitsFile, key: str | int, bulk: Bulk, axis: int) -> Bulk:
    """HDU with one value for each flux value."""
    hdu = file[key]
    where = f"{file.path}, {_named(file, hdu)}"
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
            name = _named(file, file[options.flux_hdu if options.flux_hdu is not None else layout.flux])
            rows = ".\nIf rows of that image hold them, say which: rows=flux,err" if 1 < flux.shape[0] <= _FEW else ""
            questions.ask(
                f"found flux ({name}) but no variance, error or ivar beside it.\nGive the noise: noise_hdu=NAME, "
                f"or noise_from_residuals=True to estimate it from the spectrum itself{rows}."
            )
        return None, "sigma"
    hdu, named = file[key], layout.noise_kind if options.noise_hdu is None else None
    kind = options.noise_kind or named or noise_kind_of(hdu.name)
    if kind is None:
        questions.ask(
            f"HDU {key} could hold errors, variances or inverse variances.\nGive it: "
            'noise_kind="sigma", noise_kind="variance" or noise_kind="ivar".'
        )
    return _beside(file, key, flux, axis), kind or "sigma"


def _mask(
    file: FitsFile,
    options: ReadOptions,
    layout: Layout,
    spectra: tuple[Bulk, Bulk | None],
    axis: int,
    questions: Questions,
) -> tuple[Bulk | None, MaskRule]:
    """Mask of the spectra (flux and noise), and how to read it."""
    key = options.mask_hdu if options.mask_hdu is not None else layout.mask
    if key is None or options.no_mask:
        questions.decide("mask", "none" if key is None else f"none; HDU {key} is passed over")
        return None, MaskRule()
    hdu, (flux, noise) = file[key], spectra
    mask = _beside(file, key, flux, axis)
    rule = MaskRule.settled(options, hdu.name, layout.bad_bits, good=layout.mask_good)
    name = _named(file, hdu)
    if layout.mask_good is None or options.mask_hdu is not None:
        questions.ask(doubt(rule, mask, flux, noise, options, name))
    questions.decide("mask", f"{name}: {rule}")
    return mask, rule


def _named(file: FitsFile, hdu: Any) -> str:
    """Number and name of an HDU, for messages."""
    return f"HDU {file.number(hdu)} {hdu.name}".rstrip()
