"""Folders of images that are not 8 bits in colour, from the file to the values that are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import npy, photo, png, tiff

from sslcore.contract.reading import Reading
from sslcore.data import Data, Split
from sslcore.data.prepare import prepared
from sslcore.data.sample import mean_and_std
from sslcore.errors import DataError, SourceError, UsageError
from sslcore_torchvision.folder import folder

RNG = np.random.default_rng(0)
SIDE = 16


def opened(root: Path, **chosen) -> tuple[Data, Reading]:
    return prepared(folder(path=str(root), test_fraction=0.2), Reading(**chosen))


def written(root: Path, ending: str, images: list[np.ndarray], write) -> None:
    for number, image in enumerate(images):
        root.mkdir(exist_ok=True, parents=True)
        (root / f"{number:03}{ending}").write_bytes(write(image))


def read(data: Data) -> dict[str, np.ndarray]:
    """Return all images by name."""
    found = {}
    for split in (data.train, data.test):
        images = split.read(torch.arange(len(split)))
        found |= {split.name_of(row): image.numpy() for row, image in enumerate(images)}
    return found


@pytest.mark.parametrize("cache", ["auto", "none"])
@pytest.mark.parametrize(("ending", "write"), [(".tif", tiff), (".npy", npy)])
def test_twelve_bits_in_thirteen_channels_keep_their_4096_levels(tmp_path, ending, write, cache):
    images = [RNG.integers(0, 4096, (13, SIDE, SIDE), dtype=np.uint16) for _ in range(8)]
    written(tmp_path, ending, images, write)

    data, reading = opened(tmp_path, cache=cache)

    assert reading.range == (0.0, 4095.0)
    assert any("values from 0 to 4095 become 0 to 1" in note for note in data.notes)
    made = read(data)
    for number, image in enumerate(images):
        levels = np.rint(made[f"{number:03}{ending}"] * 4095).astype(np.uint16)
        assert np.array_equal(levels, image)
    assert len(np.unique(np.stack(list(made.values())))) == len(np.unique(np.stack(images)))


def test_settings_that_were_found_give_the_same_values_again_where_bit_depths_differ(tmp_path):
    written(tmp_path / "a", ".png", [np.full((SIDE, SIDE), 200, np.uint8)] * 4, png)
    wide = [RNG.integers(0, 4096, (SIDE, SIDE), dtype=np.uint16) for _ in range(4)]
    written(tmp_path / "b", ".png", wide, png)

    first, found = opened(tmp_path)
    again, same = prepared(folder(path=str(tmp_path), test_fraction=0.2), found)

    assert same == found
    for name, image in read(first).items():
        assert np.array_equal(image, read(again)[name])
        if name.startswith("a"):
            assert np.allclose(image, 200 / 255)


def test_a_range_that_is_set_is_that_of_bytes_too(tmp_path):
    written(tmp_path, ".png", [np.full((SIDE, SIDE), 50, np.uint8)] * 4, png)

    data, found = opened(tmp_path, range=(0, 100))
    again, _ = prepared(folder(path=str(tmp_path), test_fraction=0.2), found)

    for made in (data, again):
        assert all(np.allclose(image, 0.5) for image in read(made).values())


@pytest.mark.parametrize("cache", ["auto", "none"])
def test_a_large_photo_is_read_as_floats_where_a_range_is_set(tmp_path, cache):
    image = np.zeros((400, 400, 3), np.uint8)
    image[:, 200:] = 200
    written(tmp_path, ".jpg", [image] * 3, photo)

    data, _ = opened(tmp_path, range=(0, 100), cache=cache, image_size=20)

    for made in read(data).values():
        assert made.dtype == np.float32
        assert np.allclose(made[..., :8], 0, atol=0.05)
        assert np.allclose(made[..., 12:], 1, atol=0.05)


def test_a_damaged_image_in_the_sample_of_values_is_left_out(tmp_path):
    images = [RNG.integers(0, 4096, (SIDE, SIDE), dtype=np.uint16) for _ in range(6)]
    written(tmp_path, ".png", images, png)
    damaged = tmp_path / "002.png"
    damaged.write_bytes(damaged.read_bytes()[:300])

    data, reading = opened(tmp_path)

    assert reading.range == (0.0, 4095.0)
    assert any("1 of 6 images can't be read and are left out: 002.png" in n for n in data.notes)


def test_the_mean_is_that_of_all_images_where_few_have_a_label():
    images = torch.full((40, 1, 4, 4), 51, dtype=torch.uint8)
    images[30:] = 255
    mean, std = mean_and_std(Split(images, torch.tensor([-1] * 30 + [0] * 10)))
    assert mean == pytest.approx((0.4,))
    assert std == pytest.approx(((0.25 * 0.75) ** 0.5 * 0.8,))


def test_a_tensor_may_stand_beside_a_source_in_another_split(tmp_path):
    images = [RNG.integers(0, 256, (SIDE, SIDE), dtype=np.uint8) for _ in range(5)]
    written(tmp_path, ".png", images, png)
    source = folder(path=str(tmp_path), test_fraction=0).train
    tensor = Split(torch.from_numpy(np.stack(images))[:, None])

    for train, test in ((tensor, source), (source, tensor)):
        data, _ = prepared(Data(train, test), Reading())
        for split in data.splits:
            assert np.array_equal(split.read(torch.arange(5))[:, 0], np.stack(images))


class Late:
    """Encoded images of which one is missing at first."""

    fingerprint = "the same at any time"

    def __init__(self, contents: list[bytes]) -> None:
        self.contents, self.missing = contents, True

    def __len__(self) -> int:
        return len(self.contents)

    def fetch(self, row: int) -> bytes:
        if row == 2 and self.missing:
            raise FileNotFoundError("2.png does not exist")
        return self.contents[row]


@pytest.mark.parametrize("cache", ["decoded", "none"])
def test_an_image_that_was_missing_is_used_once_it_is_there(tmp_path, monkeypatch, cache):
    monkeypatch.setenv("SSLCORE_CACHE", str(tmp_path))
    source = Late([png(np.full((SIDE, SIDE), value, np.uint8)) for value in range(5)])

    assert len(prepared(Data(Split(source)), Reading(cache=cache))[0].train) == 4
    source.missing = False
    train = prepared(Data(Split(source)), Reading(cache=cache))[0].train

    assert train.read(torch.arange(5))[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("range_", [(5, 5), (9, 1)])
def test_a_range_without_values_is_refused(tmp_path, range_):
    written(tmp_path, ".png", [np.zeros((SIDE, SIDE), np.uint8)] * 3, png)
    with pytest.raises(UsageError, match=r"data\.range: expected .* with low below high"):
        opened(tmp_path, range=range_)


class Silent(Late):
    """Encoded images of which one can't be reached at first, once its header was read."""

    fingerprint = "the same"
    asked = 0

    def fetch(self, row: int) -> bytes:
        if row == 2 and (asked := self.asked) < 2:
            self.asked += 1
            if asked:
                raise SourceError("the store is silent")
        return self.contents[row]


def test_a_store_that_is_silent_is_not_taken_for_a_full_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLCORE_CACHE", str(tmp_path))
    source = Silent([png(np.full((SIDE, SIDE), value, np.uint8)) for value in range(5)])

    with pytest.raises(SourceError, match="the store is silent"):
        prepared(Data(Split(source)), Reading())
    data, _ = prepared(Data(Split(source)), Reading())

    assert len(data.train) == 5
    assert not any("can't be" in note for note in data.notes)


def test_the_colour_below_transparent_parts_is_said_and_may_be_set(tmp_path):
    image = np.zeros((SIDE, SIDE, 4), np.uint16)
    written(tmp_path, ".png", [image] * 3, png)

    white, _ = opened(tmp_path, range=(0, 65535))
    black, _ = opened(tmp_path, range=(0, 65535), background="black")

    assert any(
        "images have transparency; it becomes white (data.background is the colour)" in note
        for note in white.notes
    )
    assert all((image == 1).all() for image in read(white).values())
    assert all((image == 0).all() for image in read(black).values())


def test_files_that_are_left_out_are_listed_with_the_reason_of_one(tmp_path):
    images = [RNG.integers(0, 4096, (5, SIDE, SIDE), dtype=np.uint16) for _ in range(20)]
    written(tmp_path, ".tif", images, tiff)
    stack = tiff(images[0], imagej=True, metadata={"axes": "ZYX"})
    (tmp_path / "stack.tif").write_bytes(stack)

    data, _ = opened(tmp_path)

    assert any(
        "1 of 21 images can't be read and are left out: stack.tif (stack.tif can't be read as an "
        "image: it is a stack of 5 slices (axes ZYX); save each as a file" in note
        for note in data.notes
    )


def test_a_folder_of_stacks_says_what_to_do(tmp_path):
    images = [RNG.integers(0, 4096, (5, SIDE, SIDE), dtype=np.uint16) for _ in range(3)]
    written(tmp_path, ".tif", images, lambda i: tiff(i, imagej=True, metadata={"axes": "ZYX"}))

    with pytest.raises(DataError, match=r"none of the train .* is a stack of 5 slices .* \.npy"):
        opened(tmp_path)
