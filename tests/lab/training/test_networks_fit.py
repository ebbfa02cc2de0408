"""Training: the loss falls, the curve and the best weights are kept, and a killed training loses nothing."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
lightning = pytest.importorskip("lightning")

from quietspec.errors import ModelError, WriteError
from quietspec.lab import networks
from quietspec.lab.simulate import SAMI_NOISE
from quietspec.lab.training.networks import (
    CURVE,
    Batch,
    Corpus,
    DenoisingModule,
    NoisyBatches,
    Run,
    best_network,
    checkpoints,
    inference_flops,
    read_curve,
    spectrum_losses,
    train_network,
    training_flops,
)

from . import small
from .small import EUT, PATCHES, Killed, Killer, small_recipe, small_run

NETWORKS = {"eut": EUT, "patches": PATCHES}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.draw(small_recipe(), small_run())


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory) -> Callable[..., Path]:
    """Folder of an uninterrupted training with the given settings; each is trained once."""
    folders: dict[Run, Path] = {}

    def folder(run: Run) -> Path:
        if run not in folders:
            folders[run] = tmp_path_factory.mktemp("finished") / "training"
            train_network(corpus, run, folders[run])
        return folders[run]

    return folder


class Rates(lightning.Callback):
    """Notes the learning rate of each step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


def assert_same(folder: Path, undisturbed: Path) -> None:
    assert (folder / CURVE).read_text() == (undisturbed / CURVE).read_text()
    one, other = (best_network(path).state_dict() for path in (folder, undisturbed))
    for name, weights in other.items():
        torch.testing.assert_close(one[name], weights, rtol=0, atol=0)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def validation_loss(network, corpus: Corpus, run: Run) -> float:
    with torch.no_grad():
        losses = [spectrum_losses(network(b.spectra), b, run.loss) for b in corpus.validation_batches(run)]
    return float(torch.cat(losses).mean())


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("loss", ["relative", "squared", "absolute"])
def test_the_loss_falls(kind, loss, corpus, tmp_path):
    changes = {"eut": {"learning_rate": 2e-2}, "patches": {}}[kind]
    run = small_run(network=NETWORKS[kind], loss=loss, steps=60, steps_per_epoch=10, **changes)
    begun = DenoisingModule(run).network  # random weights, unlike those a patch network starts from
    train_network(corpus, run, tmp_path / "new" / "training")
    curve = read_curve(tmp_path / "new" / "training" / CURVE)
    assert curve["step"] == [10, 20, 30, 40, 50, 60]
    assert min(curve["validation_loss"]) < 0.7 * validation_loss(begun, corpus, run)
    if kind == "eut":
        assert curve["training_loss"][-1] < 0.8 * curve["training_loss"][0]
        assert curve["validation_loss"][-1] < 0.8 * curve["validation_loss"][0]


def test_log_variance_learns_the_size_of_the_residuals(corpus, tmp_path):
    network = PATCHES.model_copy(update={"log_variance": True})
    run = small_run(network=network, steps=150, steps_per_epoch=50, learning_rate=3e-2)
    train_network(corpus, run, tmp_path / "training")
    trained = best_network(tmp_path / "training")
    batches = corpus.validation_batches(run)
    with torch.no_grad():
        output = torch.cat([trained(batch.spectra) for batch in batches])
    pull = (output[:, 0] - torch.cat([batch.truth for batch in batches])) * (-output[:, 1] / 2).exp()
    assert 0.6 < float(pull.square().mean().sqrt()) < 1.6


def test_a_patch_network_starts_near_the_wiener_filter(corpus):
    run, wavelength = small_run(snr=(10, 10)), corpus.training.wavelength
    module = DenoisingModule(run)
    module.start_from(corpus)
    shapes = corpus.training.flux / corpus.training.flux.mean(axis=1, keepdims=True)
    covariance = np.cov(shapes.T.astype(float))
    sigma = SAMI_NOISE.relative_sigma(wavelength)[0].astype(float) / 10
    gain = np.linalg.solve(covariance + np.diag(sigma**2), covariance)
    batch = corpus.validation_batches(run)[0]
    with torch.no_grad():
        found = module.network(batch.spectra)[:, 0].numpy()
    scale = batch.spectra[:, 0].abs().mean(dim=1, keepdim=True).numpy()
    mean = shapes.mean(axis=0)
    expected = scale * (mean + (batch.spectra[:, 0].numpy() / scale - mean) @ gain)
    assert np.std(found - expected) < 0.1 * np.std(expected - batch.truth.numpy())


def test_an_eut_starts_from_random_weights(corpus):
    module = DenoisingModule(small_run(network=EUT))
    before = [parameter.clone() for parameter in module.parameters()]
    module.start_from(corpus)
    assert all(torch.equal(one, other) for one, other in zip(before, module.parameters(), strict=True))


def test_initial_weights_follow_from_the_seed_alone():
    torch.manual_seed(99)
    one = DenoisingModule(small_run(seed=3)).network.state_dict()
    again, other = (DenoisingModule(small_run(seed=seed)).network.state_dict() for seed in (3, 4))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["embedding"], other["embedding"])


# Steps 6, 12, 18 and 24 end an epoch; checkpoints fall within an epoch at 4, 8, 16 and 20, at its end at 12 and 24.
@pytest.mark.parametrize(
    ("step", "hook"),
    [
        (5, "on_train_batch_end"),
        (6, "on_validation_batch_end"),
        (7, "on_train_batch_end"),
        (12, "on_validation_batch_end"),
        (13, "on_train_batch_end"),
        (23, "on_train_batch_start"),
        (24, "on_validation_epoch_end"),
        (24, "on_train_epoch_end"),
    ],
)
def test_a_killed_training_resumes_to_the_same_result(step, hook, corpus, finished, tmp_path):
    run = small_run()
    with pytest.raises(Killed):
        train_network(corpus, run, tmp_path, callbacks=(Killer(step, hook),))
    train_network(corpus, run, tmp_path, resume=True)
    assert_same(tmp_path, finished(run))


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("every", [1, 6, 7])
def test_a_training_killed_repeatedly_resumes_to_the_same_result(kind, every, corpus, finished, tmp_path):
    run = small_run(network=NETWORKS[kind], checkpoint_every=every)
    for step in (9, 14, 19):
        with pytest.raises(Killed):
            train_network(corpus, run, tmp_path, resume=step > 9, callbacks=(Killer(step),))
    train_network(corpus, run, tmp_path, resume=True)
    assert_same(tmp_path, finished(run))


def test_resuming_a_finished_training_has_no_effect(corpus, finished, tmp_path):
    run = small_run()
    seconds = train_network(corpus, run, tmp_path)
    assert train_network(corpus, run, tmp_path, resume=True) > 0.7 * seconds > 0
    assert_same(tmp_path, finished(run))


def test_checkpoints_are_in_small_pieces(corpus, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "PIECE", 10_000)
    run = small_run()
    with pytest.raises(Killed):
        train_network(corpus, run, tmp_path, callbacks=(Killer(14),))
    sizes = [file.stat().st_size for file in sorted((tmp_path / "last.ckpt").iterdir())]
    assert len(sizes) > 3
    assert set(sizes[:-1]) == {10_000}
    assert sizes[-1] <= 10_000
    train_network(corpus, run, tmp_path, resume=True)
    assert_same(tmp_path, finished(run))


def test_a_training_ends_by_the_clock_and_its_learning_rate_with_it(corpus, tmp_path):
    run = small_run(steps=600_000, steps_per_epoch=30, minutes=0.05)
    rates = Rates()
    train_network(corpus, run, tmp_path, callbacks=(rates,))
    steps = read_curve(tmp_path / CURVE)["step"]
    assert steps[-1] < 600_000
    assert max(rates.seen) == pytest.approx(run.learning_rate, rel=0.3)
    assert rates.seen[-1] < 0.1 * max(rates.seen)
    best_network(tmp_path)
    train_network(corpus, run, tmp_path, resume=True)  # no time is left
    assert read_curve(tmp_path / CURVE)["step"][-1] <= steps[-1] + 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_training_killed_by_a_signal_resumes_to_the_same_result(kind, corpus, finished, tmp_path):
    run = small_run(network=NETWORKS[kind])
    run.save(tmp_path / "settings.yaml")
    program = [sys.executable, small.__file__, str(tmp_path / "training"), str(tmp_path / "settings.yaml")]
    assert subprocess.run([*program, "9"], check=False).returncode == -9
    assert len(read_curve(tmp_path / "training" / CURVE)["step"]) == 1
    assert subprocess.run([*program, "15"], check=False).returncode == -9
    subprocess.run(program, check=True)
    assert_same(tmp_path / "training", finished(run))


@pytest.mark.slow
def test_two_processes_train_one_network(corpus, tmp_path):
    run = small_run(devices=2, strategy="ddp", steps=60, steps_per_epoch=10, network=EUT, learning_rate=2e-2)
    run.save(tmp_path / "settings.yaml")
    folder = tmp_path / "training"
    command = [sys.executable, small.__file__, str(folder), str(tmp_path / "settings.yaml")]
    subprocess.run(command, check=True, timeout=300)
    curve = read_curve(folder / CURVE)
    assert curve["step"] == [10, 20, 30, 40, 50, 60]
    assert curve["validation_loss"][-1] < 0.8 * curve["validation_loss"][0]
    assert (folder / "rank0.txt").read_text() == (folder / "rank1.txt").read_text()
    # Together they validate on every spectrum, with the loss that one process finds.
    found = validation_loss(best_network(folder), corpus, run)
    assert min(curve["validation_loss"]) == pytest.approx(found, rel=1e-4)


@pytest.mark.slow
def test_two_killed_processes_resume_to_the_same_result(tmp_path):
    run = small_run(devices=2, strategy="ddp")
    run.save(tmp_path / "settings.yaml")

    def program(name: str, *more: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, small.__file__, str(tmp_path / name), str(tmp_path / "settings.yaml"), *more]
        return subprocess.run(command, check=False, timeout=300, capture_output=True)

    assert program("whole").returncode == 0
    assert program("killed", "15").returncode != 0
    assert program("killed").returncode == 0
    assert_same(tmp_path / "killed", tmp_path / "whole")


def test_resuming_with_other_settings_names_those_that_differ(corpus, finished):
    folder = finished(small_run())
    with pytest.raises(ModelError, match=r"run\.yaml: batch, seed differ; resume with the settings it began with"):
        train_network(corpus, small_run(batch=12, seed=4), folder, resume=True)
    with pytest.raises(ModelError, match=r"run\.yaml: network differ"):
        train_network(corpus, small_run(network=EUT), folder, resume=True)


def test_a_folder_with_a_training_is_not_overwritten(corpus, finished):
    folder = finished(small_run())
    before = contents(folder)
    with pytest.raises(WriteError, match=f"{folder}: holds a training already; resume it"):
        train_network(corpus, small_run(), folder)
    assert contents(folder) == before


def test_resuming_without_a_checkpoint_is_refused(corpus, tmp_path):
    with pytest.raises(ModelError, match=r"no last\.ckpt to resume from"):
        train_network(corpus, small_run(), tmp_path, resume=True)


def test_a_training_writes_its_settings_curve_and_checkpoints(corpus, tmp_path):
    run, lines = small_run(), []
    train_network(corpus, run, tmp_path, progress=lines.append)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "curve.csv", "last.ckpt", "run.yaml"]
    assert Run.load(tmp_path / "run.yaml") == run
    with (tmp_path / CURVE).open(newline="") as file:
        header, *rows = list(csv.reader(file))
    assert header == ["step", "training_loss", "validation_loss"]
    assert [row[0] for row in rows] == ["6", "12", "18", "24"]
    curve = read_curve(tmp_path / CURVE)
    assert [list(map(float, row)) for row in rows] == [list(point) for point in zip(*curve.values(), strict=True)]
    assert len(lines) == 4
    assert lines[0].startswith("step 6: training loss 0.")


def test_training_prints_nothing(corpus, tmp_path, capfd):
    train_network(corpus, small_run(), tmp_path)
    assert capfd.readouterr() == ("", "")


def test_the_best_checkpoint_has_the_lowest_validation_loss(corpus, finished):
    run = small_run()  # its learning rate is too high for the loss to fall every time
    curve = read_curve(finished(run) / CURVE)["validation_loss"]
    assert np.argmin(curve) not in {0, len(curve) - 1} or min(curve) < max(curve)
    assert validation_loss(best_network(finished(run)), corpus, run) == pytest.approx(min(curve), rel=1e-5)


def test_the_training_loss_of_the_curve_is_the_mean_over_its_steps(corpus, tmp_path):
    # At this rate nothing is learned, so every step has the loss of the initial weights.
    run = small_run(learning_rate=1e-12, weight_decay=0, steps=6)
    train_network(corpus, run, tmp_path)
    network = DenoisingModule(run)
    network.start_from(corpus)
    with torch.no_grad():
        losses = [spectrum_losses(network.network(b.spectra), b, run.loss).mean() for b in NoisyBatches(corpus, run)]
    (training,) = read_curve(tmp_path / CURVE)["training_loss"]
    assert training == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)
    assert read_curve(tmp_path / CURVE)["validation_loss"][0] == pytest.approx(
        validation_loss(network.network, corpus, run), rel=1e-5
    )


@pytest.fixture(scope="module")
def stopped_early(corpus, tmp_path_factory) -> tuple[Path, Run]:
    run = small_run(learning_rate=3e-1, steps=120, patience=2)
    folder = tmp_path_factory.mktemp("early")
    train_network(corpus, run, folder)
    return folder, run


def test_training_stops_when_the_loss_no_longer_falls(stopped_early):
    curve = read_curve(stopped_early[0] / CURVE)["validation_loss"]
    assert 3 <= len(curve) < 20
    assert np.argmin(curve) == len(curve) - 3


def test_a_training_that_stopped_early_is_not_continued(stopped_early, corpus):
    folder, run = stopped_early
    before = (folder / CURVE).read_text()
    train_network(corpus, run, folder, resume=True)
    assert (folder / CURVE).read_text() == before


def test_best_networks_are_ready_for_use(finished):
    for settings, kind in ((EUT, networks.EUT), (PATCHES, networks.PatchNetwork)):
        network = best_network(finished(small_run(network=settings)))
        assert isinstance(network, kind)
        assert not network.training


def losses(output, kind, truth, sigma=None):
    sigma = torch.ones_like(truth) if sigma is None else sigma
    return spectrum_losses(output, Batch(output, truth, sigma), kind)


def test_losses_are_what_their_names_say():
    rng = np.random.default_rng(0)
    truth, sigma = rng.uniform(0.5, 2, (4, 30)), rng.uniform(0.1, 0.4, (4, 30))
    flux = truth + rng.normal(0, 0.1, truth.shape)
    tensors = [torch.tensor(values, dtype=torch.float32) for values in (flux[:, None], truth, sigma)]
    expected = {
        "relative": np.sqrt(np.mean((flux - truth) ** 2, axis=1) / np.mean(sigma**2, axis=1)),
        "squared": np.mean((flux - truth) ** 2, axis=1) / truth.mean(axis=1) ** 2,
        "absolute": np.mean(np.abs(flux - truth), axis=1) / truth.mean(axis=1),
    }
    for kind, values in expected.items():
        np.testing.assert_allclose(losses(tensors[0], kind, *tensors[1:]), values, rtol=1e-5)


@pytest.mark.parametrize("factor", [1e-17, 1.0, 1e4])
def test_the_likelihood_is_the_gaussians_and_leaves_the_flux_alone(factor):
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.5, 2, (3, 20))
    flux, log_variance = truth + rng.normal(0, 0.1, truth.shape), rng.normal(-4, 0.5, truth.shape)
    scale = truth.mean(axis=1)
    output = np.stack([flux * factor, log_variance + 2 * np.log(factor)], axis=1)
    output = torch.tensor(output, dtype=torch.float32, requires_grad=True)
    reference = torch.tensor(truth * factor, dtype=torch.float32)
    both, alone = (losses(values, "squared", reference) for values in (output, output[:, :1]))
    # −2 ln N(residual; 0, variance) without ln 2π, for spectra of mean flux 1.
    surprise = (flux - truth) ** 2 / np.exp(log_variance) + log_variance - 2 * np.log(scale)[:, None]
    np.testing.assert_allclose((both - alone).detach(), surprise.mean(axis=1) / 2, rtol=1e-4)
    (gradient,) = torch.autograd.grad((both - alone).sum(), output)
    assert not gradient[:, 0].any()
    assert gradient[:, 1].all()


def test_costs_are_those_of_the_layers():
    network = networks.PatchNetwork(PATCHES)
    # Products of the projection, embedding, entrance, two layers, exit and basis: 2 operations per weight.
    weights = 3 * 186 + 6 * 31 * 3 + (6 * 3 + 6 + 3) * 8 + 2 * 8 * 12 + 8 * 3 + 3 * 186
    assert inference_flops(network, 186) == 2 * weights
    run = small_run()
    assert training_flops(run, 186, 7) == 3 * 2 * weights * run.batch * 7
