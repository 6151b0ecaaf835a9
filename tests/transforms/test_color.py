"""Colour operations, compared with torchvision's functions for single images."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import functional as oracle

from sslcore import transforms

ADJUSTMENTS = ("brightness", "contrast", "saturation", "hue")
FACTORS = torch.tensor([0.0, 0.4, 0.9, 1.0, 1.3, 2.5])
SHIFTS = torch.tensor([-0.5, -0.2, 0.0, 1e-3, 0.35, 0.5])


def images_of(count: int, channels: int, size: int = 9, seed: int = 0) -> torch.Tensor:
    """Random images, with pixels that are black, white, grey or have a tie among their colours."""
    images = torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed))
    images[..., 0, :3] = torch.tensor([0.0, 1.0, 0.5])
    images[:, :2, 1] = images[:, :1, 1]
    images[:, -2:, 2] = images[:, -1:, 2]
    images[..., 3, :] = images[..., 3, :].round()
    return images


def expected_of(name: str, image: torch.Tensor, value: float) -> torch.Tensor:
    return getattr(oracle, f"adjust_{name}")(image, value)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ADJUSTMENTS)
def test_an_adjustment_is_torchvisions_with_a_factor_per_image(name, channels):
    images = images_of(6, channels)
    values = SHIFTS if name == "hue" else FACTORS
    made = getattr(transforms, f"adjust_{name}")(images, values)
    for index, image in enumerate(images):
        expected = expected_of(name, image, values[index].item())
        torch.testing.assert_close(made[index], expected, atol=1e-5, rtol=0)


@given(st.integers(0, 1000), st.floats(-0.5, 0.5, width=32))
@settings(deadline=None, max_examples=25)
def test_any_hue_shift_of_any_image_is_torchvisions(seed, shift):
    images = images_of(2, 3, seed=seed)
    made = transforms.adjust_hue(images, torch.full((2,), shift))
    torch.testing.assert_close(made, oracle.adjust_hue(images, shift), atol=1e-5, rtol=0)


def test_a_third_of_a_turn_of_hue_makes_red_green():
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    made = transforms.adjust_hue(red, torch.tensor([1 / 3]))
    torch.testing.assert_close(made.flatten(), torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_color_jitter_applies_the_adjustments_in_the_order_of_each_image(channels):
    orders = torch.cartesian_prod(*[torch.arange(4)] * 4)
    orders = orders[orders.sort(-1).values.eq(torch.arange(4)).all(-1)]
    count = len(orders)
    assert count == 24
    images = images_of(count, channels)
    generator = torch.Generator().manual_seed(1)
    values = torch.rand(4, count, generator=generator) * 1.2 + 0.4
    values[3] = torch.rand(count, generator=generator) - 0.5
    made = transforms.color_jitter(images, *values, order=orders)
    for index, image in enumerate(images):
        for adjustment in orders[index].tolist():
            image = expected_of(ADJUSTMENTS[adjustment], image, values[adjustment, index].item())
        torch.testing.assert_close(made[index], image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("left_out", [(0,), (1,), (3,), (0, 1), (1, 3), (0, 1, 2), (0, 2, 3)])
def test_an_adjustment_that_is_left_out_keeps_its_place_in_no_order(left_out):
    images = images_of(8, 3)
    generator = torch.Generator().manual_seed(2)
    order = torch.rand(8, 4, generator=generator).argsort(-1)
    values = torch.rand(4, 8, generator=generator) * 0.4
    neutral = torch.tensor([1.0, 1.0, 1.0, 0.0])
    given_values = [None if i in left_out else values[i] for i in range(4)]
    full = [neutral[i].expand(8) if i in left_out else values[i] for i in range(4)]
    for arrangement in (order, None):
        made = transforms.color_jitter(images, *given_values, order=arrangement)
        expected = transforms.color_jitter(images, *full, order=arrangement)
        torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)


def test_without_an_order_the_adjustments_come_as_they_are_listed():
    images = images_of(6, 3)
    values = (FACTORS, FACTORS.flip(0), FACTORS.roll(1), SHIFTS)
    listed = torch.arange(4).expand(6, 4)
    torch.testing.assert_close(
        transforms.color_jitter(images, *values),
        transforms.color_jitter(images, *values, order=listed),
        atol=1e-5,
        rtol=0,
    )


@pytest.mark.parametrize("ordered", [False, True])
def test_color_jitter_leaves_the_images_alone_that_apply_excludes(ordered):
    images = images_of(6, 3)
    apply = torch.tensor([True, False, True, False, False, True])
    order = torch.arange(4).flip(0).expand(6, 4) if ordered else None
    values = (FACTORS, FACTORS.flip(0), FACTORS.roll(1), SHIFTS.roll(1))
    made = transforms.color_jitter(images, *values, order=order, apply=apply)
    everywhere = transforms.color_jitter(images, *values, order=order)
    assert torch.equal(made[apply], everywhere[apply])
    torch.testing.assert_close(made[~apply], images[~apply], atol=1e-6, rtol=0)


def test_color_jitter_of_nothing_gives_the_images_themselves():
    images = images_of(2, 3)
    assert transforms.color_jitter(images) is images
    assert transforms.color_jitter(images, order=torch.arange(4).expand(2, 4)) is images


def test_grayscale_is_torchvisions_where_it_applies():
    images = images_of(4, 3)
    apply = torch.tensor([True, False, False, True])
    made = transforms.grayscale(images, apply)
    expected = oracle.rgb_to_grayscale(images, num_output_channels=3)
    torch.testing.assert_close(made[apply], expected[apply], atol=1e-6, rtol=0)
    assert torch.equal(made[~apply], images[~apply])
    torch.testing.assert_close(transforms.grayscale(images), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_solarize_is_torchvisions_with_a_threshold_per_image(channels):
    images = images_of(4, 3)[:, :channels]
    threshold = torch.tensor([0.0, 0.5, 0.7, 1.0])
    made = transforms.solarize(images, threshold)
    for index, image in enumerate(images):
        bright = image >= threshold[index]
        assert torch.equal(made[index], torch.where(bright, 1 - image, image))
        if channels != 2:
            assert torch.equal(made[index], oracle.solarize(image, threshold[index].item()))
    apply = torch.tensor([True, False, True, False])
    some = transforms.solarize(images, threshold, apply)
    assert torch.equal(some[apply], made[apply])
    assert torch.equal(some[~apply], images[~apply])


def test_grey_images_have_no_saturation_no_hue_and_nothing_to_make_grey():
    images = images_of(6, 1)
    assert transforms.adjust_saturation(images, FACTORS) is images
    assert transforms.adjust_hue(images, SHIFTS) is images
    assert transforms.grayscale(images) is images


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize(
    "call",
    [
        lambda images, one: transforms.adjust_saturation(images, one),
        lambda images, one: transforms.adjust_hue(images, one),
        lambda images, one: transforms.grayscale(images),
        lambda images, one: transforms.color_jitter(images, saturation=one),
        lambda images, one: transforms.color_jitter(images, hue=one),
    ],
)
def test_channels_that_are_not_colours_have_no_hue_or_saturation(channels, call):
    with pytest.raises(ValueError, match=f"1 or 3 channels\\), got {channels}"):
        call(torch.rand(2, channels, 4, 4), torch.zeros(2))


@pytest.mark.parametrize("channels", [2, 5])
def test_brightness_and_contrast_serve_any_number_of_channels(channels):
    images = images_of(3, 3).repeat(1, 2, 1, 1)[:, :channels]
    half = torch.full((3,), 0.5)
    torch.testing.assert_close(transforms.adjust_brightness(images, half), images / 2)
    mean = images.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(transforms.adjust_contrast(images, half), (images + mean) / 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda images: transforms.adjust_brightness(images, torch.ones(1)),
        lambda images: transforms.adjust_contrast(images, torch.ones(3, 1)),
        lambda images: transforms.adjust_hue(images[0], torch.ones(3)),
        lambda images: transforms.color_jitter(images, torch.ones(3), order=torch.arange(4)),
        lambda images: transforms.color_jitter(
            images, torch.ones(3), apply=torch.ones(1, dtype=torch.bool)
        ),
        lambda images: transforms.solarize(images, torch.ones(2)),
        lambda images: transforms.grayscale(images, torch.ones(1, dtype=torch.bool)),
    ],
)
def test_a_wrong_shape_is_an_error_and_never_broadcast(call):
    with pytest.raises(ValueError, match="expected"):
        call(images_of(3, 3))


def test_factors_for_each_channel_must_be_as_many_as_the_channels():
    with pytest.raises(ValueError, match="brightness: expected one value for each of 6 images and"):
        transforms.color_jitter(images_of(6, 5), torch.ones(6, 4))
