"""Ways from noisy spectra to populations, each one callable: pPXF, pPXF after denoising, the posterior, binning."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from quietspec.binning import INDEPENDENT, NoiseCorrelation, bin_spectra, bin_to_snr
from quietspec.denoised import ModelId
from quietspec.denoisers import Denoiser
from quietspec.indices import IndexDefinition
from quietspec.populations.fit import Errors, fit_denoised, fit_populations
from quietspec.populations.options import PpxfOptions
from quietspec.populations.posterior import posterior_populations
from quietspec.populations.result import Populations
from quietspec.populations.spaxels import on_spaxels
from quietspec.progress import Progress
from quietspec.spectra import Spectra
from quietspec.templates import SspLibrary

__all__ = [
    "BinnedMethod", "DenoisedPpxfMethod", "PopulationMethod", "PosteriorMethod", "PpxfMethod", "denoiser_of",
    "with_denoiser",
]  # fmt: skip


class PopulationMethod(Protocol):
    """Anything that finds the stellar populations of noisy spectra."""

    @property
    def model(self) -> ModelId:
        """What the result rests on: the denoiser with the hash of its file, or the library."""
        ...

    def __call__(self, spectra: Spectra, progress: Progress | None = None) -> Populations:
        """Find the populations of spectra; `progress` is called with the number done and the total."""
        ...


@dataclass(frozen=True)
class PosteriorMethod:
    """Populations from the posterior of a denoiser.

    Parameters
    ----------
    denoiser : Denoiser
        ``posterior`` or ``wiener``.
    indices : tuple of str or IndexDefinition
        Spectral indices to measure, too.
    """

    denoiser: Denoiser
    indices: tuple[str | IndexDefinition, ...] = ()

    @property
    def model(self) -> ModelId:
        """Name and hash of the denoiser."""
        return self.denoiser.model

    def __call__(self, spectra: Spectra, progress: Progress | None = None) -> Populations:
        """Find the populations of spectra."""
        populations = posterior_populations(self.denoiser.denoise(spectra), self.indices)
        if progress is not None:
            progress(len(spectra), len(spectra))
        return populations


@dataclass(frozen=True)
class PpxfMethod:
    """Populations by pPXF on the noisy spectra.

    Parameters
    ----------
    library : SspLibrary
        Templates in air, per solar mass formed.
    options : PpxfOptions, optional
        How to fit.
    jobs : int
        Processes that fit side by side.
    """

    library: SspLibrary
    options: PpxfOptions = field(default_factory=PpxfOptions)
    jobs: int = 1

    @property
    def model(self) -> ModelId:
        """The method, pPXF, and the name of the library."""
        return ModelId(f"pPXF {self.library.name}")

    def __call__(self, spectra: Spectra, progress: Progress | None = None) -> Populations:
        """Find the populations of spectra."""
        return fit_populations(spectra, self.library, self.options, jobs=self.jobs, progress=progress)


@dataclass(frozen=True)
class DenoisedPpxfMethod:
    """Populations by pPXF on denoised spectra.

    Parameters
    ----------
    denoiser : Denoiser
        Any denoiser.
    library : SspLibrary
        Templates in air, per solar mass formed.
    options : PpxfOptions, optional
        How to fit.
    errors : {'input', 'flat', 'sigma', 'covariance'}
        Errors given to pPXF, see `fit_denoised`.
    jobs : int
        Processes that fit side by side.
    """

    denoiser: Denoiser
    library: SspLibrary
    options: PpxfOptions = field(default_factory=PpxfOptions)
    errors: Errors = "sigma"
    jobs: int = 1

    @property
    def model(self) -> ModelId:
        """Name and hash of the denoiser; the populations' `meta` names the library."""
        return self.denoiser.model

    def __call__(self, spectra: Spectra, progress: Progress | None = None) -> Populations:
        """Find the populations of spectra."""
        denoised = self.denoiser.denoise(spectra)
        fitted = fit_denoised(
            denoised, self.library, self.options, errors=self.errors, jobs=self.jobs, progress=progress
        )
        return replace(fitted, method=f"{fitted.method} of spectra denoised by {self.model}")


@dataclass(frozen=True)
class BinnedMethod:
    """Another method, applied to spaxels that are first binned to a S/N.

    Parameters
    ----------
    method : PopulationMethod
        Method that is applied to the bins.
    target : float
        S/N of a bin.
    correlation : NoiseCorrelation
        Correlation of the noise between spaxels.
    """

    method: PopulationMethod
    target: float
    correlation: NoiseCorrelation = INDEPENDENT

    @property
    def model(self) -> ModelId:
        """What the result of the other method rests on."""
        return self.method.model

    def __call__(self, spectra: Spectra, progress: Progress | None = None) -> Populations:
        """Find the populations of the spaxels of an image, equal within each bin."""
        number = bin_to_snr(spectra, self.target, self.correlation)
        binned = bin_spectra(spectra, number, self.correlation)
        return on_spaxels(self.method(binned.spectra, progress), number)


def denoiser_of(method: PopulationMethod) -> Denoiser | None:
    """Return the denoiser that a method rests on; None where it has none."""
    if isinstance(method, BinnedMethod):
        return denoiser_of(method.method)
    return method.denoiser if isinstance(method, PosteriorMethod | DenoisedPpxfMethod) else None


def with_denoiser(method: PopulationMethod, denoiser: Denoiser) -> PopulationMethod:
    """Replace the denoiser of a method; a method without one stays as it is."""
    if isinstance(method, BinnedMethod):
        return replace(method, method=with_denoiser(method.method, denoiser))
    if isinstance(method, PosteriorMethod | DenoisedPpxfMethod):
        return replace(method, denoiser=denoiser)
    return method
