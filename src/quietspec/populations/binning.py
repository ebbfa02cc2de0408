"""Adaptive binning of cubes to a S/N, and assigning the populations of bins to their spaxels.

The binning, usual before populations are fitted, is that of PowerBin (Cappellari 2025, MNRAS 544, 1432), the successor
of Voronoi binning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.errors import QuietspecError, SpectraError
from quietspec.populations.result import PopulationFlag, Populations
from quietspec.statistics import masked_median

if TYPE_CHECKING:
    import numpy.typing as npt

    from quietspec.arrays import FloatArray
    from quietspec.spectra import Spectra

__all__ = ["MANGA_COVARIANCE", "Binned", "bin_spectra", "bin_to_snr"]

MANGA_COVARIANCE = 1.62  #: value of `covariance` for MaNGA's 0.5″ spaxels (Law et al. 2016, AJ 152, 83)
_FEWEST_TO_TILE = 4  # spaxels; fewer cannot be triangulated
_LEAST_SHARE = 0.5  # fraction of a bin's light that must come from good pixels


@dataclass(frozen=True, eq=False)
class Binned:
    """Spectra summed over bins.

    Parameters
    ----------
    number : (n_spaxels,) of int
        Bin of each spaxel, counted from 0; −1 for those in no bin.
    spectra : Spectra
        The n_bins sums.
    """

    number: npt.NDArray[np.intp]
    spectra: Spectra

    @property
    def n_spaxels(self) -> npt.NDArray[np.intp]:
        """Number of spaxels in each bin, (n_bins,)."""
        return np.bincount(self.number[self.number >= 0], minlength=len(self.spectra))

    def on_spaxels(self, populations: Populations) -> Populations:
        """Give each spaxel the populations of its bin; those in no bin are flagged.

        Parameters
        ----------
        populations : Populations
            Populations of the n_bins bins.

        Returns
        -------
        Populations
            Populations of the n_spaxels spaxels; the `seconds` of a bin are divided among its spaxels.
        """
        outside, bins = self.number < 0, np.maximum(self.number, 0)
        spread = populations[bins]
        values: dict[str, Any] = {
            field: {name: np.where(outside, np.nan, array) for name, array in getattr(spread, field).items()}
            for field in ("values", "low", "high")
        }
        return replace(
            spread,
            flags=np.where(outside, int(PopulationFlag.NO_DATA), spread.flags),
            reasons=np.where(outside, "in no bin", spread.reasons),
            chi2=np.where(outside, np.nan, spread.chi2),
            seconds=np.where(outside, np.nan, spread.seconds / self.n_spaxels[bins]),
            **values,
        )


def bin_to_snr(spectra: Spectra, target: float, *, covariance: float = 0.0) -> npt.NDArray[np.intp]:
    """Group the spaxels of an image into bins of nearly equal S/N.

    Parameters
    ----------
    spectra : Spectra
        Spectra that form an image.
    target : float
        S/N of a bin: the sum of its spaxels' median fluxes over the noise of that sum, per pixel.
    covariance : float, optional
        The noise of a bin of N spaxels is 1 + `covariance` log10 N times that of independent spaxels
        (`MANGA_COVARIANCE`).

    Returns
    -------
    (n_spaxels,) of int
        Bin numbers from 0; −1 for spaxels without data or with a negative median flux.

    Raises
    ------
    SpectraError
        If the spectra form no image, or no spaxel has a signal.
    QuietspecError
        If PowerBin is not installed.
    """
    if spectra.spatial_shape is None:
        raise SpectraError("bin_to_snr: these spectra form no image, so none of them are neighbours.")
    signal, noise = _signal_and_noise(spectra)
    usable = np.flatnonzero((signal > 0) & np.isfinite(noise))
    if not usable.size:
        raise SpectraError("bin_to_snr: no spaxel has a positive median flux.")
    number = np.full(len(spectra), -1)
    y, x = np.divmod(usable, spectra.spatial_shape[1])
    law = _Law(signal[usable], noise[usable], covariance)
    number[usable] = _power_bins(np.stack([x, y], axis=1), law, target)
    return number


def bin_spectra(spectra: Spectra, number: npt.NDArray[np.integer[Any]], *, covariance: float = 0.0) -> Binned:
    """Sum spectra and their variances over bins.

    Parameters
    ----------
    spectra : Spectra
        Spectra of the spaxels.
    number : (n_spaxels,) of int
        Bin of each spaxel, numbered from 0 without gaps; −1 for none.
    covariance : float, optional
        As for `bin_to_snr`.

    Returns
    -------
    Binned
        Where some spaxels of a bin are masked in a pixel, the sum over the others is divided by their share of the
        bin's light; where that is less than half, the pixel is masked. Redshift and resolution are means over members.

    Raises
    ------
    SpectraError
        If there is no bin, or a bin has no spaxel.
    """
    from scipy import sparse

    number = np.asarray(number, dtype=np.intp)
    n_bins = int(number.max(initial=-1)) + 1
    members = np.flatnonzero(number >= 0)
    size = np.bincount(number[members], minlength=n_bins)
    if not n_bins or (size == 0).any():
        raise SpectraError("bin_spectra: bins must be numbered from 0 without gaps, and at least one is needed.")
    shape = n_bins, len(spectra)
    join = sparse.csr_array((np.ones(len(members)), (number[members], members)), shape=shape)
    good = spectra.good
    light = np.maximum(np.nan_to_num(_signal_and_noise(spectra)[0]), 0.0)
    light = np.where((join @ light > 0)[np.maximum(number, 0)], light, 1.0)  # dark bins: equal weights
    share = join @ (good * light[:, None]) / (join @ light)[:, None]
    fine = share >= _LEAST_SHARE
    flux = join @ np.where(good, spectra.flux, 0.0).astype(np.float64)
    variance = join @ np.divide(1.0, spectra.ivar, out=np.zeros(good.shape), where=good)
    variance *= (1 + covariance * np.log10(size))[:, None] ** 2
    scale = np.where(fine, share, 1.0)
    fwhm = spectra.fwhm
    summed = replace(
        spectra,
        flux=np.where(fine, flux / scale, 0.0),
        ivar=np.divide(scale**2, variance, out=np.zeros_like(variance), where=fine & (variance > 0)),
        redshift=(join @ spectra.redshift) / size,
        ebv=(join @ spectra.ebv) / size,
        fwhm=fwhm if fwhm is None or fwhm.ndim == 1 else (join @ fwhm) / size[:, None],
        spatial_shape=None,
        wcs=None,
    )
    return Binned(np.asarray(number, dtype=np.intp), summed)


def _signal_and_noise(spectra: Spectra) -> tuple[FloatArray, FloatArray]:
    """Return median flux and 1σ error over the good pixels of each spectrum, (n_spectra,); NaN where there are none."""
    good = spectra.good
    sigma = np.where(good, spectra.sigma, 0.0)
    return masked_median(np.where(good, spectra.flux, 0.0), good), masked_median(sigma, good)


@dataclass(frozen=True, eq=False)
class _Law:
    """How S/N adds up: signals add linearly, noise in quadrature and faster where it is correlated."""

    signal: FloatArray
    noise: FloatArray
    covariance: float

    def __call__(self, index: Any) -> float:
        """Return (S/N)² of a bin of these spaxels, which PowerBin calls its capacity."""
        index = np.atleast_1d(index)
        noise = np.sqrt(np.sum(self.noise[index] ** 2)) * (1 + self.covariance * np.log10(len(index)))
        return float((self.signal[index].sum() / noise) ** 2)


def _power_bins(places: npt.NDArray[np.integer[Any]], law: _Law, target: float) -> npt.NDArray[np.intp]:
    """Number bins from 0 without gaps: one bin if all spaxels together are too faint, none binned if each is bright."""
    n = len(places)
    single = np.array([law([spaxel]) for spaxel in range(n)])
    if np.all(single > target**2):
        return np.arange(n)
    if n < _FEWEST_TO_TILE or law(np.arange(n)) < target**2:
        return np.zeros(n, dtype=np.intp)
    if find_spec("powerbin") is None:
        raise QuietspecError("powerbin is not installed: pip install 'quietspec[populations]'.")
    from powerbin import PowerBin

    bins = PowerBin(places.astype(float), law, float(target) ** 2, pixelsize=1.0, verbose=0)
    return np.asarray(np.unique(bins.bin_num, return_inverse=True)[1], dtype=np.intp)
