"""Train a network in a folder of its own: settings, checkpoints, learning curve."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping, EMAWeightAveraging, ModelCheckpoint, Timer
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader

from quietspec.errors import ModelError, WriteError
from quietspec.io.writing.atomic import os_errors_named
from quietspec.lab.networks import EUT, PatchNetwork
from quietspec.lab.training.networks.batches import Corpus, NoisyBatches
from quietspec.lab.training.networks.curve import LearningCurve
from quietspec.lab.training.networks.module import DenoisingModule
from quietspec.lab.training.networks.run import Run

if TYPE_CHECKING:
    from quietspec.denoisers import Denoiser

__all__ = ["BEST", "CURVE", "RUN", "best_network", "main_process", "train_network"]

RUN, BEST, LAST, CURVE = "run.yaml", "best.ckpt", "last.ckpt", "curve.csv"


class _Data(lightning.LightningDataModule):
    """Training stream and validation batches, each process its part."""

    def __init__(self, corpus: Corpus, run: Run, wiener: Denoiser | None) -> None:
        super().__init__()
        self.corpus, self.run, self.wiener = corpus, run, wiener

    def train_dataloader(self) -> Any:
        trainer: Any = self.trainer
        return NoisyBatches(self.corpus, self.run, self.wiener, rank=trainer.global_rank, world=trainer.world_size)

    def val_dataloader(self) -> Any:
        trainer: Any = self.trainer
        batches: Any = self.corpus.validation_batches(self.run, self.wiener)
        return DataLoader(batches[trainer.global_rank :: trainer.world_size], batch_size=None)


class _Stopping(EarlyStopping):
    """Stops early, and at once where a resumed training had stopped."""

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        trainer.should_stop = self.wait_count >= self.patience


class _Resumable(Checkpoint):
    """Saves every so many steps; at an epoch's end after its validation, which a resumed training would leave out."""

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
    wiener: Denoiser | None = None,
    resume: bool = False,
    progress: Callable[[str], None] = lambda _: None,
    bar: bool = False,
    callbacks: tuple[Callback, ...] = (),
) -> float:
    """Train a network, or go on where a training stopped, to the same result.

    Parameters
    ----------
    corpus : Corpus
        The spectra.
    run : Run
        All settings; they are written into `folder`.
    folder : path
        Takes settings, checkpoints and learning curve.
    wiener : Denoiser, optional
        Fills the channel ``'wiener'``, if the network has it.
    resume : bool
        Go on from the last checkpoint in `folder`.
    progress : callable, optional
        Called with a line of text after each validation.
    bar : bool
        Whether to show a progress bar.
    callbacks : tuple of lightning.Callback
        Further ones.

    Returns
    -------
    float
        Seconds it took, over all resumptions; `best_network` has the result.

    Raises
    ------
    WriteError
        If `folder` holds a training already and `resume` was not asked for.
    ModelError
        If there is nothing to resume, or it has other settings.
    """
    _prepare(run, folder, resume)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its notes are not about the user's task
    module = DenoisingModule(run)
    module.start_from(corpus)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its notes are not about the user's task
    bfloat = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    trainer = lightning.Trainer(
        accelerator=run.accelerator,
        devices=run.devices if run.devices != "auto" or torch.cuda.is_available() else 1,
        num_nodes=run.nodes,
        strategy=run.strategy,
        precision=("bf16-mixed" if bfloat else "32-true") if run.precision == "auto" else run.precision,  # type: ignore[arg-type]
        max_steps=run.steps,
        gradient_clip_val=run.clip,
        logger=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # each process takes its part already
        enable_progress_bar=bar,
        enable_model_summary=False,
        callbacks=[*_callbacks(run, folder, progress), *callbacks],
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers")  # batches are made here on purpose
        warnings.filterwarnings("ignore", message=".*exists and is not empty")  # nor is a folder that is resumed
        warnings.filterwarnings("ignore", category=FutureWarning, module="lightning")
        warnings.filterwarnings("ignore", message=".*LeafSpec")  # Lightning's own, about torch 2.13
        trainer.fit(module, datamodule=_Data(corpus, run, wiener), ckpt_path=folder / LAST if resume else None)
    timer = next(callback for callback in trainer.callbacks if isinstance(callback, Timer))  # type: ignore[attr-defined]
    return timer.time_elapsed()


def _callbacks(run: Run, folder: Path, progress: Callable[[str], None]) -> list[Callback]:
    return [
        EMAWeightAveraging(decay=run.averaging),
        LearningCurve(folder / CURVE, progress),
        Timer(),
        # Both look at a validation when it ends: an epoch's end comes again, without validation, to a resumed training.
        _Stopping("validation_loss", patience=run.patience, check_on_train_epoch_end=False),
        ModelCheckpoint(
            folder, Path(BEST).stem, "validation_loss", save_on_train_epoch_end=False, enable_version_counter=False
        ),
        _Resumable(folder / LAST, run),
    ]


@rank_zero_only
def _prepare(run: Run, folder: Path, resume: bool) -> None:
    """Make the folder with its settings, or check those that are there."""
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
    """Load the network of least validation loss, its weights averaged, from a training's folder."""
    module = DenoisingModule(Run.load(folder / RUN))
    module.load_state_dict(torch.load(folder / BEST, map_location="cpu", weights_only=True)["state_dict"])
    return module.network.eval()


def main_process() -> bool:
    """Whether this is the first of the processes that train, the one that writes."""
    return bool(getattr(rank_zero_only, "rank", 0) == 0)
