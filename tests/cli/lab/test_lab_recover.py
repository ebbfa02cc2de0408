"""`lab recover` on a tiny library, and what it says to those who ask for what cannot be."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("ppxf")

from quietspec.lab.evaluation.recovery.run import RecoveryRun


def test_experiment_writes_scores_and_figures(run, library_file, model, tmp_path):
    scores, figures = tmp_path / "scores.json", tmp_path / "figures"
    changes = (
        "arms=[noisy, posterior-sigma, populations]", "snr=[10]", "n=4", "n_ladder=0", f"model={model}",
        "ppxf.regularisation=1",
    )  # fmt: skip
    words = [word for change in changes for word in ("--set", change)]
    result = run(
        "lab", "recover", "paper", "--library", library_file, "--json", scores, "--figures", figures, "--store",
        tmp_path / "store", *words,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "populations" in result.stdout
    content = json.loads(scores.read_text(encoding="utf-8"))
    assert {"machine", "command", "commit", "dependencies", "model"} <= content.keys()
    assert content["options"]["regularisation"] == 1
    assert set(content["arms"]) == {"noisy", "posterior-sigma", "populations"}
    one = content["arms"]["noisy"]["10"]
    assert one["n"] == 4
    assert one["equivalent_snr"] is None  # no ladder
    assert one["age_rms"] >= abs(one["age_bias"])
    names = {path.name for path in figures.iterdir()}
    assert {"figure7_age_populations.png", "figure8_mh_posterior-sigma.pdf", "recovery_rms.png"} <= names


def test_missing_library_names_the_fetch_command(run, tmp_path):
    result = run("lab", "recover", "--library", tmp_path / "none", "--set", "arms=[noisy]", "--set", "n=3")
    assert result.exit_code == 1
    assert "quietspec fetch miles" in result.stderr


def test_unknown_arm_names_the_denoisers(run, library_file):
    result = run("lab", "recover", "--library", library_file, "--set", "arms=[wonder-sigma]", "--set", "n=3")
    assert result.exit_code == 1
    assert "no denoiser 'wonder'" in result.stderr


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("ppxf.colour=red", "ppxf has no option colour; it has additive"),
        ("ppxf.gas=perhaps", "gas: 'perhaps'; give mask or fit or none"),
        ("n=10001", "recipe 'paper' has 10000 spectra to test"),
        ("colour=red", "colour: Extra inputs are not permitted"),
        ("n", "give name=value"),
    ],
)
def test_settings_that_cannot_be(run, library_file, change, says):
    words = ("--set", "arms=[noisy]", "--set", "n=3", "--set", change)
    result = run("lab", "recover", "--library", library_file, *words)
    assert result.exit_code == 1
    assert says in " ".join(result.stderr.split())


def test_the_papers_experiment_is_complete():
    run = RecoveryRun.load("paper")
    assert (run.n, run.n_others, run.snr, run.seed) == (10_000, 2000, (5, 10, 20), 0)
    assert {arm.name: arm.n for arm in run.chosen()}["noisy"] == 10_000
    assert run.denoisers() == ["eut-placed", "eut-position", "eut-small", "posterior", "wiener"]
