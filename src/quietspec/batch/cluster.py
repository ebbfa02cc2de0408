"""The Dask cluster a survey runs on: one of this machine, or any that is known by its scheduler's address."""

from __future__ import annotations

import json
import logging
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from quietspec.errors import BatchError

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["Cluster", "NotYetError", "SchedulerLostError", "WorkerDiedError"]

_Argument = TypeVar("_Argument")

_CHECK = 2.0  # seconds between two looks at the scheduler
_ANSWER = 30.0  # seconds within which it has to answer
_FETCH = 5.0  # seconds within which a result is fetched, if its worker still lives
_EMPTY = 60.0  # seconds after which a local cluster whose workers all ended, and did not start again, is given up
_ATTEMPT = 5.0  # seconds of one attempt to reach it
_RETRY = 1.0  # seconds between attempts to reach a scheduler that is away
_DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"  # Ctrl-C is for the run, which ends its workers


class SchedulerLostError(Exception):
    """The scheduler is away, or is another one than before; what it was doing is lost."""


class NotYetError(Exception):
    """The result was lost with the worker that held it, and is being made again."""


class WorkerDiedError(Exception):
    """As many worker processes as the scheduler allows died while they held this task."""


class Cluster:
    """A connection to a Dask scheduler; as a context manager it ends with its block, and a local cluster with it.

    Parameters
    ----------
    scheduler : str
        ``local`` for a scheduler and workers on this machine, else the address of a scheduler (``tcp://host:8786``) or
        the path of the file that ``dask scheduler --scheduler-file`` wrote.
    workers : int, optional
        For ``local``: worker processes; by default one for each processor core and `threads`.
    threads : int, optional
        For ``local``: threads of one task.
    patience : float, optional
        Seconds to wait for a scheduler that is away.

    Raises
    ------
    BatchError
        If Dask is not installed, or the scheduler cannot be reached.
    """

    def __init__(
        self, scheduler: str, *, workers: int | None = None, threads: int = 1, patience: float = 600.0
    ) -> None:
        try:
            import distributed  # noqa: F401
        except ModuleNotFoundError as error:
            raise BatchError(f"{error.name} is not installed: pip install 'quietspec[cluster]'.") from error
        self._scheduler = scheduler
        self._workers = workers
        self._threads = threads
        self._patience = patience
        self._local: Any = None
        self._client: Client
        self._identity = ""
        self._group = f"cube-{secrets.token_hex(8)}"
        self._checked = 0.0  # when the scheduler answered last
        self._peopled = 0.0  # when it had workers last
        self._given_up = False
        self._finished: SimpleQueue[Future[Any]] = SimpleQueue()
        self.slots = 0  #: tasks that workers can hold at one time

    def __enter__(self) -> Self:
        with ExitStack() as quiet:
            for name in ("distributed.client", "distributed.scheduler"):  # what they say of losses, we say in our words
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
        """Address of the page that shows what the cluster does."""
        return str(self._client.dashboard_link)

    def submit(self, function: Callable[[_Argument], Any], argument: _Argument, name: str) -> Future[Any]:
        """Have a worker call a function.

        Parameters
        ----------
        function : callable
            What to call.
        argument : object
            With what.
        name : str
            What the dashboard calls it.

        Returns
        -------
        Future
            One of those that `finished` gives back.

        Raises
        ------
        SchedulerLostError
            If there is no connection.
        """
        # Tasks of one group are kept by the scheduler until a worker is free, and are not lost with another's worker.
        key = (self._group, f"{name}-{time.monotonic_ns()}")
        if self._client.status not in ("running", "connecting"):
            raise SchedulerLostError(f"the connection to it is {self._client.status}")
        future: Future[Any] = self._client.submit(function, argument, key=key, pure=False)
        future.add_done_callback(self._finished.put)
        return future

    def finished(self, timeout: float) -> list[Future[Any]]:
        """Wait for tasks to end.

        Parameters
        ----------
        timeout : float
            Seconds after which to give up; a signal's handler may run meanwhile.

        Returns
        -------
        list of Future
            Those that ended, well or not, since the last call.
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
            If its workers died.
        NotYetError
            If it is being made again; `finished` will give the task once more.
        SchedulerLostError
            If the scheduler does not know the task any more.
        Exception
            If the function raised.
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
        """See now and then whether the scheduler is there and is the same, and count the workers' slots.

        Raises
        ------
        SchedulerLostError
            If it is not.
        """
        if time.monotonic() < self._checked + _CHECK:
            return
        identity = self._look()
        if identity != self._identity:
            raise SchedulerLostError("it was restarted")
        if self.slots:
            self._peopled = self._checked
        elif self._local is not None and self._checked > self._peopled + _EMPTY:
            raise SchedulerLostError("its workers ended and do not start again")

    def reconnect(self) -> None:
        """Wait for the scheduler to come back, for as long as patience lasts."""
        self._close()
        self._connect()

    def give_up(self) -> None:
        """Wait no longer for a scheduler that is away; may be called from a signal's handler."""
        self._given_up = True

    def _connect(self) -> None:
        """Reach the scheduler, for as long as patience lasts."""
        self._finished = SimpleQueue()
        deadline = time.monotonic() + self._patience
        while True:
            try:
                self._client = self._local_client() if self._scheduler == "local" else self._remote_client()
                self._identity = self._look()
                self._peopled = self._checked
            except SchedulerLostError as error:
                if self._given_up or time.monotonic() > deadline:
                    raise BatchError(
                        f"--scheduler {self._scheduler}: does not answer ({error}). Is it running, and is this right?"
                    ) from error
                time.sleep(_RETRY)
            else:
                return

    def _look(self) -> str:
        """Identity of the scheduler, which it keeps as long as it lives."""
        try:
            about = self._client.sync(self._client.scheduler.identity, n_workers=0, callback_timeout=_ANSWER)
        except (OSError, TimeoutError, ValueError, CancelledError) as error:
            raise SchedulerLostError(str(error)) from error
        self._checked = time.monotonic()
        self.slots = int(about["total_threads"])
        return str(about["id"])

    def _local_client(self) -> Client:
        import dask
        from dask.system import CPU_COUNT
        from distributed import Client, LocalCluster

        try:
            with dask.config.set({"distributed.scheduler.worker-saturation": 1.0}):
                self._local = LocalCluster(
                    n_workers=self._workers or max(1, CPU_COUNT // self._threads),
                    threads_per_worker=1,  # one cube in a process: where one dies, it is clear which it was
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"allowed_failures": 0},  # we count ourselves
                    preload=[_DEAF],
                )
        except (OSError, RuntimeError) as error:
            raise BatchError(f"no Dask workers can be started on this machine: {error}.") from error
        return Client(self._local, set_as_default=False)

    def _remote_client(self) -> Client:
        from distributed import Client

        try:
            address = _address(self._scheduler)
            _knock(address)
            return Client(address, timeout=_ATTEMPT, set_as_default=False)
        except OSError as error:  # a time-out is one
            raise SchedulerLostError(str(error)) from error
        except ValueError as error:
            raise BatchError(f"--scheduler {self._scheduler}: {error}.") from error

    def _close(self) -> None:
        self._client.close(timeout=_RETRY)
        if self._local is not None:
            self._local.close()
            self._local = None


def _address(scheduler: str) -> str:
    """Address of a scheduler, which may stand in a file."""
    if Path(scheduler).suffix != ".json":
        return scheduler
    content = json.loads(Path(scheduler).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or "address" not in content:
        raise ValueError("is no scheduler file: it holds no address")
    return str(content["address"])


def _knock(address: str) -> None:
    """Raise `OSError` where nobody listens, before a client is made, whose thread would outlive its failure."""
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
