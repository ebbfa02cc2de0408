"""Whether the stated posteriors of ages, metallicities, M/L, dust and kinematics are right.

For every parameter: the posterior probability below the truth, which is uniform if the posterior is right
(simulation-based calibration in its continuous form, Talts et al. 2018, arXiv:1804.06788), coverage of central
intervals, rms, bias, and the Kolmogorov–Smirnov distance from uniform.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from quietspec.arrays import BySpectrum, FloatArray
from quietspec.denoisers import load_denoiser
from quietspec.lab.evaluation.calibration import LEVELS
from quietspec.lab.evaluation.protocol import test_draws, test_spectra
from quietspec.lab.simulate import Recipe

__all__ = ["ParameterErrors", "parameter_errors", "parameters_table"]

_BINS = 20


@dataclass(frozen=True, eq=False)
class ParameterErrors(BySpectrum):
    """Errors of the posterior of one parameter.

    Parameters
    ----------
    below : (n_spectra,)
        Posterior probability below the truth.
    error : (n_spectra,)
        Posterior mean minus truth.
    """

    below: FloatArray
    error: FloatArray

    def scores(self) -> dict[str, float]:
        """Number, rms, bias, coverage of central intervals, and KS test against uniform, of the known values."""
        from scipy.stats import kstest

        known = np.isfinite(self.below)
        below, error = self.below[known], self.error[known]
        uniform = kstest(below, "uniform")
        return {
            "n": int(known.sum()),
            "rms": float(np.sqrt(np.mean(error**2))),
            "bias": float(error.mean()),
            **{f"coverage{name}": float(np.mean(np.abs(below - 0.5) < level / 2)) for name, level in LEVELS.items()},
            "ks_distance": float(uniform.statistic),
            "ks_p": float(uniform.pvalue),
        }

    def histogram(self) -> list[int]:
        """Counts of the probabilities in 20 bins, flat if the posterior is right."""
        counts: list[int] = np.histogram(self.below, _BINS, (0, 1))[0].tolist()
        return counts


def parameter_errors(recipe: Recipe, snr: float, n: int, seed: int, batch: int) -> dict[str, ParameterErrors]:
    """Denoise test spectra, and compare the posteriors of their parameters with the truth.

    Parameters
    ----------
    recipe : Recipe
        The simulated world; its shipped posterior is tested.
    snr : float
        S/N of the spectra.
    n : int
        Number of spectra.
    seed : int
        Seed of spectra and noise.
    batch : int
        Spectra observed together; recipe `survey` makes one galaxy of them.

    Returns
    -------
    dict of str to ParameterErrors
        Errors by parameter.
    """
    model = load_denoiser("posterior", recipe.name)
    found: dict[str, list[ParameterErrors]] = {}
    sets = (rest[i : i + batch] for rest in test_spectra(recipe, n, seed) for i in range(0, len(rest), batch))
    for number, rest in enumerate(sets):
        simulated = test_draws(seed, number, snr).observe(recipe, rest, snr)
        posterior = model.denoise(simulated.observed).parameter_posterior
        if posterior is None:
            continue
        for name in (one for one in posterior.names if one in simulated.parameters):
            truth = simulated.parameters[name]
            errors = ParameterErrors(posterior.cdf(name, truth), posterior.mean(name) - truth)
            found.setdefault(name, []).append(errors)
    return {name: ParameterErrors.stack(parts) for name, parts in found.items()}


def parameters_table(title: str, by_parameter: Mapping[str, Mapping[str, Any]]) -> Table:
    """Tabulate the scores of the parameters.

    Parameters
    ----------
    title : str
        Title of the table.
    by_parameter : mapping of str to mapping
        `ParameterErrors.scores` by parameter.

    Returns
    -------
    rich.table.Table
        One row per parameter.
    """
    table = Table(title=title, box=None)
    for column in ("parameter", "rms", "bias", "50 %", "68 %", "95 %", "KS distance"):
        table.add_column(column, justify="right")
    for name, row in by_parameter.items():
        cover = (f"{100 * row[f'coverage{level}']:.1f}" for level in ("50", "68", "95"))
        table.add_row(name, f"{row['rms']:.3f}", f"{row['bias']:+.3f}", *cover, f"{row['ks_distance']:.3f}")
    return table
