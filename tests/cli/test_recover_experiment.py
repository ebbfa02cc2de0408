"""`recover --recipe` on a tiny library, and what it says to those who ask for what cannot be."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy.table import Table

pytest.importorskip("ppxf")


def test_experiment_writes_scores_and_figures(run, library_file, model, tmp_path):
    scores, figures = tmp_path / "scores.json", tmp_path / "figures"
    result = run(
        "recover", "--recipe", "paper", "--library", library_file, "--model", model, "--arms",
        "noisy,posterior-sigma,populations", "--snr", "10", "-n", 4, "--n-ladder", 0, "--regularisation", 1, "--json",
        scores, "--figures", figures, "--store", tmp_path / "store",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "populations" in result.stdout
    content = json.loads(scores.read_text(encoding="utf-8"))
    assert content["options"]["regularisation"] == 1
    assert set(content["arms"]) == {"noisy", "posterior-sigma", "populations"}
    one = content["arms"]["noisy"]["10"]
    assert one["n"] == 4
    assert one["equivalent_snr"] is None  # no ladder
    assert one["age_rms"] >= abs(one["age_bias"])
    names = {path.name for path in figures.iterdir()}
    assert {"figure7_age_populations.png", "figure8_mh_posterior-sigma.pdf", "recovery_rms.png"} <= names


def test_experiment_and_files_exclude_each_other(run, tmp_path):
    made = tmp_path / "spectrum.ecsv"
    Table({"wavelength": np.arange(4000.0, 4010.0)}).write(made)
    for words, message in (
        (("recover", made, "--recipe", "paper"), "takes no files"),
        (("recover",), "--recipe paper"),
        (("recover", made), "--out"),
    ):
        result = run(*words)
        assert result.exit_code == 2
        assert message in result.stderr.replace("\n", " ")


def test_missing_library_names_the_fetch_command(run, tmp_path):
    result = run("recover", "--recipe", "paper", "--library", tmp_path / "none", "--arms", "noisy", "-n", 3)
    assert result.exit_code == 1
    assert "quietspec fetch miles" in result.stderr


def test_unknown_arm_names_the_denoisers(run, library_file):
    result = run("recover", "--recipe", "paper", "--library", library_file, "--arms", "wonder-sigma", "-n", 3)
    assert result.exit_code == 1
    assert "no denoiser 'wonder'" in result.stderr
