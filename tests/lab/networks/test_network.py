"""Properties of every network: shapes, flux scale, independence of spectra, masks, gradients, Wiener estimate."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pydantic")

from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.lab.networks import (
    EUT,
    EUTSettings,
    Network,
    NetworkSettings,
    PatchNetwork,
    PatchNetworkSettings,
    make_network,
)

N_PIXELS = 45
CHANNELS = ("flux", "sigma", "masked", "wiener")
SMALL_EUT = {"encoder": (4, 6, 8), "last": 5, "n_blocks": 2, "n_heads": 2}
SMALL_PATCHES = {"n_pixels": N_PIXELS, "n_patches": 7, "n_features": 3, "rank": 4, "width": 8, "hidden": 12}
KINDS = {"eut": (EUTSettings, SMALL_EUT), "patches": (PatchNetworkSettings, SMALL_PATCHES)}


def network(kind: str, **changes: object) -> Network:
    """A small network without zero weights."""
    maker, sizes = KINDS[kind]
    torch.manual_seed(1)
    made = make_network(maker(**{**sizes, **changes}))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return made.eval()


def spectra(n: int = 3, n_pixels: int = N_PIXELS, channels: tuple[str, ...] = ("flux",), seed: int = 0):
    rng = np.random.default_rng(seed)
    values = {
        "flux": rng.normal(1, 0.3, (n, n_pixels)),
        "sigma": rng.uniform(0.05, 0.3, (n, n_pixels)),
        "masked": rng.uniform(size=(n, n_pixels)) < 0.2,
        "wiener": rng.normal(1, 0.1, (n, n_pixels)),
    }
    return torch.tensor(np.stack([values[name] for name in channels], axis=1), dtype=torch.float32)


def denoised(tool: Network, values):
    with torch.no_grad():
        return tool(values)


@given(
    n_pixels=st.integers(8, 300),
    n=st.integers(1, 3),
    fold=st.sampled_from([1, 2, 5]),
    encoder=st.sampled_from([(4,), (4, 6), (4, 6, 8), (3, 4, 5, 6, 8)]),
    log_variance=st.booleans(),
    channels=st.sampled_from([("flux",), ("flux", "sigma"), CHANNELS]),
)
@settings(max_examples=40, deadline=None)
def test_an_eut_takes_any_number_of_pixels(n_pixels, n, fold, encoder, log_variance, channels):
    tool = network("eut", encoder=encoder, fold=fold, log_variance=log_variance, channels=channels)
    result = denoised(tool, spectra(n, n_pixels, channels))
    assert result.shape == (n, tool.settings.n_outputs, n_pixels) == (n, 1 + log_variance, n_pixels)
    assert torch.isfinite(result).all()


@given(n_pixels=st.integers(8, 200), n_patches=st.integers(1, 40), log_variance=st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_patch_network_takes_any_grid(n_pixels, n_patches, log_variance):
    tool = network("patches", n_pixels=n_pixels, n_patches=n_patches, log_variance=log_variance)
    assert denoised(tool, spectra(2, n_pixels)).shape == (2, 1 + log_variance, n_pixels)


def test_a_patch_network_takes_only_its_own_grid():
    with pytest.raises(ValueError, match=r"spectra of 44 pixels; this network's grid has 45"):
        network("patches")(spectra(2, N_PIXELS - 1))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter(kind):
    tool = network(kind, channels=CHANNELS, log_variance=True).train()
    tool(spectra(channels=CHANNELS)).square().sum().backward()
    lengths = {name: float(parameter.grad.norm()) for name, parameter in tool.named_parameters()}
    # Instance normalisation removes a constant that is added to a whole map.
    without = {name for name in lengths if name.startswith("encoder.") and name.endswith("0.bias")}
    assert all(length > 1e-6 for name, length in lengths.items() if name not in without)
    assert len(without) == (3 if kind == "eut" else 0)


def scaled(values, factor: float, channels: tuple[str, ...]):
    factors = [1.0 if name == "masked" else factor for name in channels]
    return values * torch.tensor(factors, dtype=torch.float32)[:, None]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("correction", [False, True])
@given(exponent=st.floats(-17, 4))
@settings(max_examples=10, deadline=None)
def test_estimates_scale_with_the_flux(kind, correction, exponent):
    tool = network(kind, channels=CHANNELS, correction=correction, log_variance=True)
    values, factor = spectra(channels=CHANNELS), float(np.float32(10**exponent))
    one, other = denoised(tool, values), denoised(tool, scaled(values, factor, CHANNELS))
    torch.testing.assert_close(other[:, 0] / factor, one[:, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(other[:, 1] - 2 * np.log(factor), one[:, 1], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_each_spectrum_has_its_own_scale(kind):
    tool, values = network(kind), spectra(4)
    factors = torch.tensor([1e-17, 1e-3, 1.0, 1e4])[:, None, None]
    torch.testing.assert_close(denoised(tool, values * factors) / factors, denoised(tool, values), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_spectra_do_not_influence_each_other(kind):
    tool, values = network(kind, channels=CHANNELS, log_variance=True), spectra(6, channels=CHANNELS)
    whole, order = denoised(tool, values), torch.tensor([4, 0, 5, 2, 1, 3])
    torch.testing.assert_close(denoised(tool, values[order]), whole[order], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(denoised(tool, values[2:3]), whole[2:3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_masked_pixels_flux_never_matters(kind):
    channels = ("flux", "masked", "sigma")
    tool, values = network(kind, channels=channels, log_variance=True), spectra(channels=channels)
    other = values.clone()
    other[:, 0] += 1e6 * torch.randn(other[:, 0].shape) * values[:, 1]
    assert not torch.equal(other, values)
    assert torch.equal(denoised(tool, other), denoised(tool, values))
    other[:, 0] += 0.1 * (1 - values[:, 1])
    assert not torch.allclose(denoised(tool, other), denoised(tool, values))


@pytest.mark.parametrize("kind", KINDS)
def test_every_channel_is_used(kind):
    tool, values = network(kind, channels=CHANNELS), spectra(channels=CHANNELS)
    for place in range(len(CHANNELS)):
        other = values.clone()
        other[:, place] = 1 - other[:, place] if CHANNELS[place] == "masked" else 1.3 * other[:, place].flip(-1)
        assert not torch.allclose(denoised(tool, other), denoised(tool, values))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 1e-30])
def test_spectra_without_light_give_finite_results(kind, value):
    tool, values = network(kind, channels=("flux", "masked"), log_variance=True), spectra(channels=("flux", "masked"))
    values[:, 0] = value
    assert torch.isfinite(denoised(tool, values)).all()
    values[:, 1] = 1
    assert torch.isfinite(denoised(tool, values)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_correction_of_zero_leaves_the_wiener_estimate(kind):
    tool, values = network(kind, channels=CHANNELS, correction=True), spectra(channels=CHANNELS)
    with torch.no_grad():
        silenced = tool.projection.parameters() if kind == "eut" else (tool.mean, tool.basis)
        for parameter in silenced:
            parameter.zero_()
    torch.testing.assert_close(denoised(tool, values)[:, 0], values[:, CHANNELS.index("wiener")], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("maker", "changes", "says"),
    [
        (EUTSettings, {"kernel": 4}, "kernel 4: must be odd"),
        (EUTSettings, {"n_heads": 5}, r"the last number must be even and a multiple of n_heads \(5\)"),
        (EUTSettings, {"encoder": (4, 9), "n_heads": 3}, "must be even"),
        (EUTSettings, {"encoder": ()}, "encoder"),
        (EUTSettings, {"encoder": (4, 0)}, "greater than 0"),
        (EUTSettings, {"depth": 3}, "depth\n  Extra inputs are not permitted"),
        (PatchNetworkSettings, {"rank": 0}, "rank\n  Input should be greater than 0"),
        (PatchNetworkSettings, {"kernel": 7}, "kernel\n  Extra inputs are not permitted"),
        (NetworkSettings, {"channels": ("sigma", "flux")}, "'flux' comes first"),
        (NetworkSettings, {"channels": ()}, "'flux' comes first"),
        (NetworkSettings, {"channels": ("flux", "sigma", "sigma")}, "none comes twice"),
        (NetworkSettings, {"channels": ("flux", "colour")}, "Input should be 'flux', 'sigma', 'masked' or 'wiener'"),
        (NetworkSettings, {"correction": True}, "correction: needs 'wiener' among the channels"),
    ],
)
def test_bad_settings_are_refused_by_name(maker, changes, says):
    with pytest.raises(ValueError, match=says):
        maker(**changes)


def test_settings_make_their_network():
    assert isinstance(make_network(EUTSettings(**SMALL_EUT)), EUT)
    assert isinstance(make_network(PatchNetworkSettings(**SMALL_PATCHES)), PatchNetwork)
