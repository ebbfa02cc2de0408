"""Settings of trainings: checked, and read from YAML files in which unknown keys are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

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
from quietspec.lab.simulate import PAPER_SIZES

__all__ = ["PRESETS", "MixtureSettings", "PriorRun", "PriorSettings", "SettingsFile"]

_Fraction = Annotated[float, Field(gt=0, lt=1)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SettingsFile(_Settings):
    """Base of settings that fill a YAML file; subclasses name the folder of those that come with the package."""

    shipped: ClassVar[Traversable]

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the files that come with the package, sorted."""
        entries = (entry.name for entry in cls.shipped.iterdir())
        return tuple(sorted(name.removesuffix(".yaml") for name in entries if name.endswith(".yaml")))

    @classmethod
    def load(cls, source: str | Path) -> Self:
        """Read settings.

        Parameters
        ----------
        source : str or path
            One of `names`, or a YAML file.

        Returns
        -------
        Self
            Checked settings.

        Raises
        ------
        ModelError
            If nothing has this name, the file is not YAML, or keys are unknown, missing or out of range; the message
            names all of them.
        """
        try:
            return cls.model_validate(yaml.safe_load(cls._text(source)))
        except yaml.YAMLError as error:
            raise ModelError(f"{source}: not YAML: {error}") from error
        except ValidationError as error:
            raise ModelError(f"{source}: {_faults(error)}") from error

    @classmethod
    def _text(cls, source: str | Path) -> str:
        names = cls.names()
        try:
            path = cls.shipped / f"{source}.yaml" if str(source) in names else Path(source)
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(
                f"{source}: no run of this name ({', '.join(names)}), and no readable YAML file: {error}"
            ) from error

    def changed(self, assignments: Sequence[str]) -> Self:
        """Change single settings.

        Parameters
        ----------
        assignments : sequence of str
            ``name=value`` in YAML; the name of a nested setting with dots, as in ``settings.mixture.n_mixture=64``.

        Returns
        -------
        Self
            With the changes, checked as a whole.

        Raises
        ------
        ModelError
            If an assignment has no ``=``, or a key or value is not allowed; the message names it.
        """
        content = self.model_dump(mode="json")
        for assignment in assignments:
            name, equals, text = assignment.partition("=")
            *parents, last = name.strip().split(".")
            inner = content
            for parent in parents:
                inner = inner.setdefault(parent, {})
                if not isinstance(inner, dict):
                    raise ModelError(f"{assignment!r}: {parent} has no settings within it.")
            if not equals:
                raise ModelError(f"{assignment!r}: give name=value.")
            inner[last] = yaml.safe_load(text)
        try:
            return type(self).model_validate(content)
        except ValidationError as error:
            raise ModelError(f"{', '.join(assignments)}: {_faults(error)}") from error

    def save(self, path: Path) -> None:
        """Write all settings, defaults included, as YAML."""
        path.write_text(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False), encoding="utf-8")


def _faults(error: ValidationError) -> str:
    """Every fault in one line."""
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'run'}: {fault['msg']}" for fault in error.errors())


class MixtureSettings(_Settings):
    """How a mixture is fitted.

    Parameters
    ----------
    n_mixture : int
        Number of Gaussians to start with; with 1 the fit is the mean and covariance of the points.
    floor : float
        Variance added to every covariance, in units of the points, so that no Gaussian collapses onto a few of them.
    max_iter : int
        Largest number of rounds of EM.
    patience : int
        Number of rounds without a higher mean log likelihood of the held-out points after which EM stops; the mixture
        of the best round is returned.
    held_out : float
        Fraction of the points held out.
    """

    n_mixture: PositiveInt = 128
    floor: NonNegativeFloat = 0.02
    max_iter: PositiveInt = 150
    patience: PositiveInt = 5
    held_out: _Fraction = 0.05


class PriorSettings(_Settings):
    """How a prior is fitted.

    Parameters
    ----------
    n_components : int
        Number of basis vectors.
    reference_snr : float
        S/N of the noise in whose units coefficients are measured: basis vectors are ordered by their variance over
        this noise.
    mixture : MixtureSettings
        Fit of the mixture over the coefficients.
    outskirts : tuple of (float, float)
        Broad Gaussians added for spectra unlike those simulated: covariance in units of the whole prior's, and weight.
    """

    n_components: PositiveInt = 24
    reference_snr: PositiveFloat = 40.0
    mixture: MixtureSettings = MixtureSettings()
    outskirts: tuple[tuple[PositiveFloat, _Fraction], ...] = ()

    @model_validator(mode="after")
    def _weights_leave_some_to_the_mixture(self) -> Self:
        total = sum(weight for _, weight in self.outskirts)
        if total >= 1:
            raise ValueError(f"outskirts: weights of sum {total:g} leave nothing for the mixture")
        return self

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> Self:
        """Settings that a prior's card states.

        Parameters
        ----------
        card : mapping
            Card of a prior from `train_prior`.

        Returns
        -------
        PriorSettings
            The settings it was trained with.

        Raises
        ------
        ModelError
            If the card states none, or states settings that do not exist.
        """
        if "settings" not in card:
            raise ModelError("the prior's card does not say how it was trained; train it again.")
        try:
            return cls.model_validate(card["settings"])
        except ValidationError as error:
            raise ModelError(f"the prior's card: settings: {_faults(error)}; train the prior again.") from error

    def flops(self, n: int, n_pixels: int) -> int:
        """Upper limit of the operations to fit `n` spectra: the pixels' covariance, and all rounds of EM.

        A round multiplies the 1 + d + d(d + 1)/2 monomials of each point by the weights of every Gaussian, twice.

        Parameters
        ----------
        n, n_pixels : int
            Number of spectra, and of pixels in each.

        Returns
        -------
        int
            Floating-point operations.
        """
        size = self.n_components
        monomials = 1 + size + size * (size + 1) // 2
        rounds = self.mixture.max_iter if self.mixture.n_mixture > 1 else 1
        return 2 * n * n_pixels**2 + 4 * n * self.mixture.n_mixture * monomials * rounds


class PriorRun(SettingsFile):
    """All settings of the training of a prior, under the names that the prior's card uses.

    Parameters
    ----------
    recipe : {'paper', 'survey'}
        Recipe that draws the training spectra.
    n : int
        Number of training spectra.
    seed : int
        Seed of all draws.
    settings : PriorSettings
        How the prior is fitted to them.
    """

    shipped: ClassVar[Traversable] = files("quietspec.lab.training") / "presets"

    recipe: Literal["paper", "survey"]
    n: Annotated[int, Field(ge=1000)]
    seed: NonNegativeInt
    settings: PriorSettings

    @model_validator(mode="after")
    def _enough_spectra(self) -> Self:
        most = PAPER_SIZES["train"]
        if self.recipe == "paper" and self.n > most:
            raise ValueError(f"n {self.n}: recipe 'paper' has {most} training spectra")
        return self


PRESETS: tuple[str, ...] = PriorRun.names()  #: names of the runs that come with the package
