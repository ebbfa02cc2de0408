"""All settings of one training, as one YAML file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from quietspec.errors import ModelError
from quietspec.lab.networks import EUTSettings, PatchNetworkSettings
from quietspec.lab.simulate import PAPER_SIZES

__all__ = ["RUNS", "Run"]

_SHIPPED = files("quietspec.lab.training.networks") / "runs"
RUNS: tuple[str, ...] = tuple(
    sorted(entry.name.removesuffix(".yaml") for entry in _SHIPPED.iterdir() if entry.name.endswith(".yaml"))
)  #: names of the runs that come with the package


class Run(BaseModel):
    """What is trained on what, for how long; the recipe is `paper`.

    Parameters
    ----------
    network : EUTSettings or PatchNetworkSettings
        The network and its sizes, told apart by ``kind``.
    n, validation : int
        Spectra of the training part that are used, and how many of them, the last, only validate.
    snr : (low, high)
        S/N is uniform between these, new noise each time a spectrum is used.
    loss : {'relative', 'squared', 'absolute'}
        'relative': RMS residual over RMS noise of each spectrum, which is 1 − reduction; 'squared' and 'absolute':
        mean residual of spectra whose mean flux is 1.
    batch : int
        Spectra a step, over all devices.
    steps, steps_per_epoch : int
        Steps at most, and between two validations.
    learning_rate, warm_up, weight_decay : float
        Of AdamW: the highest rate, the fraction of steps until it is reached (then a cosine down to nothing), and the
        decay.
    clip : float
        Largest norm of the gradient.
    averaging : float
        Decay of the exponential average of the weights, which is what is validated and kept.
    patience : int
        Epochs without a better validation loss after which training stops.
    checkpoint_every : int
        Steps between checkpoints to resume from.
    seed : int
        Of weights, order and noise.
    accelerator, devices, nodes, strategy, precision : str or int
        As Lightning's `Trainer` takes them; precision 'auto' is bfloat16 where there is a GPU.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: Annotated[EUTSettings | PatchNetworkSettings, Field(discriminator="kind")]
    n: Annotated[int, Field(ge=2, le=PAPER_SIZES["train"])] = PAPER_SIZES["train"]
    validation: PositiveInt = 2000
    snr: tuple[PositiveFloat, PositiveFloat] = (5.0, 20.0)
    loss: Literal["relative", "squared", "absolute"] = "relative"
    batch: PositiveInt = 64
    steps: PositiveInt
    steps_per_epoch: PositiveInt
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

    @classmethod
    def load(cls, source: str | Path) -> Self:
        """Read a run.

        Parameters
        ----------
        source : str or path
            One of `RUNS`, or a YAML file.

        Returns
        -------
        Run
            Checked.

        Raises
        ------
        ModelError
            If there is no such run, the file is no YAML, or a key is unknown, missing or out of range; all are named.
        """
        if str(source) in RUNS:
            text = (_SHIPPED / f"{source}.yaml").read_text(encoding="utf-8")
        else:
            try:
                text = Path(source).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ModelError(
                    f"{source}: no run of this name ({', '.join(RUNS)}), and no readable YAML file: {error}"
                ) from error
        try:
            return cls.model_validate(yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise ModelError(f"{source}: not YAML: {error}") from error
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc'])) or 'run'}: {fault['msg']}" for fault in error.errors()
            )
            raise ModelError(f"{source}: {faults}") from error

    def save(self, path: Path) -> None:
        """Write the run with all its settings, defaults included."""
        path.write_text(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False), encoding="utf-8")


def _fault(details: Any) -> str:
    """One of pydantic's complaints, in a line."""
    where = ".".join(str(part) for part in details["loc"]) or "the file"
    return f"{where}: {details['msg']}"
