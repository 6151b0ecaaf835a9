"""The plain convolutional encoders: shapes, accepted sizes, and a training run."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sslcore_torchvision.cnn import CNN4, SmallCNN


@pytest.mark.parametrize(
    ("image_size", "channels", "length"), [(16, 1, 512), (24, 1, 512), (32, 3, 2048)]
)
def test_cnn4_features_are_its_flattened_maps(image_size, channels, length):
    out = CNN4(image_size, channels)(torch.rand(3, channels, image_size, image_size))
    side = image_size // 16
    assert out["feature_maps"].shape == (3, 512, side, side)
    assert out["features"].shape == (3, length)
    assert torch.equal(out["features"], out["feature_maps"].flatten(1))


def test_cnn4_tells_the_least_size_where_views_are_too_small():
    with pytest.raises(ValueError, match="at least 16 px, these have 8"):
        CNN4(8, 1)
    assert CNN4(8, 1, widths=(4, 8, 16))(torch.rand(2, 1, 8, 8))["features"].shape == (2, 16)


def test_cnn4_has_the_layers_that_its_settings_say():
    plain = CNN4(32, 3, widths=(8, 16))
    with_norm = CNN4(32, 3, widths=(8, 16), batch_norm=True)
    assert [tuple(p.shape) for p in plain.parameters()] == [
        (8, 3, 3, 3),
        (8,),
        (16, 8, 3, 3),
        (16,),
    ]
    # Batch normalisation scales and shifts in place of the convolution's bias.
    assert [tuple(p.shape) for p in with_norm.parameters()] == [
        (8, 3, 3, 3),
        (8,),
        (8,),
        (16, 8, 3, 3),
        (16,),
        (16,),
    ]


@pytest.mark.parametrize(("image_size", "side"), [(8, 4), (16, 4), (24, 6), (32, 4), (64, 8)])
def test_small_cnn_halves_its_maps_where_they_are_large_enough(image_size, side):
    out = SmallCNN(image_size, 1)(torch.rand(2, 1, image_size, image_size))
    assert out["feature_maps"].shape == (2, 128, side, side)
    assert out["features"].shape == (2, 128)


@settings(deadline=None, max_examples=20)
@given(
    image_size=st.integers(1, 40),
    channels=st.integers(1, 4),
    widths=st.lists(st.integers(1, 8), min_size=1, max_size=5).map(tuple),
)
def test_small_cnn_takes_any_size_channels_and_widths(image_size, channels, widths):
    encoder = SmallCNN(image_size, channels, widths=widths)
    out = encoder(torch.rand(2, channels, image_size, image_size))
    assert out["features"].shape == (2, widths[-1])
    torch.testing.assert_close(out["features"], out["feature_maps"].mean((-2, -1)))


@pytest.mark.parametrize("kind", [CNN4, SmallCNN])
def test_every_parameter_gets_a_gradient(kind):
    encoder = kind(16, 1)
    encoder(torch.rand(4, 1, 16, 16))["features"].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


@pytest.mark.parametrize("kind", [CNN4, SmallCNN])
def test_the_order_of_pixels_in_memory_makes_no_difference(kind):
    encoder = kind(16, 3).eval()
    views = torch.rand(4, 3, 16, 16)
    plain = encoder(views)["features"]
    encoder = encoder.to(memory_format=torch.channels_last)
    strided = encoder(views.to(memory_format=torch.channels_last))["features"]
    torch.testing.assert_close(strided, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_pooling_before_the_relu_is_the_same_to_the_last_bit(batch_norm):
    torch.manual_seed(0)
    pooled_first = CNN4(32, 3, batch_norm=batch_norm)
    modules = [[module] for module in copy.deepcopy(pooled_first).blocks]
    as_said = nn.Sequential()
    for (module,) in modules:
        if isinstance(module, nn.ReLU):
            # Move the pooling after the ReLU that followed it.
            as_said.insert(len(as_said) - 1, module)
        else:
            as_said.append(module)
    assert [type(module) for module in as_said][-2:] == [nn.ReLU, nn.MaxPool2d]
    views = torch.randn(8, 3, 32, 32)
    for blocks in (pooled_first.blocks, as_said):
        maps = blocks(views)
        maps.square().sum().backward()
    assert torch.equal(pooled_first(views)["feature_maps"], as_said(views))
    for one, other in zip(pooled_first.parameters(), as_said.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
