"""Denoisers by name, and the shipped models."""

import json

import numpy as np
import pytest

from quietspec.denoisers import DENOISERS, load_denoiser, load_prior, model_cards, registry
from quietspec.errors import ModelError
from quietspec.spectra import Spectra

from .conftest import draw, small_prior


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "small.npz"
    small_prior().save(path)
    return path


NETWORKS = [name for name in DENOISERS if name.startswith("eut")]


@pytest.mark.parametrize("name", [name for name in DENOISERS if name not in NETWORKS])
def test_every_denoiser_has_its_name_and_denoises(name, model):
    tool = load_denoiser(name, model)
    assert tool.name == name
    spectra, truth, *_ = draw(small_prior(), 3, 20, np.random.default_rng(0))
    found = tool.denoise(spectra)
    noise = np.sqrt(np.mean((spectra.flux - truth) ** 2))
    assert np.sqrt(np.nanmean((found.flux - truth) ** 2)) < noise
    assert found.model


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_its_name_and_denoises(name):
    prior = load_prior("paper")
    noise = 0.1 * np.random.default_rng(0).standard_normal((4, len(prior.mean)))
    sigma = np.full(noise.shape, 0.1)
    tool = load_denoiser(name)
    assert tool.name == name
    spectra = Spectra.from_arrays(prior.wavelength, prior.mean + noise, sigma, redshift=0.0, medium="air")
    found = tool.denoise(spectra)
    residual = found.flux - prior.mean
    assert np.sqrt(np.mean(residual**2)) < 0.5 * 0.1
    assert 0.3 < np.sqrt(np.mean((residual / found.sigma) ** 2)) < 3
    assert name in found.model


def test_unknown_names_list_the_known(model):
    with pytest.raises(ModelError, match="gaussian, savgol"):
        load_denoiser("magic", model)
    with pytest.raises(ModelError, match=r"no model 'magic'; shipped: .*\.npz"):
        load_prior("magic")


def test_options_reach_the_denoiser(model):
    assert load_denoiser("posterior", model, emission="strong").emission == "strong"
    assert load_denoiser("posterior", model).emission == "none"
    assert load_denoiser("wiener", model).prior.n_mixture == 1


def test_shipped_models_match_their_cards():
    cards = model_cards()
    assert set(cards) >= {"paper", "survey", *NETWORKS}
    for name in ("paper", "survey"):
        prior = load_prior(name)
        assert prior.hash == cards[name]["hash"]
        assert prior.card["recipe"] == cards[name]["recipe"] == name
    for name in NETWORKS:
        assert load_denoiser(name).hash == cards[name]["hash"]
    for card in cards.values():
        assert {"seed", "recipe", "command", "commit", "date", "seconds", "scores", "library"} <= set(card)


def test_shipped_models_are_small():
    folder = registry.files("quietspec.models")
    assert sum(len(entry.read_bytes()) for entry in folder.iterdir() if entry.name.endswith((".npz", ".onnx"))) < 40e6


def test_a_swapped_model_file_is_noticed(monkeypatch, tmp_path):
    registry._shipped.cache_clear()
    small_prior().save(tmp_path / "small.npz")
    (tmp_path / "small.json").write_text(json.dumps({"hash": "0" * 64}))
    monkeypatch.setattr(registry, "files", lambda _: tmp_path)
    with pytest.raises(ModelError, match="does not match its card"):
        load_prior("small")
