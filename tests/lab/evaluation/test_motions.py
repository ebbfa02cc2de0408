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
    velocity_limit,
)
from quietspec.lab.simulate import Simulated
from quietspec.spectra import Spectra
from quietspec.wavelengths import SPEED_OF_LIGHT


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


def test_the_limit_of_a_velocity_is_that_of_one_line():
    """Of a line of depth a, width w (Å) and pixels of d Å with errors s: c s / (a λ) · √(2 w d / √π)."""
    depth, width, noise = 0.4, 5.0, 0.02
    given = spectra(1, 1 / noise)
    truth = 1 - depth * np.exp(-0.5 * ((given.wavelength - 5300) / width) ** 2)[None]
    found = velocity_limit(Simulated(observed=given, truth=truth, parameters={}))
    expected = SPEED_OF_LIGHT * noise / (depth * 5300) * np.sqrt(2 * width * 2.0 / np.sqrt(np.pi))
    assert found[0] == pytest.approx(expected, rel=0.05)
    touched = Simulated(
        observed=given, truth=truth, parameters={}, contaminated=np.abs(given.wavelength - 5300)[None] < 3
    )
    assert velocity_limit(touched)[0] > found[0]
