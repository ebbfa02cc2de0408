"""Model files of priors: what is saved comes back, and whatever else is in a file is refused by name and quickly."""

import io
import json
import zipfile
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.denoisers import Posterior, PrincipalComponents, SpectralPrior
from quietspec.errors import ModelError

from ..conftest import small_prior, with_parts


def content(**changes):
    """Arrays of a model file; those of None are left out."""
    prior = with_parts(small_prior())
    header = json.dumps({"format": 1, "label_names": prior.label_names, "card": {}})
    arrays = {**prior._arrays(), "header": np.frombuffer(header.encode(), dtype=np.uint8), **changes}
    return {name: array for name, array in arrays.items() if array is not None}


def text(value):
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


def header(**changes):
    return text({"format": 1, "label_names": ["log_age_mw", "mh_mw"], "card": {}} | changes)


def spoilt(name, value, where=0):
    array = small_prior()._arrays()[name].copy()
    array.flat[where] = value
    return array


@pytest.fixture
def refused(tmp_path):
    path = tmp_path / "model.npz"

    def check(arrays, says):
        np.savez_compressed(path, **arrays)
        with pytest.raises(ModelError, match=says) as error:
            SpectralPrior.load(path)
        assert str(error.value).startswith(f"{path}: ")
        assert str(error.value).endswith("Train it again.")

    return check


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"extra": np.ones(3)}, r"unknown or repeated arrays \(extra\)"),
        ({"weights": None}, "not a complete model, weights missing"),
        ({"part_weights": None}, "not a complete model, part_weights missing"),
        ({"header": None}, "not a complete model, header missing"),
        ({"weights": np.full(4, 0.25)}, r"weights has shape \(4,\)|means has shape \(3, 4\), not \(4, 4\)"),
        ({"mean": np.ones(7)}, r"mean has shape \(7,\), not \(925,\)"),
        ({"mean": np.ones((925, 1))}, r"mean has shape \(925, 1\)"),
        ({"components": np.ones((5, 925))}, r"means has shape \(3, 4\), not \(3, 5\)"),
        ({"covariances": np.ones((3, 11))}, r"covariances has shape \(3, 11\), not \(3, 10\)"),
        ({"slopes": np.ones((3, 3, 4))}, r"slopes has shape \(3, 3, 4\), not \(3, 2, 4\)"),
        ({"part_offsets": np.ones((3, 3, 2))}, "part_offsets has shape"),
        ({"mean": np.empty(0)}, r"float64 of shape \(0,\) is no array of a model"),
        ({"mean": np.ones(925, dtype=complex)}, "complex128 of shape"),
        ({"mean": np.full(925, "x")}, "<U1 of shape"),
        ({"mean": spoilt("mean", np.nan)}, "mean holds values that are not finite"),
        ({"slopes": spoilt("slopes", np.inf)}, "slopes holds values that are not finite"),
        ({"wavelength": spoilt("wavelength", 9e3)}, "increasing positive numbers"),
        ({"wavelength": spoilt("wavelength", -1)}, "increasing positive numbers"),
        ({"truncation": spoilt("truncation", -1)}, "truncation holds negative values"),
        ({"weights": spoilt("weights", 0.9)}, "weights do not sum to 1"),
        ({"covariances": spoilt("covariances", -1)}, "covariances are not positive definite"),
        ({"header": np.ones(9)}, "header is not text"),
        ({"header": np.frombuffer(b"{", dtype=np.uint8)}, "damaged"),
        ({"header": np.frombuffer(b"\xff\xfe", dtype=np.uint8)}, "damaged"),
        ({"header": np.frombuffer(b"[" * 200_000, dtype=np.uint8)}, "nested too deeply"),
        ({"header": text([1, 2])}, "model format None"),
        ({"header": header(format=2)}, "model format 2, this version reads 1"),
        ({"header": header(card=[])}, "card is not a mapping"),
        ({"header": header(label_names="ab")}, "label names 'ab'"),
        ({"header": header(label_names=["log_age_mw", 3])}, "label names"),
        ({"header": header(label_names=["âge", "mh_mw"])}, "must be ASCII, and different"),
        ({"header": header(label_names=["mh_mw", "mh_mw"])}, "must be ASCII, and different"),
        ({"header": header(label_names=["a b", "mh_mw"])}, "names such as"),
        ({"header": header(label_names=["mh_mw"])}, "labels has shape"),
    ],
)
def test_impossible_models_are_refused_by_name(refused, changes, says):
    refused(content(**changes), says)


def test_a_file_may_not_ask_for_more_memory_than_a_model_needs(tmp_path):
    """An array that unpacks to 8 GB from a few bytes of header is refused before it is made."""
    path = tmp_path / "model.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in content().items():
            shape = (10**9,) if name == "mean" else array.shape
            file = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                file, {"descr": array.dtype.str, "fortran_order": False, "shape": shape}
            )
            archive.writestr(f"{name}.npy", file.getvalue() + array.tobytes())
    with pytest.raises(ModelError, match=r"its arrays take \d+ MB; models have up to 256 MB"):
        SpectralPrior.load(path)


def test_repeated_arrays_are_refused(tmp_path):
    path = tmp_path / "model.npz"
    np.savez(path, **content())
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("mean.npy", b"")
    with pytest.raises(ModelError, match="repeated arrays"):
        SpectralPrior.load(path)


@settings(max_examples=60, deadline=None)
@given(position=st.floats(0, 1), length=st.integers(1, 40), data=st.data())
def test_damaged_files_are_refused_or_give_a_whole_model(tmp_path_factory, position, length, data):
    path = tmp_path_factory.mktemp("damaged") / "model.npz"
    small_prior().save(path)
    stored = bytearray(path.read_bytes())
    start = int(position * (len(stored) - 1))
    stored[start : start + length] = data.draw(st.binary(min_size=0, max_size=length))
    path.write_bytes(bytes(stored))
    with suppress(ModelError):
        prior = SpectralPrior.load(path)
        assert all(np.isfinite(array).all() for array in prior._arrays().values())


def test_saving_does_not_write_through_a_link_left_beside_the_file(tmp_path):
    victim, path = tmp_path / "victim.txt", tmp_path / "model.npz"
    victim.write_text("precious")
    (tmp_path / "model.npz.partial").symlink_to(victim)
    small_prior().save(path)
    assert victim.read_text() == "precious"
    assert SpectralPrior.load(path).hash == small_prior().hash


def test_saving_replaces_a_file_whole_or_not_at_all(tmp_path):
    path = tmp_path / "model.npz"
    small_prior().save(path)
    other = replace(small_prior(), mean=small_prior().mean + 1)
    other.save(path)
    assert SpectralPrior.load(path).hash == other.hash
    with pytest.raises(TypeError):
        replace(other, card={"not": {"JSON"}}).save(path)
    assert SpectralPrior.load(path).hash == other.hash
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.npz"]


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ({"emission": "some"}, "emission 'some'; give auto, strong, none"),
        ({"emission": ["auto"]}, "emission"),
        ({"noise": 3}, "noise 3; give measured, quoted"),
        ({"symptom_laws": []}, "symptom laws are malformed"),
        (
            {"symptom_laws": {"information": [1], "levels": [0.5, 0.1], "quantiles": [[1, 2]]}},
            "symptom laws have shape",
        ),
    ],
)
def test_cards_with_impossible_settings_are_refused(card, says):
    with pytest.raises(ModelError, match=says):
        Posterior("posterior", replace(small_prior(), card=card))


@pytest.mark.parametrize("n_components", [7, -1, "6", None])
def test_impossible_numbers_of_components_are_refused(n_components):
    prior = replace(small_prior(), card={"pca_components": n_components})
    with pytest.raises(ModelError, match="this prior has 1 to 4"):
        PrincipalComponents("pca", prior)
