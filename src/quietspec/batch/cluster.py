"""The Dask cluster that runs a batch: one on this machine, or any other, given the address of its scheduler."""

from __future__ import annotations

import json
import logging
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from quietspec.errors import BatchError

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["Cluster", "ClusterOptions", "NotYetError", "SchedulerLostError", "WorkerDiedError"]

_Argument = TypeVar("_Argument")

_CHECK = 2.0  # seconds between two looks at the scheduler
_ANSWER = 30.0  # seconds within which the scheduler must answer
_FETCH = 5.0  # seconds within which a result must arrive if its worker is still alive
_EMPTY = 60.0  # seconds after which a local cluster is given up if its workers have all ended and do not restart
_ATTEMPT = 5.0  # seconds that one attempt to reach the scheduler, or to leave it, may take
_RETRY = 1.0  # seconds between attempts to reach a scheduler that is away

# Code that local workers run first. A terminal's signals reach them too, but are meant for the run, which ends its
# workers itself. At the end they leave their memory to the system: to collect it takes seconds, and Dask kills workers
# that take four.
_PRELOAD = """
import atexit, gc, signal
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
atexit.register(gc.freeze)
"""


class SchedulerLostError(Exception):
    """The scheduler is away, or has been replaced by another; its tasks are lost."""


class NotYetError(Exception):
    """The result was lost with the worker that held it, and is being computed again."""


class WorkerDiedError(Exception):
    """As many worker processes as the scheduler allows have died while they held this task."""


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Which Dask cluster runs a batch, and how persistently.

    Parameters
    ----------
    scheduler : str
        ``local`` for a scheduler and workers on this machine; otherwise the address of a scheduler
        (``tcp://host:8786``) or the path of the file that ``dask scheduler --scheduler-file`` wrote.
    workers : int, optional
        Worker processes of a ``local`` cluster; by default the number of processor cores over the threads per cube.
    ahead : int
        Cubes handed out beyond the workers' slots, so that a cluster that grows on demand sees the demand.
    retries : int
        How often a cube is tried again after its worker died or an unexpected error occurred. The last attempt runs
        with no other cube under way, so that none can be the cause. Faults of a file itself are not tried again.
    patience : float
        Seconds to wait for a scheduler that is away.
    """

    scheduler: str = "local"
    workers: int | None = None
    ahead: int = 0
    retries: int = 2
    patience: float = 600.0


class Cluster:
    """A connection to a Dask scheduler, used as a context manager; a local cluster ends with its block.

    Parameters
    ----------
    options : ClusterOptions, optional
        Which cluster, and how long to wait for it; a local one by default.
    threads : int, optional
        Threads per task, which bound the number of workers of a local cluster.

    Raises
    ------
    BatchError
        If Dask is not installed, or the scheduler cannot be reached.

    Notes
    -----
    All connections of a local cluster need its certificate, which is made anew for each and kept in memory: no other
    process of the machine can have its scheduler or workers run code.
    """

    def __init__(self, options: ClusterOptions | None = None, threads: int = 1) -> None:
        try:
            import distributed  # noqa: F401
        except ModuleNotFoundError as error:
            raise BatchError(f"{error.name} is not installed: pip install 'quietspec[cluster]'.") from error
        self._options = options or ClusterOptions()
        self._threads = threads
        self._local: Any = None
        self._client: Client
        self._identity = ""
        self._group = f"cube-{secrets.token_hex(8)}"
        self._answered = 0.0  # time at which the scheduler last answered
        self._peopled = 0.0  # time at which it last had workers
        self._given_up = False
        self._finished: SimpleQueue[Future[Any]] = SimpleQueue()
        self.slots = 0  #: tasks that the workers can hold at one time

    def __enter__(self) -> Self:
        with ExitStack() as quiet:
            for name in ("distributed.client", "distributed.scheduler"):  # the run reports losses in its own words
                quiet.enter_context(_silent(logging.getLogger(name)))
            self._connect()
            self._quiet = quiet.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._quiet:
            self._close()

    @property
    def dashboard(self) -> str:
        """Address of the page that shows what the cluster is doing."""
        return str(self._client.dashboard_link)

    def submit(self, function: Callable[[_Argument], Any], argument: _Argument, name: str) -> Future[Any]:
        """Have a worker call a function.

        Parameters
        ----------
        function : callable
            The function.
        argument : object
            Its only argument.
        name : str
            Name of the task on the dashboard.

        Returns
        -------
        Future
            `finished` returns it once the task has ended.

        Raises
        ------
        SchedulerLostError
            If there is no connection.
        """
        # Keys of one group let the scheduler queue the tasks until a worker is free, so that a worker's death costs no
        # task but its own.
        key = (self._group, f"{name}-{time.monotonic_ns()}")
        if self._client.status not in ("running", "connecting"):
            raise SchedulerLostError(f"the connection is {self._client.status}")
        future: Future[Any] = self._client.submit(function, argument, key=key, pure=False)
        future.add_done_callback(self._finished.put)
        return future

    def finished(self, timeout: float) -> list[Future[Any]]:
        """Wait for tasks to end.

        Parameters
        ----------
        timeout : float
            Seconds after which to give up; signal handlers may run meanwhile.

        Returns
        -------
        list of Future
            Tasks that have ended since the last call, successfully or not.
        """
        futures: list[Future[Any]] = []
        try:
            futures.append(self._finished.get(timeout=timeout))
            while True:
                futures.append(self._finished.get_nowait())
        except Empty:
            return futures

    def result(self, future: Future[Any]) -> Any:
        """Fetch the result of a finished task.

        Parameters
        ----------
        future : Future
            From `finished`.

        Returns
        -------
        object
            What the function returned.

        Raises
        ------
        WorkerDiedError
            If the workers that held the task died.
        NotYetError
            If the result is being computed again; `finished` will return the task once more.
        SchedulerLostError
            If the scheduler no longer knows the task.
        Exception
            Whatever the function raised.
        """
        from distributed import KilledWorker

        if future.status == "error":
            error = future.exception()
            if isinstance(error, KilledWorker):
                raise WorkerDiedError(str(error.last_worker.address)) from error
            raise error
        try:
            return future.result(timeout=_FETCH)
        except (CancelledError, OSError) as error:
            if not isinstance(error, TimeoutError):
                raise SchedulerLostError(str(error)) from error
            future.add_done_callback(self._finished.put)
            raise NotYetError from error

    def check(self) -> None:
        """Check every few seconds that the scheduler is still there and still the same, and count the workers' slots.

        Raises
        ------
        SchedulerLostError
            If it is not, or if all workers of a local cluster have ended.
        """
        if time.monotonic() < self._answered + _CHECK:
            return
        identity = self._look()
        if identity != self._identity:
            raise SchedulerLostError("it was restarted")
        if self.slots:
            self._peopled = self._answered
        elif self._local is not None and self._answered > self._peopled + _EMPTY:
            raise SchedulerLostError("its workers have ended and do not restart")

    def reconnect(self) -> None:
        """Wait for the scheduler to come back, as long as patience lasts."""
        self._close()
        self._connect()

    def give_up(self) -> None:
        """Stop waiting for a scheduler that is away; may be called from a signal handler."""
        self._given_up = True

    def _connect(self) -> None:
        """Try to reach the scheduler, as long as patience lasts."""
        self._finished = SimpleQueue()
        deadline = time.monotonic() + self._options.patience
        while True:
            try:
                self._client = self._local_client() if self._options.scheduler == "local" else self._remote_client()
                self._identity = self._look()
                self._peopled = self._answered
            except SchedulerLostError as error:
                if self._given_up or time.monotonic() > deadline:
                    raise BatchError(
                        f"scheduler {self._options.scheduler}: does not answer ({error}). Is it running, and is this "
                        "its address?"
                    ) from error
                time.sleep(_RETRY)
            else:
                return

    def _look(self) -> str:
        """Return the identity of the scheduler, which it keeps as long as it lives, and count its slots."""
        try:
            about = self._client.sync(self._client.scheduler.identity, n_workers=0, callback_timeout=_ANSWER)
        except (OSError, TimeoutError, ValueError, CancelledError) as error:
            raise SchedulerLostError(str(error)) from error
        self._answered = time.monotonic()
        self.slots = int(about["total_threads"])
        return str(about["id"])

    def _local_client(self) -> Client:
        import dask
        from dask.system import CPU_COUNT
        from distributed import Client, LocalCluster
        from distributed.security import Security

        try:
            security = Security.temporary()
        except ImportError as error:
            raise BatchError("cryptography is not installed: pip install 'quietspec[cluster]'.") from error
        try:
            with dask.config.set({"distributed.scheduler.worker-saturation": 1.0}):
                self._local = LocalCluster(
                    n_workers=self._options.workers or max(1, CPU_COUNT // self._threads),
                    threads_per_worker=1,  # one cube per process: when a process dies, the cube at fault is known
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"allowed_failures": 0},  # the run counts attempts itself
                    security=security,
                    preload=[_PRELOAD],
                )
        except (OSError, RuntimeError) as error:
            raise BatchError(f"no Dask workers can be started on this machine: {error}.") from error
        return Client(self._local, security=security, set_as_default=False)

    def _remote_client(self) -> Client:
        from distributed import Client

        try:
            address = _address(self._options.scheduler)
            _knock(address)
            return Client(address, timeout=_ATTEMPT, set_as_default=False)
        except OSError as error:  # a time-out is one
            raise SchedulerLostError(str(error)) from error
        except ValueError as error:
            raise BatchError(f"scheduler {self._options.scheduler}: {error}.") from error

    def _close(self) -> None:
        self._client.close(timeout=_ATTEMPT)
        if self._local is not None:
            with _silent(logging.getLogger("distributed.nanny")):  # what was worth keeping of its workers has been kept
                self._local.close()
            self._local = None


def _address(scheduler: str) -> str:
    """Return the address of a scheduler, given directly or by a scheduler file."""
    if Path(scheduler).suffix != ".json":
        return scheduler
    content = json.loads(Path(scheduler).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or "address" not in content:
        raise ValueError("not a scheduler file, since it holds no address")
    return str(content["address"])


def _knock(address: str) -> None:
    """Raise `OSError` where nobody listens: a client that fails to connect would leave a thread behind."""
    from distributed.comm.addressing import get_address_host_port, parse_address

    if parse_address(address)[0] in ("tcp", "tls", "ws", "wss"):
        with socket.create_connection(get_address_host_port(address), timeout=_ATTEMPT):
            pass


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
