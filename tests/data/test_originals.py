"""Boxes of original photos: the same boxes and pixels as torchvision's random resized crop."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from sslcore.data import Split
from sslcore.data.form import Form
from sslcore.data.originals import Originals, in_threads
from sslcore.errors import DataError
from sslcore.random import BatchRandom
from sslcore.signals import Boxes
from sslcore.transforms import RandomViews, crop_parameters

PHOTOS = 200


def photo(seed: int, width: int, height: int) -> Image.Image:
    """Return an image with shapes of all sizes, and the noise of a camera."""
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 256, (max(2, height // 16), max(2, width // 16), 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noisy = smooth.astype(np.int16) + draw.integers(-8, 9, smooth.shape, dtype=np.int16)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


class Photos:
    """Encoded photos of many shapes, JPEG and PNG in turn."""

    def __init__(self, count: int = PHOTOS, largest: int = 500) -> None:
        draw = np.random.default_rng(0)
        self.files = []
        for row in range(count):
            width, height = (int(side) for side in draw.integers(20, largest, 2))
            file = io.BytesIO()
            photo(row, width, height).save(file, "PNG" if row % 2 else "JPEG", quality=92)
            self.files.append(file.getvalue())

    def __len__(self) -> int:
        return len(self.files)

    def fetch(self, row: int) -> bytes:
        return self.files[row]


@pytest.fixture(scope="module")
def photos() -> Photos:
    return Photos()


def opened(photos: Photos, row: int) -> Image.Image:
    return Image.open(io.BytesIO(photos.fetch(row))).convert("RGB")


def test_boxes_are_those_that_each_original_would_get_alone(photos):
    sizes = torch.tensor([opened(photos, row).size[::-1] for row in range(PHOTOS)])
    found = crop_parameters(BatchRandom(0, 0, PHOTOS), sizes, 2)
    for row in range(0, PHOTOS, 7):
        alone = crop_parameters(BatchRandom(0, 0, PHOTOS), tuple(sizes[row].tolist()), 2)
        for value, own in zip(found, alone, strict=True):
            assert torch.equal(value[row], own[row])
    assert bool((found.top + found.height <= sizes[:, :1]).all())
    assert bool((found.left + found.width <= sizes[:, 1:]).all())


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pixels_are_those_of_torchvision_on_the_original_file(photos, interpolation):
    views = RandomViews(size=48, channels=3, interpolation=interpolation)
    originals = Originals(photos, Form(48, 3))
    rows = torch.arange(PHOTOS)
    boxing = lambda sizes, random: {"crops": views.boxes(sizes, random)}  # noqa: E731
    made = originals.crops(rows, boxing, BatchRandom(0, 0, PHOTOS)).signals["crops"]
    boxes = views.boxes(originals.sizes(rows), BatchRandom(0, 0, PHOTOS))
    mode = tv.InterpolationMode(interpolation)
    exact, scaled = [], []
    for row in range(PHOTOS):
        image = opened(photos, row)
        # From twice the side and a half on, a JPEG decoder makes the photo smaller.
        short = min(int(boxes.height[:, row].min()), int(boxes.width[:, row].min()))
        by_decoder = row % 2 == 0 and short >= 3 * 48
        for view in range(2):
            box = [int(value[view, row]) for value in boxes[:4]]
            theirs = tv.pil_to_tensor(tv.resized_crop(image, *box, [48, 48], mode))
            difference = (theirs.int() - made[view, row].int()).abs().float()
            (scaled if by_decoder else exact).append(difference)
    # Both round, so they may differ by one of 255, or two where the filter overshoots.
    assert max(float(each.max()) for each in exact) <= (1 if interpolation == "bilinear" else 2)
    assert float(torch.stack(exact).mean()) < 0.05
    assert len(scaled) > 20
    # The mean over the pixels of a view, of 255.
    assert max(float(each.mean()) for each in scaled) < 3
    assert float(torch.stack(scaled).mean()) < 1.5


def test_a_square_is_the_middle_of_the_photo_scaled_as_torchvision_does(photos):
    originals = Originals(photos, Form(32, 3))
    made = originals.read(torch.arange(40))
    for row in range(1, 40, 2):
        image = opened(photos, row)
        side = min(image.size)
        middle = tv.center_crop(image, [side, side])
        theirs = tv.pil_to_tensor(tv.resize(middle, [32, 32]))
        # An odd rest may lie on either side.
        moved = (image.width - side) % 2 or (image.height - side) % 2
        assert (theirs.int() - made[row].int()).abs().max() <= (60 if moved else 1)


def test_views_of_crops_get_the_colours_and_flips_of_views_of_images():
    images = torch.rand(6, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    views = RandomViews(size=24, channels=3, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0))
    sizes = torch.full((6, 2), 24)
    boxes = views.boxes(sizes, BatchRandom(3, 5, 6))
    assert boxes.top.abs().sum() == 0
    assert bool((boxes.height == 24).all())
    crops = images.expand(2, -1, -1, -1, -1)
    of_crops = views.of_crops(crops, BatchRandom(3, 5, 6))
    torch.testing.assert_close(of_crops, views(images, BatchRandom(3, 5, 6)), atol=1e-5, rtol=0)


def test_the_rows_of_a_process_get_the_boxes_of_the_whole_batch(photos):
    views = RandomViews(size=16, channels=3)
    originals = Originals(photos, Form(16, 3))
    boxing = lambda sizes, random: {"crops": views.boxes(sizes, random)}  # noqa: E731
    whole = originals.crops(torch.arange(8), boxing, BatchRandom(0, 3, 8)).signals["crops"]
    half = slice(4, 8)
    own = originals.crops(torch.arange(8)[half], boxing, BatchRandom(0, 3, 8, rows=half))
    assert torch.equal(own.signals["crops"], whole[:, half])


def test_an_image_that_can_not_be_read_is_named():
    photos = Photos(3)
    photos.files[1] = photos.files[1][:60]
    split = Split(Originals(photos, Form(8, 3), None, ["a.jpg", "b.png", "c.jpg"].__getitem__))
    with pytest.raises(DataError, match=r"^b.png can't be read as an image: "):
        split.read(torch.tensor([0, 1]))
    assert split.read(torch.tensor([0, 2])).shape == (2, 3, 8, 8)


class Deep:
    """12-bit values in 16 bits, 13 channels, of two sizes."""

    def __init__(self) -> None:
        levels = torch.arange(4096, dtype=torch.int32)
        self.images = [
            levels.reshape(1, 64, 64).expand(13, -1, -1).to(torch.uint16),
            levels.reshape(1, 64, 64).expand(13, -1, -1).to(torch.uint16).repeat(1, 1, 2),
        ]

    def __len__(self) -> int:
        return len(self.images)

    def read(self, rows):
        return [self.images[row] for row in rows]


def test_threads_that_read_batches_start_no_threads_of_their_own():
    def inner(row: int) -> int:
        return threading.get_ident()

    made = in_threads(lambda row: in_threads(inner, range(100)), range(20))
    assert all(set(threads) == {threads[0]} for threads in made)


def test_12_bits_keep_their_4096_levels():
    split = Split(Originals(Deep(), Form(64, 13, (0.0, 4095.0))))
    read = split.read(torch.tensor([0]))
    assert read.dtype == torch.float32
    expected = torch.arange(4096) / 4095
    for channel in read[0]:
        torch.testing.assert_close(channel.flatten(), expected, atol=1e-7, rtol=0)
    assert len(read[0, 0].unique()) == 4096


def test_boxes_of_deep_images_are_floats_in_range():
    box = torch.zeros(1, 2, dtype=torch.int64)
    boxes = Boxes(box, box, box + 64, box + 64, 32)
    originals = Originals(Deep(), Form(32, 13, (0.0, 4095.0)))
    made = originals.crops(
        torch.arange(2), lambda sizes, random: {"crops": boxes}, BatchRandom(0, 0, 2)
    ).signals["crops"]
    assert made.shape == (1, 2, 13, 32, 32)
    torch.testing.assert_close(made[0, 0], made[0, 1])
    assert 0 <= float(made.min()) < 0.02
    assert 0.98 < float(made.max()) <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_large_photos_among_floats_get_the_pixels_that_bytes_get(photos, channels):
    rows = torch.arange(0, PHOTOS, 4)
    bytes_ = Originals(photos, Form(16, channels))
    floats = Originals(photos, Form(16, channels, range=(-1.0, 2.0)))
    assert (floats.read(rows) * 255 - bytes_.read(rows)).abs().max() <= 1.5
    made = [
        each.crops(
            rows,
            lambda sizes, random: {
                "crops": RandomViews(size=8, channels=channels, interpolation="bicubic").boxes(
                    sizes, random
                )
            },
            BatchRandom(0, 0, len(rows)),
        ).signals["crops"]
        for each in (floats, bytes_)
    ]
    assert made[0].min() >= 0
    assert made[0].max() <= 1
    # Bytes are also clipped and rounded between the passes over rows and over columns.
    assert (made[0] * 255 - made[1]).abs().max() <= 4
