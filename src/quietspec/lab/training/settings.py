"""Settings of trainings: checked, and read from YAML files in which unknown keys are refused."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from quietspec.errors import ModelError
from quietspec.lab.settings import Settings, SettingsFile, faults
from quietspec.lab.simulate import PAPER_SIZES

__all__ = ["PRESETS", "MixtureSettings", "PriorRun", "PriorSettings"]

_Fraction = Annotated[float, Field(gt=0, lt=1)]


class MixtureSettings(Settings):
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
    start : int
        Points per Gaussian from which EM starts. Gaussians that explain fewer than five points per dimension are
        dropped, so that in more than 20 dimensions it takes more than the default to keep them.
    """

    n_mixture: PositiveInt = 128
    floor: NonNegativeFloat = 0.02
    max_iter: PositiveInt = 150
    patience: PositiveInt = 5
    held_out: _Fraction = 0.05
    start: PositiveInt = 100


class PriorSettings(Settings):
    """How a prior is fitted.

    Parameters
    ----------
    n_components : int
        Number of basis vectors of stars.
    n_nucleus : int
        Number of further ones of active nuclei, where the recipe has them.
    n_mixture_nuclei : int
        Number of Gaussians of galaxies with nuclei to start with; those of the others are in `mixture`.
    basis_spectra : int, optional
        Number of training spectra from which the basis vectors are learned and which are in memory at once; all if not
        given. The mixture is learned from all.
    reference_snr : float
        S/N of the noise in whose units coefficients are measured: basis vectors are ordered by their variance over
        this noise.
    mixture : MixtureSettings
        Fit of the mixture over the coefficients.
    """

    n_components: PositiveInt = 24
    n_nucleus: NonNegativeInt = 0
    n_mixture_nuclei: PositiveInt = 40
    basis_spectra: PositiveInt | None = None
    reference_snr: PositiveFloat = 40.0
    mixture: MixtureSettings = MixtureSettings()

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
            raise ModelError(f"the prior's card: settings: {faults(error)}; train the prior again.") from error

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
        size = self.n_components + self.n_nucleus
        monomials = 1 + size + size * (size + 1) // 2
        rounds = self.mixture.max_iter if self.mixture.n_mixture > 1 else 1
        return 2 * n * n_pixels**2 + 4 * n * self.mixture.n_mixture * monomials * rounds


class PriorRun(SettingsFile):
    """All settings of the training of a prior, under the names that the prior's card uses.

    Parameters
    ----------
    recipe : {'paper', 'survey', 'wide', 'ultraviolet'}
        Recipe that draws the training spectra.
    left_out : tuple of str
        Libraries that the recipe `wide` or `ultraviolet` is to do without.
    n : int
        Number of training spectra.
    seed : int
        Seed of all draws.
    settings : PriorSettings
        How the prior is fitted to them.
    """

    shipped: ClassVar[Traversable] = files("quietspec.lab.training") / "presets"

    recipe: Literal["paper", "survey", "wide", "ultraviolet"]
    left_out: tuple[str, ...] = ()
    n: Annotated[int, Field(ge=1000)]
    seed: NonNegativeInt
    settings: PriorSettings

    @model_validator(mode="after")
    def _enough_spectra(self) -> Self:
        most = PAPER_SIZES["train"]
        if self.recipe == "paper" and self.n > most:
            raise ValueError(f"n {self.n}: recipe 'paper' has {most} training spectra")
        if self.left_out and self.recipe not in ("wide", "ultraviolet"):
            raise ValueError(
                f"left_out: recipe {self.recipe!r} has one library; only 'wide' and 'ultraviolet' have several"
            )
        return self


PRESETS: tuple[str, ...] = PriorRun.names()  #: names of the runs that come with the package
