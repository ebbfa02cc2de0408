"""Spectra in the columns of a table: FITS or text; one spectrum down the columns, or one per row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.io.reading.bulk import Bulk, StackBulk
from quietspec.io.reading.columns import Columns, listed
from quietspec.io.reading.content import Content, Questions
from quietspec.io.reading.conventions import (
    FWHM_NAMES,
    REDSHIFT_NAMES,
    RESOLUTION_NAMES,
    find_name,
    header_redshifts,
    named,
    noise_kind_of,
    rivals,
)
from quietspec.io.reading.grids import Grid, grid_of, hdu_grid, known_grid
from quietspec.io.reading.known import (
    AS_GIVEN,
    StatedResolution,
    given_fwhm,
    settle_ebv,
    settle_fwhm,
    settle_redshift,
    stated_by_header,
)
from quietspec.io.reading.masks import MaskRule, choose_mask, doubt
from quietspec.io.reading.noise_units import StatedNoise, is_share, settled_units
from quietspec.io.reading.options import ReadOptions
from quietspec.kinds import Medium, NoiseKind
from quietspec.medium import stated_media

__all__ = ["TableLayout", "table_content"]


@dataclass(frozen=True, kw_only=True)
class TableLayout:
    """What a survey's table leaves unsaid.

    Parameters
    ----------
    survey : str
        Name of the format.
    flux, noise, mask : str, optional
        Columns; by their names otherwise.
    noise_kind : {'sigma', 'variance', 'ivar'}, optional
        What the noise column holds; by its name otherwise.
    medium : {'air', 'vacuum'}, optional
        What its wavelengths are in, where nothing in the header says.
    unit, wavelength_unit : str, optional
        Of the flux and the wavelengths, where the columns have none.
    bad_bits : int, optional
        Bits of the mask that mean bad; any by default.
    mask_good : bool, optional
        Whether the survey's mask marks good pixels; None where no survey says what its values mean.
    wavelength : (n_pixels,), Grid or callable, optional
        In Å, or a function that settles them; from a column otherwise.
    redshift : float or (n_spectra,), optional
        From the header or a column otherwise.
    ebv : float or (n_spectra,), optional
        E(B−V) of the Milky Way, mag, where the survey is known to leave its fluxes uncorrected.
    ebv_by : str
        By what the survey states it.
    fwhm : callable, optional
        Function of columns and wavelengths (Å) that gives the instrumental FWHM in Å.
    warnings : tuple of str
        What the user should know.
    meta : mapping
        Further facts.
    """

    survey: str = "table"
    flux: str | None = None
    noise: str | None = None
    noise_kind: NoiseKind | None = None
    mask: str | None = None
    medium: Medium | None = None
    unit: str | None = None
    wavelength_unit: str | None = None
    bad_bits: int | None = None
    mask_good: bool | None = None
    wavelength: FloatArray | Grid | Callable[[], Grid] | None = None
    redshift: float | FloatArray | None = None
    ebv: float | FloatArray | None = None
    ebv_by: str = ""
    fwhm: Callable[[Columns, FloatArray], FloatArray | None] | None = None
    warnings: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)


def table_content(columns: Columns, options: ReadOptions, layout: TableLayout) -> Content:
    """Settle the content of a table of spectra.

    Parameters
    ----------
    columns : Columns
        The table.
    options : ReadOptions
        What the user says.
    layout : TableLayout
        What the survey does.

    Returns
    -------
    Content
        One spectrum, or one per row of vector columns.

    Raises
    ------
    ReadError
        If a column is missing, or something cannot be settled; all that is open is asked at once.
    """
    columns = columns.renamed(options)
    questions = Questions(columns.where)
    questions.warn(*layout.warnings)
    chosen = _choose(columns, options, layout, questions)
    columns, wavelength = columns.at(chosen.grid.pixels), chosen.grid.wavelength
    flux = columns.rows(chosen.flux)
    if flux.shape[1:] != wavelength.shape:
        raise ReadError(f"{columns.where}: {flux.shape[1]} fluxes per spectrum but {len(wavelength)} wavelengths.")
    noise = None if chosen.noise is None else columns.bulk(chosen.noise, flux.shape)
    bulk = StackBulk(flux, columns.where)
    mask, rule = _mask(columns, options, layout, chosen, bulk, noise, questions)
    medium = questions.medium(options, _media(columns, layout, chosen.grid))
    stated = None
    if noise is not None and chosen.noise is not None:
        certain = options.noise_kind is not None or layout.noise_kind is not None
        what = named(chosen.noise)
        unit = columns.units.get(chosen.noise) or (None if what is None else what.unit)
        stated = StatedNoise(
            values=noise, unit=unit, kind=chosen.noise_kind, certain=certain, who=f"column {chosen.noise}"
        )
    text = columns.units.get(chosen.flux) or layout.unit
    scale, read_as = settled_units(text, chosen.flux, stated, bulk, wavelength, options, questions)
    questions.settle()
    return Content(
        survey=layout.survey,
        path=columns.path,
        wavelength=wavelength,
        medium=medium,
        flux=bulk,
        noise=noise,
        noise_kind=read_as.kind,
        noise_factor=read_as.factor,
        mask=mask,
        mask_rule=rule,
        redshift=settle_redshift(_redshifts(columns, options, layout), len(flux), questions),
        ebv=settle_ebv(options, layout.ebv, layout.ebv_by, [columns.header], len(flux), questions),
        fwhm=settle_fwhm(_resolutions(columns, options, layout, wavelength), wavelength, len(flux), questions),
        unit=scale.unit,
        units=options.flux_unit or scale.text or "",
        factor=scale.factor,
        warnings=tuple(questions.warnings),
        decisions=tuple(questions.decisions),
        meta=layout.meta,
    )


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """The columns chosen, and the wavelengths."""

    flux: str
    affix: frozenset[str]
    noise: str | None
    noise_kind: NoiseKind
    grid: Grid


def _choose(columns: Columns, options: ReadOptions, layout: TableLayout, questions: Questions) -> _Chosen:
    """Choose the columns of flux and noise, and the wavelengths; whatever is missing is asked at once."""
    flux = _flux(columns, options, layout, questions)
    what = named(flux or "")
    affix = what.affix if what is not None else frozenset()
    grid: Grid | None = None
    noise: str | None = None
    kind: NoiseKind = "sigma"
    if not columns.nameless or options.columns:
        with questions.asking():
            grid = _grid(columns, options, layout, affix)
    if flux is not None:
        noise, kind = _noise(columns, options, layout, flux, questions)
    if flux not in columns.numeric or grid is None:
        questions.medium(options, _media(columns, layout, grid))
        questions.settle()
    if flux is None or grid is None:
        raise ReadError(f"{columns.where}: holds no spectrum.")
    questions.ask(grid.question(options, layout.redshift))
    questions.warn(*grid.warnings)
    questions.decide("wavelengths", grid.how)
    return _Chosen(flux=flux, affix=affix, noise=noise, noise_kind=kind, grid=grid)


def _flux(columns: Columns, options: ReadOptions, layout: TableLayout, questions: Questions) -> str | None:
    """The column of flux, or questions about it."""
    own = options.flux_hdu is None and layout.flux is not None
    flux = layout.flux if own else columns.find(options.flux_hdu, "flux")
    equal = [] if own or options.flux_hdu is not None else rivals(columns.values, "flux")
    if columns.nameless and not options.columns:
        width = len(columns.values)
        more = "" if width == 3 else " (- passes one over)"
        questions.ask(f'no line names its {width} columns.\nName them in order: columns="wave,flux,err"{more}.')
    elif flux is None:
        questions.ask(
            f"no column of flux among {listed(columns.values)}.\nName it: flux_hdu=COLUMN, or all by "
            'columns="wave=COLUMN,flux=COLUMN,err=COLUMN".'
        )
    elif len(equal) > 1:
        questions.ask(f"the flux could be any of the columns {listed(equal)}.\nName it: flux_hdu=COLUMN.")
    elif flux not in columns.numeric:
        questions.ask(f"the column {flux} does not hold numbers.\nName another: flux_hdu=COLUMN.")
    questions.decide("flux", f"column {flux}")
    return flux


def _grid(columns: Columns, options: ReadOptions, layout: TableLayout, affix: frozenset[str]) -> Grid:
    given = options.wave_hdu
    column = find_name(columns.values, [str(given).lower()]) if given is not None else None
    if given is not None and column is None and columns.file is not None:
        return hdu_grid(columns.file, given, options)
    if given is None and layout.wavelength is not None:
        return known_grid(layout.wavelength, f"as {layout.survey} has them")
    name = columns.find(given, "wavelength", affix)
    if name is None:
        raise ReadError(
            f"{columns.where}: no column of wavelengths (wave, wavelength, lambda, loglam, …) among "
            f"{listed(columns.values)}.\nName it: wave_hdu=COLUMN."
        )
    grid = grid_of(
        columns.values[name], name, columns.units.get(name) or layout.wavelength_unit, options, columns.where
    )
    return replace(grid, how=f"column {grid.how}")


def _noise(
    columns: Columns, options: ReadOptions, layout: TableLayout, flux: str, questions: Questions
) -> tuple[str | None, NoiseKind]:
    what = named(flux)
    affix = frozenset[str]() if what is None else what.affix
    own = options.noise_hdu is None and layout.noise is not None
    name = layout.noise if own else columns.find(options.noise_hdu, "noise", affix)
    if name is None or (options.noise_from_residuals and is_share(columns.units.get(name))):
        if not options.noise_from_residuals:
            questions.ask(
                "found no column of variance, error or ivar beside the flux.\nGive the noise: "
                "noise_hdu=COLUMN, or noise_from_residuals=True to estimate it from the spectrum itself."
            )
        return None, "sigma"
    if name not in columns.numeric:
        questions.ask(f"the column {name} does not hold numbers.\nName another: noise_hdu=COLUMN.")
        return None, "sigma"
    kind = options.noise_kind or (layout.noise_kind if own else None) or noise_kind_of(name, flux)
    if kind is None:
        questions.ask(
            f"the column {name} could hold errors, variances or inverse variances.\nGive it: "
            'noise_kind="sigma", noise_kind="variance" or noise_kind="ivar".'
        )
    return name, kind or "sigma"


def _mask(
    columns: Columns,
    options: ReadOptions,
    layout: TableLayout,
    chosen: _Chosen,
    flux: Bulk,
    noise: Bulk | None,
    questions: Questions,
) -> tuple[Bulk | None, MaskRule]:
    """Mask column and how to read it; masks passed over are said."""
    others = [name for name in columns.values if name not in (chosen.flux, chosen.noise)]
    fits = [name for name in others if columns.values[name].dtype.kind in "biuf" and _fits(columns, name, flux.shape)]
    name, passed_over = choose_mask(others, chosen.affix, fits)
    if options.mask_hdu is not None or layout.mask is not None:
        name = columns.find(options.mask_hdu if options.mask_hdu is not None else layout.mask, "mask")
    notes = [
        f"the column {other} looks like a mask and is passed over; use it by mask_hdu={other}" for other in passed_over
    ]
    if layout.mask_good is None and not options.no_mask and options.mask_hdu is None:
        questions.warn(*notes)
    if options.no_mask or name is None:
        questions.decide("mask", "none" if name is None else f"none; the column {name} is passed over")
        return None, MaskRule()
    rule = MaskRule.settled(options, name, layout.bad_bits, good=layout.mask_good)
    mask = columns.bulk(name, flux.shape)
    if layout.mask_good is None:
        questions.ask(doubt(rule, mask, flux, noise, options, f"the column {name}"))
    questions.decide("mask", f"column {name}: {rule}")
    return mask, rule


def _fits(columns: Columns, name: str, shape: tuple[int, int]) -> bool:
    return columns.values[name].shape in (shape, shape[:1], shape[1:], (1, shape[1]))


def _media(columns: Columns, layout: TableLayout, grid: Grid | None) -> dict[str, Medium | None]:
    return {
        "the name of the wavelengths": None if grid is None else grid.medium,
        "the UCD of the wavelengths": _ucd_medium(columns.header),
        **stated_media(columns.header),
        layout.survey: layout.medium,
    }


def _ucd_medium(header: Mapping[str, Any]) -> Medium | None:
    """Medium by the unified content descriptor of the wavelength column (ESO Science Data Products Standard 6)."""
    for key, value in header.items():
        if str(key).startswith("TUCD") and str(value).startswith("em.wl"):
            return "air" if "obs.atmos" in str(value) else "vacuum"
    return None


def _redshifts(columns: Columns, options: ReadOptions, layout: TableLayout) -> list[tuple[Any, str]]:
    """Redshifts by all who state them."""
    name = find_name(columns.numeric, REDSHIFT_NAMES)
    return [
        (options.redshift, AS_GIVEN),
        (layout.redshift, f"as {layout.survey} has it"),
        (None if name is None else columns.values[name], f"column {name}"),
        *header_redshifts(columns.header),
    ]


def _resolutions(
    columns: Columns, options: ReadOptions, layout: TableLayout, wavelength: FloatArray
) -> list[tuple[Any, str]]:
    """Resolutions by all who state them."""
    stated: list[tuple[Any, str]] = [(given_fwhm(options.fwhm, wavelength, columns.where), AS_GIVEN)]
    if layout.fwhm is not None:
        stated.append((layout.fwhm(columns, wavelength), f"as {layout.survey} has it"))
        return stated
    kinds: tuple[tuple[tuple[str, ...], Literal["fwhm", "resolving power"]], ...] = (
        (FWHM_NAMES, "fwhm"), (RESOLUTION_NAMES, "resolving power"),
    )  # fmt: skip
    for names, what in kinds:
        name = find_name(columns.numeric, names)
        if name is not None:
            values = StatedResolution(values=columns.values[name], what=what, unit=columns.units.get(name))
            stated.append((values, f"column {name}"))
    return [*stated, stated_by_header(columns.header)]
