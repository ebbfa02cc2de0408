"""The protocol: one set of spectra and noise for all models, exact JSON, and numbers that are known beforehand."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from quietspec.denoised import Flag, ModelId
from quietspec.denoisers.base import finish
from quietspec.denoisers.smoothers import Gaussian
from quietspec.lab.evaluation import evaluate
from quietspec.lab.simulate import PaperRecipe, RestSpectra, Simulated, paper_spectra
from quietspec.spectra import Spectra
from quietspec.wavelengths import LINE_WINDOWS

KEYS = [
    f"{name}{suffix}"
    for name in ("rms", "rms_reduction", "recovery", "lines", "lines_rms", "lines_recovery")
    for suffix in ("", "_std", "_quartiles")
]
KEYS.insert(KEYS.index("recovery"), "rms_reduction_error")
KEYS += [f"lines_ew_{name}" for name in ("true", "bias", "scatter", "outliers")]
KEYS += [
    "coverage68",
    "coverage95",
    "coverage68_error",
    "coverage95_error",
    "seconds_per_spectrum",
    "failed",
    "flagged",
]


class Shrink:
    """Keeps a fraction of the noise, which it knows because the truth of `Flat` is 1; with errors to match."""

    def __init__(self, fraction: float, error: float = 1.0) -> None:
        self.name, self.fraction, self.error = f"shrink{fraction}", fraction, error
        self.seen: list[np.ndarray] = []

    def denoise(self, spectra):
        self.seen.append(spectra.flux)
        return finish(
            spectra,
            1 + self.fraction * (spectra.flux - 1),
            self.error * self.fraction / np.sqrt(spectra.ivar),
            model=ModelId(self.name),
        )


class Flat:
    """A world whose spectra are 1 everywhere, at redshifts that differ."""

    name = "flat"

    def rest(self, n, rng):
        return RestSpectra(wavelength=np.arange(3900, 6000, 3.0), flux=np.ones((n, 700), "f4"), parameters={})

    def observe(self, rest, rng, snr=None):
        truth = rest.flux.copy()
        truth[:, :5] = np.nan
        observed = Spectra(
            wavelength=rest.wavelength * 1.05,
            flux=1 + rng.standard_normal(truth.shape) / snr,
            ivar=np.full(truth.shape, snr**2),
            redshift=rng.choice([0.05, 0.051], len(truth)),
            medium="air",
        )
        return Simulated(observed=observed, truth=truth, parameters={})

    def simulate(self, n, rng, snr=None):
        return self.observe(self.rest(n, rng), rng, snr)


def test_known_scores_come_out() -> None:
    evaluation = evaluate(Flat(), {"third": Shrink(1 / 3), "bold": Shrink(0.1, error=0.5)}, (5, 20), 150, seed=3)
    for snr in (5, 20):
        third, bold = evaluation.scores["third"][snr], evaluation.scores["bold"][snr]
        assert_allclose(third.reduction, 2 / 3, rtol=1e-4)
        assert_allclose(third.lines["Hbeta"].reduction, 2 / 3, rtol=1e-4)
        assert_allclose(third.lines["Hbeta"].true_width, 0, atol=1e-5)
        assert third.lines["Hbeta"].rms.mean() == pytest.approx(1 / snr / 3, rel=0.1)
        assert third.rms.mean() == pytest.approx(1 / snr / 3, rel=0.01)
        assert third.coverage68 == pytest.approx(0.6827, abs=0.01)
        assert third.coverage95 == pytest.approx(0.95, abs=0.005)
        assert bold.coverage68 == pytest.approx(0.383, abs=0.01)
        assert third.failed == third.flagged == 0
        assert_allclose(evaluation.scores["noisy"][snr].reduction, 0, atol=1e-6)
    left = {name: 1 - by_snr[5].reduction.mean() for name, by_snr in evaluation.scores.items()}
    assert left["bold"] / left["third"] == pytest.approx(0.3, rel=1e-4)
    assert left["noisy"] / left["third"] == pytest.approx(3, rel=1e-4)
    assert evaluation.models == ("third", "bold")


def test_all_models_see_the_same_spectra_and_a_run_can_be_repeated() -> None:
    first, second, again = Shrink(0.5), Shrink(0.2), Shrink(0.5)
    evaluate(Flat(), {"a": first, "b": second}, (5, 10), 120, seed=1)
    evaluate(Flat(), {"a": again}, (10,), 120, seed=1)
    for one, other in zip(first.seen, second.seen, strict=True):
        assert_array_equal(one, other)
    # what is seen at S/N 10 does not depend on whether S/N 5 is evaluated too
    assert_array_equal(np.concatenate(first.seen[1::2]), np.concatenate(again.seen))


def test_json_has_the_agreed_form() -> None:
    text = json.dumps(evaluate(Flat(), {"third": Shrink(1 / 3)}, (5, 7.5), 20, seed=4).to_json(), allow_nan=False)
    parsed = json.loads(text)
    assert parsed.keys() == {"recipe", "n", "seed", "snr", "models"}
    assert (parsed["recipe"], parsed["n"], parsed["seed"], parsed["snr"]) == ("flat", 20, 4, [5, 7.5])
    assert list(parsed["models"]) == ["noisy", "third"]
    for by_snr in parsed["models"].values():
        assert list(by_snr) == ["5", "7.5"]
        for scores in by_snr.values():
            assert list(scores) == KEYS
            for key in KEYS:
                if key.startswith("lines"):
                    assert list(scores[key]) == list(LINE_WINDOWS)
    assert parsed["models"]["third"]["5"]["rms_reduction"] == pytest.approx(2 / 3, rel=1e-4)


def test_summaries_are_those_of_the_spectra() -> None:
    evaluation = evaluate(Flat(), {"third": Shrink(1 / 3)}, (5,), 130, seed=5)
    for name in ("noisy", "third"):
        scores, summary = evaluation.scores[name][5], evaluation.scores[name][5].to_json()
        by_key = {"rms": scores.rms, "rms_reduction": scores.reduction, "recovery": scores.recovery}
        by_key["recovery"] = by_key["recovery"][np.isfinite(by_key["recovery"])]  # a flat truth correlates with nothing
        for key, values in by_key.items():
            if not values.size:
                assert summary[key] is summary[f"{key}_std"] is summary[f"{key}_quartiles"] is None
                continue
            assert summary[key] == pytest.approx(values.mean())
            assert summary[f"{key}_std"] == pytest.approx(values.std())
            assert summary[f"{key}_quartiles"] == pytest.approx(np.percentile(values, (25, 50, 75)))
        for line, found in scores.lines.items():
            assert summary["lines_rms"][line] == pytest.approx(found.rms.mean())
            assert summary["lines_std"][line] == pytest.approx(found.reduction.std())
            assert summary["lines_rms_quartiles"][line] == pytest.approx(np.percentile(found.rms, (25, 50, 75)))


def test_widths_are_as_uncertain_as_the_noise_left() -> None:
    evaluation = evaluate(Flat(), {"third": Shrink(1 / 3)}, (20,), 200, seed=6)
    noisy, third = (evaluation.scores[name][20].to_json() for name in ("noisy", "third"))
    for line in ("Hdelta", "Hbeta", "Mg b"):
        assert third["lines_ew_scatter"][line] == pytest.approx(noisy["lines_ew_scatter"][line] / 3, rel=0.05)
        assert abs(third["lines_ew_bias"][line]) < 4 * third["lines_ew_scatter"][line] / np.sqrt(200)
        assert third["lines_ew_true"][line] == pytest.approx(0, abs=1e-5)
        assert third["lines_ew_outliers"][line] == 0


def test_widths_of_noise_alone_stay_numbers() -> None:
    text = json.dumps(evaluate(Flat(), {}, (0.05,), 100).to_json(), allow_nan=False)
    summary = json.loads(text)["models"]["noisy"]["0.05"]
    assert summary["lines_ew_outliers"]["Hbeta"] > 0
    assert 0 < summary["lines_ew_scatter"]["Hbeta"] < 1e3


class FailsOnEven(Shrink):
    def denoise(self, spectra):
        flags = np.where(np.arange(len(spectra)) % 2, int(Flag.NO_SIGNAL), int(Flag.NO_REDSHIFT))
        return finish(spectra, spectra.flux, 1 / np.sqrt(spectra.ivar), model=ModelId("half"), flags=flags)


class FailsAlways(Shrink):
    def denoise(self, spectra):
        nothing = np.full(spectra.flux.shape, np.nan)
        return finish(spectra, nothing, nothing, model=ModelId("nothing"))


def test_failures_are_counted_and_json_stays_valid() -> None:
    models = {"half": FailsOnEven(0.5), "nothing": FailsAlways(0.5)}
    evaluation = evaluate(Flat(), models, (5,), 10)
    assert evaluation.scores["half"][5].failed == 0.5
    assert evaluation.scores["half"][5].flagged == 1
    assert evaluation.scores["nothing"][5].failed == 1
    parsed = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert parsed["models"]["nothing"]["5"]["rms_reduction"] is None
    assert parsed["models"]["nothing"]["5"]["coverage68"] is None
    assert parsed["models"]["nothing"]["5"]["lines_ew_bias"]["Hbeta"] is None
    assert parsed["models"]["nothing"]["5"]["lines_ew_outliers"]["Hbeta"] == 1


def test_paper_recipe_uses_the_test_part(tiny_library) -> None:
    recipe, recorder = PaperRecipe(tiny_library), Shrink(0.5)
    evaluation = evaluate(recipe, {"a": recorder, "gaussian": Gaussian(4)}, (1e6,), 120)
    expected = np.concatenate([rest.flux for rest in paper_spectra(recipe, "test", 0, 120)])
    assert_allclose(np.concatenate(recorder.seen), expected, rtol=1e-4)
    assert evaluation.recipe == "paper"


def test_gaussian_on_paper_spectra_has_sane_scores(tiny_library) -> None:
    scores = evaluate(PaperRecipe(tiny_library), {"gaussian": Gaussian(4)}, (10,), 60).scores["gaussian"][10]
    assert 0.4 < np.mean(scores.reduction) < 0.9
    assert np.all(scores.recovery > 0.5)
    assert 0 < scores.seconds_per_spectrum < 0.1


def test_progress_counts_all_spectra_and_examples_are_kept() -> None:
    seen: list[tuple[float, float]] = []
    evaluation = evaluate(
        Flat(), {"third": Shrink(1 / 3)}, (5, 10), 130, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(100, 260), (200, 260), (230, 260), (260, 260)]
    assert [example.snr for example in evaluation.examples] == [5, 10]
    example = evaluation.examples[0]
    assert list(example.estimates) == ["third"]
    assert_allclose(example.wavelength[[0, -1]], [3900, 5997], rtol=2e-3)


@pytest.mark.parametrize(
    ("models", "snrs", "n"),
    [({"noisy": Shrink(0.5)}, (5,), 3), ({}, (), 3), ({}, (5,), 0), ({}, (-5,), 3)],
)
def test_what_cannot_be_evaluated_is_refused(models, snrs, n) -> None:
    with pytest.raises(ValueError, match="evaluate: n="):
        evaluate(Flat(), models, snrs, n)
