"""What has become of a survey's cubes, in files that outlive any crash: the plan, the journal and the lock.

The journal is a file of JSON lines that only the one run which holds the lock appends to, each batch flushed to the
disk before the run goes on. It needs no database, no shared memory (which SQLite's write-ahead log does, and network
file systems lack), and can be read by anyone while the run goes on; the worst a crash can do is to tear its last line.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from quietspec.batch.manifest import Cube
from quietspec.errors import BatchError
from quietspec.io.writing.atomic import os_errors_named, whole_file

__all__ = ["Journal", "Plan", "Record", "locked", "now", "place", "read_records"]

_FOLDER = "survey"  # within the outputs' folder


@dataclass(frozen=True)
class Record:
    """The last that is known of one cube.

    Parameters
    ----------
    output : str
        Name of its output.
    event : {'start', 'done', 'failed'}
        What happened last.
    attempts : int
        How often it was tried in the run that wrote this.
    time : str
        When, UTC, ISO 8601.
    facts : mapping of str to object
        'done': what a worker found (`quietspec.batch.task.denoise_cube`); 'failed': ``reason``.
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
        """Write it below the folder of a survey."""
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
            raise BatchError(
                f"{folder}: holds no survey. Begin one: quietspec survey run MANIFEST -o {folder}"
            ) from error
        cubes = tuple(Cube(**{**cube, "files": tuple(cube["files"])}) for cube in content.pop("cubes"))
        return cls(**content, cubes=cubes)


class Journal:
    """The journal of a survey, open to be written.

    Parameters
    ----------
    folder : Path
        Of the outputs.
    """

    def __init__(self, folder: Path) -> None:
        self._path = place(folder, "journal.jsonl")
        with os_errors_named(self._path):
            self._file = self._path.open("ab", buffering=0)  # a full disk is met here, not at the end
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
            If the disk is full or fails; what was lost is done again by the next run.
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
        """Cut off what a crash or a full disk left of a last line, so that the next does not join it."""
        content = self._path.read_bytes()
        self._file.truncate(content.rfind(b"\n") + 1)


def read_records(folder: Path) -> dict[str, Record]:
    """Read the last record of each cube, by output; lines that are torn or damaged do not count.

    Parameters
    ----------
    folder : Path
        Of the outputs.

    Returns
    -------
    dict of str to Record
        Empty where nothing was done yet.
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


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder to one run at a time; the system gives the lock back however the run ends.

    Parameters
    ----------
    folder : Path
        Of the outputs; it is made if missing.

    Yields
    ------
    None
        While no one else may run.

    Raises
    ------
    BatchError
        If another run holds the lock.
    """
    path = place(folder, "lock")
    with os_errors_named(folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise BatchError(
                f"{folder}: another run is at work there ({file.read().strip()}). Wait for its end, or stop it."
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {now()}\n")
        file.flush()
        yield


def place(folder: Path, name: str) -> Path:
    """Path of one of the survey's own files: they lie apart from the outputs."""
    return folder / _FOLDER / name


def now() -> str:
    """Time as it is written into all files."""
    return datetime.now(UTC).isoformat(timespec="seconds")
