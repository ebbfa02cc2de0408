"""The posterior denoiser: properties, closed forms, calibration."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, multivariate_normal

from quietspec.denoised import Flag
from quietspec.denoisers import Posterior, PrincipalComponents
from quietspec.denoisers.posterior.coordinates import Coordinates, PreparedPrior
from quietspec.denoisers.posterior.inference import infer
from quietspec.denoisers.posterior.labels import label_posterior
from quietspec.denoisers.posterior.linear import fit_linear, project
from quietspec.errors import ModelError
from quietspec.lab.simulate.noise import correlated_noise
from quietspec.parameters import ParameterPosterior
from quietspec.spectra import Spectra

from ...mixtures import merged_moments
from ..conftest import draw, left_of_labels, small_prior, with_parts


def all_denoisers(prior):
    return [Posterior("posterior", prior), Posterior("wiener", prior.collapsed()), PrincipalComponents("pca", prior, 4)]


def projected(prior, spectra, scale, rank=None):
    """Projections about the prior's mean spectrum at a scale, in the coordinates of the spectra's pixels."""
    coordinates = Coordinates(PreparedPrior(prior), np.vstack([prior.mean, prior.components]).T)
    start = np.asarray(scale)[:, None] * coordinates.centre
    residual = spectra.flux - start @ coordinates.vectors.T
    information = coordinates.information(spectra.ivar)
    return project(residual, spectra.ivar, start, coordinates, information, rank or coordinates.size), coordinates


def moments_of_d(found, coordinates):
    """Mean and covariance of d = T x."""
    transform = coordinates.transform
    return found.mean @ transform.T, transform @ found.covariance @ transform.T


@pytest.mark.parametrize("number", range(3))
@settings(max_examples=8, deadline=None)
@given(factor=st.floats(1e-18, 1e18), seed=st.integers(0, 100))
def test_flux_scale_goes_through(number, factor, seed):
    prior = small_prior()
    spectra, *_ = draw(prior, 3, 10, np.random.default_rng(seed))
    tool = all_denoisers(prior)[number]
    one = tool.denoise(spectra)
    other = tool.denoise(replace(spectra, flux=spectra.flux * factor, ivar=spectra.ivar / factor**2))
    np.testing.assert_allclose(other.flux, one.flux * factor, rtol=1e-6)
    np.testing.assert_allclose(other.sigma, one.sigma * factor, rtol=1e-6)
    np.testing.assert_array_equal(other.flags, one.flags)


@pytest.mark.parametrize("number", range(3))
def test_masked_pixels_never_matter(number, prior):
    rng = np.random.default_rng(1)
    spectra, *_ = draw(prior, 4, 10, rng)
    ivar, flux = spectra.ivar.copy(), spectra.flux.copy()
    bad = rng.random(flux.shape) < 0.4
    ivar[bad] = 0
    tool = all_denoisers(prior)[number]
    one = tool.denoise(replace(spectra, ivar=ivar))
    flux[bad] = rng.choice([np.nan, 1e30, -5.0, np.inf], size=bad.sum())
    other = tool.denoise(replace(spectra, flux=flux, ivar=ivar))
    np.testing.assert_array_equal(one.flux, other.flux)
    np.testing.assert_array_equal(one.sigma, other.sigma)
    assert np.isfinite(other.flux).all()


@pytest.mark.parametrize("number", range(3))
def test_shuffling_spectra_shuffles_results(number, prior):
    rng = np.random.default_rng(2)
    spectra, *_ = draw(prior, 20, 8, rng)
    spectra = replace(spectra, redshift=rng.choice([0.0, 0.01], 20))
    order = rng.permutation(20)
    tool = all_denoisers(prior)[number]
    np.testing.assert_allclose(tool.denoise(spectra[order]).flux, tool.denoise(spectra).flux[order], rtol=1e-6)


def test_infinite_noise_returns_the_prior(prior):
    spectra, *_ = draw(prior, 2, 1e-6, np.random.default_rng(3))
    projections, coordinates = projected(prior, spectra, [2.0, 2.0])
    found = infer(projections, coordinates, np.array([2.0, 2.0]))
    expected = prior.weights @ prior.means
    np.testing.assert_allclose(moments_of_d(found, coordinates)[0][:, 1:], np.stack([2 * expected] * 2), rtol=1e-3)
    labels = np.stack([found.labels.mean(name) for name in prior.label_names], axis=1)
    np.testing.assert_allclose(labels, np.stack([prior.weights @ prior.labels] * 2), rtol=1e-3)
    np.testing.assert_allclose(found.dof, 0, atol=1e-4)


def test_infinite_signal_returns_the_data(prior):
    spectra, truth, *_ = draw(prior, 3, 1e5, np.random.default_rng(4))
    for tool in all_denoisers(prior):
        np.testing.assert_allclose(tool.denoise(spectra).flux, truth, rtol=1e-4)


def test_posterior_equals_the_brute_force_mixture():
    """Mean, covariance and evidence against pixel-space formulae of each Gaussian, n_pixels × n_pixels."""
    prior = small_prior(n_mixture=3, n_components=3)
    spectra, *_ = draw(prior, 1, 4, np.random.default_rng(5))
    y, sigma, scale = spectra.flux[0], spectra.sigma[0], 1.07
    basis = np.vstack([prior.mean, prior.components]).T
    projections, coordinates = projected(prior, spectra, [scale])
    found = infer(projections, coordinates, np.array([scale]))
    found_mean, found_covariance = moments_of_d(found, coordinates)
    terms = []
    for k in range(3):
        start = np.r_[1.0, prior.means[k]]
        spread = scale**2 * np.outer(start, start)
        spread[1:, 1:] += scale**2 * prior.covariances[k]
        total = basis @ spread @ basis.T + np.diag(sigma**2)
        gain = spread @ basis.T @ np.linalg.inv(total)
        mean = scale * start + gain @ (y - scale * basis @ start)
        log_p = multivariate_normal(scale * basis @ start, total, allow_singular=True).logpdf(y)
        terms.append((np.log(prior.weights[k]) + log_p, mean, spread - gain @ basis @ spread))
    logs = np.array([term[0] for term in terms])
    weight = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
    mean = sum(w * term[1] for w, term in zip(weight, terms, strict=True))
    covariance = sum(w * (term[2] + np.outer(term[1], term[1])) for w, term in zip(weight, terms, strict=True))
    covariance -= np.outer(mean, mean)
    np.testing.assert_allclose(found_mean[0], mean, rtol=1e-5)
    np.testing.assert_allclose(found_covariance[0], covariance, rtol=1e-3, atol=1e-9)
    constant = -0.5 * np.sum(np.log(2 * np.pi * sigma**2))
    assert found.log_evidence[0] + constant == pytest.approx(np.logaddexp.reduce(logs), rel=1e-6)


def test_labels_follow_the_joint_gaussian():
    """One Gaussian over (coefficients, labels): the labels' posterior against conditioning the joint on the data."""
    prior = small_prior(n_mixture=1)
    spectra, *_ = draw(prior, 1, 3, np.random.default_rng(6))
    basis = np.vstack([prior.mean, prior.components]).T
    projections, coordinates = projected(prior, spectra, [1.0])
    found = infer(projections, coordinates, np.ones(1))
    c, slope = prior.covariances[0], prior.slopes[0]
    start = np.r_[1.0, prior.means[0]]
    spread = np.outer(start, start)
    spread[1:, 1:] += c
    total = basis @ spread @ basis.T + np.diag(spectra.sigma[0] ** 2)
    cross = slope @ c @ basis[:, 1:].T  # covariance of labels with the data
    expected = prior.labels[0] + cross @ np.linalg.solve(total, spectra.flux[0] - basis @ start)
    variance = slope @ c @ slope.T + prior.label_covariances[0] - cross @ np.linalg.solve(total, cross.T)
    np.testing.assert_allclose([found.labels.mean(name)[0] for name in prior.label_names], expected, rtol=1e-5)
    sigma = [found.labels.sigma(name)[0] for name in prior.label_names]
    np.testing.assert_allclose(sigma, np.sqrt(np.diag(variance)), rtol=1e-5)


def test_labels_follow_the_joint_mixture():
    """Three Gaussians over (coefficients, labels) with two parts each: six terms, each conditioned on the data."""
    prior = with_parts(small_prior(n_mixture=3))
    spectra, *_ = draw(prior, 1, 3, np.random.default_rng(16))
    basis = np.vstack([prior.mean, prior.components]).T
    projections, coordinates = projected(prior, spectra, [1.0])
    found = infer(projections, coordinates, np.ones(1)).labels
    y, logs, means, spreads = spectra.flux[0], [], [], []
    for k in range(3):
        c, slope, start = prior.covariances[k], prior.slopes[k], np.r_[1.0, prior.means[k]]
        spread = np.outer(start, start)
        spread[1:, 1:] += c
        total = basis @ spread @ basis.T + np.diag(spectra.sigma[0] ** 2)
        cross = slope @ c @ basis[:, 1:].T
        log_p = multivariate_normal(basis @ start, total, allow_singular=True).logpdf(y)
        for weight, offset, left in zip(
            prior.part_weights[k], prior.part_offsets[k], prior.part_covariances[k], strict=True
        ):
            logs.append(np.log(prior.weights[k] * weight) + log_p)
            means.append(prior.labels[k] + offset + cross @ np.linalg.solve(total, y - basis @ start))
            spreads.append(slope @ c @ slope.T + left - cross @ np.linalg.solve(total, cross.T))
    weights = np.exp(np.array(logs) - np.logaddexp.reduce(logs))
    expected = ParameterPosterior(prior.label_names, weights[None], np.array(means)[None], np.array(spreads)[None])
    for name in prior.label_names:
        assert found.mean(name)[0] == pytest.approx(expected.mean(name)[0], rel=1e-5)
        assert found.sigma(name)[0] == pytest.approx(expected.sigma(name)[0], rel=1e-5)
        for probability in (0.02, 0.3, 0.9):
            value = expected.quantile(name, probability)
            assert found.cdf(name, value)[0] == pytest.approx(probability, abs=1e-5)


@pytest.mark.parametrize("n_mixture", [2, 30])
def test_thinning_keeps_mean_and_covariance(n_mixture):
    prior = PreparedPrior(with_parts(small_prior(n_mixture=n_mixture)))
    rng = np.random.default_rng(n_mixture)
    weights = rng.dirichlet(np.full(n_mixture, 0.3), 5)
    labels, roots = rng.normal(size=(5, n_mixture, 2)), rng.normal(size=(5, n_mixture, 2, 2))
    spread = roots @ np.swapaxes(roots, 2, 3)
    thinned = label_posterior(weights, labels, spread, prior)
    part_weights, offsets, covariances = prior.label_parts
    assert thinned.weights.shape[1] == min(part_weights.size, 24)
    for row in range(5):
        every = (
            (weights[row, :, None] * part_weights).ravel(),
            (labels[row, :, None] + offsets).reshape(-1, 2),
            (spread[row, :, None] + covariances).reshape(-1, 2, 2),
        )
        one = thinned.weights[row], thinned.means[row], thinned.covariances[row]
        for before, after in zip(merged_moments(*every), merged_moments(*one), strict=True):
            np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


def test_labels_are_uniform_in_their_posterior_when_the_prior_is_right():
    """Simulation-based calibration, with labels of heavy tails; one Gaussian in their place is found out."""
    prior = with_parts(small_prior(n_mixture=2), offset=1.0)
    spectra, _, _, labels = draw(prior, 1500, 200, np.random.default_rng(17))
    one = replace(prior, part_weights=None, part_offsets=None, part_covariances=None)
    for index, name in enumerate(prior.label_names):
        found, gaussian = (
            kstest(
                Posterior("posterior", each).denoise(spectra).parameter_posterior.cdf(name, labels[:, index]), "uniform"
            )
            for each in (prior, one)
        )
        assert found.pvalue > 0.01
        assert gaussian.pvalue < 1e-4


def test_errors_and_labels_are_calibrated_when_the_prior_is_right():
    prior = small_prior(n_mixture=3)
    spectra, truth, _, labels = draw(prior, 600, 3, np.random.default_rng(7), scale=20.0)
    found = Posterior("posterior", prior).denoise(spectra)
    pull = (found.flux - truth) / found.sigma
    assert np.mean(np.abs(pull) < 1) == pytest.approx(0.683, abs=0.02)
    assert np.mean(np.abs(pull) < 1.96) == pytest.approx(0.95, abs=0.015)
    for i, name in enumerate(prior.label_names):
        mean, sigma = found.parameters[name]
        assert np.std((mean - labels[:, i]) / sigma) == pytest.approx(1, abs=0.08)
    standard = [
        np.linalg.lstsq(found.covariance_factor(row), found.flux[row] - truth[row], rcond=None)[0] for row in range(300)
    ]
    distance = np.sum(np.square(standard), axis=1)
    assert np.mean(distance) == pytest.approx(prior.n_components + 1, rel=0.2)
    assert np.mean(found.chi2 / found.dof) == pytest.approx(1, abs=0.01)
    assert np.mean(found.flags != 0) < 0.02


def test_mixture_beats_wiener_beats_the_noise(prior):
    spectra, truth, *_ = draw(prior, 300, 1.5, np.random.default_rng(8))
    residual = [np.sqrt(np.mean((tool.denoise(spectra).flux - truth) ** 2)) for tool in all_denoisers(prior)[:2]]
    noise = np.sqrt(np.mean((spectra.flux - truth) ** 2))
    assert residual[0] < residual[1] < 0.2 * noise


def test_scale_is_found_without_prior_knowledge(prior):
    spectra, *_ = draw(prior, 50, 5, np.random.default_rng(9), scale=1234.5)
    guess = spectra.flux.mean(axis=1)
    projections, coordinates = projected(prior, spectra, guess)
    fit = fit_linear(projections, coordinates, guess, 0.1 * guess)
    assert np.mean((fit.scale - 1234.5) ** 2 / fit.error**2) == pytest.approx(1, abs=0.6)


def test_covariance_matches_sigma_and_survives_slicing(prior):
    spectra, *_ = draw(small_prior(truncation=0.01), 5, 10, np.random.default_rng(10))
    found = Posterior("posterior", small_prior(truncation=0.01)).denoise(spectra)
    for row in (0, 4):
        np.testing.assert_allclose(np.sqrt(np.diag(found.covariance(row))), found.sigma[row], rtol=1e-6)
    np.testing.assert_allclose(found[4].covariance(0), found.covariance(4))


def test_flags_say_what_is_wrong(prior):
    spectra, *_ = draw(prior, 6, 10, np.random.default_rng(11))
    flux, ivar, redshift = spectra.flux.copy(), spectra.ivar.copy(), np.zeros(6)
    ivar[0] = 0
    redshift[1] = np.nan
    redshift[2] = 3.0
    flux[3] = np.random.default_rng(12).normal(size=flux.shape[1]) / 10
    flux[4, (spectra.wavelength > 5000) & (spectra.wavelength < 6000)] *= 3.0
    found = Posterior("posterior", prior).denoise(replace(spectra, flux=flux, ivar=ivar, redshift=redshift))
    flags = [Flag(int(flag)) for flag in found.flags]
    assert flags[0] == Flag.EMPTY
    assert flags[1] == Flag.NO_REDSHIFT
    assert flags[2] == Flag.OUT_OF_RANGE
    assert Flag.NO_SIGNAL in flags[3]
    assert Flag.POOR_FIT in flags[4]
    assert flags[5] == Flag.OK
    assert np.isnan(found.flux[:3]).all()
    assert np.isfinite(found.flux[3:]).all()
    assert np.isnan(found.parameters["mh_mw"][0][:3]).all()


def test_pixels_outside_the_prior_are_nan(prior):
    wavelength = np.arange(3000.0, 8000.0, 5.0)
    spectra = Spectra(
        wavelength=wavelength, flux=np.ones((1, 1000)), ivar=np.full((1, 1000), 100.0), redshift=0.0, medium="air"
    )
    found = Posterior("posterior", prior).denoise(spectra)
    covered = (wavelength >= prior.wavelength[0]) & (wavelength <= prior.wavelength[-1])
    np.testing.assert_array_equal(found.valid[0], covered)


def test_resolution_a_spectrum_has_is_given_to_the_basis():
    """A basis with a narrow line, seen at 20 Å FWHM: the estimate shows the smoothed line, its width in quadrature."""
    prior = small_prior(n_mixture=1, n_components=1)
    line = np.exp(-0.5 * ((prior.wavelength - 5500) / 10.0) ** 2)
    prior = replace(prior, mean=np.ones_like(line), components=line[None], means=np.zeros((1, 1)),
                    covariances=np.ones((1, 1, 1)), slopes=np.zeros((1, 2, 1)))  # fmt: skip
    fwhm = 40.0
    added = np.sqrt(fwhm**2 - 5.0**2) / 2.3548
    width = np.hypot(10.0, added)
    seen = 1 + 0.5 * 10 / width * np.exp(-0.5 * ((prior.wavelength - 5500) / width) ** 2)
    spectra = Spectra(wavelength=prior.wavelength, flux=seen[None], ivar=np.full((1, len(seen)), 1e8), redshift=0.0,
                      fwhm=np.full(len(seen), fwhm), medium="air")  # fmt: skip
    np.testing.assert_allclose(Posterior("posterior", prior).denoise(spectra).flux[0], seen, atol=2e-4)


@pytest.mark.parametrize("parts", [False, True])
def test_saved_prior_comes_back_the_same(prior, tmp_path, parts):
    path = tmp_path / "prior.npz"
    prior = with_parts(prior) if parts else prior
    prior.save(path)
    again = type(prior).load(path)
    assert again.hash == prior.hash
    assert again.card == prior.card
    assert again.label_names == prior.label_names
    np.testing.assert_allclose(again.covariances, prior.covariances, rtol=1e-6)
    np.testing.assert_allclose(again.components, prior.components, rtol=1e-6)
    assert (again.part_weights is not None) == parts
    for one, other in zip(prior.label_parts(), again.label_parts(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-6)
    assert [entry.name for entry in tmp_path.iterdir()] == ["prior.npz"]


def test_models_without_parts_keep_their_hash_and_those_with_have_another(prior):
    assert replace(prior, card={}).hash == prior.hash
    assert with_parts(prior).hash != prior.hash
    assert not {"part_weights", "part_offsets", "part_covariances"} & prior._arrays().keys()


@pytest.mark.parametrize("parts", [False, True])
def test_collapsed_prior_has_the_moments_of_the_mixture(prior, parts):
    rng = np.random.default_rng(13)
    prior = with_parts(prior) if parts else prior
    coefficients, labels = _sample(prior, 200_000, rng)
    one = prior.collapsed()
    assert one.part_weights is one.part_offsets is one.part_covariances is None
    np.testing.assert_allclose(one.means[0], coefficients.mean(axis=0), atol=2e-3)
    np.testing.assert_allclose(one.covariances[0], np.cov(coefficients.T), atol=3e-4)
    joint = np.cov(np.hstack([coefficients, labels]).T)
    d = prior.n_components
    np.testing.assert_allclose(one.slopes[0] @ one.covariances[0], joint[d:, :d], atol=3e-3)
    total = one.slopes[0] @ one.covariances[0] @ one.slopes[0].T + one.label_covariances[0]
    np.testing.assert_allclose(total, joint[d:, d:], atol=0.02)


def _sample(prior, n, rng):
    member = rng.choice(prior.n_mixture, n, p=prior.weights)
    half = np.linalg.cholesky(prior.covariances)
    offset = np.einsum("nij,nj->ni", half[member], rng.normal(size=(n, prior.n_components)))
    labels = prior.labels[member] + np.einsum("npi,ni->np", prior.slopes[member], offset)
    labels += left_of_labels(prior, member, rng)
    return prior.means[member] + offset, labels


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "damaged"), (b"not a model at all", "damaged"), (None, "no such model file")],
)
def test_bad_model_files_are_refused(tmp_path, prior, content, message):
    path = tmp_path / "model.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        type(prior).load(path)


def test_model_with_pickled_objects_is_refused(tmp_path, prior):
    path = tmp_path / "model.npz"
    np.savez(path, **prior._arrays(), header=np.array([{"format": 1}], dtype=object))
    with pytest.raises(ModelError, match="object of shape"):
        type(prior).load(path)


@pytest.mark.parametrize(
    ("correlation", "misscaled", "tolerance"), [(0.0, 1.0, 0.04), (0.4, 1.0, 0.06), (0.3, 0.6, 0.06)]
)
def test_noise_is_measured_where_the_quoted_errors_are_wrong(prior, correlation, misscaled, tolerance):
    """Channel correlation ρ at lag 1 makes broad features' errors √(1 + 2ρ + 2ρ₂) times larger; so do small errors."""
    spectra, truth, *_ = draw(prior, 200, 5, np.random.default_rng(14))
    noise = correlated_noise(truth.shape, np.random.default_rng(15), correlation)
    spectra = replace(spectra, flux=truth + noise / 5, ivar=spectra.ivar / misscaled**2)
    found = Posterior("posterior", prior, noise="measured").denoise(spectra)
    side = (1 - np.sqrt(1 - 2 * correlation**2)) / (2 * correlation) if correlation else 0.0
    expected = (1 + 2 * side) / np.sqrt(1 + 2 * side**2) / misscaled
    assert np.median(found.noise_scale) == pytest.approx(expected, rel=tolerance)
    pull = (found.flux - truth) / found.sigma
    assert np.mean(np.abs(pull) < 1) == pytest.approx(0.683, abs=0.04)
    believed = Posterior("posterior", prior, noise="quoted").denoise(spectra)
    assert (believed.noise_scale == 1).all()


def test_labels_stay_within_reach_of_those_simulated(prior):
    """However unlike the prior a spectrum is, its ages and metallicities do not run off the grid."""
    spectra, *_ = draw(prior, 4, 500, np.random.default_rng(21))
    odd = spectra.flux * (1 + 3 * np.sin(np.linspace(0, 40, spectra.n_pixels)))
    found = Posterior("posterior", prior).denoise(replace(spectra, flux=odd))
    low, high = PreparedPrior(prior).label_limits
    means = np.stack([found.parameters[name][0] for name in prior.label_names], axis=1)
    assert np.isfinite(means).all()
    assert (means >= low - 1e-5).all()
    assert (means <= high + 1e-5).all()
