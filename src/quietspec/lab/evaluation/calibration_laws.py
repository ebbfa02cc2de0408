"""Find the calibration law of an instrument: the one of largest evidence for bright real spectra of it.

Evidences can be compared only if all laws explain the same data. Each set of spectra is therefore denoised once under a
wide law; the pixels that fit leaves out and the noise scale it measures become part of the data and stay. Spectra of
one exposure of one galaxy share their calibration error, and count as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoisers import SpectralPrior
from quietspec.denoisers.posterior.calibration import CalibrationLaw
from quietspec.denoisers.posterior.kinematic_denoiser import KinematicPosterior
from quietspec.spectra import Spectra

__all__ = ["LawSearch", "Learned", "held_fixed", "likeliest_law", "log_evidence"]

_STEP = 2**0.5  # factor between neighbouring sizes of the grid


@dataclass(frozen=True, kw_only=True)
class LawSearch:
    """Which laws are compared.

    Parameters
    ----------
    sizes : mapping of str to float
        Typical root mean square of each part of the law: ``smooth``, or a scale in Å as text.
    width : float
        1σ of the prior of the logarithm of each size about the typical one: with few spectra a law stays near it.
    farthest : int
        Largest number of factors √2 by which a size may differ from the typical one.
    cycles : int
        Most rounds over all parts.
    """

    sizes: Mapping[str, float]
    width: float = 0.7
    farthest: int = 5
    cycles: int = 5

    def law(self, steps: Mapping[str, int]) -> CalibrationLaw:
        """Law whose sizes are the typical ones times √2 to the power of `steps`."""
        sizes = {part: size * _STEP ** steps[part] for part, size in self.sizes.items()}
        waves = tuple((float(part), size) for part, size in sizes.items() if part != "smooth")
        return CalibrationLaw(smooth=sizes.get("smooth", 0.0), waves=waves)

    def log_prior(self, steps: Mapping[str, int]) -> float:
        """Log prior of a law, up to a constant."""
        return -0.5 * float(sum((step * np.log(_STEP) / self.width) ** 2 for step in steps.values()))

    def neighbours(self, steps: Mapping[str, int], part: str) -> Iterator[dict[str, int]]:
        """Grid points one step away in one part."""
        for change in (-1, 1):
            if abs(steps[part] + change) <= self.farthest:
                yield {**steps, part: steps[part] + change}


def held_fixed(prior: SpectralPrior, spectra: Spectra) -> Spectra:
    """Make masks and noise scale, as a fit under the wide law finds them, part of the data.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    spectra : Spectra
        Bright spectra.

    Returns
    -------
    Spectra
        Pixels that the fit left out are masked; errors are multiplied by the noise scale.
    """
    fitted = KinematicPosterior("wide", prior, calibration=CalibrationLaw()).denoise(spectra)
    scale = fitted.noise_scale if fitted.noise_scale is not None else np.ones(len(spectra))
    ivar = np.where(fitted.counted, spectra.ivar / scale[:, None] ** 2, 0)
    return replace(spectra, ivar=ivar.astype(spectra.ivar.dtype))


def log_evidence(prior: SpectralPrior, law: CalibrationLaw, spectra: Spectra) -> tuple[FloatArray, BoolArray]:
    """Log evidence of spectra whose noise and masks are held fixed.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    law : CalibrationLaw
        Of the calibration.
    spectra : Spectra
        As `held_fixed` returns them.

    Returns
    -------
    evidence : (n_spectra,)
        Log evidence.
    spoilt : (n_spectra, n_pixels) of bool
        Good pixels that the fit took for spikes all the same; without any the evidences of laws can be compared.
    """
    fitted = KinematicPosterior("law", prior, calibration=law, emission="none", noise="quoted").denoise(spectra)
    evidence = np.full(len(spectra), np.nan) if fitted.evidence is None else fitted.evidence
    return evidence, fitted.ignored & spectra.good


class _Teacher:
    """Sets of spectra of one instrument, and the evidences found for them."""

    def __init__(self, prior: SpectralPrior, spectra: Sequence[Spectra], search: LawSearch) -> None:
        self.prior, self.search = prior, search
        self.spectra = [held_fixed(prior, some) for some in spectra]
        self._known: dict[CalibrationLaw, float] = {}

    def evidence(self, law: CalibrationLaw) -> float:
        """Sum of the sets' mean log evidence; pixels that any law takes for spikes are left out from then on."""
        if law not in self._known:
            found = [log_evidence(self.prior, law, some) for some in self.spectra]
            if any(spoilt.any() for _, spoilt in found):
                pairs = zip(self.spectra, found, strict=True)
                self.spectra = [replace(some, ivar=np.where(spoilt, 0, some.ivar)) for some, (_, spoilt) in pairs]
                self._known.clear()
                return self.evidence(law)
            self._known[law] = float(sum(np.mean(evidence) for evidence, _ in found))
        return self._known[law]

    def value(self, steps: Mapping[str, int]) -> float:
        """Log evidence plus log prior of a law."""
        return self.evidence(self.search.law(steps)) + self.search.log_prior(steps)

    def typical(self) -> float:
        """Log evidence of the law of typical sizes."""
        return self.evidence(self.search.law(dict.fromkeys(self.search.sizes, 0)))


@dataclass(frozen=True)
class Learned:
    """The likeliest law of an instrument.

    Parameters
    ----------
    law : CalibrationLaw
        The law.
    spectra, sets : int
        Number of spectra that taught it, and of sets of them.
    gain : float
        By how much its log evidence exceeds that of the wide law: means over each set, summed over the sets.
    """

    law: CalibrationLaw
    spectra: int
    sets: int
    gain: float


def likeliest_law(
    prior: SpectralPrior, spectra: Sequence[Spectra], searches: Sequence[LawSearch], worth: float = 3.0
) -> Learned:
    """Find the law of largest evidence and prior, by steps in one part after the other.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    spectra : sequence of Spectra
        Bright spectra of one instrument. Those of a set share one calibration error, and count as one.
    searches : sequence of LawSearch
        Kinds of law, the cheapest first.
    worth : float
        Log evidence per set by which the typical law of a dearer kind must exceed that of a cheaper one.

    Returns
    -------
    Learned
        The likeliest.
    """
    chosen, *dearer = (_Teacher(prior, spectra, search) for search in searches)
    for teacher in dearer:
        if teacher.typical() > chosen.typical() + worth * len(spectra):
            chosen = teacher
    steps = dict.fromkeys(chosen.search.sizes, 0)
    for _ in range(chosen.search.cycles):
        before = dict(steps)
        for part in steps:
            steps = _climbed(chosen, steps, part)
        if steps == before:
            break
    law = chosen.search.law(steps)
    gain = chosen.evidence(law) - chosen.evidence(CalibrationLaw())
    return Learned(law, sum(map(len, spectra)), len(spectra), gain)


def _climbed(teacher: _Teacher, steps: dict[str, int], part: str) -> dict[str, int]:
    """Go uphill in one part as far as it goes."""
    while True:
        best = max(teacher.search.neighbours(steps, part), key=teacher.value)
        if teacher.value(best) <= teacher.value(steps):
            return steps
        steps = best
