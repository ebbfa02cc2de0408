"""`models`: cards on the terminal and as JSON."""

from __future__ import annotations

import json

import pytest

from quietspec.templates import TemplateTerms

CARD = {
    "summary": "a model", "recipe": "paper", "command": "quietspec train", "hash": "abc", "seed": 1,
    "scores": {"models": {"posterior": {"5": {"rms_reduction": 0.95}}}},
}  # fmt: skip


@pytest.fixture
def cards(monkeypatch) -> dict:
    shipped = {"first": CARD, "second": CARD | {"summary": "another"}}
    monkeypatch.setattr("quietspec.denoisers.model_cards", lambda: shipped)
    return shipped


def test_models_lists_the_cards(run, cards):
    result = run("models")
    assert result.exit_code == 0
    assert "first  a model" in result.stdout
    assert "second  another" in result.stdout
    assert "posterior: residual reduced by 95.0 % at S/N 5" in result.stdout
    assert "seed" not in result.stdout
    whole = run("models", "second").stdout
    assert "seed: 1" in whole
    assert "first" not in whole


def test_models_as_json(run, cards):
    assert json.loads(run("models", "--json", "-").stdout) == cards
    assert json.loads(run("models", "first", "--json", "-").stdout) == CARD


def test_the_whole_card_says_what_the_model_was_trained_on(run, monkeypatch):
    terms = TemplateTerms(name="[my] library", terms="ask first", citation="Someone 2020")
    monkeypatch.setattr("quietspec.denoisers.model_cards", lambda: {"first": CARD | TemplateTerms.entry((terms,))})
    assert "trained on [my] library: ask first; cite Someone 2020" in run("models", "first").stdout
    assert "ask first" not in run("models").stdout


def test_a_model_file_shows_its_card(run, cards, model, tmp_path):
    file = tmp_path / "mine.npz"
    file.write_bytes(model.read_bytes())
    assert "pca_components: 3" in run("models", file).stdout  # of the card within
    file.with_suffix(".json").write_text(json.dumps(CARD))
    whole = json.loads(run("models", file, "--json", "-").stdout)
    assert whole == {"pca_components": 3, **CARD}
    file.with_suffix(".json").write_text("{")
    result = run("models", file)
    assert result.exit_code == 1
    assert "mine.json: not a model's card" in " ".join(result.stderr.split())
    assert run("models", tmp_path / "nothing.npz").exit_code == 1


def test_unknown_model(run, cards):
    result = run("models", "third")
    assert result.exit_code == 1
    assert "no model 'third'; shipped: first, second" in result.stderr
