"""`PatchNetwork` starts as the Wiener filter that it is given."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pydantic")

from quietspec.lab.networks import PatchNetwork, PatchNetworkSettings

N_PIXELS, RANK = 61, 5
SIZES = {"n_pixels": N_PIXELS, "n_patches": 8, "n_features": 3, "rank": RANK, "width": 8, "hidden": 12}


@pytest.fixture
def given():
    """Mean, basis vectors times their standard deviations, noise, and noisy spectra of mean |flux| 1."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, N_PIXELS)
    mean = 1 + 0.2 * np.sin(6 * x)
    basis = np.stack([np.cos(np.pi * (k + 1) * x) * 0.3 / (k + 1) for k in range(RANK)])
    sigma = 0.1 + 0.2 * x
    flux = mean + rng.normal(size=(4, RANK)) @ basis + sigma * rng.normal(size=(4, N_PIXELS))
    return mean, basis, sigma, flux / np.abs(flux).mean(axis=1, keepdims=True)


@pytest.mark.parametrize("channels", [("flux",), ("flux", "sigma"), ("flux", "sigma", "masked")])
@pytest.mark.parametrize("factor", [1.0, 1e-17])
def test_it_starts_as_the_wiener_filter(given, channels, factor):
    mean, basis, sigma, flux = given
    tool = PatchNetwork(PatchNetworkSettings(**SIZES, channels=channels))
    tool.start_from(*(torch.tensor(values, dtype=torch.float32) for values in (mean, basis, sigma)))
    layers = {"flux": flux * factor, "sigma": np.tile(sigma * factor, (4, 1)), "masked": np.zeros_like(flux)}
    spectra = torch.tensor(np.stack([layers[name] for name in channels], axis=1), dtype=torch.float32)
    with torch.no_grad():
        found = tool(spectra)[:, 0].numpy() / factor
    # E[truth | flux] for truth ~ N(mean, basisᵀ basis) and noise N(0, diag σ²).
    covariance = basis.T @ basis
    expected = mean + (flux - mean) @ np.linalg.solve(covariance + np.diag(sigma**2), covariance)
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-6)


def test_every_patch_has_weights_of_its_own():
    torch.manual_seed(3)
    tool = PatchNetwork(PatchNetworkSettings(**SIZES))
    assert tool.embedding.shape == (8, 8, 3)
    assert len({tuple(patch.flatten().tolist()) for patch in tool.embedding}) == 8
    with torch.no_grad():  # as if trained: the layers contribute
        torch.nn.init.normal_(tool.exit.weight)
    spectra = torch.ones(2, 1, N_PIXELS)
    spectra[0, 0, 10] += 0.5
    spectra[1, 0, 18] += 0.5  # the same bump in the next patch
    with torch.no_grad():
        one, other = tool(spectra)[:, 0]
    assert not torch.allclose(one.roll(8), other, atol=1e-3)
