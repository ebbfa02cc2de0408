"""Regions that are kept as bins: a FITS file with their image, spectra and labels, and a region file of ds9."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from quietspec.errors import ViewError
from quietspec.view.document import Document
from quietspec.view.export import Exported, fits_bytes, origin, summed_columns
from quietspec.view.query import document_of, shapes_of
from quietspec.view.regions import Stop, rows_inside
from quietspec.view.sums import DataSums

__all__ = ["BIN_EXPORTS", "bin_numbers", "ds9_region"]

_COLUMNS = {  # names beside labels, of which `sigma` is one
    "flux": "flux", "sigma": "flux_err", "sigma_independent": "flux_err_independent", "input": "input",
    "input_sigma": "input_err",
}  # fmt: skip
_ABOUT_NUMBER = "bin of each spaxel from 0, -1 for none; quietspec: denoised.bin(BINID)"


def bin_numbers(shapes: Sequence[Mapping[str, Any]], image: tuple[int, int] | None) -> npt.NDArray[np.int32]:
    """Number the spaxels by the region in which their centres lie.

    Parameters
    ----------
    shapes : sequence of mapping
        Regions, as for `rows_inside`.
    image : (ny, nx) or None
        Shape of the image.

    Returns
    -------
    (ny, nx) of int
        From 0 in the order of the regions; −1 for none. A spaxel in several belongs to the first.

    Raises
    ------
    ViewError
        If a region is malformed, or the ones before it leave it no spaxel.

    Examples
    --------
    >>> one, other = ({"type": "rectangle", "x0": x, "y0": 0, "x1": x + 1, "y1": 0} for x in (0, 1))
    >>> bin_numbers([one, other], (2, 4))
    array([[ 0,  0,  1, -1],
           [-1, -1, -1, -1]], dtype=int32)
    """
    number = np.full(int(np.prod(image or (0, 0))), -1, dtype=np.int32)
    for label, shape in reversed(list(enumerate(shapes))):
        number[rows_inside(shape, image)] = label
    lost = sorted(set(range(len(shapes))) - set(number.tolist()))
    if lost:
        raise ViewError(f"region {lost[0] + 1} has no spaxel of its own: all of its spaxels are in those before it.")
    return number.reshape(image or (0, 0))


def ds9_region(shape: Mapping[str, Any], name: str) -> str:
    """Write a region as a line of a ds9 file, in image coordinates, which count from 1.

    Parameters
    ----------
    shape : mapping
        As for `rows_inside`.
    name : str
        Its text.

    Returns
    -------
    str
        The line. A rectangle covers its outermost spaxels as a whole.

    Examples
    --------
    >>> ds9_region({"type": "rectangle", "x0": 1, "y0": 0, "x1": 4, "y1": 2}, "1")
    'box(3.5,2,4,3,0) # text={1}'
    """
    if shape["type"] == "circle":
        words = f"circle({shape['x'] + 1:.8g},{shape['y'] + 1:.8g},{shape['r']:.8g})"
    elif shape["type"] == "polygon":
        words = "polygon({})".format(",".join(f"{value + 1:.8g}" for point in shape["points"] for value in point))
    else:
        (x0, x1), (y0, y1) = (sorted(round(shape[name]) for name in ends) for ends in (("x0", "x1"), ("y0", "y1")))
        words = f"box({(x0 + x1) / 2 + 1:.8g},{(y0 + y1) / 2 + 1:.8g},{x1 - x0 + 1},{y1 - y0 + 1},0)"
    return f"{words} # text={{{name}}}"


def bins_region(documents: Sequence[Document], query: Mapping[str, str], stop: Stop) -> Exported:
    """The regions as a file that `quietspec measure --aperture` and ds9 read."""
    document, shapes = document_of(documents, query), shapes_of(query)
    for shape in shapes:
        rows_inside(shape, document.shape)  # whether it is well formed
    lines = ["# Region file format: DS9", "image", *(ds9_region(shape, str(n + 1)) for n, shape in enumerate(shapes))]
    return f"{document.path.stem}_bins.reg", ("\n".join(lines) + "\n").encode()


def bins_fits(documents: Sequence[Document], query: Mapping[str, str], stop: Stop) -> Exported:
    """The regions with their image BINID, and with the sum of each where the file has spectra."""
    document, shapes = document_of(documents, query), shapes_of(query)
    sky = None if document.wcs is None else document.wcs.celestial.to_header(relax=True)
    number = fits.ImageHDU(bin_numbers(shapes, document.shape), sky, name="BINID")
    number.header.add_comment(_ABOUT_NUMBER)
    hdus = [fits.PrimaryHDU(header=origin(document)), number]
    return f"{document.path.stem}_bins.fits", fits_bytes([*hdus, *_sums(document, shapes, stop)])


def _sums(document: Document, shapes: Sequence[Mapping[str, Any]], stop: Stop) -> list[Any]:
    """Table BINS, one row per region, and WAVE."""
    from astropy.table import Table

    table: dict[str, list[Any]] = {"bin": list(range(len(shapes))), "region": [json.dumps(shape) for shape in shapes]}
    words = ""
    for rows in (rows_inside(shape, document.shape) for shape in shapes):
        table.setdefault("n_spaxels", []).append(len(rows))
        if document.spectra is None:
            continue
        columns, _, words = summed_columns(document, rows, stop)
        columns = {_COLUMNS[name]: values for name, values in columns.items()}
        if not document.no_data:
            columns |= _labels(document, rows, stop)
        for name, values in columns.items():
            table.setdefault(name, []).append(np.float32(values))
    width = max(map(len, table.values()))
    hdu = fits.BinTableHDU(Table({name: values for name, values in table.items() if len(values) == width}), name="BINS")
    hdu.header.add_comment(words or "The file holds maps, no spectra to sum.")
    if document.spectra is None:
        return [hdu]
    wavelength = fits.Column("wavelength", "D", unit="Angstrom", array=document.spectra.source.wavelength)
    return [hdu, fits.BinTableHDU.from_columns([wavelength], name="WAVE")]


def _labels(document: Document, rows: npt.NDArray[np.intp], stop: Stop) -> dict[str, Any]:
    """Labels of a sum with their errors, as columns."""
    found: dict[str, Any] = {}
    for label in DataSums.of(document).sum(rows, stop).labels:
        name = label["name"].lower()
        found[name] = label["value"]
        if label["error"] is not None:
            found[f"{name}_err"] = label["error"]
    return found


#: Files of kept regions by the name under which they are asked for.
BIN_EXPORTS: Mapping[str, Callable[[Sequence[Document], Mapping[str, str], Stop], Exported]] = {
    "bins.fits": bins_fits, "bins.reg": bins_region,
}  # fmt: skip
