"""Tables of text cells: CSV and its relatives as people and spreadsheets write them, lists, ECSV and Parquet."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from quietspec.errors import BatchError

__all__ = ["Table", "column_name", "read_table"]

Cells = list[Any]

_DELIMITERS = ",;\t|"
_EMPTY = ("", "--", "nan", "none", "null", "n/a", "#n/a")  # ways to write that a cell holds nothing
_INDEX = re.compile(r"__index_level_\d+__")  # column that pandas adds to Parquet files
_SPREADSHEETS = (".xlsx", ".xls", ".ods", ".numbers")


class Table(NamedTuple):
    """Rows of text.

    Parameters
    ----------
    columns : list of str
        Names of the columns, as `column_name` writes them.
    rows : list of dict
        By column, the cells that are not empty.
    """

    columns: list[str]
    rows: list[dict[str, str]]


def read_table(path: Path) -> Table:
    """Read a table.

    Parameters
    ----------
    path : Path
        A ``.csv``, ``.tsv`` or ``.txt`` file with a header line, delimited by commas, semicolons, tabs, bars or spaces,
        in UTF-8 or UTF-16, in which lines that begin with # are comments; a ``.txt`` or ``.lst`` file of one file name
        per line; or an ECSV or Parquet file.

    Returns
    -------
    Table
        All cells as text, without surrounding blanks.

    Raises
    ------
    BatchError
        If the file cannot be read, or is not a table.
    """
    kind = path.suffix.lower()
    if kind in _SPREADSHEETS:
        raise BatchError(f"{path}: is a spreadsheet. Save it as 'CSV UTF-8'.")
    if kind not in _READERS:
        raise BatchError(f"{path}: the name of a manifest ends in {', '.join(_READERS)}.")
    if path.exists() and not path.is_file():
        raise BatchError(f"{path}: is not a regular file.")
    try:
        names, rows = _READERS[kind](path)
    except BatchError:
        raise
    except OSError as error:
        raise BatchError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # from astropy, csv and pyarrow, whatever is wrong with the file
        reason = (str(error) or type(error).__name__).partition("\n")[0].rstrip(".")
        raise BatchError(f"{path}: is not a {kind[1:].upper()} table: {reason}.") from error
    return _tidied(names, rows, path)


def column_name(text: str) -> str:
    """Write the name of a column in lower case with underscores, whatever capitals, blanks or hyphens it has."""
    return re.sub(r"[\s-]+", "_", text.strip().lower())


def _tidied(names: Sequence[str], rows: Sequence[Cells], path: Path) -> Table:
    """Check the names, and leave out empty cells and columns that are only an index."""
    columns = [column_name(name) for name in names]
    texts = [["" if cell is None else str(cell).strip() for cell in row] for row in rows]
    used = [number for number, name in enumerate(columns) if not _is_index(name, number, texts)]
    for number in used:
        if not columns[number]:
            raise BatchError(f"{path}: column {number + 1} has no name. Name it, or remove it.")
        if columns.index(columns[number]) != number:
            raise BatchError(f"{path}: column {columns[number]!r} appears twice. Rename or remove one of them.")
    return Table(
        [columns[number] for number in used],
        [{columns[number]: row[number] for number in used if row[number].lower() not in _EMPTY} for row in texts],
    )


def _is_index(name: str, number: int, texts: Sequence[Sequence[str]]) -> bool:
    """Whether a column is empty and has no name, or is the index that pandas writes beside the columns proper."""
    cells = [row[number] for row in texts]
    counted = number == 0 and cells == [str(row) for row in range(len(cells))]
    return _INDEX.fullmatch(name) is not None or (not name and (counted or not any(cells)))


def _text(path: Path) -> tuple[list[str], list[Cells]]:
    """Read delimited text with a header line, which may be a comment."""
    lines = [line for line in _decoded(path).split("\n") if line.strip() and not line.lower().startswith("sep=")]
    body = [line for line in lines if not line.lstrip().startswith("#")]
    above = [line.lstrip("# \t") for line in lines[: lines.index(body[0])]] if body else []
    if not body:
        raise ValueError("it has no header line")
    header = above[-1] if above and not _has_file(body[0]) and _has_file(above[-1]) else body.pop(0)
    if path.suffix.lower() in (".txt", ".lst") and not _has_file(header) and len(_split(header)) == 1:
        return ["file"], [[line.strip()] for line in (header, *body)]
    names = _split(header)
    return names, list(_rows(body, _delimiter(header), len(names)))


def _rows(body: Sequence[str], delimiter: str, n_columns: int) -> Iterator[Cells]:
    """Split lines into as many cells as there are columns; those that a line lacks are empty."""
    reader = csv.reader(_stripped(body, delimiter), delimiter=delimiter, skipinitialspace=True, strict=True)
    for number, cells in enumerate(reader, start=1):
        if any(cell.strip() for cell in cells[n_columns:]):
            raise ValueError(
                f"row {number} has {len(cells)} cells for {n_columns} column(s); put quotes around a cell that holds "
                f"{delimiter!r}"
            )
        yield (cells + [""] * n_columns)[:n_columns]


def _split(line: str) -> list[str]:
    delimiter = _delimiter(line)
    return next(csv.reader(_stripped([line], delimiter), delimiter=delimiter, skipinitialspace=True, strict=True))


def _stripped(lines: Sequence[str], delimiter: str) -> list[str]:
    return [line.strip() if delimiter == " " else line for line in lines]


def _delimiter(header: str) -> str:
    """Find what separates the columns: the commonest delimiter of the header line, or blanks if it has none."""
    commonest = max(_DELIMITERS, key=header.count)
    if commonest in header:
        return commonest
    words = [column_name(word) for word in header.split()]
    return " " if len(words) > 1 and "file" in words else ","


def _has_file(header: str) -> bool:
    return "file" in map(column_name, _split(header))


def _decoded(path: Path) -> str:
    """Read a text file in UTF-8, or in UTF-16 if it begins with a byte-order mark; lines end in \\n."""  # noqa: D301
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BatchError(
            f"{path}: line {line} is not UTF-8. Save it as UTF-8 ('CSV UTF-8' in a spreadsheet), or convert it: "
            f"iconv -f latin1 -t utf-8"
        ) from error
    if "\0" in text:
        raise ValueError("it holds NUL characters")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _ecsv(path: Path) -> tuple[list[str], list[Cells]]:
    from astropy.table import Table as AstropyTable

    table = AstropyTable.read(path, format="ascii.ecsv")
    return list(table.colnames), [list(row) for row in table]


def _parquet(path: Path) -> tuple[list[str], list[Cells]]:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise BatchError(f"{path}: Parquet needs pyarrow: pip install 'quietspec[cluster]'.") from error
    table = parquet.read_table(path)
    columns = [column.to_pylist() for column in table.columns]
    return list(table.column_names), [list(row) for row in zip(*columns, strict=True)]


_READERS: dict[str, Callable[[Path], tuple[list[str], list[Cells]]]] = {
    ".csv": _text, ".tsv": _text, ".txt": _text, ".lst": _text, ".ecsv": _ecsv, ".parquet": _parquet, ".pq": _parquet,
}  # fmt: skip
