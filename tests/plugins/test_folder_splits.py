"""A folder's files become splits and classes."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
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
from sslcore_torchvision._file_index import FileIndex
from sslcore_torchvision._listing import Listing, arrange
from sslcore_torchvision.folder import folder


def opened(path: Path | str, *, test_fraction: float | None = 0.2, **reading) -> Data:
    """Return the images of a folder as a run reads them."""
    return prepared(folder(path=str(path), test_fraction=test_fraction), Reading(**reading))[0]


def save(path: Path, value: int) -> None:
    """Write a grey image of 4 px with one value, which identifies it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), value, dtype=np.uint8)).save(path)


def packed(paths: Iterable[str]) -> FileIndex:
    """Return an index of files that need not exist."""
    split = [path.rpartition("/") for path in sorted(paths, key=lambda path: path.split("/"))]
    folders = sorted({folder for folder, _, _ in split} | {""})
    return FileIndex(
        names=np.frombuffer("".join(name for _, _, name in split).encode(), dtype=np.uint8),
        ends=np.cumsum([len(name.encode()) for _, _, name in split]),
        folders=np.array([folders.index(folder) for folder, _, _ in split], dtype=np.int32),
        states=np.zeros((len(split), 3), dtype=np.int64),
        folder_names=np.frombuffer("".join(folders).encode(), dtype=np.uint8),
        folder_ends=np.cumsum([len(folder.encode()) for folder in folders]),
        folder_states=np.zeros((len(folders), 2), dtype=np.int64),
    )


def parts(listing: Listing) -> tuple[list[str], list[str]]:
    """Return the paths of the files to train on and to test."""
    names = list(listing.names)
    return names[: listing.num_train], names[listing.num_train :]


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
    assert data.notes == ("only train/ and val/ are used; 4 images elsewhere are left out",)


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
    assert data.notes == ("test/ has no class folders, so the images are used without classes",)


def test_a_class_that_only_the_test_part_has_is_an_error(tmp_path):
    for value in range(4):
        save(tmp_path / "train" / "ab"[value % 2] / f"{value}.png", value)
        save(tmp_path / "test" / "ac"[value % 2] / f"{value}.png", value)
    with pytest.raises(DataError, match="test/ has the class 'c' that train/ lacks"):
        opened(tmp_path)


@pytest.mark.parametrize("above", ["", "data/photos"])
def test_an_empty_train_folder_beside_test_images_is_an_error(tmp_path, above):
    for value in range(4):
        save(tmp_path / above / "Test" / "ab"[value % 2] / f"{value}.png", value)
    (tmp_path / above / "train").mkdir()
    with pytest.raises(DataError, match=r"^train/ holds no images, and test/ does; "):
        opened(tmp_path)
    assert opened(tmp_path / above / "Test").classes == ("a", "b")


@pytest.mark.parametrize("test_fraction", [None, 0.5])
def test_an_empty_test_folder_is_noted_and_the_train_images_are_split(tmp_path, test_fraction):
    for value in range(8):
        save(tmp_path / "train" / "ab"[value % 2] / f"{value}.png", value)
    (tmp_path / "val" / "a").mkdir(parents=True)
    data = opened(tmp_path, test_fraction=test_fraction)
    assert "val/ holds no images, so train/ is split." in data.notes
    assert len(data.train) + len(data.test) == 8


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
    assert data.notes == ("all images are in a/, so they are used without classes",)


def test_an_image_beside_class_folders_makes_them_plain_folders_and_that_is_said(tmp_path):
    for value in range(8):
        save(tmp_path / "ab"[value % 2] / f"{value}.png", value)
    save(tmp_path / "preview.png", 99)
    data = opened(tmp_path)
    assert data.train.labels is None
    assert len(data.train) + len(data.test) == 9
    assert data.notes == (
        "1 of 9 images lie beside the folders of the others, "
        "so the folders are not taken for classes",
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
    listing = arrange(packed(f"{number:03}.png" for number in range(200)), 0.2)
    held_out = [int(path[:3]) for path in parts(listing)[1]]
    assert len(held_out) == 40
    assert 10 <= sum(number < 100 for number in held_out) <= 30


def test_what_is_held_out_stays_the_same_where_the_folder_is_put_into_another():
    paths = [f"{'ab'[n % 2]}/{n}.png" for n in range(40)]
    first = arrange(packed(paths), 0.2)
    second = arrange(packed(f"data/{path}" for path in paths), 0.2)
    assert [f"data/{path}" for path in first.names] == list(second.names)
    assert first.classes == second.classes
    assert first.labels.tolist() == second.labels.tolist()


def test_what_is_held_out_is_the_same_in_every_version():
    # A change moves images between the splits of everyone's folders.
    paths = [f"{'abc'[n % 3]}/{n * 7919 % 1000}.jpg" for n in range(30)]
    train, test = parts(arrange(packed(paths), 0.2))
    assert test == ["a/299.jpg", "a/56.jpg", "b/676.jpg", "b/732.jpg", "c/137.jpg", "c/595.jpg"]
    assert train == sorted(set(paths) - set(test))


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
    shutil.move(tmp_path / "b" / "3.png", bytes(tmp_path / "b") + b"/\xff.png")
    data = opened(tmp_path)
    assert data.classes == ("b", "ä b")
    assert sorted(values(data.train) + values(data.test)) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert "b/\\xff.png" in [*data.train.names, *data.test.names]


names = st.text("abcdefghij", min_size=1, max_size=3)


def held_out_of(paths: list[str], fraction: float) -> set[str]:
    """Return the files with the least hashes, in plain Python."""
    ordered = sorted(
        paths, key=lambda path: hashlib.blake2b(path.encode(), digest_size=16).digest()
    )
    return set(ordered[: min(max(round(len(paths) * fraction), 1), len(paths) - 1)])


@settings(deadline=None, max_examples=60)
@given(
    paths=st.lists(
        st.builds("{}/{}".format, st.sampled_from("pqr"), names),
        min_size=2,
        max_size=60,
        unique=True,
    ),
    fraction=st.floats(0.01, 0.99),
)
def test_of_every_class_the_files_with_the_least_hashes_are_held_out(paths, fraction):
    listing = arrange(packed(paths), fraction)
    train, test = parts(listing)
    assert sorted(train + test) == sorted(paths)
    assert train == sorted(train)
    assert test == sorted(test)
    groups = [[path for path in paths if path[0] == name] for name in "pqr"]
    used = [group for group in groups if group]
    if len(used) == 1:  # one folder is passed over
        inner = [path[2:] for path in paths]
        assert test == sorted(f"{paths[0][0]}/{path}" for path in held_out_of(inner, fraction))
        assert listing.labels is None
        return
    assert [listing.classes[label] for label in listing.labels] == [p[0] for p in train + test]
    if max(map(len, used)) == 1:
        used = [paths]
    assert set(test) == set().union(*(held_out_of(group, fraction) for group in used))
    assert train
    assert test


@settings(deadline=None, max_examples=30)
@given(
    paths=st.lists(names, min_size=12, max_size=40, unique=True),
    added=st.text("klm", min_size=1, max_size=3),
)
def test_adding_a_file_moves_at_most_one_other_between_the_splits(paths, added):
    def held_out(found):
        return set(parts(arrange(packed(found), 0.2))[1])

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


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(st.sampled_from(["a", "a-", "a b", "B", "train", "val", "Test"]), max_size=3),
        min_size=1,
        max_size=12,
    )
)
def test_classes_and_splits_follow_from_the_folders(folders):
    paths = sorted({"/".join([*parts, f"{n}.png"]) for n, parts in enumerate(folders)})
    index = packed(paths)
    try:
        listing = arrange(index, 0.3)
    except DataError as error:
        assert "that train/ lacks" in str(error)  # noqa: PT017
        return
    train, test = parts(listing)
    assert set(train + test) <= set(paths)
    assert len(set(train + test)) == len(listing)
    skipped = index.depth if listing.held_out else index.depth + 1
    if not listing.held_out:
        assert {path.split("/")[index.depth].lower() for path in train} == {"train"}
        assert {path.split("/")[index.depth].lower() for path in test} < {"val", "test"}
    if listing.labels is not None:
        assert [listing.classes[n] for n in listing.labels] == [
            path.split("/")[skipped] for path in train + test
        ]
