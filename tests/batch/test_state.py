"""The journal: what was noted is there after any crash, and what was torn does no harm."""

from __future__ import annotations

import errno
import fcntl
import json
import resource
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.batch import batch_status, write_report
from quietspec.batch.facts import Record
from quietspec.batch.lock import locked
from quietspec.batch.manifest import Cube
from quietspec.batch.state import Journal, Plan, place, read_records
from quietspec.errors import BatchError, WriteError

FACTS = {"recipe": "r", "n_spectra": 4, "failed": 0, "flags": {"STAR": 1}}
DONE = Record("a.fits", "done", 1, facts={**FACTS, "sha256": "abc", "warnings": ["w"]})


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


def read(*lines: str | bytes) -> dict[str, Record]:
    """Records of a journal of these lines."""
    with TemporaryDirectory() as name:
        path = place(Path(name), "journal.jsonl")
        path.parent.mkdir()
        path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))
        return read_records(Path(name))


def line(**changes: object) -> str:
    return json.dumps({"output": "a.fits", "event": "start", "attempts": 1, "time": "t", "facts": {}} | changes)


DEEP = b'{"output": "a.fits", "event": "done", "attempts": 1, "facts": ' + 100_000 * b"[" + 100_000 * b"]" + b"}"


@pytest.mark.parametrize(
    "damaged",
    [
        line(output=["a.fits"]), line(output={"a": 1}), line(output=None), line(attempts="two"), line(attempts=-1),
        line(attempts=None), line(attempts=1.5), line(event="finished"), line(event=["done"]), line(attempts=10**30),
        DEEP, "[" * 100_000, "", "null", '"a.fits"', '{"attempts": ' + "9" * 5000 + "}", b"\xff\xfe", b"\0" * 5_000_000,
    ],
    ids=lambda text: str(text[:60]),
)  # fmt: skip
def test_a_damaged_line_leaves_what_was_known(damaged):
    records = read(line(event="done", facts=FACTS), damaged, line(output="b.fits"))
    assert set(records) == {"a.fits", "b.fits"}
    assert records["a.fits"].event == "done"


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.parametrize("value", [None, [], [1], {"a": []}, -1, 10**400])
def test_a_done_cube_without_its_facts_is_to_be_done_again(name, value):
    for facts in ({**FACTS, name: value}, {key: FACTS[key] for key in FACTS if key != name}, "none", None):
        record = read(line(event="done", facts=facts))["a.fits"]
        assert (record.event, record.attempts, record.facts) == ("start", 1, {})


@pytest.mark.parametrize(
    "facts",
    [
        {"warnings": 5}, {"warnings": [["x"]]}, {"noise": {"scale": "x"}}, {"noise": {"scale": 1, "correlation": 2}},
        {"sources": [5]}, {"sources": [{"size": "x"}]}, {"sources": {}}, {"seconds": "x"}, {"snr_after": [1]},
        {"size": "big"}, {"mtime_ns": 10**40}, {"sha256": 5}, {"other": 1}, {"reason": []},
    ],
    ids=str,
)  # fmt: skip
def test_facts_of_another_form_do_not_count(facts):
    assert read(line(event="done", facts=FACTS | facts))["a.fits"].facts == FACTS


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FACTS, "noise", "x"]), inner),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(
    event=st.sampled_from(["start", "done", "failed"]) | anything,
    attempts=st.integers(-1, 3) | anything,
    facts=st.dictionaries(
        st.sampled_from([*FACTS, "noise", "warnings", "sources", "reason", "size", "mtime_ns", "sha256", "seconds"]),
        anything,
    ).map(lambda facts: FACTS | facts) | anything,
)  # fmt: skip
def test_whatever_stands_in_the_journal_can_be_reported(tmp_path_factory, event, attempts, facts):
    folder = tmp_path_factory.mktemp("any")
    with locked(folder):
        Plan("m", "c", "1", "model", "now", [Cube(("in.fits",), "a.fits")]).save(folder)
    place(folder, "journal.jsonl").write_text(line(event=event, attempts=attempts, facts=facts) + "\n")
    report = batch_status(folder)
    write_report(report, folder)
    assert sum(report.counts.values()) == 1


def test_damaged_lines_do_not_count(folder):
    with Journal(folder) as journal:
        journal.add([DONE])
    path = place(folder, "journal.jsonl")
    path.write_bytes(b"\0\0\0\n[1]\n{}\n" + path.read_bytes())
    assert set(read_records(folder)) == {"a.fits"}


def test_a_write_that_fails_halfway(folder):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(folder) as journal:
        journal.add([DONE])
        size = place(folder, "journal.jsonl").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))
        try:
            with pytest.raises(WriteError, match=r"journal\.jsonl: the limit on the size of files is reached"):
                journal.add([Record("b.fits", "done", 1)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert set(read_records(folder)) == {"a.fits"}
    with Journal(folder) as journal:
        journal.add([Record("b.fits", "done", 1)])
    assert set(read_records(folder)) == {"a.fits", "b.fits"}


@pytest.mark.parametrize("name", ["journal.jsonl", "plan.json", "lock"])
def test_a_folder_in_the_place_of_a_file_is_named(tmp_path, name):
    Plan("m", "c", "1", "model", "now", []).save(made(tmp_path))
    place(tmp_path, name).unlink(missing_ok=True)
    place(tmp_path, name).mkdir()
    with pytest.raises(BatchError, match=f"{name}: is not a regular file. Move it away"):
        if name == "lock":
            made(tmp_path)
        else:
            batch_status(tmp_path)
    if name == "journal.jsonl":
        with pytest.raises(BatchError, match="is not a regular file"):
            Journal(tmp_path)


def made(folder: Path) -> Path:
    """A folder in which a run has begun."""
    with locked(folder):
        return folder


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "5", "null", "{}", '{"cubes": 5}', "[" * 100_000, "\0",
        '{"manifest": 1, "command": "", "version": "", "model": "", "started": "", "cubes": []}',
        *(
            json.dumps({"manifest": "", "command": "", "version": "", "model": "", "started": "", "cubes": [cube]})
            for cube in (
                5, {}, {"files": [], "output": "a", "options": {}}, {"files": [5], "output": "a", "options": {}},
                {"files": ["a"], "output": "../a", "options": {}}, {"files": ["a"], "output": ["a"], "options": {}},
                {"files": ["a"], "output": "a", "options": 5}, {"files": ["a"], "output": "a", "options": {"x": [[]]}},
            )
        ),
    ],
    ids=lambda text: text[-60:],
)  # fmt: skip
def test_a_damaged_plan_is_named_with_the_cure(tmp_path, text):
    place(made(tmp_path), "plan.json").write_text(text)
    with pytest.raises(BatchError, match=r"plan\.json: is damaged .*Run the batch again"):
        batch_status(tmp_path)


def test_state_of_the_first_release_is_refused_with_the_cure(tmp_path):
    Plan("m", "c", "1", "model", "now", []).save(made(tmp_path))
    (tmp_path / "batch").rename(tmp_path / "survey")
    for look in (lambda: batch_status(tmp_path), lambda: made(tmp_path)):
        with pytest.raises(BatchError, match=r"begun by quietspec 0\.1.*mv \S+/survey \S+/batch$"):
            look()
    (tmp_path / "survey").rename(tmp_path / "batch")
    assert batch_status(tmp_path).complete


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_stands_in_where_there_are_no_locks(tmp_path, monkeypatch, number):
    def refuse(*_: object) -> None:
        raise OSError(number, "no locks available")

    substitute, said = place(tmp_path, "lock.held"), []
    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path, said.append):
        assert f"this file system has no locks (no locks available); {substitute} stands in for one" in said[0]
        with pytest.raises(BatchError, match=r"another run is at work there \(process \d+ on .*remove \S+lock\.held$"):
            made(tmp_path)
    assert not substitute.exists()
    made(tmp_path)
    substitute.write_text("process 1 elsewhere")  # as a killed run leaves it
    with pytest.raises(BatchError, match=r"\(process 1 elsewhere\), or was killed\. If none is at work, remove"):
        made(tmp_path)
    monkeypatch.undo()
    with pytest.raises(BatchError, match="or was killed"):  # another machine may have locks where this one has none
        made(tmp_path)


def test_other_failures_of_a_lock_are_named(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(WriteError, match="Input/output error"):
        made(tmp_path)


def test_plan_comes_back(folder):
    plan = Plan("m.csv", "quietspec batch run", "1", "model", "now", (Cube(("a", "b"), "out.fits", {"redshift": 0.1}),))
    plan.save(folder)
    assert Plan.load(folder) == plan
    assert json.loads(place(folder, "plan.json").read_text())["cubes"][0]["output"] == "out.fits"


def test_no_batch(tmp_path):
    with pytest.raises(BatchError, match=r"holds no batch\. Begin one: quietspec batch run MANIFEST -o"):
        Plan.load(tmp_path)
    assert read_records(tmp_path) == {}
