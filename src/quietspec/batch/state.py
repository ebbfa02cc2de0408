"""What has become of a batch's cubes, in files that outlive any crash: the plan and the journal.

The journal is a file of JSON lines. Only the run that holds the lock appends to it, and each group of lines is flushed
to the disk before the run goes on. It needs neither a database nor shared memory (which SQLite's write-ahead log needs
and network file systems lack), and anyone can read it during the run; the worst a crash can do is to tear its last
line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from quietspec.batch.facts import Record, parse_record
from quietspec.batch.manifest import Cube
from quietspec.errors import BatchError
from quietspec.io.writing.atomic import os_errors_named, whole_file

__all__ = ["Journal", "Plan", "now", "own_file", "place", "read_records", "require_no_old_state"]

_FOLDER = "batch"  # within the folder of the outputs
_OLD_FOLDER = "survey"  # its name in quietspec 0.1
_LONGEST_LINE = 2**22  # bytes of a journal's line; what is longer is damage
_BLOCK = 2**16  # bytes


@dataclass(frozen=True)
class Plan:
    """What a run was asked to do, for those who look at the folder later.

    Parameters
    ----------
    manifest, command, version, model : str
        Where the cubes are listed, what was typed, and which code and model are at work.
    started : str
        When the run began, UTC, ISO 8601.
    cubes : sequence of Cube
        All rows of the manifest.
    """

    manifest: str
    command: str
    version: str
    model: str
    started: str
    cubes: Sequence[Cube]

    def save(self, folder: Path) -> None:
        """Write the plan below the folder of a batch."""
        path = place(folder, "plan.json")
        with os_errors_named(path), whole_file(path, overwrite=True) as partial:
            partial.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what the last run in a folder was asked to do."""
        path = own_file(folder, "plan.json")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            cubes = tuple(map(_cube, content.pop("cubes")))
            plan = cls(**content, cubes=cubes)
            _require(all(isinstance(text, str) for text in content.values()), "one of its texts is none")
        except FileNotFoundError as error:
            require_no_old_state(folder)
            raise BatchError(
                f"{folder}: holds no batch. Begin one: quietspec batch run MANIFEST -o {folder}"
            ) from error
        except OSError as error:
            raise BatchError(f"{path}: cannot be read: {error.strerror or error}.") from error
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise BatchError(
                f"{path}: is damaged ({type(error).__name__}: {error}). Run the batch again: that writes it anew and "
                "keeps what is done."
            ) from error
        return plan


class Journal:
    """The journal of a batch, open for writing.

    Parameters
    ----------
    folder : Path
        Folder of the outputs.
    """

    def __init__(self, folder: Path) -> None:
        self._path = own_file(folder, "journal.jsonl")
        with os_errors_named(self._path):
            self._file = self._path.open("ab", buffering=0)  # unbuffered: a full disk is noticed here, not at the end
            self._drop_torn_line()
        self.records = read_records(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, records: Iterable[Record]) -> None:
        """Append records, and return when the disk holds them.

        Raises
        ------
        WriteError
            If the disk is full or fails; the next run does again what was lost.
        """
        stamped = [replace(record, time=now()) for record in records]
        if not stamped:
            return
        left = memoryview("".join(json.dumps(asdict(record)) + "\n" for record in stamped).encode())
        with os_errors_named(self._path):
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        self.records.update({record.output: record for record in stamped})

    def _drop_torn_line(self) -> None:
        """Cut off what a crash or a full disk left of a last line, so that the next line does not continue it."""
        with self._path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            while end > 0:
                start = max(end - _BLOCK, 0)
                file.seek(start)
                length = file.read(end - start).rfind(b"\n") + 1
                end = start + length
                if length:
                    break
        self._file.truncate(end)


def read_records(folder: Path) -> dict[str, Record]:
    """Read the last record of each cube; lines that are torn or damaged are skipped.

    Parameters
    ----------
    folder : Path
        Folder of the outputs.

    Returns
    -------
    dict of str to Record
        By the name of the output; empty where nothing was done yet.
    """
    path = own_file(folder, "journal.jsonl")
    try:
        with path.open("rb") as file:
            lines = iter(lambda: file.readline(_LONGEST_LINE), b"")
            return {record.output: record for record in map(parse_record, lines) if record is not None}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BatchError(f"{path}: cannot be read: {error.strerror or error}.") from error


def _cube(content: dict[str, Any]) -> Cube:
    """Read a row of the manifest from a plan."""
    cube = Cube(tuple(content["files"]), content["output"], content["options"])
    _require(bool(cube.files) and all(isinstance(file, str) for file in cube.files), "a cube has no files")
    _require(isinstance(cube.output, str) and Path(cube.output).name == cube.output, "an output has no plain name")
    plain = all(value is None or isinstance(value, (str, int, float)) for value in cube.options.values())
    _require(plain, "an option has no plain value")
    return cube


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


def require_no_old_state(folder: Path) -> None:
    """Raise `BatchError` if the only state in a folder is that of quietspec 0.1, which had another name."""
    old, new = folder / _OLD_FOLDER, folder / _FOLDER
    if (old / "plan.json").is_file() and not new.exists():
        raise BatchError(
            f"{folder}: was begun by quietspec 0.1, which kept its state in '{_OLD_FOLDER}', now '{_FOLDER}'. To go on "
            f"with it: mv {old} {new}"
        )


def own_file(folder: Path, name: str) -> Path:
    """Return the path of one of the batch's own files, and raise `BatchError` if something else is in its place."""
    path = place(folder, name)
    try:
        taken = path.exists() and not path.is_file()
    except OSError as error:
        raise BatchError(f"{path}: cannot be reached: {error.strerror or error}.") from error
    if taken:
        raise BatchError(f"{path}: is not a regular file. Move it away; the next run makes a new one.")
    return path


def place(folder: Path, name: str) -> Path:
    """Return the path of one of the batch's own files, which lie apart from the outputs."""
    return folder / _FOLDER / name


def now() -> str:
    """Return the time as it is written into all files."""
    return datetime.now(UTC).isoformat(timespec="seconds")
