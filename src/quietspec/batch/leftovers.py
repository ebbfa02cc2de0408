"""What killed processes leave behind: unfinished outputs, and what Python noted as it crashed."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from quietspec.batch.state import place

__all__ = ["crash_noted", "crash_report", "remove_leftovers"]


def remove_leftovers(folder: Path, outputs: Iterable[str]) -> None:
    """Remove unfinished files, and notes of crashes in single tiles, that killed processes left.

    Parameters
    ----------
    folder : Path
        Folder of the outputs.
    outputs : iterable of str
        Names of the outputs they were to become.
    """
    wanted = set(outputs)
    left = [partial for partial in folder.glob(".*.part") if partial.name[1:].rsplit(".", 2)[0] in wanted]
    for note in _crash_note(folder, "").parent.glob(".*.crash"):
        output, _, tile = note.stem[1:].rpartition(".")
        if tile.isdigit() and output in wanted:
            left.append(note)
    for file in left:
        with suppress(OSError):  # a file that cannot be removed does no harm
            file.unlink()


@contextmanager
def crash_noted(folder: Path, output: str) -> Iterator[None]:
    """Have Python note in a file a fault of compiled code that ends this process; no file remains if there was none.

    Parameters
    ----------
    folder : Path
        Folder of the outputs.
    output : str
        Name of the output that is being made.

    Yields
    ------
    None
        While faults are noted.
    """
    note = _crash_note(folder, output)
    was_enabled = faulthandler.is_enabled()
    with note.open("w", encoding="utf-8") as file:
        faulthandler.enable(file)
        try:
            yield
        finally:
            faulthandler.disable()
            if was_enabled:
                faulthandler.enable()
            note.unlink(missing_ok=True)


def crash_report(folder: Path, output: str) -> str:
    """Return what Python noted as the process that made an output crashed; empty if it was killed from outside."""
    note, text = _crash_note(folder, output), ""
    with suppress(OSError):
        text = note.read_text(encoding="utf-8", errors="replace")
        note.unlink()
    return text.partition("\n")[0].removeprefix("Fatal Python error: ")


def _crash_note(folder: Path, output: str) -> Path:
    return place(folder, f".{output}.crash")
