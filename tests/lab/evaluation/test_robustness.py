"""Scores under stress of denoisers whose errors are known exactly."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import erf

from quietspec.denoised import Flag, ModelId
from quietspec.denoisers.base import finish
from quietspec.lab.evaluation.protocol import Unchanged
from quietspec.lab.evaluation.robustness import stress_test
from quietspec.lab.evaluation.stresses import STRESSES
from quietspec.lab.simulate import SurveyRecipe

BY_NAME = {stress.name: stress for stress in STRESSES}


@pytest.fixture(scope="module")
def recipe(tiny_library) -> SurveyRecipe:
    return SurveyRecipe(tiny_library, instruments=["CALIFA V500"], calibration_error=False)


def test_known_scores_of_a_denoiser_that_does_nothing(recipe) -> None:
    asked = [BY_NAME[name] for name in ("masks", "wrong variance", "wide lines")]
    test = stress_test(recipe, {"noisy": Unchanged()}, asked, 20.0, 20, seed=3)
    masks, variance, lines = (test.columns(stress.name, "noisy") for stress in asked)
    assert_allclose(masks["loss"], 0, atol=1e-6)
    assert masks["hidden_loss"] == [None] * 6  # it says nothing where nothing was seen
    expected = [erf(np.sqrt(amount / 2)) for amount in asked[1].amounts]
    assert_allclose(np.array(variance["coverage68"]) - expected, variance["coverage68"][2] - expected[2], atol=0.03)
    assert_allclose(lines["Halpha+[NII] error"], -1, atol=0.05)
    assert lines["Halpha+[NII] within 5 %"] == [0.0] * 6
    assert variance["failed"] == variance["flagged"] == [0.0] * 5


class Blind:
    """Fails on the first spectrum, and is far from the truth and sure of itself on the others."""

    name = "blind"

    def denoise(self, spectra):
        flags = np.where(np.arange(len(spectra)) == 0, int(Flag.EMPTY), 0)
        return finish(
            spectra, np.full(spectra.flux.shape, 5.0), 0.1 * spectra.sigma, model=ModelId("blind"), flags=flags
        )


def test_failures_and_overconfident_results_are_counted(recipe) -> None:
    test = stress_test(recipe, {"blind": Blind()}, [BY_NAME["sky residuals"]], 10.0, 5)
    columns = test.columns("sky residuals", "blind")
    assert columns["failed"] == columns["flagged"] == [0.2] * 6
    assert columns["silent"] == [0.8] * 6
    assert np.all(np.array(columns["reduction"]) < 0)


def test_results_repeat_and_do_not_depend_on_the_other_stresses(recipe) -> None:
    few, all_four = [BY_NAME["cosmic rays"]], [BY_NAME[n] for n in ("masks", "cosmic rays", "arm gap", "blue missing")]
    done: list[tuple[float, float]] = []
    one = stress_test(recipe, {"noisy": Unchanged()}, few, 10.0, 4, seed=5).to_json()
    other = stress_test(
        recipe, {"noisy": Unchanged()}, all_four, 10.0, 4, seed=5, progress=lambda *now: done.append(now)
    ).to_json()
    assert one["stresses"]["cosmic rays"] == other["stresses"]["cosmic rays"]
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    text = json.dumps(other, allow_nan=False)
    assert json.loads(text)["stresses"]["masks"]["amounts"] == [0.0, 0.1, 0.2, 0.4, 0.6, 0.8]


def test_a_stress_of_ones_own_needs_only_a_function(recipe) -> None:
    twice = replace(BY_NAME["masks"], name="twice the masks", observe=lambda scene, amount: scene.observe(snr=2 * 20))
    test = stress_test(recipe, {"noisy": Unchanged()}, [twice], 20.0, 3)
    assert set(test.scores) == {"twice the masks"}


@pytest.mark.parametrize(("n", "snr"), [(0, 10.0), (5, 0.0)])
def test_nothing_to_score_is_an_error(recipe, n, snr) -> None:
    with pytest.raises(ValueError, match="at least one spectrum"):
        stress_test(recipe, {}, STRESSES, snr, n)
