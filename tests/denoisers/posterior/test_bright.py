"""Spectra far brighter than any model is exact: every stated error is positive, and true or flagged."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quietspec
from quietspec.denoised import Flag
from quietspec.denoisers import Posterior
from quietspec.denoisers.posterior.coordinates import Coordinates, PreparedPrior
from quietspec.denoisers.posterior.grid import inflation_of
from quietspec.denoisers.posterior.inference import infer
from quietspec.denoisers.posterior.linear import Projections
from quietspec.denoisers.spatial.stack import Stack

from ..conftest import draw, small_prior
from .test_kinematic_denoiser import denoiser, moving  # noqa: F401

DOUBTFUL = int(Flag.POOR_FIT | Flag.MISSCALED | Flag.UNLIKE_PRIOR)


@pytest.fixture(scope="module")
def shipped():
    return quietspec.load_denoiser("posterior")


@pytest.fixture(scope="module")
def noiseless(shipped):
    """Four spectra as the shipped model describes them, with errors of S/N 20."""
    cube = quietspec.read(quietspec.demo_cube())[9:11, 9:11]
    found = shipped.denoise(cube)
    known = np.isfinite(found.flux)
    flux = np.where(known, found.flux, 0)
    return replace(cube, flux=flux, ivar=np.where(known, 400 / np.median(flux, axis=1)[:, None] ** 2, 0))


@given(exponent=st.floats(-4, 12), bright=st.floats(0.0, 6.0), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_errors_are_raised_to_an_snr_of_1000_whatever_the_unit(exponent, bright, seed):
    rng = np.random.default_rng(seed)
    snr = 10**bright * rng.uniform(0.5, 2.0, (3, 301))
    flux, used = 10.0**exponent * rng.uniform(0.9, 1.1, (3, 301)), rng.random((3, 301)) > 0.2
    weight = np.where(used, (snr / flux) ** 2, 0)
    found = inflation_of(np.where(used, flux, np.nan), weight)
    median = np.array([np.median(row[good]) for row, good in zip(snr, used, strict=True)])
    np.testing.assert_allclose(found, np.maximum(median / 1000, 1), rtol=1e-6)
    assert (found[median < 1000] == 1).all()


def test_a_bright_line_on_a_faint_continuum_is_not_a_bright_spectrum():
    flux = np.ones((1, 500))
    flux[0, 200:240] = 1e6
    assert inflation_of(flux, np.full(flux.shape, 100.0)) == 1


@pytest.mark.parametrize(("bright", "expected"), [(900.0, 1.0), (4000.0, 4.0), (1e6, 1e3)])
def test_errors_are_raised_where_part_of_the_pixels_is_bright(bright, expected):
    snr = np.where(np.arange(500) < 150, bright, 20.0)[None]
    np.testing.assert_allclose(inflation_of(np.ones((1, 500)), snr**2), expected)


@pytest.mark.parametrize("snr", [4e3, 1e4])
def test_spectra_of_which_part_is_bright_lie_within_their_errors(denoiser, snr):  # noqa: F811
    spectra, truth, *_ = moving(4, 20, np.random.default_rng(39))
    sigma = np.where(np.arange(spectra.n_pixels) < 0.45 * spectra.n_pixels, truth / snr, truth / 20)
    noise = np.random.default_rng(40).normal(size=truth.shape)
    found = denoiser.denoise(replace(spectra, flux=truth + sigma * noise, ivar=sigma**-2))
    assert not (found.flags & int(Flag.UNDETERMINED)).any()
    assert np.sqrt(np.mean(((found.flux - truth) / found.sigma) ** 2)) < 1.3


@pytest.mark.parametrize("snr", [10.0, 300.0, 1e3, 3e3, 1e4, 1e5])
def test_own_spectra_lie_within_positive_errors(denoiser, snr):  # noqa: F811
    spectra, truth, velocity, sigma = moving(12, snr, np.random.default_rng(31))
    found = denoiser.denoise(spectra)
    assert np.isfinite(found.flux).all()
    assert (found.sigma > 0).all()
    for name, (_, error) in found.parameters.items():
        assert (error > 0).all(), name
    assert np.sqrt(np.mean(((found.flux - truth) / found.sigma) ** 2)) < 1.3
    for name, value in (("velocity", velocity), ("sigma", sigma)):
        mean, error = found.parameters[name]
        assert np.sqrt(np.mean(((mean - value) / error) ** 2)) < 1.5, name


@pytest.mark.parametrize("snr", [3e3, 1e5, 1e9])
def test_beyond_an_snr_of_1000_errors_say_no_more(denoiser, snr):  # noqa: F811
    spectra, *_ = moving(3, 1e3, np.random.default_rng(32))
    level = np.median(np.abs(spectra.flux), axis=1)[:, None]
    expected, found = (denoiser.denoise(replace(spectra, ivar=(s / level) ** 2 + 0 * spectra.flux)) for s in (2e3, snr))
    np.testing.assert_allclose(found.flux, expected.flux, rtol=1e-5)
    np.testing.assert_allclose(found.sigma, expected.sigma, rtol=1e-3)
    np.testing.assert_allclose(found.noise_scale, snr / 1e3, rtol=1e-6)
    np.testing.assert_allclose(found.evidence, expected.evidence, rtol=1e-3)


@pytest.mark.parametrize("factor", [1e-17, 1e15])
def test_bright_spectra_go_through_in_any_unit(denoiser, factor):  # noqa: F811
    spectra, *_ = moving(2, 2e4, np.random.default_rng(33))
    one = denoiser.denoise(spectra)
    other = denoiser.denoise(replace(spectra, flux=spectra.flux * factor, ivar=spectra.ivar / factor**2))
    np.testing.assert_allclose(other.flux, one.flux * factor, rtol=1e-5)
    np.testing.assert_allclose(other.sigma, one.sigma * factor, rtol=1e-3)
    np.testing.assert_array_equal(other.flags, one.flags)


@pytest.mark.parametrize("snr", [300.0, 3e3, 1e5])
def test_the_shipped_model_tells_the_truth_of_bright_spectra_or_flags_them(shipped, noiseless, snr):
    ivar = noiseless.ivar * (snr / 20) ** 2
    noise = np.random.default_rng(34).normal(size=ivar.shape) / np.sqrt(np.where(ivar > 0, ivar, np.inf))
    found = shipped.denoise(replace(noiseless, flux=noiseless.flux + noise, ivar=ivar))
    known = np.isfinite(found.flux)
    assert known.any(axis=1).all()
    assert (found.sigma[known] > 0).all()
    for name in ("velocity", "sigma", "log_age_lw", "mh_lw"):
        assert (found.parameters[name][1] > 0).all(), name
    off = np.nanmean(((found.flux - noiseless.flux) / found.sigma) ** 2, axis=1) ** 0.5
    assert ((off < 1.5) | (found.flags & DOUBTFUL > 0)).all()
    assert (found.noise_scale >= 0.999 * snr / 1e3).all()


@pytest.mark.parametrize("noise", ["quoted", "measured"])
def test_a_prior_with_motions_in_its_basis_takes_bright_spectra(noise):
    spectra, truth, *_ = draw(small_prior(), 6, 1e5, np.random.default_rng(35))
    found = Posterior("posterior", small_prior(), noise=noise).denoise(spectra)
    assert (found.sigma > 0).all()
    assert (np.abs(found.flux - truth) < 5 * found.sigma).all()
    np.testing.assert_allclose(found.noise_scale, np.median(np.abs(spectra.flux), axis=1) * 1e2, rtol=0.01)


def known_to(precision, coordinates, n=4):
    """Projections that know all coordinates this well, as those of bright spectra, about draws from the prior."""
    size = coordinates.size
    start = coordinates.centre + np.random.default_rng(36).normal(size=(n, size)) * 0.1
    gram = np.broadcast_to(np.diag(np.geomspace(precision, 1.0, size)), (n, size, size)).copy()
    return Projections(start, gram, np.zeros((n, size)), np.zeros((n, 0)), np.zeros(n))


def test_double_precision_agrees_with_single_where_that_suffices():
    coordinates = Coordinates(PreparedPrior(small_prior()), np.eye(5))
    data = known_to(1e3, coordinates)
    single = infer(data, coordinates, np.ones(4))
    double = infer(data, coordinates, np.ones(4), bright=np.ones(4, dtype=bool))
    for name in ("mean", "covariance", "log_evidence", "dof"):
        np.testing.assert_allclose(getattr(double, name), getattr(single, name), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(double.labels.sigma("mh_mw"), single.labels.sigma("mh_mw"), rtol=1e-3)
    some = infer(data, coordinates, np.ones(4), bright=np.array([False, True, False, True]))
    np.testing.assert_array_equal(some.mean[[0, 2]], single.mean[[0, 2]])
    np.testing.assert_array_equal(some.mean[[1, 3]], double.mean[[1, 3]])


def test_a_variance_that_rounding_made_negative_is_no_error(denoiser):  # noqa: F811
    spectra, *_ = moving(1, 50, np.random.default_rng(37))
    grid = denoiser.grid(spectra, 0.0, 0)
    batch = denoiser.batch(spectra, np.array([0]), grid)
    state = grid.model.start(0.0, 4.7, grid.model.coordinates.populations.centre, 50.0)
    data = grid.model.linearise(state).marginalise(batch.flux[0], batch.weight[0])
    assert (data.errors(50.0) > 0).all()
    with pytest.raises(np.linalg.LinAlgError, match="not positive"):
        replace(data, gram=-data.gram).errors(50.0)


def test_the_sum_of_many_spaxels_may_be_bright(denoiser):  # noqa: F811
    spectra, *_ = moving(4, 300, np.random.default_rng(38), velocity=0, sigma=150)
    grid = denoiser.grid(spectra, 0.0, 0)
    batch = denoiser.batch(spectra, np.arange(4), grid)
    found = []
    for number in (1e4, 1e8):
        stack = Stack(batch.flux.shape[1])
        stack.add(batch.flux, number * batch.weight, np.full(4, 300.0), np.full(4, 9e7 * number))
        found.append(stack.fit(grid, "none"))
    one, other = found
    np.testing.assert_allclose(other.shape, one.shape, atol=1e-3)
    np.testing.assert_allclose(other.label_covariance, one.label_covariance, rtol=0.02)
