"""Text tables as people write them: ECSV, IPAC, and columns set apart by commas, semicolons, tabs or blanks."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import re
import warnings
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from quietspec.errors import ReadError
from quietspec.io.reading.columns import Columns, as_truth
from quietspec.io.reading.conventions import named, without_unit
from quietspec.io.reading.mistakes import mistaken_for

__all__ = ["read_text_table"]

_LONGEST_LINE = 2**17  # characters, the most that Python's csv takes
_MOST_COLUMNS = 999  # as in FITS
_LIMIT = 2**26  # bytes of text, which take some ten times as much memory; a million pixels take some 50 MB
_HEAD = 4096  # bytes that show what a file is
_PACKED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_COMMENT = re.compile(r"^\s*(?:[#%!]+|//|;(?=\s))")
_RULER = re.compile(r"[\s=+|:-]+")  # drawn below the names
_FACT = re.compile(r"^\W*(?P<key>[A-Za-z_][\w -]*?)\s*[:=]\s*(?P<value>[^:=]+?)\s*$")
_MISSING = {"", "nan", "-nan", "null", "none", "n/a", "na", "indef", "--", "-", "masked", "..."}
_TOKEN = re.compile(r"[^\s,;|(\[]+(?:\s*(?:\([^)]*\)|\[[^\]]*\]))?")  # a name, with its unit in brackets
_DECIMAL_COMMAS = re.compile(r"[-+]?\d+,\d+(\s+[-+]?\d+(,\d+)?([eE][-+]?\d+)?)+")
_SHOWN = 40  # characters of a line in a message


def read_text_table(path: Path, file: IO[bytes]) -> Columns:
    """Read a text table, plain or packed by gzip, bzip2 or xz.

    Parameters
    ----------
    path : Path
        Name of the file.
    file : binary file
        Its content.

    Returns
    -------
    Columns
        Missing values are NaN. Lines of comment like ``# redshift = 0.1`` are its header.

    Raises
    ------
    ReadError
        If it is not text, or not a table.
    """
    text = _text(path, file)
    if text.startswith("# %ECSV"):
        return _by_astropy(path, text, "ascii.ecsv")
    if re.match(r"(\\[^\n]*\n)*\s*\|", text) and not text.rstrip().rpartition("\n")[2].startswith("|"):
        return _by_astropy(path, text, "ascii.ipac")
    comments, lines = _lines(text)
    if any(len(line) > _LONGEST_LINE for line in lines):
        raise ReadError(
            f"{path}: has a line of more than {_LONGEST_LINE:,} characters. A table of spectra has one line per "
            f"wavelength and at most {_MOST_COLUMNS} columns."
        )
    delimiter = _delimiter(lines)
    rows = [_fields(line, delimiter) for line in lines]
    names, rows = _named_rows(path, comments, lines, rows)
    return Columns(
        path=path,
        where=str(path),
        values=_columns(path, [name for name, _ in names], rows),
        units={name: unit for name, unit in names if unit},
        header={key.lower(): value for key, value in map(_fact, comments) if key},
        nameless=all(name == f"col{number}" for number, (name, _) in enumerate(names, start=1)),
    )


def _text(path: Path, file: IO[bytes]) -> str:
    """The file's text, unpacked and decoded."""
    file.seek(0)
    head = file.read(6)
    file.seek(0)
    unpack = next((unpack for magic, unpack in _PACKED.items() if head.startswith(magic)), None)
    try:
        stream = file if unpack is None else unpack(file, "rb")
        head = stream.read(_HEAD)
        _require_text(path, head)
        data = head + stream.read(_LIMIT + 1 - len(head))
    except ReadError:
        raise
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise ReadError(f"{path}: cannot be unpacked ({error}); it is truncated or damaged. Copy it again.") from error
    if len(data) > _LIMIT:
        raise ReadError(f"{path}: holds more than {_LIMIT / 2**20:.0f} MB of text. Give FITS, or part of it.")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _require_text(path: Path, head: bytes) -> None:
    """Raise `ReadError` if a file begins as something else."""
    if head.startswith(b"SIMPLE  ="):
        raise ReadError(f"{path}: is a FITS file packed by bzip2 or xz. Unpack it first: bunzip2 FILE or unxz FILE.")
    what = mistaken_for(head)
    if what is not None:
        raise ReadError(f"{path}: is {what}")


def _by_astropy(path: Path, text: str, form: str) -> Columns:
    from astropy.table import Table

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = Table.read(text.splitlines(), format=form)
    except Exception as error:  # astropy.io.ascii raises whatever the parser of the day does
        first = str(error).strip().partition("\n")[0]
        raise ReadError(
            f"{path}: is not a valid table of the form {form.removeprefix('ascii.').upper()} ({first})."
        ) from error
    if not len(table):
        raise ReadError(f"{path}: is a table without rows.")
    values = {name: _plain(column) for name, column in table.columns.items()}
    units = {name: None if column.unit is None else str(column.unit) for name, column in table.columns.items()}
    keywords = {key: fact.get("value") for key, fact in table.meta.get("keywords", {}).items()}  # as IPAC has them
    return Columns(path=path, where=str(path), values=values, units=units, header={**table.meta, **keywords})


def _plain(column: Any) -> npt.NDArray[Any]:
    values = getattr(column, "value", column)
    if isinstance(values, np.ma.MaskedArray) and values.dtype.kind in "fiu":
        return np.asarray(np.ma.filled(values.astype(np.float64), np.nan))
    return np.asarray(values)


def _lines(text: str) -> tuple[list[str], list[str]]:
    """Lines of comment, without what marks them, and the others."""
    comments, lines = [], []
    for line in text.splitlines():
        if _COMMENT.match(line):
            comments.append(_COMMENT.sub("", line))
        elif not _RULER.fullmatch(line) and line and not line.lower().startswith("sep="):  # the last is Excel's own
            lines.append(line)
    return comments, lines


def _delimiter(lines: list[str]) -> str | None:
    """What sets columns apart; None for blanks, beside which a comma is a decimal one."""
    last = lines[-1].strip() if lines else ""
    if _DECIMAL_COMMAS.fullmatch(last):
        return None
    return next((mark for mark in ("\t", ";", ",", "|") if mark in last), None)


def _fields(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    fields = [field.strip() for field in next(csv.reader([line.strip()], delimiter=delimiter))]
    return fields[1:-1] if delimiter == "|" and len(fields) > 2 and not fields[0] and not fields[-1] else fields


def _number(text: str) -> float:
    """A number as people and Fortran write it (``1,5``, ``1.0D-17``); `ValueError` where it is none."""
    plain = text.strip("\"' ").lower()
    return float("nan") if plain.strip("*") in _MISSING else float(plain.replace(",", ".").replace("d", "e"))


def _all_numbers(texts: list[str]) -> bool:
    try:
        _ = [_number(text) for text in texts]
    except ValueError:
        return False
    return True


def _some_numeric(rows: list[list[str]]) -> bool:
    """Whether rows of words and numbers, below a line of names, make a table with two columns of numbers at least."""
    width, body = len(rows[0]), rows[1:]
    whole = all(len(row) == width for row in body)
    return bool(body) and whole and sum(_all_numbers([row[place] for row in body]) for place in range(width)) > 1


def _named_rows(
    path: Path, comments: list[str], lines: list[str], rows: list[list[str]]
) -> tuple[list[tuple[str, str | None]], list[list[str]]]:
    """Names and units of the columns, and the rows of values; columns that no line names are ``col1`` and so on."""
    numbers = next((place for place, row in enumerate(rows) if len(row) > 1 and _all_numbers(row)), None)
    start = 1 if numbers is None else numbers
    body = rows[start:]
    width = len(body[0]) if body else 0
    if width > _MOST_COLUMNS:
        raise ReadError(
            f"{path}: has {width} columns, more than {_MOST_COLUMNS}. Is it turned? A table of spectra has one line "
            "per wavelength."
        )
    if width < 2 or (numbers is None and not _some_numeric(rows)):
        raise ReadError(f"{path}: is text, but neither FITS nor a table of numbers in columns.")
    above = [row if len(row) == width else _split(line, width) for row, line in zip(rows[:start], lines, strict=False)]
    commented = [_split(comment, width) for comment in comments]
    headers = [header for header in (*commented, *above) if len(header) == width]
    best = max(headers, key=_n_named, default=[])  # a line of units may stand between the names and the numbers
    if _n_named(best):
        below = headers[headers.index(best) + 1 :][:1]
        units = below[0] if best in above and below else [""] * width
        return [(name, own or unit or None) for (name, own), unit in zip(_told(best), units, strict=True)], body
    if above and len(above[-1]) == width:
        return _told(above[-1]), body
    return [(f"col{number}", None) for number in range(1, width + 1)], body


def _n_named(fields: list[str]) -> int:
    """How many names of a line say what a column holds."""
    return sum(named(name) is not None for name, _ in _told(fields))


def _told(fields: list[str]) -> list[tuple[str, str | None]]:
    """Name and unit of every column; one without a name, or with that of another, is called by its number."""
    told: list[tuple[str, str | None]] = []
    for number, field in enumerate(fields, start=1):
        name, unit = without_unit(field.strip("\"' "))
        told.append((name if name and name not in dict(told) else f"col{number}", unit))
    return told


def _split(line: str, width: int) -> list[str]:
    """Names in a header line, which may be set apart otherwise than the numbers below."""
    for pattern in (r"\t+", r"\s{2,}", r"\s*[,;|]\s*", r"\s+"):
        fields = re.split(pattern, line.strip().strip("|"))
        if len(fields) == width:
            return [field.strip() for field in fields]
    return [field.strip() for field in _TOKEN.findall(line)]


def _columns(path: Path, names: list[str], rows: list[list[str]]) -> dict[str, npt.NDArray[Any]]:
    """The columns as numbers; those that hold words as text."""
    width = len(names)
    for number, row in enumerate(rows, start=1):
        if len(row) < width or any(row[width:]):
            line = " ".join(row)[:_SHOWN]
            raise ReadError(f"{path}: row {number} ({line}) has {len(row)} values, others have {width}.")
    columns: dict[str, npt.NDArray[Any]] = {}
    for place, name in enumerate(names):
        texts = [row[place] for row in rows]
        try:
            columns[name] = np.array([_number(text) for text in texts])
        except ValueError:
            columns[name] = as_truth(np.array(texts))
    return columns


def _fact(comment: str) -> tuple[str, Any]:
    """``redshift = 0.1`` of a comment as key and value; an empty key where it is no such line."""
    found = _FACT.match(comment)
    if found is None:
        return "", None
    try:
        return found["key"].strip(), _number(found["value"])
    except ValueError:
        return found["key"].strip(), found["value"].strip("\"' ")
