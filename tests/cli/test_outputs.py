"""Outputs of a command: they never replace an input or one another, and bad inputs cost a line each."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from astropy.io import fits

from quietspec.cli.console import print_path, printable
from quietspec.io import read

from ..io import layouts


@pytest.fixture
def muse(tmp_path) -> Path:
    path = tmp_path / "muse.fits"
    layouts.muse().writeto(path)
    return path


def gaussian(run, *words):
    return run("denoise", *words, "--denoiser", "gaussian", "--redshift", 0.1)


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)], ids=["new", "overwrite"])
@pytest.mark.parametrize("option", ["--json", "--figure"])
@pytest.mark.parametrize("taken", ["out.png", "muse.fits", "link.fits", "sub/../out.png"])
def test_report_and_figure_replace_neither_input_nor_output(run, muse, tmp_path, option, taken, overwrite):
    """On 0.1.0 the FITS file ended as JSON or PNG, with exit status 0."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.fits").symlink_to(muse)
    before = muse.read_bytes()
    out = tmp_path / ("out.fits" if taken.endswith(".fits") else "out.png")
    result = gaussian(run, muse, "-o", out, option, tmp_path / taken, *overwrite)
    assert result.exit_code == 1
    assert not out.exists()
    assert muse.read_bytes() == before
    if overwrite:
        assert "of this run" in result.stderr


def test_an_output_that_exists_is_kept_and_the_option_named(run, muse, tmp_path):
    (tmp_path / "out.fits").write_bytes(b"precious")
    result = gaussian(run, muse, "-o", tmp_path / "out.fits")
    assert result.exit_code == 1
    assert "allow it to be replaced: --overwrite." in result.stderr
    assert (tmp_path / "out.fits").read_bytes() == b"precious"


def test_outputs_of_one_name_in_a_folder(run, muse, tmp_path):
    result = gaussian(run, muse, "-o", tmp_path / "out.fits", "--json", tmp_path / "out.fits")
    assert result.exit_code == 1
    assert "two outputs of this run" in result.stderr


def test_facts_do_not_replace_the_file_they_are_about(run, muse):
    before = muse.read_bytes()
    result = run("info", muse, "--json", muse)
    assert result.exit_code == 1
    assert "is an input of this run" in result.stderr
    assert muse.read_bytes() == before


@pytest.mark.parametrize("command", ["denoise", "measure"])
@pytest.mark.parametrize("name", ["out.png", "out.json", "out.npz"])
def test_outputs_end_in_fits(run, muse, tmp_path, command, name):
    result = run(command, muse, "-o", tmp_path / name, "--redshift", 0.1)
    assert result.exit_code == 1
    assert "ends in .fits" in result.stderr
    assert not (tmp_path / name).exists()


def test_an_unforeseen_error_costs_one_line_and_the_run_goes_on(run, muse, tmp_path, monkeypatch):
    """On 0.1.0 it ended the run, and the good file after it was not written."""
    import quietspec.files.work as work

    opened = work.open_spectra

    def broken(*paths, **options):
        if Path(paths[0]).name == "odd.fits":
            raise IndexError("tuple index out of range")
        return opened(*paths, **options)

    monkeypatch.setattr(work, "open_spectra", broken)
    (tmp_path / "odd.fits").write_bytes(muse.read_bytes())
    (tmp_path / "results").mkdir()
    report = tmp_path / "report.json"
    result = gaussian(run, tmp_path / "odd.fits", muse, "-o", tmp_path / "results", "--json", report)
    assert result.exit_code == 1
    assert f"{tmp_path / 'odd.fits'}: IndexError: tuple index out of range" in result.stderr
    assert "please report it" in result.stderr
    assert read(tmp_path / "results" / "muse_denoised.fits").n_spectra == 12
    errors = [file["error"] for file in json.loads(report.read_text())["files"]]
    assert "IndexError" in errors[0]
    assert errors[1] == ""


@pytest.mark.parametrize("command", ["denoise", "measure"])
def test_what_was_denoised_is_not_denoised_again(run, muse, tmp_path, command):
    first = tmp_path / "first.fits"
    assert gaussian(run, muse, "-o", first).exit_code == 0
    result = run(command, first, "-o", tmp_path / "second.fits")
    assert result.exit_code == 1
    assert f"{first}: was denoised by quietspec already" in result.stderr
    assert not (tmp_path / "second.fits").exists()


def test_what_was_measured_holds_no_spectra(run, muse, model, tmp_path):
    maps = tmp_path / "maps.fits"
    assert run("measure", muse, "-o", maps, "--redshift", 0.1, "--model", model).exit_code == 0
    result = run("denoise", maps, "-o", tmp_path / "out.fits")
    assert result.exit_code == 1
    assert f"Give the file that was measured: {muse}" in result.stderr


NAMES = ["red\x1b[31m.fits", "a\\[b.fits", "a\\[v1].fits", "[v1] [bold].fits", "turn\u202efits.fits", "c\x9b31m.fits"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", ["info", "denoise", "nothing"])
def test_names_of_files_are_shown_and_not_obeyed(run, muse, tmp_path, name, command):
    path = muse.rename(tmp_path / name)
    if command == "nothing":
        result = run("info", tmp_path / f"absent{name}")
    else:
        result = run("info", path) if command == "info" else gaussian(run, path, "-o", tmp_path / "out.fits")
        assert result.exit_code == 0
    said = result.stdout + result.stderr
    assert printable(name) in said
    assert not any(character in said for character in "\x1b\x9b\u202e")


@pytest.mark.parametrize("dim", [False, True])
@pytest.mark.parametrize("name", ["[bold]a.fits", "a\x1b[31m.fits", "b\u202estif.fits"])
def test_paths_of_results_are_shown_and_not_obeyed(capsys, tmp_path, name, dim):
    print_path(tmp_path / name, dim=dim)
    said = capsys.readouterr().out
    assert said.replace("\n", "") == str(tmp_path / printable(name))


SLOW = """
    import sys, time
    from quietspec.cli.main import app
    import quietspec.files.denoise as module

    compute = module._TileMaker.__call__
    def slow(self, spectra, progress=None):
        print("working", flush=True)
        time.sleep(60)
        return compute(self, spectra, progress)
    module._TileMaker.__call__ = slow
    app(sys.argv[1:])
"""


@pytest.mark.usefixtures("hangup_heeded")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_nothing_behind(muse, tmp_path, number):
    words = ["denoise", muse, "-o", tmp_path / "out.fits", "--denoiser", "gaussian", "--redshift", "0.1"]
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SLOW), *map(str, words)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().strip() == "working"
    assert len(list(tmp_path.glob(".*.part"))) == 1
    process.send_signal(number)
    assert process.wait(20) == -number
    process.stdout.close()
    assert [path.name for path in tmp_path.iterdir()] == ["muse.fits"]


def test_remarks_of_libraries_do_not_reach_the_terminal(muse, model, tmp_path):
    """Values that overflow single precision make numpy warn."""
    with fits.open(muse, mode="update") as hdus:
        hdus["DATA"].data[:] = 1e38
        hdus["STAT"].data[:] = 1e30
    words = ["denoise", muse, "-o", tmp_path / "out.fits", "--model", model, "--redshift", "0.1"]
    done = subprocess.run(
        [sys.executable, "-c", "from quietspec.cli import app; app()", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "muse.fits" in done.stdout
    assert "Warning" not in done.stderr
