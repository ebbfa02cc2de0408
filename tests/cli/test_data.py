"""`info`, `fetch` and `models`: what a user is told, on the terminal and as JSON."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from quietspec import __version__
from quietspec.io.fetching import DATASETS, Dataset

from ..io import layouts

if TYPE_CHECKING:
    from astropy.io import fits

FACTS = {
    "survey", "paths", "object", "n_spectra", "n_pixels", "spatial_shape", "wavelength", "medium", "fwhm", "unit",
    "redshift", "snr", "fraction_masked", "empty_spectra", "sampled_spectra", "distinct_spectra", "warnings",
}  # fmt: skip


def save(hdus: fits.HDUList, path: Path) -> Path:
    hdus.writeto(path)
    return path


@pytest.fixture
def muse(tmp_path) -> Path:
    return save(layouts.muse(), tmp_path / "muse.fits")


def test_info_tells_what_the_reader_sees(run, muse):
    result = run("info", muse)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == str(muse)
    assert "survey MUSE, object Abell 478" in lines
    assert "spectra 12 (3 × 4 spaxels), 40 pixels each" in lines
    assert "wavelengths 4750.0–4798.8 Å in air, linear, step 1.25 Å" in lines
    assert "redshift unknown (12 unknown)" in lines
    assert "warning no redshift for 12 spectra; give it: --redshift Z" in lines


def test_info_as_json(run, muse, tmp_path):
    result = run("info", muse, "--json", "-", "--redshift", 0.088)
    (facts,) = json.loads(result.stdout)
    assert facts.keys() == FACTS
    assert facts["paths"] == [str(muse)]
    assert facts["redshift"] == {"low": 0.088, "high": 0.088, "unknown": 0}
    assert facts["wavelength"].keys() == {"low", "high", "step", "sampling", "gaps"}
    assert run("info", muse, "--json", tmp_path / "facts.json", "--redshift", 0.088).exit_code == 0
    assert json.loads((tmp_path / "facts.json").read_text()) == [facts]


def test_info_of_empty_spectra_holds_no_nan(run, tmp_path):
    hdus = layouts.generic()
    hdus["FLUX"].data[:] = float("nan")
    result = run("info", save(hdus, tmp_path / "empty.fits"), "--json", "-")
    assert result.exit_code == 0
    (facts,) = json.loads(result.stdout, parse_constant=pytest.fail)
    assert set(facts["snr"].values()) == {None}


def test_info_of_arms_together(run, tmp_path):
    arms = [save(layouts.sami(arm), tmp_path / f"{arm}.fits") for arm in ("blue", "red")]
    result = run("info", "--together", *arms, "--json", "-")
    (facts,) = json.loads(result.stdout)
    assert facts["paths"] == [str(path) for path in arms]
    assert len(facts["wavelength"]["gaps"]) == 1


def test_info_goes_on_after_a_bad_file(run, muse, tmp_path):
    result = run("info", tmp_path / "none.fits", muse)
    assert result.exit_code == 1
    assert f"error: {tmp_path / 'none.fits'}: no such file" in result.stderr
    assert "Abell 478" in result.stdout


def test_info_prints_brackets_as_they_are(run, tmp_path):
    hdus = layouts.muse()
    hdus[0].header["OBJECT"] = "[bold]NGC[/] 1"
    path = save(hdus, tmp_path / "a[b].fits")
    result = run("info", path)
    assert "[bold]NGC[/] 1" in result.stdout
    assert result.stdout.startswith(str(path))


def test_info_refuses_a_folder_that_is_missing_before_it_reads(run, muse, tmp_path):
    result = run("info", muse, "--json", tmp_path / "nowhere" / "facts.json")
    assert result.exit_code == 1
    assert "the folder" in result.stderr


@pytest.fixture
def tiny_data(tmp_path, monkeypatch) -> Path:
    """A data set that is in the cache already."""
    monkeypatch.setenv("QUIETSPEC_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "cache" / "tiny" / "cube.fits"
    path.parent.mkdir(parents=True)
    layouts.muse().writeto(path)
    dataset = Dataset(
        name="tiny", requirement="tiny==1.0", archive_sha256="0", member="tiny/cube.fits", what="a tiny cube",
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


CARD = {
    "summary": "a model", "recipe": "paper", "command": "quietspec train", "hash": "abc", "seed": 1,
    "scores": {"models": {"posterior": {"5": {"rms_reduction": 0.95}}}},
}  # fmt: skip


@pytest.fixture
def cards(monkeypatch) -> dict:
    shipped = {"first": CARD, "second": CARD | {"summary": "another"}}
    monkeypatch.setattr("quietspec.denoisers.model_cards", lambda: shipped)
    return shipped


def test_models_lists_the_cards(run, cards):
    result = run("models")
    assert result.exit_code == 0
    assert "first  a model" in result.stdout
    assert "second  another" in result.stdout
    assert "posterior: residual reduced by 95.0 % at S/N 5" in result.stdout
    assert "seed" not in result.stdout
    whole = run("models", "second").stdout
    assert "seed: 1" in whole
    assert "first" not in whole


def test_models_as_json(run, cards):
    assert json.loads(run("models", "--json", "-").stdout) == cards
    assert json.loads(run("models", "first", "--json", "-").stdout) == CARD


def test_unknown_model(run, cards):
    result = run("models", "third")
    assert result.exit_code == 1
    assert "no model 'third'; shipped: first, second" in result.stderr


def test_no_models(run, monkeypatch):
    monkeypatch.setattr("quietspec.denoisers.model_cards", dict)
    result = run("models")
    assert result.exit_code == 0
    assert "no models are shipped" in result.stderr


COMMANDS = ("fetch", "info", "models", "denoise", "simulate", "train", "evaluate")


def test_help_names_every_command(run):
    result = run("--help")
    assert result.exit_code == 0
    assert set(COMMANDS) <= set(result.stdout.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run, command):
    result = run(command, "-h")
    assert result.exit_code == 0
    assert f"quietspec {command}" in result.stdout.replace("root ", "quietspec ")


def test_version(run):
    assert run("--version").stdout.split() == ["quietspec", __version__]


def test_the_installed_program_prints_results_apart_from_messages(program, muse, tmp_path):
    result = subprocess.run(
        [program, "info", muse, tmp_path / "none.fits", "--json", "-"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert json.loads(result.stdout)[0]["survey"] == "MUSE"
    assert result.stderr == f"error: {tmp_path / 'none.fits'}: no such file.\n"
