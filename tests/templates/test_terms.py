"""`TemplateTerms`: what cards say about the templates behind a model."""

import json

import pytest

from quietspec.denoisers import model_cards
from quietspec.errors import ModelError
from quietspec.templates import TemplateTerms


def test_cards_keep_terms_through_json():
    sets = (TemplateTerms(name="one", terms="free", citation="Someone 2020"), TemplateTerms(name="two"))
    assert TemplateTerms.of_card(json.loads(json.dumps(TemplateTerms.entry(sets)))) == sets
    assert [str(one) for one in sets] == [
        "one: free; cite Someone 2020",
        "two: not stated by whoever trained it",
    ]


def test_cards_of_earlier_versions_say_nothing():
    assert TemplateTerms.of_card({}) == ()
    assert all(isinstance(TemplateTerms.of_card(card), tuple) for card in model_cards().values())


@pytest.mark.parametrize("entry", [3, ["miles"], [{"terms": "free"}], [{"name": "a", "colour": "red"}]])
def test_malformed_entries_are_refused(entry):
    with pytest.raises(ModelError, match="'templates' is malformed"):
        TemplateTerms.of_card({"templates": entry})
