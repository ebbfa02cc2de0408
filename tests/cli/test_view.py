"""The command `view`: its address, its errors, its end."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

import quietspec
from quietspec.cli import app


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_an_address_that_answers_until_it_is_ended(end: signal.Signals):
    command = [sys.executable, "-c", "from quietspec.cli import app; app()", "view", str(quietspec.demo_cube())]
    with subprocess.Popen(
        [*command, "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            address = process.stdout.readline().strip()
            with urllib.request.urlopen(f"{address}api/about") as answer:
                assert b"demo.fits" in answer.read()
            process.send_signal(end)
            assert process.wait(timeout=20) == 0
            assert "ssh -L" in process.stderr.read()
        finally:
            process.kill()  # or leaving the context would wait for it


@pytest.mark.parametrize(
    "words", [["none.fits"], ["--port", "70000", "x.fits"], [], [str(quietspec.demo_cube()), "--input", "x.fits"]]
)
def test_errors_are_said(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, ["view", *words])
    assert found.exit_code in (1, 2)
    assert "Traceback" not in found.output
