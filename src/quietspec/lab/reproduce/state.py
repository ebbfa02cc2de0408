"""Whether a result is that of the present code: by its digests and its command, not by dates."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from quietspec.lab.reproduce.dependencies import differences
from quietspec.lab.reproduce.manifest import Manifest, Part

__all__ = ["State", "content_of", "known_stale", "shortened_list", "stale_parts", "state_of"]

_STALE = Path("benchmarks") / "stale.txt"
_OUTPUTS = ("--json", "--figures")  # where results go does not change them


@dataclass(frozen=True)
class State:
    """How a result stands.

    Parameters
    ----------
    kind : {'done', 'changed', 'other command', 'unrecorded', 'missing'}
        Of the present code; of code, models or files that have changed; by another command; without a record of what it
        depends on; not there.
    commit : str
        The commit that made it, where that is known.
    changed : tuple of str
        What has changed since, by the names in the result's dependencies.
    """

    kind: Literal["done", "changed", "other command", "unrecorded", "missing"]
    commit: str = ""
    changed: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether the present code made it."""
        return self.kind == "done"

    def __str__(self) -> str:
        if self.kind != "changed":
            return self.kind
        shown = ", ".join(self.changed[:4]) + (f" and {len(self.changed) - 4} more" if len(self.changed) > 4 else "")
        return f"changed since: {shown}"


def content_of(manifest: Manifest, part: Part) -> dict[str, Any] | None:
    """Content of the results file of a part; None if it is missing."""
    path = manifest.results / f"{part.name}.json"
    if not path.exists():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def state_of(manifest: Manifest, part: Part) -> State:
    """Compare a result with the present code.

    Parameters
    ----------
    manifest : Manifest
        The manifest that has the part.
    part : Part
        The part.

    Returns
    -------
    State
        How it stands.
    """
    content = content_of(manifest, part)
    if content is None:
        return State("missing")
    commit = str(content.get("commit", ""))
    if "dependencies" not in content:
        return State("unrecorded", commit)
    if not _same_command(part.command, str(content.get("command", ""))):
        return State("other command", commit)
    changed = differences(content["dependencies"], part.program(manifest.root).digests())
    return State("changed", commit, tuple(changed)) if changed else State("done", commit)


def _same_command(asked: str, recorded: str) -> bool:
    """Whether two commands differ only in where results go and in places that the user names."""
    pattern, text = (" ".join(_without_outputs(shlex.split(command))) for command in (asked, recorded))
    return re.fullmatch(re.sub(r"\\\{[\w\\-]+\\\}", r"\\S+", re.escape(pattern)), text) is not None


def _without_outputs(words: list[str]) -> list[str]:
    left: list[str] = []
    for word, before in zip(words, ["", *words], strict=False):
        if word not in _OUTPUTS and before not in _OUTPUTS:
            left.append(word)
    return left


def stale_parts(manifest: Manifest) -> list[str]:
    """Names of the parts that the present code did not make, sorted."""
    return sorted(part.name for part in manifest.part if not state_of(manifest, part).done)


def known_stale(root: Path) -> list[str]:
    """Names in ``benchmarks/stale.txt``, which lists the results that are known to be of earlier code."""
    lines = (root / _STALE).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def shortened_list(manifest: Manifest) -> dict[Path, str]:
    """The list of results of earlier code without those that are up to date, by its path; nothing is ever added."""
    stale = stale_parts(manifest)
    lines = (manifest.root / _STALE).read_text(encoding="utf-8").splitlines(keepends=True)
    return {_STALE: "".join(line for line in lines if line.startswith("#") or line.strip() in stale)}
