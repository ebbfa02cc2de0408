"""`models`: cards on the terminal and as JSON."""

from __future__ import annotations

import json

import pytest

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


def test_unknown_model(run, cards):
    result = run("models", "third")
    assert result.exit_code == 1
    assert "no model 'third'; shipped: first, second" in result.stderr
