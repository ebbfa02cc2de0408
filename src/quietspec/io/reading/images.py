"""Spectra in image HDUs: cubes, row-stacked and single spectra, by a layout that says where things are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.io.reading.axes import spectral_axis
from quietspec.io.reading.bulk import Bulk, ConstantBulk, CubeBulk, PartBulk, StackBulk
from quietspec.io.reading.content import Content, Questions
from quietspec.io.reading.conventions import header_redshifts, noise_kind_of
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.grids import Grid, image_grid
from quietspec.io.reading.known import (
    AS_GIVEN,
    StatedResolution,
    given_fwhm,
    settle_ebv,
    settle_fwhm,
    settle_redshift,
    stated_by_header,
)
from quietspec.io.reading.masks import MaskRule, doubt
from quietspec.io.reading.noise_units import NoiseScale, StatedNoise, is_share, settled_units
from quietspec.io.reading.options import ReadOptions
from quietspec.io.reading.sky import sky_wcs
from quietspec.io.reading.squeeze import n_axes, squeezed
from quietspec.io.reading.units import FluxScale
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
    axis : int, optional
        FITS number of the axis of wavelength; as the header says otherwise.
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
    ebv : float or (n_spectra,), optional
        E(B−V) of the Milky Way, mag, where the survey is known to leave its fluxes uncorrected.
    ebv_by : str
        By what the survey states it.
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
    axis: int | None = None
    bad_bits: int | None = None
    mask_good: bool | None = False
    medium: Medium | None = None
    unit: str | None = None
    wavelength: FloatArray | Grid | Callable[[], Grid] | None = None
    fwhm: Callable[[FloatArray], FloatArray] | StatedResolution | FloatArray | float | None = None
    redshift: float | FloatArray | None = None
    redshift_by: str | None = None
    ebv: float | FloatArray | None = None
    ebv_by: str = ""
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
        If an HDU is missing or misshapen, or something cannot be settled; all that is open is asked at once.
    """
    return _Images.of(file, options, layout).content()


def values_beside(file: FitsFile, key: str | int, flux: str | int, like: Bulk) -> Bulk:
    """Values of another HDU for the spectra `like`, which come from HDU `flux`: for every pixel, or for all spectra."""
    hdu = squeezed(file[flux])
    return _beside(file, key, like, spectral_axis(hdu.header, hdu.shape))


@dataclass(frozen=True, kw_only=True)
class _Images:
    """The flux image of a file, the options and the layout by which it is read, and what is open about it."""

    file: FitsFile
    options: ReadOptions
    layout: Layout
    questions: Questions
    flux: Any  # the HDU, without axes of one pixel beyond three
    name: str
    where: str
    axis: int  # FITS number of the axis of wavelength

    @classmethod
    def of(cls, file: FitsFile, options: ReadOptions, layout: Layout) -> Self:
        """Find the flux."""
        hdu = file[options.flux_hdu if options.flux_hdu is not None else layout.flux]
        name = _name(file, hdu)
        where = f"{file.path}, {name}"
        if hdu.is_image and n_axes(hdu.shape) > 3:
            long = " × ".join(str(size) for size in hdu.shape if size != 1)
            raise ReadError(f"{where}: has {n_axes(hdu.shape)} axes ({long} pixels). Cut out a cube, with 3.")
        if not hdu.is_image or n_axes(hdu.shape) == 0 or 0 in hdu.shape:
            raise ReadError(f"{where}: holds no spectra (1-D, 2-D or 3-D image). Name the flux: flux_hdu=NAME.")
        flux = squeezed(hdu)
        return cls(
            file=file,
            options=options,
            layout=layout,
            questions=Questions(str(file.path)),
            flux=flux,
            name=name,
            where=where,
            axis=layout.axis or spectral_axis(flux.header, flux.shape),
        )

    def content(self) -> Content:
        """Settle everything about the flux and what lies beside it."""
        questions, layout = self.questions, self.layout
        questions.warn(
            *layout.warnings, self.options.columns and "columns= is about tables; it is not used for an image"
        )
        questions.decide("flux", self.name)
        whole = _bulk(self.flux, self.axis, self.where)
        grid: Grid | None = None
        with questions.asking():
            grid = image_grid(self.file, self.flux, self.axis, self.options, layout.wavelength, self.where)
        noise, kind = self._noise(whole)
        mask, rule = self._mask(whole, noise)
        medium = questions.medium(self.options, self._media(grid))
        if grid is None:
            questions.settle()
            raise ReadError(f"{self.where}: has no wavelengths. Name what holds them: wave_hdu=NAME.")
        questions.ask(grid.question(self.options, layout.redshift))
        questions.warn(*grid.warnings)
        questions.decide("wavelengths", grid.how)
        flux, noise, mask = _kept(whole, grid), _kept(noise, grid), _kept(mask, grid)
        scale, read_as = self._units(flux, noise, kind, grid)
        spatial_shape, wcs = self._image()
        return Content(
            survey=layout.survey,
            path=self.file.path,
            wavelength=grid.wavelength,
            medium=medium,
            flux=flux,
            noise=noise,
            noise_kind=read_as.kind,
            noise_factor=read_as.factor,
            mask=mask,
            mask_rule=rule,
            redshift=self._redshift(flux.shape[0]),
            ebv=self._ebv(flux.shape[0]),
            fwhm=self._fwhm(grid, flux.shape[0]),
            unit=scale.unit,
            units=self.options.flux_unit or scale.text or "",
            factor=scale.factor,
            spatial_shape=spatial_shape,
            wcs=wcs,
            warnings=tuple(questions.warnings),
            decisions=tuple(questions.decisions),
            meta=layout.meta,
        )

    @property
    def _noise_key(self) -> str | int | None:
        return self.options.noise_hdu if self.options.noise_hdu is not None else self.layout.noise

    @property
    def _survey_noise(self) -> NoiseKind | None:
        """What the survey says the noise is."""
        return self.layout.noise_kind if self.options.noise_hdu is None else None

    def _noise(self, flux: Bulk) -> tuple[Bulk | None, NoiseKind]:
        key = self._noise_key
        if key is None or (self.options.noise_from_residuals and is_share(self.file[key].header.get("BUNIT"))):
            if not self.options.noise_from_residuals:
                rows = (
                    ".\nIf rows of that image hold them, say which: rows=flux,err" if 1 < flux.shape[0] <= _FEW else ""
                )
                self.questions.ask(
                    f"found flux ({self.name}) but no variance, error or ivar beside it.\nGive the noise: "
                    f"noise_hdu=NAME, or noise_from_residuals=True to estimate it from the spectrum itself{rows}."
                )
            return None, "sigma"
        kind = self.options.noise_kind or self._survey_noise or noise_kind_of(self.file[key].name, self.flux.name)
        if kind is None:
            self.questions.ask(
                f"HDU {key} could hold errors, variances or inverse variances.\nGive it: "
                'noise_kind="sigma", noise_kind="variance" or noise_kind="ivar".'
            )
        return _beside(self.file, key, flux, self.axis), kind or "sigma"

    def _mask(self, flux: Bulk, noise: Bulk | None) -> tuple[Bulk | None, MaskRule]:
        """Mask of the spectra, and how to read it."""
        options, layout, questions = self.options, self.layout, self.questions
        key = options.mask_hdu if options.mask_hdu is not None else layout.mask
        if key is None or options.no_mask:
            questions.decide("mask", "none" if key is None else f"none; HDU {key} is passed over")
            return None, MaskRule()
        hdu = self.file[key]
        mask, name = _beside(self.file, key, flux, self.axis), _name(self.file, hdu)
        rule = MaskRule.settled(options, hdu.name, layout.bad_bits, good=layout.mask_good)
        if layout.mask_good is None or options.mask_hdu is not None:
            questions.ask(doubt(rule, mask, flux, noise, options, name))
        questions.decide("mask", f"{name}: {rule}")
        return mask, rule

    def _media(self, grid: Grid | None) -> dict[str, Medium | None]:
        """Air or vacuum by all who say."""
        primary = stated_media(self.file.primary)
        return {
            "the name of the wavelengths": None if grid is None else grid.medium,
            self.layout.survey: self.layout.medium,
            **stated_media(self.flux.header, self.axis),
            **{f"{who} of the primary header": medium for who, medium in primary.items()},
        }

    def _units(self, flux: Bulk, noise: Bulk | None, kind: NoiseKind, grid: Grid) -> tuple[FluxScale, NoiseScale]:
        """Units of flux and noise; the last that may be asked for."""
        text = self.flux.header.get("BUNIT") or self.file.primary.get("BUNIT") or self.layout.unit
        stated, key = None, self._noise_key
        if key is not None and noise is not None:
            hdu = self.file[key]
            certain = self.options.noise_kind is not None or self._survey_noise is not None
            unit, who = hdu.header.get("BUNIT"), _name(self.file, hdu)
            stated = StatedNoise(values=noise, unit=unit, kind=kind, certain=certain, who=who)
        settled = settled_units(text, self.flux.name, stated, flux, grid.wavelength, self.options, self.questions)
        self.questions.settle()
        return settled

    def _redshift(self, n_spectra: int) -> FloatArray:
        layout = self.layout
        stated = (
            (self.options.redshift, AS_GIVEN),
            (layout.redshift, layout.redshift_by or f"as {layout.survey} has it"),
            *header_redshifts(self.flux.header, self.file.primary),
        )
        return settle_redshift(stated, n_spectra, self.questions)

    def _ebv(self, n_spectra: int) -> FloatArray:
        headers = self.flux.header, self.file.primary
        return settle_ebv(self.options, self.layout.ebv, self.layout.ebv_by, headers, n_spectra, self.questions)

    def _fwhm(self, grid: Grid, n_spectra: int) -> FloatArray | None:
        stated = (
            (given_fwhm(self.options.fwhm, grid.wavelength, self.where), AS_GIVEN),
            (self.layout.fwhm, f"as {self.layout.survey} has it"),
            stated_by_header(self.flux.header, self.file.primary),
        )
        return settle_fwhm(stated, grid.wavelength, n_spectra, self.questions, grid.pixels)

    def _image(self) -> tuple[tuple[int, int] | None, WCS | None]:
        """Image that the spectra of a cube form, and its celestial WCS."""
        shape = self.flux.shape
        if len(shape) < 3:
            return None, None
        x, y = (number for number in (1, 2, 3) if number != self.axis)
        wcs, lost = sky_wcs(self.flux.header, (x, y))
        self.questions.warn(lost)
        return (int(shape[3 - y]), int(shape[3 - x])), wcs


def _name(file: FitsFile, hdu: Any) -> str:
    return f"HDU {file.number(hdu)} {hdu.name}".rstrip()


@overload
def _kept(bulk: Bulk, grid: Grid) -> Bulk: ...
@overload
def _kept(bulk: Bulk | None, grid: Grid) -> Bulk | None: ...
def _kept(bulk: Bulk | None, grid: Grid) -> Bulk | None:
    """The pixels that have a wavelength."""
    return bulk if bulk is None or grid.pixels is None else PartBulk(bulk, pixels=grid.pixels)


def _bulk(hdu: Any, axis: int, where: str, target: Bulk | None = None) -> Bulk:
    """Spectra of an image HDU; values along the wavelength alone are repeated for every spectrum of `target`."""
    n_axes = len(hdu.shape)
    if target is not None and tuple(size for size in hdu.shape if size > 1) == target.shape[1:]:
        return StackBulk(hdu if n_axes == 1 else np.ravel(hdu.data), where, target.shape)
    if target is not None and n_axes < 3 and np.prod(hdu.shape) == target.shape[0] and hdu.shape != target.shape:
        return ConstantBulk(np.asarray(hdu.data).ravel(), target.shape[1])
    if axis > n_axes:
        raise ReadError(f"{where}: has no axis {axis}, along which the wavelengths of the flux run.")
    if n_axes == 3 and axis == 3:
        return CubeBulk(hdu, where)
    if axis == 1 and n_axes < 3:
        return StackBulk(hdu, where)
    spectra = np.moveaxis(hdu.data, n_axes - axis, -1)  # an unusual order; read whole
    return StackBulk(spectra.reshape(-1, spectra.shape[-1]), where)


def _beside(file: FitsFile, key: str | int, bulk: Bulk, axis: int) -> Bulk:
    """HDU with one value for each flux value."""
    hdu = file[key]
    where = f"{file.path}, {_name(file, hdu)}"
    if not hdu.is_image or not hdu.shape or 0 in hdu.shape:
        raise ReadError(f"{where}: is no image, or an empty one.")
    found = _bulk(squeezed(hdu), axis, where, bulk)
    if found.shape != bulk.shape:
        raise ReadError(
            f"{where}: {found.shape[0]} spectra of {found.shape[1]} pixels do not match the flux, {bulk.shape[0]} of "
            f"{bulk.shape[1]}."
        )
    return found
