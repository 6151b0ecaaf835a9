"""A folder's files become splits and classes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sslcore.contract.reading import Reading
from sslcore.data import Data
from sslcore.data.prepare import prepared
from sslcore.errors import DataError
from sslcore_torchvision._listing import ImageFile, arrange
from sslcore_torchvision.folder import folder


def opened(path: Path | str, *, test_fraction: float | None = 0.2, **reading) -> Data:
    """Return the images of a folder as a run reads them."""
    return prepared(folder(path=str(path), test_fraction=test_fraction), Reading(**reading))[0]


def save(path: Path, value: int) -> None:
    """Write a grey image of 4 px with one value, which identifies it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), value, dtype=np.uint8)).save(path)


def values(split) -> list[int]:
    return split.images[:, 0, 0, 0].tolist()


def test_images_directly_in_the_folder_have_no_classes(tmp_path):
    for value in range(10):
        save(tmp_path / f"{value}.png", value)
    data = opened(tmp_path)
    assert data.train.labels is None
    assert data.classes == ()
    assert not data.labelled
    assert sorted(values(data.train) + values(data.test)) == list(range(10))
    assert len(data.test) == 2


def test_folders_on_the_first_level_are_the_classes_at_any_depth_below(tmp_path):
    for value in range(12):
        name = ("cat", "dog", "eel")[value % 3]
        below = "deep/er" if value % 2 else "."
        save(tmp_path / name / below / f"{value}.png", value)
    data = opened(tmp_path)
    assert data.classes == ("cat", "dog", "eel")
    for split in (data.train, data.test):
        assert split.labels.tolist() == [value % 3 for value in values(split)]
        assert set(split.labels.tolist()) == {0, 1, 2}
    assert sorted(values(data.train) + values(data.test)) == list(range(12))


@pytest.mark.parametrize("test_name", ["test", "val", "Test"])
def test_train_and_test_folders_are_the_splits(tmp_path, test_name):
    for value in range(6):
        save(tmp_path / "train" / "ab"[value % 2] / f"{value}.png", value)
        save(tmp_path / test_name / "ab"[value % 2] / f"{value}.png", 100 + value)
    data = opened(tmp_path)
    assert sorted(values(data.train)) == list(range(6))
    assert sorted(values(data.test)) == list(range(100, 106))
    assert data.classes == ("a", "b")
    assert data.train.labels.tolist() == [value % 2 for value in values(data.train)]
    assert data.notes == ()


def test_of_test_and_val_the_one_with_classes_is_used(tmp_path):
    for value in range(4):
        save(tmp_path / "train" / "ab"[value % 2] / f"{value}.png", value)
        save(tmp_path / "val" / "ab"[value % 2] / f"{value}.png", 100 + value)
        save(tmp_path / "test" / f"{value}.png", 200 + value)
    data = opened(tmp_path)
    assert min(values(data.test)) == 100
    assert data.labelled
    assert data.notes == ("Only train/ and val/ are used; 4 images elsewhere are left out.",)


def test_of_test_and_val_the_one_without_classes_is_used_where_train_has_none(tmp_path):
    for value in range(4):
        save(tmp_path / "train" / f"{value}.png", value)
        save(tmp_path / "test" / "ab"[value % 2] / f"{value}.png", 100 + value)
        save(tmp_path / "val" / f"{value}.png", 200 + value)
    assert min(values(opened(tmp_path).test)) == 200


def test_a_test_part_without_classes_is_used_without(tmp_path):
    for value in range(4):
        save(tmp_path / "train" / "ab"[value % 2] / f"{value}.png", value)
        save(tmp_path / "test" / f"{value}.png", 200 + value)
    data = opened(tmp_path)
    assert not data.labelled
    assert len(data.test) == 4
    assert data.notes == ("test/ has no class folders, so the images are used without classes.",)


def test_a_class_that_only_the_test_part_has_is_an_error(tmp_path):
    for value in range(4):
        save(tmp_path / "train" / "ab"[value % 2] / f"{value}.png", value)
        save(tmp_path / "test" / "ac"[value % 2] / f"{value}.png", value)
    with pytest.raises(DataError, match="test/ has the class 'c' that train/ lacks"):
        opened(tmp_path)


def test_a_class_called_train_is_a_class(tmp_path):
    for value in range(9):
        save(tmp_path / ("bus", "car", "train")[value % 3] / f"{value}.png", value)
    assert opened(tmp_path).classes == ("bus", "car", "train")


@pytest.mark.parametrize("above", ["", "data", "data/images", "train"])
def test_folders_that_hold_but_one_folder_are_passed_over(tmp_path, above):
    for value in range(8):
        save(tmp_path / above / "ab"[value % 2] / f"{value}.png", value)
    save(tmp_path / ".hidden" / "x.png", 99)
    data = opened(tmp_path)
    assert data.classes == ("a", "b")
    assert len(data.train) + len(data.test) == 8


def test_one_class_is_no_class(tmp_path):
    for value in range(5):
        save(tmp_path / "train" / "a" / f"{value}.png", value)
        save(tmp_path / "test" / "a" / f"{value}.png", value)
    data = opened(tmp_path)
    assert data.train.labels is None
    assert data.classes == ()
    assert data.notes == ("All images are in a/, so they are used without classes.",)


def test_an_image_beside_class_folders_makes_them_plain_folders_and_that_is_said(tmp_path):
    for value in range(8):
        save(tmp_path / "ab"[value % 2] / f"{value}.png", value)
    save(tmp_path / "preview.png", 99)
    data = opened(tmp_path)
    assert data.train.labels is None
    assert len(data.train) + len(data.test) == 9
    assert data.notes == (
        "1 of 9 images lie beside the folders of the others, "
        "so the folders are not taken for classes.",
    )


def test_hidden_files_and_other_files_are_skipped(tmp_path):
    for value in range(4):
        save(tmp_path / f"{value}.PNG", value)
    save(tmp_path / ".thumbnail.png", 99)
    save(tmp_path / ".cache" / "5.png", 99)
    (tmp_path / "readme.txt").write_text("no image")
    (tmp_path / "images.csv").write_text("no image")
    data = opened(tmp_path)
    assert sorted(values(data.train) + values(data.test)) == [0, 1, 2, 3]
    assert data.notes == ()


def test_what_is_held_out_depends_on_the_paths_in_the_folder_alone(tmp_path):
    for value in range(30):
        save(tmp_path / "one" / "ab"[value % 2] / f"{value}.png", value)
    for value in reversed(range(30)):
        save(tmp_path / "two" / "ab"[value % 2] / f"{value}.png", value)
    first, second = opened(tmp_path / "one"), opened(tmp_path / "two")
    assert values(first.test) == values(second.test)
    assert values(first.train) == values(second.train)


def test_what_is_held_out_is_spread_over_the_folder():
    files = [ImageFile((f"{number:03}.png",), (0, 0, 0)) for number in range(200)]
    listing = arrange(files, 0.2)
    held_out = [int(file.path[:3]) for file in listing.files[listing.num_train :]]
    assert len(held_out) == 40
    assert 10 <= sum(number < 100 for number in held_out) <= 30


def test_what_is_held_out_stays_the_same_where_the_folder_is_put_into_another():
    below = sorted(ImageFile(("ab"[n % 2], f"{n}.png"), (0, 0, 0)) for n in range(40))
    moved = [ImageFile(("data", *file.parts), file.state) for file in below]
    first, second = arrange(below, 0.2), arrange(moved, 0.2)
    assert [file.parts for file in first.files] == [file.parts[1:] for file in second.files]
    assert first.classes == second.classes


def test_symbolic_links_are_followed_and_loops_are_not(tmp_path):
    for value in range(6):
        save(tmp_path / "elsewhere" / f"{value}.png", value)
        save(tmp_path / "images" / "b" / f"{value}.png", 100 + value)
    (tmp_path / "images" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images" / "b" / "up").symlink_to(tmp_path / "images")
    (tmp_path / "images" / "b" / "6.png").symlink_to(tmp_path / "elsewhere" / "0.png")
    data = opened(tmp_path / "images")
    assert data.classes == ("a", "b")
    assert len(data.train) + len(data.test) == 13


def test_names_that_are_no_text_work(tmp_path):
    for value in range(4):
        save(tmp_path / "ä b" / f"{value}.png", value)
        save(tmp_path / "b" / f"{value}.png", value)
    shutil.copy(tmp_path / "b" / "0.png", bytes(tmp_path / "b") + b"/\xff.png")
    (tmp_path / "b" / "0.png").write_bytes(b"broken")
    data = opened(tmp_path)
    assert data.classes == ("b", "ä b")
    assert len(data.train) + len(data.test) == 8


names = st.text("abcdefghij", min_size=1, max_size=3)


@settings(deadline=None, max_examples=60)
@given(
    paths=st.lists(st.tuples(st.sampled_from("pqr"), names), min_size=2, max_size=60, unique=True),
    fraction=st.floats(0.01, 0.99),
)
def test_every_class_of_two_or_more_images_is_in_both_splits(paths, fraction):
    files = sorted(ImageFile(parts, (0, 0, 0)) for parts in paths)
    listing = arrange(files, fraction)
    assert sorted(listing.files) == files
    train, test = listing.files[: listing.num_train], listing.files[listing.num_train :]
    assert train
    assert test
    assert list(train) == sorted(train)
    assert list(test) == sorted(test)
    if listing.classes is None:
        groups = [(len(train), len(test))]
    else:
        assert listing.classes == tuple(file.parts[0] for file in listing.files)
        groups = [
            (sum(f.parts[0] == name for f in train), sum(f.parts[0] == name for f in test))
            for name in set(listing.classes)
        ]
    if any(sum(counts) > 1 for counts in groups):
        for in_train, in_test in groups:
            if in_train + in_test > 1:
                assert in_train >= 1
                assert in_test >= 1
                assert abs(in_test - fraction * (in_train + in_test)) <= 1
            else:
                assert in_train == 1


@settings(deadline=None, max_examples=30)
@given(
    paths=st.lists(names, min_size=12, max_size=40, unique=True),
    added=st.text("klm", min_size=1, max_size=3),
)
def test_adding_a_file_moves_at_most_one_other_between_the_splits(paths, added):
    def held_out(found):
        listing = arrange(sorted(ImageFile((path,), (0, 0, 0)) for path in found), 0.2)
        return {file.path for file in listing.files[listing.num_train :]}

    assert len((held_out(paths) ^ held_out([*paths, added])) - {added}) <= 1


def test_nothing_is_held_out_of_images_without_classes_and_a_note_says_so(tmp_path):
    for value in range(10):
        save(tmp_path / f"{value}.png", value)
    data = opened(tmp_path, test_fraction=None)
    assert (len(data.train), data.test) == (10, None)
    assert "none is held out for testing; data.test_fraction=0.2" in data.notes[0]


def test_a_fifth_is_held_out_of_images_with_classes(tmp_path):
    for value in range(10):
        save(tmp_path / "ab"[value % 2] / f"{value}.png", value)
    data = opened(tmp_path, test_fraction=None)
    assert (len(data.train), len(data.test)) == (8, 2)
    assert data.notes == ()


def test_a_fraction_of_0_trains_on_everything(tmp_path):
    for value in range(10):
        save(tmp_path / "ab"[value % 2] / f"{value}.png", value)
    data = opened(tmp_path, test_fraction=0)
    assert data.test is None
    assert data.train.labels.tolist() == [value % 2 for value in values(data.train)]


@pytest.mark.parametrize("classes", ["", "ab"])
def test_a_fraction_of_0_joins_a_test_folder_that_has_no_classes(tmp_path, classes):
    for value in range(6):
        name = classes[value % 2] if classes else "."
        save(tmp_path / "train" / name / f"{value}.png", value)
        save(tmp_path / "test" / name / f"{value}.png", 100 + value)
    data = opened(tmp_path, test_fraction=0)
    assert (data.test is None) == (not classes)
    assert len(data.train) == (6 if classes else 12)
