"""A survey from its first cube to its last: what to do next, what to try again, and when to stop."""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from types import FrameType
from typing import Any

from quietspec import __version__
from quietspec.batch.cluster import Cluster, NotYetError, SchedulerLostError, WorkerDiedError
from quietspec.batch.manifest import Cube
from quietspec.batch.report import BatchReport, collect_report, write_report
from quietspec.batch.state import Journal, Plan, Record, locked, now
from quietspec.batch.task import (
    Job,
    Outcome,
    Settings,
    crash_report,
    denoise_cube,
    model_name,
    remove_leftovers,
    thumbnail,
)
from quietspec.errors import BatchError
from quietspec.io.writing.atomic import os_errors_named
from quietspec.progress import Progress

__all__ = ["run_batch"]

Say = Callable[[str], None]

_WAIT = 0.5  # seconds
_NEVER = 0  # number of the attempt of a cube that was not begun


def run_batch(
    cubes: Sequence[Cube],
    folder: str | PathLike[str],
    settings: Settings | None = None,
    *,
    scheduler: str = "local",
    workers: int | None = None,
    retries: int = 2,
    ahead: int = 0,
    patience: float = 600.0,
    manifest: str = "",
    say: Say = lambda _: None,
    progress: Progress = lambda *_: None,
    work: Callable[[Job], Outcome] = denoise_cube,
) -> BatchReport:
    """Denoise all cubes of a survey on a Dask cluster; run it again to go on where it stopped.

    Parameters
    ----------
    cubes : sequence of Cube
        From `read_manifest`.
    folder : path
        Where outputs, state and report go; made if missing.
    settings : Settings, optional
        What to denoise with, and how.
    scheduler : str, optional
        ``local``, the address of a Dask scheduler, or its scheduler file.
    workers : int, optional
        For ``local``: worker processes.
    retries : int, optional
        How often a cube is tried again whose worker died or which failed unexpectedly; the last time alone, so that no
        other cube can be at fault. What is wrong with a file is not tried again.
    ahead : int, optional
        Cubes handed out beyond those that workers have slots for: a cluster that grows by demand has to see some.
    patience : float, optional
        Seconds to wait for a scheduler that is away.
    manifest : str, optional
        Where the cubes were listed, for the report.
    say : callable, optional
        Called with lines for people.
    progress : callable, optional
        Called with the number of cubes done with, and of all.
    work : callable, optional
        What workers call with each job; for tests and measurements of the overhead.

    Returns
    -------
    BatchReport
        What became of each cube; it is written into the folder too, as JSON and as pages with pictures.

    Raises
    ------
    BatchError
        If another run is at work in the folder, an input would be overwritten, Dask is missing, the scheduler stays
        away, or the workers cannot do any cube.
    WriteError
        If the disk is too full to note what was done.
    """
    settings = settings or Settings()
    folder = Path(folder).absolute()
    _require_apart(cubes, folder)
    plan = Plan(manifest, settings.command, __version__, model_name(settings), now(), cubes)
    with locked(folder), Journal(folder) as journal:
        remove_leftovers(folder, [cube.output for cube in cubes])
        with os_errors_named(folder):
            thumbnail(folder, "").parent.mkdir(exist_ok=True)
        plan.save(folder)
        cluster = Cluster(scheduler, workers=workers, threads=settings.threads, patience=patience)
        survey = _Survey(plan, folder, settings, journal, cluster, retries, ahead, say, progress, work)
        try:
            with _signals(survey):
                survey.run()
        finally:
            report = collect_report(folder, plan, kept=survey.kept, interrupted=survey.stopping)
            write_report(report, folder)
    return report


@dataclass(frozen=True)
class _Attempt:
    """A cube to be tried: for the how-manieth time, and whether with nothing else under way."""

    cube: Cube
    number: int = 1
    alone: bool = False


@dataclass
class _Survey:
    """One run: what it was asked for, queues of cubes, and the tasks under way."""

    plan: Plan
    folder: Path
    settings: Settings
    journal: Journal
    cluster: Cluster
    retries: int
    ahead: int
    say: Say
    progress: Progress
    work: Callable[[Job], Outcome]

    kept: int = 0
    stopping: bool = False
    dropping: bool = False
    _told: bool = False
    _alone: deque[_Attempt] = field(default_factory=deque)  # last attempts, begun when nothing else is under way
    _running: dict[Any, _Attempt] = field(default_factory=dict)
    _notes: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._waiting = deque(map(_Attempt, self.plan.cubes))
        self._earlier = dict(self.journal.records)

    def run(self) -> None:
        """Work until nothing is left, or until told to stop."""
        try:
            with self.cluster:
                self._tell_cluster()
                while not self.dropping and self._has_work():
                    try:
                        self._step()
                    except SchedulerLostError as lost:
                        self._again(lost)
                    self._tell_stop()
        finally:
            self._flush()
            remove_leftovers(self.folder, [attempt.cube.output for attempt in self._running.values()])

    def stop(self) -> None:
        """Begin nothing more; when asked a second time, drop what is under way."""
        self.dropping = self.stopping
        self.stopping = True
        self.cluster.give_up()

    def _has_work(self) -> bool:
        return bool(self._running or (not self.stopping and (self._waiting or self._alone)))

    def _tell_cluster(self) -> None:
        self.say(f"Dask dashboard: {self.cluster.dashboard}")
        if not self.cluster.slots:
            self.say("the scheduler has no workers yet; the cubes wait for some")

    def _tell_stop(self) -> None:
        if self.stopping and self._running and not self._told:
            self._told = True
            self.say(f"finishing what is under way ({len(self._running)}); once more drops it")

    def _step(self) -> None:
        """Hand out cubes, wait a moment, and note what came back; the next step or the end puts notes on the disk."""
        self._submit(list(self._next()))
        for future in self.cluster.finished(_WAIT):
            self._end(future)
        left = len(self._waiting) + len(self._alone) + len(self._running)
        self.progress(len(self.plan.cubes) - left, len(self.plan.cubes))
        self.cluster.check()

    def _flush(self) -> None:
        """Have the disk hold all notes."""
        self.journal.add(self._notes)
        self._notes.clear()

    def _next(self) -> Iterator[_Attempt]:
        """Cubes to hand out now."""
        if self.stopping:
            return
        room = max(self.cluster.slots, 1) + self.ahead - len(self._running)
        for _ in range(min(room, len(self._waiting))):
            yield self._waiting.popleft()
        if self._alone and not self._waiting and not self._running and room > 0:
            yield self._alone.popleft()

    def _submit(self, attempts: list[_Attempt]) -> None:
        """Note that cubes are begun, then begin them: an output without a note is not ours."""
        allowed: list[_Attempt] = []
        for attempt in attempts:
            if reason := self._foreign(attempt.cube):
                self._fail(replace(attempt, number=_NEVER), reason)
                continue
            allowed.append(attempt)
            if not self._was_done(attempt):  # what is known of a finished output stays until there is better
                self._notes.append(Record(attempt.cube.output, "start", attempt.number))
        self._flush()
        for number, attempt in enumerate(allowed):
            try:
                future = self.cluster.submit(self.work, self._job(attempt.cube), attempt.cube.output)
            except SchedulerLostError:
                self._put_back(allowed[number:])
                raise
            self._running[future] = attempt

    def _was_done(self, attempt: _Attempt) -> bool:
        record = self.journal.records.get(attempt.cube.output)
        return record is not None and record.event == "done"

    def _foreign(self, cube: Cube) -> str:
        """Why an output may not be written: it exists, and no run of this survey began it."""
        path, record = self.folder / cube.output, self.journal.records.get(cube.output)
        begun = record is not None and record.attempts > _NEVER
        if begun or self.settings.overwrite or not path.exists():
            return ""
        return f"{path}: exists already, and not by this survey. Move it away, or give --overwrite."

    def _job(self, cube: Cube) -> Job:
        earlier = self._earlier.get(cube.output)
        return Job(cube, str(self.folder), self.plan.model, self.plan.version, self.settings, earlier)

    def _end(self, future: Any) -> None:
        """Deal with a task that ended, or seemed to."""
        attempt = self._running[future]
        try:
            outcome: Outcome = self.cluster.result(future)
        except NotYetError:
            return
        except SchedulerLostError:
            raise
        except WorkerDiedError as died:
            outcome = Outcome("retry", {"reason": self._death(attempt, str(died))})
        except ImportError as error:
            raise BatchError(f"the workers cannot import what they need ({error}). Install quietspec there.") from error
        except Exception as error:  # noqa: BLE001  (whatever Dask could not send, call or fetch)
            outcome = Outcome("retry", {"reason": f"{attempt.cube.output}: {type(error).__name__}: {error}"})
        del self._running[future]
        self._judge(attempt, outcome)

    def _judge(self, attempt: _Attempt, outcome: Outcome) -> None:
        """Note an outcome, or try again."""
        output, reason = attempt.cube.output, str(outcome.facts.get("reason", ""))
        match outcome.status:
            case "refused":
                raise BatchError(reason)
            case "done":
                self._notes.append(Record(output, "done", attempt.number, facts=dict(outcome.facts)))
            case "kept":
                self.kept += 1
            case "retry" if attempt.number <= self.retries:
                self.say(f"{output}: to be tried again ({reason})")
                number = attempt.number + 1
                again = replace(attempt, number=number, alone=number > self.retries)
                (self._alone if again.alone else self._waiting).append(again)
            case _:
                self._fail(attempt, reason)

    def _fail(self, attempt: _Attempt, reason: str) -> None:
        self.say(f"failed: {reason}")
        self._notes.append(Record(attempt.cube.output, "failed", attempt.number, facts={"reason": reason}))

    def _death(self, attempt: _Attempt, worker: str) -> str:
        """Why a worker died, as far as it can be known."""
        remove_leftovers(self.folder, [attempt.cube.output])
        crash = crash_report(self.folder, attempt.cube.output)
        cause = f"crashed ({crash})" if crash else "was killed from outside, by want of memory perhaps"
        times = f"attempt {attempt.number} of {self.retries + 1}"
        return (
            f"{', '.join(attempt.cube.files)}: {times}: the process that denoised it {cause}; see the log of {worker}"
        )

    def _again(self, lost: SchedulerLostError) -> None:
        """Wait for the scheduler, and put what it had under way in front."""
        self.say(f"the scheduler is lost ({lost}); waiting for it")
        lost_attempts = list(self._running.values())
        self._put_back(lost_attempts)
        self._running.clear()
        if not self.stopping:
            self.cluster.reconnect()
            self.say("the scheduler is back")
            self._tell_cluster()
        remove_leftovers(self.folder, [attempt.cube.output for attempt in lost_attempts])

    def _put_back(self, attempts: Sequence[_Attempt]) -> None:
        for attempt in reversed(attempts):
            (self._alone if attempt.alone else self._waiting).appendleft(attempt)


def _require_apart(cubes: Sequence[Cube], folder: Path) -> None:
    """Raise `BatchError` where an output would take the place of an input."""
    inputs = {Path(file).resolve(): number for number, cube in enumerate(cubes, start=1) for file in cube.files}
    where = folder.resolve()
    for number, cube in enumerate(cubes, start=1):
        if (other := inputs.get(where / cube.output)) is not None:
            raise BatchError(
                f"row {number}: its output {folder / cube.output} is the input of row {other}. Take another folder."
            )


@contextmanager
def _signals(survey: _Survey) -> Iterator[None]:
    """Stop in good order at Ctrl-C and at the end of a batch job's time."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread handle signals
        return

    def handle(number: int, frame: FrameType | None) -> None:
        survey.stop()

    earlier = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
