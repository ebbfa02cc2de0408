"""The kinematic posterior as a denoiser: laws of the protocol, and truths inside its errors."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from quietspec.denoised import Flag
from quietspec.denoisers.posterior.calibration import CalibrationLaw
from quietspec.denoisers.posterior.fitted import square_root
from quietspec.denoisers.posterior.kinematic_denoiser import KinematicPosterior
from quietspec.denoisers.posterior.losvd import BroadeningTable, LosvdBasis, log_width
from quietspec.errors import ModelError
from quietspec.spectra import Spectra

from ..conftest import small_prior
from .rest_frame import rest_prior

REST = np.arange(4300.0, 6300.0, 2.0)
LAW = CalibrationLaw(0.01, 0.0, ((200.0, 0.01),))


def moving(n, snr, rng, velocity=None, sigma=None):
    """Draws from the prior in motion, with calibration errors and noise; their truths and motions."""
    prior = rest_prior()
    basis = LosvdBasis(BroadeningTable(prior), REST)
    member = rng.integers(prior.n_mixture, size=n)
    half = np.linalg.cholesky(prior.covariances)[member]
    shapes = prior.means[member] + np.einsum("nij,nj->ni", half, rng.normal(size=(n, prior.n_components)))
    velocity = np.clip(rng.normal(0, 90, n), -250, 250) if velocity is None else np.full(n, float(velocity))
    sigma = np.exp(rng.uniform(np.log(60), np.log(300), n)) if sigma is None else np.full(n, float(sigma))
    vectors = [basis.at(v, float(log_width(s))) for v, s in zip(velocity, sigma, strict=True)]
    truth = np.stack([one @ np.concatenate([[1.0], shape]) for one, shape in zip(vectors, shapes, strict=True)])
    truth = truth * LAW.knots(REST).draw(n, rng)
    flux = truth + rng.normal(size=truth.shape) / snr
    spectra = Spectra(
        wavelength=REST, flux=flux, ivar=np.full(flux.shape, float(snr) ** 2), redshift=np.zeros(n), medium="air"
    )
    return spectra, truth, velocity, sigma


@pytest.fixture(scope="module")
def denoiser():
    return KinematicPosterior("kinematic", rest_prior(), LAW)


def test_truths_lie_within_the_errors_as_often_as_stated(denoiser):
    spectra, truth, velocity, sigma = moving(150, 20, np.random.default_rng(1))
    found = denoiser.denoise(spectra)
    inside = {
        "flux": np.abs(found.flux - truth) < found.sigma,
        "velocity": np.abs(found.parameters["velocity"][0] - velocity) < found.parameters["velocity"][1],
        "sigma": np.abs(found.parameters["sigma"][0] - sigma) < found.parameters["sigma"][1],
    }
    for name, count in inside.items():
        assert 0.57 < count.mean() < 0.82, name  # h3 and h4 are allowed for, and are none here
    assert np.sqrt(np.mean((found.flux - truth) ** 2)) < 0.3 / 20
    assert found.chi2.sum() / found.dof.sum() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("factor", [1e-17, 3e8])
def test_flux_scale_goes_through(denoiser, factor):
    spectra, *_ = moving(3, 15, np.random.default_rng(2))
    one = denoiser.denoise(spectra)
    other = denoiser.denoise(replace(spectra, flux=spectra.flux * factor, ivar=spectra.ivar / factor**2))
    np.testing.assert_allclose(other.flux, one.flux * factor, rtol=1e-5)
    np.testing.assert_allclose(other.sigma, one.sigma * factor, rtol=1e-4)
    np.testing.assert_array_equal(other.flags, one.flags)


def test_masked_pixels_never_matter(denoiser):
    spectra, *_ = moving(2, 15, np.random.default_rng(3))
    ivar = spectra.ivar.copy()
    ivar[:, 300:380] = 0
    flux = spectra.flux.copy()
    flux[:, 300:380] = np.nan
    one = denoiser.denoise(replace(spectra, ivar=ivar))
    other = denoiser.denoise(replace(spectra, ivar=ivar, flux=flux))
    np.testing.assert_array_equal(one.flux, other.flux)
    assert np.isfinite(one.flux[:, 300:380]).all()
    assert (one.sigma[:, 300:380].mean(axis=1) > one.sigma[:, :300].mean(axis=1)).all()


def test_no_spectrum_depends_on_its_company(denoiser):
    spectra, *_ = moving(5, 12, np.random.default_rng(4))
    together = denoiser.denoise(spectra)
    alone = denoiser.denoise(spectra[2])
    assert (
        np.abs(alone.flux[0] - together.flux[2]) < 0.02 * together.sigma[2]
    ).all()  # rounding moves where a fit starts
    (one, error), (other, _) = alone.parameters["velocity"], together.parameters["velocity"]
    assert abs(one[0] - other[2]) < 0.05 * error[0]


@pytest.mark.parametrize("velocity", [-600.0, -300.0, 450.0, 600.0])
def test_velocities_as_far_as_a_wrong_redshift_are_found(denoiser, velocity):
    spectra, *_ = moving(12, 15, np.random.default_rng(5), velocity=velocity, sigma=100)
    mean, error = denoiser.denoise(spectra).parameters["velocity"]
    assert (np.abs(mean - velocity) < 4 * error).all()
    assert (error < 60).all()


def test_knowledge_grows_with_the_signal(denoiser):
    errors = []
    for snr in (3, 6, 12, 25, 50):
        spectra, *_ = moving(20, snr, np.random.default_rng(6))
        found = denoiser.denoise(spectra)
        errors.append([np.median(found.parameters[name][1]) for name in ("velocity", "sigma", "mh_mw")])
    assert (np.diff(errors, axis=0) < 0).all()


def test_covariance_has_the_errors_on_its_diagonal(denoiser):
    spectra, *_ = moving(3, 15, np.random.default_rng(7))
    found = denoiser.denoise(spectra)
    np.testing.assert_allclose(np.sqrt(np.diagonal(found.covariance(1))), found.sigma[1], rtol=1e-3)


def test_what_cannot_be_denoised_is_flagged(denoiser):
    spectra, *_ = moving(4, 10, np.random.default_rng(8))
    ivar = spectra.ivar.copy()
    ivar[0] = 0
    redshift = np.array([0.0, np.nan, 9.0, 0.0])
    found = denoiser.denoise(replace(spectra, ivar=ivar, redshift=redshift))
    assert list(found.flags[:3]) == [Flag.EMPTY, Flag.NO_REDSHIFT, Flag.OUT_OF_RANGE]
    assert np.isnan(found.flux[:3]).all()
    assert np.isfinite(found.flux[3]).all()


def test_denoiser_goes_to_other_processes(denoiser):
    spectra, *_ = moving(2, 10, np.random.default_rng(9))
    copied = pickle.loads(pickle.dumps(denoiser))  # noqa: S301
    np.testing.assert_array_equal(copied.denoise(spectra).flux, denoiser.denoise(spectra).flux)


def test_labels_that_the_data_do_not_determine_are_flagged(denoiser):
    """In 0.1.0 labels of bright star-forming galaxies fell back to the prior, and no flag said so."""
    loud, *_ = moving(4, 150, np.random.default_rng(20))
    faint, *_ = moving(4, 0.05, np.random.default_rng(20))
    assert ((denoiser.denoise(loud).flags & Flag.PRIOR_LABELS) > 0).mean() < 0.5
    assert (denoiser.denoise(faint).flags & Flag.PRIOR_LABELS).all()


def test_a_prior_with_motions_in_its_basis_is_refused():
    with pytest.raises(ModelError, match="has motions in its basis; `Posterior` takes it"):
        KinematicPosterior("kinematic", small_prior())


def test_without_higher_moments_losvds_are_gaussian():
    spectra, _, velocity, sigma = moving(6, 40, np.random.default_rng(21))
    gaussian = KinematicPosterior("kinematic", rest_prior(), LAW, higher_moments=False).denoise(spectra)
    free = KinematicPosterior("kinematic", rest_prior(), LAW).denoise(spectra)
    for name in ("h3", "h4"):
        assert not np.any(gaussian.parameters[name])
        assert (free.parameters[name][1] > 0.01).all()
    for name, truth in (("velocity", velocity), ("sigma", sigma)):
        mean, error = gaussian.parameters[name]
        assert (np.abs(mean - truth) < 4 * error).all()
        assert np.median(error) <= np.median(free.parameters[name][1])


def test_what_the_basis_leaves_out_counts_as_noise():
    spectra, *_ = moving(4, 60, np.random.default_rng(11))
    left_out = 0.05
    prior = rest_prior()
    lossy = replace(prior, truncation=np.full(len(prior.wavelength), left_out))
    found = KinematicPosterior("kinematic", lossy, LAW).denoise(spectra)
    noisier = replace(spectra, ivar=1 / (1 / spectra.ivar + left_out**2))
    expected = KinematicPosterior("kinematic", prior, LAW).denoise(noisier)
    for name in ("velocity", "sigma"):
        error = expected.parameters[name][1]
        np.testing.assert_allclose(found.parameters[name][1], error, rtol=0.1)
        assert (np.abs(found.parameters[name][0] - expected.parameters[name][0]) < 0.1 * error).all()


def test_errors_follow_the_noise_as_measured():
    spectra, *_ = moving(4, 20, np.random.default_rng(12))
    expected = KinematicPosterior("kinematic", rest_prior(), LAW).denoise(spectra)
    understated = replace(spectra, ivar=9 * spectra.ivar)
    found = KinematicPosterior("kinematic", rest_prior(), LAW, noise="measured").denoise(understated)
    np.testing.assert_allclose(found.noise_scale, 3, rtol=0.2)
    np.testing.assert_allclose(found.sigma.mean(axis=1), expected.sigma.mean(axis=1), rtol=0.2)
    np.testing.assert_allclose(found.evidence, expected.evidence, rtol=0.05)


def test_a_covariance_that_single_precision_spoilt_has_a_root():
    rng = np.random.default_rng(8)
    axes = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    covariance = (axes * np.array([2.4, 1.0, 0.3, 1e-3, 4e-7, -5e-7])) @ axes.T
    root = square_root(covariance)
    np.testing.assert_allclose(root @ root.T, covariance, rtol=0, atol=3e-6)
    whole = covariance + 1e-5 * np.eye(6)
    np.testing.assert_allclose(square_root(whole) @ square_root(whole).T, whole, rtol=0, atol=1e-9)
