"""Sums over the spaxels of an open file, which is read twice, part by part: once to plan the sums, once to sum."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.binning.of_denoised import Correlation
from quietspec.binning.power import bin_image
from quietspec.binning.regions import read_apertures
from quietspec.binning.spikes import NO_SPIKES, Spikes, SpikeSearch
from quietspec.binning.sums import signal_and_noise, sum_rows
from quietspec.binning.weights import Weights, label_weights
from quietspec.denoisers import Denoiser
from quietspec.errors import ReadError, SpectraError
from quietspec.io import SpectraSource
from quietspec.noise import NoiseCorrelation, best_patch, measure_correlation
from quietspec.spectra import Spectra

__all__ = ["Binning", "SumPlan", "plan_sums"]

_AT_ONCE = 512  # sums that are held at once


@dataclass(frozen=True, kw_only=True)
class Binning:
    """Which spaxels are summed before anything is measured: bins of a S/N, or apertures.

    Parameters
    ----------
    snr : float, optional
        S/N per pixel of bins.
    apertures : tuple of path
        Files of regions, of which each makes one sum.
    correlation : NoiseCorrelation or 'measured'
        Correlation of the noise between spaxels.
    clean : bool
        Whether to leave out cosmic rays of single spaxels that no mask marks (`quietspec.binning.find_spikes`).

    Raises
    ------
    SpectraError
        If neither is given or both are, or the S/N is not positive.

    Examples
    --------
    >>> Binning(snr=20).correlation
    'measured'
    """

    snr: float | None = None
    apertures: tuple[str | PathLike[str], ...] = ()
    correlation: Correlation = "measured"
    clean: bool = True

    def __post_init__(self) -> None:
        if (self.snr is None) == (not self.apertures):
            raise SpectraError("Binning: give the S/N of bins, or apertures, and not both.")
        if self.snr is not None and not self.snr > 0:
            raise SpectraError(f"Binning: a S/N of {self.snr:g}; it must be above 0.")


@dataclass(frozen=True, eq=False)
class SumPlan:
    """What is to be summed.

    Parameters
    ----------
    weights : (n_sums, n_spaxels) sparse array
        How much of each spaxel belongs to each sum.
    correlation : NoiseCorrelation
        Correlation of the noise between spaxels.
    light : (n_spaxels,)
        Median flux of each spaxel, NaN where there are no data.
    name : str
        What the sums are, for headers.
    names : tuple of str
        Names of apertures; empty for bins.
    number : (n_spaxels,) of int, optional
        Bin of each spaxel, −1 for none; not given for apertures, which may overlap.
    target : float, optional
        S/N of the bins that was asked for.
    spikes : Spikes
        Pixels that are left out of the sums.
    """

    weights: Weights
    correlation: NoiseCorrelation
    light: FloatArray
    name: str
    names: tuple[str, ...] = ()
    number: npt.NDArray[np.intp] | None = None
    target: float | None = None
    spikes: Spikes = NO_SPIKES

    def __len__(self) -> int:
        return int(self.weights.shape[0])

    @property
    def n_spaxels(self) -> FloatArray:
        """Size of each sum in spaxels, fractions counted as such, (n_sums,)."""
        return np.asarray(self.weights.sum(axis=1))

    @property
    def n_spikes(self) -> npt.NDArray[np.intp]:
        """Number of pixels left out of each sum, those of all its spaxels together, (n_sums,)."""
        return self.spikes.counts(self.weights)

    def tiles(self, source: SpectraSource) -> Iterator[Spectra]:
        """Read the spaxels and sum them.

        Parameters
        ----------
        source : SpectraSource
            The file that was planned for.

        Yields
        ------
        Spectra
            Some hundreds of sums, in order; ``meta["rows"]`` is the slice of all sums that they are.
        """
        for start in range(0, len(self), _AT_ONCE):
            rows = slice(start, min(start + _AT_ONCE, len(self)))
            spectra = sum_rows(
                source.read, self.weights[rows], self.light, self.correlation, source.spatial_shape, self.spikes
            )
            yield replace(spectra, meta={**source.meta, "rows": rows})


def plan_sums(
    source: SpectraSource, binning: Binning, denoiser: Denoiser, see: Callable[[Spectra], None] | None = None
) -> SumPlan:
    """Read a cube once, and decide which spaxels are summed.

    Parameters
    ----------
    source : SpectraSource
        An open cube.
    binning : Binning
        What is asked for.
    denoiser : Denoiser
        What denoises the patch of the cube on which the correlation is measured, if it is not given.
    see : callable, optional
        Called with the spaxels, tile by tile, as they are read.

    Returns
    -------
    SumPlan
        The plan.

    Raises
    ------
    ReadError
        If the spectra form no image, or the correlation of their noise cannot be measured.
    SpectraError
        If an aperture is not on the image, or no spaxel has a signal.

    Examples
    --------
    >>> import quietspec
    >>> with quietspec.open_spectra(quietspec.demo_cube()) as source:
    ...     binning = Binning(snr=40, correlation=NoiseCorrelation())
    ...     plan = plan_sums(source, binning, quietspec.load_denoiser("posterior"))
    ...     sums = list(plan.tiles(source))
    >>> plan.name, bool(abs(np.median(sums[0].snr) / 40 - 1) < 0.2)
    ('bins of S/N 40', True)
    """
    where = ", ".join(map(str, source.paths))
    shape = source.spatial_shape
    if shape is None:
        raise ReadError(f"{where}: its spectra form no image, so that they can be neither binned nor put in apertures.")
    apertures = read_apertures(binning.apertures, shape, source.wcs) if binning.apertures else None
    search = SpikeSearch(shape) if binning.clean else None
    signal, noise = _signal_and_noise(source, search, see)
    correlation = (
        _measured(source, (signal / noise).reshape(shape), denoiser)
        if binning.correlation == "measured"
        else binning.correlation
    )
    spikes = NO_SPIKES if search is None else search.result()
    shared: dict[str, Any] = {"correlation": correlation, "light": signal, "spikes": spikes}
    if apertures is not None:
        return SumPlan(weights=apertures.weights, name="apertures", names=apertures.names, **shared)
    number = bin_image(signal, noise, shape, binning.snr or 0.0, correlation)
    weights = label_weights(number, source.n_spectra)
    return SumPlan(weights=weights, name=f"bins of S/N {binning.snr:g}", number=number, target=binning.snr, **shared)


def _signal_and_noise(
    source: SpectraSource, search: SpikeSearch | None, see: Callable[[Spectra], None] | None
) -> tuple[FloatArray, FloatArray]:
    """Median flux and error of each spaxel, from a first reading, in which spikes are looked for."""
    found = []
    for tile in source.tiles():
        found.append(signal_and_noise(tile))
        if search is not None:
            search.add(tile)
        if see is not None:
            see(tile)
    signal, noise = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return signal, noise


def _measured(source: SpectraSource, snr: FloatArray, denoiser: Denoiser) -> NoiseCorrelation:
    """Correlation of the noise, from a patch that is read and denoised."""
    patch = best_patch(snr)
    rows = np.arange(source.n_spectra).reshape(snr.shape)[patch]
    spectra = replace(source.read(rows.ravel()), spatial_shape=rows.shape)
    try:
        return measure_correlation(denoiser.denoise(spectra)).correlation
    except SpectraError as error:
        raise ReadError(
            f"{', '.join(map(str, source.paths))}: the correlation of the noise between spaxels cannot be measured "
            f"({error}) On the command line: --noise-correlation none, manga, or the FWHM of the drizzling kernel."
        ) from error
