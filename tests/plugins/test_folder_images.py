"""Images of a folder, of any size, in one form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sslcore.contract.reading import Reading
from sslcore.data import Data
from sslcore.data.arrays import ArrayImages
from sslcore.data.decoding import Header
from sslcore.data.form import Form
from sslcore.data.originals import Originals
from sslcore.data.prepare import prepared
from sslcore.data.survey import common_channels, common_size
from sslcore_torchvision.folder import folder


def opened(path: Path | str, *, test_fraction: float | None = None, **reading) -> Data:
    """Return the images of a folder as a run reads them."""
    return prepared(folder(path=str(path), test_fraction=test_fraction), Reading(**reading))[0]


def make(path: Path, count: int, size: tuple[int, int], mode: str = "RGB") -> None:
    for index in range(count):
        draw = np.random.default_rng(index)
        shape = (size[1], size[0], 3)
        image = Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8)).convert(mode)
        image.save(path / f"{mode}-{size[0]}-{index}.png")


def test_square_images_of_one_size_are_kept_pixel_by_pixel(tmp_path):
    make(tmp_path, 5, (20, 20))
    data = opened(tmp_path, test_fraction=0.2)
    found = {image.numpy().tobytes() for image in torch.cat([data.train.images, data.test.images])}
    for index in range(5):
        with Image.open(tmp_path / f"RGB-20-{index}.png") as image:
            assert np.asarray(image).transpose(2, 0, 1).tobytes() in found


def test_images_of_mixed_sizes_get_the_median_short_side(tmp_path):
    make(tmp_path, 3, (20, 30))
    make(tmp_path, 2, (50, 40))
    assert opened(tmp_path).train.images.shape == (5, 3, 20, 20)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(32, 32)] * 3, (32, True)),
        ([(256, 256)] * 3, (256, True)),
        ([(257, 257)] * 3, (96, False)),
        ([(64, 48)] * 3, (48, False)),
        ([(640, 480)] * 3, (96, False)),
        ([(32, 32), (32, 32), (32, 31)], (32, False)),
    ],
)
def test_the_side_is_the_images_own_or_the_median_up_to_96(sizes, expected):
    headers = [Header(height, width, 3, "uint8") for width, height in sizes]
    assert common_size(headers) == expected


def test_image_size_and_channels_can_be_set(tmp_path):
    make(tmp_path, 4, (20, 30))
    assert opened(tmp_path, image_size=12).train.images.shape == (4, 3, 12, 12)
    assert opened(tmp_path, channels=1).train.images.shape == (4, 1, 20, 20)


def test_images_have_one_channel_if_all_are_grey_and_three_otherwise(tmp_path):
    make(tmp_path, 3, (10, 10), "L")
    assert opened(tmp_path).train.channels == 1
    assert opened(tmp_path, channels=3).train.channels == 3
    make(tmp_path, 1, (10, 10), "RGB")
    data = opened(tmp_path)
    assert data.train.channels == 3
    grey = [image for image in data.train.images if torch.equal(image[0], image[1])]
    assert len(grey) >= 2
    assert common_channels([Header(2, 2, 13, "uint16")] * 2) == 13


def test_grey_values_of_colour_are_those_of_pillow(tmp_path):
    make(tmp_path, 2, (16, 16))
    found = {image.numpy().tobytes() for image in opened(tmp_path, channels=1).train.images}
    expected = set()
    for path in tmp_path.glob("*.png"):
        with Image.open(path) as image:
            expected.add(np.asarray(image.convert("L")).tobytes())
    assert found <= expected


def test_an_orientation_on_its_side_counts_for_the_short_side_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    for index in range(3):
        Image.new("RGB", (30, 20)).save(tmp_path / f"{index}.jpg", exif=exif)
    assert opened(tmp_path).train.image_size == 20


@settings(deadline=None, max_examples=25)
@given(width=st.integers(1, 60), height=st.integers(1, 60), size=st.integers(1, 40))
def test_the_middle_is_cut_out_of_any_shape(width, height, size):
    # Brightness grows from the centre outwards, so the centre crop is the darkest square.
    across = np.abs(np.arange(width) - (width - 1) / 2)
    down = np.abs(np.arange(height) - (height - 1) / 2)
    pixels = torch.from_numpy((across[None] + down[:, None]).round().astype(np.uint8))[None]
    source = ArrayImages(pixels[None])
    found = Originals(source, Form(size, 1)).square(0)[0].int()
    assert found.shape == (size, size)
    assert found.max() <= min(width, height) + 1
    assert (found - found.flip(0, 1)).abs().max() <= 4  # nothing is shifted to a side
