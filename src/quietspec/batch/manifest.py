"""The manifest of a batch: one row per cube, with its files, its output and the reader's options."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any

from quietspec.errors import BatchError, ReadError
from quietspec.io import ReadOptions

__all__ = ["Cube", "read_manifest"]

Row = Mapping[str, str]  # the cells that are not empty, by column

_FILE = re.compile(r"file\d*")
_ENDING = "_denoised.fits"
_SHOWN = 10  # mistakes reported at once
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True)
class Cube:
    """One row of a manifest.

    Parameters
    ----------
    files : tuple of str
        The file, or the arms of one object.
    output : str
        Name of the file to write, in the batch's folder.
    options : mapping of str to object
        Options of `quietspec.io.ReadOptions` that the manifest sets.
    """

    files: tuple[str, ...]
    output: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def recipe(self, model: str) -> str:
        """Hash the options together with a model: outputs made with the same have the same recipe."""
        return hashlib.sha256(json.dumps([dict(self.options), model], sort_keys=True).encode()).hexdigest()


def read_manifest(path: str | PathLike[str], ignore: Iterable[str] = ()) -> tuple[Cube, ...]:
    """Read a manifest, and check all that can be checked without opening its cubes.

    Parameters
    ----------
    path : path
        CSV, ECSV or Parquet (which needs the extra `cluster`). Column ``file`` names the cube, relative to the
        manifest's own folder; ``file2``, ``file3``, … name further arms of the object, and ``output`` the file to
        write. Every option of `quietspec.io.ReadOptions` may be a column too. An empty cell leaves its option unset.
    ignore : iterable of str, optional
        Columns to pass over.

    Returns
    -------
    tuple of Cube
        The cubes, in the order of the rows.

    Raises
    ------
    BatchError
        If the manifest cannot be read, has no column ``file``, or has unknown columns or mistaken rows. Each mistake is
        named by row (the first row of data is 1) and column, with its cure.
    """
    path = Path(path)
    columns, rows = _table(path)
    _require_columns(path, columns, set(ignore))
    if not rows:
        raise BatchError(f"{path}: has no rows. Give one per cube.")
    wanted = [name for name in columns if name not in set(ignore)]
    cubes: list[Cube] = []
    mistakes: list[str] = []
    for number, row in enumerate(rows, start=1):
        try:
            cubes.append(_cube({name: row[name] for name in wanted if name in row}, path.parent))
        except BatchError as error:
            mistakes.append(f"row {number}, {error}")
    mistakes = mistakes or list(_clashes(cubes))
    if mistakes:
        more = f"\n… and {len(mistakes) - _SHOWN} more." if len(mistakes) > _SHOWN else ""
        raise BatchError("\n".join(f"{path}: {mistake}" for mistake in mistakes[:_SHOWN]) + more)
    return tuple(cubes)


def _table(path: Path) -> tuple[list[str], list[Row]]:
    """Return the names of the columns and the rows, with all cells as text; each column's meaning decides the type."""
    readers: dict[str, Callable[[Path], tuple[list[str], list[dict[str, Any]]]]] = {
        ".csv": _ascii, ".ecsv": _ascii, ".parquet": _parquet, ".pq": _parquet,
    }  # fmt: skip
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise BatchError(f"{path}: the name of a manifest ends in {', '.join(readers)}.")
    try:
        names, rows = reader(path)
    except OSError as error:
        raise BatchError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # from astropy and pyarrow, whatever is wrong with the file
        reason = str(error).partition("\n")[0].rstrip(".")
        raise BatchError(f"{path}: is not a {path.suffix[1:].upper()} table: {reason}.") from error
    return names, [{name: str(cell).strip() for name, cell in row.items() if not _is_empty(cell)} for row in rows]


def _ascii(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    from astropy.table import Table

    if path.suffix.lower() == ".csv":
        table = Table.read(path, format="ascii.csv", converters={"*": str})  # as text: '0012' is a name, not 12
    else:
        table = Table.read(path, format="ascii.ecsv")
    return list(table.colnames), [{name: row[name] for name in table.colnames} for row in table]


def _parquet(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise BatchError(f"{path}: Parquet needs pyarrow: pip install 'quietspec[cluster]'.") from error
    table = parquet.read_table(path)
    return list(table.column_names), table.to_pylist()


def _is_empty(cell: Any) -> bool:
    return cell is None or str(cell).strip().lower() in ("", "--", "nan", "none")


def _require_columns(path: Path, columns: Sequence[str], ignored: set[str]) -> None:
    known = ["file", "output", *_OPTIONS]
    if "file" not in columns:
        raise BatchError(
            f"{path}: has no column 'file', only {', '.join(map(repr, columns))}. Name the column of the cubes 'file'."
        )
    for name in columns:
        if name in ignored or name in known or _FILE.fullmatch(name):
            continue
        near = get_close_matches(name, known, 1)
        meant = f"Did you mean {near[0]!r}? " if near else ""
        raise BatchError(
            f"{path}: column {name!r} is not an option of the reader. {meant}Columns are {', '.join(known)}, and "
            f"file2, … for further arms; --ignore {name} passes over it."
        )


def _cube(row: Row, folder: Path) -> Cube:
    names = sorted((name for name in row if _FILE.fullmatch(name)), key=lambda name: int(name[4:] or 1))
    if "file" not in row:
        raise BatchError("column 'file': is empty. Name the cube's file.")
    files = tuple(str((folder / row[name]).absolute()) for name in names)
    return Cube(
        files=files,
        output=_output(row.get("output"), files[0]),
        options={name: _option(name, row[name]) for name in _OPTIONS if name in row},
    )


def _output(name: str | None, file: str) -> str:
    if name is None:
        return Path(file).name.removesuffix(".gz").removesuffix(".fits") + _ENDING
    if Path(name).name != name or name.startswith("."):
        raise BatchError(f"column 'output': {name!r} is not a plain file name. All outputs go into the batch's folder.")
    if not name.endswith(".fits"):
        raise BatchError(f"column 'output': {name!r} does not end in .fits: {name}.fits?")
    return name


def _option(name: str, text: str) -> Any:
    """Return the value of one option, checked as the reader will check it."""
    try:
        value = _OPTIONS[name](text)
        ReadOptions(**{name: value})
    except ReadError as error:
        raise BatchError(f"column {name!r}: {str(error).partition(': ')[2] or error}") from error
    except (ValueError, KeyError) as error:
        kind = "true or false" if _OPTIONS[name] is _truth else "a number"
        raise BatchError(f"column {name!r}: {text!r} is not {kind}.") from error
    return value


def _clashes(cubes: Sequence[Cube]) -> Iterator[str]:
    """Describe the rows that would write the same file as an earlier one."""
    first: dict[str, int] = {}
    for number, cube in enumerate(cubes, start=1):
        other = first.setdefault(cube.output.casefold(), number)  # some file systems take A and a for the same name
        if other != number:
            yield (
                f"row {number}, column 'output': {cube.output!r} is already the output of row {other}. "
                "Give each row its own name in column 'output'."
            )


def _truth(text: str) -> bool:
    return _TRUTH[text.lower()]


def _hdu(text: str) -> str | int:
    return int(text) if text.isdigit() else text


def _parser(name: str, default: Any) -> Callable[[str], Any]:
    if isinstance(default, bool) or name == "mask_good":
        return _truth
    if name.endswith("_hdu"):
        return _hdu
    return float if name in ("redshift", "fwhm") else str


_OPTIONS = {option.name: _parser(option.name, option.default) for option in fields(ReadOptions)}
