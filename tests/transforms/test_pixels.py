"""Blur, noise, holes and normalisation, and properties of all operations."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.transforms import functional as oracle

from sslcore import transforms
from sslcore.transforms import filters, geometry


def images_of(count: int, channels: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, channels, height, width, generator=generator)


@pytest.fixture(params=["on the CPU", "elsewhere"])
def way(request, monkeypatch):
    """Both ways of cropping and blurring: on a CPU, and on other devices."""
    for module in (filters, geometry):
        monkeypatch.setattr(module, "sums_rows", lambda images: request.param == "on the CPU")


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("channels", "height", "width", "kernel_size"),
    [(3, 32, 32, 3), (1, 20, 31, 7), (3, 12, 8, 15), (2, 5, 5, 1), (3, 64, 64, 9), (1, 70, 99, 23)],
)
def test_a_blur_is_torchvisions_with_a_width_per_image(channels, height, width, kernel_size):
    images = images_of(5, channels, height, width)
    sigma = torch.tensor([0.1, 0.5, 1.0, 2.0, 30.0])
    made = transforms.gaussian_blur(images, sigma, kernel_size)
    for index, image in enumerate(images):
        expected = oracle.gaussian_blur(image, [kernel_size] * 2, [sigma[index].item()] * 2)
        torch.testing.assert_close(made[index], expected, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("way")
def test_a_blur_leaves_the_images_alone_that_apply_excludes():
    images, sigma = images_of(4, 3, 16, 16), torch.full((4,), 1.5)
    apply = torch.tensor([False, True, True, False])
    made = transforms.gaussian_blur(images, sigma, 5, apply)
    assert torch.equal(made[~apply], images[~apply])
    blurred = transforms.gaussian_blur(images, sigma, 5)
    torch.testing.assert_close(made[apply], blurred[apply], atol=1e-6, rtol=0)


@given(st.floats(0, 1), st.floats(0.1, 5.0))
@settings(deadline=None, max_examples=15)
def test_a_blurred_constant_image_is_constant(level, sigma):
    images = torch.full((2, 1, 9, 9), level)
    made = transforms.gaussian_blur(images, torch.full((2,), sigma), 7)
    torch.testing.assert_close(made, images, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kernel_size", [0, -1, 4, 17])
def test_a_kernel_that_is_even_or_larger_than_the_mirrored_image_is_an_error(kernel_size):
    with pytest.raises(ValueError, match="kernel_size: expected an odd number from 1 to 15"):
        transforms.gaussian_blur(torch.rand(1, 1, 8, 12), torch.ones(1), kernel_size)


@pytest.mark.parametrize(
    ("mean", "std"), [((0.5,), (0.25,)), ((0.1, 0.2, 0.3), (0.5,)), ((0.4,), (0.1, 1.0, 2.0))]
)
def test_normalize_is_torchvisions(mean, std):
    images = images_of(4, 3, 5, 6)
    spread = [list(values) * (3 // len(values)) for values in (mean, std)]
    expected = oracle.normalize(images, *spread)
    torch.testing.assert_close(transforms.normalize(images, mean, std), expected)


@pytest.mark.parametrize(
    ("mean", "std"), [((0.5, 0.5), (1.0,)), ((0.5,), (1.0,) * 4), ((0.5,), (0.0,)), ((), (1.0,))]
)
def test_normalize_refuses_a_wrong_number_of_values_and_a_spread_of_zero(mean, std):
    with pytest.raises(ValueError, match="expected"):
        transforms.normalize(torch.rand(2, 3, 4, 4), mean, std)


def test_noise_is_added_in_the_strength_of_each_image():
    images, noise = images_of(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    torch.testing.assert_close(transforms.gaussian_noise(images, noise, 0.5), images + 0.5 * noise)
    std = torch.tensor([0.0, 1.0, 2.0])
    made = transforms.gaussian_noise(images, noise, std)
    assert torch.equal(made[0], images[0])
    torch.testing.assert_close(made[2], images[2] + 2 * noise[2])


@given(
    st.integers(1, 12),
    st.integers(0, 14),
    st.lists(st.tuples(st.integers(-3, 14), st.integers(-3, 14)), min_size=1, max_size=3),
)
@settings(deadline=None, max_examples=40)
def test_a_hole_covers_its_rows_and_columns_and_no_more(side, length, centres):
    images = torch.ones(2, 2, side, side + 1)
    rows, columns = torch.tensor(centres).T
    centre_y, centre_x = torch.stack((rows, rows)), torch.stack((columns, columns + 1))
    made = transforms.cutout(images, centre_y, centre_x, length, fill=0.5)
    expected = images.clone()
    for index in range(2):
        for y, x in zip(centre_y[index].tolist(), centre_x[index].tolist(), strict=True):
            for row in range(side):
                for column in range(side + 1):
                    in_rows = 0 <= row - (y - length // 2) < length
                    in_columns = 0 <= column - (x - length // 2) < length
                    if in_rows and in_columns:
                        expected[index, :, row, column] = 0.5
    assert torch.equal(made, expected)


def test_holes_are_black_unless_filled_with_something_else():
    centre = torch.tensor([[2]])
    assert transforms.cutout(torch.ones(1, 1, 5, 5), centre, centre, 1).sum() == 24


@pytest.mark.parametrize(
    "call",
    [
        lambda images: transforms.gaussian_blur(images, torch.ones(1), 3),
        lambda images: transforms.gaussian_noise(images, torch.randn(1, 3, 8, 8), 1.0),
        lambda images: transforms.gaussian_noise(images, images, torch.ones(2)),
        lambda images: transforms.cutout(images, torch.ones(3).long(), torch.ones(3).long(), 2),
        lambda images: transforms.cutout(
            images, torch.ones(3, 2).long(), torch.ones(3, 1).long(), 2
        ),
        lambda images: transforms.normalize(images[0], (0.5,), (0.5,)),
    ],
)
def test_a_wrong_shape_is_an_error_and_never_broadcast(call):
    with pytest.raises(ValueError, match="expected"):
        call(images_of(3, 3, 8, 8))


def every_operation(images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the result of each operation for six RGB images of 16 px, with fixed parameters."""
    count, device = len(images), images.device
    ramp = torch.arange(count, device=device)
    zero, some = torch.zeros_like(ramp), ramp % 2 == 0
    factor = 0.5 + ramp / count
    box = (zero, ramp, 5 + ramp, 16 - ramp)
    order = torch.stack([(ramp + place) % 4 for place in range(4)], dim=-1)
    jitter = (factor, factor, factor, factor - 1)
    two = [torch.stack((values, values)) for values in (*box, some)]
    return {
        "resize": transforms.resize(images, 9),
        "resized_crop": transforms.resized_crop(images, *box, 12, some),
        "bicubic": transforms.resized_crop(images, *box, 12, some, interpolation="bicubic"),
        "two crops": transforms.resized_crop(images, *two[:4], 12, two[4]),
        "horizontal_flip": transforms.horizontal_flip(images, some),
        "affine": transforms.affine(images, factor * 20, torch.stack((ramp, -ramp), dim=-1)),
        "adjust_brightness": transforms.adjust_brightness(images, factor),
        "adjust_contrast": transforms.adjust_contrast(images, factor),
        "adjust_saturation": transforms.adjust_saturation(images, factor),
        "adjust_hue": transforms.adjust_hue(images, factor - 1),
        "color_jitter": transforms.color_jitter(images, *jitter, apply=some),
        "color_jitter in order": transforms.color_jitter(images, *jitter, order=order, apply=some),
        "grayscale": transforms.grayscale(images, some),
        "solarize": transforms.solarize(images, factor, some),
        "gaussian_blur": transforms.gaussian_blur(images, factor, 5, some),
        "normalize": transforms.normalize(images, (0.1, 0.2, 0.3), (0.5,)),
        "gaussian_noise": transforms.gaussian_noise(images, images, factor),
        "cutout": transforms.cutout(images, ramp.unsqueeze(1), ramp.unsqueeze(1), 4),
    }


@pytest.mark.usefixtures("way")
def test_no_operation_changes_the_images_it_is_given():
    images = images_of(6, 3, 16, 16)
    before, version = images.clone(), images._version
    every_operation(images)
    assert torch.equal(images, before)
    assert images._version == version


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-5), (torch.float16, 0.02), (torch.bfloat16, 0.12)],
)
def test_every_operation_keeps_the_type_of_the_images(dtype, tolerance):
    images = images_of(6, 3, 16, 16).to(dtype)
    exact = every_operation(images.to(torch.float32))
    for name, made in every_operation(images).items():
        assert made.dtype == dtype, name
        if name != "solarize":
            difference = (made.to(torch.float32) - exact[name]).abs().max()
            assert difference <= tolerance, name


@pytest.mark.usefixtures("way")
def test_images_in_double_precision_are_worked_on_in_double_precision():
    images = images_of(2, 1, 12, 12).double()
    three, nine = torch.full((2,), 3), torch.full((2,), 9)
    made = transforms.resized_crop(images, three, three, nine, nine, 7)
    expected = oracle.resized_crop(images, 3, 3, 9, 9, [7, 7], antialias=True)
    torch.testing.assert_close(made, expected, atol=1e-12, rtol=0)
    made = transforms.gaussian_blur(images, three, 5)
    expected = oracle.gaussian_blur(images, [5, 5], [3.0, 3.0])
    torch.testing.assert_close(made, expected, atol=1e-12, rtol=0)


@pytest.mark.usefixtures("way")
def test_an_image_does_not_depend_on_the_others_in_its_batch():
    images = images_of(6, 3, 16, 16)
    swapped = images.clone()
    swapped[3:] = 1 - images[3:]
    first, second = every_operation(images), every_operation(swapped)
    for name, made in first.items():
        batch = made.transpose(0, 1) if name == "two crops" else made
        other = second[name].transpose(0, 1) if name == "two crops" else second[name]
        assert torch.equal(batch[:3], other[:3]), name


@pytest.mark.usefixtures("way")
def test_no_operation_needs_the_values_of_a_tensor_on_the_host():
    # Fake tensors have no values: reading one raises.
    with FakeTensorMode():
        made = every_operation(torch.empty(6, 3, 16, 16))
    assert made["affine"].shape == (6, 3, 16, 16)


@pytest.mark.usefixtures("way")
def test_autocast_does_not_lower_the_precision_of_an_operation():
    images = images_of(6, 3, 16, 16)
    plain = every_operation(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = every_operation(images)
    for name, made in cast.items():
        assert torch.equal(made, plain[name]), name


def test_images_in_zero_to_one_stay_there():
    images = images_of(6, 3, 16, 16).round()
    unbounded = {"normalize", "gaussian_noise"}
    for name, made in every_operation(images).items():
        if name not in unbounded:
            assert made.min() >= -1e-6, name
            assert made.max() <= 1 + 1e-6, name
