"""Learning curve of a training, kept in its checkpoints so that a resumed training continues it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning

__all__ = ["LearningCurve", "read_curve"]

_COLUMNS = ("step", "training_loss", "validation_loss")


class LearningCurve(lightning.Callback):
    """Writes step, mean training loss since the last validation, and validation loss as CSV after each validation.

    Parameters
    ----------
    path : path
        CSV file to write.
    progress : callable
        Called with a line of text after each validation.
    """

    def __init__(self, path: Path, progress: Callable[[str], None]) -> None:
        self.path, self.progress = path, progress
        self.points: list[tuple[int, float, float]] = []
        self._losses: list[float] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
        """Record the loss of a step."""
        self._losses.append(float(trainer.strategy.reduce(outputs["loss"].detach(), reduce_op="mean")))

    def on_validation_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Add a point and write the file."""
        if trainer.sanity_checking or not self._losses:
            return
        validation = float(trainer.callback_metrics["validation_loss"])
        self.points.append((trainer.global_step, sum(self._losses) / len(self._losses), validation))
        self._losses = []
        if trainer.is_global_zero:
            step, training, _ = self.points[-1]
            self.progress(f"step {step}: training loss {training:.4f}, validation loss {validation:.4f}")
            with self.path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([_COLUMNS, *self.points])

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"points": self.points, "losses": self._losses}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a checkpoint."""
        self.points, self._losses = [tuple(point) for point in state["points"]], list(state["losses"])


def read_curve(path: Path) -> dict[str, list[float]]:
    """Read the columns ``step``, ``training_loss`` and ``validation_loss`` of a learning curve."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in _COLUMNS}
