"""Settings of the training of a network: YAML files, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

from quietspec.errors import ModelError
from quietspec.lab.networks import EUTSettings, PatchNetworkSettings
from quietspec.lab.training.networks import RUNS, Run

from .small import EUT as EUT_SETTINGS
from .small import small_run

GOOD = "network: {kind: eut}\nsteps: 100\nsteps_per_epoch: 10\n"


@pytest.mark.parametrize("name", RUNS)
def test_shipped_runs_load(name):
    run = Run.load(name)
    assert run.steps % run.steps_per_epoch == 0
    assert run.snr == (5.0, 20.0)
    assert run.n == 90_000


def test_shipped_runs_are_those_of_the_papers_experiment():
    assert RUNS == ("eut-paper", "eut-placed", "eut-position", "eut-small")
    assert Run.load("eut-paper").network == EUTSettings()
    assert Run.load("eut-small").network == EUTSettings(encoder=(64, 96, 128), n_blocks=4, n_heads=4, fold=8)
    assert isinstance(Run.load("eut-position").network, PatchNetworkSettings)


def test_the_papers_run_has_the_papers_length():
    run = Run.load("eut-paper")
    spectra = run.n - run.validation
    assert run.steps / run.steps_per_epoch == 1000
    assert run.steps_per_epoch * run.batch == pytest.approx(spectra, rel=0.01)


@pytest.mark.parametrize("run", [small_run(), small_run(network=EUT_SETTINGS, snr=(3, 7.5), devices="auto")])
def test_a_saved_run_loads_as_it_was(run, tmp_path):
    run.save(tmp_path / "run.yaml")
    assert Run.load(tmp_path / "run.yaml") == run
    assert Run.load(str(tmp_path / "run.yaml")) == run


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "epochs: 3\n", "epochs: Extra inputs are not permitted"),
        (GOOD.replace("eut", "eut, depth: 3"), "network.eut.depth: Extra inputs are not permitted"),
        (GOOD.replace("eut", "cnn"), "network: Input tag 'cnn'"),
        (GOOD.replace("kind: eut", "kernel: 7"), "network: Unable to extract tag"),
        (GOOD.replace("eut", "eut, kernel: 4"), "network.eut: Value error, kernel 4: must be odd"),
        (GOOD.replace("eut", "eut, n_heads: 5"), "network.eut: Value error, encoder"),
        ("network: {kind: eut}\nsteps: 100\n", "steps_per_epoch: Field required"),
        ("steps: 100\nsteps_per_epoch: 10\n", "network: Field required"),
        (GOOD + "learning_rate: 0\n", "learning_rate: Input should be greater than 0"),
        (GOOD + "learning_rate: fast\n", "learning_rate: Input should be a valid number"),
        (GOOD + "averaging: 1\n", "averaging: Input should be less than 1"),
        (GOOD + "loss: huber\n", "loss: Input should be 'relative', 'squared' or 'absolute'"),
        (GOOD + "n: 90001\n", "n: Input should be less than or equal to 90000"),
        (GOOD + "snr: [20, 5]\n", "snr"),
        (GOOD + "n: 1000\nvalidation: 1000\n", "validation 1000: leaves none of n = 1000"),
        (GOOD + "n: 1000\nvalidation: 990\n", "batch 64: more than the 10 training spectra"),
        (GOOD.replace("100", "105"), r"steps 105: not a multiple of steps_per_epoch (10)"),
        ("network: [\n", "not YAML"),
        ("- 1\n- 2\n", "run: Input should be a valid dictionary"),
        ("", "run: Input should be a valid dictionary"),
    ],
)
def test_bad_runs_are_refused_with_file_and_key(text, says, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ModelError) as refused:
        Run.load(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert says in str(refused.value)


def test_all_faults_are_named_at_once(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(GOOD + "epochs: 3\nbatch: 0\n")
    with pytest.raises(ModelError, match=r"batch: .*; epochs: "):
        Run.load(path)


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "bytes.yaml", Path("eut-large")):
        with pytest.raises(
            ModelError, match=r"no run of this name \(eut-paper, eut-placed, eut-position, eut-small\)"
        ) as refused:
            Run.load(path)
        assert str(refused.value).startswith(f"{path}: ")
