"""`train-network`, and what it writes in `evaluate` and `denoise`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quietspec.denoisers import load_denoiser
from quietspec.templates import TemplateTerms

SETTINGS = """
network: {kind: eut, encoder: [4, 6], last: 4, kernel: 3, n_blocks: 1, n_heads: 2, fold: 4, channels: [flux, sigma]}
n: 2000
validation: 40
batch: 20
steps: 4
steps_per_epoch: 2
accelerator: cpu
devices: 1
"""
CARD = {
    "summary", "templates", "recipe", "library", "run", "seed", "command", "commit", "date", "seconds",
    "training_flops", "inference_flops", "onnx_difference", "hash", "curve", "scores",
}  # fmt: skip


@pytest.fixture(scope="module")
def needs_training() -> None:
    for name in ("torch", "lightning", "pydantic", "onnxscript"):
        pytest.importorskip(name)


@pytest.fixture(scope="module")
def trained(needs_training, run, library_file, tmp_path_factory) -> tuple[Path, object]:
    """A network's folder, and what the command said."""
    folder = tmp_path_factory.mktemp("networks")
    (folder / "settings.yaml").write_text(SETTINGS)
    result = run(
        "lab",
        "train-network",
        folder / "settings.yaml",
        "-o",
        folder / "tiny",
        "--library",
        library_file,
        "--tests",
        20,
    )
    assert result.exit_code == 0, result.stderr
    return folder / "tiny", result


def test_train_network_writes_a_model_with_its_card(trained):
    folder, result = trained
    assert result.stdout.strip() == str(folder / "tiny.onnx")
    assert sorted(path.name for path in folder.iterdir()) == [
        "best.ckpt", "curve.csv", "last.ckpt", "run.yaml", "tiny.json", "tiny.onnx",
    ]  # fmt: skip
    card = json.loads((folder / "tiny.json").read_text())
    assert card.keys() == CARD
    assert [one.terms for one in TemplateTerms.of_card(card)] == ["not stated by whoever trained it"]
    assert card["hash"] == load_denoiser(str(folder / "tiny.onnx")).hash
    assert (card["recipe"], card["library"], card["seed"]) == ("paper", "spectra_tiny", 1)
    assert (card["run"]["network"]["encoder"], card["run"]["steps"]) == ([4, 6], 4)
    assert card["curve"]["step"] == [2, 4]
    assert card["curve"].keys() == {"step", "training_loss", "validation_loss"}
    assert card["training_flops"] == 3 * card["inference_flops"] * 20 * 4 > 0
    assert 0 <= card["onnx_difference"] <= 1e-5
    assert card["command"].startswith("quietspec")
    assert list(card["scores"]["models"]["tiny"]) == ["5", "10", "15", "20"]
    assert card["scores"]["n"] == 20


def test_train_network_says_how_it_goes_and_nothing_else(trained):
    _, result = trained
    lines = result.stderr.splitlines()
    assert lines[0] == "1960 training and 40 validation spectra drawn"
    assert [line.split(":")[0] for line in lines[1:3]] == ["step 2", "step 4"]
    assert all(line.startswith("testing: ") for line in lines[3:])


def test_evaluate_scores_the_file(trained, run, library_file):
    path = trained[0] / "tiny.onnx"
    words = ["--models", f"gaussian,{path}", "-n", 10, "--snr", "5", "--library", library_file, "--json", "-"]
    result = run("lab", "evaluate", *words)
    assert result.exit_code == 0
    models = json.loads(result.stdout)["models"]
    assert list(models) == ["noisy", "mean × cubic", "gaussian", str(path)]
    assert np.isfinite(models[str(path)]["5"]["rms_reduction"])


def test_a_training_is_resumed_but_not_repeated(trained, run, library_file):
    folder, _ = trained
    words = ["lab", "train-network", folder / "run.yaml", "-o", folder, "--library", library_file, "--tests", 5]
    before = (folder / "curve.csv").read_text(), load_denoiser(str(folder / "tiny.onnx")).hash
    refused = run(*words)
    assert refused.exit_code == 1
    assert f"{folder}: holds a training already; resume it" in refused.stderr
    assert run(*words, "--resume").exit_code == 0
    assert before[0] == (folder / "curve.csv").read_text()
    assert json.loads((folder / "tiny.json").read_text())["scores"]["n"] == 5


def test_a_network_that_needs_the_wiener_mean_gets_no_file(needs_training, run, library_file, tmp_path, monkeypatch):
    from quietspec.lab.simulate import Simulated
    from quietspec.lab.training.networks import batches

    def stacked(simulated: Simulated, channels, wiener):
        import torch

        assert wiener.name == "wiener"
        return torch.from_numpy(np.stack([simulated.observed.flux] * len(channels), axis=1))

    monkeypatch.setattr(batches, "network_input", stacked)  # the shipped prior's own work is tested elsewhere
    settings = SETTINGS.replace("[flux, sigma]", "[flux, wiener], correction: true").replace("2000", "200")
    (tmp_path / "settings.yaml").write_text(settings)
    result = run("lab", "train-network", tmp_path / "settings.yaml", "-o", tmp_path / "tiny", "--library", library_file)
    assert result.exit_code == 0
    assert "is not written as ONNX" in result.stderr
    assert not list((tmp_path / "tiny").glob("*.onnx"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (SETTINGS + "epochs: 3\n", "epochs: Extra inputs are not permitted"),
        (SETTINGS.replace("steps: 4", "steps: 5"), "steps 5: not a multiple of steps_per_epoch (2)"),
        (SETTINGS.replace("kernel: 3", "kernel: 4"), "kernel 4: must be odd"),
        (SETTINGS.replace("channels: [flux, sigma]", "channels: [sigma]"), "'flux' comes first"),
        ("network: [", "not YAML"),
        (None, "no run of this name (eut-paper, eut-placed, eut-position, eut-small)"),
    ],
)
def test_bad_settings_are_refused_in_one_message(needs_training, run, library_file, tmp_path, text, says):
    path = tmp_path / "bad.yaml"
    if text is not None:
        path.write_text(text)
    result = run("lab", "train-network", path, "-o", tmp_path / "out", "--library", library_file)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: {path}: ")
    assert says in result.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_named_with_its_cure(tmp_path):
    program = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "lightning", "onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from quietspec.cli import app
app(["lab", "train-network", "eut-small", "-o", sys.argv[1]])
"""
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "out")], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.endswith("is not installed: pip install 'quietspec[train]'.")
    assert not (tmp_path / "out").exists()
