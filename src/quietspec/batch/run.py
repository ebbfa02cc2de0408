"""A batch from its first cube to its last: what to do next, what to try again, and when to stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from quietspec import __version__
from quietspec.batch.attempts import Attempt, Attempts
from quietspec.batch.cluster import Cluster, ClusterOptions, NotYetError, SchedulerLostError, WorkerDiedError
from quietspec.batch.facts import Record
from quietspec.batch.leftovers import crash_report, remove_leftovers
from quietspec.batch.lock import locked
from quietspec.batch.manifest import Cube
from quietspec.batch.report import BatchReport, collect_report, write_report
from quietspec.batch.state import Journal, Plan, now
from quietspec.batch.task import Job, Outcome, Settings, denoise_cube, model_name, page, thumbnail
from quietspec.errors import BatchError
from quietspec.io.writing.atomic import os_errors_named
from quietspec.progress import Progress

if TYPE_CHECKING:
    from distributed import Future

__all__ = ["run_batch"]

Say = Callable[[str], None]

_WAIT = 0.5  # seconds
_NOT_BEGUN = 0  # number of attempts at a cube that was refused before the first


def run_batch(
    cubes: Sequence[Cube],
    folder: str | PathLike[str],
    settings: Settings | None = None,
    cluster: ClusterOptions | None = None,
    *,
    say: Say = lambda _: None,
    progress: Progress = lambda *_: None,
    work: Callable[[Job], Outcome] = denoise_cube,
) -> BatchReport:
    """Denoise all cubes of a batch on a Dask cluster; calling it again resumes where the last run stopped.

    Parameters
    ----------
    cubes : sequence of Cube
        From `read_manifest`.
    folder : path
        Folder of the outputs, the state and the report; made if missing.
    settings : Settings, optional
        What to denoise with, and how.
    cluster : ClusterOptions, optional
        Which cluster to run on, and how persistently; all cores of this machine by default.
    say : callable, optional
        Called with lines for people to read.
    progress : callable, optional
        Called with the number of cubes finished and the total.
    work : callable, optional
        Called by workers with each job; for tests and measurements of the overhead.

    Returns
    -------
    BatchReport
        What became of each cube. It is also written into the folder, as JSON and as pages with pictures.

    Raises
    ------
    BatchError
        If another run is at work in the folder, an input would be overwritten, Dask is missing, the scheduler stays
        away, or no worker can process any cube.
    WriteError
        If the disk is too full to record what was done.
    """
    settings, cluster = settings or Settings(), cluster or ClusterOptions()
    folder = Path(folder).absolute()
    _require_apart(cubes, folder)
    plan = Plan(settings.manifest, settings.command, __version__, model_name(settings), now(), cubes)
    with locked(folder, say), Journal(folder) as journal:
        remove_leftovers(folder, [cube.output for cube in cubes])
        with os_errors_named(folder):
            for beside in (thumbnail, page):
                beside(folder, "").parent.mkdir(exist_ok=True)
        plan.save(folder)
        run = _Run(_Batch(plan, folder, settings, work), journal, cluster, say, progress)
        try:
            with _signals(run):
                run.to_the_end()
        finally:
            report = collect_report(folder, plan, kept=run.kept, interrupted=run.stopping)
            write_report(report, folder)
    return report


@dataclass(frozen=True)
class _Batch:
    """What a run is asked to do."""

    plan: Plan
    folder: Path
    settings: Settings
    work: Callable[[Job], Outcome]

    def job(self, cube: Cube, previous: Record | None) -> Job:
        return Job(cube, str(self.folder), self.plan.model, self.plan.version, self.settings, previous)


@dataclass
class _Run:
    """One run: what it is asked to do, and how far it is."""

    batch: _Batch
    journal: Journal
    options: ClusterOptions
    say: Say
    progress: Progress

    kept: int = 0
    stopping: bool = False
    dropping: bool = False
    _stop_announced: bool = False
    _notes: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._cluster = Cluster(self.options, self.batch.settings.threads)
        self._attempts = Attempts(self.batch.plan.cubes, self.options.retries)
        self._earlier = dict(self.journal.records)

    def to_the_end(self) -> None:
        """Work until nothing is left, or until told to stop."""
        try:
            with self._cluster:
                self._announce_cluster()
                while not self.dropping and self._has_work():
                    try:
                        self._step()
                    except SchedulerLostError as lost:
                        self._recover(lost)
                    self._announce_stop()
        finally:
            self._flush()
            # Tiles of cubes that failed may have gone on until the workers ended.
            remove_leftovers(self.batch.folder, [cube.output for cube in self.batch.plan.cubes])

    def stop(self) -> None:
        """Begin nothing more; when asked a second time, drop what is under way."""
        self.dropping = self.stopping
        self.stopping = True
        self._cluster.give_up()

    def _has_work(self) -> bool:
        return bool(self._attempts.running if self.stopping else len(self._attempts))

    def _announce_cluster(self) -> None:
        self.say(f"Dask dashboard: {self._cluster.dashboard}")
        if not self._cluster.slots:
            self.say("the scheduler has no workers yet; the cubes wait for the first")

    def _announce_stop(self) -> None:
        if self.stopping and self._attempts.running and not self._stop_announced:
            self._stop_announced = True
            self.say(f"finishing the {len(self._attempts.running)} under way; interrupt again to drop them")

    def _step(self) -> None:
        """Hand out cubes, wait a moment, and note what came back; the next step or the end puts notes on the disk."""
        room = max(self._cluster.slots, 1) + self.options.ahead - len(self._attempts.running)
        self._submit([] if self.stopping else list(self._attempts.take(room)))
        for future in self._cluster.finished(_WAIT):
            self._end(future)
        total = len(self.batch.plan.cubes)
        self.progress(total - len(self._attempts), total)
        self._cluster.check()

    def _flush(self) -> None:
        """Put all notes on the disk."""
        self.journal.add(self._notes)
        self._notes.clear()

    def _submit(self, attempts: list[Attempt]) -> None:
        """Note that cubes are begun, then begin them: an output without a note is not ours."""
        allowed: list[Attempt] = []
        for attempt in attempts:
            if reason := self._foreign(attempt.cube):
                self._fail(attempt.cube, _NOT_BEGUN, reason)
                continue
            allowed.append(attempt)
            if not self._was_done(attempt):  # the record of a finished output stays until there is a better one
                self._notes.append(Record(attempt.cube.output, "start", attempt.number))
        self._flush()
        for number, attempt in enumerate(allowed):
            job = self.batch.job(attempt.cube, self._earlier.get(attempt.cube.output))
            try:
                future = self._cluster.submit(self.batch.work, job, attempt.cube.output)
            except SchedulerLostError:
                self._attempts.put_back(allowed[number:])
                raise
            self._attempts.running[future] = attempt

    def _was_done(self, attempt: Attempt) -> bool:
        record = self.journal.records.get(attempt.cube.output)
        return record is not None and record.event == "done"

    def _foreign(self, cube: Cube) -> str:
        """Say why an output must not be written: it exists, and no run of this batch began it. Empty if it may be."""
        path, record = self.batch.folder / cube.output, self.journal.records.get(cube.output)
        begun = record is not None and record.attempts > _NOT_BEGUN
        try:
            if begun or self.batch.settings.overwrite or not path.exists():
                return ""
        except OSError as error:
            return f"{path}: cannot be written: {error.strerror or error}."
        return f"{path}: exists already, and this batch did not write it. Move it away, or give --overwrite."

    def _end(self, future: Future[Any]) -> None:
        """Deal with a task that has ended, or seems to have."""
        attempt = self._attempts.running[future]
        try:
            outcome: Outcome = self._cluster.result(future)
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
        del self._attempts.running[future]
        self._judge(attempt, outcome)

    def _judge(self, attempt: Attempt, outcome: Outcome) -> None:
        """Note an outcome, or try again."""
        output, reason = attempt.cube.output, str(outcome.facts.get("reason", ""))
        match outcome.status:
            case "refused":
                raise BatchError(reason)
            case "done":
                self._notes.append(Record(output, "done", attempt.number, facts=dict(outcome.facts)))
            case "kept":
                self.kept += 1
            case "retry" if self._attempts.retry(attempt):
                self.say(f"{output}: to be tried again ({reason})")
            case _:
                self._fail(attempt.cube, attempt.number, reason)

    def _fail(self, cube: Cube, attempts: int, reason: str) -> None:
        self.say(f"failed: {reason}")
        self._notes.append(Record(cube.output, "failed", attempts, facts={"reason": reason}))

    def _death(self, attempt: Attempt, worker: str) -> str:
        """Say why a worker died, as far as it can be known."""
        self._remove_leftovers([attempt])
        crash = crash_report(self.batch.folder, attempt.cube.output)
        cause = f"crashed ({crash})" if crash else "was killed from outside, perhaps because memory ran out"
        files, times = ", ".join(attempt.cube.files), f"attempt {attempt.number} of {self.options.retries + 1}"
        return f"{files}: {times}: the process that denoised it {cause}; see the log of {worker}"

    def _recover(self, lost: SchedulerLostError) -> None:
        """Wait for the scheduler, with the cubes it had under way queued first."""
        self.say(f"the scheduler is lost ({lost}); waiting for it")
        attempts = self._attempts.drop_running()
        if not self.stopping:
            self._cluster.reconnect()
            self.say("the scheduler is back")
            self._announce_cluster()
        self._remove_leftovers(attempts)

    def _remove_leftovers(self, attempts: Iterable[Attempt]) -> None:
        remove_leftovers(self.batch.folder, [attempt.cube.output for attempt in attempts])


def _require_apart(cubes: Sequence[Cube], folder: Path) -> None:
    """Raise `BatchError` if an output would replace an input or another output."""
    inputs = {_identity(Path(file)): number for number, cube in enumerate(cubes, start=1) for file in cube.files}
    outputs: dict[str, int] = {}
    for number, cube in enumerate(cubes, start=1):
        path = folder / cube.output
        identity = _identity(path)
        if (other := inputs.get(identity)) is not None:
            raise BatchError(f"row {number}: its output {path} is the input of row {other}. Choose another folder.")
        if (other := outputs.setdefault(identity, number)) != number:
            raise BatchError(f"row {number}: its output {path} is the output of row {other} too. Give it another name.")


def _identity(path: Path) -> str:
    """Return what paths to the same file have in common, through links and on file systems that ignore capitals."""
    try:
        status = path.stat()
    except OSError:
        return os.path.realpath(path)
    return f"{status.st_dev}:{status.st_ino}"


@contextmanager
def _signals(run: _Run) -> Iterator[None]:
    """Stop in good order at Ctrl-C, at the SIGTERM that ends a batch job, and as the terminal closes (SIGHUP)."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread handle signals
        return

    def handle(number: int, frame: FrameType | None) -> None:
        run.stop()

    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heeded = [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]  # as nohup sets SIGHUP
    earlier = {number: signal.signal(number, handle) for number in heeded}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
