"""Trained networks from ONNX files: to their grid and back, masks, units, flags, and files that are none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")

from quietspec.denoised import Flag
from quietspec.denoisers import NETWORK_FORMAT, NetworkDenoiser, load_denoiser
from quietspec.errors import ModelError
from quietspec.spectra import Spectra
from quietspec.wavelengths import air_to_vacuum, in_window, vacuum_to_air

GRID = np.linspace(4000, 5000, 801)
KERNEL = np.exp(-0.5 * ((GRID[:, None] - GRID) / 8) ** 2)
SMOOTHER = (KERNEL / KERNEL.sum(axis=1, keepdims=True)).T  # as a matrix from the right


def write_network(
    path: Path, channels: tuple[str, ...] = ("flux", "sigma"), shown: str | None = None, facts: object = None
) -> Path:
    """A network that smooths the flux, or only shows what a channel has, and whose error is half of the σ."""
    from onnx import TensorProto, helper, numpy_helper

    matrix = SMOOTHER if shown is None else np.eye(len(GRID))
    constants = {
        "matrix": matrix.astype(np.float32),
        "channel": np.array(channels.index(shown or "flux")),
        "half": np.array(0.5, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["spectra", "channel"], ["picked"], axis=1),
        helper.make_node("MatMul", ["picked", "matrix"], ["flux"]),
        helper.make_node("Mul", ["sigma", "half"], ["error"]),
    ]

    def tensor(name: str, *shape: str | int):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        "small",
        [tensor("spectra", "n_spectra", len(channels), len(GRID)), tensor("sigma", "n_spectra", len(GRID))],
        [tensor("flux", "n_spectra", len(GRID)), tensor("error", "n_spectra", len(GRID))],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if facts is None:
        ends = [float(GRID[0]), float(GRID[-1]), len(GRID)]
        facts = {"format": NETWORK_FORMAT, "channels": channels, "wavelength": ends}
    helper.set_model_props(model, {"quietspec": json.dumps(facts)})
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def tool(tmp_path_factory) -> NetworkDenoiser:
    return NetworkDenoiser("small", write_network(tmp_path_factory.mktemp("network") / "small.onnx"))


def shape(rest: np.ndarray) -> np.ndarray:
    """A smooth spectrum of level 1."""
    return 1 + 0.3 * np.sin(rest / 90) + 0.2 * np.exp(-0.5 * ((rest - 4500) / 15) ** 2)


def spectra(n: int = 5, wavelength: np.ndarray = GRID, redshift=0.0, noise: float = 0.1, **fields) -> Spectra:
    known = np.broadcast_to(np.nan_to_num(redshift), n)[:, None]
    flux = shape(wavelength / (1 + known)) + noise * np.random.default_rng(0).normal(size=(n, len(wavelength)))
    return Spectra(
        **{
            "wavelength": wavelength,
            "flux": flux,
            "ivar": np.full(flux.shape, 100.0),
            "redshift": redshift,
            "medium": "air",
        }
        | fields
    )


def test_results_are_the_networks(tool):
    data = spectra()
    result = tool.denoise(data)
    np.testing.assert_allclose(result.flux, data.flux @ SMOOTHER, rtol=1e-5)
    np.testing.assert_allclose(result.sigma, 0.05, rtol=1e-5)
    assert np.all(result.flags == 0)
    assert str(result.model) == f"small {tool.hash[:16]}"
    assert result.spectra is data


def test_networks_are_loaded_by_path(tool, tmp_path):
    path = write_network(tmp_path / "mine.onnx")
    found = load_denoiser(str(path))
    assert found.name == "mine"
    np.testing.assert_array_equal(found.denoise(spectra()).flux, tool.denoise(spectra()).flux)


@pytest.mark.parametrize("wavelength", [GRID, np.arange(4050.0, 5100, 1.3)])
def test_masked_pixels_never_matter(tool, wavelength):
    data = spectra(wavelength=wavelength)
    masked = np.random.default_rng(1).uniform(size=data.flux.shape) < 0.3
    masked[0, :40] = masked[1, -40:] = True
    ivar = np.where(masked, 0, data.ivar)
    values = [np.nan, np.inf, -1e30, 0.0, 7.0]
    results = [tool.denoise(replace(data, ivar=ivar, flux=np.where(masked, value, data.flux))) for value in values]
    inside = in_window(wavelength, (GRID[0], GRID[-1]))
    for result in results:
        assert np.isfinite(result.flux[:, inside]).all()
        np.testing.assert_array_equal(result.flux, results[0].flux)
        np.testing.assert_array_equal(result.sigma, results[0].sigma)


def test_masked_pixels_are_bridged(tool):
    data = spectra(noise=0)
    data.ivar[:, 300:306] = 0
    data.flux[:, 300:306] = 99
    np.testing.assert_allclose(tool.denoise(data).flux, tool.denoise(spectra(noise=0)).flux, atol=2e-4)


@given(exponent=st.floats(-20, 10), redshift=st.sampled_from([0.0, 0.02]))
@settings(max_examples=20, deadline=None)
def test_a_flux_scale_goes_through(tool, exponent, redshift):
    data, factor = spectra(redshift=redshift), 10**exponent
    one = tool.denoise(data)
    other = tool.denoise(replace(data, flux=data.flux * factor, ivar=data.ivar / factor**2))
    np.testing.assert_allclose(other.flux / factor, one.flux, rtol=1e-5)
    np.testing.assert_allclose(other.sigma / factor, one.sigma, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("redshift", [0.0, 0.02])
def test_the_floating_type_is_kept(tool, dtype, redshift):
    data = spectra(redshift=redshift)
    given = replace(data, flux=(1e-17 * data.flux).astype(dtype), ivar=(1e34 * data.ivar).astype(dtype))
    result, expected = tool.denoise(given), tool.denoise(data)
    assert result.flux.dtype == result.sigma.dtype == dtype
    np.testing.assert_allclose(1e17 * result.flux.astype(float), expected.flux, rtol=1e-5)
    np.testing.assert_allclose(1e17 * result.sigma.astype(float), expected.sigma, rtol=1e-5)


def test_spectra_do_not_matter_to_each_other(tool):
    data = spectra(300, redshift=np.repeat([0.0, 0.01, 0.02], 100))  # more than one batch, and several redshifts
    data.ivar[::7, 100:120] = 0
    whole, order = tool.denoise(data), np.random.default_rng(2).permutation(300)
    shuffled = tool.denoise(data[order])
    np.testing.assert_allclose(shuffled.flux, whole.flux[order], rtol=1e-6)
    np.testing.assert_allclose(tool.denoise(data[[7, 250]]).sigma, whole.sigma[[7, 250]], rtol=1e-6)


@pytest.mark.parametrize("redshift", [0.0, 0.013, 0.4])
@pytest.mark.parametrize("medium", ["air", "vacuum"])
@pytest.mark.parametrize("step", [0.8, 1.25, 2.0])
def test_a_spectrum_elsewhere_gives_what_it_gives_on_the_grid(tool, redshift, medium, step):
    rest = np.arange(3990.0, 5012, step)
    observed = air_to_vacuum(rest) * (1 + redshift)
    if medium == "air":
        observed = vacuum_to_air(observed)
    flux = shape(rest)[None]
    data = Spectra(wavelength=observed, flux=flux, ivar=np.full_like(flux, 100), redshift=redshift, medium=medium)
    result, on_grid = tool.denoise(data), tool.denoise(spectra(1, noise=0))
    inside = in_window(rest, (GRID[0], GRID[-1]))
    np.testing.assert_allclose(result.flux[0, inside], np.interp(rest[inside], GRID, on_grid.flux[0]), atol=5e-4)
    assert np.isnan(result.flux[0, ~inside]).all()
    assert np.isnan(result.sigma[0, ~inside]).all()


def test_a_spectrum_that_ends_within_the_grid_is_continued_at_its_level(tool):
    wavelength = np.arange(4200.0, 4700, 1.1)
    flat = spectra(2, wavelength, flux=np.full((2, len(wavelength)), [[3.0], [1e-17]]))
    result = tool.denoise(flat)
    np.testing.assert_allclose(result.flux, flat.flux, rtol=1e-5)


def test_the_network_is_told_what_is_missing(tmp_path):
    names = ("flux", "masked")
    tool = NetworkDenoiser("shown", write_network(tmp_path / "shown.onnx", names, "masked"))
    on_grid = spectra(2)
    on_grid.ivar[1, 100:110] = 0
    level = np.array([np.abs(row[good]).mean() for row, good in zip(on_grid.flux, on_grid.good, strict=True)])
    np.testing.assert_allclose(tool.denoise(on_grid).flux / level[:, None], ~on_grid.good, atol=1e-6)
    elsewhere = spectra(1, np.arange(4100.0, 4800, 1.25), noise=0, flux=np.ones((1, 560)), ivar=np.ones((1, 560)))
    elsewhere.ivar[0, 200:220] = 0
    shown = tool.denoise(elsewhere).flux[0]
    assert np.all(np.abs(shown[202:218] - 1) < 0.3)
    np.testing.assert_allclose(np.delete(shown, slice(195, 225))[3:-3], 0, atol=0.02)


@pytest.mark.parametrize("step", [1.25, 2.0, 3.5])
def test_the_network_is_told_the_noise_that_resampling_leaves(tmp_path, step):
    """Means over many grid pixels scatter as those of white noise of the σ told."""
    names = ("flux", "sigma")
    flux, sigma = (NetworkDenoiser(name, write_network(tmp_path / f"{name}.onnx", names, name)) for name in names)
    wavelength = np.arange(3980.0, 5020, step)
    noise = np.random.default_rng(3).normal(size=(400, len(wavelength)))
    data = spectra(400, wavelength, flux=1 + 0.02 * noise, ivar=np.full(noise.shape, 0.02**-2))
    inside = in_window(wavelength, (4100, 4900))
    told = np.nanmean(sigma.denoise(data).flux[:, inside])
    averages = flux.denoise(data).flux[:, inside].mean(axis=1)
    n_grid = 800 / (GRID[1] - GRID[0])
    assert averages.std() == pytest.approx(told / np.sqrt(n_grid), rel=0.12)


def test_what_cannot_be_denoised_is_flagged(tool):
    data = spectra(6, redshift=np.array([0, np.nan, 0, 0.5, 0, -0.3]))
    data.ivar[2] = 0
    data.ivar[4, 100:] = 0
    result = tool.denoise(data)
    assert [Flag(int(flag)) for flag in result.flags] == [
        Flag.OK, Flag.NO_REDSHIFT, Flag.EMPTY, Flag.OUT_OF_RANGE, Flag.OK, Flag.OUT_OF_RANGE,
    ]  # fmt: skip
    np.testing.assert_array_equal(np.isnan(result.flux).all(axis=1), result.flags != 0)
    np.testing.assert_array_equal(np.isnan(result.sigma), np.isnan(result.flux))
    np.testing.assert_array_equal(result.flux[0], tool.denoise(spectra(6)).flux[0])


def test_good_pixels_outside_the_grid_alone_are_out_of_range(tool):
    data = spectra(2, np.arange(4500.0, 5600, 1.0))
    data.ivar[0, :520] = 0
    result = tool.denoise(data)
    assert [Flag(int(flag)) for flag in result.flags] == [Flag.OUT_OF_RANGE, Flag.OK]


@given(
    start=st.floats(3500, 5500),
    length=st.floats(0.5, 2000),
    n_pixels=st.integers(2, 60),
    redshift=st.floats(-0.2, 0.6),
    medium=st.sampled_from(["air", "vacuum"]),
)
@settings(max_examples=60, deadline=None)
def test_any_wavelengths_give_a_result_or_a_flag(tool, start, length, n_pixels, redshift, medium):
    wavelength = np.linspace(start, start + length, n_pixels)
    data = spectra(2, wavelength, flux=np.ones((2, n_pixels)), redshift=redshift, medium=medium)
    result = tool.denoise(data)
    failed = np.array([Flag(int(flag)).failed for flag in result.flags])
    np.testing.assert_array_equal(np.isfinite(result.flux).any(axis=1), ~failed)
    np.testing.assert_allclose(result.flux[np.isfinite(result.flux)], 1, rtol=1e-4)


def test_no_spectra_give_no_result(tool):
    result = tool.denoise(spectra()[[]])
    assert result.flux.shape == (0, len(GRID))


def test_spectra_without_signal_give_finite_results(tool):
    data = spectra(2, flux=np.zeros((2, len(GRID))))
    result = tool.denoise(data)
    np.testing.assert_array_equal(result.flux, 0)
    np.testing.assert_allclose(result.sigma, 0.05, rtol=1e-5)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not an ONNX file of a quietspec network, or damaged"),
        (b"not a network", "not an ONNX file of a quietspec network, or damaged"),
        ("half", "not an ONNX file of a quietspec network, or damaged"),
        ("foreign", "not an ONNX file of a quietspec network, or damaged"),
        ({"format": 99, "channels": ["flux"], "wavelength": [1, 2, 3]}, r"format 99, this version reads 1; train it"),
        ({}, "format None, this version reads 1"),
        ({"format": 1, "channels": ["flux", "wiener"], "wavelength": [4000, 5000, 801]}, "needs the Wiener filter's"),
        ([1, 2], r"format \[1, 2\], this version reads 1"),
        ({"format": 1, "wavelength": [4000, 5000, 801]}, "channels None; known are flux, masked, sigma"),
        ({"format": 1, "channels": ["flux", "sky"], "wavelength": [4000, 5000, 801]}, "channels .*sky"),
        ({"format": 1, "channels": [["flux"]], "wavelength": [4000, 5000, 801]}, "channels"),
        ({"format": 1, "channels": ["flux", "sigma"], "wavelength": [4000, 5000, 10**10]}, "2 to 131072 pixels"),
        ({"format": 1, "channels": ["flux", "sigma"], "wavelength": [4000, 5000, 801.0]}, "grid"),
        ({"format": 1, "channels": ["flux", "sigma"], "wavelength": [5000, 4000, 801]}, "grid"),
        ({"format": 1, "channels": ["flux", "sigma"], "wavelength": [4000, float("nan"), 801]}, "grid"),
        ({"format": 1, "channels": ["flux", "sigma"], "wavelength": [4000, 10**400, 801]}, "grid"),
        ({"format": 1, "channels": ["flux", "sigma"], "wavelength": "4000"}, "grid '4000'"),
        ({"format": 1, "channels": ["flux", "sigma"], "wavelength": [4000, 5000, 800]}, "do not fit 2 channel"),
        ({"format": 1, "channels": ["flux"], "wavelength": [4000, 5000, 801]}, r"do not fit 1 channel\(s\) of 801"),
    ],
)
def test_other_files_are_refused_by_name(content, says, tmp_path):
    path = tmp_path / "other.onnx"
    if isinstance(content, dict | list):
        write_network(path, facts=content)
    elif content == "half":
        path.write_bytes(write_network(path).read_bytes()[:2000])
    elif content == "foreign":
        model = onnx.load(write_network(path))
        del model.metadata_props[:]
        onnx.save(model, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=says) as refused:
        load_denoiser(str(path))
    assert str(refused.value).startswith(f"{path}: ")


def test_weights_in_another_file_are_refused(tmp_path, monkeypatch):
    """They could be replaced without a change of the hash; ONNX Runtime would look for them in the current folder."""
    path = tmp_path / "outside.onnx"
    onnx.save(onnx.load(write_network(path)), path, save_as_external_data=True, location="weights", size_threshold=0)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="has weights in another file; save the network as one file"):
        NetworkDenoiser("outside", path)


def test_files_too_large_for_a_network_are_not_read(tmp_path):
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(ModelError, match="larger than 1024 MB"):
        NetworkDenoiser("large", path)


def test_networks_that_cannot_run_are_named(tmp_path):
    """A reshape to a fixed number of spectra fits the graph's outline, but no other number of spectra."""
    from onnx import helper, numpy_helper

    path = write_network(tmp_path / "fixed.onnx")
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, len(GRID)]), "two"))
    model.graph.node[1].output[0] = "smoothed"
    model.graph.node.append(helper.make_node("Reshape", ["smoothed", "two"], ["flux"]))
    onnx.save(model, path)
    tool = NetworkDenoiser("fixed", path)
    with pytest.raises(ModelError, match="fixed: ONNX Runtime cannot run this network"):
        tool.denoise(spectra(3))


def test_missing_files_are_named(tmp_path):
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(ModelError, match="cannot be read") as refused:
            NetworkDenoiser("none", path)
        assert str(refused.value).startswith(f"{path}: ")
