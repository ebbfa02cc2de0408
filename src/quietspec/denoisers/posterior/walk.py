"""What all denoisers that rest on a prior share: the walk over redshifts, resolutions and batches of spectra."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from threading import Lock
from typing import ClassVar, Generic, Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised, Flag, ModelId
from quietspec.denoisers.base import Emission, flag_few_pixels, initial_flags
from quietspec.denoisers.outliers import without_gross_outliers
from quietspec.denoisers.posterior.grid import Batch, Grid, GridT
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.denoisers.posterior.results import Accumulator
from quietspec.errors import ModelError
from quietspec.spectra import Spectra

__all__ = ["Noise", "PriorDenoiser", "halved"]

Noise = Literal["measured", "quoted"]
Found = TypeVar("Found")

_GRIDS = 2  # pixel grids kept prepared, of some 50 to 100 MB each
_HIGHEST_SNR = 1e12  # per pixel, above which single precision overflows


class PriorDenoiser(ABC, Generic[GridT]):
    """A denoiser that rests on a prior and works on the spectra's own pixels.

    Parameters
    ----------
    name : str
        Name in tables.
    prior : SpectralPrior
        The prior.
    emission : {'auto', 'strong', 'none', 'fit'}, optional
        How gas emission lines are treated; as the model's card says by default, else 'auto'.
    noise : {'measured', 'quoted'}, optional
        Whether errors are rescaled by what a first fit leaves; as the model's card says by default, else 'measured'.
    """

    _together: ClassVar[int]  # spectra that are held in memory at once
    _label_names: tuple[str, ...]

    def __init__(
        self, name: str, prior: SpectralPrior, emission: Emission | None = None, noise: Noise | None = None
    ) -> None:
        self.name = name
        self.prior = prior
        self.emission: Emission = emission or prior.card.get("emission", "auto")
        self.noise: Noise = noise or prior.card.get("noise", "measured")
        for option, value, known in (("emission", self.emission, Emission), ("noise", self.noise, Noise)):
            if value not in get_args(known):
                raise ModelError(f"{name}: {option} {value!r}; give {', '.join(get_args(known))}.")
        self._label_names = prior.label_names
        self._grids: dict[tuple[object, ...], GridT | None] = {}
        self._making_grid = Lock()

    def __getstate__(self) -> dict[str, object]:
        """State that is sent to other processes, where grids are prepared again."""
        return {name: value for name, value in self.__dict__.items() if name != "_making_grid"} | {"_grids": {}}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._making_grid = Lock()

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels in results."""
        return self._label_names

    @property
    def model(self) -> ModelId:
        """The name, with the hash of the prior."""
        return ModelId(self.name, self.prior.hash)

    def denoise(self, spectra: Spectra) -> Denoised:
        """Estimate the noise-free flux and its error on the pixels of `spectra`.

        Parameters
        ----------
        spectra : Spectra
            With redshifts.

        Returns
        -------
        Denoised
            NaN outside the model's wavelengths. Emission lines and spikes are left out of the fit (`ignored`) and
            appear in `Denoised.residual`.
        """
        return without_gross_outliers(spectra, self._denoise)

    def _denoise(self, spectra: Spectra) -> Denoised:
        result = Accumulator(spectra, self._label_names)
        result.estimates.flags[:] = initial_flags(spectra, rest_frame=True)
        self._denoise_rows(np.flatnonzero(result.estimates.flags == 0), result)
        return self._finish(result)

    def _finish(self, result: Accumulator) -> Denoised:
        """Make the result; a denoiser that can tell what is not a galaxy does so here."""
        return result.finish(self.model)

    def _denoise_rows(self, rows: npt.NDArray[np.intp], result: Accumulator) -> None:
        """Denoise some of the spectra, each at its redshift."""
        for redshift, group in result.spectra.by_redshift(rows):
            for alike in result.spectra.by_resolution(group):
                self._denoise_alike(alike, redshift, result)

    def _denoise_alike(self, rows: npt.NDArray[np.intp], redshift: float, result: Accumulator) -> None:
        """Denoise spectra of one redshift and one resolution."""
        spectra, flags = result.spectra, result.estimates.flags
        grid = self.grid(spectra, redshift, int(rows[0]))
        if grid is None:
            flags[rows] |= int(Flag.OUT_OF_RANGE)
            return
        rows = rows[flag_few_pixels(flags, rows, spectra.good[rows, grid.pixels].sum(axis=1))]
        too_bright = _highest_snr(spectra, rows, grid) > _HIGHEST_SNR
        flags[rows[too_bright]] |= int(Flag.UNDETERMINED)
        rows = rows[~too_bright]
        for start in range(0, len(rows), self._together):
            self._denoise_batches(rows[start : start + self._together], grid, result)

    def _denoise_batches(self, rows: npt.NDArray[np.intp], grid: GridT, result: Accumulator) -> None:
        """Denoise spectra together; where the algebra breaks down on one of them, find and flag it."""

        def denoise(part: slice) -> None:
            self._denoise_batch(rows[part], self.batch(result.spectra, rows[part], grid), result)

        def flag(part: slice) -> None:
            result.estimates.flags[rows[part]] |= int(Flag.UNDETERMINED)

        halved(denoise, flag, slice(0, len(rows)))

    def batch(self, spectra: Spectra, rows: npt.NDArray[np.intp], grid: GridT) -> Batch[GridT]:
        """Take some of the spectra, as they are fitted."""
        return Batch.of(spectra, rows, grid)

    def grid(self, spectra: Spectra, redshift: float, row: int) -> GridT | None:
        """Pixels of a spectrum that the model covers, None if there are none; kept for the next tile."""
        fwhm = None if spectra.fwhm is None else np.atleast_2d(spectra.fwhm)[0 if spectra.fwhm.ndim == 1 else row]
        key = (spectra.wavelength.tobytes(), spectra.medium, redshift, None if fwhm is None else fwhm.tobytes())
        with self._making_grid:
            if key not in self._grids:
                while len(self._grids) >= _GRIDS:
                    self._grids.pop(next(iter(self._grids)))
                self._grids[key] = self._new_grid(spectra, redshift, None if fwhm is None else fwhm / (1 + redshift))
            return self._grids[key]

    @abstractmethod
    def _new_grid(self, spectra: Spectra, redshift: float, fwhm: FloatArray | None) -> GridT | None:
        """Prepare the model on the pixels of a redshift and a rest-frame resolution; None if it covers none."""

    @abstractmethod
    def _denoise_batch(self, rows: npt.NDArray[np.intp], batch: Batch[GridT], result: Accumulator) -> None:
        """Denoise spectra of one grid and put what is found into `result`."""


def halved(compute: Callable[[slice], Found], otherwise: Callable[[slice], Found], part: slice) -> list[Found]:
    """Compute something of the spectra of a batch together; where the algebra breaks down, of ever smaller halves.

    Parameters
    ----------
    compute : callable
        Takes which spectra of the batch they are.
    otherwise : callable
        Takes in its place each spectrum on which the algebra breaks down even alone.
    part : slice
        Spectra of the batch, at least one, by first and end.

    Returns
    -------
    list
        What was computed, in the order of the spectra.

    Examples
    --------
    >>> import numpy as np
    >>> matrices = np.array([4.0, 9.0, -1.0]).reshape(3, 1, 1)
    >>> found = halved(lambda part: np.linalg.cholesky(matrices[part]), lambda part: abs(matrices[part]), slice(0, 3))
    >>> np.concatenate(found).ravel().tolist()
    [2.0, 3.0, 1.0]
    """
    try:
        return [compute(part)]
    except np.linalg.LinAlgError:
        if part.stop - part.start == 1:
            return [otherwise(part)]
        middle = (part.start + part.stop + 1) // 2
        halves = slice(part.start, middle), slice(middle, part.stop)
        return [one for half in halves for one in halved(compute, otherwise, half)]


def _highest_snr(spectra: Spectra, rows: npt.NDArray[np.intp], grid: Grid) -> FloatArray:
    """Largest |flux| / σ of any good pixel on the grid, (n_rows,)."""
    ivar = spectra.ivar[rows, grid.pixels]
    size = np.abs(np.where(ivar > 0, spectra.flux[rows, grid.pixels], 0))
    return np.asarray((size * np.sqrt(ivar)).max(axis=1, initial=0))
