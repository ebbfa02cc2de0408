"""Repeated observations of galaxies by SAMI, SDSS and MUSE as noisy halves and their targets.

SAMI   galaxy 56140, cubes B and D of disjoint exposures, binned in sectors. Each bin of one cube is a noisy half; its
       target is the mean of the other cube over the same spaxels by WCS. Calibration: four Legendre terms per arm.
SDSS   single exposures of NGC 3522 and NGC 3073; the target is the inverse-variance mean of the others of the same
       arm, resampled to the exposure's pixels. Calibration: four terms.
MUSE   the brightest galaxy of Abell 478. Each spaxel of a lattice is a noisy half; its target is the mean of the ring
       of 24 spaxels three away, whose noise drizzling has not correlated with that of the spaxel nor with that of the
       3 × 3 block about it (the mean of that block is the estimate "binning 9"). Calibration: one factor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from scipy.ndimage import uniform_filter1d

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised
from quietspec.denoisers import Denoiser
from quietspec.io import read
from quietspec.lab.evaluation.repeats import calibrated
from quietspec.lab.evaluation.studies.halves import CLIP, Halves, as_denoised, make_halves, ring_halves, with_noise
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra
from quietspec.lab.streams import stream
from quietspec.resampling import Resampler
from quietspec.spectra import Spectra

__all__ = [
    "SAMI_SNR", "RepeatSettings", "SamiCube", "muse_halves", "overlaps", "own_pixels", "sami_cubes", "sami_halves",
    "sami_pair", "sdss_halves", "spatial_correlation",
]  # fmt: skip

SAMI_SNR = 1  #: least S/N of a SAMI bin
_BINNINGS = {"binning 5": 1, "binning 9": 2}  # largest squared distance of the spaxels averaged
_ADDED = (5.0, 10.0)  # S/N to which noisy halves are degraded as well
_BRIGHT = 20.0  # S/N above which SAMI's halves are degraded
_FEWEST_SPAXELS, _LEAST_COVER = 4, 0.8  # of a SAMI bin that counts: spaxels, and the share the other cube covers
_LAGS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (0, 3), (3, 3), (0, 6))  # spaxels

Fit = Callable[[Spectra], Denoised]
Pair = tuple[str, str]


@dataclass(frozen=True)
class RepeatSettings:
    """Which repeats are made.

    Parameters
    ----------
    realisations : int
        Draws of the added noise.
    step : int
        Step of the lattice of MUSE spaxels.
    seed : int
        Seed of the added noise.
    """

    realisations: int = 2
    step: int = 2
    seed: int = 0

    def draws(self, key: tuple[int, ...]) -> Iterator[tuple[float, np.random.Generator]]:
        """S/N and random stream of each realisation of added noise."""
        for snr in _ADDED:
            for realisation in range(self.realisations):
                yield snr, stream("repeats: added noise", self.seed, *key, round(snr), realisation)


def sami_halves(
    real: RealSpectra,
    settings: RepeatSettings,
    fit: Fit,
    pairs: Sequence[Pair] = (("B", "D"), ("D", "B")),
    name: str = "SAMI",
) -> Iterator[Halves]:
    """Pair bins of SAMI cube B with cube D, and the other way round.

    Parameters
    ----------
    real : RealSpectra
        Where the cubes are.
    settings : RepeatSettings
        How noise is added.
    fit : callable
        Denoises spectra, to find gas and spikes.
    pairs : sequence of (str, str)
        Letters of the cubes that are paired, the noisy one first.
    name : str
        Data set that the pairs belong to.

    Yields
    ------
    Halves
        Pairs as observed, and with noise added to the brighter noisy halves.
    """
    cubes = sami_cubes(real, "".join(sorted({cube for pair in pairs for cube in pair})))
    if cubes is None:
        return
    for one, other in pairs:
        noisy, repeat = sami_pair(cubes[one], cubes[other])
        bright = np.flatnonzero(np.nan_to_num(noisy.snr) > SAMI_SNR)
        noisy = noisy[bright]
        halves = make_halves(name, noisy, repeat[bright], fit(noisy), 4)
        yield halves
        for snr, rng in settings.draws((1, ord(one))):
            yield with_noise(halves, np.flatnonzero(noisy.snr > _BRIGHT), f"{name} + noise", snr, rng)


SamiCube = tuple[Spectra, npt.NDArray[np.int64]]  # spectra, and the number of each spaxel's bin


def sami_cubes(real: RealSpectra, cubes: str = "BD") -> dict[str, SamiCube] | None:
    """Read cubes of SAMI 56140.

    Parameters
    ----------
    real : RealSpectra
        Where the cubes are.
    cubes : str
        Their letters. B and D share a plate, C was made with another.

    Returns
    -------
    dict of str to tuple, or None
        By cube: its spectra, and the number of each spaxel's bin. None if a cube is missing.
    """
    files = {cube: real.sami_files(f"56140_{cube}") for cube in cubes}
    found = {
        cube: (read(*paths), fits.getdata(paths[0], "BIN_MASK").ravel())
        for cube, paths in files.items()
        if paths is not None
    }
    return found if len(found) == len(files) else None


def sami_pair(own: SamiCube, other: SamiCube) -> tuple[Spectra, Spectra]:
    """Pair each bin of a SAMI cube with the same spaxels of another cube.

    Parameters
    ----------
    own, other : tuple
        Cubes, as `sami_cubes` reads them.

    Returns
    -------
    noisy, repeat : Spectra
        One spectrum per bin of the first cube, and the mean of the other cube over its spaxels.
    """
    rows, members, shares = overlaps(own[1], other[1])
    return own[0][rows], _average(other[0], members, shares)


def overlaps(
    own: npt.NDArray[np.int64], others: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], FloatArray]:
    """Find the spaxels of another cube that each bin of a cube covers.

    Parameters
    ----------
    own, others : (n_spaxels,) of int
        Numbers of the spaxels' bins in both cubes, 0 outside.

    Returns
    -------
    rows : (n_bins,) of int
        A spaxel of each bin that the other cube covers.
    members : (n_bins, n) of int
        Spaxels of the other cube, one of each of its bins.
    shares : (n_bins, n)
        Shares of these in the overlap; 0 where there are fewer.
    """
    # Both cubes have one WCS, so that the same spaxel is the same place on the sky.
    rows, tables = [], []
    for number in np.unique(own[own > 0]):
        inside = np.flatnonzero(own == number)
        touched = others[inside][others[inside] > 0]
        if len(inside) >= _FEWEST_SPAXELS and len(touched) >= _LEAST_COVER * len(inside):
            kinds, count = np.unique(touched, return_counts=True)
            rows.append(inside[0])
            tables.append((np.array([np.flatnonzero(others == kind)[0] for kind in kinds]), count / count.sum()))
    members = np.zeros((len(rows), max(len(share) for _, share in tables)), dtype=int)
    shares = np.zeros(members.shape)
    for row, (member, share) in enumerate(tables):
        members[row], members[row, : len(member)], shares[row, : len(share)] = member[0], member, share
    return np.array(rows), members, shares


def _average(spectra: Spectra, members: npt.NDArray[np.intp], shares: FloatArray) -> Spectra:
    """Weighted means of spectra (n, m) with shares that sum to 1; good where all members are."""
    good = (spectra.good[members] | (shares[:, :, None] == 0)).all(axis=1)
    flux = np.einsum("nmp,nm->np", np.where(spectra.good, spectra.flux, 0)[members], shares)
    variance = np.where(spectra.good, 1 / np.where(spectra.good, spectra.ivar, 1), 0)[members]
    total = np.einsum("nmp,nm->np", variance, shares**2)
    return replace(spectra[members[:, 0]], flux=flux, ivar=np.where(good, 1 / np.where(good, total, 1), 0))


def sdss_halves(real: RealSpectra, settings: RepeatSettings, fit: Fit) -> Iterator[Halves]:
    """Pair each SDSS exposure with the others of its arm.

    Parameters
    ----------
    real : RealSpectra
        Where the spectra are.
    settings : RepeatSettings
        How noise is added.
    fit : callable
        Denoises spectra, to find gas and spikes.

    Yields
    ------
    Halves
        One exposure as observed, and with noise added.
    """
    for number, name in enumerate(("ngc3522", "ngc3073")):
        exposures = real.fetched(name, exposures=True)
        if exposures is None:
            continue
        arm = np.array([label[:2] for label in exposures.meta["exposures"]])
        for row in range(len(exposures)):
            others = np.flatnonzero((arm == arm[row]) & (np.arange(len(arm)) != row))
            noisy = own_pixels(exposures, row)
            target = _mean_on([own_pixels(exposures, other) for other in others.tolist()], noisy)
            halves = make_halves("SDSS", noisy, target, fit(noisy), 4)
            yield halves
            for snr, rng in settings.draws((2, number, row)):
                yield with_noise(halves, np.arange(1), "SDSS", snr, rng)


def own_pixels(exposures: Spectra, row: int) -> Spectra:
    """One exposure on the pixels it covers.

    Parameters
    ----------
    exposures : Spectra
        Exposures on common pixels, NaN where one has none.
    row : int
        Which.

    Returns
    -------
    Spectra
        Of one spectrum.
    """
    own = np.flatnonzero(np.isfinite(exposures.flux[row]))
    one = exposures[row]
    fwhm = None if one.fwhm is None else one.fwhm[..., own]
    return replace(one, wavelength=one.wavelength[own], flux=one.flux[:, own], ivar=one.ivar[:, own], fwhm=fwhm)


def _mean_on(others: Sequence[Spectra], noisy: Spectra) -> Spectra:
    """Inverse-variance mean of exposures at the pixels of another; they lie within half a pixel."""
    total, weight = np.zeros((2, noisy.n_pixels))
    for one in others:
        good = one.good[0]
        filled = np.interp(one.wavelength, one.wavelength[good], one.flux[0, good])
        flux = Resampler(one.wavelength, noisy.wavelength)(filled[None])[0]
        ivar = np.interp(noisy.wavelength, one.wavelength, one.ivar[0], left=0, right=0)
        spoilt = np.interp(noisy.wavelength, one.wavelength, ~good, left=1, right=1) > 0
        ivar = np.where(spoilt, 0, ivar)
        total, weight = total + ivar * np.where(ivar > 0, flux, 0), weight + ivar
    return replace(noisy, flux=(total / np.where(weight > 0, weight, 1))[None], ivar=weight[None])


def muse_halves(real: RealSpectra, settings: RepeatSettings, fit: Fit) -> Iterator[Halves]:
    """Pair spaxels of a lattice over a MUSE cube with the ring about them.

    Parameters
    ----------
    real : RealSpectra
        Where the cube is.
    settings : RepeatSettings
        Step of the lattice.
    fit : callable
        Denoises spectra, to find gas and spikes.

    Yields
    ------
    Halves
        All spaxels of the lattice, with averages over 5 and 9 spaxels as estimates to compare with.
    """
    cube = real.fetched("muse-a478")
    if cube is None or cube.spatial_shape is None:
        return
    height, width = cube.spatial_shape
    y, x = (axis.ravel() for axis in np.mgrid[3 : height - 3 : settings.step, 3 : width - 3 : settings.step])

    def mean_over(offsets: list[tuple[int, int]]) -> Spectra:
        members = np.stack([(y + dy) * width + x + dx for dy, dx in offsets], axis=1)
        return _average(cube, members, np.full(members.shape, 1 / len(offsets)))

    noisy = cube[y * width + x]
    near = [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4)]
    ring = [offset for offset in near if max(map(abs, offset)) == 3]
    first, second = (mean_over([o for o in ring if (o > (0, 0)) == side]) for side in (True, False))
    halves = ring_halves(noisy, first, second, fit(noisy))
    means = {name: mean_over([o for o in near if o[0] ** 2 + o[1] ** 2 <= r2]) for name, r2 in _BINNINGS.items()}
    binned = {
        name: as_denoised(noisy, calibrated(noisy, mean, halves.counted & mean.good).flux)
        for name, mean in means.items()
    }
    yield replace(halves, binned=binned)


def spatial_correlation(real: RealSpectra, tool: Denoiser) -> dict[str, float]:
    """Correlation of the noise of MUSE spaxels at some lags, from the residuals of a denoiser.

    The residuals are high-passed over 51 pixels, and the mean residual spectrum of the field is subtracted first: sky
    residuals, and what the denoiser cannot fit, are common to all spaxels.

    Parameters
    ----------
    real : RealSpectra
        Where the cube is.
    tool : Denoiser
        The denoiser.

    Returns
    -------
    dict of str to float
        Correlation by lag (dy, dx); ``common`` is the share of the mean spectrum in the variance. Empty without data.
    """
    cube = real.fetched("muse-a478")
    if cube is None or cube.spatial_shape is None:
        return {}
    fitted = tool.denoise(cube)
    good = (cube.good & fitted.valid).all(axis=0) & ~fitted.ignored.any(axis=0)
    pulls = np.clip((cube.flux - fitted.flux)[:, good] * np.sqrt(cube.ivar[:, good]), -CLIP, CLIP)
    pulls = pulls - uniform_filter1d(pulls, 51, axis=1)
    mean = pulls.mean(axis=0)
    image = cube.image(pulls - mean)
    ny, nx = cube.spatial_shape
    found = {"common": float(np.mean(mean**2) / np.mean(pulls**2))}
    for dy, dx in _LAGS:
        product = image[dy:, dx:] * image[: ny - dy, : nx - dx]
        found[f"({dy}, {dx})"] = float(np.mean(product) / np.mean(image**2))
    return found
