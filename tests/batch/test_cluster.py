"""Connections to schedulers: those that cannot be, and that they leave nothing behind."""

from __future__ import annotations

import json
import logging
import threading

import pytest

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


def test_giving_up_ends_the_wait():
    cluster = Cluster(ClusterOptions(scheduler=NOBODY, patience=1000))
    cluster.give_up()
    with pytest.raises(BatchError, match="does not answer"), cluster:
        pass
