"""The convolutional encoder and decoder: shapes, ranges and errors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sslcore_autoencoder.decoder import CodeDecoder, ConvDecoder
from sslcore_autoencoder.encoder import ConvEncoder

sides = st.integers(4, 40)


@settings(deadline=None, max_examples=20)
@given(side=sides, channels=st.sampled_from([1, 3, 4]), count=st.integers(1, 3))
def test_encoder_halves_the_side_at_each_width_and_flattens_the_last_maps(side, channels, count):
    made = ConvEncoder(side, channels, widths=(5, 6))(torch.rand(count, channels, side, side))
    assert made["feature_maps"].shape == (count, 6, side // 4, side // 4)
    assert torch.equal(made["features"], made["feature_maps"].flatten(1))
    assert (made["features"] >= 0).all()


def test_default_encoder_is_64_and_128_channels_of_4_by_4_convolutions():
    convolutions = [layer for layer in ConvEncoder(32, 3).modules() if isinstance(layer, nn.Conv2d)]
    assert [tuple(layer.weight.shape) for layer in convolutions] == [
        (64, 3, 4, 4),
        (128, 64, 4, 4),
    ]


@pytest.mark.parametrize(
    ("side", "channels", "compression", "length"),
    [(16, 1, 16, 16), (32, 3, 16, 192), (96, 3, 16, 256), (4, 1, 100, 1)],
)
def test_a_code_has_a_number_for_so_many_of_the_image_and_256_at_the_most(
    side, channels, compression, length
):
    encoder = ConvEncoder(side, channels, widths=(4, 4), compression=compression)
    made = encoder(torch.rand(2, channels, side, side))
    assert made["features"].shape == (2, length)
    assert made["feature_maps"].shape == (2, 4, side // 4, side // 4)
    # The code is linear: nothing cuts off its negative half.
    codes = encoder(torch.rand(100, channels, side, side))["features"]
    assert length == 1 or (codes < 0).any()


def test_a_code_is_of_views_of_one_size():
    encoder = ConvEncoder(16, 1, compression=16)
    with pytest.raises(ValueError, match="made of views of 16 px, got views of 8 px"):
        encoder(torch.rand(2, 1, 8, 8))


@settings(deadline=None, max_examples=20)
@given(side=st.integers(1, 40), channels=st.sampled_from([1, 3]), length=st.integers(1, 9))
def test_a_code_decoder_returns_images_of_any_side(side, channels, length):
    decoder = CodeDecoder(length, side, channels, depth=8)
    images = decoder(torch.randn(2, 3, length))["reconstructions"]
    assert images.shape == (2, 3, channels, side, side)
    assert (images.abs() <= 1).all()


def test_images_too_small_to_halve_are_refused():
    ConvEncoder(4, 1, widths=(8, 8))
    with pytest.raises(ValueError, match="needs images of 4 px or more, not 3 px"):
        ConvEncoder(3, 1, widths=(8, 8))


@settings(deadline=None, max_examples=25)
@given(side=sides, channels=st.sampled_from([1, 3, 4]), depth=st.integers(1, 2))
def test_decoder_returns_images_of_the_side_that_the_encoder_took(side, channels, depth):
    widths = (5, 6)[:depth]
    encoder = ConvEncoder(side, channels, widths=widths)
    made = encoder(torch.rand(6, channels, side, side))
    shape = tuple(made["feature_maps"].shape[1:])
    decoder = ConvDecoder((shape[0], shape[1], shape[2]), side, channels)
    images = decoder(made["feature_maps"].unflatten(0, (2, 3)))["reconstructions"]
    assert images.shape == (2, 3, channels, side, side)
    assert (images.abs() <= 1).all()


@pytest.mark.parametrize("side", [1, 2, 16, 28, 32, 33, 63, 65])
@pytest.mark.parametrize("shape", [(512, 1, 1), (8, 3, 3), (4, 64, 64), (4, 2, 3)])
def test_decoder_works_for_maps_of_any_encoder(shape, side):
    images = ConvDecoder(shape, side, 3)(torch.rand(1, 2, *shape))["reconstructions"]
    assert images.shape == (1, 2, 3, side, side)


def transposed(decoder: nn.Module) -> list[tuple[int, int]]:
    """Input and output channels of each transposed convolution."""
    return [
        (layer.in_channels, layer.out_channels)
        for layer in decoder.modules()
        if isinstance(layer, nn.ConvTranspose2d)
    ]


def test_decoder_mirrors_the_default_encoder():
    assert transposed(ConvDecoder((128, 8, 8), 32, 3)) == [(128, 64), (64, 3)]


def test_deep_decoder_halves_its_channels_down_to_16():
    widths = [512, 256, 128, 64, 32, 16, 16]
    expected = list(zip(widths, [*widths[1:], 3], strict=True))
    assert transposed(ConvDecoder((512, 1, 1), 128, 3)) == expected


def test_given_widths_are_those_between_the_maps_and_the_image():
    assert transposed(ConvDecoder((9, 4, 4), 32, 1, widths=(7, 5))) == [(9, 7), (7, 5), (5, 1)]


def test_images_end_in_tanh_and_reach_both_ends_of_its_range():
    decoder = ConvDecoder((3, 4, 4), 8, 1)
    images = decoder(torch.randn(1, 64, 3, 4, 4) * 1e3)["reconstructions"]
    assert images.min().item() == pytest.approx(-1)
    assert images.max().item() == pytest.approx(1)


@pytest.mark.parametrize("side", [32, 30])
def test_every_view_and_image_is_decoded_on_its_own(side):
    decoder = ConvDecoder((6, 8, 8), side, 3)
    maps = torch.rand(2, 3, 6, 8, 8)
    whole = decoder(maps)["reconstructions"]
    for view in range(2):
        for image in range(3):
            alone = decoder(maps[view : view + 1, image : image + 1])["reconstructions"]
            torch.testing.assert_close(alone[0, 0], whole[view, image])


def test_gradient_reaches_every_parameter():
    encoder = ConvEncoder(16, 1, widths=(8, 8))
    decoder = ConvDecoder((8, 4, 4), 16, 1)
    maps = encoder(torch.rand(4, 1, 16, 16))["feature_maps"].unsqueeze(0)
    loss = decoder(maps)["reconstructions"].square().mean()
    parameters = [*encoder.parameters(), *decoder.parameters()]
    assert all(found.any() for found in torch.autograd.grad(loss, parameters))


def test_encoder_without_feature_maps_is_refused():
    with pytest.raises(ValueError, match="encoder gives no feature maps"):
        ConvDecoder(None, 32, 3)


@pytest.mark.parametrize("widths", [(), (8,), (8, 8, 8)])
def test_widths_of_another_depth_are_refused(widths):
    with pytest.raises(ValueError, match="doubles 3 times, so widths needs 2 entries"):
        ConvDecoder((9, 4, 4), 32, 1, widths=widths)
