"""`fetch`: data sets listed, brought, and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from quietspec.io.fetching import DATASETS, Dataset

from ..io import layouts


@pytest.fixture
def tiny_data(tmp_path, monkeypatch) -> Path:
    """A data set that is in the cache already."""
    monkeypatch.setenv("QUIETSPEC_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "cache" / "tiny" / "cube.fits"
    path.parent.mkdir(parents=True)
    layouts.muse().writeto(path)
    dataset = Dataset(
        name="tiny", archive="tiny-1.0.tar.gz", archive_sha256="0", member="tiny/cube.fits", what="a tiny cube",
        terms="free for all", citation="nobody",
    )  # fmt: skip
    monkeypatch.setitem(DATASETS, "tiny", dataset)
    monkeypatch.setattr("quietspec.io.fetching.cached", lambda name: path if name == "tiny" else None)
    monkeypatch.setattr("quietspec.io.fetching.fetch", lambda name, **_: path)
    return path


def test_fetch_ends_with_the_path(run, tiny_data):
    result = run("fetch", "tiny")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == str(tiny_data)
    assert "free for all" in result.stderr


def test_fetch_lists_what_there_is(run, tiny_data):
    lines = run("fetch").stdout.splitlines()
    assert len(lines) == len(DATASETS)
    assert [line.split()[0] for line in lines] == list(DATASETS)
    assert [line.split()[1] for line in lines if line.startswith("tiny")] == ["cached"]


def test_fetch_of_something_unknown(run):
    result = run("fetch", "nothing")
    assert result.exit_code == 1
    assert "'nothing' is not a known data set. Known are: miles, muse-a478" in result.stderr
