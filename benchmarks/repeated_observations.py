"""Repeated observations of galaxies (SAMI, SDSS, MUSE) as noisy halves and their targets, for `observed_truth.py`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from astropy.io import fits
from scipy.ndimage import median_filter, uniform_filter1d

from quietspec import Denoised, Spectra, read
from quietspec.denoised import ModelId
from quietspec.denoisers.base import Denoiser, finish
from quietspec.denoisers.posterior.contamination import line_mask
from quietspec.io.fetching import cached
from quietspec.lab.evaluation import block_pulls, calibrated, degrade, noise_factor, pull_scatter, repeat_pulls
from quietspec.resampling import Resampler
from quietspec.wavelengths import STRONG_LINES, rest_air, stretches

BINNINGS = {"binning 5": 1, "binning 9": 2}  # largest squared distance of the spaxels averaged
LINES = (*STRONG_LINES, "[OI]6300", "[OI]6364", "[NI]5198", "[NI]5200")
GAS_SIGMA = 300.0  # km/s, of the windows about emission lines that never count; ±3σ
SKY = 1.5  # quoted variance over its running median above which a pixel is a sky line's
CLIP = 5.0  # σ of difference between the halves, beyond which a pixel is an artefact
ADDED = (5.0, 10.0)
SAMI_SNR = 1  # least S/N of a SAMI bin
MUSE_REDSHIFT = 0.0858


@dataclass(frozen=True)
class Halves:
    """Noisy spectra and their repeats on the same pixels, calibration and (measured) noise, ready to be scored."""

    name: str
    noisy: Spectra
    target: Spectra
    counted: np.ndarray  # (n_spectra, n_pixels)
    correlation: np.ndarray  # (n_spectra,): factor on the target's errors in blocks
    fitted: int  # numbers of the calibration
    facts: dict[str, np.ndarray]  # (n_spectra,) each
    known: Spectra | None = None  # the noisy half with the noise measured, where it was
    binned: dict[str, Denoised] = field(default_factory=dict)


def as_denoised(spectra: Spectra, flux: np.ndarray | None = None) -> Denoised:
    """Spectra as estimates of themselves, or another estimate with their errors."""
    sigma = np.where(spectra.good, spectra.sigma, 1e30)
    return finish(spectra, spectra.flux if flux is None else flux, sigma, model=ModelId("none"))


def rescaled(spectra: Spectra, factor: np.ndarray) -> Spectra:
    """The same with all errors times a factor."""
    return replace(spectra, ivar=(spectra.ivar / factor**2).astype(spectra.ivar.dtype))


def average(spectra: Spectra, members: np.ndarray, shares: np.ndarray) -> Spectra:
    """Weighted means of spectra (n, m) with shares that sum to 1; good where all members are."""
    good = (spectra.good[members] | (shares[:, :, None] == 0)).all(axis=1)
    flux = np.einsum("nmp,nm->np", np.where(spectra.good, spectra.flux, 0)[members], shares)
    variance = np.where(spectra.good, 1 / np.where(spectra.good, spectra.ivar, 1), 0)[members]
    total = np.einsum("nmp,nm->np", variance, shares**2)
    return replace(spectra[members[:, 0]], flux=flux, ivar=np.where(good, 1 / np.where(good, total, 1), 0))


def may_count(noisy: Spectra, target: Spectra, fitted: Denoised) -> np.ndarray:
    """Pixels good in both, inside the model, and free of emission, spikes and sky lines."""
    rest = rest_air(noisy.wavelength, float(noisy.redshift[0]), noisy.medium)
    fwhm = np.full(rest.shape, 3.0) if noisy.fwhm is None else np.atleast_2d(noisy.fwhm)[0]
    free = ~line_mask(rest, fwhm, 0.0, GAS_SIGMA, LINES)
    variance = np.where(noisy.good, 1 / np.where(noisy.good, noisy.ivar, 1), np.inf)
    typical = np.median(variance / np.median(variance, axis=1, keepdims=True), axis=0)
    for arm in stretches(noisy.wavelength):
        free[arm] &= typical[arm] <= SKY * median_filter(typical[arm], 101)
    return noisy.good & target.good & fitted.valid & ~fitted.ignored & free


def agreeing(noisy: Spectra, target: Spectra, counted: np.ndarray) -> np.ndarray:
    """The pixels that count without artefacts."""
    factor = noise_factor(noisy, target, counted)
    return counted & ~(
        np.abs(repeat_pulls(as_denoised(rescaled(noisy, factor)), rescaled(target, factor), counted)) > CLIP
    )


def block_scatter(first: Spectra, second: Spectra, counted: np.ndarray) -> np.ndarray:
    """How much larger than independent pixels of the given errors allow the differences of two halves are in blocks."""
    return pull_scatter(block_pulls(as_denoised(first), second, counted)[1])[0]


def halves(name: str, noisy: Spectra, raw: Spectra, fitted: Denoised, terms: int) -> Halves:
    """Calibrate the target and measure its noise, from the differences of the halves."""
    counted = may_count(noisy, raw, fitted)
    counted = agreeing(noisy, calibrated(noisy, raw, counted, terms), counted)
    target = calibrated(noisy, raw, counted, terms)
    factor = noise_factor(noisy, target, counted)
    target = rescaled(target, factor)
    correlation = block_scatter(rescaled(noisy, factor), target, counted)
    fitted_numbers = terms * len(list(stretches(noisy.wavelength)))
    facts = {
        "noise_factor": np.sqrt(np.mean(factor**2, axis=1, where=counted)),
        "calibration_spread": calibration_spread(noisy, raw, target, counted),
    }
    return Halves(name, noisy, target, counted, correlation, fitted_numbers, facts, rescaled(noisy, factor))


def calibration_spread(noisy: Spectra, raw: Spectra, target: Spectra, counted: np.ndarray) -> np.ndarray:
    """Relative standard deviation over wavelength of the smooth ratio between two halves, (n_spectra,)."""
    usable = counted & (raw.flux > 0)
    ratio = np.where(usable, target.flux / np.where(usable, raw.flux, 1), 0)
    return np.std(ratio, axis=1, where=usable) / np.mean(ratio, axis=1, where=usable)


def with_noise(repeats: Halves, rows: np.ndarray, name: str, snr: float, rng: np.random.Generator) -> Halves:
    """Some of the noisy halves brought down to a lower S/N; calibration and noise of the target stay as measured."""
    parts = {field: getattr(repeats, field)[rows] for field in ("target", "counted", "correlation")}
    facts = {key: values[rows] for key, values in repeats.facts.items()}
    return Halves(name, degrade(repeats.noisy[rows], snr, rng), fitted=0, facts=facts, **parts)


def sami(options: argparse.Namespace, fit: Callable[[Spectra], Denoised]) -> Iterator[Halves]:
    """Bins of cube B against cube D, and the other way round."""
    cubes = {
        cube: [options.data / "sami" / f"56140_{cube}_sectors_{arm}.fits.gz" for arm in ("blue", "red")]
        for cube in "BD"
    }
    if not all(path.exists() for paths in cubes.values() for path in paths):
        return
    spectra = {cube: read(*paths) for cube, paths in cubes.items()}
    bins = {cube: fits.getdata(paths[0], "BIN_MASK").ravel() for cube, paths in cubes.items()}
    for one, other in ("BD", "DB"):
        rows, members, shares = overlaps(bins[one], bins[other])
        noisy = spectra[one][rows]
        bright = np.nan_to_num(noisy.snr) > SAMI_SNR
        noisy, members, shares = noisy[bright], members[bright], shares[bright]
        repeats = halves("SAMI", noisy, average(spectra[other], members, shares), fit(noisy), 4)
        yield repeats
        for snr, rng in draws(options, (1, ord(one))):
            yield with_noise(repeats, np.flatnonzero(noisy.snr > 20), "SAMI + noise", snr, rng)


def overlaps(own: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each bin of at least 4 spaxels: one of them, and the spaxels (and shares) that stand for the other's bins.

    Both cubes have one WCS, so the same spaxel is the same sky. Bins of which the other cube covers less than 80 % are
    left out.
    """
    rows, tables = [], []
    for number in np.unique(own[own > 0]):
        inside = np.flatnonzero(own == number)
        touched = others[inside][others[inside] > 0]
        if len(inside) >= 4 and len(touched) >= 0.8 * len(inside):
            kinds, count = np.unique(touched, return_counts=True)
            rows.append(inside[0])
            tables.append((np.array([np.flatnonzero(others == kind)[0] for kind in kinds]), count / count.sum()))
    members = np.zeros((len(rows), max(len(share) for _, share in tables)), dtype=int)
    shares = np.zeros(members.shape)
    for row, (member, share) in enumerate(tables):
        members[row], members[row, : len(member)], shares[row, : len(share)] = member[0], member, share
    return np.array(rows), members, shares


def sdss(options: argparse.Namespace, fit: Callable[[Spectra], Denoised]) -> Iterator[Halves]:
    """Each exposure against the others of its arm."""
    for number, name in enumerate(("ngc3522", "ngc3073")):
        path = cached(name)
        if path is None:
            continue
        exposures = read(path, exposures=True)
        arm = np.array([label[:2] for label in exposures.meta["exposures"]])
        for row in range(len(exposures)):
            others = np.flatnonzero((arm == arm[row]) & (np.arange(len(arm)) != row))
            noisy = own_pixels(exposures, row)
            target = mean_on([own_pixels(exposures, other) for other in others], noisy)
            repeats = halves("SDSS", noisy, target, fit(noisy), 4)
            yield repeats
            for snr, rng in draws(options, (2, number, row)):
                yield with_noise(repeats, np.arange(1), "SDSS", snr, rng)


def own_pixels(exposures: Spectra, row: int) -> Spectra:
    """One exposure on its own pixels alone."""
    own = np.flatnonzero(np.isfinite(exposures.flux[row]))
    one = exposures[row]
    fwhm = None if one.fwhm is None else one.fwhm[..., own]
    return replace(one, wavelength=one.wavelength[own], flux=one.flux[:, own], ivar=one.ivar[:, own], fwhm=fwhm)


def mean_on(others: list[Spectra], noisy: Spectra) -> Spectra:
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


def draws(options: argparse.Namespace, key: tuple[int, ...]) -> Iterator[tuple[float, np.random.Generator]]:
    """S/N and source of each realisation of added noise."""
    for snr in ADDED:
        for realisation in range(options.realisations):
            yield snr, np.random.default_rng((options.seed, *key, round(snr), realisation))


def muse(options: argparse.Namespace, fit: Callable[[Spectra], Denoised]) -> Iterator[Halves]:
    """Spaxels of a lattice against the ring about them."""
    path = cached("muse-a478")
    if path is None:
        return
    cube = read(path, redshift=MUSE_REDSHIFT)
    height, width = cube.spatial_shape
    y, x = (axis.ravel() for axis in np.mgrid[3 : height - 3 : options.step, 3 : width - 3 : options.step])

    def mean_over(offsets: list[tuple[int, int]]) -> Spectra:
        members = np.stack([(y + dy) * width + x + dx for dy, dx in offsets], axis=1)
        return average(cube, members, np.full(members.shape, 1 / len(offsets)))

    noisy = cube[y * width + x]
    near = [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4)]
    ring = [offset for offset in near if max(map(abs, offset)) == 3]
    first, second = (mean_over([o for o in ring if (o > (0, 0)) == side]) for side in (True, False))
    repeats = ring_halves(noisy, first, second, fit(noisy))
    for name, reach in BINNINGS.items():
        mean = mean_over([o for o in near if o[0] ** 2 + o[1] ** 2 <= reach])
        repeats.binned[name] = as_denoised(noisy, calibrated(noisy, mean, repeats.counted & mean.good).flux)
    yield repeats


def ring_halves(noisy: Spectra, first: Spectra, second: Spectra, fitted: Denoised) -> Halves:
    """The mean of two opposite halves of a ring as target, its noise measured from their difference."""
    both = may_count(noisy, first, fitted) & second.good
    second = calibrated(first, second, both)
    factor = noise_factor(first, second, both)
    first, second = rescaled(first, factor), rescaled(second, factor)
    correlation = block_scatter(first, second, both)
    ivar = np.where(both, 4 / (1 / np.where(both, first.ivar, 1) + 1 / np.where(both, second.ivar, 1)), 0)
    target = replace(first, flux=(first.flux + second.flux) / 2, ivar=ivar)
    counted = agreeing(noisy, calibrated(noisy, target, both), both)
    facts = {"noise_factor": np.sqrt(np.mean(factor**2, axis=1, where=both))}
    known = rescaled(noisy, factor)
    return Halves("MUSE", noisy, calibrated(noisy, target, counted), counted, correlation, 1, facts, known)


def spatial_correlation(tool: Denoiser) -> dict[str, float]:
    """Correlation of the noise of MUSE spaxels at some lags, from what a denoiser leaves, high-passed over 51 pixels.

    The mean residual spectrum of the field is taken away first: sky residuals and what the denoiser cannot fit are
    common to all spaxels. Its share of the variance is `common`. Empty without the data.
    """
    path = cached("muse-a478")
    if path is None:
        return {}
    cube = read(path, redshift=MUSE_REDSHIFT)
    fitted = tool.denoise(cube)
    good = (cube.good & fitted.valid).all(axis=0) & ~fitted.ignored.any(axis=0)
    pulls = np.clip((cube.flux - fitted.flux)[:, good] * np.sqrt(cube.ivar[:, good]), -CLIP, CLIP)
    pulls = pulls - uniform_filter1d(pulls, 51, axis=1)
    mean = pulls.mean(axis=0)
    image = cube.image(pulls - mean)
    ny, nx = cube.spatial_shape
    found = {"common": float(np.mean(mean**2) / np.mean(pulls**2))}
    for dy, dx in ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (0, 3), (3, 3), (0, 6)):
        product = image[dy:, dx:] * image[: ny - dy, : nx - dx]
        found[f"({dy}, {dx})"] = float(np.mean(product) / np.mean(image**2))
    return found
