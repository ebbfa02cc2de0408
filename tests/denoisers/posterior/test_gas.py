"""Emission lines fitted with the stars: fluxes, their errors, motions, and stars that do not notice."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.denoisers import KinematicPosterior, Posterior
from quietspec.denoisers.posterior.calibration import CalibrationLaw
from quietspec.denoisers.posterior.gas import LineModel
from quietspec.errors import ModelError, SpectraError
from quietspec.spectra import Spectra
from quietspec.wavelengths import EMISSION_LINES, FWHM_PER_SIGMA, SPEED_OF_LIGHT

from ..conftest import small_prior
from .rest_frame import WAVELENGTH, rest_prior

REST = np.arange(4200.0, 6600.0, 1.2)
FWHM = 3.0
REDSHIFT = 0.02
VERY_SMALL = CalibrationLaw(smooth=1e-4, grey=1e-4, waves=((100.0, 1e-4),))


def with_lines(flux, strengths, velocity=80.0, sigma=120.0):
    """Add lines of rest-frame fluxes by name to spectra on REST, (n, n_pixels)."""
    flux = flux.copy()
    for name, strength in strengths.items():
        centre = EMISSION_LINES[name] * np.exp(velocity / SPEED_OF_LIGHT)
        width = np.hypot(FWHM / FWHM_PER_SIGMA, centre * sigma / SPEED_OF_LIGHT)
        profile = np.exp(-0.5 * ((REST - centre) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        flux += np.reshape(strength, (-1, 1)) * profile
    return flux


@pytest.fixture(scope="module")
def stars():
    """Sixty spectra drawn from a prior at rest, of mean flux about 1."""
    prior = rest_prior()
    rng = np.random.default_rng(4)
    member = rng.integers(prior.n_mixture, size=60)
    half = np.linalg.cholesky(prior.covariances)[member]
    shapes = prior.means[member] + np.einsum("nij,nj->ni", half, rng.normal(size=(60, prior.n_components)))
    flux = prior.mean + shapes @ prior.components
    return np.array([np.interp(REST, WAVELENGTH, one) for one in flux])


def observed(flux, snr, seed=0):
    noise = np.random.default_rng(seed).normal(size=flux.shape) / snr
    return Spectra(
        wavelength=REST * (1 + REDSHIFT), flux=flux + noise, ivar=np.full(flux.shape, snr**2.0),
        redshift=np.full(len(flux), REDSHIFT), medium="air", fwhm=np.full(len(REST), FWHM * (1 + REDSHIFT)),
    )  # fmt: skip


def fitted(spectra, emission="fit"):
    return KinematicPosterior("gas", rest_prior(), VERY_SMALL, emission, "quoted").denoise(spectra)


def test_the_design_is_the_derivative_of_the_lines():
    model = LineModel(REST, np.full(len(REST), FWHM))
    state = replace(model.start(40.0, 90.0, moves=True), flux=np.linspace(1, 3, model.size))
    lines = model.design(state, 1.0)
    rng = np.random.default_rng(1)
    step = 1e-4 * rng.normal(size=lines.size)
    moved = model.design(state.moved(step, 1.0), 1.0)
    nothing = np.zeros(len(REST))
    change = (lines.left(nothing) - moved.left(nothing))[lines.rows]
    np.testing.assert_allclose(change, lines.columns @ step, atol=2e-4 * np.abs(lines.flux).max())


def test_lines_lie_only_on_the_pixels_of_their_design():
    model = LineModel(REST, np.full(len(REST), FWHM))
    lines = model.design(replace(model.start(0.0, 90.0, moves=False), flux=np.ones(model.size)), 1.0)
    assert np.all(np.diff(lines.rows) > 0)
    assert lines.left(np.zeros(len(REST)))[lines.rows].sum() == pytest.approx(-lines.flux.sum())
    total = sum(ratio for group in model.groups for _, ratio in group.members)
    assert lines.flux.sum() * (REST[1] - REST[0]) == pytest.approx(total, rel=1e-2)


def test_fluxes_and_motions_are_recovered_with_their_errors(stars):
    strengths = {"Hbeta": 2.0, "[OIII]5007": 5.0, "[OIII]4959": 5.0 / 2.98, "Halpha": 6.0}
    found = fitted(observed(with_lines(stars, strengths), 30.0))
    for name in ("Hbeta", "[OIII]5007", "[OIII]4959", "Halpha"):
        line = found.line(name)
        pulls = (line.flux - strengths[name] * (1 + REDSHIFT)) / line.error
        assert abs(pulls.mean()) < 0.5
        assert 0.7 < pulls.std() < 1.35
    for (value, error), truth in zip((found.lines.velocity.T, found.lines.sigma.T), (80.0, 120.0), strict=True):
        pulls = (value - truth) / error
        assert abs(pulls.mean()) < 0.6
        assert 0.6 < pulls.std() < 1.5


def test_where_there_are_no_lines_fluxes_are_noise_about_zero(stars):
    found = fitted(observed(stars, 20.0))
    pulls = np.array([found.line(name).snr for name in ("Hgamma", "Hbeta", "[OIII]5007", "HeI5876", "Halpha")])
    assert abs(pulls.mean()) < 0.2
    assert 0.8 < pulls.std() < 1.2
    assert (found.line("Hbeta").flux < 0).any()


def test_the_estimate_of_the_stars_holds_no_lines(stars):
    strengths = {"Hbeta": 4.0, "[OIII]5007": 20.0, "[OIII]4959": 20.0 / 2.98, "Halpha": 12.0}
    found, bare = fitted(observed(with_lines(stars, strengths), 40.0)), fitted(observed(stars, 40.0))
    near = np.abs(REST - 5008.2) < 8
    assert np.abs(found.flux - stars)[:, near].max() < 0.1
    errors = [np.sqrt(np.mean((one.flux - stars) ** 2)) for one in (found, bare)]
    assert errors[0] < 1.1 * errors[1]


def test_stars_under_lines_are_known_no_worse_than_behind_a_mask(stars):
    spectra = observed(with_lines(stars, {"Hbeta": 1.0, "Halpha": 3.0}), 15.0)
    errors = [np.sqrt(np.mean((fitted(spectra, how).flux - stars) ** 2)) for how in ("fit", "auto")]
    assert errors[0] < 1.03 * errors[1]


def test_lines_follow_a_selection_and_are_missing_behind_a_mask(stars):
    found = fitted(observed(stars[:6], 20.0))
    np.testing.assert_array_equal(found[2:4].line("Hbeta").flux, found.line("Hbeta").flux[2:4])
    with pytest.raises(SpectraError, match='emission="fit"'):
        fitted(observed(stars[:2], 20.0), "auto").line("Hbeta")


def test_a_prior_with_motions_in_its_basis_fits_no_lines():
    with pytest.raises(ModelError, match="emission 'fit' needs"):
        Posterior("posterior", small_prior(), emission="fit")
