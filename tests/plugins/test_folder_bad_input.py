"""A folder with invalid images: one error message, or a note and the readable images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslcore.contract.reading import Reading
from sslcore.data import Data
from sslcore.data.prepare import prepared
from sslcore.errors import DataError
from sslcore_torchvision._scan import image_files
from sslcore_torchvision.folder import folder


def opened(path: Path | str, *, test_fraction: float = 0.2, **reading) -> Data:
    """Return the images of a folder as a run reads them."""
    return prepared(folder(path=str(path), test_fraction=test_fraction), Reading(**reading))[0]


def make(path: Path, count: int, start: int = 0) -> None:
    path.mkdir(parents=True, exist_ok=True)
    for value in range(start, start + count):
        Image.fromarray(np.full((6, 6), value, dtype=np.uint8)).save(path / f"{value:03}.png")


def error_of(path: Path | str, **settings) -> str:
    with pytest.raises(DataError) as caught:
        opened(path, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_folder(tmp_path):
    assert error_of(tmp_path / "nowhere") == (
        f"{tmp_path / 'nowhere'} does not exist; expected a folder of images"
    )
    assert "does not exist" in error_of("\0")


@pytest.mark.parametrize("path", ["", "  "])
def test_an_empty_path_is_not_the_working_folder(path, tmp_path):
    make(Path.cwd(), 3)
    assert "empty" in error_of(path)


def test_a_file_instead_of_a_folder(tmp_path):
    (tmp_path / "images.zip").write_bytes(b"PK")
    assert "is a file, not a folder" in error_of(tmp_path / "images.zip")


def test_a_folder_without_images(tmp_path):
    (tmp_path / "empty" / "below").mkdir(parents=True)
    (tmp_path / "readme.txt").write_text("")
    message = error_of(tmp_path)
    assert "holds no images" in message
    assert ".jpg" in message


def test_a_single_image(tmp_path):
    make(tmp_path / "a", 1)
    assert "holds 1 image; at least 2 are needed" in error_of(tmp_path)


def test_two_images_are_enough(tmp_path):
    make(tmp_path, 2)
    data = opened(tmp_path)
    assert (len(data.train), len(data.test)) == (1, 1)


def test_two_classes_of_one_image_each_are_enough(tmp_path):
    make(tmp_path / "a", 1)
    make(tmp_path / "b", 1)
    data = opened(tmp_path)
    assert (len(data.train), len(data.test)) == (1, 1)
    assert data.classes == ("a", "b")


@pytest.mark.parametrize("chosen", [{}, {"image_size": 4, "channels": 1}])
def test_unreadable_files_are_counted_and_the_first_are_named(tmp_path, chosen):
    make(tmp_path / "a", 8)
    make(tmp_path / "b", 8, start=100)
    for name in ("000", "001", "002", "003"):
        (tmp_path / "a" / f"{name}.png").write_bytes(b"broken")
    (tmp_path / "b" / "107.png").unlink()
    (tmp_path / "b" / "107.png").symlink_to(tmp_path / "nowhere.png")
    for _ in range(2):  # as decoded, and as cached
        data = opened(tmp_path, **chosen)
        assert data.notes[-1] == (
            "5 of 16 images can't be read and are left out: "
            "a/000.png, a/001.png, a/002.png and 2 more "
            "(a/000.png can't be read as an image: it is no image of a known format)"
        )
        for split in (data.train, data.test):
            expected = [int(value >= 100) for value in split.images[:, 0, 0, 0].tolist()]
            assert split.labels.tolist() == expected
        assert len(data.train) + len(data.test) == 11


@pytest.mark.parametrize("cache", ["auto", "none"])
@pytest.mark.parametrize("chosen", [{}, {"image_size": 4, "channels": 1}])
def test_a_folder_in_which_nothing_can_be_read(tmp_path, cache, chosen):
    make(tmp_path, 5)
    for name in range(5):
        (tmp_path / f"{name:03}.png").write_bytes(b"broken")
    for _ in range(2):  # nothing is remembered
        message = error_of(tmp_path, cache=cache, **chosen)
        assert message.startswith("none of the train images can be read (00")
        assert "and 1 more); 00" in message
        assert message.endswith("can't be read as an image: it is no image of a known format")


def test_a_test_image_that_can_not_be_read_is_named_where_it_is_the_only_one(tmp_path):
    make(tmp_path, 3)
    (name,) = opened(tmp_path).test.names
    (tmp_path / name).write_bytes(b"broken")
    assert error_of(tmp_path) == (
        f"none of the test images can be read ({name}); {name} can't be read as an image: it is no "
        "image of a known format"
    )


def test_a_test_folder_in_which_nothing_can_be_read(tmp_path):
    make(tmp_path / "train", 3)
    make(tmp_path / "test", 1)
    (tmp_path / "test" / "000.png").write_bytes(b"broken")
    assert "none of the test images" in error_of(tmp_path)


def test_a_class_of_which_nothing_can_be_read_is_no_class(tmp_path):
    for name in ("a", "b", "c"):
        make(tmp_path / name, 2)
    for file in (tmp_path / "b").iterdir():
        file.write_bytes(b"broken")
    data = opened(tmp_path)
    assert data.classes == ("a", "c")
    assert sorted({*data.train.labels.tolist(), *data.test.labels.tolist()}) == [0, 1]


def test_pipes_are_not_waited_for(tmp_path):
    make(tmp_path, 3)
    os.mkfifo(tmp_path / "pipe.png")
    assert b"pipe.png" not in image_files(tmp_path).paths()
    assert len(opened(tmp_path).train) == 2


def forbid(path: Path) -> None:
    path.chmod(0)
    if os.access(path, os.R_OK):
        path.chmod(0o755)
        pytest.skip("this user may read everything")


def test_a_folder_that_may_not_be_listed(tmp_path):
    make(tmp_path / "a", 3)
    make(tmp_path / "b", 3)
    forbid(tmp_path / "b")
    try:
        assert f"{tmp_path / 'b'} can't be listed (Permission denied)" in error_of(tmp_path)
    finally:
        (tmp_path / "b").chmod(0o755)


def test_a_folder_below_one_that_may_not_be_entered(tmp_path):
    make(tmp_path / "closed" / "images", 3)
    forbid(tmp_path / "closed")
    try:
        assert "Permission denied" in error_of(tmp_path / "closed" / "images")
    finally:
        (tmp_path / "closed").chmod(0o755)


def test_a_file_that_may_not_be_read_is_left_out_until_it_may(tmp_path):
    make(tmp_path, 4)
    forbid(tmp_path / "001.png")
    assert "001.png" in opened(tmp_path).notes[0]
    (tmp_path / "001.png").chmod(0o644)
    assert opened(tmp_path).notes == ()
