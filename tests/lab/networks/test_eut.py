"""The Enhanced U-Net Transformer compared with its description in the paper."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pydantic")

from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.lab.networks import EUT, EUTSettings
from quietspec.lab.networks.eut import sinusoidal_positions


@pytest.fixture(scope="module")
def paper() -> EUT:
    return EUT().eval()


def n_parameters(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_papers_network_has_the_papers_number_of_parameters(paper):
    assert n_parameters(paper) == 16_220_961
    assert round(n_parameters(paper) / 1e6, 1) == 16.2


def test_the_papers_network_has_the_papers_stages(paper):
    convolutions = [stage[0] for stage in (*paper.encoder, *paper.decoder)]
    shapes = [(layer.in_channels, layer.out_channels) for layer in convolutions]
    # Encoder 1→96→192→384; decoder 384→192→96→64, its inputs and the encoder's map of that resolution together.
    assert shapes == [(1, 96), (96, 192), (192, 384), (384 + 384, 192), (192 + 192, 96), (96 + 96, 64)]
    assert all(layer.kernel_size == (7,) and layer.stride == (1,) for layer in convolutions)
    assert [[type(layer).__name__ for layer in stage] for stage in paper.encoder] == [
        ["Conv1d", "InstanceNorm1d", "ReLU"]
    ] * 3
    assert (paper.projection.in_channels, paper.projection.out_channels, paper.projection.kernel_size) == (64, 1, (1,))


def test_the_papers_network_has_8_blocks_of_12_heads(paper):
    blocks = paper.blocks.layers
    assert len(blocks) == 8
    assert {(block.self_attn.num_heads, block.self_attn.embed_dim) for block in blocks} == {(12, 384)}
    assert {(block.linear1.out_features, block.linear2.in_features) for block in blocks} == {(4 * 384, 4 * 384)}


def test_the_papers_network_reduces_to_an_eighth_between_encoder_and_decoder(paper):
    seen: dict[str, tuple[int, ...]] = {}
    layers = {"first": paper.encoder[0], "last": paper.encoder[2], "blocks": paper.blocks, "decoder": paper.decoder[0]}
    hooks = [
        layer.register_forward_hook(lambda _, given, result, name=name: seen.update({name: tuple(result.shape)}))
        for name, layer in layers.items()
    ]
    with torch.no_grad():
        result = paper(torch.ones(1, 1, 64))
    for hook in hooks:
        hook.remove()
    assert result.shape == (1, 1, 64)
    assert seen == {"first": (1, 96, 64), "last": (1, 384, 16), "blocks": (1, 8, 384), "decoder": (1, 192, 16)}


@given(n_tokens=st.integers(1, 600), half=st.integers(1, 100))
@settings(max_examples=20, deadline=None)
def test_positions_follow_the_closed_formula(n_tokens, half):
    width = 2 * half
    found = sinusoidal_positions(n_tokens, width).numpy()
    position, i = np.arange(n_tokens)[:, None], np.arange(half)
    angle = position / 10_000 ** (2 * i / width)
    assert found.shape == (n_tokens, width)
    np.testing.assert_allclose(found[:, 0::2], np.sin(angle), atol=1e-4)
    np.testing.assert_allclose(found[:, 1::2], np.cos(angle), atol=1e-4)


def small(**changes: object) -> EUT:
    torch.manual_seed(2)
    return EUT(
        EUTSettings(**{"encoder": (4, 6), "last": 3, "n_blocks": 1, "n_heads": 2, "kernel": 3, **changes})
    ).eval()


@given(n_pixels=st.integers(8, 80), fold=st.sampled_from([1, 2, 4]))
@settings(max_examples=20, deadline=None)
def test_a_spectrum_of_any_length_is_padded_with_its_last_pixel(n_pixels, fold):
    tool = small(fold=fold)
    features = torch.rand(2, 1, n_pixels)
    missing = -n_pixels % (fold * 4)
    longer = torch.cat([features, features[..., -1:].expand(-1, -1, missing)], dim=-1)
    with torch.no_grad():
        torch.testing.assert_close(tool.estimate(features), tool.estimate(longer)[..., :n_pixels])


def test_folding_keeps_neighbours_together():
    seen: list[torch.Tensor] = []
    tool = small(fold=4, channels=("flux", "sigma"))
    tool.encoder[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    features = torch.arange(2 * 16.0).reshape(1, 2, 16)
    with torch.no_grad():
        tool.estimate(features)
    assert seen[0].shape == (1, 8, 4)
    assert sorted(seen[0][0, :, 1].tolist()) == [4, 5, 6, 7, 20, 21, 22, 23]


def test_an_output_pixel_sees_the_whole_spectrum():
    tool, features = small(), torch.rand(1, 1, 64, requires_grad=True)
    tool.estimate(features)[0, 0, 5].backward()
    assert (features.grad != 0).float().mean() > 0.9


def placed(**changes: object) -> EUT:
    return small(fold=4, n_pixels=30, summary=5, **changes)


def test_a_network_with_its_place_begins_as_the_layout_with_a_companion_of_the_first_convolution():
    tool = placed()
    assert torch.count_nonzero(tool.exit.weight) == torch.count_nonzero(tool.positions) == 0
    assert tool.entrance.weight.shape == (8, 4, 4)
    assert tool.exit.weight.shape == (8, 3, 4)
    assert tool.positions.shape == (2, 6)
    assert tool.estimate(torch.rand(2, 1, 30)).shape == (2, 1, 30)


def test_what_a_companion_does_differs_from_place_to_place():
    tool = placed()
    with torch.no_grad():
        before = tool.estimate(torch.ones(1, 1, 30))
        tool.exit.weight[2] += 1.0
        changed = tool.estimate(torch.ones(1, 1, 30)) != before
    assert changed[0, 0].nonzero().flatten().tolist() == [8, 9, 10, 11]


def test_every_token_sees_the_summary():
    tool, features = placed(n_blocks=1), torch.rand(3, 4, 8)
    tokens = torch.zeros(3, 2, 6)
    with torch.no_grad():
        added = tool._placed(tokens, features) - tool._placed(tokens, torch.zeros_like(features))
    torch.testing.assert_close(added[:, 0], added[:, 1])
    assert (added.abs() > 0).all()


def test_a_network_with_its_place_takes_spectra_of_its_grid_alone():
    with pytest.raises(ValueError, match="this network's grid has 30"):
        placed().estimate(torch.rand(1, 1, 31))
