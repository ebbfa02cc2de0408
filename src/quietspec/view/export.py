"""What is shown, as FITS files to take away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from quietspec import __version__
from quietspec.arrays import FloatArray
from quietspec.errors import ViewError
from quietspec.view.document import Document
from quietspec.view.query import document_of, integer_of, shape_of
from quietspec.view.regions import Stop, rows_inside, sum_of
from quietspec.view.sums import DataSums

if TYPE_CHECKING:
    import astropy.units as u

__all__ = ["EXPORTS", "Exported", "fits_bytes", "origin", "summed_columns"]

Exported = tuple[str, bytes]


def spectrum_fits(documents: Sequence[Document], query: Mapping[str, str], stop: Stop) -> Exported:
    """One spectrum as a table."""
    document = document_of(documents, query)
    row = document.row_at(integer_of(query, "row"))
    shown = vars(_spectra(document).read([row]))
    columns = {name: values[0] for name, values in shown.items() if values is not None}
    cards = {"SPECTRUM": (row, "number, from 0"), "REDSHIFT": (document.redshift(row), "redshift used")}
    return f"{document.path.stem}_{_place(document, row)}.fits", _table(document, columns, cards)


def region_fits(documents: Sequence[Document], query: Mapping[str, str], stop: Stop) -> Exported:
    """The sum of a region as a table."""
    document = document_of(documents, query)
    columns, n_summed, words = summed_columns(document, rows_inside(shape_of(query), document.shape), stop)
    cards = {"NSPAX": (n_summed, "spaxels summed"), "REGION": (query["shape"], "")}
    return f"{document.path.stem}_region.fits", _table(document, columns, cards, words)


def summed_columns(
    document: Document, rows: npt.NDArray[np.intp], stop: Stop
) -> tuple[dict[str, npt.NDArray[Any]], int, str]:
    """Spectrum of a region, the number of spaxels in it, and what its error is, in words.

    Parameters
    ----------
    document : Document
        The file.
    rows : (n,) of int
        Numbers of the spectra.
    stop : callable
        Whether nobody waits for the answer any more.

    Returns
    -------
    columns : dict of str to (n_pixels,)
        The posterior of the summed data where these are at hand, else sums of estimates: fields of `Sum`.
    n_summed : int
        Spaxels that were summed.
    words : str
        What the errors are.
    """
    if document.no_data:
        found = sum_of(document, rows, stop)
        fields = {name: values for name, values in vars(found).items() if isinstance(values, np.ndarray)}
        return fields, found.n_summed, found.words
    known = DataSums.of(document).sum(rows, stop)
    spectra = known.denoised.spectra
    given = {"input": spectra.flux[0], "input_sigma": spectra.sigma[0]}
    seen = {name: np.where(spectra.good[0], values, np.nan) for name, values in given.items()}
    return {"flux": known.denoised.flux[0], "sigma": known.denoised.sigma[0], **seen}, known.n_summed, known.words


def map_fits(documents: Sequence[Document], query: Mapping[str, str], stop: Stop) -> Exported:
    """A map with its errors as images."""
    document = document_of(documents, query)
    if document.shape is None:
        raise ViewError(f"{document.path.name}: its spectra form no image.")
    name = query.get("name", "")
    sky = None if document.wcs is None else document.wcs.celestial.to_header(relax=True)
    hdus = [fits.PrimaryHDU(header=origin(document))]
    for suffix, values in (("", document.values(name)), ("_ERR", document.errors(name))):
        if values is not None:
            hdus.append(fits.ImageHDU(np.reshape(values, document.shape), sky, name=f"{name}{suffix}"))
    return f"{document.path.stem}_{name.replace(':', '_')}.fits", fits_bytes(hdus)


def _spectra(document: Document) -> Any:
    if document.spectra is None:
        raise ViewError(f"{document.path.name}: holds maps, no spectra.")
    return document.spectra


def _place(document: Document, row: int) -> str:
    if document.shape is None:
        return f"spectrum{row}"
    y, x = divmod(row, document.shape[1])
    return f"x{x}_y{y}"


def origin(document: Document) -> fits.Header:
    """Header that says which file something is taken from."""
    header = fits.Header()
    header["QSVERS"] = (__version__, "version of quietspec")
    header["QSINPUT"] = (document.path.name.encode("ascii", "replace").decode(), "taken from")
    return header


def _table(
    document: Document, columns: Mapping[str, npt.NDArray[Any]], cards: Mapping[str, Any], comment: str = ""
) -> bytes:
    """Columns beside the wavelength, as a FITS file."""
    source = _spectra(document).source
    unit = _unit(source.unit)
    wavelength: FloatArray = source.wavelength
    parts = [fits.Column("wavelength", "D", unit="Angstrom", array=wavelength)]
    for name, values in columns.items():
        integer = values.dtype.kind in "iu"
        parts.append(fits.Column(name, "B" if integer else "E", unit=None if integer else unit, array=values))
    table = fits.BinTableHDU.from_columns(parts, name="SPECTRUM")
    table.header["AIRORVAC"] = (source.medium, "medium of the wavelengths")
    for key, (value, about) in cards.items():
        if not (isinstance(value, float) and not np.isfinite(value)):
            table.header[key] = (value, about)
    if comment:
        table.header.add_comment(comment)
    return fits_bytes([fits.PrimaryHDU(header=origin(document)), table])


def _unit(unit: u.UnitBase) -> str:
    try:
        return str(unit.to_string("fits"))
    except ValueError:
        return str(unit.to_string())


def fits_bytes(hdus: Sequence[Any]) -> bytes:
    """A FITS file in memory."""
    with BytesIO() as file:
        fits.HDUList(hdus).writeto(file, checksum=True)
        return file.getvalue()


#: Files by the name under which they are asked for.
EXPORTS: Mapping[str, Callable[[Sequence[Document], Mapping[str, str], Stop], Exported]] = {
    "spectrum.fits": spectrum_fits, "region.fits": region_fits, "map.fits": map_fits,
}  # fmt: skip
