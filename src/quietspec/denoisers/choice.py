"""A posterior that chooses among models by how much of each spectrum they cover."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised, Flag, ModelId
from quietspec.denoisers.base import Denoiser, require_spectra
from quietspec.denoisers.posterior import KinematicPosterior
from quietspec.denoisers.shipped import model_card
from quietspec.kinds import Medium
from quietspec.spectra import Spectra
from quietspec.wavelengths import rest_air

__all__ = ["ByCoverage", "Chosen"]

_LEFT_OUT = 0.1  # share of the pixels that the first model may leave out before another is looked at
_UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class ByCoverage:
    """The first of several models, or for spectra that it leaves out too much of the one that covers most.

    Another model is taken where the first leaves out more than a tenth of the pixels at a spectrum's redshift, good or
    bad, and the other leaves out fewer; so all spectra of one redshift have one model, whatever is masked. Spectra
    denoised by another than the first are flagged `Flag.ULTRAVIOLET`.

    Parameters
    ----------
    name : str
        Name in tables.
    makers : mapping of str to callable
        Makes the denoiser of each model, by the name of the model, which ships; the first is preferred. The others are
        made only when they are needed.

    Examples
    --------
    >>> import numpy as np
    >>> from quietspec.denoisers import load_denoiser
    >>> denoiser = load_denoiser("posterior")
    >>> near = denoiser.settled(np.linspace(3600.0, 9800.0, 5000), np.array([0.05]), "vacuum")
    >>> print(near.model)
    posterior 427cf81c89d9607a
    >>> far = denoiser.settled(np.linspace(3600.0, 9800.0, 5000), np.array([0.9]), "vacuum")
    >>> far.model == load_denoiser("posterior", "ultraviolet").model
    True
    >>> far.explanation
    '1 of 1 spectra by the model ultraviolet, which covers 93 % of the pixels at their redshifts; survey covers 52 %'
    """

    name: str
    makers: Mapping[str, Callable[[], KinematicPosterior]]
    _made: dict[str, KinematicPosterior] = field(default_factory=dict, repr=False)

    @property
    def model(self) -> ModelId:
        """All models that may be chosen, none of which is loaded for this; a result names those that were."""
        return _several(self.name, {name: str(model_card(name)["hash"]) for name in self.makers})

    def denoise(self, spectra: Spectra) -> Denoised:
        """Estimate the noise-free flux and its error on the pixels of `spectra`, each by its model."""
        spectra = require_spectra(spectra)
        return self.settled(spectra.wavelength, spectra.redshift, spectra.medium).denoise(spectra)

    def settled(self, wavelength: FloatArray, redshift: FloatArray, medium: Medium) -> Denoiser:
        """Choose for all spectra of a set, parts of which may then be denoised one by one.

        Parameters
        ----------
        wavelength : (n_pixels,)
            Observed wavelengths, Å.
        redshift : (n_spectra,)
            Redshifts; those that are NaN do not count.
        medium : {'air', 'vacuum'}
            What the wavelengths are measured in.

        Returns
        -------
        Denoiser
            The first model alone, or a `Chosen`. All its results name the models used for the set.
        """
        known, counts = np.unique(redshift[redshift > -1], return_counts=True)
        covered = [self._covered(wavelength, float(z), medium) for z in known]
        chosen = [max(shares, key=lambda name: shares[name]) for shares in covered]  # the first of equals
        first = next(iter(self.makers))
        if set(chosen) <= {first}:
            return self._of(first)
        models = {name: self._of(name) for name in self.makers if name in chosen}
        explanation = _explanation(first, chosen, covered, counts)
        return Chosen(self.name, models, dict(zip(known.tolist(), chosen, strict=True)), first, explanation)

    def _covered(self, wavelength: FloatArray, redshift: float, medium: Medium) -> dict[str, float]:
        """Share of the pixels that each model covers; that of the first alone where it covers enough."""
        rest = rest_air(wavelength, redshift, medium)
        first, *others = self.makers
        shares = {first: float(self._of(first).covers(rest).mean())}
        if shares[first] < 1 - _LEFT_OUT:
            shares |= {name: float(self._of(name).covers(rest).mean()) for name in others}
        return shares

    def _of(self, name: str) -> KinematicPosterior:
        if name not in self._made:
            self._made[name] = self.makers[name]()
        return self._made[name]


@dataclass(frozen=True, eq=False)
class Chosen:
    """The models that `ByCoverage` chose for a set of spectra, by redshift.

    Parameters
    ----------
    name : str
        Name in tables.
    models : mapping of str to KinematicPosterior
        Those that are used, by name.
    choices : mapping of float to str
        Name of the model, by redshift.
    first : str
        Name of the usual one, whose spectra are not flagged.
    explanation : str
        How many spectra have another than the usual model, and why.

    Examples
    --------
    >>> import numpy as np
    >>> from quietspec.denoisers import load_denoiser
    >>> chosen = load_denoiser("posterior").settled(np.linspace(3600.0, 9800.0, 900), np.array([0.05, 0.9]), "air")
    >>> list(chosen.models), chosen.choices[0.9]
    (['survey', 'ultraviolet'], 'ultraviolet')
    """

    name: str
    models: Mapping[str, KinematicPosterior]
    choices: Mapping[float, str]
    first: str
    explanation: str

    @property
    def model(self) -> ModelId:
        """That of the only model, or the names of all."""
        ids = [denoiser.model for denoiser in self.models.values()]
        named = {name: str(denoiser.model.hash) for name, denoiser in self.models.items()}
        return ids[0] if len(ids) == 1 else _several(self.name, named)

    def denoise(self, spectra: Spectra) -> Denoised:
        """Estimate the noise-free flux and its error on the pixels of `spectra`, each by its model."""
        numbers = {name: number for number, name in enumerate(self.models)}
        known = [numbers.get(self.choices.get(float(z), ""), _UNKNOWN) for z in spectra.redshift]
        rows = _rows_by_number(np.array(known, dtype=int), len(self.models))
        parts = [(*model, which) for model, which in zip(self.models.items(), rows, strict=True) if which.size]
        if not parts:
            parts = [(*next(iter(self.models.items())), np.arange(len(spectra)))]
        order = np.concatenate([which for _, _, which in parts])
        denoised = [self._flagged(name, model.denoise(spectra[which])) for name, model, which in parts]
        joined = Denoised.stack(denoised, spectra[order])[np.argsort(order)]
        return replace(joined, spectra=spectra, model=self.model)

    def _flagged(self, name: str, denoised: Denoised) -> Denoised:
        if name == self.first:
            return denoised
        return replace(denoised, flags=denoised.flags | int(Flag.ULTRAVIOLET))


def _rows_by_number(numbers: npt.NDArray[np.int_], n: int) -> list[npt.NDArray[np.intp]]:
    """Rows of each number; those of unknown number, which have no redshift, go with the most frequent."""
    counts = np.bincount(numbers[numbers != _UNKNOWN], minlength=n)
    numbers = np.where(numbers == _UNKNOWN, counts.argmax(), numbers)
    return [np.flatnonzero(numbers == number) for number in range(n)]


def _explanation(
    first: str, chosen: Sequence[str], covered: Sequence[Mapping[str, float]], counts: npt.NDArray[np.intp]
) -> str:
    """Say how many spectra have another than the first model, and why; coverages are means over these."""
    parts = []
    for name in dict.fromkeys(one for one in chosen if one != first):
        which = [number for number, one in enumerate(chosen) if one == name]
        own, other = (np.average([covered[n][one] for n in which], weights=counts[which]) for one in (name, first))
        parts.append(
            f"{counts[which].sum()} of {counts.sum()} spectra by the model {name}, which covers {100 * own:.0f} % of "
            f"the pixels at their redshifts; {first} covers {100 * other:.0f} %"
        )
    return ". ".join(parts)


def _several(name: str, hashes: Mapping[str, str]) -> ModelId:
    return ModelId(f"{name}: {', '.join(f'{one} {ModelId(one, found).short_hash}' for one, found in hashes.items())}")
