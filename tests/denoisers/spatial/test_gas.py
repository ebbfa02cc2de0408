"""What a galaxy says of the motion of its gas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quietspec.denoisers.posterior.gas import GasState
from quietspec.denoisers.posterior.kinematics import State
from quietspec.denoisers.spatial.gas import _VELOCITIES, _WIDTHS, GasLikelihoods, GasMotions, motions_of_gas
from quietspec.denoisers.spatial.neighbourhoods import Neighbourhoods
from quietspec.lines.results import FittedLines
from quietspec.noise import NoiseCorrelation

SIDE = 12
PLACES = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij"), axis=-1).reshape(-1, 2).astype(float)
STARS = 15.0 * (PLACES[:, 0] - SIDE / 2)
EVERYONE = np.ones(len(STARS), dtype=bool)
SIGMA = float(np.log(50.0))


def faint(velocity: np.ndarray, strength: np.ndarray | float) -> GasLikelihoods:
    """Lines of some χ² at velocities, which are as wide as 90 km/s with the instrument, and SIGMA."""
    n = len(velocity)
    offset = STARS[:, None, None] + _VELOCITIES[:, None] - velocity[:, None, None]
    near = np.exp(-0.5 * (offset / 120.0) ** 2 - 0.5 * ((_WIDTHS - SIGMA) / 1.0) ** 2)
    logs = 0.5 * np.broadcast_to(strength, n)[:, None, None] * near - 1.0
    nothing = np.zeros((n, 2))
    return GasLikelihoods(np.zeros(n, dtype=bool), STARS, logs.astype(np.float32), nothing, nothing + 1e-8)


def with_bright(data: GasLikelihoods, rows: np.ndarray, velocity: np.ndarray) -> GasLikelihoods:
    """Let some spaxels have lines whose motions were fitted."""
    moves, mean, precision = data.moves.copy(), data.mean.copy(), data.precision.copy()
    moves[rows], mean[rows], precision[rows] = True, np.stack([velocity, velocity * 0 + SIGMA], axis=1), (25.0, 25.0)
    precision[rows, 0] = 5.0**-2
    return replace(data, moves=moves, mean=mean, precision=precision)


def learned(data: GasLikelihoods, errors: float = 5.0) -> GasMotions:
    sky = Neighbourhoods(PLACES, EVERYONE, NoiseCorrelation(), apart=True)
    return motions_of_gas(data, STARS, np.full(len(STARS), errors), EVERYONE, sky)


CENTRE = np.flatnonzero(np.hypot(*(PLACES - SIDE / 2 + 0.5).T) < 3)


@pytest.mark.parametrize("factor", [1.2, -0.9])
def test_faint_lines_are_expected_where_the_gas_of_the_galaxy_rotates(factor: float) -> None:
    rng = np.random.default_rng(1)
    truth = factor * STARS + 10.0 + 15 * rng.normal(size=len(STARS))
    seen = truth[CENTRE] + 5 * rng.normal(size=len(CENTRE))
    data = with_bright(faint(truth, rng.uniform(0, 12, len(truth))), CENTRE, seen)
    known = learned(data)
    assert known.told.mean() > 0.95
    assert np.sqrt(np.mean((known.mean[:, 0] - truth) ** 2)) < 25
    assert 0.3 < np.std((known.mean[:, 0] - truth) / known.error[:, 0]) < 1.3
    assert np.median(known.mean[:, 1]) == pytest.approx(SIGMA, abs=0.2)


def test_a_galaxy_may_have_bright_lines_alone() -> None:
    every = np.arange(len(STARS))
    data = with_bright(faint(STARS, 6.0), every, 1.1 * STARS)
    known = learned(data)
    assert known.told.all()
    assert np.abs(known.mean[:, 0] - 1.1 * STARS).max() < 15


@pytest.mark.parametrize("number", [0, 1, 2])
def test_few_members_say_nothing_of_the_others(number: int) -> None:
    members = np.zeros(len(STARS), dtype=bool)
    members[:number] = True
    data = with_bright(faint(STARS, 6.0), CENTRE, STARS[CENTRE])
    sky = Neighbourhoods(PLACES, EVERYONE, NoiseCorrelation(), apart=True)
    known = motions_of_gas(data, STARS, np.full(len(STARS), 5.0), members, sky)
    assert not known.told.any()


def test_without_gas_nothing_is_said() -> None:
    rng = np.random.default_rng(2)
    noise = faint(STARS + rng.normal(0, 300, len(STARS)), rng.uniform(0, 4, len(STARS)))
    known = learned(noise)
    assert not known.told.any()
    assert known.law(0) is None


def test_a_stray_line_teaches_its_neighbours_nothing_and_keeps_to_itself() -> None:
    truth = STARS.copy()
    data = with_bright(faint(truth, 6.0), CENTRE, truth[CENTRE])
    stray = np.array([13])
    known, clean = learned(with_bright(data, stray, truth[stray] - 400.0)), learned(data)
    assert not known.told[stray]
    others = np.delete(np.arange(len(truth)), stray)
    assert np.abs(known.mean[others, 0] - clean.mean[others, 0]).max() < 15


def test_what_is_known_of_the_stars_only_makes_gas_as_uncertain_as_these() -> None:
    truth = STARS.copy()
    data = with_bright(faint(truth, 0.0), CENTRE, truth[CENTRE])
    far = np.flatnonzero(np.hypot(*(PLACES - SIDE / 2 + 0.5).T) > 6)
    assert learned(data, errors=60.0).error[far, 0].min() > 60.0 > learned(data, errors=5.0).error[far, 0].max()


def test_evidence_of_scanned_lines_is_highest_where_they_are() -> None:
    data = faint(STARS + 100.0, 30.0)
    narrow = np.tile(np.diag([20.0**2, 0.3**2]), (len(STARS), 1, 1))
    at = [np.stack([STARS + offset, STARS * 0 + SIGMA], axis=1) for offset in (0.0, 100.0)]
    assert (data.log_evidence(at[1], narrow) > data.log_evidence(at[0], narrow) + 2).all()
    precision, gradient = data.gaussians(at[0], narrow)
    moved = np.linalg.solve(precision + np.linalg.inv(narrow), gradient[..., None])[:, 0, 0]
    assert (moved > 5).all()
    assert (moved < 100).all()


def test_faint_lines_are_placed_and_fitted_motions_are_joined() -> None:
    motions = GasMotions(np.array([True, False]), np.array([[40.0, 4.0]] * 2), np.array([[10.0, 0.1]] * 2))
    resting = GasState(0.0, 4.5, np.zeros(3), 0.0, moves=False)
    empty = np.empty(0)
    state = State(velocity=0.0, width=4.6, populations=empty, shape=empty, calibration=empty, scale=1.0, gas=resting)
    placed, left = motions.placed([state, state])
    assert placed.gas is not None
    assert (placed.gas.velocity, placed.gas.width) == (40.0, 4.0)
    assert left is state
    lines = FittedLines(empty, empty, empty, 20.0, 4.2, np.array([10.0, 0.1]), components=1)
    joined = motions.added(0, lines)
    assert (joined.velocity, joined.log_sigma) == (pytest.approx(30.0), pytest.approx(4.1))
    assert joined.motion_errors == pytest.approx(np.array([10.0, 0.1]) / np.sqrt(2))
    assert motions.added(1, lines) is lines
    assert motions.added(0, replace(lines, components=2)).velocity == 20.0
