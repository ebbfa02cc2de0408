"""What made a result: machine, command, commit and dependencies, to be written into it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from quietspec.errors import QuietspecError
from quietspec.lab.machine import machine
from quietspec.lab.reproduce.dependencies import Program
from quietspec.lab.reproduce.manifest import Manifest, checkout

__all__ = ["commit", "made"]


def made(command: str, entry: Path | str, result: Path | None) -> dict[str, Any]:
    """Say what makes a result. Call it before the work, since the code may change during it.

    Parameters
    ----------
    command : str
        The command.
    entry : Path or str
        The script, or the dotted name of the module that runs.
    result : Path or None
        The results file. If the manifest has a part of its name, its models and files are dependencies too.

    Returns
    -------
    dict
        ``machine``, ``command``, ``commit`` and ``dependencies`` (`Program.digests`), for JSON.

    Examples
    --------
    >>> sorted(made("quietspec lab bench", "quietspec.cli.lab.bench", None))
    ['command', 'commit', 'dependencies', 'machine']
    """
    program = _part(result) or (Program.of_module(entry) if isinstance(entry, str) else Program(entry))
    return {"machine": machine(), "command": command, "commit": commit(), "dependencies": program.digests()}


def _part(result: Path | None) -> Program | None:
    """Program of the part that has the name of a results file, in a checkout."""
    try:
        manifest = Manifest.load(checkout())
    except QuietspecError:
        return None
    known = result is not None and result.stem in manifest
    return manifest[result.stem].program(manifest.root) if known and result is not None else None


def commit() -> str:
    """Commit of the code, where it runs from a git checkout; else the version.

    Returns
    -------
    str
        Twelve digits, or ``version 0.2.0``.

    Examples
    --------
    >>> len(commit()) >= 12
    True
    """
    from quietspec import __version__

    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return f"version {__version__}"
    return found.stdout.strip()
