"""Libraries made alike: every one on the grid, the wavelengths and the sharpness of one reference.

Libraries differ in stars and isochrones, which is of interest, and in wavelengths, resolution and sampled ages, which
is not. Each is therefore written as a correction of the reference,

    spectrum = reference · (library / reference, both at the resolution of the coarser),

so that what it says of the stars is kept at its own resolution, and details finer than that, and wavelengths that it
lacks, are those of the reference.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.interpolate import CubicSpline

from quietspec.arrays import FloatArray
from quietspec.errors import TemplateError
from quietspec.templates.library import SspLibrary
from quietspec.wavelengths import SNR_WINDOW, in_window

__all__ = ["between", "extended", "like"]

_END = 80.0  # Å at either end of a library, whose mean ratio to the reference holds beyond
_MARGIN = 12.0  # Å at either end that smoothing may spoil
_LEAST = 0.02  # of a reference's mean flux, below which a ratio means nothing
_FEWEST = 100  # pixels that libraries must share
_SAME_AGE = 0.02  # dex
_OLD = 9.0  # log10 yr


def like(library: SspLibrary, reference: SspLibrary) -> SspLibrary:
    """Write a library as a correction of a reference.

    Parameters
    ----------
    library : SspLibrary
        Any library in the medium of the reference. Where it has no masses, those of the reference are taken; else its
        flux per mass is scaled so that old stars have that of the reference on average, since it hangs on the IMF.
    reference : SspLibrary
        The reference.

    Returns
    -------
    SspLibrary
        On the grid, wavelengths and resolution of the reference. Ages and metallicities beyond those of `library` have
        the correction of its nearest.

    Raises
    ------
    TemplateError
        If the two are measured in different media, or share too few wavelengths.
    """
    if library.medium != reference.medium:
        raise TemplateError(f"{library.name} is in {library.medium}, {reference.name} in {reference.medium}.")
    shared = in_window(reference.wavelength, (library.wavelength[0], library.wavelength[-1]))
    if shared.sum() < _FEWEST:
        raise TemplateError(f"{library.name} and {reference.name} share only {shared.sum()} pixels.")
    seen = library.at(reference.wavelength[shared])
    fwhm = np.maximum(reference.fwhm, np.interp(reference.wavelength, seen.wavelength, seen.fwhm))
    known = _with_spectra(reference, _at_parameters(reference, seen.log_age, seen.metallicity), seen)
    expected = known.to_fwhm(fwhm).spectra
    found = seen.to_fwhm(fwhm[shared]).spectra
    wavelength = reference.wavelength
    inside = in_window(wavelength, (seen.wavelength[0] + _MARGIN, seen.wavelength[-1] - _MARGIN))
    ratio = np.zeros_like(expected)
    ratio[:, shared] = np.maximum(found, 0)
    ratio /= np.maximum(expected, _LEAST * expected.mean(axis=1, keepdims=True))
    _hold_beyond(ratio, wavelength, inside)
    light = ratio[:, in_window(wavelength, SNR_WINDOW)].mean(axis=1, keepdims=True)
    ratio /= np.exp(np.mean(np.log(light[seen.log_age > _OLD]))) if library.per_mass else light
    corrections = _with_spectra(reference, ratio, seen)
    correction = _at_parameters(corrections, reference.log_age, reference.metallicity)
    return replace(reference, name=library.name, spectra=reference.spectra * correction)


def extended(
    old: SspLibrary, young: SspLibrary, wavelength: FloatArray, metallicity: tuple[float, float] | None = None
) -> SspLibrary:
    """Add younger stars of another library to a reference, further metallicities, and the red end of spectra.

    Parameters
    ----------
    old : SspLibrary
        The reference. Spectra may be 0 from some wavelength on.
    young : SspLibrary
        Another library, per solar mass, from whose ages those below the reference's are taken, scaled so that both
        have the same flux per mass where they meet, and the red end of spectra.
    wavelength : (n_pixels,)
        Wavelengths wanted, Å.
    metallicity : (low, high), optional
        Range of [M/H] wanted. Those of `young` beyond `old` are taken relative to its spectra at the end of `old`.

    Returns
    -------
    SspLibrary
        On these wavelengths, with the resolution of `old` where it has flux.
    """
    low, high = metallicity or (old.metallicities[0], old.metallicities[-1])
    other = _reaching(young, wavelength)
    at_old = _at_parameters(other, old.log_age, old.metallicity)
    pairs = zip(old.spectra, at_old, strict=True)
    spectra = np.stack([_completed(old.wavelength, one, wavelength, further) for one, further in pairs])
    ages = young.log_ages[young.log_ages < old.log_ages[0] - _SAME_AGE]
    log_age, metals = (grid.ravel() for grid in np.meshgrid(ages, old.metallicities, indexing="ij"))
    window, first = in_window(wavelength, SNR_WINDOW), old.log_age == old.log_ages[0]
    step = spectra[first][:, window].mean(axis=1) / at_old[first][:, window].mean(axis=1)  # by metallicity
    more = _at_parameters(other, log_age, metals) * np.tile(step, len(ages))[:, None]
    whole = SspLibrary(
        name=old.name,
        wavelength=wavelength,
        medium=old.medium,
        spectra=np.concatenate([more, spectra]),
        log_age=np.concatenate([log_age, old.log_age]),
        metallicity=np.concatenate([metals, old.metallicity]),
        fwhm=np.interp(wavelength, old.wavelength, old.fwhm),
        remaining_mass=_masses(old, young, log_age, metals),
    )
    known = young.metallicities
    beyond = known[
        ((known < old.metallicities[0]) & (known >= low)) | ((known > old.metallicities[-1]) & (known <= high))
    ]
    return _with_metallicities(whole, other, beyond)


def between(one: SspLibrary, other: SspLibrary, fraction: float) -> SspLibrary:
    """Make a library a fraction of the way from one to another on the same grid, in the logarithm of the flux.

    Parameters
    ----------
    one, other : SspLibrary
        Libraries from `like` with one reference.
    fraction : float
        0 is `one`, 1 the other; a negative fraction lies beyond `one`.

    Returns
    -------
    SspLibrary
        On the same grid, wavelengths and resolution.
    """
    least = _LEAST * one.spectra.mean(axis=1, keepdims=True)
    ratio = np.maximum(other.spectra, least) / np.maximum(one.spectra, least)
    return replace(one, name=f"{one.name} {fraction:+.2f} {other.name}", spectra=one.spectra * ratio**fraction)


def _with_metallicities(library: SspLibrary, other: SspLibrary, metallicities: FloatArray) -> SspLibrary:
    """Add metallicities beyond a library: its spectra at its end, times what another has there over that at the end."""
    spectra, masses = [library.spectra], [library.remaining_mass]
    ages, kinds = [library.log_age], [library.metallicity]
    for metallicity in metallicities:
        end = library.metallicity == library.metallicities[0 if metallicity < library.metallicities[0] else -1]
        age = library.log_age[end]
        there, here = (
            _at_parameters(other, age, np.full(len(age), one)) for one in (metallicity, library.metallicity[end][0])
        )
        spectra.append(library.spectra[end] * there / np.maximum(here, _LEAST * here.mean(axis=1, keepdims=True)))
        ages.append(age)
        kinds.append(np.full(len(age), metallicity))
        masses.append(None if library.remaining_mass is None else library.remaining_mass[end])
    return replace(
        library,
        spectra=np.concatenate(spectra),
        log_age=np.concatenate(ages),
        metallicity=np.concatenate(kinds),
        remaining_mass=None if library.remaining_mass is None else np.concatenate([m for m in masses if m is not None]),
    )


def _with_spectra(reference: SspLibrary, spectra: FloatArray, grid: SspLibrary) -> SspLibrary:
    """Spectra on the pixels of the reference and the ages and metallicities of another library."""
    return replace(reference, spectra=spectra, log_age=grid.log_age, metallicity=grid.metallicity, remaining_mass=None)


def _hold_beyond(
    ratio: FloatArray, wavelength: FloatArray, inside: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> None:
    """Set ratios outside to their mean near the end inside."""
    low, high = wavelength[inside][[0, -1]]
    for beyond, end in (
        (wavelength < low, inside & (wavelength < low + _END)),
        (wavelength > high, inside & (wavelength > high - _END)),
    ):
        ratio[:, beyond] = ratio[:, end].mean(axis=1, keepdims=True)


def _masses(old: SspLibrary, young: SspLibrary, log_age: FloatArray, metallicity: FloatArray) -> FloatArray | None:
    if old.remaining_mass is None or young.remaining_mass is None:
        return None
    table = replace(young, spectra=np.repeat(young.remaining_mass[:, None], len(young.wavelength), axis=1))
    return np.concatenate([_at_parameters(table, log_age, metallicity)[:, 0], old.remaining_mass])


def _reaching(library: SspLibrary, wavelength: FloatArray) -> SspLibrary:
    """Put a library on wavelengths that may lie beyond it; there its spectra go on as a power law of their end."""
    inside = in_window(wavelength, (library.wavelength[0], library.wavelength[-1]))
    part = library.at(wavelength[inside])
    low, high = part.wavelength[[0, -1]]
    spectra = np.empty((library.n_ssp, len(wavelength)))
    spectra[:, inside] = part.spectra
    for beyond, end in (
        (wavelength < low, part.wavelength < low + 2 * _END),
        (wavelength > high, part.wavelength > high - 2 * _END),
    ):
        log = np.log(np.maximum(part.spectra[:, end], 1e-300))
        slope, at = np.polyfit(np.log(part.wavelength[end]), log.T, 1)
        spectra[:, beyond] = np.exp(slope[:, None] * np.log(wavelength[beyond]) + at[:, None])
    fwhm = np.interp(wavelength, library.wavelength, library.fwhm)
    return replace(library, wavelength=wavelength, spectra=spectra, fwhm=fwhm)


def _completed(own: FloatArray, flux: FloatArray, wavelength: FloatArray, other: FloatArray) -> FloatArray:
    """Put one spectrum on wavelengths; beyond its last flux it goes on as another, scaled to meet it there."""
    end = own[flux > 0][-1]
    beyond = wavelength > end - 1
    result = np.asarray(CubicSpline(own, flux)(wavelength))
    if beyond.any():
        meeting = in_window(wavelength, (end - _END, end - 1))
        result[beyond] = other[beyond] * (result[meeting].mean() / other[meeting].mean())
    return result


def _at_parameters(library: SspLibrary, log_age: FloatArray, metallicity: FloatArray) -> FloatArray:
    """Spectra at ages and metallicities (n,) by linear interpolation; beyond the grid those of its edge."""
    grid = library.spectra.reshape(*library.grid_shape, -1)
    row, up, x = _between(log_age, library.log_ages)
    column, right, y = _between(metallicity, library.metallicities)
    lower = (1 - y) * grid[row, column] + y * grid[row, right]
    upper = (1 - y) * grid[up, column] + y * grid[up, right]
    return np.asarray((1 - x) * lower + x * upper)


def _between(
    values: FloatArray, nodes: FloatArray
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.intp]], np.ndarray[tuple[int, ...], np.dtype[np.intp]], FloatArray]:
    """Nodes below and above values (n,), and the weight of the upper one, (n, 1)."""
    place = np.interp(values, nodes, np.arange(len(nodes)))
    low = np.floor(place).astype(np.intp)
    return low, np.minimum(low + 1, len(nodes) - 1), (place - low)[:, None]
