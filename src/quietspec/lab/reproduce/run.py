"""Make results again, one part after the other; parts that the present code made are left as they are."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from quietspec.errors import QuietspecError
from quietspec.io.writing.atomic import whole_file
from quietspec.lab.reproduce.made import made
from quietspec.lab.reproduce.manifest import Manifest, Part
from quietspec.lab.reproduce.state import content_of, state_of

__all__ = ["chosen_parts", "run_part"]


def chosen_parts(manifest: Manifest, only: Sequence[str]) -> list[Part]:
    """Return the parts to make.

    Parameters
    ----------
    manifest : Manifest
        All parts.
    only : sequence of str
        Names of parts that are made whatever their state; if empty, all that the present code did not make and that are
        not made by hand.

    Returns
    -------
    list of Part
        In the order of the manifest.

    Raises
    ------
    QuietspecError
        If there is no part of a name.
    """
    if only:
        wanted = {manifest[name].name for name in only}
        return [part for part in manifest.part if part.name in wanted]
    return [part for part in manifest.part if not part.by_hand and not state_of(manifest, part).done]


def run_part(manifest: Manifest, part: Part, places: Mapping[str, str]) -> float:
    """Make one result.

    Parameters
    ----------
    manifest : Manifest
        The manifest that has the part.
    part : Part
        The part.
    places : mapping of str to str
        What the words in braces of its command stand for.

    Returns
    -------
    float
        Seconds taken.

    Raises
    ------
    QuietspecError
        If the command fails, or wrote no result.
    """
    from quietspec.io import fetch

    known = {**places, **{name: str(fetch(name)) for name in part.fetch}}
    words = [word.format_map(known) for word in shlex.split(part.command)]
    path, start = manifest.results / f"{part.name}.json", time.time()
    origin = made(part.command, part.program(manifest.root).entry, path) if part.prints else {}
    done = subprocess.run(
        _executable(words), cwd=manifest.root, env=os.environ | {"PYTHONPATH": _package()}, check=False,
        stdout=subprocess.PIPE if part.prints else None, text=True,
    )  # fmt: skip
    seconds = time.time() - start
    if done.returncode != 0:
        raise QuietspecError(f"{part.name}: `{part.command}` ended with status {done.returncode}; see above.")
    if part.prints:
        _write(path, {**origin, "printed": [line.rstrip() for line in done.stdout.splitlines()]})
    content = content_of(manifest, part)
    if content is None or path.stat().st_mtime < start:
        raise QuietspecError(f"{part.name}: `{part.command}` wrote no {path.name} in {manifest.results}.")
    for picture, drawn in part.copies.items():
        shutil.copyfile(manifest.root / drawn, manifest.root / picture)
    _write(path, {**content, "seconds": round(seconds)})
    return seconds


def _executable(words: list[str]) -> list[str]:
    """The command, by the Python that runs and by the package that it has."""
    first, *rest = words
    if first == "python":
        return [sys.executable, *rest]
    return [sys.executable, "-c", "from quietspec.cli import app; app()", *rest]


def _package() -> str:
    own = str(Path(__file__).parents[3])
    return os.pathsep.join([own, *filter(None, [os.environ.get("PYTHONPATH")])])


def _write(path: Path, content: Mapping[str, object]) -> None:
    with whole_file(path, overwrite=True) as partial:
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
