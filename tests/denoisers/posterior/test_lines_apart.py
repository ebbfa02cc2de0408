"""Forbidden lines that move apart from the others: found where they do, not where they do not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quietspec.denoisers.posterior.gas import LineModel
from quietspec.denoisers.posterior.lines_apart import LinesApart
from quietspec.denoisers.posterior.second_gas import unpacked

from .test_gas import FWHM, REDSHIFT, REST, fitted, observed, stars, with_lines  # noqa: F401

BALMER = {"Hbeta": 5.0, "Halpha": 15.0}
FORBIDDEN = {"[OIII]5007": 9.0, "[OIII]4959": 9.0 / 2.98, "[NII]6583": 6.0, "[NII]6548": 6.0 / 3.05}
OFFSET = -150.0


@pytest.fixture(scope="module")
def found(stars):  # noqa: F811
    """Twelve spectra whose forbidden lines are 150 km/s bluer than the Balmer lines, and wider."""
    flux = with_lines(stars[:12], BALMER, sigma=60.0)
    return fitted(observed(with_lines(flux, FORBIDDEN, velocity=80.0 + OFFSET, sigma=90.0), 20.0))


@pytest.mark.parametrize("moves", [True, False])
def test_the_design_is_the_derivative_of_lines_apart(moves):
    model = LineModel(REST, np.full(len(REST), FWHM))
    start = model.start(40.0, 90.0, moves=moves)
    state = replace(start, flux=np.linspace(1, 3, model.size), further=LinesApart.by(-90.0, 0.2))
    lines = model.design(state, 1.0)
    assert lines.size == len(state.coordinates(1.0))
    step = 1e-4 * np.random.default_rng(1).normal(size=lines.size)
    if not moves:
        step[[0, 1, -2, -1]] = 0
    moved = model.design(state.moved(step, 1.0), 1.0)
    nothing, expected = np.zeros(len(REST)), np.zeros(len(REST))
    expected[lines.rows] = lines.columns @ step
    change = lines.left(nothing) - moved.left(nothing)
    np.testing.assert_allclose(change, expected, atol=2e-4 * np.abs(lines.flux).max())


@given(st.floats(-400, 400), st.floats(-1.4, 1.4))
def test_lines_apart_have_the_motion_that_is_asked_for_and_survive_packing(velocity, log_sigma):
    one = LinesApart.by(velocity, log_sigma)
    for again in (one, unpacked(np.concatenate([one.packed(), np.zeros(3)])), one.moved(np.zeros(2))):
        assert isinstance(again, LinesApart)
        first, own = again.motions((30.0, 4.5))
        assert first == (30.0, 4.5)
        assert own == pytest.approx((30.0 + velocity, 4.5 + log_sigma), abs=1e-9)


def test_motions_apart_are_found_with_their_errors(found):
    lines = found.lines
    np.testing.assert_array_equal(lines.apart, 1)
    np.testing.assert_array_equal(lines.components, 1)
    for values, truth in ((lines.velocity, 80.0), (lines.sigma, 60.0),
                          (lines.forbidden_velocity, 80.0 + OFFSET), (lines.forbidden_sigma, 90.0)):  # fmt: skip
        pulls = (values[:, 0] - truth) / values[:, 1]
        assert np.abs(pulls.mean()) < 1
        assert 0.4 < pulls.std() < 1.7


def test_fluxes_are_right_where_motions_are_apart(found):
    for name, flux in (BALMER | FORBIDDEN).items():
        line = found.line(name)
        pulls = (line.flux - flux * (1 + REDSHIFT)) / line.error
        assert np.abs(pulls.mean()) < 1
        assert pulls.std() < 1.6


def test_lines_of_one_motion_are_not_apart(stars):  # noqa: F811
    lines = fitted(observed(with_lines(stars, BALMER | FORBIDDEN), 20.0)).lines
    assert not lines.apart.any()
    np.testing.assert_array_equal(lines.forbidden_velocity, lines.velocity)
    np.testing.assert_array_equal(lines.forbidden_sigma, lines.sigma)


def test_covariances_come_back_from_the_compact_posterior(found):
    variance = np.sum(found.factor_of(0) ** 2, axis=1) + found.remainder[0] ** 2
    covered = np.isfinite(found.sigma[0]) & (found.sigma[0] > 0)
    ratio = np.sqrt(variance[covered]) / found.sigma[0][covered]
    assert abs(np.median(ratio) - 1) < 0.05
