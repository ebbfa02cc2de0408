"""All settings of the training of a network, as one YAML file."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from quietspec.lab.networks import EUTSettings, PatchNetworkSettings
from quietspec.lab.settings import SettingsFile
from quietspec.lab.simulate import PAPER_SIZES

__all__ = ["RUNS", "Run"]


class Run(SettingsFile):
    """All settings of the training of a network on the recipe `paper`.

    Parameters
    ----------
    network : EUTSettings or PatchNetworkSettings
        Sizes of the network; ``kind`` says which of the two.
    n, validation : int
        Number of spectra used, the first of the training part, and how many of them, the last, only validate.
    snr : (low, high)
        Range in which S/N is uniform; a spectrum has new noise each time it is used.
    loss : {'relative', 'squared', 'absolute'}
        'relative' is the RMS residual over the RMS noise of each spectrum, i.e. 1 − reduction; 'squared' and 'absolute'
        are the mean squared and the mean absolute residual in units of the mean flux.
    batch : int
        Number of spectra per step, over all devices.
    steps, steps_per_epoch : int
        Largest number of steps, and number of steps between validations.
    minutes : float, optional
        Time after which training ends, over all resumptions; the learning rate falls to 0 by then.
    learning_rate, warm_up, weight_decay : float
        Parameters of AdamW: highest learning rate, fraction of the steps (or of the time) until it is reached (from
        there it falls to 0 as a cosine), and weight decay.
    clip : float
        Norm to which larger gradients are clipped.
    averaging : float
        Decay of the exponential average of the weights; the average is validated and kept.
    patience : int
        Number of epochs without a lower validation loss after which training stops.
    checkpoint_every : int
        Number of steps between the checkpoints from which training can be resumed.
    seed : int
        Seed of weights, order and noise.
    accelerator, devices, nodes, strategy, precision : str or int
        Arguments of Lightning's `Trainer`; precision 'auto' is bfloat16 on a GPU that supports it.
    """

    shipped: ClassVar[Traversable] = files("quietspec.lab.training.networks") / "runs"

    network: Annotated[EUTSettings | PatchNetworkSettings, Field(discriminator="kind")]
    n: Annotated[int, Field(ge=2, le=PAPER_SIZES["train"])] = PAPER_SIZES["train"]
    validation: PositiveInt = 2000
    snr: tuple[PositiveFloat, PositiveFloat] = (5.0, 20.0)
    loss: Literal["relative", "squared", "absolute"] = "relative"
    batch: PositiveInt = 64
    steps: PositiveInt
    steps_per_epoch: PositiveInt
    minutes: PositiveFloat | None = None
    learning_rate: PositiveFloat = 1e-3
    warm_up: Annotated[float, Field(gt=0, lt=1)] = 0.05
    weight_decay: NonNegativeFloat = 1e-4
    clip: PositiveFloat = 1.0
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.999
    patience: PositiveInt = 50
    checkpoint_every: PositiveInt = 200
    seed: NonNegativeInt = 1
    accelerator: str = "auto"
    devices: PositiveInt | Literal["auto"] = "auto"
    nodes: PositiveInt = 1
    strategy: str = "auto"
    precision: str = "auto"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.validation >= self.n:
            raise ValueError(f"validation {self.validation}: leaves none of n = {self.n} for training")
        if self.batch > self.n - self.validation:
            raise ValueError(f"batch {self.batch}: more than the {self.n - self.validation} training spectra")
        if self.steps % self.steps_per_epoch:
            raise ValueError(f"steps {self.steps}: not a multiple of steps_per_epoch ({self.steps_per_epoch})")
        if self.snr[0] > self.snr[1]:
            raise ValueError(f"snr {self.snr}: the lower one comes first")
        return self


RUNS: tuple[str, ...] = Run.names()  #: names of the runs that come with the package
