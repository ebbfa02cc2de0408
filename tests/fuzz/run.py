"""Many spoilt inputs, tried in child processes, and counted by how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import targets
from .child import SECONDS

ROOT = Path(__file__).parents[2]
GOOD = ("read", "refused")  #: how an input may end
_SHARE = 5000  # inputs that one child tries


@dataclass
class Outcome:
    """What came of a run.

    Parameters
    ----------
    inputs : int
        Number of inputs.
    endings : dict
        Numbers of inputs by target and ending: ``read``, ``refused``, and what must not be: ``untyped`` (an exception
        that is not ours, or that nobody foresaw), ``wrong``, ``hang``, ``memory``, ``crash``.
    faults : dict
        What must not be, by kind: how often, and the number of the first input.
    slowest, largest : dict
        Input with the most processor time and with the most memory.
    """

    inputs: int = 0
    endings: dict[str, Counter[str]] = field(default_factory=dict)
    faults: dict[str, dict[str, Any]] = field(default_factory=dict)
    slowest: dict[str, Any] = field(default_factory=lambda: {"seconds": 0.0})
    largest: dict[str, Any] = field(default_factory=lambda: {"memory": 0})

    def add(self, found: dict[str, Any]) -> None:
        self.inputs += 1
        self.endings.setdefault(found["target"], Counter())[found["ending"]] += 1
        if found["ending"] not in GOOD:
            kind = f"{found['target']}: {found['ending']}: {found.get('signature', '')}"
            fault = self.faults.setdefault(
                kind, {"count": 0, "first": found["number"], "message": found.get("message")}
            )
            fault["count"] += 1
        self.slowest = max(self.slowest, found, key=lambda one: one["seconds"])
        self.largest = max(self.largest, found, key=lambda one: one["memory"])

    def total(self, *endings: str) -> int:
        return sum(counts[ending] for counts in self.endings.values() for ending in endings)

    def summary(self) -> dict[str, Any]:
        return vars(self) | {"endings": {target: dict(counts) for target, counts in self.endings.items()}}


def fuzz(seed: int, first: int, last: int, say: Callable[[Outcome], None] = lambda _: None) -> Outcome:
    """Try the inputs `first` to `last`.

    Parameters
    ----------
    seed, first, last : int
        Which inputs.
    say : callable, optional
        Called now and then with what came so far.

    Returns
    -------
    Outcome
        Of all.
    """
    outcome = Outcome()
    while first < last:
        stop = min(first + _SHARE, last)
        for found in _share(seed, first, stop):
            outcome.add(found)
            first = found["number"] + 1
        say(outcome)
    return outcome


def _share(seed: int, first: int, stop: int) -> Iterator[dict[str, Any]]:
    """Results of some inputs; a child that dies over one gives that one its ending."""
    command = [sys.executable, "-m", "tests.fuzz.child", str(seed), str(first), str(stop)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        next_one = first
        for line in child.stdout or ():
            found = json.loads(line)
            next_one = found["number"] + 1
            yield found
        said = child.stderr.read().decode(errors="replace") if child.stderr else ""
    if child.returncode == 0:
        return
    if next_one >= stop or child.returncode > 0:
        raise RuntimeError(f"input {next_one}: the child ended with {child.returncode}:\n{said[-3000:]}")
    name, _ = targets.target(seed, next_one)
    hang = -child.returncode == signal.SIGXCPU
    yield {
        "number": next_one, "target": name, "ending": "hang" if hang else "crash", "seconds": float(SECONDS * hang),
        "memory": 0, "signature": signal.Signals(-child.returncode).name, "message": said[-300:],
    }  # fmt: skip
