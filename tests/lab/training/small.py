"""A small world, networks that train on it in a second, and a program that does this for tests of killed processes."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import lightning
import numpy as np

from quietspec.lab.networks import EUTSettings, PatchNetworkSettings
from quietspec.lab.simulate import PaperRecipe
from quietspec.lab.training.networks import Corpus, Run, train_network
from quietspec.templates import SspLibrary

N_PIXELS = 186
EUT = EUTSettings(encoder=(4, 6), last=4, kernel=3, n_blocks=1, n_heads=2, fold=2, channels=("flux", "sigma"))
PATCHES = PatchNetworkSettings(
    n_pixels=N_PIXELS, n_patches=6, n_features=3, rank=3, width=8, hidden=12, n_blocks=1, channels=("flux", "sigma")
)


def small_recipe(**options: Any) -> PaperRecipe:
    """Recipe of smooth spectra for 4 ages × 2 metallicities, 3700–7400 Å in steps of 20 Å."""
    wavelength = np.linspace(3700, 7400, N_PIXELS)
    log_age, metallicity = (grid.ravel() for grid in np.meshgrid([8.0, 9.0, 9.6, 10.1], [-1.0, 0.2], indexing="ij"))
    slope = (log_age - 9 + 0.5 * metallicity)[:, None]
    bands = 0.1 * metallicity[:, None] * np.sin(wavelength / 90) + 0.05 * slope * np.sin(wavelength / 37)
    spectra = 10 ** (9 - log_age)[:, None] * ((wavelength / 5500) ** slope + bands)
    library = SspLibrary(
        name="small", wavelength=wavelength, medium="air", spectra=spectra, log_age=log_age, metallicity=metallicity,
        fwhm=np.array(40.0),
    )  # fmt: skip
    return PaperRecipe(library, **options)


def small_run(**changes: Any) -> Run:
    """A run of 24 steps, 6 per epoch."""
    settings: dict[str, Any] = {
        "network": PATCHES, "n": 260, "validation": 50, "batch": 10, "steps": 24, "steps_per_epoch": 6,
        "learning_rate": 1e-2, "averaging": 0.5, "checkpoint_every": 4, "accelerator": "cpu", "devices": 1,
    }  # fmt: skip
    return Run(**(settings | changes))


class Killed(Exception):  # noqa: N818
    """Raised by `Killer`."""


class Killer(lightning.Callback):
    """Ends the training by an exception or a signal when a hook is called at a given step."""

    def __init__(self, step: int, hook: str = "on_train_batch_end", number: int | None = None) -> None:
        self.step, self.number = step, number
        setattr(self, hook, self._kill)

    def _kill(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.global_step != self.step:
            return
        if self.number is not None:
            os.kill(os.getpid(), self.number)
        raise Killed


class Witness(lightning.Callback):
    """Writes a hash of each process's final weights into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        weights = b"".join(parameter.detach().numpy().tobytes() for parameter in module.parameters())
        (self.folder / f"rank{trainer.global_rank}.txt").write_text(hashlib.sha256(weights).hexdigest())


def main() -> None:
    """Train in a folder, or resume a training there: FOLDER RUN_YAML [STEP at which to kill]."""
    folder, run = Path(sys.argv[1]), Run.load(sys.argv[2])
    callbacks: list[lightning.Callback] = [Witness(folder)]
    if len(sys.argv) > 3:
        callbacks.append(Killer(int(sys.argv[3]), number=signal.SIGKILL))
    resume = (folder / "last.ckpt").exists()
    train_network(Corpus.draw(small_recipe(), run), run, folder, resume=resume, callbacks=tuple(callbacks))


if __name__ == "__main__":
    main()
