"""Pulls of sums over apertures: fluxes in bands, an index and lines of summed spectra, against the truth.

On simulated cubes the truth is known. On a real one two things can be tested: whether the residuals of a sum scatter by
the error that the correlation between spaxels predicts; and whether noise of that correlation, added to the cube, moves
the results by as much as their errors grow: the variance of the difference between a posterior with less data and one
with more is the difference of their variances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from rich.table import Table

from quietspec.arrays import FloatArray
from quietspec.binning import (
    NoiseCorrelation,
    best_patch,
    find_spikes,
    measure_correlation,
    sum_spectra,
)
from quietspec.denoised import Denoised
from quietspec.denoisers import Denoiser, load_denoiser
from quietspec.lab.evaluation.studies.aperture_pulls import Bands, Measured, Pulls, round_apertures
from quietspec.lab.simulate import CubeSetup, simulate_cube, world
from quietspec.lab.streams import stream
from quietspec.spectra import Spectra
from quietspec.templates import SspLibrary
from quietspec.wavelengths import EMISSION_LINES, air_to_vacuum

__all__ = ["ApertureSettings", "aperture_study", "aperture_tables"]

_LINES = ("Hbeta", "[OIII]5007")
_INDEX = "Mg_b"
_SIDE_OF_LINE = 18.0  # Å on each side of a line, within which its true flux is added up
_HALF = 6  # half the side, in spaxels, of the patch on which correlations are measured
_GROWN = 1.2  # added noise must raise a variance by this much to be compared
_SUMS = "posterior of the sum"
_ALONE = "posterior of the sum, noise taken as independent"
_ESTIMATES = "sum of posteriors, errors added in quadrature"
_SHARED = "sum of posteriors, errors added up"
_NOISELESS = "posterior of the sum without its noise, in units of its errors with noise"  # faults of the model


@dataclass(frozen=True)
class ApertureSettings:
    """What is simulated and summed.

    Parameters
    ----------
    model : str
        Shipped model, or path of an .npz.
    n_cubes : int
        Number of simulated cubes.
    size : int
        Spaxels along each side of these.
    snr : float
        S/N of the brightest spaxel.
    instrument : str
        Name in `quietspec.lab.simulate.INSTRUMENTS`.
    drizzle : float
        Correlation of the noise of neighbouring spaxels.
    n_spaxels : tuple of int
        Sizes of the apertures.
    n_apertures : int
        Apertures of each size in each cube.
    n_compared : int
        Number of simulated cubes on which other ways to sum are compared, which takes longer.
    n_draws : int
        How often noise is added to the real cube.
    seed : int
        Seed of all draws.
    spikes : bool
        Whether the simulated spectra have spikes of cosmic rays that no mask marks.
    clean : bool
        Whether they are looked for before spaxels are summed.
    """

    model: str = "survey"
    n_cubes: int = 24
    size: int = 20
    snr: float = 20.0
    instrument: str = "MaNGA"
    drizzle: float = 0.3
    n_spaxels: tuple[int, ...] = (3, 10, 30, 100, 300)
    n_apertures: int = 6
    n_compared: int = 6
    n_draws: int = 4
    seed: int = 17
    spikes: bool = True
    clean: bool = True


def aperture_study(
    library: SspLibrary,
    real: Spectra | None,
    settings: ApertureSettings,
    log: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Sum the spaxels of simulated cubes, and of a real one, over apertures, and compare what is measured of the sums.

    Parameters
    ----------
    library : SspLibrary
        Templates of the simulated galaxies.
    real : Spectra, optional
        A real cube.
    settings : ApertureSettings
        What is simulated and summed.
    log : callable, optional
        Called with a line of text for each cube.

    Returns
    -------
    dict
        JSON types: settings, the correlations that were measured, and records of pulls.
    """
    denoiser = load_denoiser("posterior", settings.model, emission="fit")
    simulated, correlations = Pulls(), []
    for number in range(settings.n_cubes):
        cube = _Simulated.draw(library, settings, number)
        compare = cube.compare if number < settings.n_compared else cube.add_sums
        correlations.append(repr(compare(denoiser, settings, simulated)))
        log(f"simulated cube {number + 1} of {settings.n_cubes}: {correlations[-1]}")
    content: dict[str, Any] = {"settings": asdict(settings), "correlations": correlations}
    content["simulated"] = list(simulated.records())
    if real is not None:
        content["real"] = _real(real, denoiser, settings)
        log(f"real cube: {content['real']['correlation']}")
    return content


def _cleaned(spectra: Spectra, settings: ApertureSettings) -> Spectra:
    return find_spikes(spectra).masked(spectra) if settings.clean else spectra


@dataclass(frozen=True, eq=False)
class _Simulated:
    """A simulated cube, the noise-free flux of its stars, and the flux of its gas."""

    spectra: Spectra
    stars: FloatArray
    gas: FloatArray
    rng: np.random.Generator

    @property
    def shape(self) -> tuple[int, int]:
        return self.spectra.spatial_shape or (1, 1)

    @classmethod
    def draw(cls, library: SspLibrary, settings: ApertureSettings, number: int) -> _Simulated:
        setup = CubeSetup(
            shape=(settings.size,) * 2, snr=settings.snr, instrument=settings.instrument, drizzle=settings.drizzle
        )

        def observed(**switches: bool) -> Any:
            rng = stream("apertures", settings.seed, number)
            return simulate_cube(library, world("smooth", rng), setup, rng, **switches).simulated

        clean = {"masks": False, "spikes": False}
        gas = observed(**clean).observed.flux - observed(**clean, emission=False).observed.flux
        cube = observed(spikes=settings.spikes)
        seen = _cleaned(cube.observed, settings)
        return cls(seen, cube.truth, gas, stream("apertures: places", settings.seed, number))

    def add_sums(self, denoiser: Denoiser, settings: ApertureSettings, pulls: Pulls) -> NoiseCorrelation:
        """Add the pulls of the posteriors of sums; return the correlation that was measured."""
        middle = slice(max(settings.size // 2 - _HALF, 0), settings.size // 2 + _HALF)
        correlation = measure_correlation(denoiser.denoise(self.spectra[middle, middle])).correlation
        for size, weights in round_apertures(self.shape, settings.n_spaxels, settings.n_apertures, self.rng):
            found = denoiser.denoise(sum_spectra(self.spectra, weights, correlation))
            bands = Bands(self.spectra, found)
            pulls.add(_SUMS, size, _measured(found, bands), self._truth(found, weights, bands))
        return correlation

    def compare(self, denoiser: Denoiser, settings: ApertureSettings, pulls: Pulls) -> NoiseCorrelation:
        """Add the pulls of all ways to sum; return the correlation that was measured."""
        spaxels = denoiser.denoise(self.spectra)
        correlation = measure_correlation(spaxels).correlation
        bands = Bands(self.spectra, spaxels)
        values, errors = bands(spaxels)
        for size, weights in round_apertures(self.shape, settings.n_spaxels, settings.n_apertures, self.rng):
            sums = {_SUMS: sum_spectra(self.spectra, weights, correlation), _ALONE: sum_spectra(self.spectra, weights)}
            sums[_NOISELESS] = replace(sums[_SUMS], flux=weights @ (self.stars + self.gas))
            found = {method: denoiser.denoise(one) for method, one in sums.items()}
            measured = {method: _measured(one, bands) for method, one in found.items()}
            noisy = measured[_SUMS].items()
            measured[_NOISELESS] = {name: (measured[_NOISELESS][name][0], error) for name, (_, error) in noisy}
            for method, values_of in measured.items():
                pulls.add(method, size, values_of, self._truth(found[method], weights, bands))
            truth = {"band": weights @ bands.means(self.stars)}
            total = weights @ values
            pulls.add(_ESTIMATES, size, {"band": (total, np.sqrt(weights @ errors**2))}, truth)
            pulls.add(_SHARED, size, {"band": (total, weights @ errors)}, truth)
        return correlation

    def _truth(self, found: Denoised, weights: FloatArray, bands: Bands) -> dict[str, FloatArray]:
        stars, gas = weights @ self.stars, weights @ self.gas
        seen = replace(found, flux=np.where(found.valid, stars, np.nan))
        wavelength, fluxes = self.spectra.wavelength, {}
        for name in _LINES:
            place = air_to_vacuum(np.array(EMISSION_LINES[name])) * (1 + self.spectra.redshift[0])
            near = np.abs(wavelength - place) < _SIDE_OF_LINE
            fluxes[name] = np.trapezoid(gas[:, near], wavelength[near], axis=1)
        return {"band": bands.means(stars), _INDEX: seen.index(_INDEX).values[:, 0], **fluxes}


def _measured(denoised: Denoised, bands: Bands) -> Measured:
    index = denoised.index(_INDEX)
    lines = {name: denoised.line(name) for name in _LINES}
    return {
        "band": bands(denoised),
        _INDEX: (index.values[:, 0], index.errors[:, 0]),
        **{name: (line.flux, line.error) for name, line in lines.items()},
    }


def _real(spectra: Spectra, denoiser: Denoiser, settings: ApertureSettings) -> dict[str, Any]:
    rng = stream("apertures: real cube", settings.seed)
    spectra = _cleaned(spectra, settings)
    shape = spectra.spatial_shape or (1, 1)
    spaxels = denoiser.denoise(spectra[best_patch(spectra.image(spectra.snr))])
    found = measure_correlation(spaxels)
    noisier = [_with_noise(spectra, found.correlation, rng) for _ in range(settings.n_draws)]
    scatter, moved = Pulls(), Pulls()
    for size, weights in round_apertures(shape, settings.n_spaxels, settings.n_apertures, rng):
        sums = sum_spectra(spectra, weights, found.correlation)
        known = denoiser.denoise(sums)
        bands = Bands(spectra, known)
        for method, noise in ((_SUMS, sums), (_ALONE, sum_spectra(spectra, weights))):
            error = np.where(known.counted, noise.sigma, np.nan)
            residual = {"pixel": (np.where(known.counted, sums.flux, np.nan), error)}
            scatter.add(method, size, residual, {"pixel": known.flux})
        before = _measured(known, bands)
        for cube in noisier:
            again = _measured(denoiser.denoise(sum_spectra(cube, weights, found.correlation)), bands)
            moved.add(_SUMS, size, *_difference(before, again))
    return {
        "correlation": repr(found.correlation),
        "lags": found.correlation.lags.round(4).tolist(),
        "common": found.common.mean(),
        "common_error": found.common_error,
        "residuals": list(scatter.records()),
        "added noise": list(moved.records()),
    }


def _with_noise(spectra: Spectra, correlation: NoiseCorrelation, rng: np.random.Generator) -> Spectra:
    """Add noise of the quoted errors and a correlation between spaxels, so that variances double."""
    noise = correlation.draw((*(spectra.spatial_shape or (1, 1)), spectra.n_pixels), rng)
    added = np.where(spectra.good, spectra.sigma, 0.0) * noise.reshape(spectra.flux.shape)
    return replace(spectra, flux=spectra.flux + added, ivar=spectra.ivar / 2)


def _difference(before: Measured, after: Measured) -> tuple[Measured, dict[str, FloatArray]]:
    """Results with noise added, with the error of their difference from those before, and these as their truth."""
    measured = {}
    for name, (value, error) in after.items():
        grown = error**2 > _GROWN * before[name][1] ** 2
        change = np.where(grown, error**2 - before[name][1] ** 2, np.nan)
        measured[name] = value, np.sqrt(change)
    return measured, {name: value for name, (value, _) in before.items()}


def aperture_tables(content: dict[str, Any]) -> Iterator[Table]:
    """Make tables of pulls: their root mean square, and the share inside 68 %, by size.

    Parameters
    ----------
    content : dict
        From `aperture_study`.

    Yields
    ------
    rich.table.Table
        One for simulated cubes, and two for the real one if there is one.
    """
    real = content.get("real", {})
    kinds = {
        "simulated cubes, against the truth": content["simulated"],
        "real cube, residuals of the sums": real.get("residuals", []),
        "real cube, noise added": real.get("added noise", []),
    }
    for title, records in kinds.items():
        if not records:
            continue
        sizes = content["settings"]["n_spaxels"]
        table = Table(title=f"{title}: rms of pulls, share inside 68 %", title_justify="left")
        for column in ("method", "quantity", *(f"{size} spaxels" for size in sizes)):
            table.add_column(column)
        cells = {(one["method"], one["quantity"], one["n_spaxels"]): one for one in records}
        for method, quantity in dict.fromkeys(key[:2] for key in cells):
            found = [cells.get((method, quantity, size)) for size in sizes]
            values = ("" if one is None else f"{one['rms']:.2f}, {100 * one['inside_68']:.0f} %" for one in found)
            table.add_row(method, quantity, *values)
        yield table
