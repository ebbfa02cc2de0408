"""A user's own index definitions, from files."""

from __future__ import annotations

import json

import pytest

from quietspec.errors import IndexDefinitionError
from quietspec.indices import read_definitions

TABLES = {
    "mine": {"kind": "angstrom", "blue": [4000, 4010.5], "band": [4010.5, 4020], "red": [4020, 4030], "source": "me"},
    "step": {"kind": "break", "blue": [4000, 4010], "red": [4020, 4030], "per": "wavelength", "medium": "vacuum"},
    "many": {"kind": "angstrom", "continuum": [[1, 2], [5, 6]], "features": [[2, 3], [3, 5]], "weights": [1, -0.5]},
}
TOML = "\n".join(
    f"[{name}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
    for name, table in TABLES.items()
)


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        ("json", json.dumps(TABLES)),
        ("yaml", json.dumps(TABLES)),
        ("YML", "mine: " + json.dumps(TABLES["mine"])),
        ("toml", TOML),
    ],
)
def test_all_formats_say_the_same(tmp_path, suffix, text):
    path = tmp_path / f"own.{suffix}"
    path.write_text(text)
    found = {one.name: one for one in read_definitions(path)}
    assert set(found) in ({"mine"}, set(TABLES))
    assert found["mine"].band == (4010.5, 4020.0)
    assert found["mine"].source == "me"
    if len(found) > 1:
        assert found["step"].per == "wavelength"
        assert found["step"].source == path.name
        assert found["many"].weighted_features == (((2.0, 3.0), 1.0), ((3.0, 5.0), -0.5))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "cannot be parsed"),
        ("a.yaml", "a: [", "cannot be parsed"),
        ("a.toml", "a =", "cannot be parsed"),
        ("a.json", "[]", "holds no index"),
        ("a.json", "{}", "holds no index"),
        ("a.json", '{"mine": 3}', "'mine' is no table"),
        ("a.json", '{"mine": {"kind": "break", "purple": [1, 2]}}', "'mine': purple not understood"),
        ("a.json", '{"mine": {"kind": "break", "blue": 3, "red": [1, 2]}}', "'mine': a band is two"),
        ("a.json", '{"mine": {"kind": "break", "blue": [1], "red": [1, 2]}}', "'mine': a band is two"),
        ("a.json", '{"mine": {"blue": [1, 2], "red": [1, 2]}}', "'mine': kind is ''"),
        ("a.json", '{"mine": {"kind": "break", "blue": [1, 2]}}', "'mine'.*this one has blue"),
        ("a.dat", "", r"read from .toml"),
    ],
)
def test_a_malformed_file_is_named_with_the_index(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(IndexDefinitionError, match=f"{name}.*{message}"):
        read_definitions(path)


def test_a_missing_file_is_named():
    with pytest.raises(IndexDefinitionError, match=r"nowhere.toml: cannot be read: No such file"):
        read_definitions("nowhere.toml")
