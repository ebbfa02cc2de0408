"""Models of this version: names, cards, files, and adding files that are not in the package."""

import hashlib
import json
from importlib.resources import files

import pytest

from quietspec.denoisers import load_denoiser, load_prior, shipped
from quietspec.denoisers.shipped import NETWORKS, PRIORS, add_model, model_cards, network_file
from quietspec.errors import ModelError

PACKAGE = files("quietspec.models")


@pytest.fixture
def user(monkeypatch, tmp_path):
    """A user's folder, and an installed package without networks whose card knows `content`."""
    package, folder = tmp_path / "package", tmp_path / "data" / "models"
    package.mkdir()
    card = {"hash": hashlib.sha256(b"a network").hexdigest()}
    (package / "eut-small.json").write_text(json.dumps(card), encoding="utf-8")
    monkeypatch.setattr(shipped, "_package", lambda: package)
    monkeypatch.setattr(shipped, "model_folder", lambda: folder)
    return folder


def test_names_are_those_of_the_files():
    names = {entry.name for entry in PACKAGE.iterdir()}
    assert {f"{name}.npz" for name in PRIORS} == {name for name in names if name.endswith(".npz")}
    assert {name for name in names if name.endswith(".onnx")} <= {f"{name}.onnx" for name in NETWORKS}
    assert {f"{name}.json" for name in (*PRIORS, *NETWORKS)} <= names


def test_models_match_their_cards():
    cards = model_cards()
    for name in PRIORS:
        prior = load_prior(name)
        assert prior.hash == cards[name]["hash"]
        assert prior.card["recipe"] == cards[name]["recipe"] == {"survey": "wide"}.get(name, name)
    for card in cards.values():
        assert {"seed", "recipe", "command", "commit", "date", "seconds", "scores", "library"} <= set(card)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_match_their_cards(name):
    assert load_denoiser(name).hash == model_cards()[name]["hash"]


def test_priors_are_small():
    assert sum(len(entry.read_bytes()) for entry in PACKAGE.iterdir() if entry.name.endswith(".npz")) < 7e6


def test_the_error_for_a_missing_network_names_the_cure(user):
    with pytest.raises(ModelError, match=r"quietspec models --add eut-small\.onnx"):
        load_denoiser("eut-small")


def test_an_added_network_is_found(user, tmp_path):
    source = tmp_path / "eut-small.onnx"
    source.write_bytes(b"a network")
    added = add_model(source)
    assert added == user / "eut-small.onnx"
    assert network_file("eut-small").read_bytes() == b"a network"
    assert [path.name for path in user.iterdir()] == ["eut-small.onnx"]
    assert add_model(source) == added  # again is no error


def test_a_changed_network_is_refused(user, tmp_path):
    source = tmp_path / "eut-small.onnx"
    source.write_bytes(b"a network")
    add_model(source).write_bytes(b"another")
    with pytest.raises(ModelError, match="does not match the card"):
        network_file("eut-small")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("eut-small.onnx", b"another", "SHA-256 .* but the card of 'eut-small' says"),
        ("eut-paper.onnx", b"a network", r"it knows eut-placed\.onnx, eut-position\.onnx, eut-small\.onnx"),
        ("eut-small.npz", b"a network", "no network of this version"),
        ("eut-small.onnx", None, "cannot be read"),
    ],
)
def test_other_files_are_not_added(user, tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=says) as refused:
        add_model(tmp_path / name)
    assert str(tmp_path / name) in str(refused.value)
    assert not user.exists()
