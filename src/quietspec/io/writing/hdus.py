"""The HDUs of a written file, with their axes, units, bit meanings and provenance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import IntFlag
from typing import TYPE_CHECKING, Any, Protocol

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.io import fits

from quietspec.arrays import FloatArray
from quietspec.denoised import Flag
from quietspec.extinction import LAW
from quietspec.io.checksums import UNSET
from quietspec.kinds import Medium
from quietspec.statistics import masked_median

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = [
    "IGNORED", "INPUT_MASKED", "NO_ESTIMATE", "OutputAxes", "bulk_header", "bulk_shape", "fits_text", "primary_header",
    "provenance_table", "spectra_table", "spectrum_images", "wave_table",
]  # fmt: skip

NO_ESTIMATE, INPUT_MASKED, IGNORED = 1, 2, 4  #: bits of the MASK HDU

_MASK_BITS = {
    NO_ESTIMATE: "no estimate: FLUX and VAR are NaN",
    INPUT_MASKED: "masked in the input; the estimate rests on the other pixels",
    IGNORED: "good in the input but left out by the model: emission line, spike",
}
_PARAMETER_UNITS = {"sigma": u.km / u.s, "velocity": u.km / u.s, "a_v": u.mag, "ebv": u.mag}
_LINE_UNITS = {"ew": u.AA, "gas": u.km / u.s, "av": u.mag}  # of quantities of lines, by their first word
_LOGARITHMS = {  # FITS has no unit for them
    "log_age": "log10 of the age in years",
    "log_t50": "log10 of the lookback time in years by which 50 % of the mass had formed",
    "log_t90": "log10 of the lookback time in years by which 90 % of the mass had formed",
    "mh": "[M/H] in dex",
    "log_ml_v": "log10 of M*/L_V in solar units",
}
_CARD = 64  # characters of value and comment that surely share one card; longer values get several cards
_STRAIGHT = 0.01  # pixels by which a wavelength may miss a linear or logarithmic axis; the WAVE table is exact


class OutputAxes(Protocol):
    """What the writer must know about a whole output; `Spectra` and an opened file both have it."""

    @property
    def wavelength(self) -> FloatArray:
        """Observed wavelengths, (n_pixels,), Å."""

    @property
    def medium(self) -> Medium:
        """Air or vacuum."""

    @property
    def fwhm(self) -> FloatArray | None:
        """Instrumental FWHM in Å, (n_pixels,) or (n_spectra, n_pixels)."""

    @property
    def n_spectra(self) -> int:
        """Number of spectra."""

    @property
    def redshift(self) -> FloatArray:
        """Redshifts, (n_spectra,), NaN where unknown."""

    @property
    def ebv(self) -> FloatArray:
        """E(B−V) of the Milky Way for which the flux is not corrected, (n_spectra,), mag."""

    @property
    def unit(self) -> u.UnitBase:
        """Unit of the flux."""

    @property
    def spatial_shape(self) -> tuple[int, int] | None:
        """Shape (ny, nx) of the image that the spectra form."""

    @property
    def wcs(self) -> WCS | None:
        """Celestial WCS of that image."""

    @property
    def meta(self) -> Mapping[str, Any]:
        """Facts about the origin."""


def primary_header(provenance: Mapping[str, tuple[str, str]], history: Sequence[str], axes: OutputAxes) -> fits.Header:
    """Header that says how the file was made.

    Parameters
    ----------
    provenance : mapping of str to (str, str)
        Value and comment by keyword.
    history : sequence of str
        HISTORY lines.
    axes : OutputAxes
        What the output looks like.

    Returns
    -------
    fits.Header
        Header of a primary HDU without data.
    """
    primary = fits.PrimaryHDU()
    header = primary.header
    header["EXTEND"] = True
    header["LONGSTRN"] = ("OGIP 1.0", "long texts go on in CONTINUE cards")
    header["DATE"] = (datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"), "UTC date of writing")
    for keyword, (value, comment) in provenance.items():
        text = fits_text(value)
        written = len(text.replace("'", "''"))  # FITS doubles quotes
        header[keyword] = (text, comment if written + len(comment) < _CARD else "")
    if is_even(axes.wavelength):  # by this specutils, and Specviz, know a spectrum without a loader of ours
        header["DISPAXIS"] = (1 if axes.spatial_shape is None else 3, "axis of FLUX along the wavelength")
    header.extend(redshift_card(axes.redshift))
    header.extend(_extinction_cards(axes.ebv))
    for line in history:
        header.add_history(fits_text(line))
    primary.add_checksum()
    return header


def bulk_header(name: str, dtype: npt.DTypeLike, axes: OutputAxes) -> fits.Header:
    """Header of FLUX, VAR, MASK or RESIDUAL.

    Parameters
    ----------
    name : {'FLUX', 'VAR', 'MASK', 'RESIDUAL'}
        EXTNAME.
    dtype : dtype
        Type of the values.
    axes : OutputAxes
        What the output looks like.

    Returns
    -------
    fits.Header
        Complete, with the WCS, BUNIT, the redshift and room for the checksums.
    """
    header = fits.ImageHDU(np.broadcast_to(np.zeros((), dtype), bulk_shape(axes)), name=name).header
    header["WCSAXES"] = header["NAXIS"]
    if axes.spatial_shape is None:
        header.extend(_spectral_axis(axes.wavelength, axes.medium, 1))
        if header["NAXIS"] > 1:
            header["CTYPE2"] = ("INDEX", "number of the spectrum")
            header["CRPIX2"], header["CRVAL2"], header["CDELT2"] = 1.0, 1.0, 1.0
    else:
        sky = _sky(axes.wcs)
        header.extend(sky, update=True)
        header["WCSAXES"] = header["NAXIS"]
        header.extend(_spectral_axis(axes.wavelength, axes.medium, 3, cd="CD1_1" in sky))
    header["AIRORVAC"] = (axes.medium, "medium of the wavelengths")
    header.extend(redshift_card(axes.redshift))
    if name == "MASK":
        for bit, meaning in _MASK_BITS.items():
            header.add_comment(f"{bit}: {meaning}")
    header["BUNIT"] = "" if name == "MASK" else _unit_string(axes.unit**2 if name == "VAR" else axes.unit)
    header["CHECKSUM"], header["DATASUM"] = UNSET, "0"
    return header


def redshift_card(redshift: FloatArray) -> fits.Header:
    """Header with the redshift of all spectra, or their median; empty where none is known."""
    known = redshift[np.isfinite(redshift)]
    header = fits.Header()
    if known.size:
        which = "of the input" if np.ptp(known) == 0 else "of the input, median of the spectra"
        header["REDSHIFT"] = (float(np.median(known)), which)
    return header


def _extinction_cards(ebv: FloatArray) -> fits.Header:
    """Header with the reddening by the Milky Way that the fluxes still have; empty where none is known."""
    header = fits.Header()
    if ebv.any():
        which = "" if np.ptp(ebv) == 0 else ", median"
        header["EBV"] = (round(float(np.median(ebv)), 5), f"[mag] E(B-V) of the Milky Way{which}")
        header["EBVLAW"] = (LAW, "its law; FLUX is as observed")
    return header


def bulk_shape(axes: OutputAxes) -> tuple[int, ...]:
    """Shape of FLUX and the like: of a cube (n_pixels, ny, nx), of one spectrum (n_pixels,), else one row each."""
    n_pixels = len(axes.wavelength)
    if axes.spatial_shape is not None:
        return n_pixels, *axes.spatial_shape
    return (n_pixels,) if axes.n_spectra == 1 else (axes.n_spectra, n_pixels)


def wave_table(axes: OutputAxes) -> fits.BinTableHDU:
    """Exact wavelengths of the pixels, and the instrumental FWHM where it is known.

    Parameters
    ----------
    axes : OutputAxes
        What the output looks like.

    Returns
    -------
    astropy.io.fits.BinTableHDU
        ``WAVE``: columns `wavelength` and `fwhm` (Å); keyword AIRORVAC is air or vacuum.
    """
    columns = {"wavelength": (axes.wavelength, u.AA)}
    if axes.fwhm is not None:
        columns["fwhm"] = (
            axes.fwhm if axes.fwhm.ndim == 1 else masked_median(axes.fwhm.T, np.isfinite(axes.fwhm.T)),
            u.AA,
        )
    table = _table("WAVE", columns)
    table.header["AIRORVAC"] = (axes.medium, "medium of the wavelengths")
    if axes.fwhm is not None and axes.fwhm.ndim > 1:
        table.header.add_comment("fwhm is the median over the spectra, which differ")
    return table


def spectra_table(values: Mapping[str, npt.NDArray[Any]]) -> fits.BinTableHDU:
    """Tabulate what is known about each spectrum, one row per spectrum.

    Parameters
    ----------
    values : mapping of str to (n_spectra,)
        Columns by name.

    Returns
    -------
    astropy.io.fits.BinTableHDU
        ``SPECTRA``.
    """
    table = _table("SPECTRA", {name: (column, _parameter_unit(name)) for name, column in values.items()})
    _explain_flags(table.header, Flag)
    return table


def spectrum_images(
    values: Mapping[str, npt.NDArray[Any]], axes: OutputAxes, flag_bits: type[IntFlag] = Flag
) -> list[fits.ImageHDU]:
    """Images of what is known about each spaxel; none where the spectra form no image.

    Parameters
    ----------
    values : mapping of str to (n_spectra,)
        Values by name; redshift, E(B−V), and columns that are NaN everywhere, are left out.
    axes : OutputAxes
        What the output looks like.
    flag_bits : type of IntFlag, optional
        Meaning of the bits of ``flags``.

    Returns
    -------
    list of astropy.io.fits.ImageHDU
        Named in upper case, each with the celestial WCS.
    """
    if axes.spatial_shape is None:
        return []
    images = []
    for name, column in values.items():
        if name in ("redshift", "ebv") or not np.isfinite(column).any():
            continue
        dtype = np.float32 if column.dtype.kind == "f" else np.int32
        image = fits.ImageHDU(column.astype(dtype).reshape(axes.spatial_shape), header=_sky(axes.wcs), name=name)
        if (unit := _parameter_unit(name, axes.unit)) is not None:
            image.header["BUNIT"] = _unit_string(unit)
        for start, meaning in _LOGARITHMS.items():
            if name.startswith(start):
                image.header.add_comment(meaning)
        if name == "flags":
            _explain_flags(image.header, flag_bits)
        images.append(image)
    return images


def provenance_table(provenance: Mapping[str, tuple[str, str]]) -> fits.BinTableHDU:
    """Tabulate how the file was made, for readers that show tables and no headers.

    Parameters
    ----------
    provenance : mapping of str to (str, str)
        Value and comment by keyword.

    Returns
    -------
    astropy.io.fits.BinTableHDU
        ``PROVENANCE``: columns `keyword`, `value` and `comment`.
    """
    values, comments = zip(*provenance.values(), strict=True)
    texts = {"keyword": list(provenance), "value": [fits_text(value) for value in values], "comment": comments}
    return _table("PROVENANCE", {name: (np.array(column, dtype=np.str_), None) for name, column in texts.items()})


def _table(name: str, columns: Mapping[str, tuple[npt.NDArray[Any], u.UnitBase | None]]) -> fits.BinTableHDU:
    from astropy.table import QTable

    table = QTable({column: values for column, (values, _) in columns.items()})
    for column, (_, unit) in columns.items():
        table[column].unit = unit
    return fits.BinTableHDU(table, name=name)


def _explain_flags(header: fits.Header, bits: type[IntFlag]) -> None:
    header.add_comment("Bits of flags, 0 where all is well:")
    for flag in bits:
        header.add_comment(f"{flag.value}: {flag.name}")


def _parameter_unit(name: str, flux: u.UnitBase | None = None) -> u.UnitBase | None:
    kind = name.partition("_")[0]
    if kind == "flux" and "_" in name and flux is not None:
        return flux * u.AA
    return _LINE_UNITS.get(kind, _PARAMETER_UNITS.get(name.removesuffix("_err")))


def _sky(wcs: WCS | None) -> fits.Header:
    """Cards of the celestial WCS, as a CD matrix where the input has one: astropy would make it PC and CDELT."""
    if wcs is None:
        return fits.Header()
    sky = wcs.celestial
    header = sky.to_header(relax=True)
    if sky.wcs.has_cd():
        for key in ("PC1_1", "PC1_2", "PC2_1", "PC2_2", "CDELT1", "CDELT2"):
            header.remove(key, ignore_missing=True)
        for i, row in enumerate(sky.wcs.cd, start=1):
            header.update({f"CD{i}_{j}": value for j, value in enumerate(row, start=1)})
    return header


def _spectral_axis(wavelength: FloatArray, medium: Medium, number: int, *, cd: bool = False) -> fits.Header:
    """Cards of the spectral axis: linear or logarithmic where the wavelengths are, otherwise a count of pixels."""
    step_key = f"CD{number}_{number}" if cd else f"CDELT{number}"  # CDELTn may not stand beside a CD matrix
    header = fits.Header()
    kind = "AWAV" if medium == "air" else "WAVE"
    for suffix, even in (("", wavelength), ("-LOG", np.log(wavelength))):
        step = (even[-1] - even[0]) / (len(even) - 1)
        if _is_straight(even):
            header[f"CTYPE{number}"] = (kind + suffix, f"wavelength in {medium}")
            header[f"CUNIT{number}"] = "Angstrom"
            header[f"CRPIX{number}"] = 1.0
            header[f"CRVAL{number}"] = wavelength[0]
            header[step_key] = step * wavelength[0] if suffix else step  # dλ/dpixel at CRPIX
            return header
    header[f"CTYPE{number}"] = ("PIXEL", "a count: see the WAVE table")
    header.add_history("The wavelength steps are uneven: the WAVE table holds the wavelengths.")
    header[f"CRPIX{number}"], header[f"CRVAL{number}"], header[step_key] = 1.0, 1.0, 1.0
    return header


def is_even(wavelength: FloatArray) -> bool:
    """Whether wavelengths rise linearly or logarithmically, so that a header can describe them."""
    return _is_straight(wavelength) or _is_straight(np.log(wavelength))


def _is_straight(values: FloatArray) -> bool:
    step = (values[-1] - values[0]) / (len(values) - 1)
    return bool(np.all(np.abs(values - values[0] - step * np.arange(len(values))) < _STRAIGHT * step))


def _unit_string(unit: u.UnitBase) -> str:
    """Write a unit as the FITS standard does, or, where that has no way to, as astropy does."""
    try:
        return str(unit.to_string("fits"))
    except ValueError:
        return fits_text(unit.to_string())


def fits_text(text: str) -> str:
    """Escape what FITS cannot hold, everything but printable ASCII; drop trailing spaces, which do not count in it."""
    return re.sub(r"[^ -~]", lambda other: other.group().encode("unicode_escape").decode(), text).rstrip(" ")
