"""One spectrum fitted by pPXF: weights of SSPs and, from these, means, errors and kinematics."""

from __future__ import annotations

import contextlib
import io
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.populations.result import PopulationFlag
from quietspec.templates.means import population_jacobian, population_labels

if TYPE_CHECKING:
    from quietspec.arrays import BoolArray, FloatArray
    from quietspec.populations.grid import LogGrid, Rebinning
    from quietspec.populations.options import PpxfOptions
    from quietspec.populations.templates import FittingTemplates

__all__ = ["KINEMATICS", "FitResult", "FitSetup", "FitTask", "fit_one", "quiet_ppxf"]

KINEMATICS = ("velocity", "sigma", "h3", "h4")
_VELOCITY_RANGE, _DISPERSION_RANGE = 1000.0, (1.0, 600.0)  # km/s about the start; km/s
_POOR = 2.0  # reduced χ²
_MASKED_SIGMA = 1e4  # times the median error, for masked pixels that a covariance must include


@dataclass(frozen=True)
class FitSetup:
    """What the fits of many spectra share: templates, the data's grid, the rebinning to it, and the options."""

    templates: FittingTemplates
    grid: LogGrid
    rebinning: Rebinning
    options: PpxfOptions

    @cached_property
    def columns(self) -> FloatArray:
        """All templates, (n_template_pixels, n_ssp + n_lines)."""
        stars = self.templates.stars.reshape(len(self.templates.grid), -1)
        return stars if self.templates.gas is None else np.hstack([stars, self.templates.gas])

    @property
    def n_gas(self) -> int:
        """Number of emission-line templates."""
        return self.templates.n_gas

    @property
    def n_ssp(self) -> int:
        """Number of SSP templates."""
        return self.templates.library.n_ssp

    @cached_property
    def regularising(self) -> FloatArray:
        """Precision matrix that the regularisation adds for the weights, (n_templates, n_templates)."""
        size, strength = self.columns.shape[1], self.options.regularisation
        if not strength:
            return np.zeros((size, size))
        from ppxf.ppxf import regularization

        shape = np.asarray(self.templates.library.grid_shape)
        rows = np.zeros((int(np.prod(shape)), size))
        regularization(rows, 0, 0, shape, 2, [np.ones(n - 1) for n in shape], strength)
        return np.asarray(rows.T @ rows)

    def keywords(self) -> dict[str, Any]:
        """Return the keywords of ``ppxf`` that do not depend on the spectrum."""
        options, grid = self.options, self.grid
        width = max(options.dispersion, grid.velocity_scale / 100)
        fixed = options.kinematics == "fixed"
        start = [options.velocity, width]
        bounds = [
            [options.velocity - _VELOCITY_RANGE, options.velocity + _VELOCITY_RANGE],
            list(_DISPERSION_RANGE),
            *[[-0.3, 0.3]] * (options.moments - 2),
        ]
        stars = -2 if fixed else options.moments
        shared: dict[str, Any] = {
            "velscale": grid.velocity_scale,
            "vsyst": (self.templates.grid.first - grid.first) * grid.velocity_scale,
            "degree": options.additive,
            "mdegree": options.multiplicative,
            "regul": options.regularisation,
            "reg_dim": self.templates.library.grid_shape,
            "linear_method": options.solver,
            "quiet": True,
        }
        if not self.n_gas:
            return shared | {"start": start, "moments": stars, "bounds": None if fixed else bounds}
        component = np.repeat([0, 1], [self.n_ssp, self.n_gas])
        return shared | {
            "start": [start, [options.velocity, max(width, 50.0)]],
            "moments": [stars, 2],
            "bounds": [bounds[:2] if fixed else bounds, bounds[:2]],
            "component": component,
            "gas_component": component > 0,
            "gas_names": np.array([f"line{number}" for number in range(self.n_gas)]),
        }


@dataclass(frozen=True)
class FitTask:
    """One spectrum on the data's grid.

    Parameters
    ----------
    flux, sigma : (n_grid,)
        Flux and error.
    cover : (n_grid,)
        Fraction of each pixel that is good data.
    good : (n_grid,) of bool
        Pixels to fit.
    covariance : (F, independent), optional
        Factor (n_pixels, n_factors) and independent variance (n_pixels,) of the covariance of the data's own pixels, 0
        where these are masked; used in place of `sigma`.
    seed : tuple of int
        Seed of the bootstrap.
    """

    flux: FloatArray
    sigma: FloatArray
    cover: FloatArray
    good: BoolArray
    covariance: tuple[FloatArray, FloatArray] | None
    seed: tuple[int, int]


@dataclass(frozen=True)
class FitResult:
    """Result of one fit: values and errors by parameter, reduced χ², flags, reason for a failure, processor seconds."""

    values: dict[str, float]
    errors: dict[str, float]
    chi2: float
    flags: int
    reason: str
    seconds: float


def fit_one(task: FitTask, setup: FitSetup) -> FitResult:
    """Fit one spectrum; a fit that fails is a result with a reason.

    Parameters
    ----------
    task : FitTask
        The spectrum.
    setup : FitSetup
        What all spectra share.

    Returns
    -------
    FitResult
        Values and errors, or the reason why there are none.
    """
    start = time.thread_time()
    try:
        values, errors, chi2, flags = _fitted(task, setup)
    except (ArithmeticError, AssertionError, RuntimeError, ValueError, np.linalg.LinAlgError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        if task.covariance is not None and isinstance(error, np.linalg.LinAlgError):
            reason += ": the covariance is singular; use a larger velocity_scale, or errors instead"
        return FitResult({}, {}, np.nan, int(PopulationFlag.FAILED), reason, time.thread_time() - start)
    return FitResult(values, errors, chi2, flags, "", time.thread_time() - start)


def _fitted(task: FitTask, setup: FitSetup) -> tuple[dict[str, float], dict[str, float], float, int]:
    """Fit one spectrum, and return values, errors, reduced χ² and flags."""
    level = float(np.median(task.flux[task.good]))
    if not level > 0:
        raise ValueError("the median flux is not above 0")
    galaxy = np.where(task.good, task.flux / level, 1.0)
    noise = _noise(task, setup, level)
    keywords = setup.keywords() | {"mask": task.good}
    fit = quiet_ppxf(setup.columns, galaxy, noise, **keywords)
    weights = fit.weights[: setup.n_ssp]
    if not weights.sum() > 0:
        raise ValueError("no SSP has a positive weight")
    library = setup.templates.library
    values = {name: float(value[0]) for name, value in population_labels(library, weights[None]).items()}
    solution = _stellar(fit.sol, setup)
    values |= dict(zip(KINEMATICS, solution, strict=False))
    if setup.options.bootstrap:
        errors = _bootstrap(fit, galaxy, noise, task, setup, keywords)
    else:
        errors = _formal(fit, weights, noise, setup)
    return values, errors, float(fit.chi2), _flags(solution, fit.chi2, setup)


def quiet_ppxf(*arguments: Any, **keywords: Any) -> Any:
    """Call pPXF without the advice that ``quiet`` still prints, and without warnings of 0/0 in steps it rejects.

    Parameters
    ----------
    *arguments, **keywords
        Those of `ppxf.ppxf.ppxf`.

    Returns
    -------
    ppxf.ppxf.ppxf
        The fit.
    """
    from ppxf.ppxf import ppxf

    with contextlib.redirect_stdout(io.StringIO()), np.errstate(divide="ignore", invalid="ignore"):
        return ppxf(*arguments, **keywords)


def _noise(task: FitTask, setup: FitSetup, level: float) -> FloatArray:
    """Return errors, (n_grid,), or the covariance, (n_grid, n_grid), of the spectrum divided by `level`."""
    if task.covariance is None:
        return np.where(task.good, task.sigma / level, np.median(task.sigma[task.good]) / level)
    covariance = setup.rebinning.covariance(*task.covariance, task.cover) / level**2
    bad = np.flatnonzero(~task.good)
    covariance[bad] = covariance[:, bad] = 0
    covariance[bad, bad] = _MASKED_SIGMA**2 * np.median(np.diag(covariance)[task.good])
    return covariance


def _stellar(solution: Any, setup: FitSetup) -> FloatArray:
    """Return the stars' part of a solution that may include gas."""
    return np.asarray(solution[0] if setup.n_gas else solution, dtype=float)


def _formal(fit: Any, weights: FloatArray, noise: FloatArray, setup: FitSetup) -> dict[str, float]:
    """Return errors of the means by linear propagation, and pPXF's of the kinematics; both grow with a χ² above 1."""
    # Non-zero weights and polynomials are free, kinematics are held fixed, and the regularisation counts as data.
    active = np.flatnonzero(fit.weights > 0)
    n_additive = setup.options.additive + 1
    templates = fit.matrix[:, n_additive + active]
    design = np.hstack([templates, fit.matrix[:, :n_additive], _multiplicative(fit, weights, setup)])
    design = (fit.noise @ design if noise.ndim == 2 else design / noise[:, None])[fit.goodpixels]
    precision = design.T @ design
    precision[: active.size, : active.size] += setup.regularising[np.ix_(active, active)]
    covariance = np.linalg.pinv(precision, hermitian=True)
    jacobian = population_jacobian(setup.templates.library, weights)
    stars = active[active < setup.n_ssp]
    inner = covariance[: stars.size, : stars.size]
    variances = {name: float(row[stars] @ inner @ row[stars]) for name, row in jacobian.items()}
    growth = max(float(fit.chi2), 1.0) ** 0.5
    errors = {name: growth * max(variance, 0.0) ** 0.5 for name, variance in variances.items()}
    return errors | dict(zip(KINEMATICS, (growth * _stellar(fit.error, setup)).tolist(), strict=False))


def _multiplicative(fit: Any, weights: FloatArray, setup: FitSetup) -> FloatArray:
    """Return the derivatives of the fit by the coefficients of the multiplicative polynomial, (n_grid, degree)."""
    degree, first = setup.options.multiplicative, setup.options.additive + 1
    if not degree:
        return np.empty((len(fit.bestfit), 0))
    stars = fit.matrix[:, first : first + setup.n_ssp] @ weights / fit.mpoly
    powers = np.polynomial.legendre.legvander(np.linspace(-1, 1, len(stars)), degree)
    return np.asarray(powers[:, 1:] * stars[:, None])


def _bootstrap(
    fit: Any, galaxy: FloatArray, noise: FloatArray, task: FitTask, setup: FitSetup, keywords: dict[str, Any]
) -> dict[str, float]:
    """Return the scatter of fits to the best fit plus its residuals with random signs."""
    rng = np.random.default_rng(task.seed)
    residual = np.where(task.good, galaxy - fit.bestfit, 0.0)
    weights, solutions = [], []
    for _ in range(setup.options.bootstrap):
        again = fit.bestfit + residual * rng.choice([-1.0, 1.0], residual.size)
        refit = quiet_ppxf(setup.columns, again, noise, **keywords)
        weights.append(refit.weights[: setup.n_ssp])
        solutions.append(_stellar(refit.sol, setup))
    labels = population_labels(setup.templates.library, np.array(weights))
    errors = {name: float(np.std(values, ddof=1)) for name, values in labels.items()}
    return errors | dict(zip(KINEMATICS, np.std(solutions, axis=0, ddof=1).tolist(), strict=False))


def _flags(solution: FloatArray, chi2: float, setup: FitSetup) -> int:
    options = setup.options
    flags = PopulationFlag.POOR_FIT if chi2 > _POOR else PopulationFlag.OK
    if options.kinematics == "free":
        low, high = _DISPERSION_RANGE
        far = abs(solution[0] - options.velocity) > 0.99 * _VELOCITY_RANGE
        if far or not 1.05 * low < solution[1] < 0.99 * high:
            flags |= PopulationFlag.AT_LIMIT
    return int(flags)
