"""The steps by which one spectrum is fitted: before gas and spikes are found, and after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.fitted import Fitted
from quietspec.denoisers.posterior.kinematics import MOTIONS, KinematicCoordinates, State
from quietspec.denoisers.posterior.motions import NARROWEST, WIDEST
from quietspec.denoisers.posterior.pixel_model import PixelModel
from quietspec.denoisers.posterior.sky_size import with_likeliest_sky
from quietspec.denoisers.posterior.volume import with_volume

__all__ = ["first_fit", "last_fit"]

_FIRST_STEPS, _LAST_STEPS = 2, 3  # most steps before gas and spikes are found, and after; faint spectra make one
_GAS_STEPS = 4  # further steps, at most, that find the motion of gas, and all in few coordinates
_STILL = 5.0, 0.03  # km/s and u: within a smaller step the model is as good as linear
_SURE = 15.0  # km/s, error of the velocity in a fit below which it is trusted whatever the scan says
_BROAD = 0.15  # 1σ of u beyond which its likelihood is evaluated, not taken for a Gaussian
_NODES = 5  # values of u at which that is done …
_NODE_REACH = 3.0  # … within so many σ of the peak


def first_fit(model: PixelModel, state: State, flux: FloatArray, weight: FloatArray) -> tuple[State, FloatArray, float]:
    """Fit one spectrum under one Gaussian.

    Parameters
    ----------
    model : PixelModel
        The model.
    state : State
        Where to begin.
    flux, weight : (n_pixels,)
        Data and inverse variances.

    Returns
    -------
    state : State
        The best state.
    residual : (n_pixels,)
        What it leaves.
    dof : float
        Number of coordinates that the data determine.
    """
    for _ in range(_FIRST_STEPS):
        linearised = model.linearise(state)
        residual = flux - linearised.model
        marginalised = linearised.marginalise(residual, weight)
        step, scale = marginalised.step
        state = state.moved(step, scale)
        if _is_still(step):
            break
    return state, residual - linearised.change(step), marginalised.determined(scale)


def last_fit(
    model: PixelModel, state: State, flux: FloatArray, weight: FloatArray, *, faint: bool, measured: bool
) -> Fitted:
    """Fit one spectrum once all that spoils it is left out, and say what the data tell about the best state.

    Parameters
    ----------
    model : PixelModel
        The model.
    state : State
        Where to begin.
    flux, weight : (n_pixels,)
        Data and inverse variances.
    faint : bool
        Whether the scan knows the motions better than a fit may, which then makes one step.
    measured : bool
        Whether the size of what the air leaves is measured.

    Returns
    -------
    Fitted
        It is faint only if the fit does not know the velocity well after all.
    """
    state, most = replace(state, sky=0.0), _LAST_STEPS if state.gas is None else _LAST_STEPS + _GAS_STEPS
    if faint and state.gas is not None:
        state = model.coarse.approached(state, flux, weight, _GAS_STEPS)
    if faint:
        most = 1 if state.gas is None else 2
    for last in range(most, 0, -1):
        linearised = model.linearise(state)
        residual = linearised.lines.left(flux - linearised.model)
        equations = linearised.normal_equations(residual, weight)
        marginalised = linearised.solved(equations)
        step, scale = marginalised.step
        velocity_error, error = marginalised.errors(scale)
        still = _is_still(step) and marginalised.gas_is_still(step)
        if last == 1 or still or (faint and velocity_error > _SURE):
            break
        state = state.moved(step, scale)
    if measured:
        marginalised = with_likeliest_sky(marginalised, equations, residual, weight)
    faint &= velocity_error > _SURE
    widths = np.empty(0)
    if not faint and error > _BROAD:
        centre, reach = state.width, _NODE_REACH * error
        widths = np.linspace(max(centre - reach, NARROWEST), min(centre + reach, WIDEST), _NODES)
    state = marginalised.linearised.state
    logs = [model.log_likelihood(state, float(width), flux, weight) for width in widths]
    if not faint and not widths.size:
        marginalised = with_volume(model, marginalised, weight)
    return Fitted(marginalised, faint, widths, np.array(logs))


def _is_still(step: FloatArray) -> bool:
    """Whether a step hardly moves velocity and u."""
    return bool(np.all(np.abs(step[:MOTIONS] * KinematicCoordinates.motion_sizes) < _STILL))
