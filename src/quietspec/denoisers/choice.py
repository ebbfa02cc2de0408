"""A posterior that chooses among models by how much of each spectrum they cover."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised, Flag, ModelId
from quietspec.denoisers.base import Denoiser, require_spectra
from quietspec.denoisers.posterior import KinematicPosterior
from quietspec.kinds import Medium
from quietspec.spectra import Spectra
from quietspec.wavelengths import rest_air

__all__ = ["ByCoverage"]

_LEFT_OUT = 0.2  # share of the pixels that the first model may leave out before another is looked at
_UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class ByCoverage:
    """The first of several models, or for spectra that it leaves out too much of the one that covers most.

    Another model is taken where the first leaves out more than a fifth of the pixels at a spectrum's redshift, good or
    bad, and the other leaves out fewer; so all spectra of one redshift have one model, whatever is masked. Spectra
    denoised by another than the first are flagged `Flag.ULTRAVIOLET`.

    Parameters
    ----------
    name : str
        Name in tables.
    makers : mapping of str to callable
        Makes the denoiser of each model, by the model's name; the first is preferred. The others are made only when
        they are needed.

    Examples
    --------
    >>> import numpy as np
    >>> from quietspec.denoisers import load_denoiser
    >>> denoiser = load_denoiser("posterior")
    >>> near = denoiser.settled(np.linspace(3600.0, 9800.0, 5000), np.array([0.05]), "vacuum")
    >>> print(near.model)
    posterior f6476c755dd308f1
    >>> far = denoiser.settled(np.linspace(3600.0, 9800.0, 5000), np.array([0.9]), "vacuum")
    >>> far.model == load_denoiser("posterior", "ultraviolet").model
    True
    """

    name: str
    makers: Mapping[str, Callable[[], KinematicPosterior]]
    _made: dict[str, KinematicPosterior] = field(default_factory=dict, repr=False)

    @property
    def model(self) -> ModelId:
        """All models that may be chosen; a result names those that were."""
        return _ids(self.name, [(name, self._of(name)) for name in self.makers])

    def denoise(self, spectra: Spectra) -> Denoised:
        """Estimate the noise-free flux and its error on the pixels of `spectra`, each by its model."""
        spectra = require_spectra(spectra)
        return self.settled(spectra.wavelength, spectra.redshift, spectra.medium).denoise(spectra)

    def settled(self, wavelength: FloatArray, redshift: FloatArray, medium: Medium) -> Denoiser:
        """Choose for all spectra of a set, of which parts may then be denoised one by one.

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
            One whose results all name the models used for the set.
        """
        choices = {float(z): self._choice(wavelength, float(z), medium) for z in np.unique(redshift[redshift > -1])}
        used = [name for name in self.makers if name in choices.values()]
        first = next(iter(self.makers))
        if used in ([], [first]):
            return self._of(first)
        return _Chosen(self.name, [(name, self._of(name)) for name in used], choices, first)

    def _choice(self, wavelength: FloatArray, redshift: float, medium: Medium) -> str:
        rest = rest_air(wavelength, redshift, medium)
        first, *others = self.makers
        covered = {first: self._of(first).covers(rest).mean()}
        if covered[first] < 1 - _LEFT_OUT:
            covered |= {name: self._of(name).covers(rest).mean() for name in others}
        return max(covered, key=lambda name: covered[name])  # the first of equals

    def _of(self, name: str) -> KinematicPosterior:
        if name not in self._made:
            self._made[name] = self.makers[name]()
        return self._made[name]


@dataclass(frozen=True, eq=False)
class _Chosen:
    """The models chosen for a set of spectra, by redshift.

    Parameters
    ----------
    name : str
        Name in tables.
    models : list of (str, KinematicPosterior)
        Those that are used.
    choices : mapping of float to str
        Name of the model, by redshift.
    first : str
        Name of the one that is usual, and not flagged.
    """

    name: str
    models: list[tuple[str, KinematicPosterior]]
    choices: Mapping[float, str]
    first: str

    @property
    def model(self) -> ModelId:
        """That of the only model, or the names of all."""
        return _ids(self.name, self.models)

    def denoise(self, spectra: Spectra) -> Denoised:
        """Estimate the noise-free flux and its error on the pixels of `spectra`, each by its model."""
        numbers = {name: number for number, (name, _) in enumerate(self.models)}
        known = [numbers.get(self.choices.get(float(z), ""), _UNKNOWN) for z in spectra.redshift]
        rows = _rows_by_number(np.array(known, dtype=int), len(self.models))
        parts = [(*model, which) for model, which in zip(self.models, rows, strict=True) if which.size]
        if not parts:
            parts = [(*self.models[0], np.arange(len(spectra)))]
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


def _ids(name: str, models: list[tuple[str, KinematicPosterior]]) -> ModelId:
    if len(models) == 1:
        return models[0][1].model
    return ModelId(f"{name}: {', '.join(f'{one} {denoiser.model.short_hash}' for one, denoiser in models)}")
