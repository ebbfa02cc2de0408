"""What may stand in a line of the journal: everything else in it is damage, and does not count."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

__all__ = ["Record", "parse_record"]

_EVENTS = ("start", "done", "failed")
_LARGEST = 2**63  # beyond this nothing in a journal is a count


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


def parse_record(line: bytes) -> Record | None:
    """Read a record from a line of JSON.

    Parameters
    ----------
    line : bytes
        The line.

    Returns
    -------
    Record or None
        Its known and well-formed facts; None if the line is damaged. A 'done' without the facts by which its output is
        recognised counts as 'start', so that the cube is denoised again.
    """
    try:
        content = json.loads(line, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    output, event, attempts = (content.get(name) for name in ("output", "event", "attempts"))
    if not (_is_text(output) and _is_text(event) and event in _EVENTS and _is_count(attempts)):
        return None
    facts, time = content.get("facts"), content.get("time")
    facts = facts if isinstance(facts, dict) else {}
    known = {name: value for name, value in facts.items() if name in _FACTS and _FACTS[name](value)}
    if event == "done" and not all(name in known for name in _NEEDED):
        event, known = "start", {}
    return Record(output, event, attempts, time if _is_text(time) else "", known)


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and 0 <= value < _LARGEST


def _is_time(value: Any) -> bool:
    return isinstance(value, int) and abs(value) < _LARGEST


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number, or None for one that is unknown."""
    return value is None or _is_count(value) or (isinstance(value, float) and math.isfinite(value))


def _is_noise(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and value.keys() == {"scale", "correlation"}
        and _is_number(value["scale"])
        and isinstance(value["correlation"], list)
        and all(map(_is_number, value["correlation"]))
    )


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_count, value.values()))


def _are_sources(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(source, dict)
        and source.keys() <= _STAMP.keys()
        and all(_STAMP[name](one) for name, one in source.items())
        for source in value
    )


_STAMP: Mapping[str, Callable[[Any], bool]] = {"size": _is_count, "mtime_ns": _is_time, "sha256": _is_text}
_FACTS: Mapping[str, Callable[[Any], bool]] = {
    **_STAMP,
    "reason": _is_text,
    "recipe": _is_text,
    "sources": _are_sources,
    "n_spectra": _is_count,
    "failed": _is_count,
    "flags": _are_counts,
    "snr_before": _is_number,
    "snr_after": _is_number,
    "seconds": _is_number,
    "noise": _is_noise,
    "warnings": _are_texts,
}
_NEEDED = ("recipe", "n_spectra", "failed", "flags")  # of a cube that is done
