"""Folders of images that are not 8 bits in colour, from the file to the values that are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import npy, png, tiff

from sslcore.contract.reading import Reading
from sslcore.data import Data
from sslcore.data.prepare import prepared
from sslcore.errors import DataError
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
