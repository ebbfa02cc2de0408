"""Settings of the recovery experiment, from a file that refuses unknown keys."""

from __future__ import annotations

from dataclasses import fields, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, model_validator

from quietspec.lab.evaluation.recovery.arms import LIMIT, Arm
from quietspec.lab.evaluation.recovery.experiment import recipe_options
from quietspec.lab.settings import SettingsFile
from quietspec.lab.simulate import PAPER_SIZES, Recipe
from quietspec.populations import PpxfOptions

__all__ = ["RecoveryRun"]

_WHOLE = ("noisy", "eut-position")  # arms of which all spectra are fitted, as in the paper
_AtLeastThree = Annotated[int, Field(ge=3)]


class RecoveryRun(SettingsFile):
    """All settings of the experiment that decide its result.

    Parameters
    ----------
    recipe : {'paper', 'survey'}
        Recipe that draws the spectra.
    arms : tuple of str
        Ways from spectrum to populations: ``noisy``, the name of a denoiser (with ``-flat``, ``-sigma`` or
        ``-covariance`` for the errors given to pPXF), ``populations``, ``limit``.
    snr : tuple of float
        S/N of the spectra.
    n, n_others : int
        Test spectra of the arms ``noisy`` and ``eut-position``, and of the others.
    n_ladder : int
        Noisy spectra fitted at each of ten S/N, for equivalent S/N; 0 leaves it out.
    seed : int
        Seed of the noise.
    model : str, optional
        Prior of the denoisers; the recipe's shipped one by default.
    templates : str, optional
        SSP library that pPXF fits with; the simulated one by default.
    ppxf : dict
        Options of pPXF that differ from those that suit the recipe.
    """

    shipped: ClassVar[Traversable] = files("quietspec.lab.evaluation.recovery") / "experiments"

    recipe: Literal["paper", "survey"]
    arms: tuple[str, ...]
    snr: tuple[PositiveFloat, ...]
    n: _AtLeastThree
    n_others: _AtLeastThree
    n_ladder: NonNegativeInt
    seed: NonNegativeInt
    model: str | None = None
    templates: str | None = None
    ppxf: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        known = {field.name for field in fields(PpxfOptions)}
        if unknown := self.ppxf.keys() - known:
            raise ValueError(f"ppxf has no option {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
        if self.recipe == "paper" and self.n > PAPER_SIZES["test"]:
            raise ValueError(f"n {self.n}: recipe 'paper' has {PAPER_SIZES['test']} spectra to test")
        return self

    def chosen(self) -> list[Arm]:
        """Arms with their numbers of spectra."""
        return [Arm(name, self.n if name in _WHOLE else min(self.n, self.n_others)) for name in self.arms]

    def denoisers(self) -> list[str]:
        """Names of the denoisers that the arms need; the limit stands on the posterior's basis."""
        needed = {arm.denoiser or "posterior" for arm in self.chosen() if arm.denoiser or arm.name == LIMIT}
        return sorted(needed)

    def options(self, recipe: Recipe) -> PpxfOptions:
        """Options of the fits."""
        return replace(recipe_options(recipe), **self.ppxf)
