"""Which cube a run tries next: those not yet begun, those to be tried again, and those under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from quietspec.batch.manifest import Cube

if TYPE_CHECKING:
    from distributed import Future

__all__ = ["Attempt", "Attempts"]


@dataclass(frozen=True)
class Attempt:
    """One try at a cube.

    Parameters
    ----------
    cube : Cube
        The cube.
    number : int
        Which attempt this is, counted from 1.
    alone : bool
        Whether it waits until no other cube is under way, so that only this cube can be the cause of a failure.
    """

    cube: Cube
    number: int = 1
    alone: bool = False


class Attempts:
    """The cubes of a run that are not finished.

    Parameters
    ----------
    cubes : iterable of Cube
        All cubes, in the order in which to begin them.
    retries : int
        How often a cube may be tried again; the last attempt runs alone.
    """

    def __init__(self, cubes: Iterable[Cube], retries: int) -> None:
        self.running: dict[Future[Any], Attempt] = {}  #: attempts under way, by the task that makes them
        self._retries = retries
        self._waiting = deque(map(Attempt, cubes))
        self._alone: deque[Attempt] = deque()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._alone) + len(self.running)

    def take(self, room: int) -> Iterator[Attempt]:
        """Take up to `room` attempts to be begun now."""
        for _ in range(min(room, len(self._waiting))):
            yield self._waiting.popleft()
        if self._alone and not self._waiting and not self.running and room > 0:
            yield self._alone.popleft()

    def retry(self, attempt: Attempt) -> bool:
        """Queue another attempt at the same cube; return whether one is left."""
        if attempt.number > self._retries:
            return False
        number = attempt.number + 1
        again = replace(attempt, number=number, alone=number > self._retries)
        (self._alone if again.alone else self._waiting).append(again)
        return True

    def put_back(self, attempts: Sequence[Attempt]) -> None:
        """Put attempts that came to nothing through no fault of theirs back in front."""
        for attempt in reversed(attempts):
            (self._alone if attempt.alone else self._waiting).appendleft(attempt)

    def drop_running(self) -> list[Attempt]:
        """Forget the tasks under way, and put their attempts back in front.

        Returns
        -------
        list of Attempt
            The attempts that were under way.
        """
        lost = list(self.running.values())
        self.running.clear()
        self.put_back(lost)
        return lost
