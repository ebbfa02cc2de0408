"""The command as a whole: help, version, verbosity, progress, and results apart from messages."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from quietspec import __version__
from quietspec.cli.console import command_line, progress_bar, verbosity
from quietspec.io import ReadOptions

from ..io import layouts

if TYPE_CHECKING:
    from astropy.io import fits


def save(hdus: fits.HDUList, path: Path) -> Path:
    hdus.writeto(path)
    return path


@pytest.fixture
def muse(tmp_path) -> Path:
    return save(layouts.muse(), tmp_path / "muse.fits")


COMMANDS = (
    "info", "denoise", "measure", "demo", "fetch", "models", "batch run", "batch status", "batch report",
    "lab simulate", "lab train", "lab relabel", "lab train-network", "lab evaluate", "lab recover", "lab bench",
)  # fmt: skip


def test_help_names_every_command(run):
    result = run("--help")
    assert result.exit_code == 0
    assert {command.split()[0] for command in COMMANDS} <= set(result.stdout.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run, command):
    result = run(*command.split(), "-h")
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


@pytest.mark.parametrize("command", ["info", "denoise", "measure"])
def test_reader_options_are_those_of_the_reader(run, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = run(command, "-h").stdout
    assert all(f"--{field.name.replace('_', '-')}" in shown for field in fields(ReadOptions))


def test_quiet_leaves_out_what_is_not_a_result(run, muse, tmp_path):
    loud = run("denoise", muse, "-o", tmp_path / "loud.fits", "--denoiser", "gaussian")
    quiet = run("--quiet", "denoise", muse, "-o", tmp_path / "quiet.fits", "--denoiser", "gaussian")
    assert "channels scatter" in loud.stderr
    assert "channels scatter" not in quiet.stderr
    assert str(tmp_path / "quiet.fits") in quiet.stdout


def test_verbose_shows_where_an_error_comes_from(program, tmp_path):
    words = [program, "--verbose", "models", "nothing"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "no model 'nothing'" in result.stderr


def test_progress_off_a_terminal_is_a_line_per_tenth_but_the_last(capsys, monkeypatch):
    monkeypatch.setattr(verbosity, "quiet", False)
    with progress_bar("cube.fits") as progress:
        for done in range(1, 101):
            progress(done, 100)
    assert capsys.readouterr().err.split("\n") == [f"cube.fits: {tenth}0 %" for tenth in range(1, 10)] + [""]


def test_what_others_read_names_no_folder(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/quietspec", "lab", "train", "survey", "-o", "/home/me/a b.npz"])
    assert command_line() == "quietspec lab train survey -o '/home/me/a b.npz'"
    assert command_line(folders=False) == "quietspec lab train survey -o 'a b.npz'"
