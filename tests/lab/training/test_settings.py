"""Settings of the training of a prior: those of the shipped priors, and files that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from quietspec.denoisers import load_prior, model_cards
from quietspec.errors import ModelError
from quietspec.lab.simulate import get_recipe
from quietspec.lab.training import PRESETS, MixtureSettings, PriorRun, PriorSettings, train_from, train_prior, worlds

SHIPPED = ("paper", "survey", "ultraviolet")
GOOD = """
recipe: paper
n: 1000
seed: 3
settings: {n_components: 13, mixture: {n_mixture: 2, max_iter: 3}}
"""


def test_the_presets_are_the_shipped_priors():
    assert ("library", *SHIPPED) == PRESETS
    assert [load_prior(name).card["recipe"] for name in SHIPPED] == ["paper", "wide", "ultraviolet"]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_preset_holds_the_numbers_in_the_card_of_the_shipped_prior(name):
    run = PriorRun.load(name)
    for card in (load_prior(name).card, model_cards()[name]):
        assert run == PriorRun.model_validate({key: card[key] for key in PriorRun.model_fields if key in card})


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_states_every_number(name):
    written = yaml.safe_load((PriorRun.shipped / f"{name}.yaml").read_text(encoding="utf-8"))
    assert written == PriorRun.load(name).model_dump(mode="json")


def test_training_from_a_run_is_training_with_its_settings(tiny_library, tmp_path, monkeypatch):
    monkeypatch.setattr(worlds, "_TUNING_SPECTRA", 20)
    (tmp_path / "run.yaml").write_text(GOOD)
    library = tiny_library.at(np.linspace(3700, 7400, 186))
    run, lines = PriorRun.load(tmp_path / "run.yaml"), []
    found = train_from(run, library, progress=lines.append)
    settings = PriorSettings(n_components=13, mixture=MixtureSettings(n_mixture=2, max_iter=3))
    expected = train_prior(get_recipe("paper", library), 1000, 3, settings)
    assert found.hash == expected.hash
    assert found.card == expected.card
    assert PriorRun.model_validate({key: found.card[key] for key in PriorRun.model_fields if key in found.card}) == run
    assert lines[0] == "1000 of 1000 training spectra of 186 pixels drawn"


def test_a_saved_run_loads_as_it_was(tmp_path):
    run = PriorRun.load("survey")
    run.save(tmp_path / "again.yaml")
    assert PriorRun.load(tmp_path / "again.yaml") == run


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "rounds: 3\n", "rounds: Extra inputs are not permitted"),
        (GOOD.replace("max_iter", "rounds"), "settings.mixture.rounds: Extra inputs are not permitted"),
        (GOOD.replace("n_components: 13", "n_components: 0"), "settings.n_components: Input should be greater than 0"),
        (GOOD.replace("n_components: 13", "n_components: 13, outskirts: []"), "settings.outskirts: Extra inputs"),
        (GOOD.replace("n: 1000", "n: 90001"), "n 90001: recipe 'paper' has 90000 training spectra"),
        (GOOD.replace("n: 1000", "n: 999"), "n: Input should be greater than or equal to 1000"),
        (
            GOOD.replace("recipe: paper", "recipe: news"),
            "recipe: Input should be 'paper', 'survey', 'wide' or 'ultraviolet'",
        ),
        (GOOD.replace("seed: 3\n", ""), "seed: Field required"),
        (GOOD + "left_out: [bc03]\n", "left_out: recipe 'paper' has one library"),
        ("[", "not YAML"),
        ("", "run: Input should be a valid dictionary"),
    ],
)
def test_bad_runs_are_refused_with_file_and_key(text, says, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ModelError) as refused:
        PriorRun.load(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert says in str(refused.value)


def test_unknown_names_are_refused_with_those_there_are():
    with pytest.raises(ModelError, match=r"news: no run of this name \(library, paper, survey, ultraviolet\)"):
        PriorRun.load(Path("news"))


def test_a_card_with_settings_that_do_not_exist_is_refused():
    with pytest.raises(ModelError, match="settings: rounds: Extra inputs are not permitted"):
        PriorSettings.of_card({"settings": {"rounds": 3}})
