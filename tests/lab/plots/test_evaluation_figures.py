"""Figures of an evaluation: they show its numbers, nothing overlaps, and odd cases are drawn all the same."""

from dataclasses import replace
from itertools import combinations

import astropy.units as u
import matplotlib as mpl
import numpy as np
import pytest
from numpy.testing import assert_allclose

from quietspec.denoised import ModelId
from quietspec.denoisers.base import finish
from quietspec.denoisers.smoothers import Gaussian, SavitzkyGolay
from quietspec.lab.evaluation import evaluate
from quietspec.lab.plots import (
    architecture_figure,
    cost_figure,
    evaluation_figures,
    example_figure,
    learning_figure,
    line_scores_figure,
    lines_figure,
    scores_figure,
)
from quietspec.lab.plots.scores import _plus_minus
from quietspec.lab.simulate import PaperRecipe, get_recipe

from ...plots.looking import drawn, texts

CURVE = {
    "step": [0, 100, 200, 300],
    "training_loss": [1.0, 0.4, 0.2, 0.1],
    "validation_loss": [None, 0.5, 0.3, float("nan")],
}
CARDS = {"gaussian": {"training_flops": 2e12, "curve": CURVE}, "other": {"curve": CURVE}}
FLUX = r"/ $\overline{F}$(4485–4573 Å)"
LABELS = {
    "figure1_architecture": ["channels"],
    "figure2_learning": ["Training step", "Loss", "lowest validation loss"],
    "figure3_example": ["Rest-frame wavelength in air [Å]", "Flux " + FLUX],
    "figure4_scores": ["RMS residual " + FLUX, "Recovery rate [%]"],
    "figure5_lines": ["Rest-frame wavelength in air [Å]", "Flux / panel's mean", "Residual", "Hβ"],
    "figure6_line_scores": ["RMS residual " + FLUX, "Recovery rate [%]", "Hβ"],
    "reduction": ["S/N of the input", "Residual RMS over noise RMS (1 − reduction)", "Kim et al. 2026"],
    "coverage": ["S/N of the input", "Fraction of pixels"],
    "quality_cost": ["Inference time [ms per spectrum]", "Training cost [floating-point operations]"],
}


@pytest.fixture(scope="module")
def evaluation(tiny_library):
    models = {"gaussian": Gaussian(4), "savgol": SavitzkyGolay(25)}
    return evaluate(PaperRecipe(tiny_library), models, (5, 10, 20), 20)


@pytest.fixture(scope="module")
def figures(evaluation):
    return {name: drawn(figure) for name, figure in evaluation_figures(evaluation, CARDS).items()}


@pytest.mark.parametrize("name", LABELS)
def test_every_figure_is_labelled_and_can_be_read(figures, name) -> None:
    assert list(figures) == list(LABELS)
    said = texts(figures[name])
    for label in LABELS[name]:
        assert label in said
    assert ("gaussian" in said) == (name != "figure1_architecture")
    assert min(text.get_fontsize() for text in figures[name].findobj(mpl.text.Text) if text.get_text()) > 6


@pytest.mark.parametrize("name", LABELS)
def test_no_text_overlaps_another(figures, name) -> None:
    figure = figures[name]
    unseen = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            unseen |= {id(tick.label2)} if low <= tick.get_loc() <= high else {id(tick.label1), id(tick.label2)}
    shown = [text for text in figure.findobj(mpl.text.Text) if text.get_text().strip() and id(text) not in unseen]
    shown = [text for text in shown if text.get_visible()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown]
    for (one, a), (other, b) in combinations(boxes, 2):
        width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert width < 1 or height < 1, (one, other)


def test_boxes_show_the_quartiles(figures, evaluation) -> None:
    for place, take in ((0, lambda s: s.rms), (4, lambda s: 1 - s.recovery)):
        patches = [patch for patch in figures["figure4_scores"].axes[place].patches if len(patch.get_path()) > 4]
        expected = [
            np.percentile(take(evaluation.scores[name][snr]), (25, 75))
            for name in ("noisy", "gaussian", "savgol")
            for snr in evaluation.snrs
        ]
        edges = [patch.get_path().vertices[:, 1] for patch in patches]
        assert_allclose([(edge.min(), edge.max()) for edge in edges], expected)


def test_means_and_deviations_are_shown(figures, evaluation) -> None:
    said = texts(figures["figure4_scores"])
    said_of_lines = texts(figures["figure6_line_scores"])
    for by_snr in evaluation.scores.values():
        for scores in by_snr.values():
            assert _plus_minus(scores.rms) in said
            assert _plus_minus(100 * scores.recovery) in said
        for line in by_snr[5].lines.values():
            assert _plus_minus(line.rms) in said_of_lines
    assert "S/N 5; boxes" in said_of_lines


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1, 3], "2.0 ± 1.0"), ([0.01, 0.0102], "0.01010 ± 0.00010"), ([90, 50], "70 ± 20"), ([5], "5"), ([], "–"),
        ([1e-18, 3e-18], "2e-18"),
    ],
)  # fmt: skip
def test_mean_and_deviation_have_digits_that_mean_something(values, text) -> None:
    assert _plus_minus(np.array(values, dtype=float)) == text


def test_recovery_axis_is_in_percent_and_ends_with_the_best(figures) -> None:
    axes = figures["figure4_scores"].axes[4]
    assert axes.yaxis.get_inverted()
    for place, text in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        assert float(text.get_text()) == pytest.approx(100 * (1 - place))


def test_reduction_and_coverage_show_the_numbers(figures, evaluation) -> None:
    heights = [patch.get_height() for patch in figures["coverage"].axes[0].patches]
    expected = [evaluation.scores[name][snr].coverage68 for name in evaluation.models for snr in evaluation.snrs]
    assert_allclose(heights, expected)
    lines = figures["reduction"].axes[0].get_lines()
    left = [1 - evaluation.scores["gaussian"][snr].reduction.mean() for snr in evaluation.snrs]
    assert any(len(line.get_ydata()) == 3 and np.allclose(line.get_ydata(), left) for line in lines)


def test_cost_is_where_it_should_be(evaluation) -> None:
    times, training = drawn(cost_figure(evaluation, {"gaussian": {"training_flops": 2e12}})).axes
    by_label = {line.get_label(): line for line in times.get_lines()}
    seconds = [scores.seconds_per_spectrum for scores in evaluation.scores["gaussian"].values()]
    assert by_label["gaussian"].get_xdata()[0] == pytest.approx(1e3 * np.mean(seconds))
    assert by_label["gaussian"].get_ydata()[0] == pytest.approx(1 - evaluation.scores["gaussian"][5].reduction.mean())
    places = {line.get_label(): line.get_xdata()[0] for line in training.get_lines()}
    (strip,) = training.patches
    assert places["gaussian"] == 2e12
    assert strip.get_x() < places["savgol"] < strip.get_x() + strip.get_width() < 2e12
    assert "none" in [text.get_text() for text in training.get_xticklabels()]


def test_models_whose_cost_is_unknown_are_named(evaluation) -> None:
    figure = drawn(cost_figure(evaluation, {"gaussian": {"training_flops": 2e12}, "savgol": {}}))
    assert "not on record: savgol" in texts(figure)
    assert {line.get_label() for line in figure.axes[1].get_lines()}.isdisjoint({"savgol"})
    assert len(drawn(cost_figure(evaluation, {"savgol": {}})).axes) == 1


def test_residuals_are_drawn_on_the_scale_that_is_stated(evaluation) -> None:
    figure = drawn(example_figure(evaluation, models=["gaussian"]))
    example, strip = evaluation.examples[0], figure.axes[1]
    scale = float(strip.get_yticklabels()[0].get_text().split("±")[1])
    residual = example.estimates["gaussian"][0] - example.truth
    assert_allclose(strip.get_lines()[1].get_ydata(), np.clip(residual / scale, -1, 1) / 2, atol=1e-6)
    assert np.sqrt(np.mean(residual**2)) < scale < 10 * np.sqrt(np.mean(residual**2))
    assert "savgol" not in texts(figure)


class Perfect(Gaussian):
    """Returns the truth, which it knows."""

    def __init__(self, truth) -> None:
        super().__init__()
        self.truth = truth

    def denoise(self, spectra):
        flux = np.broadcast_to(self.truth, spectra.flux.shape)
        return finish(spectra, flux, np.full(flux.shape, 1e-3), model=ModelId("perfect"))


class One(PaperRecipe):
    """One spectrum, again and again."""

    def rest(self, n, rng):
        return super().rest(1, np.random.default_rng(0))[[0] * n]


def test_much_worse_models_are_left_out_of_the_spectra_by_default(tiny_library) -> None:
    recipe = One(tiny_library)
    truth = recipe.rest(1, np.random.default_rng(0)).flux
    evaluation = evaluate(recipe, {"good": Perfect(truth + 0.001), "gaussian": Gaussian(4)}, (5, 20), 5)
    for draw in (example_figure, lines_figure):
        assert "gaussian" not in texts(draw(evaluation))
        assert "gaussian" in texts(draw(evaluation, models=["gaussian"]))


@pytest.mark.parametrize("tells", [1, np.nan], ids=["perfect", "silent"])
def test_a_model_without_errors_or_without_results_can_be_drawn(tiny_library, tells) -> None:
    recipe = One(tiny_library)
    model = Perfect(tells * recipe.rest(1, np.random.default_rng(0)).flux)
    for figure in evaluation_figures(evaluate(recipe, {"model": model}, (5,), 5)).values():
        drawn(figure)


def test_lines_take_the_two_lowest_snr_and_shade_the_windows(figures) -> None:
    said = texts(figures["figure5_lines"])
    assert "S/N 5\n" in said
    assert "S/N 10\n" in said
    assert "S/N 20" not in said
    assert all(len(axes.patches) == 3 for axes in figures["figure5_lines"].axes)


def test_learning_curves_skip_losses_that_were_not_measured() -> None:
    figure = drawn(learning_figure({"one": CURVE, "two": CURVE}))
    assert len(figure.axes) == 2
    training, validation, best = figure.axes[0].get_lines()
    assert_allclose(training.get_ydata(), CURVE["training_loss"])
    assert_allclose(validation.get_xydata(), [(100, 0.5), (200, 0.3)])
    assert_allclose(best.get_xydata(), [(200, 0.3)])
    assert figure.axes[0].get_yscale() == "log"
    nothing = CURVE | {"validation_loss": [None] * 4}
    assert len(drawn(learning_figure({"one": nothing})).axes[0].get_lines()) == 2


@pytest.mark.parametrize("channels", [(96, 192, 384), (8,), (16, 24, 32, 64, 96)])
def test_architecture_names_every_map(channels) -> None:
    figure = drawn(architecture_figure(channels, last=5, n_blocks=3, n_heads=2, kernel=9))
    said = texts(figure)
    for level, width in enumerate(channels):
        assert f"{width} × L" + (f"/{2**level}" if level else "") in said
        assert f"skip: {width} channels" in said
    for text in (f"{channels[-1]} × L/{2 ** len(channels)}", "5 × L", "3 transformer blocks, 2 heads", "9 px"):
        assert text in said


def test_one_snr_and_nothing_defined_can_be_drawn(tiny_library) -> None:
    library = tiny_library.between(4400, 4800)  # holds none of the six lines whole, most not at all
    recipe = PaperRecipe(library, limits=(4430, 4800))
    figures = evaluation_figures(evaluate(recipe, {"gaussian": Gaussian(4)}, (5,), 3))
    assert "figure2_learning" not in figures
    for figure in figures.values():
        drawn(figure)
    assert "not covered" in texts(figures["figure5_lines"])


def test_survey_spectra_can_be_drawn(tiny_library) -> None:
    evaluation = evaluate(get_recipe("survey", tiny_library), {"gaussian": Gaussian(4)}, (7,), 6)
    for name, figure in evaluation_figures(evaluation).items():
        assert "Kim et al." not in texts(drawn(figure)), name


def test_many_snr_get_rows_of_histograms_and_units_are_told(tiny_library) -> None:
    evaluation = evaluate(PaperRecipe(tiny_library), {"gaussian": Gaussian(4)}, range(4, 12), 6)
    assert len(drawn(scores_figure(evaluation)).axes) == 2 * (1 + 8)
    unit = u.Unit("1e-17 erg s-1 cm-2 AA-1")
    physical = replace(evaluation, examples=[replace(example, unit=unit) for example in evaluation.examples])
    assert "10^{-17}" in texts(line_scores_figure(physical))
    assert "4485–4573 Å" in texts(line_scores_figure(evaluation))
