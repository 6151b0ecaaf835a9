"""Image files of all kinds become arrays of one format."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sslcore_torchvision._decoding import Format, Header, common_format, decode
from sslcore_torchvision.folder import folder

COLOUR = (200, 30, 90)


def decoded(path: Path, size: int = 8, channels: int = 3) -> np.ndarray:
    (image,) = decode([path], Format(size, channels))
    assert image is not None
    return image


def make(path: Path, count: int, size: tuple[int, int], mode: str = "RGB") -> None:
    for index in range(count):
        draw = np.random.default_rng(index)
        shape = (size[1], size[0], 3)
        image = Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8)).convert(mode)
        image.save(path / f"{mode}-{size[0]}-{index}.png")


def test_square_images_of_one_size_are_kept_pixel_by_pixel(tmp_path):
    make(tmp_path, 5, (20, 20))
    data = folder(path=str(tmp_path))
    found = {image.numpy().tobytes() for image in torch.cat([data.train.images, data.test.images])}
    for index in range(5):
        with Image.open(tmp_path / f"RGB-20-{index}.png") as image:
            assert np.asarray(image).transpose(2, 0, 1).tobytes() in found


def test_images_of_mixed_sizes_get_the_median_short_side(tmp_path):
    make(tmp_path, 3, (20, 30))
    make(tmp_path, 2, (50, 40))
    data = folder(path=str(tmp_path))
    assert data.train.images.shape == (4, 3, 20, 20)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(32, 32)] * 3, 32),
        ([(256, 256)] * 3, 256),
        ([(257, 257)] * 3, 96),
        ([(64, 48)] * 3, 48),
        ([(640, 480)] * 3, 96),
        ([(32, 32), (32, 32), (32, 31)], 32),
    ],
)
def test_the_side_is_the_images_own_or_the_median_up_to_96(sizes, expected):
    headers = [Header(width, height, False) for width, height in sizes]
    assert common_format(headers) == Format(expected, 3)


def test_image_size_and_channels_can_be_set(tmp_path):
    make(tmp_path, 4, (20, 30))
    assert folder(path=str(tmp_path), image_size=12).train.images.shape == (3, 3, 12, 12)
    assert folder(path=str(tmp_path), channels=1).train.images.shape == (3, 1, 20, 20)


def test_images_have_one_channel_if_all_are_grey_and_three_otherwise(tmp_path):
    make(tmp_path, 3, (10, 10), "L")
    assert folder(path=str(tmp_path)).train.channels == 1
    assert folder(path=str(tmp_path), channels=3).train.channels == 3
    make(tmp_path, 1, (10, 10), "RGB")
    data = folder(path=str(tmp_path))
    assert data.train.channels == 3
    grey = [image for image in data.train.images if torch.equal(image[0], image[1])]
    assert len(grey) >= 2


@pytest.mark.parametrize(
    ("mode", "extension"),
    [
        ("RGB", "jpg"),
        ("RGB", "png"),
        ("RGB", "bmp"),
        ("RGB", "webp"),
        ("RGB", "tiff"),
        ("RGB", "ppm"),
        ("P", "png"),
        ("P", "gif"),
        ("RGBA", "png"),
        ("CMYK", "jpg"),
        ("CMYK", "tif"),
        ("YCbCr", "jpg"),
    ],
)
def test_every_mode_and_format_gives_the_colour_that_was_saved(tmp_path, mode, extension):
    path = tmp_path / f"image.{extension}"
    image = Image.new("RGB", (8, 8), COLOUR)
    (image.quantize(4) if mode == "P" else image.convert(mode)).save(path)
    found = decoded(path).astype(int)
    assert found.shape == (3, 8, 8)
    assert np.abs(found - np.array(COLOUR)[:, None, None]).max() <= 6


def test_the_name_says_nothing_about_the_format(tmp_path):
    Image.new("RGB", (8, 8), COLOUR).save(tmp_path / "image.png")
    path = (tmp_path / "image.png").rename(tmp_path / "image.jpg")
    assert decoded(path)[:, 0, 0].tolist() == list(COLOUR)


def test_transparent_parts_become_white(tmp_path):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.putpixel((2, 3), (*COLOUR, 255))
    image.save(tmp_path / "image.png")
    found = decoded(tmp_path / "image.png")
    assert found[:, 3, 2].tolist() == list(COLOUR)
    assert found[:, 0, 0].tolist() == [255, 255, 255]
    Image.new("LA", (8, 8), (0, 128)).save(tmp_path / "grey.png")
    assert decoded(tmp_path / "grey.png", channels=1)[0, 0, 0] in (126, 127, 128)


def test_a_palette_with_a_transparent_colour_is_read_without_warning(tmp_path):
    image = Image.new("P", (8, 8))
    image.putpalette([0, 0, 0, *COLOUR])
    image.putpixel((1, 1), 1)
    image.save(tmp_path / "image.png", transparency=b"\x00\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = decoded(tmp_path / "image.png")
    assert found[:, 1, 1].tolist() == list(COLOUR)
    assert found[:, 0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("extension", ["png", "tif", "pgm"])
def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path, extension):
    values = (np.arange(64, dtype=np.uint16) * 1040).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / f"image.{extension}")
    found = decoded(tmp_path / f"image.{extension}", channels=1)
    assert np.array_equal(found[0], values >> 8)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize(
    ("orientation", "stored_as"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_images_are_turned_upright_as_their_exif_data_say(
    tmp_path, orientation, stored_as, extension
):
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:16, :16], pixels[:16, 16:], pixels[16:, :16] = 250, 170, 90
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = image if stored_as is None else image.transpose(stored_as)
    stored.save(tmp_path / f"image.{extension}", exif=exif)
    found = decoded(tmp_path / f"image.{extension}", 32)
    assert np.abs(found.transpose(1, 2, 0).astype(int) - pixels).max() <= 3


@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
def test_damaged_exif_data_are_no_reason_to_leave_an_image_out(tmp_path, extension):
    path = tmp_path / f"image.{extension}"
    Image.new("RGB", (8, 8), COLOUR).save(path, exif=b"Exif\x00\x00nonsense")
    assert np.abs(decoded(path).astype(int) - np.array(COLOUR)[:, None, None]).max() <= 6


def test_an_orientation_on_its_side_counts_for_the_short_side_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    for index in range(3):
        Image.new("RGB", (30, 20)).save(tmp_path / f"{index}.jpg", exif=exif)
    assert folder(path=str(tmp_path)).train.image_size == 20


@settings(deadline=None, max_examples=25)
@given(width=st.integers(1, 60), height=st.integers(1, 60), size=st.integers(1, 40))
def test_the_middle_is_cut_out_of_any_shape(width, height, size, tmp_path_factory):
    # Brightness grows from the centre outwards, so the centre crop is the darkest square.
    across = np.abs(np.arange(width) - (width - 1) / 2)
    down = np.abs(np.arange(height) - (height - 1) / 2)
    pixels = (across[None] + down[:, None]).round().astype(np.uint8)
    path = tmp_path_factory.mktemp("shapes") / "image.png"
    Image.fromarray(pixels).save(path)
    found = decoded(path, size, channels=1)[0].astype(int)
    assert found.shape == (size, size)
    assert found.max() <= min(width, height) + 1
    assert np.abs(found - found[::-1, ::-1]).max() <= 4  # nothing is shifted to a side


def test_images_come_in_the_order_asked_for_however_many_there_are(tmp_path):
    paths = []
    for value in range(256):
        paths.append(tmp_path / f"{value}.png")
        Image.new("L", (2, 2), value).save(paths[-1])
    order = [paths[(37 * index) % 256] for index in range(1000)]
    found = [int(image[0, 0, 0]) for image in decode(order, Format(2, 1))]
    assert found == [(37 * index) % 256 for index in range(1000)]


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
)
def test_what_is_no_image_is_none(tmp_path, content):
    (tmp_path / "image.jpg").write_bytes(content)
    assert list(decode([tmp_path / "image.jpg", tmp_path / "missing.jpg"], Format(8, 3))) == [
        None,
        None,
    ]


@pytest.mark.parametrize("form", ["PCX", "TGA", "ICO", "PDF"])
def test_formats_that_are_not_expected_are_not_opened_under_another_name(tmp_path, form):
    Image.new("RGB", (16, 16), COLOUR).save(tmp_path / "image.png", form)
    assert list(decode([tmp_path / "image.png"], Format(8, 3))) == [None]


@pytest.mark.parametrize("extension", ["jpg", "png", "gif", "webp", "tif", "bmp"])
def test_a_file_cut_off_in_the_middle_is_none(tmp_path, extension):
    path = tmp_path / f"image.{extension}"
    draw = np.random.default_rng(0)
    Image.fromarray(draw.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert list(decode([path], Format(8, 3))) == [None]


def test_floating_point_images_have_no_known_range_and_are_not_guessed_at(tmp_path):
    Image.fromarray(np.ones((8, 8), dtype=np.float32)).save(tmp_path / "image.tif")
    assert list(decode([tmp_path / "image.tif"], Format(8, 1))) == [None]
