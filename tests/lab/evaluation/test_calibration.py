"""Calibration: right errors pass every test, wrong ones fail it in the way that is known beforehand."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from quietspec.lab.evaluation import Calibration, EvaluationOptions, evaluate, measure_calibration
from quietspec.lab.evaluation.calibration import BINS, LEVELS
from quietspec.wavelengths import LINE_WINDOWS, in_window

from .known_errors import FACTOR, WAVELENGTH, Knows, World, run


def calibration(n: int, scale: float = 1.0, seed: int = 0) -> dict:
    return measure_calibration(*run(n, scale, seed)).to_json()


def test_right_errors_are_found_right() -> None:
    found = calibration(500)
    for name, nominal in LEVELS.items():
        assert found["levels"][name] == pytest.approx(nominal, abs=4 * found["errors"][name])
        assert found["latent"]["levels"][name] == pytest.approx(nominal, abs=0.04)
        for line in LINE_WINDOWS:
            if found["lines"][line] is not None:
                assert found["lines"][line][name] == pytest.approx(nominal, abs=0.08)
        for several in found["bins"].values():
            for each in several:
                assert each[name] == pytest.approx(nominal, abs=4 * each["errors"][name])
    for law in (found["chi2"], found["latent"]["chi2"]):
        assert law["n"] == 500
        assert law["mean_over_dof"] == pytest.approx(1, abs=0.12)
        assert law["ks_p"] > 1e-3
        assert law["pit_quantiles"]["50"] == pytest.approx(0.5, abs=0.1)
        assert sum(law["pit_histogram"]) == 500


def test_errors_stated_too_small_are_found_so() -> None:
    found = calibration(200, scale=2)
    assert found["levels"]["68"] == pytest.approx(0.383, abs=0.05)  # ±σ/2 of a Gaussian
    assert found["lines"]["Hbeta"]["68"] == pytest.approx(0.383, abs=0.12)
    assert found["latent"]["levels"]["95"] == pytest.approx(0.673, abs=0.08)
    assert found["chi2"]["mean_over_dof"] == pytest.approx(4, rel=0.1)
    assert found["latent"]["chi2"]["mean_over_dof"] == pytest.approx(4, rel=0.3)
    assert found["chi2"]["ks_p"] < 1e-6
    assert found["latent"]["worst"]["68"] < 0.45


def test_standard_errors_are_those_of_a_bootstrap_over_spectra() -> None:
    whole = measure_calibration(*run(150))
    hits, counts = whole.inside.sum(axis=1), whole.pixels.sum(axis=1)
    weights = np.random.default_rng(5).multinomial(150, np.full(150, 1 / 150), size=2000)
    spread = ((weights @ hits) / (weights @ counts)[:, None]).std(axis=0)
    assert_allclose(list(whole.to_json()["errors"].values()), spread, rtol=0.12)
    assert spread[1] > 5 * np.sqrt(0.22 / counts.sum())  # pixels of one spectrum err together


def test_chi_square_and_directions_are_those_of_the_whole_covariance() -> None:
    simulated, denoised, rng = run(4)
    found = measure_calibration(simulated, denoised, rng)
    error = simulated.truth - denoised.flux
    covariance = denoised.covariance(0)
    assert_allclose(found.chi2, [row @ np.linalg.solve(covariance, row) for row in error], rtol=1e-6)
    assert_array_equal(found.dof, len(WAVELENGTH))
    basis = np.linalg.svd(FACTOR, full_matrices=False)[0]
    inner = basis.T @ covariance @ basis
    expected = [row @ basis @ np.linalg.solve(inner, basis.T @ row) for row in error]
    assert_allclose(np.nansum(found.directions**2, axis=1), expected, rtol=1e-6)
    assert np.isfinite(found.directions).sum(axis=1).tolist() == [4] * 4


def test_pixels_are_counted_in_their_bins() -> None:
    simulated, denoised, rng = run(50)
    found = measure_calibration(simulated, denoised, rng).to_json()["bins"]
    sigma = denoised.sigma[0]
    blue = in_window(WAVELENGTH, (4000, 4499.9)) & simulated.observed.good
    within = np.abs(simulated.truth - 1) <= sigma
    (each,) = (each for each in found["wavelength"] if each["low"] == 4000)
    assert each["68"] == pytest.approx(within[blue].mean(), abs=2e-3)
    assert [each["low"] for each in found["wavelength"]] == [3500, 4000, 4500, 5000, 5500, 6000, 6500]
    masked = 1 - simulated.observed.good.mean(axis=1)
    for each in found["mask_fraction"]:
        assert each["n"] == np.sum((masked >= each["low"]) & (masked < each["high"]))
    counts = np.histogram(simulated.parameters["log_age_lw"], BINS["age"])[0]
    assert [each["n"] for each in found["age"]] == counts[counts > 1].tolist()
    assert set(found) == set(BINS)


def test_parts_join_to_the_whole_and_json_is_plain() -> None:
    simulated, denoised, rng = run(12)
    parts = [measure_calibration(simulated[rows], denoised[rows], rng) for rows in (slice(0, 5), slice(5, 12))]
    joined, whole = Calibration.stack(parts), measure_calibration(simulated, denoised, rng)
    assert len(joined) == 12
    for name in ("pixels", "inside", "chi2", "directions"):
        assert_allclose(getattr(joined, name), getattr(whole, name))
    json.dumps(joined.to_json(), allow_nan=False)


def test_without_covariance_or_estimate_only_what_is_known_is_reported() -> None:
    simulated, _, rng = run(20)
    found = measure_calibration(simulated, Knows(covariance=False).denoise(simulated.observed), rng).to_json()
    assert found["lines"] is found["latent"] is found["chi2"] is None
    assert found["levels"] is not None
    nowhere = replace(simulated, truth=np.full(simulated.truth.shape, np.nan))
    nothing = measure_calibration(nowhere, Knows().denoise(simulated.observed), rng).to_json()
    assert nothing["levels"] is nothing["errors"] is nothing["chi2"] is None
    assert all(each is None for each in nothing["lines"].values())
    json.dumps(nothing, allow_nan=False)


def test_evaluate_reports_coverage_where_asked() -> None:
    models = {"knows": Knows(), "sigma": Knows(covariance=False)}
    asked = EvaluationOptions(coverage=True)
    found = evaluate(World(), models, (5, 10), 30, options=asked).to_json()
    parsed = json.loads(json.dumps(found, allow_nan=False))
    for name in ("noisy", *models):
        scores = parsed["models"][name]["10"]
        assert list(scores["coverage"]) == ["levels", "errors", "bins", "lines", "latent", "chi2"]
        assert scores["coverage"]["levels"]["68"] == pytest.approx(scores["coverage68"], abs=1e-3)
    alone = evaluate(World(), {"knows": Knows()}, (10,), 30, options=asked).to_json()
    assert alone["models"]["knows"]["10"]["coverage"] == parsed["models"]["knows"]["10"]["coverage"]
    assert "coverage" not in evaluate(World(), models, (5,), 10).to_json()["models"]["knows"]["5"]
