"""Stellar populations of many spectra by pPXF, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from quietspec.denoisers.contamination import line_mask
from quietspec.errors import QuietspecError, TemplateError
from quietspec.populations.grid import LogGrid, Rebinning
from quietspec.populations.options import PpxfOptions
from quietspec.populations.ppxf_fit import KINEMATICS, FitResult, FitSetup, FitTask, fit_one
from quietspec.populations.result import PopulationFlag, Populations
from quietspec.populations.templates import FittingTemplates, fitted_range
from quietspec.spectra import Denoised, Spectra
from quietspec.templates import SspLibrary, population_labels
from quietspec.wavelengths import EMISSION_LINES, SPEED_OF_LIGHT, rest_air, stretches

if TYPE_CHECKING:
    from quietspec.spectra import FloatArray

__all__ = ["Errors", "fit_denoised", "fit_populations"]

Errors = Literal["input", "flat", "sigma", "covariance"]
CovarianceOf = Callable[[int], tuple["FloatArray", "FloatArray"]]

_GAS_SIGMA = 150.0  # km/s; lines are masked to 3σ of this and the line spread
_FEWEST = 100  # good pixels on the grid
_TASKS = 8  # spectra a worker takes at a time
_GROUP_TASKS = 512  # spectra rebinned at a time


def fit_populations(
    spectra: Spectra,
    library: SspLibrary,
    options: PpxfOptions | None = None,
    *,
    covariance_of: CovarianceOf | None = None,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Populations:
    """Fit spectra with pPXF.

    Each spectrum is brought to the rest frame and to a logarithmic grid, templates to its resolution (where it is
    sharper than they, it is smoothed to theirs). pPXF is given errors pixel by pixel, as is usual: that rebinning
    correlates neighbours is not told to it, unless `covariance_of` is given.

    Parameters
    ----------
    spectra : Spectra
        With redshifts.
    library : SspLibrary
        In air, per solar mass formed.
    options : PpxfOptions, optional
        The defaults if not given.
    covariance_of : callable, optional
        Maps a row number to F (n_pixels, n_factors) and independent variance (n_pixels,): the covariance of the
        spectrum's pixels is F Fᵀ + diag(independent), and pPXF is given it, rebinned, in place of the errors.
    jobs : int, optional
        Processes side by side.
    progress : callable, optional
        Called with the number of spectra done and their total.

    Returns
    -------
    Populations
        Intervals are the fit's value ± its formal or bootstrap error. A spectrum that cannot be fitted is flagged.

    Raises
    ------
    TemplateError
        If library and data share too few wavelengths.
    QuietspecError
        If pPXF is not installed.
    """
    options = options or PpxfOptions()
    _require(options, covariance_of)
    if library.medium != "air":
        raise TemplateError(f"{library.name}: pPXF fits need a library in air wavelengths.")
    collected = _Collector(len(spectra), library, options)
    done = 0
    for rows, setup, tasks in _groups(spectra, library, options, covariance_of):
        for row, result in zip(rows, _run(tasks, setup, jobs), strict=True):
            collected.store(row, result)
            done += 1
            if progress is not None:
                progress(done, len(spectra))
    if progress is not None and done < len(spectra):
        progress(len(spectra), len(spectra))
    return collected.finish()


def fit_denoised(
    denoised: Denoised,
    library: SspLibrary,
    options: PpxfOptions | None = None,
    *,
    errors: Errors = "sigma",
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Populations:
    """Fit denoised spectra with pPXF, telling it their errors in one of several ways.

    None of them is right: a denoised spectrum is a posterior mean, in which the prior counts as data
    (``docs/populations.md`` measures what each does).

    Parameters
    ----------
    denoised : Denoised
        What a denoiser made.
    library : SspLibrary
        In air, per solar mass formed.
    options : PpxfOptions, optional
        `gas` is taken as 'none', since the estimate has no emission lines.
    errors : {'input', 'flat', 'sigma', 'covariance'}
        Those of the noisy input; the same for all pixels; the estimate's own, pixel by pixel; its full covariance.
    jobs : int, optional
        Processes side by side.
    progress : callable, optional
        Called with the number of spectra done and their total.

    Returns
    -------
    Populations
        Of the denoised spectra.
    """
    spectra = denoised.spectra
    good = denoised.valid
    if errors == "input":
        sigma = np.where(np.isfinite(spectra.sigma), spectra.sigma, np.nanmax(np.where(spectra.good, spectra.sigma, 0)))
    elif errors == "flat":
        sigma = np.broadcast_to(_typical(denoised.sigma)[:, None], denoised.flux.shape)
    else:
        sigma = denoised.sigma
    good = good & np.isfinite(sigma) & (np.nan_to_num(sigma) > 0)
    ivar = np.divide(1.0, np.asarray(sigma, dtype=np.float64) ** 2, out=np.zeros(good.shape), where=good)
    estimate = replace(
        spectra, flux=np.where(good, denoised.flux, 0.0), ivar=ivar, redshift=np.asarray(denoised.redshift)
    )
    options = replace(options or PpxfOptions(), gas="none")
    covariance_of = _covariance_of(denoised) if errors == "covariance" else None
    return fit_populations(estimate, library, options, covariance_of=covariance_of, jobs=jobs, progress=progress)


def _typical(sigma: FloatArray) -> FloatArray:
    """Median error of each spectrum, (n_spectra,); 1 where there is none."""
    known = np.isfinite(sigma)
    return np.array([np.median(row[fine]) if fine.any() else 1.0 for row, fine in zip(sigma, known, strict=True)])


def _covariance_of(denoised: Denoised) -> CovarianceOf:
    def covariance(row: int) -> tuple[FloatArray, FloatArray]:
        valid = denoised.valid[row]
        factor = np.where(valid[:, None], denoised.covariance_factor(row), 0.0)
        independent = np.zeros(len(valid)) if denoised.remainder is None else denoised.remainder[row] ** 2
        return factor, np.where(valid, independent, 0.0).astype(np.float64)

    return covariance


def _require(options: PpxfOptions, covariance_of: CovarianceOf | None) -> None:
    for package in ("ppxf", "joblib"):
        if find_spec(package) is None:
            raise QuietspecError(f"{package} is not installed: pip install 'quietspec[populations]'.")
    if covariance_of is not None and options.bootstrap:
        raise QuietspecError("bootstrap: residuals of correlated data cannot be signed at random; give bootstrap=0.")


@dataclass(frozen=True)
class _Group:
    """Spectra of one redshift and one resolution."""

    rows: npt.NDArray[np.intp]
    rest: FloatArray
    fwhm: FloatArray


def _groups(
    spectra: Spectra, library: SspLibrary, options: PpxfOptions, covariance_of: CovarianceOf | None
) -> Iterator[tuple[npt.NDArray[np.intp], FitSetup, list[FitTask]]]:
    """Rebin spectra that share templates, some hundreds at a time."""
    for group in _alike(spectra, library):
        # A covariance on a grid finer than the data's would be singular.
        setup = _setup(group, spectra, library, options, coarse=covariance_of is not None)
        for start in range(0, len(group.rows), _GROUP_TASKS):
            rows = group.rows[start : start + _GROUP_TASKS]
            yield from _tasks(rows, group, setup, spectra, covariance_of)


def _alike(spectra: Spectra, library: SspLibrary) -> Iterator[_Group]:
    usable = np.flatnonzero(spectra.good.any(axis=1) & np.isfinite(spectra.redshift))
    for redshift in np.unique(spectra.redshift[usable]):
        rows = usable[spectra.redshift[usable] == redshift]
        rest = rest_air(spectra.wavelength, float(redshift), spectra.medium)
        own = np.interp(rest, library.wavelength, library.fwhm)
        if spectra.fwhm is None or spectra.fwhm.ndim == 1:
            fwhm = own if spectra.fwhm is None else _known(spectra.fwhm / (1 + redshift), own)
            yield _Group(rows, rest, fwhm)
            continue
        kinds, kind = np.unique(spectra.fwhm[rows], axis=0, return_inverse=True)
        for number, fwhm in enumerate(kinds):
            yield _Group(rows[kind.ravel() == number], rest, _known(fwhm / (1 + redshift), own))


def _known(fwhm: FloatArray, own: FloatArray) -> FloatArray:
    """Resolution of the data; that of the templates where it is unknown."""
    return np.where(np.isfinite(fwhm) & (fwhm > 0), fwhm, own)


def _velocity_scale(rest: FloatArray, low: float, high: float, *, coarse: bool) -> float:
    """Step of the grid, km/s: the median of the data's, or their largest, for pixels made of data of their own."""
    steps = np.concatenate([np.diff(np.log(rest[arm])) for arm in stretches(rest)])
    centres = np.concatenate([rest[arm][1:] for arm in stretches(rest)])
    inside = steps[(centres > low) & (centres < high)] * SPEED_OF_LIGHT
    return float(inside.max() if coarse else np.median(inside))


def _setup(group: _Group, spectra: Spectra, library: SspLibrary, options: PpxfOptions, *, coarse: bool) -> FitSetup:
    used = spectra.good[group.rows].any(axis=0)
    low, high = fitted_range(library, group.rest[used], options)
    grid = LogGrid.within(low, high, options.velocity_scale or _velocity_scale(group.rest, low, high, coarse=coarse))
    own = np.interp(group.rest, library.wavelength, library.fwhm)
    missing = np.sqrt(np.clip(own**2 - group.fwhm**2, 0, None))
    rebinning = Rebinning(group.rest, grid, np.where(missing > 0.05 * own, missing, 0.0))
    templates = FittingTemplates.make(library, grid, group.rest, np.maximum(group.fwhm, own), options)
    return FitSetup(templates, grid, rebinning, options)


def _tasks(
    rows: npt.NDArray[np.intp],
    group: _Group,
    setup: FitSetup,
    spectra: Spectra,
    covariance_of: CovarianceOf | None,
) -> Iterator[tuple[npt.NDArray[np.intp], FitSetup, list[FitTask]]]:
    good = spectra.good[rows]
    if setup.options.gas == "mask":
        good = good & ~line_mask(group.rest, group.fwhm, 0.0, _GAS_SIGMA, tuple(EMISSION_LINES))
    flux, cover, fine = setup.rebinning(spectra.flux[rows], good)
    variance = np.divide(1.0, spectra.ivar[rows], out=np.zeros(good.shape), where=good)
    sigma = np.sqrt(setup.rebinning.variance(variance, cover))
    enough = fine.sum(axis=1) >= _FEWEST
    tasks = [
        FitTask(
            flux[k],
            sigma[k],
            fine[k],
            None if covariance_of is None else covariance_of(int(rows[k])),
            (setup.options.seed, int(rows[k])),
        )
        for k in np.flatnonzero(enough)
    ]
    if tasks:
        yield rows[enough], setup, tasks


def _run(tasks: list[FitTask], setup: FitSetup, jobs: int) -> Iterable[FitResult]:
    if jobs == 1:
        return map(fit_one, tasks, [setup] * len(tasks))
    from joblib import Parallel, delayed

    batches = [tasks[start : start + _TASKS] for start in range(0, len(tasks), _TASKS)]
    results = Parallel(jobs, return_as="generator")(delayed(_fit_several)(batch, setup) for batch in batches)
    return (result for batch in results for result in batch)


def _fit_several(tasks: list[FitTask], setup: FitSetup) -> list[FitResult]:
    return [fit_one(task, setup) for task in tasks]


class _Collector:
    """Gathers single results into `Populations`."""

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

    def finish(self) -> Populations:
        return Populations(
            method="pPXF",
            values=self.values,
            low={name: self.values[name] - self.errors[name] for name in self.names},
            high={name: self.values[name] + self.errors[name] for name in self.names},
            flags=self.flags,
            reasons=tuple(self.reasons),
            chi2=self.chi2,
            seconds=self.seconds,
            meta=self.meta,
        )
