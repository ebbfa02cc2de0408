"""Diagnosis: evidences against dense linear algebra, what must never matter, and outsiders known to be outsiders."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal

from quietspec import demo_cube, load_denoiser, read
from quietspec.denoised import Flag
from quietspec.denoisers import Posterior, SpectralPrior
from quietspec.denoisers.posterior.diagnosis import SYMPTOMS, SymptomLaws, Symptoms, diagnose, measure
from quietspec.denoisers.posterior.features import FeatureScan
from quietspec.denoisers.posterior.sky import SKY_WINDOWS
from quietspec.indices.posterior import fitted_redshift
from quietspec.spectra import Spectra
from quietspec.wavelengths import SPEED_OF_LIGHT, in_window

from ..conftest import draw

WAVELENGTH = np.arange(3700.0, 7400.0, 3.0)


def lined_prior() -> SpectralPrior:
    """A prior of two groups of absorption lines of varying depth, and a slope."""
    rng = np.random.default_rng(3)
    lines = np.exp(-0.5 * ((WAVELENGTH - rng.uniform(3700, 7400, (80, 1))) / 4) ** 2)
    depth = rng.uniform(0.1, 0.5, 80)
    x = np.linspace(-1, 1, len(WAVELENGTH))
    return SpectralPrior(
        wavelength=WAVELENGTH,
        fwhm=np.full(len(WAVELENGTH), 5.0),
        mean=1 + 0.2 * x - depth @ lines,
        components=np.stack([x, depth[:40] @ lines[:40], depth[40:] @ lines[40:]]),
        truncation=np.zeros(len(WAVELENGTH)),
        weights=np.array([0.5, 0.5]),
        means=np.array([[0.1, 0.2, 0.0], [-0.1, 0.0, 0.2]]),
        covariances=np.stack([np.diag([0.01, 0.04, 0.04])] * 2),
        label_names=(),
        labels=np.zeros((2, 0)),
        slopes=np.zeros((2, 0, 3)),
        label_covariances=np.zeros((2, 0, 0)),
        card={"emission": "none", "noise": "quoted"},
    )


def galaxies(prior: SpectralPrior, n: int, snr: float, seed: int) -> Spectra:
    """Spectra from the prior, without the labels that `draw` makes of priors that have them."""
    rng = np.random.default_rng(seed)
    labelled = replace(prior, labels=np.zeros((2, 2)), slopes=np.zeros((2, 2, 3)))
    return draw(labelled, n, snr, rng)[0]


class World:
    """A denoiser, its scan, and a calibration from galaxies of its prior."""

    def __init__(self) -> None:
        self.prior = lined_prior()
        self.denoiser = Posterior("posterior", self.prior)
        self.scan = FeatureScan(self.prior)
        parts = [self.measure(galaxies(self.prior, 250, snr, 10 + number)) for number, snr in enumerate((3, 10, 30))]
        self.symptoms = Symptoms.stack(parts)
        self.calibration = SymptomLaws.fit(self.symptoms, n_knots=3)

    def measure(self, spectra: Spectra) -> Symptoms:
        return measure(self.denoiser.denoise(spectra), self.scan)

    def diagnose(self, spectra: Spectra):
        return diagnose(self.measure(spectra), self.calibration)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_evidence_is_that_of_dense_gaussians(world) -> None:
    scan, rng = world.scan, np.random.default_rng(0)
    size, margin = scan._size, scan._margin
    n_bins = size + 2 * margin
    seen = slice(500, 800)
    precision = np.zeros((1, n_bins))
    precision[:, seen] = rng.uniform(50, 500, (1, 300))
    feature = 0.1 * rng.standard_normal((1, n_bins))
    features = np.fft.irfft(np.conj(np.stack([scan._mean, *scan._components])), scan._length)[:, :size]
    lags = np.array([-40, 0, 17])
    evidence, fall = scan._evidence(precision * feature, precision, lags + margin)
    for column, lag in enumerate(lags):
        shifted = np.zeros((len(features), n_bins))
        shifted[:, lag + margin : lag + margin + size] = features
        noise = np.diag(1 / precision[0, seen])
        mean, components, data = shifted[0, seen], shifted[1:, seen], feature[0, seen]
        smooth = multivariate_normal(np.zeros(300), noise).logpdf(data)
        galaxy = multivariate_normal(mean, noise + components.T @ components).logpdf(data)
        assert evidence[0, column] == pytest.approx(galaxy - smooth, rel=2e-3, abs=0.02)
    assert np.all(fall >= 2 * evidence - 1e-3)  # ln |H| ≥ 0


@settings(max_examples=8, deadline=None)
@given(exponent=st.integers(-18, 18), row=st.integers(0, 3))
def test_scale_masked_values_and_company_never_matter(world, exponent, row) -> None:
    spectra = galaxies(world.prior, 4, 10, 1)
    bad = np.random.default_rng(row).random(spectra.flux.shape) < 0.1
    masked = replace(spectra, ivar=np.where(bad, 0, spectra.ivar))
    expected = world.measure(masked)
    factor = 10.0**exponent
    scaled = replace(masked, flux=np.where(bad, np.nan, masked.flux * factor), ivar=masked.ivar / factor**2)
    found = world.measure(scaled[[row]])
    assert_allclose(found.values[0], expected.values[row], rtol=1e-3, atol=0.02)
    assert_allclose(found.signal[0], expected.signal[row], rtol=1e-6)


def test_galaxies_are_seldom_flagged(world) -> None:
    for seed, snr in ((30, 3), (31, 10), (32, 30)):
        found = world.diagnose(galaxies(world.prior, 200, snr, seed))
        assert np.all((found.p_value >= 0) & (found.p_value <= 1))
        assert np.mean(found.p_value < 0.01) < 0.06
        assert_array_equal(found.flags > 0, found.p_value < 0.01)


@pytest.mark.parametrize("velocity", [-9000.0, 2000.0, 25000.0])
def test_wrong_redshift_is_caught_and_found(world, velocity) -> None:
    spectra = galaxies(world.prior, 30, 15, 40)
    wrong = spectra.with_redshift((1 + velocity / 299792.458) * 1.1 - 1)
    moved = replace(wrong, wavelength=spectra.wavelength * 1.1)
    found = world.diagnose(moved)
    assert np.mean(found.p_value < 0.01) > 0.95
    assert np.mean(found.flags == Flag.WRONG_REDSHIFT) > 0.9
    right = (1 + found.velocity / 299792.458) * (1 + velocity / 299792.458)
    assert np.median(np.abs(right - 1)) * 299792.458 < 300


def test_star_is_told_from_a_wrong_redshift(world) -> None:
    found = world.diagnose(galaxies(world.prior, 30, 15, 41).with_redshift(0.05))
    assert np.mean(found.flags == Flag.STAR) > 0.9
    assert np.median(found.velocity) == pytest.approx(-0.05 / 1.05 * 299792.458, abs=300)


def test_other_outsiders_and_their_reasons(world) -> None:
    spectra, rng = galaxies(world.prior, 30, 15, 42), np.random.default_rng(5)
    noise = replace(spectra, flux=spectra.sigma * rng.standard_normal(spectra.flux.shape))
    smooth = replace(noise, flux=noise.flux + 1 + 1e-4 * (WAVELENGTH - 5500))
    cases = {
        Flag.NO_SIGNAL: (noise,),
        Flag.NOT_GALAXY: (smooth,),
        Flag.MISSCALED: tuple(replace(spectra, ivar=spectra.ivar * factor**2) for factor in (0.5, 2)),
    }
    for flag, worlds in cases.items():
        for each in worlds:
            assert np.mean(world.diagnose(each).flags == flag) > 0.9, flag.name


def test_what_gas_lines_confirm_is_a_galaxy_however_smooth_its_stars(world) -> None:
    spectra, rng = galaxies(world.prior, 30, 15, 42), np.random.default_rng(5)
    flux = 1 + 1e-4 * (WAVELENGTH - 5500) + spectra.sigma * rng.standard_normal(spectra.flux.shape)
    symptoms, confirmed = world.measure(replace(spectra, flux=flux)), np.arange(30) % 2 == 0
    found = diagnose(replace(symptoms, confirmed=confirmed), world.calibration)
    assert np.mean(found.flags[confirmed] == Flag.UNLIKE_PRIOR) > 0.9
    assert np.mean(found.flags[~confirmed] == Flag.NOT_GALAXY) > 0.9
    assert_array_equal(found.p_value, diagnose(symptoms, world.calibration).p_value)


def test_strong_lines_are_what_confirms(world) -> None:
    denoised = world.denoiser.denoise(galaxies(world.prior, 2, 15, 42))
    lined = replace(denoised, flags=denoised.flags | np.array([0, int(Flag.STRONG_LINES)]))
    assert_array_equal(measure(lined, world.scan).confirmed, [False, True])


def with_air(spectra: Spectra, size: float, seed: int) -> Spectra:
    """Spectra with broad residuals of the air in its bands, of a root mean square over the noise, of one exposure."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(6860, 7500, 8)
    waves = rng.standard_normal(8) @ np.exp(-0.5 * ((spectra.wavelength - centre[:, None]) / 40) ** 2)
    inside = np.any([(spectra.wavelength > low) & (spectra.wavelength < high) for low, high in SKY_WINDOWS], axis=0)
    waves *= size * inside / np.sqrt(np.mean(waves[inside] ** 2))
    return replace(spectra, flux=spectra.flux + spectra.sigma * waves)


def piece(spectra: Spectra, low: float, high: float) -> Spectra:
    """Pixels of spectra at redshift 0.1 between two observed wavelengths, Å."""
    seen = in_window(spectra.wavelength * 1.1, (low, high))
    there = replace(spectra, wavelength=1.1 * spectra.wavelength[seen], flux=spectra.flux[:, seen],
                    ivar=spectra.ivar[:, seen], fwhm=None)  # fmt: skip
    return there.with_redshift(0.1)


def laws_of_pieces(world: World, low: float, high: float) -> SymptomLaws:
    """Laws of galaxies of which as much is seen."""
    return SymptomLaws.fit(world.measure(piece(galaxies(world.prior, 250, 15, 100), low, high)), n_knots=2)


@settings(max_examples=6, deadline=None)
@given(size=st.floats(0.1, 0.8), seed=st.integers(0, 99), low=st.sampled_from([6800.0, 6900.0, 7100.0]))
def test_residuals_of_the_air_in_a_short_piece_are_no_stranger(world, size, seed, low) -> None:
    spectra = piece(galaxies(world.prior, 40, 15, seed), low, 7460.0)
    symptoms, with_residuals = world.measure(spectra), world.measure(with_air(spectra, size, seed))
    features = slice(SYMPTOMS.index("unexplained") + 1)
    assert_array_equal(with_residuals.values[:, features], symptoms.values[:, features])
    assert np.mean(diagnose(with_residuals, laws_of_pieces(world, low, 7460.0)).flags > 0) <= 0.1


def test_a_stranger_in_a_piece_that_ends_in_the_air_is_one(world) -> None:
    seen = 6600.0, 7240.0
    spectra, laws = piece(galaxies(world.prior, 30, 15, 44), *seen), laws_of_pieces(world, *seen)
    wrong = spectra.with_redshift(1.1 * (1 - 9000 / SPEED_OF_LIGHT) - 1)
    galaxies_found, strangers_found = (
        diagnose(world.measure(with_air(each, 0.8, 0)), laws).flags for each in (spectra, wrong)
    )
    assert np.mean(galaxies_found > 0) <= 0.1
    assert np.mean(strangers_found == Flag.WRONG_REDSHIFT) > 0.9


def test_spectra_without_an_estimate_get_no_p_value(world) -> None:
    spectra = galaxies(world.prior, 3, 10, 43)
    ivar = spectra.ivar.copy()
    ivar[1] = 0
    found = world.diagnose(replace(spectra, ivar=ivar, redshift=np.array([0.0, 0.0, np.nan])))
    assert_array_equal(np.isnan(found.p_value), [False, True, True])
    assert_array_equal(found.flags[1:], Flag.OK)


def test_calibration_gives_back_its_quantiles_and_goes_on_beyond() -> None:
    rng = np.random.default_rng(0)
    n = 20000
    zero = np.zeros(n)
    exponential = rng.exponential(size=(n, len(SYMPTOMS)))
    symptoms = Symptoms(exponential, rng.uniform(10, 100, n), zero, zero, zero, zero > 0, zero > 0, zero > 0)
    calibration = SymptomLaws.fit(symptoms, n_knots=4)
    again = SymptomLaws.from_dict(calibration.to_dict())
    for value, tolerance in ((0.693, 0.1), (2.0, 0.1), (4.0, 0.1), (9.0, 0.3)):
        asked = replace(symptoms, values=np.full((n, len(SYMPTOMS)), value))
        assert_allclose(np.log(calibration.tails(asked)[:, :4]), -value, rtol=tolerance)
        assert_allclose(again.tails(asked), calibration.tails(asked), rtol=1e-2)


def test_the_world_of_the_heavier_tail_counts() -> None:
    rng = np.random.default_rng(0)
    zero = np.zeros(500)
    values, none = rng.standard_normal((500, len(SYMPTOMS))), zero > 0
    one = Symptoms(values, rng.uniform(10, 100, 500), zero, zero, zero, none, none, none)
    wide = replace(one, values=3 * one.values)
    few = wide[:5]
    quantiles = [SymptomLaws.fit(one, other).quantiles for other in (wide, few)]
    assert np.all(quantiles[0][..., 1:] > quantiles[1][..., 1:])
    assert_array_equal(quantiles[1], SymptomLaws.fit(one).quantiles)


def test_short_spectra_are_judged_by_the_odds_where_laws_are_sharper() -> None:
    rng = np.random.default_rng(0)
    zero = np.zeros(500)
    values, none = rng.uniform(-1, 0, (500, len(SYMPTOMS))), zero > 0
    dull = Symptoms(values, rng.uniform(10, 100, 500), zero, zero, zero, none, none, none)
    asked = replace(dull, values=np.full((500, len(SYMPTOMS)), np.log(50)), short=np.arange(500) < 100)
    tails = SymptomLaws.fit(dull).tails(asked)[:, SYMPTOMS.index("featureless")]
    assert_allclose(tails[:100], 1 / 50)
    assert np.all(tails[100:] < 1e-6)


def test_pieces_are_short_and_whole_spectra_are_not(world) -> None:
    spectra = galaxies(world.prior, 2, 15, 42)
    assert not world.measure(spectra).short.any()
    assert world.measure(piece(spectra, 5000.0, 5300.0)).short.all()


@pytest.mark.parametrize("velocity", [-1200.0, 900.0])
def test_a_redshift_that_is_nearly_right_is_mended(velocity) -> None:
    cube = read(demo_cube())
    bright = cube[np.argsort(cube.snr)[-2:]]
    redshift = bright.redshift + (1 + bright.redshift) * velocity / SPEED_OF_LIGHT
    denoiser = load_denoiser("posterior")
    expected, found = denoiser.denoise(bright), denoiser.denoise(bright.with_redshift(redshift))
    assert (found.flags & Flag.WRONG_REDSHIFT != 0).all()
    assert_allclose(fitted_redshift(found), fitted_redshift(expected), atol=30 / SPEED_OF_LIGHT)
    assert_allclose(found.evidence, expected.evidence, rtol=0.01)  # of the same data, whatever the noise was taken for
