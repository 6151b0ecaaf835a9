"""Data sets of torch with items of any kind, arrays, and memory maps, as data."""

from __future__ import annotations

import pickle
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, Subset

from sslcore.data import MappedFile
from sslcore.data.arrays import ArrayImages
from sslcore.errors import DataError
from sslcore.objects.dataset import data_source


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Photos(Dataset):
    """Colour images of different sizes, of two classes in turn; it counts what is read."""

    def __init__(self, count=40, targets=None):
        self.count, self.read = count, []
        if targets is not None:
            self.targets = targets

    def __len__(self):
        return self.count

    def __getitem__(self, row):
        self.read.append(row)
        shape = (3, 16 + row % 5, 24)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator(row)), row % 2


class Drawing(Photos):
    """Its items draw from one of the global generators."""

    def __init__(self, draw):
        super().__init__()
        self.draw = draw

    def __getitem__(self, row):
        return torch.full((3, 8, 8), int(self.draw() * 255), dtype=torch.uint8)


DRAWS = {
    "torch": lambda: torch.rand(()).item(),
    "numpy": np.random.rand,
    "python": random.random,
}


@pytest.fixture
def no_memory(monkeypatch):
    """Let no data set be small enough to be read into memory."""
    monkeypatch.setattr("sslcore.objects.reading.free_memory", lambda _: 0)


def opened(given):
    return data_source(given)(test_fraction=0.2)


def all_of(split):
    """All images of a split, as they are given."""
    if isinstance(split.images, Tensor):
        return list(split.images)
    return list(split.images.read(range(len(split))))


KINDS = {
    "uint16": torch.arange(300, dtype=torch.int32).to(torch.uint16),
    "int16": torch.arange(-100, 200, dtype=torch.int16),
    "int32": torch.arange(300, dtype=torch.int32) * 70_000,
    "float32": torch.linspace(-3, 900, 300),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["tensors", "arrays", "array"])
def test_values_of_every_type_stay_as_they_are(kind, form):
    images = KINDS[kind].view(6, 2, 5, 5)
    given = {
        "tensors": list(images),
        "arrays": [image.numpy() for image in images],
        "array": images.numpy(),
    }[form]
    data = opened(given)
    read = torch.stack(all_of(data.train) + all_of(data.test))
    assert read.dtype == images.dtype
    assert sorted(read.flatten().tolist()) == KINDS[kind].tolist()


@pytest.mark.parametrize(
    ("mode", "dtype", "channels"),
    [("L", "uint8", 1), ("RGB", "uint8", 3), ("I;16", "uint16", 1), ("I", "int32", 1),
     ("F", "float32", 1), ("RGBA", "uint8", 3), ("P", "uint8", 3), ("1", "uint8", 1)],
)  # fmt: skip
def test_images_of_pillow_keep_their_type(mode, dtype, channels):
    pixels = np.arange(64).reshape(8, 8)
    image = (
        Image.fromarray((pixels * 1000).astype(np.uint16))
        if mode == "I;16"
        else Image.fromarray(pixels.astype(np.uint8)).convert(mode)
    )
    data = opened([image] * 4)
    assert str(data.train.images.dtype) == f"torch.{dtype}"
    assert data.train.images.shape[1:] == (channels, 8, 8)
    if mode == "I;16":
        assert int(data.train.images.to(torch.int32).max()) == 63_000


def test_items_of_different_sizes_are_held_as_they_are():
    photos = Photos()
    data = opened(photos)
    sizes = {tuple(image.shape) for image in all_of(data.train)}
    assert len(sizes) == 5
    assert "40 images are in memory" in data.notes[0]
    read = len(photos.read)
    all_of(data.train)
    assert len(photos.read) == read


def test_a_large_data_set_is_read_when_needed_and_gives_the_same_images(no_memory):
    large, held = Photos(500, targets=[row % 2 for row in range(500)]), Photos(500)
    data = opened(large)
    assert len(large.read) < 40
    assert "items are read when they are needed" in data.notes[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sslcore.objects.reading.free_memory", lambda _: 2**40)
        expected = opened(held)
    rows = [7, 399, 0, 200]
    assert data.train.labels.tolist() == expected.train.labels.tolist()
    for one, other in zip(
        data.train.images.read(rows), expected.train.images.read(rows), strict=True
    ):
        assert torch.equal(one, other)
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda row: data.train.images.read([row])[0], range(60)))
    assert all(
        torch.equal(one, other)
        for one, other in zip(read, data.train.images.read(range(60)), strict=True)
    )
    again = pickle.loads(pickle.dumps(data.train.images))
    assert torch.equal(again.read([3])[0], data.train.images.read([3])[0])


class Folder(Photos):
    """As torchvision's folders: `samples` of path and class."""

    def __init__(self):
        super().__init__(100)
        self.samples = [(f"{row}.png", row % 2) for row in range(100)]


@pytest.mark.parametrize(
    "given",
    [
        Photos(100, targets=torch.arange(100) % 2),
        Photos(100, targets=np.arange(100) % 2),
        Folder(),
        Subset(Photos(200, targets=[row % 2 for row in range(200)]), range(100, 200)),
        ConcatDataset([Folder(), Photos(50, targets=[row % 2 for row in range(50)])]),
    ],
    ids=["tensor", "array", "samples", "subset", "joined"],
)
def test_labels_are_those_of_an_attribute_that_agrees_with_the_items(given, no_memory):
    data = opened(given)
    assert len(data.notes) == 1
    labels = torch.cat((data.train.labels, data.test.labels))
    assert labels.bincount().tolist() == [len(given) // 2] * 2
    assert len(data.classes) == 2


@pytest.mark.parametrize(
    "targets", [None, [1 - row % 2 for row in range(100)], ["a"] * 100, [0], "no"]
)
def test_an_attribute_that_does_not_agree_is_not_used(targets, no_memory):
    photos = Photos(100, targets=targets)
    data = opened(photos)
    assert "labels are read from the items in one pass" in data.notes[1]
    assert set(photos.read) == set(range(100))
    assert torch.cat((data.train.labels, data.test.labels)).bincount().tolist() == [50, 50]


@pytest.mark.parametrize("draw", DRAWS)
def test_random_items_are_read_once_and_leave_the_generators_alone(draw):
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    first, second = (opened(Drawing(DRAWS[draw])) for _ in range(2))
    assert torch.equal(first.train.images, second.train.images)
    assert len(first.train.images.flatten().unique()) > 10
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (random.getstate(), np.random.get_state()[1].tolist())


@pytest.mark.parametrize("draw", DRAWS)
def test_random_items_that_do_not_fit_into_memory_are_refused(draw, no_memory):
    with pytest.raises(DataError, match="draw random numbers, and it is too large to be read once"):
        opened(Drawing(DRAWS[draw]))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((9, 12, 12), (1, 12, 12)),
        ((9, 12, 16), (1, 12, 16)),
        ((9, 12, 12, 3), (3, 12, 12)),
        ((9, 3, 12, 12), (3, 12, 12)),
        ((9, 13, 12, 12), (13, 12, 12)),
        ((9, 12, 12, 13), (13, 12, 12)),
        ((9, 12, 16, 3), (3, 12, 16)),
        ((9, 5, 12, 16), (5, 12, 16)),
    ],
)
def test_the_axes_of_an_array_are_told_apart_by_their_lengths(shape, expected):
    array = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    data = opened(array)
    assert data.train.images.shape[1:] == expected
    total = data.train.images.sum(dtype=torch.int64) + data.test.images.sum(dtype=torch.int64)
    assert int(total) == int(array.sum(dtype=np.int64))


@pytest.mark.parametrize("dtype", [">u2", ">f4", "<f8", ">i8", "<u4", "<f2", "<i1"])
def test_other_types_and_orders_of_bytes_are_turned_into_known_ones(dtype):
    array = np.arange(4 * 25).reshape(4, 5, 5).astype(dtype)
    data = opened(array)
    read = torch.cat((data.train.images, data.test.images)).flatten().to(torch.float64)
    assert sorted(read.tolist()) == list(range(100))
    floats = np.dtype(dtype).kind == "f"
    assert data.train.images.dtype == (
        torch.float32 if floats else torch.uint16 if dtype == ">u2" else torch.int32
    )


def test_a_pair_of_arrays_is_images_and_labels_or_train_and_test():
    images = np.zeros((10, 8, 8), np.uint8)
    for labels in ([0, 1] * 5, np.arange(10) % 2, torch.arange(10) % 2):
        data = opened((images, labels))
        assert data.classes == ("0", "1")
        assert len(data.train) == 8
    pair = data_source((images, images[:4]))()
    assert (len(pair.train), len(pair.test)) == (10, 4)
    assert pair.train.labels is None
    both = data_source(((images, np.arange(10) % 2), (images[:4], [0, 1, 1, 0])))()
    assert both.test.labels.tolist() == [0, 1, 1, 0]


@pytest.fixture
def mapped(tmp_path):
    """A memory map of 20 images (C, H, W) of 16 bits, and its values."""
    values = np.random.default_rng(0).integers(0, 4096, (20, 5, 6, 6)).astype(np.uint16)
    np.save(tmp_path / "tiles.npy", values)
    return np.load(tmp_path / "tiles.npy", mmap_mode="r"), values


@pytest.mark.parametrize("view", [slice(None), slice(3, 15), slice(None, None, 2)])
def test_a_memory_map_is_read_from_its_file(mapped, view, tmp_path):
    array, values = mapped
    train = data_source((array[view], array[:2]))().train
    assert isinstance(train.file, MappedFile)
    assert train.reader.file is not None
    read = train.reader.raw(torch.arange(len(train)))
    assert np.array_equal(read.numpy(), values[view])
    with (tmp_path / "tiles.npy").open("r+b") as file:
        file.truncate(2000)
    with pytest.raises(OSError, match=r"tiles.npy ends before byte"):
        train.reader.raw(torch.tensor([len(train) - 1]))


def test_a_part_of_a_large_memory_map_is_not_copied(mapped, monkeypatch):
    array, values = mapped
    monkeypatch.setattr("sslcore.data.chosen.IN_MEMORY", 0)
    data = opened(array)
    assert isinstance(data.train.images, ArrayImages)
    read = [image.numpy() for image in all_of(data.train) + all_of(data.test)]
    assert sorted(each.tobytes() for each in read) == sorted(each.tobytes() for each in values)
    rows = [int(data.train.name_of(row).split()[1]) for row in range(len(data.train))]
    assert np.array_equal(read[5], values[rows[5]])
    assert torch.equal(pickle.loads(pickle.dumps(data.train.images)).read([2])[0],
                       data.train.images.read([2])[0])  # fmt: skip


@pytest.mark.parametrize("mode", ["c", "r+"])
def test_what_is_written_to_a_private_map_is_read(tmp_path, mode):
    np.save(tmp_path / "tiles.npy", np.zeros((4, 8, 8), np.uint8))
    array = np.load(tmp_path / "tiles.npy", mmap_mode=mode)
    array[:] = 7
    train = data_source((array, array))().train
    assert (train.file is None) == (mode == "c")
    assert train.reader.raw(torch.arange(4)).unique().tolist() == [7]


def test_runs_train_on_items_of_any_size_and_on_arrays(train, tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (40, 16, 16, 3)).astype(np.uint16)
    for place, given in enumerate((Photos(), values, (values, np.arange(40) % 2))):
        run = train(tmp_path / f"run{place}", data=given, settings={"data": {"image_size": 16}})
        assert run.shape().image_size == 16
