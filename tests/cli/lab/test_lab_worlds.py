"""`simulate`, `train` and `evaluate` on a tiny library."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from typer import BadParameter

from quietspec.cli.lab import cards
from quietspec.cli.lab.evaluate import _cards
from quietspec.denoisers import Gaussian, load_prior
from quietspec.io import read
from quietspec.io.fetching import DATASETS
from quietspec.lab.simulate import INSTRUMENTS, SurveyRecipe
from quietspec.lab.simulate.wide import LIBRARIES
from quietspec.templates import TemplateTerms

SCORES = {
    *(
        f"{name}{suffix}"
        for name in ("rms", "rms_reduction", "recovery", "lines", "lines_rms", "lines_recovery")
        for suffix in ("", "_std", "_quartiles")
    ),
    *(f"lines_ew_{name}" for name in ("true", "bias", "scatter", "outliers")),
    *("rms_reduction_error", "coverage68", "coverage95", "coverage68_error", "coverage95_error"),
    *("seconds_per_spectrum", "failed", "flagged"),
}
FIGURES = {
    "figure1_architecture", "figure3_example", "figure4_scores", "figure5_lines", "figure6_line_scores", "reduction",
    "coverage", "quality_cost",
}  # fmt: skip
LICENCE = "CC BY 4.0"
LINES = ["Ca II H", "Hdelta", "Fe I 4383", "Hbeta", "Mg b", "Na D"]


def images(path: Path) -> dict[str, np.ndarray]:
    with fits.open(path) as hdus:
        return {hdu.name: np.array(hdu.data) for hdu in hdus[1:]}


@pytest.fixture
def simulate(run, library_file):
    return lambda out, *words: run("lab", "simulate", "-o", out, "--library", library_file, *words)


@pytest.mark.parametrize("recipe", ["paper", "survey"])
def test_a_seed_makes_the_same_spectra_again(simulate, tmp_path, recipe):
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        assert simulate(tmp_path / name, "--recipe", recipe, "-n", 5, "--seed", seed).exit_code == 0
    one, again, other = (images(tmp_path / name) for name in ("one", "again", "other"))
    for name, values in one.items():
        np.testing.assert_array_equal(values, again[name])
    assert one["FLUX"].shape != other["FLUX"].shape or not np.array_equal(one["FLUX"], other["FLUX"], equal_nan=True)


def test_simulated_spectra_are_as_asked(simulate, run, tmp_path):
    out = tmp_path / "simulated.fits"
    result = simulate(
        out, "--recipe", "survey", "-n", 6, "--snr", 20, "--instrument", "MaNGA", "--redshift", 0.04, "--without",
        "emission", "--without", "spikes",
    )  # fmt: skip
    assert result.exit_code == 0
    assert result.stdout.strip() == str(out)
    assert "6 spectra of recipe 'survey', simulated MaNGA" in result.stderr
    (facts,) = json.loads(run("info", out, "--json", "-").stdout)
    assert (facts["n_spectra"], facts["medium"], facts["wavelength"]["sampling"]) == (6, "vacuum", "logarithmic")
    with fits.open(out) as hdus:
        np.testing.assert_array_equal(hdus["SPECTRA"].data["redshift"], 0.04)
        np.testing.assert_array_equal(hdus["SPECTRA"].data["snr"], 20)
        assert hdus[0].header["QSRECIPE"] == "survey"
        assert hdus[0].header["QSSEED"] == 0


def test_simulated_spectra_can_be_denoised(simulate, run, model, tmp_path):
    raw, clean = tmp_path / "raw.fits", tmp_path / "clean.fits"
    simulate(raw, "--recipe", "survey", "-n", 4, "--snr", 5, "--redshift", 0.03, "--instrument", "sami")
    result = run("denoise", raw, "-o", clean, "--model", model, "--redshift", 0.03)
    assert result.exit_code == 0
    truth, noisy, denoised = images(raw)["TRUTH"], read(raw), read(clean)
    both = noisy.good & denoised.good & np.isfinite(truth)
    before, after = (np.abs(spectra.flux - truth)[both].mean() for spectra in (noisy, denoised))
    assert after < 0.5 * before


def test_every_instrument_can_be_named(simulate, tmp_path):
    for name in INSTRUMENTS:
        out = tmp_path / f"{name}.fits"
        result = simulate(out, "--recipe", "survey", "-n", 1, "--instrument", name.split()[0].lower())
        assert result.exit_code == 0
        assert fits.getheader(out)["SURVEY"] == f"simulated {name}"


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--recipe", "survey", "--instrument", "hst"], 2, "'hst' is not one of"),
        (["--recipe", "survey", "--redshift", 9], 1, "Choose a smaller redshift"),
        (["--recipe", "survey", "--without", "gravity"], 1, "--without gravity: recipe 'survey' has no such switch"),
        (["--redshift", 0.1], 2, "--recipe survey"),
        (["-n", 0], 2, "greater than or equal to 1"),
        (["--library", "nowhere"], 1, "nowhere: not found"),
    ],
)
def test_simulations_that_cannot_be(simulate, tmp_path, words, status, says):
    result = simulate(tmp_path / "out.fits", *words)
    assert result.exit_code == status
    assert says in " ".join(result.stderr.replace("│", " ").split())
    assert list(tmp_path.iterdir()) == []


def test_simulate_replaces_nothing_unasked(simulate, tmp_path):
    out = tmp_path / "out.fits"
    out.write_text("precious")
    result = simulate(out, "-n", 2)
    assert result.exit_code == 1
    assert f"error: {out}: exists already" in result.stderr
    assert out.read_text() == "precious"
    assert simulate(out, "-n", 2, "--overwrite").exit_code == 0
    assert images(out)["FLUX"].shape[0] == 2


@pytest.fixture(scope="module")
def trained(run, library_file, tmp_path_factory) -> tuple[Path, object]:
    """A model file written by `train`, and what the command said."""
    out = tmp_path_factory.mktemp("trained") / "tiny.npz"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cards, "TRAINED_TESTS", 20)
        patch.setattr(cards, "TRAINED_SNR", (10.0,))
        patch.setattr("quietspec.lab.training.worlds._TUNING_SPECTRA", 20)
        changes = ("n=1000", "settings.n_components=5", "settings.mixture.n_mixture=3", "settings.mixture.max_iter=3")
        words = [word for change in changes for word in ("--set", change)]
        result = run("lab", "train", "paper", "-o", out, "--library", library_file, "--licence", LICENCE, *words)
    assert result.exit_code == 0
    return out, result


def test_train_writes_a_model_with_its_card(trained):
    out, result = trained
    assert result.stdout.strip() == str(out)
    prior, card = load_prior(out), json.loads(out.with_suffix(".json").read_text())
    assert (prior.n_components, prior.n_mixture) == (5, 3)
    assert card["hash"] == prior.hash
    assert (card["recipe"], card["n"], card["seed"], card["library"]) == ("paper", 1000, 1, "spectra_tiny")
    assert card["command"].startswith("quietspec")
    assert card["templates"] == [{"name": "spectra_tiny", "terms": LICENCE, "citation": None}]
    assert prior.card["templates"] == card["templates"]
    assert card["scores"]["models"].keys() >= {"pca", "wiener", "posterior"}
    assert sorted(path.name for path in out.parent.iterdir()) == ["tiny.json", "tiny.npz"]


def test_a_trained_model_denoises(trained, simulate, run, tmp_path):
    model, _ = trained
    simulate(tmp_path / "raw.fits", "-n", 3, "--snr", 10)
    result = run("denoise", tmp_path / "raw.fits", "-o", tmp_path / "clean.fits", "--model", model, "--redshift", 0)
    assert result.exit_code == 0
    assert fits.getheader(tmp_path / "clean.fits")["QSHASH"] == load_prior(model).hash[:16]


def test_relabel_fits_labels_anew_and_leaves_the_spectra_alone(trained, run, library_file, tmp_path, monkeypatch):
    monkeypatch.setattr(cards, "TRAINED_TESTS", 20)
    monkeypatch.setattr(cards, "TRAINED_SNR", (10.0,))
    old, out = load_prior(trained[0]), tmp_path / "again.npz"
    result = run("lab", "relabel", trained[0], "-o", out, "--library", library_file)
    assert result.exit_code == 0
    assert result.stdout.strip() == str(out)
    assert f"labels: {', '.join(old.label_names)}" in result.stderr
    new, card = load_prior(out), json.loads(out.with_suffix(".json").read_text())
    for name in ("wavelength", "mean", "components", "truncation", "weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(new, name), getattr(old, name))
    assert card["labels"]["of"] == old.hash
    assert card["labels"]["command"].startswith("quietspec")
    assert card["hash"] == new.hash
    assert [one.terms for one in TemplateTerms.of_card(new.card)] == [LICENCE]
    assert card["command"] == json.loads(trained[0].with_suffix(".json").read_text())["command"]
    assert card["scores"]["models"].keys() >= {"pca", "wiener", "posterior"}
    assert {*tmp_path.iterdir()} == {out, out.with_suffix(".json")}


def test_relabelling_that_cannot_be(trained, model, run, library_file, tmp_path):
    def refused(*words: object) -> str:
        result = run("lab", "relabel", *words)
        assert result.exit_code == 1
        return " ".join(result.stderr.split())

    out = tmp_path / "again.npz"
    other = tmp_path / "spectra_other.npz"
    content = dict(np.load(library_file))
    np.savez(other, **content | {"templates": content["templates"][::2], "lam": content["lam"][::2]})
    assert "ends in .npz" in refused(trained[0], "-o", tmp_path / "model.pkl")
    assert "does not say how it was trained" in refused(model, "-o", out, "--library", library_file)
    assert "no such model file" in refused(tmp_path / "nothing.npz", "-o", out)
    assert "take the library it was trained on" in refused(trained[0], "-o", out, "--library", other)
    assert {*tmp_path.iterdir()} == {other}
    out.write_text("precious")
    assert "again.npz: exists already" in refused(trained[0], "-o", out)
    assert out.read_text() == "precious"


def test_terms_of_what_was_fetched_are_known(tmp_path):
    miles, *more = cards.fetched_templates("survey", None, None)
    assert not more
    (entry,) = TemplateTerms.of_card(cards.template_terms([miles], "Mun1.30", None))
    assert (entry.name, entry.terms, entry.citation) == ("miles", DATASETS["miles"].terms, DATASETS["miles"].citation)
    assert cards.fetched_templates("survey", str(tmp_path), "mine alone") == ()
    with pytest.raises(BadParameter, match="the terms of miles are known"):
        cards.fetched_templates("survey", None, "mine alone")


def test_all_libraries_of_wide_are_named():
    names = [one.name for one in cards.fetched_templates("wide", None, None)]
    assert names == [*LIBRARIES, "iron"]
    some = [one.name for one in cards.fetched_templates("wide", None, None, ("bc03-miles", "mastar"))]
    assert some == [name for name in names if name != "mastar"]  # the young stars of BC03 are in all


def test_training_that_cannot_be(run, library_file, tmp_path):
    def refused(*words: object) -> str:
        result = run("lab", "train", "paper", "--library", library_file, *words)
        assert result.exit_code == 1
        return " ".join(result.stderr.split())

    assert "ends in .npz" in refused("-o", tmp_path / "model.pkl")
    assert "does not exist" in refused("-o", tmp_path / "nowhere" / "model.npz")
    assert "90000 training spectra" in refused("-o", tmp_path / "model.npz", "--set", "n=90001")
    assert "settings.colour: Extra inputs" in refused("-o", tmp_path / "model.npz", "--set", "settings.colour=red")
    assert "n has no settings within it" in refused("-o", tmp_path / "model.npz", "--set", "n.colour=red")
    assert "give name=value" in refused("-o", tmp_path / "model.npz", "--set", "n")
    (tmp_path / "model.json").write_text("precious")
    assert "model.json: exists already" in refused("-o", tmp_path / "model.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["model.json"]


@pytest.fixture
def evaluate(run, library_file, trained):
    words = ["lab", "evaluate", "--library", library_file, "--prior", trained[0], "-n", 20]
    return lambda *more: run(*words, *more)


def test_evaluate_writes_the_documented_json(evaluate, tmp_path):
    out = tmp_path / "scores.json"
    names = ["gaussian", "wiener", "posterior"]
    result = evaluate("--models", ",".join(names), "--snr", "5,7.5", "--seed", 2, "--json", out)
    assert result.exit_code == 0
    content = json.loads(out.read_text())
    made = {"machine", "command", "commit", "dependencies", "model"}
    assert content.keys() == {*made, "recipe", "n", "seed", "snr", "models"}
    assert content["command"].startswith("quietspec")
    assert {"evaluate.py", "denoisers", "lab.evaluation"} <= content["dependencies"].keys()
    assert list(content["model"]) == ["mean × cubic", *names]
    assert (content["recipe"], content["n"], content["seed"], content["snr"]) == ("paper", 20, 2, [5, 7.5])
    assert list(content["models"]) == ["noisy", "mean × cubic", *names]
    assert all(scores["rms_reduction"] == 0 for scores in content["models"].pop("noisy").values())
    for by_snr in content["models"].values():
        assert list(by_snr) == ["5", "7.5"]
        for scores in by_snr.values():
            assert scores.keys() == SCORES
            assert all(list(scores[key]) == LINES for key in SCORES if key.startswith("lines"))
            assert 0.3 < scores["rms_reduction"] < 1
            assert 0 < scores["coverage68"] < scores["coverage95"] <= 1


def test_evaluate_prints_a_table_or_json(evaluate):
    table = evaluate("--models", "gaussian, wiener", "--snr", "10")
    assert "reduction" in table.stdout
    assert [line.split()[:2] for line in table.stdout.splitlines() if line.startswith(" 10 ")] == [
        ["10", "noisy"], ["10", "mean"], ["10", "gaussian"], ["10", "wiener"],
    ]  # fmt: skip
    again = json.loads(evaluate("--models", "gaussian", "--snr", "10", "--json", "-").stdout)
    assert list(again["models"]) == ["noisy", "mean × cubic", "gaussian"]


def test_evaluate_draws(evaluate, tmp_path):
    folder = tmp_path / "new" / "figures"
    result = evaluate("--models", "gaussian,wiener", "--snr", "5,10", "--figures", folder)
    assert result.exit_code == 0
    drawn = {path.name for path in folder.iterdir()}
    assert drawn == {f"{name}.{kind}" for name in FIGURES for kind in ("png", "pdf")}
    assert all(str(folder / name) in result.stdout for name in drawn)


def test_cards_of_networks_lie_beside_them(tmp_path):
    (tmp_path / "one.json").write_text('{"training_flops": 3e12}')
    one, other = str(tmp_path / "one.onnx"), str(tmp_path / "other.onnx")
    tools = {one: Gaussian(), other: Gaussian(), "gaussian": Gaussian()}
    assert _cards(tools, "paper") == {one: {"training_flops": 3e12}, other: {}}


def test_figures_are_given_the_cards_of_trained_models(evaluate, trained, tmp_path, monkeypatch):
    shipped = {"savgol": {"curve": {}}, "paper": {"training_flops": 1e12}}
    monkeypatch.setattr("quietspec.denoisers.model_cards", lambda: shipped)
    seen: list[dict] = []
    monkeypatch.setattr("quietspec.lab.plots.evaluation_figures", lambda result, cards: seen.append(cards) or {})
    for prior in (trained[0], "paper"):
        evaluate("--models", "gaussian,savgol,wiener", "--snr", "5", "--figures", tmp_path, "--prior", prior)
    assert list(seen[0]) == list(seen[1]) == ["savgol", "wiener"]
    assert seen[0]["savgol"] is shipped["savgol"]
    assert (seen[0]["wiener"]["recipe"], seen[0]["wiener"]["n"]) == ("paper", 1000)  # the card within the file
    assert seen[1]["wiener"] is shipped["paper"]


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--models", "magic"], 1, "no denoiser 'magic'"),
        (["--snr", "5,ten"], 2, "not a list of numbers above 0"),
        (["--snr", "5,-1"], 2, "not a list of numbers above 0"),
        (["--snr", "5", "-n", 10_001], 2, "10000 spectra to test"),
        (["--prior", "nothing.npz"], 1, "nothing.npz: no such model file"),
        (["--json", "nowhere/scores.json"], 1, "the folder nowhere does not exist"),
    ],
)
def test_evaluations_that_cannot_be(evaluate, words, status, says):
    result = evaluate(*words)
    assert result.exit_code == status
    assert says in " ".join(result.stderr.replace("│", " ").split())


def test_a_prior_of_survey_is_trained_and_relabelled_at_rest(run, library_file, tmp_path, monkeypatch):
    monkeypatch.setattr(cards, "TRAINED_TESTS", 10)
    monkeypatch.setattr(cards, "TRAINED_SNR", (20.0,))
    coarse = partial(SurveyRecipe, velocity_scale=200.0)
    monkeypatch.setattr("quietspec.lab.simulate.get_recipe", lambda name, library, **_: coarse(library))
    changes = ("n=1000", "settings.n_components=5", "settings.mixture.n_mixture=3", "settings.mixture.max_iter=3")
    words = [word for change in changes for word in ("--set", change)]
    one, again = tmp_path / "one.npz", tmp_path / "again.npz"
    assert run("lab", "train", "library", "-o", one, "--library", library_file, *words).exit_code == 0
    result = run("lab", "relabel", one, "-o", again, "--library", library_file)
    assert result.exit_code == 0
    assert "log_t50, log_t90" in result.stderr
    for path in (one, again):
        prior, card = load_prior(path), json.loads(path.with_suffix(".json").read_text())
        assert [one.terms for one in TemplateTerms.of_card(card)] == ["not stated by whoever trained it"]
        assert prior.card["kinematics"] == card["kinematics"] == "explicit"
        assert card["hash"] == prior.hash
        assert card["scores"]["models"]["posterior"]["20"]["rms_reduction"] > 0.3
    np.testing.assert_array_equal(load_prior(again).means, load_prior(one).means)
