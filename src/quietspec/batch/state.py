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
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from quietspec.batch.manifest import Cube
from quietspec.errors import BatchError
from quietspec.io.writing.atomic import os_errors_named, whole_file

__all__ = ["Journal", "Plan", "Record", "now", "place", "read_records", "require_no_old_state"]

_FOLDER = "batch"  # within the folder of the outputs
_OLD_FOLDER = "survey"  # its name in quietspec 0.1


@dataclass(frozen=True)
class Record:
    """The latest that is known of one cube.

    Parameters
    ----------
    output : str
        Name of its output.
    event : {'start', 'done', 'failed'}
        What happened last.
    attempts : int
        Number of attempts made by the run that wrote this.
    time : str
        When, UTC, ISO 8601.
    facts : mapping of str to object
        For 'done' what the worker found (`quietspec.batch.task.denoise_cube`), for 'failed' the ``reason``.
    """

    output: str
    event: str
    attempts: int = 0
    time: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


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
        path = place(folder, "plan.json")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            require_no_old_state(folder)
            raise BatchError(
                f"{folder}: holds no batch. Begin one: quietspec batch run MANIFEST -o {folder}"
            ) from error
        cubes = tuple(Cube(**{**cube, "files": tuple(cube["files"])}) for cube in content.pop("cubes"))
        return cls(**content, cubes=cubes)


class Journal:
    """The journal of a batch, open for writing.

    Parameters
    ----------
    folder : Path
        Folder of the outputs.
    """

    def __init__(self, folder: Path) -> None:
        self._path = place(folder, "journal.jsonl")
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
        content = self._path.read_bytes()
        self._file.truncate(content.rfind(b"\n") + 1)


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
    path = place(folder, "journal.jsonl")
    records: dict[str, Record] = {}
    if not path.exists():
        return records
    with path.open("rb") as lines:
        for line in lines:
            try:
                record = Record(**json.loads(line))
            except (ValueError, TypeError):
                continue
            records[record.output] = record
    return records


def require_no_old_state(folder: Path) -> None:
    """Raise `BatchError` if the only state in a folder is that of quietspec 0.1, which had another name."""
    old, new = folder / _OLD_FOLDER, folder / _FOLDER
    if (old / "plan.json").is_file() and not new.exists():
        raise BatchError(
            f"{folder}: was begun by quietspec 0.1, which kept its state in '{_OLD_FOLDER}', now '{_FOLDER}'. To go on "
            f"with it: mv {old} {new}"
        )


def place(folder: Path, name: str) -> Path:
    """Return the path of one of the batch's own files, which lie apart from the outputs."""
    return folder / _FOLDER / name


def now() -> str:
    """Return the time as it is written into all files."""
    return datetime.now(UTC).isoformat(timespec="seconds")
