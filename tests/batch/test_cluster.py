"""Connections to schedulers: those that cannot be, and that they leave nothing behind."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading

import pytest
from distributed import Security
from distributed.comm import connect

from quietspec.batch import cluster as module
from quietspec.batch.cluster import Cluster, ClusterOptions, SchedulerLostError
from quietspec.errors import BatchError

from .conftest import until

NOBODY = "tcp://127.0.0.1:1"


@pytest.mark.parametrize(
    ("scheduler", "says"),
    [
        (NOBODY, "does not answer"),
        ("nothing.json", "No such file"),
        ("carrier-pigeon://host:1", "unknown address scheme"),
        ("tcp://", "scheduler tcp://: "),
    ],
)
def test_no_scheduler(scheduler, says):
    level = logging.getLogger("distributed.client").level
    with pytest.raises(BatchError, match=says), Cluster(ClusterOptions(scheduler=scheduler, patience=0)):
        pass
    assert logging.getLogger("distributed.client").level == level


def test_attempts_leave_no_threads_behind():
    def attempt() -> None:
        with pytest.raises(BatchError, match="does not answer"), Cluster(ClusterOptions(scheduler=NOBODY, patience=0)):
            pass

    attempt()
    before = threading.active_count()
    attempt()
    assert threading.active_count() <= before


def test_scheduler_file(threads, tmp_path):
    path = tmp_path / "scheduler.json"
    path.write_text(json.dumps({"address": threads}))
    with Cluster(ClusterOptions(scheduler=str(path))) as cluster:
        assert cluster.slots == 2
        future = cluster.submit(len, "abc", "name")
        assert cluster.finished(20.0) == [future]
        assert cluster.result(future) == 3


def test_local_cluster_whose_workers_are_gone_is_replaced(monkeypatch):
    monkeypatch.setattr(module, "_EMPTY", 0.0)
    monkeypatch.setattr(module, "_CHECK", 0.0)
    with Cluster(ClusterOptions(workers=1)) as cluster:
        cluster.check()
        assert cluster.slots == 1
        cluster._local.scale(0)
        with pytest.raises(SchedulerLostError, match="its workers have ended"):
            until(cluster.check)
        cluster.reconnect()
        assert cluster.slots == 1


def test_no_other_process_can_use_a_local_cluster():
    with Cluster(ClusterOptions(workers=1)) as cluster:
        about = cluster._client.scheduler_info()
        addresses = [about["address"], *about["workers"], *(worker["nanny"] for worker in about["workers"].values())]
        assert len(addresses) == 3
        for address in addresses:
            assert address.startswith("tls://127.0.0.1:")
            for stranger, security in (
                (address.replace("tls", "tcp"), None), (address, None), (address, Security.temporary()),
            ):  # fmt: skip
                with pytest.raises((OSError, TypeError)):
                    asyncio.run(called(stranger, security))
        future = cluster.submit(len, "abc", "name")
        until(lambda: cluster.finished(1.0) == [future])
        assert cluster.result(future) == 3


async def called(address: str, security: Security | None) -> None:
    """Have a scheduler or worker answer."""
    arguments = {} if security is None else security.get_connection_args("client")
    connection = await connect(address, timeout=2, **arguments)
    try:
        await connection.write({"op": "identity", "reply": True})
        await connection.read()
    finally:
        connection.abort()


def test_a_local_cluster_needs_cryptography(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(BatchError, match=r"cryptography is not installed: pip install 'quietspec\[cluster\]'"):
        Cluster().__enter__()


def test_workers_end_without_collecting_their_memory(tmp_path):
    mark = tmp_path / "mark"

    def leave_a_mark(path: str) -> None:
        import gc
        import os
        import sys

        class Mark:
            """Outlives the handlers that run as the process exits."""

            descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)

            def __del__(self, write=os.write, frozen=gc.get_freeze_count) -> None:
                write(self.descriptor, str(frozen() > 0).encode())

        sys.mark = Mark()

    with Cluster(ClusterOptions(workers=1)) as cluster:
        future = cluster.submit(leave_a_mark, str(mark), "name")
        until(lambda: cluster.finished(1.0) == [future])
        cluster.result(future)
    assert mark.read_text() == "True"


def test_giving_up_ends_the_wait():
    cluster = Cluster(ClusterOptions(scheduler=NOBODY, patience=1000))
    cluster.give_up()
    with pytest.raises(BatchError, match="does not answer"), cluster:
        pass
