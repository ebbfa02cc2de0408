"""Stellar populations from a denoiser's posterior: without a fit of their own, with errors that include the prior."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoised import FAILURES, Denoised, Flag
from quietspec.errors import SpectraError
from quietspec.indices import IndexDefinition, fitted_redshift, indices_of
from quietspec.lines.quantities import line_quantities
from quietspec.populations.result import CENTRAL, PopulationFlag, Populations

__all__ = ["posterior_populations"]

_DOUBTFUL = Flag.WRONG_REDSHIFT | Flag.STAR | Flag.NOT_GALAXY | Flag.UNLIKE_PRIOR | Flag.NO_SIGNAL | Flag.POOR_FIT


def posterior_populations(denoised: Denoised, indices: Iterable[str | IndexDefinition] = ()) -> Populations:
    """Read ages, metallicities, M/L, dust and kinematics from a denoiser's posterior.

    Parameters
    ----------
    denoised : Denoised
        Result of the denoiser ``posterior`` or ``wiener``; emission lines are measured where it fitted them.
    indices : iterable of str or IndexDefinition, optional
        Spectral indices to measure, too, at the fitted redshift.

    Returns
    -------
    Populations
        Posterior means, and intervals between the posterior's quantiles. In the simulated world these contain the truth
        as often as they claim (``docs/populations.md``). Joint draws come from ``denoised.parameter_posterior.draw``.

    Raises
    ------
    SpectraError
        If the denoiser has no posterior of parameters.
    """
    posterior = denoised.parameter_posterior
    if posterior is None or not posterior.names:
        raise SpectraError(f"{denoised.model}: this denoiser finds no stellar populations; use 'posterior'.")
    tail = (1 - CENTRAL) / 2
    failed = (denoised.flags & int(FAILURES)) != 0
    doubtful = (denoised.flags & int(_DOUBTFUL)) != 0
    flags = np.where(failed, int(PopulationFlag.NO_DATA), np.where(doubtful, int(PopulationFlag.DOUBTFUL), 0))
    flags |= denoised.flags & int(Flag.PRIOR_LABELS | Flag.ULTRAVIOLET)
    return Populations(
        method=f"posterior of {denoised.model}",
        values={name: posterior.mean(name) for name in posterior.names},
        low={name: posterior.quantile(name, tail) for name in posterior.names},
        high={name: posterior.quantile(name, 1 - tail) for name in posterior.names},
        flags=flags,
        reasons=np.array([_names(int(flag)) for flag in denoised.flags], dtype=np.str_),
        chi2=np.divide(denoised.chi2, denoised.dof, out=np.full(len(denoised), np.nan), where=denoised.dof > 0),
        seconds=np.full(len(denoised), np.nan),
        further=_further(denoised, tuple(indices)),
    )


def _further(
    denoised: Denoised, indices: tuple[str | IndexDefinition, ...]
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Lines and indices, by name."""
    found: dict[str, tuple[FloatArray, FloatArray]] = {}
    if denoised.lines is not None:
        found |= {name: (value, error) for name, value, error in line_quantities(denoised.lines)}
    if indices:
        measured = indices_of(denoised, indices, redshift=fitted_redshift(denoised))
        columns = zip(measured.definitions, measured.values.T, measured.errors.T, strict=True)
        found |= {f"index_{one.name}": (value, error) for one, value, error in columns}
    return found


def _names(flag: int) -> str:
    """Name the bits that make a spectrum's populations fail, doubtful, or little more than the prior."""
    return " ".join((member.name or "").lower() for member in Flag(flag) & (FAILURES | _DOUBTFUL | Flag.PRIOR_LABELS))
