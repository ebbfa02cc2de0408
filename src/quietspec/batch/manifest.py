"""The manifest of a batch: one row per cube, with its files, its output and the reader's options."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple, get_args, get_type_hints

from quietspec.batch.table import column_name, read_table
from quietspec.errors import BatchError, ReadError
from quietspec.io import ReadOptions

__all__ = ["Cube", "read_manifest"]

Row = Mapping[str, str]  # the cells that are not empty, by column

_FILE = re.compile(r"file\d*")
_PATTERN = re.compile(r"[*?\[]")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.IGNORECASE)
_ENDING = "_denoised.fits"
_LONGEST = 240  # bytes of an output's name: unfinished files and pictures have longer ones, and 255 is the usual limit
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
        Text delimited by commas, semicolons, tabs or blanks (``.csv``, ``.tsv``, ``.txt``), a list of files (``.txt``,
        ``.lst``), ECSV, or Parquet (which needs the extra `cluster`). Column ``file`` names the cube, relative to the
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
    columns, rows = read_table(path)
    ignored = set(map(column_name, ignore))
    _require_columns(path, columns, ignored)
    if not any(rows):
        raise BatchError(f"{path}: has no rows. Give one per cube.")
    cubes: dict[int, Cube] = {}
    mistakes: list[str] = []
    for number, row in enumerate(rows, start=1):
        cells = {name: text for name, text in row.items() if name not in ignored}
        if not row:  # spreadsheets add empty rows at the end
            continue
        try:
            cubes[number] = _cube(cells, path.parent)
        except (BatchError, ReadError) as error:
            mistakes.append(f"row {number}, {error}")
    mistakes = mistakes or list(_clashes(cubes))
    if mistakes:
        more = f"\n… and {len(mistakes) - _SHOWN} more." if len(mistakes) > _SHOWN else ""
        raise BatchError("\n".join(f"{path}: {mistake}" for mistake in mistakes[:_SHOWN]) + more)
    return tuple(cubes.values())


def _require_columns(path: Path, columns: Sequence[str], ignored: set[str]) -> None:
    known = ["file", "output", *_PARSERS]
    if "file" not in columns:
        raise BatchError(
            f"{path}: has no column 'file', only {', '.join(map(repr, columns))}. Name the column of the cubes 'file'."
        )
    for name in columns:
        if name in ignored or name in known or _FILE.fullmatch(name):
            continue
        near = ["redshift"] if name == "z" else get_close_matches(name, known, 1)
        meant = f"Did you mean {near[0]!r}? " if near else ""
        raise BatchError(
            f"{path}: column {name!r} is not an option of the reader. {meant}Columns are {', '.join(known)}, and "
            f"file2, … for further arms. To pass over it: --ignore {name}, in Python ignore=[{name!r}]."
        )


def _cube(row: Row, folder: Path) -> Cube:
    names = sorted((name for name in row if _FILE.fullmatch(name)), key=lambda name: int(name[4:] or 1))
    if "file" not in row:
        raise BatchError("column 'file': is empty. Name the cube's file.")
    files = tuple(str(_file(name, row[name], folder)) for name in names)
    options = {name: _option(name, row[name]) for name in _PARSERS if name in row}
    ReadOptions(**options)  # refuses options that exclude each other
    return Cube(files, _output(row.get("output"), files[0]), options)


def _file(column: str, text: str, folder: Path) -> Path:
    """Return the path of an input; ~ is a home folder."""
    try:
        path = (folder / Path(text).expanduser()).absolute()
    except RuntimeError as error:
        raise BatchError(f"column {column!r}: {text!r} names an unknown home folder.") from error
    if "\0" in text:
        raise BatchError(f"column {column!r}: {text!r} holds a NUL character.")
    if _PATTERN.search(text) and not path.exists():
        raise BatchError(f"column {column!r}: {text!r} is a pattern. List the files it stands for, one per row.")
    return path


def _output(name: str | None, file: str) -> str:
    if name is None:
        name = Path(file).name.removesuffix(".gz").removesuffix(".fits") + _ENDING
    elif Path(name).name != name or name.startswith(".") or "\0" in name:
        raise BatchError(f"column 'output': {name!r} is not a plain file name. All outputs go into the batch's folder.")
    if not name.endswith(".fits"):
        raise BatchError(f"column 'output': {name!r} does not end in .fits: {name}.fits?")
    if len(name.encode("utf-8", "surrogateescape")) > _LONGEST:
        raise BatchError(f"column 'output': {name!r} is longer than {_LONGEST} bytes. Give a shorter name there.")
    return name


def _option(name: str, text: str) -> Any:
    """Return the value of one option, checked as the reader will check it."""
    parse, kind = _PARSERS[name]
    try:
        value = parse(text)
        ReadOptions(**{name: value})
    except ReadError as error:
        raise BatchError(
            f"column {name!r}: {str(error).partition(': ')[2] or error} Leave the cell empty where it is unknown."
        ) from error
    except (ValueError, KeyError) as error:
        raise BatchError(f"column {name!r}: {text!r} is not {kind}.") from error
    return value


def _clashes(cubes: Mapping[int, Cube]) -> Iterator[str]:
    """Describe the rows that would write the same file as an earlier one."""
    first: dict[str, int] = {}
    for number, cube in cubes.items():
        other = first.setdefault(cube.output.casefold(), number)  # some file systems take A and a for the same name
        if other != number:
            yield (
                f"row {number}, column 'output': {cube.output!r} is already the output of row {other}. "
                "Give each row its own name in column 'output'."
            )


def _truth(text: str) -> bool:
    return _TRUTH[text.lower()]


def _number(text: str) -> float:
    """Read a number, which may have a decimal comma."""
    return float(text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text)


def _hdu(text: str) -> str | int:
    return int(text) if text.isdecimal() and text.isascii() else text


class _Parser(NamedTuple):
    """How to read the cells of an option, and what they must be."""

    read: Callable[[str], Any]
    kind: str


def _parser(hint: Any) -> _Parser:
    """Choose how to read the cells of an option by its type."""
    kinds = {kind for kind in (get_args(hint) or (hint,)) if kind is not NoneType}
    if bool in kinds:
        return _Parser(_truth, "true or false")
    if float in kinds:
        return _Parser(_number, "a number")
    if int in kinds:
        return _Parser(_hdu, "a name or number") if str in kinds else _Parser(int, "a whole number")
    return _Parser(str, "text")


_PARSERS = {name: _parser(hint) for name, hint in get_type_hints(ReadOptions).items()}
