"""The HDU POSTERIOR of denoised files, and the instrumental resolutions that belong to it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from quietspec.arrays import FloatArray
from quietspec.compact import CODES, Code, CompactPosterior
from quietspec.errors import ReadError
from quietspec.io.reading.hdu import Hdu, readable

__all__ = ["posterior_hdu", "read_posterior", "read_resolution", "read_some_posteriors", "resolution_hdu"]

_COLUMNS = (  # in order, beside the number of the spectrum
    "unit", "scale", "motions", "populations", "change", "moments", "calibration", "gas", "root", "log_root_size",
    "log_snr", "sky",
)  # fmt: skip
_FORMATS = {"f8": "D", "f4": "E", "i2": "I", "u1": "B", "i4": "J", "i8": "K"}
_SETTINGS = "QSPOST"
_FWHM = Code(0.0, 1e-7, np.int32)  # of ln FWHM (Å)
_UNKNOWN = int(np.iinfo(np.int32).min)


def posterior_hdu(parts: list[tuple[npt.NDArray[np.intp], CompactPosterior]]) -> fits.BinTableHDU | None:
    """Table of the compact posteriors of a whole output; None where no spectrum has one.

    Parameters
    ----------
    parts : list of ((n,) of int, CompactPosterior of n spectra)
        Spectra with an estimate, in any order, and their numbers in the output. The list is emptied as the table is
        filled, so that memory does not hold all of them twice.

    Returns
    -------
    astropy.io.fits.BinTableHDU or None
        ``POSTERIOR``: a row for each spectrum with an estimate, whose number (from 0) is in column `spectrum`.
    """
    rows = np.concatenate([np.empty(0, np.intp), *(numbers for numbers, _ in parts)])
    if not rows.size:
        return None
    table, settings = _empty_table(parts, len(rows)), parts[0][1].settings
    values, places = table.data.view(np.ndarray), np.empty(len(rows), np.intp)
    places[np.argsort(rows)] = np.arange(len(rows))
    values["spectrum"][places] = rows
    while parts:
        numbers, part = parts.pop()
        places, here = np.split(places, [len(places) - len(numbers)])
        for name in values.dtype.names[1:]:
            _fill(values[name], here, getattr(part, name))
    for number, name in enumerate(values.dtype.names, start=1):
        if name in CODES:
            table.header[f"TSCAL{number}"], table.header[f"TZERO{number}"] = CODES[name].step, CODES[name].zero
    table.header[_SETTINGS] = json.dumps(dict(settings))
    table.header.add_comment("What the covariance between pixels follows from, with the model named in QSHASH.")
    table.header.add_comment("quietspec.Denoised.read(FILE) turns it into covariances, draws, indices and sums.")
    return table


def _empty_table(parts: list[tuple[npt.NDArray[np.intp], CompactPosterior]], n: int) -> fits.BinTableHDU:
    """Table of n rows of zeros, wide enough for all parts; columns without elements, as those of gas, are left out."""
    columns = [fits.Column("spectrum", _FORMATS["i4"])]
    for name in _COLUMNS:
        arrays = [getattr(part, name) for _, part in parts]
        count = "" if arrays[0].ndim == 1 else str(max(array.shape[1] for array in arrays))
        if count != "0":
            columns.append(fits.Column(name, count + _FORMATS[arrays[0].dtype.str[1:]]))
    return fits.BinTableHDU.from_columns(columns, nrows=n, name="POSTERIOR")


def _fill(column: npt.NDArray[Any], rows: npt.NDArray[np.intp], values: npt.NDArray[Any]) -> None:
    """Set some rows of a column, which may have more elements than the values."""
    if column.ndim == 1:
        column[rows] = values.reshape(len(rows))
    else:
        column[rows, : values.shape[1]] = values


def read_posterior(hdu: Hdu, n_spectra: int) -> CompactPosterior:
    """Invert `posterior_hdu`.

    Parameters
    ----------
    hdu : Hdu
        ``POSTERIOR``.
    n_spectra : int
        Number of spectra of the file.

    Returns
    -------
    CompactPosterior
        Of all spectra.

    Raises
    ------
    ReadError
        If it is not as `posterior_hdu` writes it.
    """
    table = hdu.data
    with readable(hdu.where):
        rows = table["spectrum"].astype(np.intp)
        if rows.size == 0 or rows.min() < 0 or rows.max() >= n_spectra:
            raise ReadError(f"{hdu.where}: names spectra that the file does not have. Denoise the original file again.")
        return _posteriors(hdu, table, len(rows)).on(rows, n_spectra)


def read_some_posteriors(hdu: Hdu, spectra: npt.NDArray[np.intp]) -> CompactPosterior:
    """Read the compact posteriors of some spectra, and of no others.

    Parameters
    ----------
    hdu : Hdu
        ``POSTERIOR``.
    spectra : (n,) of int
        Their numbers.

    Returns
    -------
    CompactPosterior
        Of these, in order; rows of zeros where the file has none.

    Raises
    ------
    ReadError
        If it is not as `posterior_hdu` writes it, or has none of these spectra.
    """
    places = np.array([_place(hdu, int(spectrum)) for spectrum in spectra], dtype=np.intp)
    known = np.flatnonzero(places >= 0)
    if not known.size:
        raise ReadError(f"{hdu.where}: has no posterior of these spectra.")
    return _posteriors(hdu, hdu.some_rows(places[known]), len(known)).on(known, len(spectra))


def _place(hdu: Hdu, spectrum: int) -> int:
    """Row of a spectrum in the table, by halving, since rows are in order; −1 where it has none."""
    low, high = 0, int(hdu.header["NAXIS2"])
    while low < high:
        middle = (low + high) // 2
        found = int(hdu.some_rows(np.array([middle]))["spectrum"][0])
        if found == spectrum:
            return middle
        low, high = (middle + 1, high) if found < spectrum else (low, middle)
    return -1


def _posteriors(hdu: Hdu, table: Any, n: int) -> CompactPosterior:
    """Posteriors in the rows of a table."""
    with readable(hdu.where):
        absent = {"gas": np.zeros((n, 0), np.float32), "sky": np.zeros(n, np.float32)}
        absent = {name: array for name, array in absent.items() if name not in hdu.columns.names}
        fields: dict[str, Any] = {name: _field(table, name, n) for name in _COLUMNS if name not in absent} | absent
        return CompactPosterior(settings=json.loads(hdu.header[_SETTINGS]), **fields)


def _field(table: Any, name: str, n: int) -> npt.NDArray[Any]:
    values = table[name]
    if name in CODES:
        return CODES[name].encode(values.reshape(n, -1))
    return np.ascontiguousarray(values, dtype=np.dtype(values.dtype.str.replace(">", "=")))


def resolution_hdu(fwhm: FloatArray) -> list[fits.hdu.base.ExtensionHDU]:
    """Instrumental resolutions of spectra that differ in it.

    Parameters
    ----------
    fwhm : (n_spectra, n_pixels)
        Instrumental FWHM, observed Å.

    Returns
    -------
    list of HDU
        ``LSF``, a compressed image of the distinct ones, and ``LSF_OF``, which of them each spectrum has.
    """
    distinct, which = np.unique(fwhm, axis=0, return_inverse=True)
    logarithm = np.log(np.where(distinct > 0, distinct, np.nan))
    coded = np.where(np.isfinite(logarithm), _FWHM.encode(np.nan_to_num(logarithm)), _UNKNOWN)
    image = fits.CompImageHDU(coded.astype(np.int32), name="LSF", compression_type="RICE_1")
    image.header.add_comment(f"exp({_FWHM.step} x value) is the instrumental FWHM in Angstrom; {_UNKNOWN}: unknown")
    return [image, fits.ImageHDU(which.ravel().astype(np.int32), name="LSF_OF")]


def read_resolution(image: Hdu, which: Hdu, rows: Any = slice(None)) -> FloatArray:
    """Invert `resolution_hdu`, for some spectra: FWHM in Å, (n_spectra, n_pixels), NaN where unknown."""
    with readable(image.where):
        coded = np.asarray(image.data)
        fwhm = np.where(coded == _UNKNOWN, np.nan, np.exp(_FWHM.decode(coded)))
        return np.asarray(fwhm[np.asarray(which.data, dtype=np.intp)[rows]])
