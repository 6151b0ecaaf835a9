"""Crops, flips and rotations, compared with torchvision's functions for single images."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as oracle

from sslcore import transforms
from sslcore.transforms import geometry


def images_of(count: int, channels: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, height, width, generator=generator)


def boxes_in(height: int, width: int, *shape: int) -> tuple[torch.Tensor, ...]:
    """Random boxes within an image, the whole image and one pixel among them."""
    generator = torch.Generator().manual_seed(height * width)
    part = torch.rand(4, *shape, generator=generator)
    part[:, ..., 0] = 1.0
    part[:, ..., 1] = 0.0
    rows, columns = (part[0] * height).ceil().clamp(1), (part[1] * width).ceil().clamp(1)
    top, left = (part[2] * (height - rows)).floor(), (part[3] * (width - columns)).floor()
    return tuple(value.long() for value in (top, left, rows, columns))


@pytest.fixture(params=["sums of rows", "matrix products"])
def way(request, monkeypatch):
    """Both ways of cropping: on a CPU, and on other devices."""
    monkeypatch.setattr(geometry, "sums_rows", lambda images: request.param == "sums of rows")


def torchvision_crop(image, box, size, interpolation="bilinear", flip=False):
    mode = InterpolationMode(interpolation)
    made = oracle.resized_crop(image, *box, [size, size], mode, antialias=True)
    made = made.clamp(0, 1) if interpolation == "bicubic" else made
    return oracle.hflip(made) if flip else made


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(32, 32, 32), (8, 8, 8), (28, 28, 12), (20, 20, 51), (17, 40, 16), (64, 48, 1)],
)
def test_a_resized_crop_is_what_torchvision_makes_of_each_box(
    channels, height, width, size, interpolation
):
    images = images_of(9, channels, height, width)
    boxes = boxes_in(height, width, 9)
    made = transforms.resized_crop(images, *boxes, size, interpolation=interpolation)
    for index, image in enumerate(images):
        box = [int(value[index]) for value in boxes]
        expected = torchvision_crop(image, box, size, interpolation)
        torch.testing.assert_close(made[index], expected, atol=1e-5, rtol=0)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["bilinear", "bicubic"]),
    st.data(),
)
@settings(deadline=None, max_examples=60)
def test_any_box_at_any_size_mirrored_or_not_is_torchvisions(
    height, width, size, interpolation, data
):
    image = images_of(1, 2, height, width)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    rows = data.draw(st.integers(1, height - top))
    columns = data.draw(st.integers(1, width - left))
    box, flip = (top, left, rows, columns), data.draw(st.booleans())
    made = transforms.resized_crop(
        image,
        *(torch.tensor([value]) for value in box),
        size,
        torch.tensor([flip]),
        interpolation=interpolation,
    )
    expected = torchvision_crop(image[0], box, size, interpolation, flip)
    torch.testing.assert_close(made[0], expected, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_crop_of_large_images_is_what_torchvision_makes_in_double_precision(interpolation):
    images, boxes = images_of(6, 3, 256, 300), boxes_in(256, 300, 6)
    made = transforms.resized_crop(images, *boxes, 224, interpolation=interpolation)
    for index, image in enumerate(images.double()):
        box = [int(value[index]) for value in boxes]
        expected = torchvision_crop(image, box, 224, interpolation)
        torch.testing.assert_close(made[index].double(), expected, atol=2e-6, rtol=0)


def test_an_unknown_interpolation_is_an_error_that_lists_the_known_ones():
    images, boxes = images_of(2, 1, 8, 8), boxes_in(8, 8, 2)
    with pytest.raises(ValueError, match="expected one of bilinear, bicubic, got 'nearest'"):
        transforms.resized_crop(images, *boxes, 4, interpolation="nearest")


@pytest.mark.usefixtures("way")
def test_gradients_flow_through_a_crop():
    images = images_of(2, 1, 6, 6).requires_grad_()
    zero, full = torch.zeros(2, dtype=torch.long), torch.full((2,), 6)
    transforms.resized_crop(images, zero, zero, full, full, 6).square().sum().backward()
    torch.testing.assert_close(images.grad, 2 * images.detach())


@pytest.mark.usefixtures("way")
def test_a_resized_crop_mirrors_where_flip_says_so():
    images, boxes = images_of(6, 3, 16, 16), boxes_in(16, 16, 6)
    flip = torch.tensor([True, False, True, True, False, False])
    plain = transforms.resized_crop(images, *boxes, 10)
    made = transforms.resized_crop(images, *boxes, 10, flip)
    torch.testing.assert_close(made[flip], plain.flip(-1)[flip], atol=1e-6, rtol=0)
    torch.testing.assert_close(made[~flip], plain[~flip], atol=0, rtol=0)


@pytest.mark.usefixtures("way")
def test_several_crops_of_an_image_are_the_crops_made_one_view_at_a_time():
    images, boxes = images_of(5, 3, 24, 24), boxes_in(24, 24, 3, 5)
    flip = torch.arange(15).view(3, 5) % 2 == 0
    views = transforms.resized_crop(images, *boxes, 12, flip)
    assert views.shape == (3, 5, 3, 12, 12)
    for view in range(3):
        one = transforms.resized_crop(images, *(box[view] for box in boxes), 12, flip[view])
        torch.testing.assert_close(views[view], one, atol=1e-6, rtol=0)


@given(st.integers(1, 20), st.integers(1, 3))
@settings(deadline=None, max_examples=15)
def test_the_whole_image_as_box_at_its_own_size_is_the_image_exactly(side, channels):
    images = images_of(2, channels, side, side)
    zero, full = torch.zeros(2, dtype=torch.long), torch.full((2,), side)
    assert torch.equal(transforms.resized_crop(images, zero, zero, full, full, side), images)


@given(st.floats(0, 1), st.integers(1, 40))
@settings(deadline=None, max_examples=15)
def test_a_crop_of_a_constant_image_is_constant(level, size):
    images = torch.full((8, 1, 16, 16), level)
    made = transforms.resized_crop(images, *boxes_in(16, 16, 8), size)
    torch.testing.assert_close(made, torch.full_like(made, level), atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [7, 16, 30])
def test_resize_is_torchvisions_antialiased_resize(size):
    images = images_of(3, 3, 16, 20)
    expected = oracle.resize(images, [size, size], antialias=True)
    torch.testing.assert_close(transforms.resize(images, size), expected, atol=1e-6, rtol=0)


def test_resize_to_the_same_size_gives_the_images_themselves():
    images = images_of(2, 3, 8, 8)
    assert transforms.resize(images, 8) is images


def test_horizontal_flip_mirrors_the_chosen_images_only():
    images = images_of(4, 3, 6, 7)
    flip = torch.tensor([True, False, False, True])
    made = transforms.horizontal_flip(images, flip)
    assert torch.equal(made[flip], oracle.hflip(images[flip]))
    assert torch.equal(made[~flip], images[~flip])


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 16, 16), (3, 33, 20), (3, 96, 96)])
def test_affine_is_torchvisions_rotation_and_translation(channels, height, width):
    images = images_of(6, channels, height, width)
    degrees = torch.tensor([0.0, 90.0, -30.0, 180.0, 12.5, 359.0])
    translate = torch.tensor([[3, 0], [0, 0], [-2, 5], [1, 1], [0, -7], [height, 0]])
    made = transforms.affine(images, degrees, translate)
    for index, image in enumerate(images):
        expected = oracle.affine(
            image,
            degrees[index].item(),
            translate[index].tolist(),
            scale=1.0,
            shear=[0.0],
            interpolation=InterpolationMode.BILINEAR,
        )
        torch.testing.assert_close(made[index], expected, atol=1e-4, rtol=0)


def test_a_positive_angle_turns_clockwise_and_a_translation_goes_right_and_down():
    image = torch.zeros(1, 1, 5, 5)
    image[..., 0, 0] = 1.0
    quarter = transforms.affine(image, torch.tensor([90.0]), torch.zeros(1, 2))
    assert quarter[0, 0].argmax() == 4
    moved = transforms.affine(image, torch.zeros(1), torch.tensor([[2, 1]]))
    assert moved[0, 0].argmax() == 7


def test_no_rotation_and_no_translation_leave_the_images_as_they_are():
    images = images_of(3, 3, 32, 32)
    made = transforms.affine(images, torch.zeros(3), torch.zeros(3, 2))
    torch.testing.assert_close(made, images, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "call",
    [
        lambda images: transforms.resized_crop(images[0], *torch.ones(4, 3).long(), 8),
        lambda images: transforms.resized_crop(images, *torch.ones(4, 2).long(), 8),
        lambda images: transforms.resized_crop(
            images, *torch.ones(4, 3).long(), 8, torch.ones(1, dtype=torch.bool)
        ),
        lambda images: transforms.horizontal_flip(images, torch.ones(1, dtype=torch.bool)),
        lambda images: transforms.affine(images, torch.zeros(3), torch.zeros(3)),
        lambda images: transforms.affine(images, torch.zeros(1), torch.zeros(3, 2)),
        lambda images: transforms.resize(images.to(torch.uint8), 4),
    ],
)
def test_a_wrong_shape_or_type_is_an_error_and_never_broadcast(call):
    with pytest.raises(ValueError, match="expected"):
        call(images_of(3, 3, 8, 8))
