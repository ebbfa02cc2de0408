"""A network with its loss and its optimiser, as a Lightning module."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Timer
from torch import Tensor

from quietspec.lab.networks import PatchNetwork, make_network
from quietspec.lab.simulate import SAMI_NOISE
from quietspec.lab.training.networks.batches import Batch, Corpus
from quietspec.lab.training.networks.run import Run

__all__ = ["DenoisingModule", "spectrum_losses"]

_LEAST_RATE = 0.04  # of the highest learning rate, at the start of a training that ends by the clock
_START_SPECTRA, _START_SNR = 8000, 10.0  # principal components of so many spectra, Wiener filter for this S/N


class DenoisingModule(lightning.LightningModule):
    """Trains the network of a run.

    Parameters
    ----------
    run : Run
        All settings.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        torch.manual_seed(run.seed)  # weights are the only draws from torch's own stream
        self.network = make_network(run.network)

    def start_from(self, corpus: Corpus) -> None:
        """Start a `PatchNetwork` from the principal components of training spectra; other networks start at random."""
        if not isinstance(self.network, PatchNetwork):
            return
        rest = corpus.training[:_START_SPECTRA]
        shapes = torch.from_numpy(rest.flux / rest.flux.mean(axis=1, keepdims=True))
        noise = torch.from_numpy(SAMI_NOISE.relative_sigma(rest.wavelength)[0]).float()
        mean, rank = shapes.mean(dim=0), self.run.network.rank  # type: ignore[union-attr]
        _, lengths, vectors = torch.pca_lowrank((shapes - mean) / noise, q=rank, center=False, niter=4)
        basis = (vectors * lengths / len(shapes) ** 0.5).T * noise
        self.network.start_from(mean, basis, noise / _START_SNR)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Compute the loss of a batch."""
        loss = spectrum_losses(self.network(batch.spectra), batch, self.run.loss).mean()
        self.log("training_loss", loss, batch_size=len(batch.truth))
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Compute and log the loss of a validation batch."""
        loss = spectrum_losses(self.network(batch.spectra), batch, self.run.loss).mean()
        self.log("validation_loss", loss, batch_size=len(batch.truth), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Set up AdamW with a learning rate that rises and then falls as a cosine, in steps or in time."""
        run = self.run
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=run.learning_rate, weight_decay=run.weight_decay, betas=(0.9, 0.98)
        )
        schedule: Any
        if run.minutes is None:
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, run.learning_rate, total_steps=run.steps + 1, pct_start=run.warm_up
            )
        else:
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self._rate(step, run))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int, run: Run) -> float:
        """Learning rate at a step, relative to the highest, for a training that ends by the clock."""
        callbacks = self.trainer.callbacks if self._trainer else []  # type: ignore[attr-defined]
        elapsed = sum(one.time_elapsed() for one in callbacks if isinstance(one, Timer))
        done = min(max(step / run.steps, elapsed / 60 / (run.minutes or math.inf)), 1.0)
        if done < run.warm_up:
            return _LEAST_RATE + (1 - _LEAST_RATE) * done / run.warm_up
        return (1 + math.cos(math.pi * (done - run.warm_up) / (1 - run.warm_up))) / 2


def spectrum_losses(output: Tensor, batch: Batch, kind: str) -> Tensor:
    """Loss of each spectrum.

    Parameters
    ----------
    output : (n_spectra, n_outputs, n_pixels)
        Flux and, if the network predicts it, logarithm of the variance.
    batch : Batch
        Batch that the network was applied to.
    kind : {'relative', 'squared', 'absolute'}
        Loss of the flux, as in `Run`.

    Returns
    -------
    (n_spectra,)
        Loss of the flux; with a variance, plus the negative log likelihood of the flux's residual. The latter passes no
        gradient to the flux, so that learning the errors does not make the flux worse.
    """
    residual = output[:, 0] - batch.truth
    scale = batch.truth.abs().mean(dim=-1)
    if kind == "relative":
        loss = (residual.square().mean(dim=-1) / batch.sigma.square().mean(dim=-1)).sqrt()
    elif kind == "squared":
        loss = residual.square().mean(dim=-1) / scale**2
    else:
        loss = residual.abs().mean(dim=-1) / scale
    if output.shape[1] == 1:
        return loss
    scaled = output[:, 1] - 2 * scale.log()[:, None]
    surprise = (residual.detach() / scale[:, None]).square() * (-scaled).exp() + scaled
    return loss + surprise.mean(dim=-1) / 2
