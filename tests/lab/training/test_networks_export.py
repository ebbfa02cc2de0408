"""ONNX files: results and errors of the network, metadata for the denoiser, and no need for torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("onnxscript")

import onnx
import onnxruntime

from quietspec.denoisers import NETWORK_FORMAT, load_denoiser
from quietspec.errors import ModelError, WriteError
from quietspec.lab.networks import Network, WithErrors, make_network
from quietspec.lab.training.networks import Corpus, ResidualTable, export_onnx, network_input, residual_table

from .small import EUT, PATCHES, small_recipe, small_run

RECIPE = small_recipe()
SETTINGS = {
    "eut": EUT.model_copy(update={"channels": ("flux", "sigma", "masked")}),
    "patches": PATCHES,
    "variance": PATCHES.model_copy(update={"channels": ("flux",), "log_variance": True}),
}


def random_network(kind: str) -> Network:
    torch.manual_seed(4)
    network = make_network(SETTINGS[kind])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return network.eval()


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.draw(RECIPE, small_run())


@pytest.fixture(scope="module", params=SETTINGS)
def exported(request, corpus, tmp_path_factory) -> tuple[Path, Network, ResidualTable | None, float]:
    network = random_network(request.param)
    table = None if request.param == "variance" else residual_table(network, corpus, small_run())
    path = tmp_path_factory.mktemp("onnx") / "small.onnx"
    difference = export_onnx(network, table, RECIPE.library.wavelength, path)
    return path, network, table, difference


def test_onnx_and_torch_agree_for_any_number_of_spectra(exported):
    path, network, table, difference = exported
    assert difference <= 1e-5
    session, model = onnxruntime.InferenceSession(path), WithErrors(network, *(table or ())).eval()
    for n in (1, 3, 7):
        simulated = RECIPE.simulate(n, np.random.default_rng(n))
        spectra = network_input(simulated, network.channels)
        sigma = torch.from_numpy(simulated.observed.sigma.astype(np.float32))
        with torch.no_grad():
            expected = model(spectra, sigma)
        inputs = {"spectra": spectra.numpy(), "sigma": sigma.numpy()}
        found = session.run(["flux", "error"], {entry.name: inputs[entry.name] for entry in session.get_inputs()})
        for one, other in zip(found, expected, strict=True):
            assert one.shape == (n, len(RECIPE.library.wavelength))
            assert np.abs(one - other.numpy()).max() <= 1e-5 * np.abs(expected[0].numpy()).mean()


def test_the_file_says_what_a_denoiser_needs(exported):
    path, network, *_ = exported
    facts = json.loads(onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map["quietspec"])
    assert facts == {"format": NETWORK_FORMAT, "channels": list(network.channels), "wavelength": [3700.0, 7400.0, 186]}
    assert [entry.name for entry in path.parent.iterdir()] == ["small.onnx"]  # weights are inside


def test_a_denoiser_gives_what_the_network_gives(exported):
    path, network, table, _ = exported
    simulated = RECIPE.simulate(4, np.random.default_rng(8))
    with torch.no_grad():
        flux, error = WithErrors(network, *(table or ())).eval()(
            network_input(simulated, network.channels), torch.from_numpy(simulated.observed.sigma.astype(np.float32))
        )
    result = load_denoiser(str(path)).denoise(simulated.observed)
    assert result.model.name == "small"
    np.testing.assert_allclose(result.flux, flux, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result.sigma, error, rtol=1e-4, atol=1e-5)


def test_inference_needs_no_torch(exported, tmp_path):
    path, *_ = exported
    program = """
import sys
import numpy as np
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "lightning", "pydantic", "yaml", "onnx", "onnxscript"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
from quietspec.denoisers import load_denoiser
from quietspec.spectra import Spectra
flux = np.ones((3, 186))
result = load_denoiser(sys.argv[1]).denoise(
    Spectra(wavelength=np.linspace(3700, 7400, 186), flux=flux, ivar=100 * flux, redshift=0.0, medium="air")
)
assert np.isfinite(result.flux).all() and (result.sigma > 0).all()
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program, str(path)], check=True)


@pytest.fixture
def untraced(exported, monkeypatch):
    """`export_onnx` of a graph traced earlier, from which torch's results differ by a given number."""
    path, network, table, _ = exported

    def export(target: Path, difference: float = 0.0) -> None:
        def traced(model, spectra, sigma):
            with torch.no_grad():
                return onnx.load(path), torch.cat(model(spectra, sigma)) + difference

        monkeypatch.setattr("quietspec.lab.training.networks.export._traced", traced)
        export_onnx(network, table, RECIPE.library.wavelength, target)

    return export


@pytest.mark.parametrize("exported", ["patches"], indirect=True)
def test_an_existing_file_is_kept(exported, untraced):
    path, *_ = exported
    before = path.read_bytes()
    with pytest.raises(WriteError, match=r"small\.onnx: exists already"):
        untraced(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("exported", ["patches"], indirect=True)
@pytest.mark.parametrize("difference", [2e-5, np.nan])
def test_a_file_that_differs_is_not_written(untraced, tmp_path, difference):
    with pytest.raises(ModelError, match=r"new\.onnx: ONNX and torch differ by .* not written"):
        untraced(tmp_path / "new.onnx", difference)
    assert not list(tmp_path.iterdir())


def test_residuals_are_those_of_the_validation_spectra(corpus):
    network, run = random_network("patches"), small_run(snr=(5, 20))
    table = residual_table(network, corpus, run)
    assert table.levels.shape == (6,)
    assert table.residual.shape == (6, 186)
    assert (table.levels.diff() > 0).all()
    assert float(table.levels[-1] / table.levels[0]) == pytest.approx(4, rel=0.05)  # noise adds to mean |flux|
    # The same from other noise at the highest S/N, for all pixels together.
    simulated = RECIPE.observe(corpus.validation, np.random.default_rng(9), 20.0)
    spectra = network_input(simulated, network.channels)
    with torch.no_grad():
        residual = network(spectra)[:, 0].numpy() - simulated.truth
    scale = spectra[:, 0].abs().mean(dim=1, keepdim=True).numpy()
    expected = np.sqrt(np.mean((residual / scale) ** 2))
    assert float(table.residual[-1].square().mean().sqrt()) == pytest.approx(expected, rel=0.1)


def test_errors_have_the_size_of_the_residuals(corpus, tmp_path):
    """On new spectra, residuals over errors have an RMS of 1."""
    network = random_network("patches")
    model = WithErrors(network, *residual_table(network, corpus, small_run())).eval()
    simulated = RECIPE.simulate(300, np.random.default_rng(10))
    sigma = torch.from_numpy(simulated.observed.sigma.astype(np.float32))
    with torch.no_grad():
        flux, error = model(network_input(simulated, network.channels), sigma)
    pull = (flux.numpy() - simulated.truth) / error.numpy()
    assert np.sqrt(np.mean(pull**2)) == pytest.approx(1, abs=0.25)
