"""The recovery experiment: arms, scores against closed forms, the limit against brute force, stores that resume."""

import json
from dataclasses import replace

import numpy as np
import pytest

from quietspec.denoisers import Posterior
from quietspec.errors import QuietspecError
from quietspec.lab.evaluation.drawn import DrawnGalaxies
from quietspec.lab.evaluation.recovery import Arm, ArmResult, Recovery, RecoverySettings, recipe_options, recover
from quietspec.lab.simulate import PaperRecipe, SurveyRecipe
from quietspec.lab.training import MixtureSettings, PriorSettings, fit_prior


@pytest.fixture(scope="module")
def recipe(tiny_library):
    return PaperRecipe(tiny_library, limits=(4300.0, 5300.0))


@pytest.fixture(scope="module")
def posterior(recipe):
    rng = np.random.default_rng(3)
    rest = recipe.rest(1000, rng)
    settings = PriorSettings(n_components=5, mixture=MixtureSettings(n_mixture=4, max_iter=5))
    sigma = recipe.noise.relative_sigma(rest.wavelength)[0].astype(float)
    card = {"emission": "none", "noise": "quoted"}
    return Posterior("posterior", fit_prior(rest, sigma, recipe.library.fwhm, rng, settings, card=card))


def result(values, truth, inside=None, trusted=None):
    values, truth = np.asarray(values, float), np.asarray(truth, float)
    inside = np.zeros(len(values), dtype=bool) if inside is None else np.asarray(inside)
    trusted = np.ones(len(values), dtype=bool) if trusted is None else np.asarray(trusted)
    return ArmResult(
        values={"age": values, "mh": values},
        truth={"age": truth, "mh": truth},
        inside={"age": inside, "mh": inside},
        trusted=trusted,
        seconds=np.full(len(values), 0.1),
    )


def test_arms_know_their_denoiser_and_errors():
    assert Arm("noisy", 1).denoiser is None
    assert Arm("limit", 1).denoiser is None
    assert Arm("populations", 1).denoiser == "posterior"
    assert (Arm("eut-position", 1).denoiser, Arm("eut-position", 1).errors) == ("eut-position", "input")
    assert (Arm("posterior-covariance", 1).denoiser, Arm("posterior-covariance", 1).errors) == (
        "posterior",
        "covariance",
    )


def test_scores_by_hand():
    scores = result([1.0, 2.0, 4.0, 99.0], [1.0, 1.0, 2.0, 0.0], [True, False, True, True], [True, True, True, False])
    scores = scores.scores()
    assert scores["n"] == 3
    assert scores["untrusted"] == 0.25
    assert scores["age_rms"] == pytest.approx(np.sqrt(5 / 3))
    assert scores["age_bias"] == pytest.approx(1.0)
    assert scores["age_scatter"] == pytest.approx(np.sqrt(2 / 3))
    assert scores["age_slope"] == pytest.approx(2.5)  # of (1, 1), (1, 2), (2, 4)
    assert scores["age_coverage68"] == pytest.approx(2 / 3)


def test_equivalent_snr_lies_on_the_ladder():
    rng = np.random.default_rng(0)
    truth = rng.uniform(8, 10, 4000)
    unit = rng.standard_normal(4000)
    unit /= np.sqrt(np.mean(unit**2))
    ladder = {snr: result(truth + unit / snr, truth) for snr in (5.0, 10.0, 20.0)}
    recovery = Recovery("paper", "tiny", 0, (5.0,), recipe_options(None), {}, ladder)
    assert recovery.equivalent_snr("age", 1 / 10) == (pytest.approx(10), False)
    assert recovery.equivalent_snr("age", 1 / 14)[0] == pytest.approx(14, rel=1e-6)
    assert recovery.equivalent_snr("age", 1 / 50) == (pytest.approx(20), True)
    assert recovery.equivalent_snr("age", 5.0) == (pytest.approx(5), False)
    assert np.isnan(replace(recovery, ladder={}).equivalent_snr("age", 0.1)[0])


def test_limit_weighs_galaxies_by_their_likelihood(recipe, posterior):
    drawn = DrawnGalaxies(recipe, posterior.prior, 300, np.random.default_rng(5))
    simulated = recipe.simulate(4, np.random.default_rng(6), 2.0)
    found = drawn(simulated)
    rest = recipe.rest(300, np.random.default_rng(5))
    basis = posterior.prior.on_pixels(recipe.library.wavelength, recipe.library.fwhm)
    weight = 1 / recipe.noise.relative_sigma(rest.wavelength)[0].astype(float) ** 2
    design = basis.vectors * np.sqrt(weight)[:, None]
    coefficients = np.linalg.lstsq(design, (rest.flux * np.sqrt(weight)).T, rcond=None)[0]
    spectra = (basis.vectors @ coefficients).T
    for row in range(4):
        ivar = simulated.observed.ivar[row].astype(float)
        ivar /= 1 + ivar * basis.truncation**2
        flux = simulated.observed.flux[row].astype(float)
        power = (spectra**2 * ivar).sum(axis=1)
        scale = (spectra * flux * ivar).sum(axis=1) / power
        chi2 = ((flux - scale[:, None] * spectra) ** 2 * ivar).sum(axis=1)
        likelihood = -0.5 * chi2 - 0.5 * np.log(power)
        weights = np.exp(likelihood - likelihood.max())
        weights /= weights.sum()
        truth = simulated.parameters["mh_mw"][row]
        assert found.means["mh_mw"][row] == pytest.approx(weights @ rest.parameters["mh_mw"], rel=1e-4)
        below = weights @ (rest.parameters["mh_mw"] < truth)
        assert found.below["mh_mw"][row] == pytest.approx(below, abs=1e-4)
        assert found.effective[row] == pytest.approx(1 / np.sum(weights**2), rel=1e-3)


def test_experiment_of_all_arms_resumes_from_its_store(recipe, posterior, tmp_path):
    pytest.importorskip("ppxf")
    names = ("noisy", "posterior", "posterior-flat", "posterior-sigma", "posterior-covariance", "populations", "limit")
    lines: list[str] = []

    def run(**changes):
        arms = [Arm(name, 4) for name in names]
        options = replace(recipe_options(recipe), velocity_scale=400.0)
        settings = RecoverySettings(options=options, n_ladder=0, n_galaxies=2000, store=tmp_path, **changes)
        return recover(recipe, {"posterior": posterior}, arms, [5.0], settings, log=lines.append)

    first = run()
    assert len(lines) == len(names)
    content = first.to_json()
    json.dumps(content)
    assert set(content["arms"]) == set(names)
    assert content["arms"]["populations"]["5"]["n"] == 4
    assert "noisy" in content["beside_limit"]
    again = run()
    assert len(lines) == len(names)  # nothing was done again
    np.testing.assert_array_equal(first.arms["noisy"][5.0].values["age"], again.arms["noisy"][5.0].values["age"])
    run(seed=1)
    assert len(lines) == 2 * len(names)


def test_spectra_of_several_batches_are_scored_together(recipe, posterior):
    settings = RecoverySettings(options=recipe_options(recipe), n_ladder=0)
    found = recover(recipe, {"posterior": posterior}, [Arm("populations", 130)], [20.0], settings)
    arm = found.arms["populations"][20.0]
    assert len(arm) == 130
    assert np.isfinite(arm.values["mh"]).all()
    assert len(np.unique(arm.truth["mh"])) > 120


def test_arms_that_cannot_be_run_say_why(recipe, posterior, tiny_library):
    with pytest.raises(QuietspecError, match="no denoiser 'wiener'"):
        recover(recipe, {}, [Arm("wiener-sigma", 3)], [5.0])
    with pytest.raises(QuietspecError, match="needs the denoiser 'posterior'"):
        recover(recipe, {}, [Arm("limit", 3)], [5.0])
    survey = SurveyRecipe(tiny_library)
    with pytest.raises(QuietspecError, match="leave it out"):
        recover(survey, {"posterior": posterior}, [Arm("limit", 3)], [5.0])
