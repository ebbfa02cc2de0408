"""Stellar populations of many spectra by pPXF, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt

from quietspec.denoised import Denoised
from quietspec.denoisers.posterior.contamination import line_mask
from quietspec.errors import QuietspecError, TemplateError
from quietspec.populations.grid import LogGrid, Rebinning
from quietspec.populations.options import PpxfOptions
from quietspec.populations.parallel import fit_all
from quietspec.populations.ppxf_fit import KINEMATICS, FitResult, FitSetup, FitTask
from quietspec.populations.result import PopulationFlag, Populations
from quietspec.populations.templates import FittingTemplates, fitted_range
from quietspec.progress import Progress
from quietspec.spectra import Spectra
from quietspec.templates import SspLibrary, population_labels
from quietspec.wavelengths import EMISSION_LINES, SPEED_OF_LIGHT, rest_air, stretches

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray

__all__ = ["Errors", "fit_denoised", "fit_populations"]

Errors = Literal["input", "flat", "sigma", "covariance"]
CovarianceOf = Callable[[int], tuple["FloatArray", "FloatArray"]]

_GAS_SIGMA = 150.0  # km/s; lines are masked out to 3σ of this and the line spread combined
_FEWEST = 100  # good pixels on the grid that a fit needs
_TILE, _COVARIANCE_TILE = 512, 32  # spectra rebinned at a time, without and with factors of covariances


def fit_populations(
    spectra: Spectra,
    library: SspLibrary,
    options: PpxfOptions | None = None,
    *,
    covariance_of: CovarianceOf | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Populations:
    """Fit spectra with pPXF.

    Each spectrum is brought to the rest frame and to a logarithmic grid, and the templates to its resolution (a
    spectrum sharper than the templates is smoothed to theirs). pPXF is given errors pixel by pixel, as is usual; it
    ignores that rebinning correlates neighbours, unless `covariance_of` is given.

    Parameters
    ----------
    spectra : Spectra
        Spectra with redshifts.
    library : SspLibrary
        Templates in air, per solar mass formed.
    options : PpxfOptions, optional
        How to fit.
    covariance_of : callable, optional
        Maps a row number to F (n_pixels, n_factors) and an independent variance (n_pixels,). The covariance of the
        spectrum's pixels, F Fᵀ + diag(independent), is rebinned and given to pPXF in place of the errors.
    jobs : int, optional
        Processes that fit side by side.
    progress : callable, optional
        Called with the number of spectra done and the total.

    Returns
    -------
    Populations
        Intervals are the fit's value ± its formal or bootstrap error. A spectrum that cannot be fitted is flagged.

    Raises
    ------
    TemplateError
        If the library shares too few wavelengths with every spectrum. If only some spectra share too few, these are
        flagged.
    QuietspecError
        If pPXF is not installed.
    """
    options = options or PpxfOptions()
    _require(library, options, covariance_of)
    return _fitted(_Data(spectra, covariance_of), library, options, jobs, progress)


def fit_denoised(
    denoised: Denoised,
    library: SspLibrary,
    options: PpxfOptions | None = None,
    *,
    errors: Errors = "sigma",
    jobs: int = 1,
    progress: Progress | None = None,
) -> Populations:
    """Fit denoised spectra with pPXF, with errors of one of several kinds.

    None of them is right, since a denoised spectrum is a posterior mean, in which the prior counts as data;
    ``docs/populations.md`` measures what each does.

    Parameters
    ----------
    denoised : Denoised
        Denoised spectra.
    library : SspLibrary
        Templates in air, per solar mass formed.
    options : PpxfOptions, optional
        How to fit; `gas` counts as 'none', since the estimate has no emission lines.
    errors : {'input', 'flat', 'sigma', 'covariance'}
        Errors of the noisy input; equal errors for all pixels; the estimate's own, pixel by pixel; or its full
        covariance.
    jobs : int, optional
        Processes that fit side by side.
    progress : callable, optional
        Called with the number of spectra done and the total.

    Returns
    -------
    Populations
        Populations of the denoised spectra.

    Raises
    ------
    TemplateError
        As for `fit_populations`.
    QuietspecError
        If `errors` is of no known kind, or pPXF is not installed.
    """
    if errors not in get_args(Errors):
        raise QuietspecError(f"errors: {errors!r}; expected {' or '.join(get_args(Errors))}.")
    options = replace(options or PpxfOptions(), gas="none")
    covariance_of = _covariance_of(denoised) if errors == "covariance" else None
    _require(library, options, covariance_of)
    data = _Data(_estimate(denoised, errors), covariance_of, smoothed=True)
    return _fitted(data, library, options, jobs, progress)


def _estimate(denoised: Denoised, errors: Errors) -> Spectra:
    """Return denoised spectra as if they were observed, with errors of one of several kinds."""
    spectra = denoised.spectra
    if errors == "input":
        largest = np.max(np.where(spectra.good, spectra.sigma, 0.0), axis=1, keepdims=True)
        sigma = np.where(spectra.good, spectra.sigma, largest)
    elif errors == "flat":
        sigma = np.broadcast_to(_typical(denoised.sigma)[:, None], denoised.flux.shape)
    else:
        sigma = denoised.sigma
    good = denoised.valid & np.isfinite(sigma) & (np.nan_to_num(sigma) > 0)
    ivar = np.divide(1.0, np.asarray(sigma, dtype=np.float64) ** 2, out=np.zeros(good.shape), where=good)
    return replace(spectra, flux=np.where(good, denoised.flux, 0.0), ivar=ivar, redshift=np.asarray(denoised.redshift))


def _typical(sigma: FloatArray) -> FloatArray:
    """Return the median error of each spectrum, (n_spectra,); 1 where there is none."""
    known = np.isfinite(sigma)
    return np.array([np.median(row[fine]) if fine.any() else 1.0 for row, fine in zip(sigma, known, strict=True)])


def _covariance_of(denoised: Denoised) -> CovarianceOf:
    """Give the covariance of each estimate in the form that `fit_populations` takes."""

    def covariance(row: int) -> tuple[FloatArray, FloatArray]:
        factor = denoised.covariance_factor(row)
        remainder = np.zeros(len(factor)) if denoised.remainder is None else denoised.remainder[row]
        return factor, np.asarray(remainder, dtype=np.float64) ** 2

    return covariance


def _require(library: SspLibrary, options: PpxfOptions, covariance_of: CovarianceOf | None) -> None:
    for package in ("ppxf", "joblib"):
        if find_spec(package) is None:
            raise QuietspecError(f"{package} is not installed: pip install 'quietspec[populations]'.")
    if covariance_of is not None and options.bootstrap:
        raise QuietspecError("bootstrap: residuals of correlated data cannot be given random signs; use bootstrap=0.")
    if library.medium != "air":
        raise TemplateError(f"{library.name}: this library is in vacuum; pPXF fits need one in air, such as MILES.")


def _fitted(
    data: _Data, library: SspLibrary, options: PpxfOptions, jobs: int, progress: Progress | None
) -> Populations:
    """Fit all spectra; those whose templates do not reach far enough are flagged if there are others."""
    total = len(data.spectra)
    collected = _Collector(total, library, options)
    refusal: TemplateError | None = None
    done = 0
    for group in _alike(data, library):
        try:
            setup = _setup(group, data, library, options)
        except TemplateError as error:
            refusal = refusal or error
            collected.refuse(group.rows, str(error))
            continue
        for rows, tasks in _tasks(group, setup, data):
            for row, result in zip(rows, fit_all(tasks, setup, jobs), strict=True):
                collected.store(row, result)
                done += 1
                if progress is not None:
                    progress(done, total)
    if refusal is not None and not done:
        raise refusal
    if progress is not None and done < total:
        progress(total, total)
    return collected.finish()


@dataclass(frozen=True)
class _Data:
    """Spectra, their covariances if known, and whether they are at least as smooth as the templates."""

    spectra: Spectra
    covariance_of: CovarianceOf | None = None
    smoothed: bool = False


@dataclass(frozen=True)
class _Group:
    """Spectra of one redshift and one resolution; wavelengths and FWHM in rest-frame Å, (n_pixels,)."""

    rows: npt.NDArray[np.intp]
    rest: FloatArray
    fwhm: FloatArray


def _alike(data: _Data, library: SspLibrary) -> Iterator[_Group]:
    """Group the spectra that can share templates."""
    spectra = data.spectra
    for redshift, alike in spectra.by_redshift(spectra.good.any(axis=1)):
        rest = rest_air(spectra.wavelength, redshift, spectra.medium)
        own = np.interp(rest, library.wavelength, library.fwhm)
        for rows in spectra.by_resolution(alike):
            yield _Group(rows, rest, _resolution(data, int(rows[0]), redshift, own))


def _resolution(data: _Data, row: int, redshift: float, own: FloatArray) -> FloatArray:
    """Return the rest-frame FWHM of a spectrum, (n_pixels,), Å: that of the templates, `own`, where it is unknown."""
    if data.spectra.fwhm is None:
        return own
    fwhm = np.atleast_2d(data.spectra.fwhm)[row if data.spectra.fwhm.ndim == 2 else 0] / (1 + redshift)
    known = np.where(np.isfinite(fwhm) & (fwhm > 0), fwhm, own)
    # A denoised spectrum has its features from a model that is no sharper than the templates.
    return np.maximum(known, own) if data.smoothed else known


def _velocity_scale(rest: FloatArray, low: float, high: float, *, coarse: bool) -> float:
    """Return the step of the grid, km/s: the median step of the data or, for a coarse grid, their largest."""
    steps = np.concatenate([np.diff(np.log(rest[arm])) for arm in stretches(rest)])
    centres = np.concatenate([rest[arm][1:] for arm in stretches(rest)])
    inside = steps[(centres > low) & (centres < high)] * SPEED_OF_LIGHT
    return float(inside.max() if coarse else np.median(inside))


def _setup(group: _Group, data: _Data, library: SspLibrary, options: PpxfOptions) -> FitSetup:
    """Prepare grid, rebinning and templates for a group."""
    used = data.spectra.good[group.rows].any(axis=0)
    low, high = fitted_range(library, group.rest[used], options)
    coarse = data.covariance_of is not None  # on a grid finer than the data, a covariance would be singular
    grid = LogGrid.within(low, high, options.velocity_scale or _velocity_scale(group.rest, low, high, coarse=coarse))
    own = np.interp(group.rest, library.wavelength, library.fwhm)
    missing = np.sqrt(np.clip(own**2 - group.fwhm**2, 0, None))
    rebinning = Rebinning(group.rest, grid, np.where(missing > 0.05 * own, missing, 0.0))
    templates = FittingTemplates.make(library, grid, group.rest, np.maximum(group.fwhm, own), options)
    return FitSetup(templates, grid, rebinning, options)


def _tasks(group: _Group, setup: FitSetup, data: _Data) -> Iterator[tuple[npt.NDArray[np.intp], list[FitTask]]]:
    """Rebin a group's spectra tile by tile; those with too few pixels are left out."""
    size = _TILE if data.covariance_of is None else _COVARIANCE_TILE
    for start in range(0, len(group.rows), size):
        rows = group.rows[start : start + size]
        good = data.spectra.good[rows]
        if setup.options.gas == "mask":
            good = good & ~line_mask(group.rest, group.fwhm, 0.0, _GAS_SIGMA, tuple(EMISSION_LINES))
        flux, cover, fine = setup.rebinning(data.spectra.flux[rows], good)
        variance = np.divide(1.0, data.spectra.ivar[rows], out=np.zeros(good.shape), where=good)
        sigma = np.sqrt(setup.rebinning.variance(variance, cover))
        enough = np.flatnonzero(fine.sum(axis=1) >= _FEWEST)
        if enough.size:
            yield (
                rows[enough],
                [
                    FitTask(
                        flux[k],
                        sigma[k],
                        cover[k],
                        fine[k],
                        _factors(data.covariance_of, int(rows[k]), good[k]),
                        (setup.options.seed, int(rows[k])),
                    )
                    for k in enough
                ],
            )


def _factors(
    covariance_of: CovarianceOf | None, row: int, good: npt.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray] | None:
    """Return the covariance of a spectrum's pixels, 0 where they are masked."""
    if covariance_of is None:
        return None
    factor, independent = covariance_of(row)
    return np.where(good[:, None], factor, 0.0), np.where(good, independent, 0.0).astype(np.float64)


class _Collector:
    """Collects single results into `Populations`."""

    def __init__(self, n: int, library: SspLibrary, options: PpxfOptions) -> None:
        labels = tuple(population_labels(library, np.full((1, library.n_ssp), 1 / library.n_ssp)))
        free = options.kinematics == "free"
        self.names = labels + KINEMATICS[: options.moments if free else 0]
        self.meta = {"LIBRARY": library.name}
        self.values, self.errors = ({name: np.full(n, np.nan) for name in self.names} for _ in range(2))
        self.chi2, self.seconds = np.full((2, n), np.nan)
        self.flags = np.full(n, int(PopulationFlag.NO_DATA))
        self.reasons = ["too few usable pixels, or no redshift"] * n

    def store(self, row: int, result: FitResult) -> None:
        for name in self.names:
            self.values[name][row] = result.values.get(name, np.nan)
            self.errors[name][row] = result.errors.get(name, np.nan)
        self.chi2[row], self.seconds[row] = result.chi2, result.seconds
        self.flags[row], self.reasons[row] = result.flags, result.reason

    def refuse(self, rows: npt.NDArray[np.intp], reason: str) -> None:
        for row in rows:
            self.reasons[row] = reason

    def finish(self) -> Populations:
        return Populations(
            method="pPXF",
            values=self.values,
            low={name: self.values[name] - self.errors[name] for name in self.names},
            high={name: self.values[name] + self.errors[name] for name in self.names},
            flags=self.flags,
            reasons=np.array(self.reasons, dtype=np.str_),
            chi2=self.chi2,
            seconds=self.seconds,
            meta=self.meta,
        )
