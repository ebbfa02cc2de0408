"""How the volume of populations and calibrations that fit a spectrum grows with the width of its lines.

Broader lines tell less of populations, so that more of these fit. A model linearised about its best state has one
volume for all widths, and its u is too low, by half of the slope of the log determinant times the variance of u: by a
quarter of its error at S/N 50. That slope is one more gradient, of u and, as far as they broaden lines too, of h3 and
h4.

References
----------
Tierney & Kadane 1986, Journal of the American Statistical Association 81, 82 (the determinant in marginal densities).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.kinematics import WIDTH_SIZE
from quietspec.denoisers.posterior.linearised import Marginalised, solved_triangle
from quietspec.denoisers.posterior.pixel_model import PixelModel

__all__ = ["with_volume"]

_STEP = 0.1  # of u
_WIDTH = 1  # place of u among the coordinates


def with_volume(model: PixelModel, marginalised: Marginalised, weight: FloatArray) -> Marginalised:
    """Add what the volume of all other coordinates says of the width.

    Parameters
    ----------
    model : PixelModel
        The model.
    marginalised : Marginalised
        What the data say about the best state.
    weight : (n_pixels,)
        Inverse variances.

    Returns
    -------
    Marginalised
        About the same state, with another gradient.
    """
    state = marginalised.linearised.state
    wider = model.linearise(replace(state, width=state.width + _STEP))
    growth = _log_determinant(marginalised) - _log_determinant(wider.marginalise(np.zeros_like(weight), weight))
    slope = 0.5 * growth * WIDTH_SIZE / _STEP
    rest = np.zeros(len(marginalised.offset))
    rest[:2] = slope * _broadening(marginalised, weight)
    half = solved_triangle(marginalised.inner_factor, rest[:, None])
    gradient = marginalised.gradient - rest @ marginalised.response
    gradient[_WIDTH] += slope
    return replace(
        marginalised,
        gradient=gradient,
        chi2=marginalised.chi2 - float(2 * rest @ marginalised.offset + np.sum(half**2)),
        offset=marginalised.offset + solved_triangle(marginalised.inner_factor, half, transposed=True)[:, 0],
    )


def _log_determinant(marginalised: Marginalised) -> float:
    """Log determinant of the precision of all coordinates but u."""
    _, prior = marginalised.prior(marginalised.linearised.state.scale)
    precision = marginalised.gram + np.diag(prior)
    others = np.delete(np.delete(precision, _WIDTH, axis=0), _WIDTH, axis=1)
    return float(np.linalg.slogdet(others)[1] + 2 * np.log(np.diagonal(marginalised.inner_factor)).sum())


def _broadening(marginalised: Marginalised, weight: FloatArray) -> FloatArray:
    """By how much h3 and h4 broaden lines, (2,), over what u does, each in units of its prior."""
    linearised = marginalised.linearised
    widened = linearised.design[:, _WIDTH]
    moments = linearised.design[:, linearised.n_stars - 2 : linearised.n_stars]
    weighted = weight * widened
    return np.asarray((weighted @ moments) / (weighted @ widened), dtype=np.float64)
