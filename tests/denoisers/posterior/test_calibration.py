"""Calibration as a process between knots."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.denoisers import KinematicPosterior
from quietspec.denoisers.posterior.calibration import CalibrationLaw, rough_factor
from quietspec.errors import ModelError
from quietspec.spectra import Spectra

from .rest_frame import rest_prior

ONE_ARM = np.arange(4800.0, 7300.0, 1.25)
TWO_ARMS = np.concatenate([np.arange(3700.0, 5700.0, 1.0), np.arange(6300.0, 7400.0, 0.6)])


def test_law_goes_through_json():
    law = CalibrationLaw(0.02, 0.01, ((300.0, 0.01),))
    assert CalibrationLaw.from_dict(law.to_dict()) == law


def test_cards_hold_laws_by_instrument():
    sami, wide = CalibrationLaw(0.01), CalibrationLaw(0.05)
    card = {"calibration": {"laws": {"SAMI": sami.to_dict(), "default": wide.to_dict()}}}
    assert CalibrationLaw.of_card(card) == {"default": wide, "SAMI": sami}
    assert CalibrationLaw.of_card({}) == {"default": CalibrationLaw()}


@pytest.mark.parametrize(
    "entry",
    [
        3,
        {"laws": 3},
        {"laws": {"SAMI": {}}},
        {"laws": {"SAMI": {"smooth": "much", "grey": 0, "waves": []}}},
        {"laws": {"SAMI": {"smooth": -0.1, "grey": 0, "waves": []}}},
        {"laws": {"SAMI": {"smooth": 0, "grey": float("nan"), "waves": []}}},
        {"laws": {"SAMI": {"smooth": 0, "grey": 0, "waves": [[1e-9, 0.01]]}}},
        {"laws": {"SAMI": {"smooth": 0, "grey": 0, "waves": [[400]]}}},
    ],
)
def test_impossible_laws_are_refused(entry):
    with pytest.raises(ModelError, match=r"calibration law.* Learn (it|them) again"):
        CalibrationLaw.of_card({"calibration": entry})


def test_each_instrument_is_denoised_under_its_own_law():
    sami = CalibrationLaw(0.01)
    prior = rest_prior()
    denoiser = KinematicPosterior(
        "posterior", replace(prior, card={**prior.card, "calibration": {"laws": {"SAMI": sami.to_dict()}}})
    )
    spectra = Spectra.from_arrays(ONE_ARM, np.ones((1, ONE_ARM.size)), 0.1, medium="air", redshift=0.0)
    assert denoiser.law_of(spectra) == CalibrationLaw()
    assert denoiser.law_of(replace(spectra, meta={"survey": "SAMI"})) == sami


@pytest.mark.parametrize("wavelength", [ONE_ARM, TWO_ARMS])
def test_interpolation_is_between_neighbouring_knots(wavelength):
    knots = CalibrationLaw().knots(wavelength)
    hats = knots.hats.toarray()
    np.testing.assert_allclose(hats.sum(axis=1), 1, rtol=1e-5)
    assert (hats >= 0).all()
    values = np.random.default_rng(0).random(len(wavelength)).astype(np.float32)
    np.testing.assert_allclose(knots.information(values), hats.T @ (values[:, None] * hats), atol=1e-3)
    np.testing.assert_allclose(knots.gather.toarray(), hats.T)
    np.testing.assert_allclose(knots.gathering(values).toarray(), hats.T * values, atol=1e-6)
    columns = np.zeros((len(wavelength), 3))
    rows = np.sort(np.random.default_rng(2).choice(len(wavelength), len(wavelength) // 3, replace=False))
    columns[rows] = np.random.default_rng(3).normal(size=(len(rows), 3))
    np.testing.assert_allclose(knots.gathered(columns[rows], rows), hats.T @ columns, atol=1e-5)
    root = np.random.default_rng(4).normal(size=(knots.n_knots, 5))
    np.testing.assert_allclose(knots.variance(root), ((hats @ root) ** 2).sum(axis=1), rtol=1e-4)


def test_modes_hold_most_of_the_deviation_and_act_as_knots():
    knots = CalibrationLaw().knots(ONE_ARM)
    every, modes = knots.modes(knots.n_knots), knots.modes(4)
    np.testing.assert_allclose(every.vectors @ every.vectors.T, knots.covariance, atol=1e-10)
    assert np.trace(modes.vectors @ modes.vectors.T) > 0.5 * np.trace(knots.covariance)
    rng = np.random.default_rng(0)
    values, hats = rng.random(len(ONE_ARM)).astype(np.float32), knots.hats @ modes.vectors
    np.testing.assert_allclose(modes.information(values), hats.T @ (values[:, None] * hats), atol=1e-3)
    np.testing.assert_allclose(modes.gathering(values), hats.T * values, atol=1e-6)
    np.testing.assert_allclose(modes.scaled(values), hats * values[:, None], atol=1e-6)
    rows = np.arange(3, 40)
    columns = rng.normal(size=(len(rows), 2))
    np.testing.assert_allclose(modes.gathered(columns, rows), hats[rows].T @ columns, atol=1e-5)
    root = rng.normal(size=(4, 4))
    np.testing.assert_allclose(modes.variance(root), ((hats @ root) ** 2).sum(axis=1), rtol=1e-3)
    np.testing.assert_allclose(knots.scaled(values).toarray(), knots.hats.toarray() * values[:, None], atol=1e-6)


def test_draws_have_the_size_and_scale_of_the_law():
    law = CalibrationLaw(0.0, 0.0, ((60.0, 0.012),))
    factors = law.knots(ONE_ARM).draw(4000, np.random.default_rng(1)) - 1
    assert np.std(factors) == pytest.approx(0.012, rel=0.1)  # between knots the process is a little narrower
    apart = int(60 / 1.25)
    correlation = np.mean(factors[:, apart:] * factors[:, :-apart]) / np.var(factors)
    assert correlation == pytest.approx(np.exp(-0.5), abs=0.08)


def test_arms_have_factors_of_their_own():
    one = CalibrationLaw(0.0, 0.02, ()).knots(TWO_ARMS)
    factors = one.draw(3000, np.random.default_rng(2)) - 1
    blue, red = factors[:, 100], factors[:, -100]
    assert np.std(blue) == pytest.approx(0.02, rel=0.1)
    assert abs(np.corrcoef(blue, red)[0, 1]) < 0.1
    assert np.abs(factors[:, 100] - factors[:, 1800]).max() < 2e-3
    single = CalibrationLaw(0.0, 0.02, ()).knots(ONE_ARM)
    assert np.std(single.draw(100, np.random.default_rng(3))) < 1e-3  # no other arm to differ from


def test_rough_factor_follows_bright_spectra_and_leaves_faint_ones():
    truth = 1 + 0.05 * np.sin(ONE_ARM / 200)
    model = np.ones((1, len(ONE_ARM)), dtype=np.float32)
    bright, dof = rough_factor((model * truth).astype(np.float32), model * 1e4, model, ONE_ARM)
    np.testing.assert_allclose(bright[0], truth, atol=0.01)
    assert dof[0] == pytest.approx((ONE_ARM[-1] - ONE_ARM[0]) / 120, rel=0.05)
    faint, dof = rough_factor((model * truth).astype(np.float32), model * 1e-4, model, ONE_ARM)
    np.testing.assert_allclose(faint, 1, atol=1e-3)
    assert dof[0] < 0.01


def test_variance_on_the_pixels_is_that_of_dense_algebra():
    knots = CalibrationLaw().knots(np.concatenate([np.arange(4000.0, 5000, 3), np.arange(5300.0, 6000, 2)]))
    hats = knots.hats.toarray()
    half = np.linalg.cholesky(knots.covariance)
    np.testing.assert_allclose(knots.variance(half), np.diag(hats @ knots.covariance @ hats.T), rtol=1e-4)
