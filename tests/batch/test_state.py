"""The journal: what was noted is there after any crash, and what was torn does no harm."""

from __future__ import annotations

import json
import resource

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.batch.lock import locked
from quietspec.batch.manifest import Cube
from quietspec.batch.state import Journal, Plan, Record, place, read_records
from quietspec.errors import BatchError, WriteError

DONE = Record("a.fits", "done", 1, facts={"sha256": "abc", "n_spectra": 4})


@pytest.fixture
def folder(tmp_path):
    with locked(tmp_path):
        yield tmp_path


def test_last_record_of_each_cube_counts(folder):
    with Journal(folder) as journal:
        journal.add([Record("a.fits", "start", 1), Record("b.fits", "start", 1)])
        journal.add([DONE])
        held = dict(journal.records)
    records = read_records(folder)
    assert records == held
    assert (records["a.fits"].event, records["a.fits"].facts) == ("done", DONE.facts)
    assert records["a.fits"].time > "2020"
    assert records["b.fits"].event == "start"


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(min_value=0), junk=st.binary(max_size=30))
def test_a_torn_journal_loses_its_last_record_and_no_more(tmp_path_factory, cut, junk):
    folder = tmp_path_factory.mktemp("torn")
    with locked(folder), Journal(folder) as journal:
        journal.add([DONE])
        whole = place(folder, "journal.jsonl").read_bytes()
        journal.add([Record("b.fits", "failed", 3, facts={"reason": "µ\n\udcff"})])
    path = place(folder, "journal.jsonl")
    torn = path.read_bytes()
    torn = torn[: len(whole) + cut % (len(torn) - len(whole))]
    path.write_bytes(torn + junk.replace(b"\n", b""))
    with locked(folder), Journal(folder) as journal:
        assert set(journal.records) == {"a.fits"}
        journal.add([Record("c.fits", "start", 1)])
    assert set(read_records(folder)) == {"a.fits", "c.fits"}


def test_damaged_lines_do_not_count(folder):
    with Journal(folder) as journal:
        journal.add([DONE])
    path = place(folder, "journal.jsonl")
    path.write_bytes(b"\0\0\0\n[1]\n{}\n" + path.read_bytes())
    assert set(read_records(folder)) == {"a.fits"}


def test_full_disk(folder):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(folder) as journal:
        journal.add([DONE])
        size = place(folder, "journal.jsonl").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))
        try:
            with pytest.raises(WriteError, match=r"journal\.jsonl: the disk is full"):
                journal.add([Record("b.fits", "done", 1)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert set(read_records(folder)) == {"a.fits"}
    with Journal(folder) as journal:
        journal.add([Record("b.fits", "done", 1)])
    assert set(read_records(folder)) == {"a.fits", "b.fits"}


def test_plan_comes_back(folder):
    plan = Plan("m.csv", "quietspec batch run", "1", "model", "now", (Cube(("a", "b"), "out.fits", {"redshift": 0.1}),))
    plan.save(folder)
    assert Plan.load(folder) == plan
    assert json.loads(place(folder, "plan.json").read_text())["cubes"][0]["output"] == "out.fits"


def test_no_batch(tmp_path):
    with pytest.raises(BatchError, match=r"holds no batch\. Begin one: quietspec batch run MANIFEST -o"):
        Plan.load(tmp_path)
    assert read_records(tmp_path) == {}
