"""`batch`: the commands, their reports and their exit status; what a run withstands is in `tests/batch`."""

from __future__ import annotations

import json

import pytest

from ..io import layouts

distributed = pytest.importorskip("distributed", reason="needs the extra `cluster`")


@pytest.fixture(scope="module")
def scheduler():
    """Address of a cluster within this process."""
    cluster = distributed.LocalCluster(
        processes=False, n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    )
    with cluster:
        yield cluster.scheduler_address


@pytest.fixture
def manifest(tmp_path):
    for name in ("a", "b"):
        layouts.muse().writeto(tmp_path / f"{name}.fits")
    path = tmp_path / "manifest.csv"
    path.write_text("file,redshift\na.fits,0.1\nb.fits,0.2\n")
    return path


@pytest.fixture
def batch(run, manifest, model, scheduler):
    return lambda *words: run(
        "batch", "run", manifest, "-o", manifest.parent / "out", "--model", model, "--scheduler", scheduler, *words
    )


def test_run_status_report(batch, run, manifest):
    out = manifest.parent / "out"
    result = batch("--json", manifest.parent / "report.json")
    assert result.exit_code == 0
    assert "Dask dashboard: " in result.stderr
    assert "2 cubes: " in result.stdout
    assert str(out / "batch" / "index.html") in result.stdout
    report = json.loads((manifest.parent / "report.json").read_text())
    assert report["model"].startswith("posterior ")
    assert [cube["output"] for cube in report["cubes"]] == ["a_denoised.fits", "b_denoised.fits"]
    assert all((out / cube["output"]).exists() for cube in report["cubes"])
    assert all((out / "batch" / "thumbnails" / f"{cube['output']}.png").exists() for cube in report["cubes"])

    result = batch()
    assert result.exit_code == 0
    assert "2 kept" in result.stdout

    result = run("batch", "status", out, "--json", "-")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["cubes"] == report["cubes"]

    (out / "batch" / "index.html").unlink()
    assert run("batch", "report", out).exit_code == 0
    assert (out / "batch" / "index.html").exists()


def test_missing_cube_costs_one_row(batch, manifest):
    (manifest.parent / "a.fits").unlink()
    result = batch("--no-thumbnails")
    assert result.exit_code == 1
    assert "1 failed" in result.stdout
    assert "a.fits: no such file" in result.stdout
    assert (manifest.parent / "out" / "b_denoised.fits").exists()
    assert not list((manifest.parent / "out" / "batch" / "thumbnails").iterdir())


def test_mistakes_are_told_before_any_work(batch, manifest):
    manifest.write_text("file,redshift\na.fits,0.1\nb.fits,x\n")
    result = batch()
    assert result.exit_code == 1
    assert f"error: {manifest}: row 2, column 'redshift': 'x' is not a number." in result.stderr
    assert not (manifest.parent / "out").exists()


def test_status_of_no_batch(run, tmp_path):
    result = run("batch", "status", tmp_path)
    assert result.exit_code == 1
    assert f"error: {tmp_path}: holds no batch" in result.stderr


def test_workers_are_for_local_clusters(batch, manifest):
    result = batch("--workers", 2)
    assert result.exit_code == 2
    assert "--scheduler local" in result.stderr
    assert not (manifest.parent / "out").exists()


def test_split_tiles_need_workers_of_one_thread(batch, manifest):
    result = batch("--split", "--threads", 2)
    assert result.exit_code == 2
    assert "--threads" in result.stderr


def test_without_dask(batch, manifest, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    result = batch()
    assert result.exit_code == 1
    assert "distributed is not installed: pip install 'quietspec[cluster]'" in result.stderr
