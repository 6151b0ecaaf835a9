"""A `.npy` file of tiles is mapped, with its labels; a bad one is one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sslcore
from sslcore.data import MappedFile
from sslcore.data.arrays import IN_MEMORY
from sslcore.errors import DataError
from sslcore_torchvision.tiles import tiles


def values(shape=(20, 5, 8, 8), dtype=np.uint16):
    return np.random.default_rng(0).integers(0, 4096, shape).astype(dtype)


def saved(folder, array, name="tiles.npy", **settings):
    np.save(folder / name, array, **settings)
    return str(folder / name)


def all_of(data):
    parts = []
    for split in (data.train, data.test):
        images = split.images
        rows = range(len(split))
        parts += list(images) if isinstance(images, torch.Tensor) else list(images.read(rows))
    return sorted(part.numpy().tobytes() for part in parts)


@pytest.mark.parametrize("shape", [(20, 5, 8, 8), (20, 8, 8, 5), (20, 8, 8), (20, 6, 9, 3)])
@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<f4", ">f4", "u1", "<i2"])
def test_tiles_of_every_type_and_order_of_axes_keep_their_values(tmp_path, shape, dtype):
    array = values(shape, dtype)
    found = tiles(path=saved(tmp_path, array), test_fraction=0.2)
    plain = array.astype(np.dtype(dtype).newbyteorder("="))
    if array.ndim == 3:
        plain = plain[:, None]
    elif shape[-1] in (3, 5):
        plain = plain.transpose(0, 3, 1, 2)
    assert all_of(found) == sorted(image.tobytes() for image in plain)


def test_tiles_to_test_on_come_from_a_file_and_all_are_mapped(tmp_path):
    array = values()
    saved(tmp_path, array[:4], "held.npy")
    saved(tmp_path, np.array([0, 1, 1, 0]), "held_labels.npy")
    saved(tmp_path, np.arange(20) % 3, "labels.npy")
    data = tiles(path=saved(tmp_path, array), test="held.npy")
    for split, expected in ((data.train, array), (data.test, array[:4])):
        assert isinstance(split.file, MappedFile)
        read = split.reader.raw(torch.arange(len(split)))
        assert np.array_equal(read.numpy(), expected)
    assert data.classes == ("0", "1", "2")
    assert data.test.labels.tolist() == [0, 1, 1, 0]


def test_labels_lie_beside_the_tiles_or_are_named(tmp_path):
    path = saved(tmp_path, values())
    assert tiles(path=path).train.labels is None
    saved(tmp_path, np.arange(20, dtype=">i2") % 2, "labels.npy")
    assert tiles(path=path).test.labels.bincount().tolist() == [2, 2]
    saved(tmp_path, np.arange(20) % 4, "tiles_labels.npy")
    assert len(tiles(path=path).classes) == 4
    saved(tmp_path, np.arange(20) % 5, "kinds.npy")
    assert len(tiles(path=path, labels="kinds.npy").classes) == 5
    assert tiles(path=path, labels="none").classes == ()


def test_a_small_file_in_fortran_order_is_copied_and_a_large_one_refused(tmp_path, monkeypatch):
    array = values()
    path = saved(tmp_path, np.asfortranarray(array))
    data = tiles(path=path, test_fraction=0.2)
    assert all_of(data) == sorted(image.tobytes() for image in array)
    assert "tiles.npy is in Fortran order" in data.notes[0]
    monkeypatch.setattr("sslcore_torchvision.tiles.IN_MEMORY", array.nbytes - 1)
    assert array.nbytes - 1 < IN_MEMORY
    with pytest.raises(DataError, match="is in Fortran order, so that each image is spread"):
        tiles(path=path, test_fraction=0.2)


BAD = {
    "objects": (np.array([[1], "a"], dtype=object), "holds pickled Python objects"),
    "no images": (np.zeros((0, 8, 8)), "holds no images"),
    "one number": (np.array(3), "holds no images: its shape is ()"),
    "one image": (np.zeros((32, 32, 3)), "is one image"),
    "two axes": (np.zeros((8, 8)), r"has the shape \(8, 8\), expected images"),
    "text": (np.full((4, 8, 8), "a"), "holds <U1, expected integers or floats"),
    "complex": (np.zeros((4, 8, 8), complex), "holds complex128, expected integers or floats"),
    "axes in doubt": (np.zeros((4, 8, 8, 8)), "may be"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_file_is_one_line(tmp_path, bad):
    array, said = BAD[bad]
    with pytest.raises(DataError, match=said) as refused:
        tiles(path=saved(tmp_path, array, allow_pickle=True))
    assert "tiles.npy" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "it is no .npy file"), (b"PK\3\4 an archive", "it is no .npy file"), (None, "cut off")],
)
def test_a_damaged_file_is_one_line(tmp_path, content, said):
    path = tmp_path / "tiles.npy"
    saved(tmp_path, values())
    path.write_bytes(path.read_bytes()[:-9] if content is None else content)
    with pytest.raises(DataError, match=said) as refused:
        tiles(path=str(path))
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.arange(19), "labels.npy has 19 labels, and tiles.npy has 20 images; data.labels=none"),
        (np.linspace(0, 1, 20), r"holds float64 of shape \(20,\), expected integers"),
        (np.zeros((20, 2), int), r"holds int64 of shape \(20, 2\), expected integers"),
        (np.arange(20) - 3, "the label of image 0 is -3"),
    ],
)
def test_bad_labels_are_one_line(tmp_path, labels, said):
    saved(tmp_path, labels, "labels.npy")
    with pytest.raises(DataError, match=said):
        tiles(path=saved(tmp_path, values()))


def test_tiles_of_an_unknown_class_are_trained_on(tmp_path):
    saved(tmp_path, np.where(np.arange(20) < 10, np.arange(20) % 2, -1), "labels.npy")
    data = tiles(path=saved(tmp_path, values()))
    assert data.classes == ("0", "1")
    assert data.test.labels.tolist().count(-1) == 0
    assert data.train.labels.tolist().count(-1) == 10


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"path": " "}, "data.path is empty"),
        ({"path": "nothing.npy"}, "nothing.npy does not exist"),
        ({"path": "."}, "is a folder; expected a .npy file"),
        ({"test": "nothing.npy"}, "nothing.npy does not exist"),
        ({"labels": "nothing.npy"}, "nothing.npy does not exist"),
        ({"labels": "labels.npy", "test": "tiles.npy"}, "has labels, and the other one has none"),
    ],
)
def test_a_missing_file_is_named(tmp_path, settings, said):
    saved(tmp_path, np.arange(20) % 2, "labels.npy")
    with pytest.raises(DataError, match=said):
        tiles(**{"path": saved(tmp_path, values()), **settings})


def test_a_run_trains_on_tiles_of_thirteen_channels(tmp_path, registry, tiny):
    saved(tmp_path, np.arange(60) % 2, "labels.npy")
    path = saved(tmp_path, values((60, 13, 16, 16)))
    colour = {"saturation": 0, "hue": 0, "grayscale": 0}
    settings = {**tiny, "data": {"path": path}, "augmentation": colour}
    run = sslcore.train(
        "infonce",
        data="tiles",
        encoder="small-cnn",
        settings=settings,
        output=tmp_path / "run",
        registry=registry,
    )
    assert run.shape().channels == 13
    assert run.config()["data"]["range"] == [0.0, 4095.0]
