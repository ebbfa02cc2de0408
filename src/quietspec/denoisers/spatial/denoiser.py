"""Denoise a cube as a whole: spaxels that know their galaxy and their neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised, ModelId
from quietspec.denoisers.base import Denoiser, initial_flags
from quietspec.denoisers.posterior.grid import Batch
from quietspec.denoisers.posterior.kinematic_denoiser import KinematicPosterior
from quietspec.denoisers.posterior.kinematic_fit import KinematicGrid
from quietspec.denoisers.posterior.results import Accumulator
from quietspec.denoisers.spatial.first_pass import FirstPass, Keeping, TilePass, masked
from quietspec.denoisers.spatial.gas import ScanningFit
from quietspec.denoisers.spatial.learning import Learning, Mapped, Tiles
from quietspec.errors import SpectraError
from quietspec.spectra import Spectra

__all__ = ["SpatialPosterior"]

_FEWEST = 20  # spaxels of a galaxy that can say anything of each other
_TILE = 512  # spaxels of a cube in memory that are taken at once


class SpatialPosterior(KinematicPosterior):
    """Posterior of the spaxels of one galaxy, each of which knows all others.

    A first pass is the usual posterior of each spaxel. The sum of the bright ones shows the calibration errors that all
    share. Of the rest, mean and covariance over the galaxy are learned, and a field on the sky; what these say of a
    spaxel without its own data joins its own data in a second pass. Spaxels that are unlike their galaxy keep to their
    own data. The data are read three times, and only what the passes need of each other is held in between.

    Parameters
    ----------
    name : str
        Name in tables.
    prior : SpectralPrior
        Of unbroadened spectra at rest (`SpectralPrior.at_rest`).
    calibration : CalibrationLaw, optional
        As for `KinematicPosterior`.
    emission, noise : str, optional
        As for `KinematicPosterior`.
    higher_moments : bool
        As for `KinematicPosterior`.

    Examples
    --------
    >>> import quietspec
    >>> from quietspec.denoisers import SpatialPosterior, load_prior
    >>> cube = quietspec.read(quietspec.demo_cube())[6:14, 6:14]
    >>> denoised = SpatialPosterior("posterior", load_prior("survey")).denoise(cube)
    >>> bool((denoised.n_spaxels >= 1).all())
    True
    """

    @property
    def model(self) -> ModelId:
        """The name, which says that spaxels were taken together, with the hash of the prior."""
        return ModelId(f"{self.name}, spatial", self.prior.hash)

    def learned(
        self, tiles: Tiles, redshift: FloatArray, shape: tuple[int, int] | None, mapped: Mapped = map
    ) -> Denoiser:
        """Learn a cube, tile by tile.

        Parameters
        ----------
        tiles : callable
            Reads the cube from its beginning, whole lines of the image at a time, each tile with its rows as
            ``meta["rows"]`` (`quietspec.io.SpectraSource.tiles`).
        redshift : (n_spaxels,)
            Redshifts.
        shape : (ny, nx)
            Of the image.
        mapped : callable, optional
            Applies a function to tiles and yields the results in order, as `map` does, possibly in other processes.

        Returns
        -------
        Denoiser
            Denoises the tiles of this cube; where few spaxels have data, each by itself.

        Raises
        ------
        SpectraError
            If there is no image.
        """
        if shape is None:
            raise SpectraError("denoise: these spectra form no image, and cannot know their neighbours: spatial=False.")
        first = FirstPass(redshift)
        with threadpool_limits(limits=1):
            for part in mapped(_Alone(self, first.usual), tiles()):
                first.add(part)
            if first.members[first.rows].sum() < _FEWEST:
                return self._single()
            return Learning(self, self._alone, first, tiles, shape, mapped)()

    def _denoise(self, spectra: Spectra) -> Denoised:
        whole = {name: value for name, value in spectra.meta.items() if name != "rows"}
        spectra = replace(spectra, meta=whole)
        return self.learned(lambda: _tiles(spectra), spectra.redshift, spectra.spatial_shape).denoise(spectra)

    def _single(self) -> KinematicPosterior:
        """Make the usual posterior."""
        return KinematicPosterior(
            self.name,
            self.prior,
            self.calibration,
            self.emission,
            self.noise,
            higher_moments=self.higher_moments,
            two_components=self.two_components,
        )

    def _alone(self, tile: Spectra) -> tuple[Denoised, Keeping]:
        """Denoise the spaxels of a tile each by itself, and keep what a second pass needs."""
        keeping = Keeping(tile, self._label_names)
        keeping.estimates.flags[:] = initial_flags(tile, rest_frame=True)
        self._denoise_rows(np.flatnonzero(keeping.estimates.flags == 0), keeping)
        return self._finish(keeping), keeping

    def _denoise_batch(self, rows: npt.NDArray[np.intp], batch: Batch[KinematicGrid], result: Accumulator) -> None:
        if not isinstance(result, Keeping):
            super()._denoise_batch(rows, batch, result)
            return
        fit = ScanningFit(batch, self.emission, self.noise, two_components=self.two_components)
        self.store(rows, batch, fit, result)
        result.keep(rows, batch, fit)


@dataclass(frozen=True, eq=False)
class _Alone:
    """The first pass over a tile of a galaxy of this redshift."""

    denoiser: SpatialPosterior
    redshift: float

    def __call__(self, tile: Spectra) -> TilePass:
        with threadpool_limits(limits=1):
            denoised, keeping = self.denoiser._alone(masked(tile))
        return TilePass.of(keeping, denoised, self.redshift)


def _tiles(spectra: Spectra) -> Iterator[Spectra]:
    """Take a cube in memory some spaxels at a time."""
    for start in range(0, len(spectra), _TILE):
        rows = slice(start, min(start + _TILE, len(spectra)))
        tile = spectra[rows]
        yield replace(tile, meta={**tile.meta, "rows": rows})
