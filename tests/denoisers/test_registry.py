"""Denoisers by name, and the shipped models."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from quietspec.denoised import Flag
from quietspec.denoisers import DENOISERS, load_denoiser, load_prior, registry
from quietspec.denoisers.shipped import NETWORKS
from quietspec.errors import ModelError, SpectraError
from quietspec.spectra import Spectra

from .conftest import draw, small_prior


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "small.npz"
    small_prior().save(path)
    return path


@pytest.mark.parametrize("name", [name for name in DENOISERS if name not in NETWORKS])
def test_every_denoiser_has_its_name_and_denoises(name, model):
    tool = load_denoiser(name, model)
    assert tool.name == name
    spectra, truth, *_ = draw(small_prior(), 3, 20, np.random.default_rng(0))
    found = tool.denoise(spectra)
    noise = np.sqrt(np.mean((spectra.flux - truth) ** 2))
    assert np.sqrt(np.nanmean((found.flux - truth) ** 2)) < noise
    assert found.model == tool.model
    assert str(found.model) == repr(tool) or str(found.model) == f"{name} {tool.prior.hash[:16]}"


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
    assert str(found.model) == f"{name} {tool.hash[:16]}"


@pytest.mark.parametrize("name", ["posterior", "gaussian", *list(NETWORKS)[:1]])
def test_what_are_no_spectra_is_refused_with_the_cure(name, model):
    tool = load_denoiser(name, *([] if name in NETWORKS else [model]))
    with pytest.raises(SpectraError, match=r"expected Spectra, got ndarray. Make them first: Spectra.from_arrays"):
        tool.denoise(np.ones((3, 100)))


def test_no_redshift_at_all_is_an_error_but_a_flag_among_others(model):
    tool = load_denoiser("posterior", model)
    spectra, *_ = draw(small_prior(), 3, 20, np.random.default_rng(0))
    unknown = spectra.with_redshift(np.nan)
    with pytest.raises(SpectraError, match=r"no spectrum has a redshift.*with_redshift"):
        tool.denoise(unknown)
    some = tool.denoise(spectra.with_redshift(np.array([np.nan, 0.0, np.nan])))
    assert [bool(flag & Flag.NO_REDSHIFT) for flag in some.flags] == [True, False, True]
    tile = replace(unknown, meta={"rows": slice(0, 3)})  # others of the same file may have one
    assert all(tool.denoise(tile).flags & Flag.NO_REDSHIFT)
    assert np.isfinite(load_denoiser("gaussian", model).denoise(unknown).flux).any()


def test_unknown_names_list_the_known(model):
    with pytest.raises(ModelError, match="gaussian, savgol"):
        load_denoiser("magic", model)
    with pytest.raises(ModelError, match=r"no model 'magic'; shipped: .*\.npz"):
        load_prior("magic")


def test_options_reach_the_denoiser(model):
    assert load_denoiser("posterior", model, emission="strong").emission == "strong"
    assert load_denoiser("posterior", model).emission == "none"
    assert load_denoiser("wiener", model).prior.n_mixture == 1


def test_a_swapped_model_file_is_noticed(monkeypatch, tmp_path):
    prior = load_prior("paper")
    replace(prior, mean=prior.mean + 1e-3).save(tmp_path / "paper.npz")
    monkeypatch.setattr(registry, "prior_file", lambda name: tmp_path / f"{name}.npz")
    registry._shipped.cache_clear()
    with pytest.raises(ModelError, match="does not match its card"):
        load_prior("paper")


def test_importing_denoisers_loads_no_extra_and_no_statistics():
    code = "import sys, quietspec.denoisers; print([name for name in sys.argv[1:] if name in sys.modules])"
    unwanted = ["onnxruntime", "pywt", "scipy.stats", "torch", "astropy.io.fits"]
    found = subprocess.run([sys.executable, "-c", code, *unwanted], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(("name", "module"), [("wavelet", "pywt"), ("eut-small", "onnxruntime")])
def test_a_missing_extra_is_named_with_its_cure(monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModelError, match=rf"needs {module}, .*pip install 'quietspec\[lab\]'"):
        load_denoiser(name)
