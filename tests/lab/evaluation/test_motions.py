"""Scores of motions and labels."""

from types import SimpleNamespace

import numpy as np
import pytest

from quietspec.denoised import ModelId
from quietspec.denoisers.base import finish
from quietspec.lab.evaluation.motions import (
    SCORED,
    degraded_labels,
    flux_score,
    label_pulls,
    label_score,
)
from quietspec.spectra import Spectra


def spectra(n=6, snr=40.0, seed=0):
    rng = np.random.default_rng(seed)
    flux = 1 + rng.normal(size=(n, 300)) / snr
    ivar = np.full(flux.shape, snr**2)
    return Spectra(wavelength=5000 + 2.0 * np.arange(300), flux=flux, ivar=ivar, redshift=np.zeros(n), medium="air")


class Fixed:
    """States errors that follow the S/N alone."""

    name = "fixed"

    def denoise(self, given):
        error = 400 / given.snr
        parameters = {name: (np.zeros(len(given)), error) for name in SCORED}
        return finish(
            given,
            np.ones(given.flux.shape),
            np.full(given.flux.shape, 0.1),
            model=ModelId("fixed"),
            parameters=parameters,
        )


def test_label_score_of_normal_errors():
    rng = np.random.default_rng(1)
    truth, error = rng.normal(size=20000), np.full(20000, 0.3)
    score = label_score(truth + 0.3 * rng.normal(size=20000), error, truth)
    assert score.rms == pytest.approx(0.3, rel=0.03)
    assert score.stated == 0.3
    assert score.coverage == pytest.approx(0.683, abs=0.01)
    assert abs(score.bias) < 0.03
    assert score.scatter == pytest.approx(1, abs=0.02)


def test_flux_score_counts_pixels_with_a_truth():
    given = spectra()
    truth = np.full(given.flux.shape, 0.5)
    truth[:, :150] = np.nan
    error, coverage = flux_score(Fixed().denoise(given), truth)
    np.testing.assert_allclose(error, 1.0)
    assert coverage == 0


def test_pulls_of_labels_use_both_errors():
    one = SimpleNamespace(parameters={"sigma": (np.array([100.0]), np.array([3.0]))})
    other = SimpleNamespace(parameters={"sigma": (np.array([90.0]), np.array([4.0]))})
    assert label_pulls(one, other, ["sigma"])["sigma"] == pytest.approx([2.0])


def test_degraded_spectra_state_larger_errors():
    records = degraded_labels({"fixed": Fixed()}, spectra(), [10.0, 4.0], np.random.default_rng(4))
    assert [row["snr"] for row in records] == [0.0, 10.0, 4.0]
    assert np.all(np.diff([row["velocity"] for row in records]) > 0)
    assert [row["reverted"] for row in records] == [0, 0, 6]
