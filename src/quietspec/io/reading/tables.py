"""Spectra in the columns of a table: FITS, ECSV or CSV; one spectrum down the columns, or one a row."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.io.reading.axes import header_medium
from quietspec.io.reading.bulk import StackBulk
from quietspec.io.reading.content import Content, Questions
from quietspec.io.reading.conventions import (
    FLUX_NAMES,
    FWHM_NAMES,
    LOG_WAVELENGTH_NAMES,
    MASK_NAMES,
    NOISE_NAMES,
    REDSHIFT_NAMES,
    RESOLUTION_NAMES,
    WAVELENGTH_NAMES,
    find_name,
    header_redshift,
    noise_kind_of,
)
from quietspec.io.reading.noise_units import NoiseScale, StatedNoise, noise_scale
from quietspec.io.reading.options import NoiseKind, ReadOptions
from quietspec.io.reading.units import flux_scale, to_angstrom
from quietspec.wavelengths import Medium

__all__ = ["Columns", "TableLayout", "fits_columns", "read_text_table", "table_content"]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of one table.

    Parameters
    ----------
    path : Path
        The file.
    where : str
        The file and HDU, for messages.
    values : mapping of str to array
        (n_pixels,) where one spectrum runs down the column, (n_spectra, n_pixels) where each row is one.
    units : mapping of str to (str or None)
        By column.
    header : mapping
        Header or metadata.
    """

    path: Path
    where: str
    values: Mapping[str, npt.NDArray[Any]]
    units: Mapping[str, str | None]
    header: Mapping[str, Any] = field(default_factory=dict)

    def find(self, given: str | int | None, names: tuple[str, ...]) -> str | None:
        """Name of the column the user gave, else of the first with a conventional name; None if there is none."""
        if given is None:
            return find_name(self.values, names)
        name = find_name(self.values, [str(given).lower()])
        if name is None:
            raise ReadError(f"{self.where}: has no column {given!r}; it has {', '.join(self.values)}.")
        return name

    def rows(self, name: str) -> npt.NDArray[Any]:
        """One column as (n_spectra, n_pixels)."""
        return np.atleast_2d(self.values[name])


@dataclass(frozen=True, kw_only=True)
class TableLayout:
    """What a survey's table leaves unsaid.

    Parameters
    ----------
    survey : str
        Name of the format.
    medium : {'air', 'vacuum'}, optional
        What its wavelengths are in, where nothing in the header says.
    unit : str, optional
        Of the flux, where the column has none.
    bad_bits : int, optional
        Bits of the mask that mean bad; any by default.
    redshift : float, optional
        From the header or a column otherwise.
    fwhm : callable, optional
        Function of columns and wavelengths (Å) that gives the instrumental FWHM in Å.
    warnings : tuple of str
        What the user should know.
    meta : mapping
        Further facts.
    """

    survey: str = "table"
    medium: Medium | None = None
    unit: str | None = None
    bad_bits: int | None = None
    redshift: float | None = None
    fwhm: Callable[[Columns, FloatArray], FloatArray | None] | None = None
    warnings: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)


def fits_columns(path: Path, hdu: Any, number: int) -> Columns:
    """Columns of a FITS table HDU."""
    values = {name: np.asarray(hdu.data[name]) for name in hdu.columns.names}
    units = {column.name: column.unit for column in hdu.columns}
    where = f"{path}, HDU {number} {hdu.name}".rstrip()
    return Columns(path=path, where=where, values=values, units=units, header=hdu.header)


def read_text_table(path: Path) -> Columns:
    """Read an ECSV or CSV file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Columns
        Masked values are NaN.

    Raises
    ------
    ReadError
        If it is not text, or not a table.
    """
    from astropy.table import Table

    with path.open("rb") as file:
        head = file.read(4096)
    if b"\0" in head:
        raise ReadError(f"{path}: is neither FITS nor a text table (ECSV, CSV).")
    formats = ["ascii.ecsv"] if head.startswith(b"# %ECSV") else ["ascii.csv", "ascii.basic"]
    for name in formats:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                table = Table.read(path, format=name)
        except (
            ValueError,
            OSError,
            UnicodeDecodeError,
            KeyError,
            IndexError,
            TypeError,
        ) as error:  # astropy.io.ascii's
            failure: Exception = error
            continue
        if len(table) and len(table.columns) > 1:
            break
        failure = ValueError("fewer than two columns or no rows")
    else:
        raise ReadError(f"{path}: is neither FITS nor a table in ECSV or CSV ({failure}).") from failure
    values = {name: _plain(column) for name, column in table.columns.items()}
    units = {name: None if column.unit is None else str(column.unit) for name, column in table.columns.items()}
    return Columns(path=path, where=str(path), values=values, units=units, header=dict(table.meta))


def _plain(column: Any) -> npt.NDArray[Any]:
    values = getattr(column, "value", column)
    if isinstance(values, np.ma.MaskedArray) and values.dtype.kind in "fiu":
        return np.asarray(np.ma.filled(values.astype(np.float64), np.nan))
    return np.asarray(values)


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
        One spectrum, or one a row of vector columns.

    Raises
    ------
    ReadError
        If a column is missing, or something cannot be settled.
    """
    questions = Questions(columns.where)
    name = columns.find(options.flux_hdu, FLUX_NAMES)
    if name is None:
        raise ReadError(
            f"{columns.where}: no column of flux among {', '.join(columns.values)}. Name it: --flux-hdu COLUMN."
        )
    flux = columns.rows(name)
    if flux.dtype.kind not in "fiu":
        raise ReadError(f"{columns.where}: the column {name} does not hold numbers.")
    wavelength, told = _wavelength(columns, options)
    if len(wavelength) != flux.shape[1]:
        raise ReadError(f"{columns.where}: {flux.shape[1]} fluxes a spectrum but {len(wavelength)} wavelengths.")
    noise, kind = _noise(columns, options, questions)
    medium = questions.medium(options, _ucd_medium(columns.header), header_medium(columns.header), layout.medium)
    text = columns.units.get(name) or layout.unit
    scale = flux_scale(text, wavelength, columns.where, options.flux_unit)
    bulk = StackBulk(flux, columns.where)
    errors = None if noise is None else StackBulk(columns.rows(noise), columns.where)
    read_as = NoiseScale(kind=kind)
    if noise is not None and errors is not None:
        certain = options.noise_kind is not None
        stated = StatedNoise(values=errors, unit=columns.units.get(noise), kind=kind, certain=certain)
        read_as = noise_scale(stated, bulk, scale, wavelength)
    questions.ask(read_as.question)
    questions.settle()
    mask = columns.find(options.mask_hdu, MASK_NAMES)
    return Content(
        survey=layout.survey,
        path=columns.path,
        wavelength=wavelength,
        medium=medium,
        flux=bulk,
        noise=errors,
        noise_kind=read_as.kind,
        mask=None if mask is None else StackBulk(columns.rows(mask), columns.where),
        bad_bits=layout.bad_bits if options.mask_hdu is None else None,
        redshift=_redshift(columns, options, layout, len(flux)),
        fwhm=_fwhm(columns, options, layout, wavelength),
        unit=scale.unit,
        units=options.flux_unit or scale.text or "",
        factor=scale.factor,
        noise_factor=read_as.factor,
        warnings=(*layout.warnings, *(note for note in (told, scale.warning, read_as.warning) if note)),
        meta=layout.meta,
    )


def _wavelength(columns: Columns, options: ReadOptions) -> tuple[FloatArray, str | None]:
    name = columns.find(None, WAVELENGTH_NAMES + LOG_WAVELENGTH_NAMES)
    if name is None:
        raise ReadError(f"{columns.where}: no column of wavelengths (wave, wavelength, lambda or loglam).")
    rows = columns.rows(name).astype(np.float64)
    if not np.all(rows == rows[0]):
        raise ReadError(f"{columns.where}: the spectra have different wavelengths. Read them from files of their own.")
    unit = options.wavelength_unit or columns.units.get(name)
    if name.lower() in LOG_WAVELENGTH_NAMES:
        unit = None if unit and "log" in unit.lower() else unit
        return to_angstrom(10 ** rows[0], unit or "Angstrom", columns.where)
    return to_angstrom(rows[0], unit, columns.where)


def _noise(columns: Columns, options: ReadOptions, questions: Questions) -> tuple[str | None, NoiseKind]:
    name = columns.find(options.noise_hdu, tuple(NOISE_NAMES))
    if name is None:
        if not options.noise_from_residuals:
            questions.ask(
                "found flux but no column of variance, error or ivar beside it.\nGive the noise: "
                "--noise-hdu COLUMN, or --noise-from-residuals to estimate it from the spectrum itself."
            )
        return None, "sigma"
    kind = options.noise_kind or noise_kind_of(name)
    if kind is None:
        questions.ask(f"column {name} could hold errors, variances or inverse variances.\nGive it: --noise-kind KIND.")
    return name, kind or "sigma"


def _ucd_medium(header: Mapping[str, Any]) -> Medium | None:
    """Medium by the unified content descriptor of the wavelength column (ESO Science Data Products Standard 6)."""
    for key, value in header.items():
        if str(key).startswith("TUCD") and str(value).startswith("em.wl"):
            return "air" if "obs.atmos" in str(value) else "vacuum"
    return None


def _redshift(columns: Columns, options: ReadOptions, layout: TableLayout, n_spectra: int) -> FloatArray:
    known: Any = options.redshift if options.redshift is not None else layout.redshift
    name = find_name(columns.values, REDSHIFT_NAMES)
    if known is None and name is not None and columns.values[name].shape == (n_spectra,):
        known = columns.values[name]
    if known is None:
        known = header_redshift(columns.header)
    return np.broadcast_to(np.asarray(np.nan if known is None else known, dtype=np.float64), (n_spectra,))


def _fwhm(columns: Columns, options: ReadOptions, layout: TableLayout, wavelength: FloatArray) -> FloatArray | None:
    if options.fwhm is not None:
        return np.full(len(wavelength), options.fwhm)
    if layout.fwhm is not None:
        return layout.fwhm(columns, wavelength)
    fwhm, resolution = (find_name(columns.values, names) for names in (FWHM_NAMES, RESOLUTION_NAMES))
    if fwhm is not None:
        return np.squeeze(columns.values[fwhm].astype(np.float64))
    if resolution is not None:
        return np.squeeze(wavelength / columns.values[resolution].astype(np.float64))
    return None
