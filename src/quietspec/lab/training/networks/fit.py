"""Train a network in a folder of its own: settings, checkpoints, learning curve."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping, EMAWeightAveraging, ModelCheckpoint, Timer
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader

from quietspec.errors import ModelError, WriteError
from quietspec.io.writing.atomic import os_errors_named
from quietspec.lab.networks import EUT, PatchNetwork
from quietspec.lab.training.networks.batches import Corpus, NoisyBatches
from quietspec.lab.training.networks.checkpoints import InPieces, load_checkpoint
from quietspec.lab.training.networks.curve import LearningCurve
from quietspec.lab.training.networks.module import DenoisingModule
from quietspec.lab.training.networks.run import Run

__all__ = ["BEST", "CURVE", "RUN", "best_network", "main_process", "train_network"]

RUN, BEST, LAST, CURVE = "run.yaml", "best.ckpt", "last.ckpt", "curve.csv"


class _Data(lightning.LightningDataModule):
    """Training stream and validation batches, split among the processes."""

    def __init__(self, corpus: Corpus, run: Run) -> None:
        super().__init__()
        self.corpus, self.run = corpus, run

    def train_dataloader(self) -> Any:
        trainer: Any = self.trainer
        return NoisyBatches(self.corpus, self.run, rank=trainer.global_rank, world=trainer.world_size)

    def val_dataloader(self) -> Any:
        trainer: Any = self.trainer
        batches: Any = self.corpus.validation_batches(self.run)
        return DataLoader(batches[trainer.global_rank :: trainer.world_size], batch_size=None)


class _Stopping(EarlyStopping):
    """Early stopping; a training that is resumed after it stopped early stops at once."""

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        trainer.should_stop = self.wait_count >= self.patience


class _Resumable(Checkpoint):
    """Saves at regular steps, and at an epoch's end only after its validation, which resuming would not repeat."""

    def __init__(self, path: Path, run: Run) -> None:
        self.path, self.run = path, run

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        step = trainer.global_step
        if step % self.run.checkpoint_every == 0 and step % self.run.steps_per_epoch:
            trainer.save_checkpoint(self.path)

    def on_validation_end(self, trainer: lightning.Trainer, module: Any) -> None:
        trainer.save_checkpoint(self.path)


def train_network(
    corpus: Corpus,
    run: Run,
    folder: Path,
    *,
    resume: bool = False,
    progress: Callable[[str], None] = lambda _: None,
    bar: bool = False,
    callbacks: tuple[Callback, ...] = (),
) -> float:
    """Train a network, or resume an interrupted training; both give the same result.

    Parameters
    ----------
    corpus : Corpus
        Spectra, and the Wiener filter if the network has the channel ``'wiener'``.
    run : Run
        All settings; they are written into `folder`.
    folder : path
        Folder for settings, checkpoints and learning curve.
    resume : bool, optional
        Whether to continue from the last checkpoint in `folder`.
    progress : callable, optional
        Called with a line of text after each validation.
    bar : bool, optional
        Whether to show a progress bar.
    callbacks : tuple of lightning.Callback, optional
        Additional callbacks.

    Returns
    -------
    float
        Training time in seconds, over all resumptions; `best_network` loads the result.

    Raises
    ------
    WriteError
        If `folder` already holds a training and `resume` is False.
    ModelError
        If there is nothing to resume, or the interrupted training has other settings.
    """
    _prepare(run, folder, resume)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its notes do not concern the user's task
    module = DenoisingModule(run)
    module.start_from(corpus)
    timer = Timer(None if run.minutes is None else timedelta(minutes=run.minutes))
    trainer = _trainer(run, bar=bar, callbacks=[timer, *_callbacks(run, folder, progress), *callbacks])
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*does not have many workers"
        )  # batches are made in the main process
        warnings.filterwarnings("ignore", message=".*exists and is not empty")  # a folder that is resumed does
        warnings.filterwarnings("ignore", category=FutureWarning, module="lightning")
        warnings.filterwarnings("ignore", message=".*LeafSpec")  # Lightning's use of torch 2.13
        trainer.fit(module, datamodule=_Data(corpus, run), ckpt_path=folder / LAST if resume else None)
    return timer.time_elapsed()


def _trainer(run: Run, *, bar: bool, callbacks: list[Callback]) -> lightning.Trainer:
    bfloat = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return lightning.Trainer(
        accelerator=run.accelerator,
        devices=run.devices if run.devices != "auto" or torch.cuda.is_available() else 1,
        num_nodes=run.nodes,
        strategy=run.strategy,
        precision=("bf16-mixed" if bfloat else "32-true") if run.precision == "auto" else run.precision,  # type: ignore[arg-type]
        max_steps=run.steps,
        gradient_clip_val=run.clip,
        logger=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # the batches are split among the processes already
        enable_progress_bar=bar,
        enable_model_summary=False,
        callbacks=callbacks,
        plugins=[InPieces()],
    )


def _callbacks(run: Run, folder: Path, progress: Callable[[str], None]) -> list[Callback]:
    return [
        EMAWeightAveraging(decay=run.averaging),
        LearningCurve(folder / CURVE, progress),
        # These two act when a validation ends, not an epoch: a resumed training passes an epoch's end twice, the second
        # time without validation.
        _Stopping("validation_loss", patience=run.patience, check_on_train_epoch_end=False),
        ModelCheckpoint(
            folder, Path(BEST).stem, "validation_loss", save_on_train_epoch_end=False, enable_version_counter=False
        ),
        _Resumable(folder / LAST, run),
    ]


@rank_zero_only
def _prepare(run: Run, folder: Path, resume: bool) -> None:
    """Make the folder and write the settings, or compare them with those of the training to resume."""
    settings = folder / RUN
    if not resume:
        if settings.exists():
            raise WriteError(f"{folder}: holds a training already; resume it, or take another folder.")
        with os_errors_named(folder):
            folder.mkdir(parents=True, exist_ok=True)
            run.save(settings)
        return
    if not (folder / LAST).exists():
        raise ModelError(f"{folder}: no {LAST} to resume from.")
    before, now = Run.load(settings).model_dump(), run.model_dump()
    changed = [name for name in now if now[name] != before[name]]
    if changed:
        raise ModelError(f"{settings}: {', '.join(changed)} differ; resume with the settings it began with.")


def best_network(folder: Path) -> EUT | PatchNetwork:
    """Load the network of lowest validation loss, with averaged weights, from the folder of a training."""
    module = DenoisingModule(Run.load(folder / RUN))
    module.load_state_dict(load_checkpoint(folder / BEST, map_location="cpu", weights_only=True)["state_dict"])
    return module.network.eval()


def main_process() -> bool:
    """Whether this is the first of the training processes, which writes the files."""
    return bool(getattr(rank_zero_only, "rank", 0) == 0)
