"""An HDU as the readers see it: nothing of it is read that memory does not allow, and damage is a `ReadError`."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from quietspec.arrays import FloatArray
from quietspec.errors import QuietspecError, ReadError
from quietspec.io.reading.geometry import BLOCK, Geometry

__all__ = ["Hdu", "faults_named", "readable", "require_memory"]

_IMAGES: dict[str, Any] = {"IMAGE": (fits.ImageHDU, fits.PrimaryHDU), "COMPRESSED": fits.CompImageHDU}
_TABLES: dict[str, Any] = {"BINTABLE": fits.BinTableHDU, "TABLE": fits.TableHDU}
_UNSAFE = ("HCOMPRESS", "PLIO")
_KEYWORD = re.compile(r"[A-Z0-9_-]{0,8}")


class Hdu:
    """An HDU of an open file.

    Parameters
    ----------
    hdu : astropy HDU
        What astropy makes of it.
    geometry : Geometry
        Its checked size.
    where : str
        The file and HDU, for messages.
    max_memory : float
        GB that reading may take at once.

    Attributes
    ----------
    name : str
        EXTNAME in upper case, ``PRIMARY`` for a nameless first one.
    ver : int
        EXTVER.
    where : str
        The file and HDU, for messages.
    header : astropy.io.fits.Header
        Of an image, as if it were not compressed; without cards that cannot be read.
    dropped : list of str
        Keywords of those cards.
    shape : tuple of int
        Axes in numpy's order.
    is_image, is_table : bool
        What it holds.
    contiguous : bool
        Whether values lie in the file as floats, one after the other.
    plain_integers : bool
        Whether they lie there as integers, one after the other and unscaled.
    """

    def __init__(self, hdu: Any, geometry: Geometry, where: str, max_memory: float) -> None:
        self._hdu, self._geometry, self._max_memory = hdu, geometry, max_memory
        self.where = where
        with readable(where):
            self.header, self.dropped = _readable_header(hdu.header)
        self.name = geometry.name
        version = self.header.get("EXTVER", 1)
        self.ver = version if isinstance(version, int) else 1
        self.is_image = isinstance(hdu, _IMAGES[geometry.kind]) if geometry.kind in _IMAGES else False
        self.is_table = geometry.kind in _TABLES and isinstance(hdu, _TABLES[geometry.kind])
        self.shape: tuple[int, ...] = tuple(hdu.shape) if self.is_image else geometry.shape
        if self.is_table:
            with readable(where):
                _name_columns(hdu.header)
        scaled = self.header.get("BSCALE", 1) != 1 or self.header.get("BZERO", 0) != 0
        plain = self.is_image and geometry.kind == "IMAGE" and not scaled
        self.contiguous = plain and self.header["BITPIX"] < 0
        self.plain_integers = plain and self.header["BITPIX"] > 0 and "BLANK" not in self.header

    @property
    def columns(self) -> Any:
        """Columns of a table, as astropy's ``ColDefs``."""
        with readable(self.where):
            return self._hdu.columns

    @property
    def data(self) -> Any:
        """Whole image as an array, or the columns of a table by name."""
        require_memory(self._geometry.unpacked, self._max_memory, self.where)
        self._require_safe_packing()
        with readable(self.where):
            return TableColumns(self._hdu.data, self.where) if self.is_table else self._hdu.data

    def numbers(self, column: str | None = None) -> FloatArray:
        """Return all values of an image, or of a table's column, in double precision.

        Parameters
        ----------
        column : str, optional
            Name of the column.

        Returns
        -------
        array of float
            In the shape of the file; a `ReadError` where there are no values, or no numbers.
        """
        if column is None and (not self.is_image or not self.shape or 0 in self.shape):
            raise ReadError(f"{self.where}: is no image with values.")
        with readable(self.where):
            return np.asarray(self.data if column is None else self.data[column], dtype=np.float64)

    def some_rows(self, numbers: npt.NDArray[np.intp]) -> TableColumns:
        """Return some rows of a table, read alone.

        Parameters
        ----------
        numbers : (n,) of int
            Their numbers, from 0.

        Returns
        -------
        TableColumns
            Their columns by name; a `ReadError` where the table has a heap, or ends before.
        """
        if self.header.get("PCOUNT", 0):
            raise ReadError(f"{self.where}: has a heap, and cannot be read by rows.")
        width, info, found = int(self.header["NAXIS1"]), self.fileinfo(), []
        with readable(self.where):
            for number in numbers.tolist():
                info["file"].seek(info["datLoc"] + number * width)
                found.append(info["file"].read(width))
            header = self._hdu.header.copy()
            header["NAXIS2"] = len(found)
            whole = header.tostring().encode("ascii") + b"".join(found)
            padded = whole + bytes(-len(whole) % BLOCK)
            return TableColumns(fits.BinTableHDU.fromstring(padded).data, self.where)

    @property
    def section(self) -> Self:
        """Parts of an image, to be had by index."""
        return self

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        self._require_safe_packing()
        with readable(self.where):
            return np.asarray(self._hdu.section[key])

    def _require_safe_packing(self) -> None:
        """Refuse what astropy unpacks by C code that damaged tiles make write beyond its arrays."""
        if self._geometry.packing.startswith(_UNSAFE):
            raise ReadError(
                f"{self.where}: is packed by {self._geometry.packing}, which cannot be unpacked safely where a file is "
                "damaged. Unpack it first: funpack FILE."
            )

    def fileinfo(self) -> dict[str, Any]:
        """Return the open ``file`` and ``datLoc``, where the data begin in it."""
        found: dict[str, Any] = self._hdu.fileinfo()
        return found


class TableColumns:
    """Columns of a table, of which each is decoded when asked for.

    Parameters
    ----------
    rows : FITS_rec
        What astropy makes of the table.
    where : str
        The file and HDU, for messages.
    """

    def __init__(self, rows: Any, where: str) -> None:
        self._rows, self._where = rows, where

    def __len__(self) -> int:
        return 0 if self._rows is None else len(self._rows)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        with readable(f"{self._where}, column {name}"):
            return np.asarray(self._rows[name])


def _readable_header(header: fits.Header) -> tuple[fits.Header, list[str]]:
    """Header of the cards that can be read, and the keywords of the others."""
    good: list[fits.Card] = []
    bad: list[fits.Card] = []
    for card in header.cards:
        (good if _is_readable(card) else bad).append(card)
    if not bad:
        return header, []
    return fits.Header(good), [str(card.image[:8]).strip() for card in bad]


def _is_readable(card: fits.Card) -> bool:
    try:
        keyword, value, _ = card.keyword, card.value, card.comment
    except (fits.VerifyError, ValueError, TypeError):
        return False
    if isinstance(value, str) and not (value.isascii() and value.isprintable()):
        return False
    named = _KEYWORD.fullmatch(keyword) is not None or card.image.startswith("HIERARCH")
    return named and (not isinstance(value, float | complex) or bool(np.isfinite(value)))


def _name_columns(header: fits.Header) -> None:
    """Give columns without a name that can be read their numbers for names."""
    for number in range(1, int(header.get("TFIELDS", 0)) + 1):
        name = header.get(f"TTYPE{number}")
        if not isinstance(name, str) or not name.strip():
            header[f"TTYPE{number}"] = f"col{number}"


@contextmanager
def readable(where: str) -> Iterator[None]:
    """Turn whatever a library stumbles over in damaged content into a `ReadError` that names the file and HDU.

    Parameters
    ----------
    where : str
        The file and HDU.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # remarks on the form; what matters is checked here
        try:
            yield
        except QuietspecError:
            raise
        except Exception as error:  # no list of exceptions would be complete
            reason = str(error) or type(error).__name__
            raise ReadError(
                f"{where}: cannot be read ({reason}). Is the file damaged, or did it change while it was open?"
            ) from error


def require_memory(needed: float, max_memory: float, where: str) -> None:
    """Raise `ReadError` where so many bytes are more than may be read at once.

    Parameters
    ----------
    needed : float
        Bytes of an array.
    max_memory : float
        GB allowed.
    where : str
        The file and HDU.
    """
    if needed > max_memory * 1e9:
        raise ReadError(
            f"{where}: to read it takes {needed / 1e9:.1f} GB of memory at once, more than the {max_memory:g} GB "
            f"allowed. If that is right, allow more: max_memory={np.ceil(needed / 1e9) + 1:.0f}."
        )


@contextmanager
def faults_named(where: str) -> Iterator[None]:
    """Have every error name the file; an exception that no reader foresaw becomes a `ReadError` that asks for a report.

    Parameters
    ----------
    where : str
        The file, or the arms of one object.
    """
    try:
        yield
    except QuietspecError as error:
        if not any(part in str(error) for part in where.split(", ")):
            raise type(error)(f"{where}: {error}") from error
        raise
    except Exception as error:  # whatever it is, it must not stop the work on other files
        raise ReadError(
            f"{where}: cannot be read ({type(error).__name__}: {error}). If other programs can, this is a fault of "
            "quietspec: please report it, with the file if you can."
        ) from error
