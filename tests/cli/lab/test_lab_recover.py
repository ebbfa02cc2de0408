"""`lab recover` on a tiny library, and what it says to those who ask for what cannot be."""

from __future__ import annotations

import json
import re

import pytest

pytest.importorskip("ppxf")


def test_experiment_writes_scores_and_figures(run, library_file, model, tmp_path):
    scores, figures = tmp_path / "scores.json", tmp_path / "figures"
    result = run(
        "lab", "recover", "--recipe", "paper", "--library", library_file, "--model", model, "--arms",
        "noisy,posterior-sigma,populations", "--snr", "10", "-n", 4, "--n-ladder", 0, "--ppxf", "regularisation=1",
        "--json", scores, "--figures", figures, "--store", tmp_path / "store",
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


def test_missing_library_names_the_fetch_command(run, tmp_path):
    result = run("lab", "recover", "--recipe", "paper", "--library", tmp_path / "none", "--arms", "noisy", "-n", 3)
    assert result.exit_code == 1
    assert "quietspec fetch miles" in result.stderr


def test_unknown_arm_names_the_denoisers(run, library_file):
    result = run("lab", "recover", "--recipe", "paper", "--library", library_file, "--arms", "wonder-sigma", "-n", 3)
    assert result.exit_code == 1
    assert "no denoiser 'wonder'" in result.stderr


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("colour=red", "the name one of velocity_scale, limits, kinematics"),
        ("gas=perhaps", "expected mask or fit or none"),
        ("bootstrap=many", "invalid literal"),
        ("bootstrap", "give name=value"),
    ],
)
def test_unknown_fit_options_are_refused(run, library_file, assignment, says):
    result = run("lab", "recover", "--library", library_file, "--arms", "noisy", "-n", 3, "--ppxf", assignment)
    assert result.exit_code == 2
    assert says in " ".join(re.sub("[│╭╮╰╯─]", "", result.stderr).split())
