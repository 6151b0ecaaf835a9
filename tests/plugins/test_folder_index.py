"""The index of a folder's files is kept, found again, and true."""

from __future__ import annotations

import os
import pickle
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from sslcore.errors import DataError
from sslcore_torchvision._file_index import FileIndex
from sslcore_torchvision._listing import arrange
from sslcore_torchvision._scan import image_files

#: Time of modification of all that the tests write, in the past: a folder that has just changed is
#: listed again in any case.
LONG_AGO = 10**18


@pytest.fixture
def root(tmp_path) -> Path:
    """A folder with files above, between and below folders, all of them old."""
    root = tmp_path / "images"
    for path in ("0.png", "a/1.png", "a/b/2.png", "a/b/3.png", "a/c.png", "d/4.jpg", "e.png"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    (root / "empty").mkdir()
    grow_old(root)
    return root


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


def grow_old(root: Path, age: int = 0) -> None:
    """Give all that has changed since the last call a time in the past."""
    for path in [root, *root.rglob("*")]:
        if path.lstat().st_mtime_ns > LONG_AGO + 10**17:
            os.utime(path, ns=(0, LONG_AGO + age), follow_symlinks=False)


def content(index: FileIndex) -> list[tuple[bytes, list[int]]]:
    return list(zip(index.paths(), index.states.tolist(), strict=True))


def listed(monkeypatch) -> list[str]:
    """Return a list to which the names of folders are added when they are listed."""
    found, scandir = [], os.scandir
    monkeypatch.setattr(
        os, "scandir", lambda path: (found.append(Path(os.fsdecode(path)).name), scandir(path))[1]
    )
    return found


def test_files_are_sorted_by_the_folders_on_the_way_and_then_by_name(root):
    (root / "a-b").mkdir()
    (root / "a-b" / "0.png").write_bytes(b"")
    paths = [os.fsdecode(path) for path in image_files(root).paths()]
    assert paths == sorted(paths, key=lambda path: path.split("/"))
    assert len(paths) == 8


def test_a_folder_that_did_not_change_is_not_listed_again(root, cache, monkeypatch):
    first = image_files(root, cache)
    found = listed(monkeypatch)
    second = image_files(root, cache)
    assert found == []
    assert content(first) == content(second) == content(image_files(root))
    assert first.fingerprint == second.fingerprint


def test_only_folders_that_changed_are_listed_again(root, cache, monkeypatch):
    image_files(root, cache)
    (root / "a" / "b" / "2.png").unlink()
    (root / "a" / "b" / "5.png").write_bytes(b"y")
    grow_old(root, 1)
    found = listed(monkeypatch)
    index = image_files(root, cache)
    assert found == ["b"]
    assert content(index) == content(image_files(root))


def test_a_folder_that_changed_a_moment_ago_is_listed_again(root, cache, monkeypatch):
    (root / "d" / "6.png").write_bytes(b"x")
    image_files(root, cache)
    found = listed(monkeypatch)
    image_files(root, cache)
    assert found == ["d"]


@pytest.mark.parametrize("seed", range(4))
def test_after_any_changes_the_index_is_that_of_a_first_listing(root, cache, seed):
    chance = random.Random(seed)
    for age in range(1, 40):
        folders = [path for path in [root, *root.rglob("*")] if path.is_dir()]
        files = [path for path in root.rglob("*") if path.is_file()]
        folder, file = chance.choice(folders), chance.choice(files)
        change = chance.randrange(7)
        if change == 0:
            (folder / f"{age}.png").write_bytes(b"x")
        elif change == 1 and len(files) > 3:
            file.unlink()
        elif change == 2:
            file.rename(folder / f"{age}.bmp")
        elif change == 3:
            (folder / f"new{age}").mkdir()
        elif change == 4 and len(files) > 6 and folder != root:
            shutil.rmtree(folder)
        elif change == 5:
            file.write_bytes(b"x" * age)
        else:
            (folder / f"link{age}.png").symlink_to(file)
        grow_old(root, age)
        if any(path.is_file() for path in root.rglob("*")):
            index, fresh = image_files(root, cache), image_files(root)
            assert content(index) == content(fresh)
            assert index.fingerprint == fresh.fingerprint
            assert index.hashes.tolist() == fresh.hashes.tolist()


def test_a_file_written_in_place_is_found_though_its_folder_did_not_change(root, cache):
    before = image_files(root, cache)
    (root / "d" / "4.jpg").write_bytes(b"longer")
    grow_old(root)
    after = image_files(root, cache)
    assert content(after) == content(image_files(root))
    assert after.fingerprint != before.fingerprint


def test_of_many_files_written_in_place_some_are_compared_and_then_all_found(root, cache):
    for number in range(200):
        (root / f"{number:03}.png").write_bytes(b"x")
    grow_old(root)
    image_files(root, cache)
    for number in range(200):
        (root / f"{number:03}.png").write_bytes(b"longer")
    grow_old(root)
    assert content(image_files(root, cache, compared=20)) == content(image_files(root))


def test_a_link_that_loses_its_file_or_finds_one_is_noticed(root, cache, tmp_path):
    (tmp_path / "elsewhere.png").write_bytes(b"x")
    (root / "link.png").symlink_to(tmp_path / "elsewhere.png")
    grow_old(root)
    image_files(root, cache)
    (tmp_path / "elsewhere.png").unlink()
    assert content(image_files(root, cache)) == content(image_files(root))
    (tmp_path / "elsewhere.png").write_bytes(b"y")
    assert content(image_files(root, cache)) == content(image_files(root))


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "swapped"])
def test_a_damaged_index_is_made_anew(root, cache, damage, tmp_path):
    expected = content(image_files(root, cache))
    (file,) = cache.iterdir()
    if damage == "swapped":
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "x.png").write_bytes(b"x")
        image_files(tmp_path / "other", tmp_path / "other-cache")
        shutil.copy(next((tmp_path / "other-cache").iterdir()), file)
    else:
        stored = file.read_bytes()
        file.write_bytes({"cut": stored[:-1], "empty": b"", "text": b"no index"}[damage])
    assert content(image_files(root, cache)) == expected
    assert len(list(cache.iterdir())) == 1
    assert FileIndex.load(file) is not None


def test_without_a_writable_cache_files_are_listed_all_the_same(root, tmp_path):
    (tmp_path / "file").write_text("")
    assert content(image_files(root, tmp_path / "file")) == content(image_files(root))


def test_a_folder_without_images_has_an_empty_index(tmp_path, cache):
    (tmp_path / "none").mkdir()
    assert len(image_files(tmp_path / "none", cache)) == 0
    assert list(image_files(tmp_path / "none").paths()) == []


def test_another_process_maps_the_file_instead_of_receiving_it(root, cache):
    index = image_files(root, cache)
    sent = pickle.dumps(index)
    assert len(sent) < 500
    assert content(pickle.loads(sent)) == content(index)
    in_memory = image_files(root)
    assert content(pickle.loads(pickle.dumps(in_memory))) == content(index)


def test_a_process_does_not_take_rows_of_an_index_that_was_replaced(root, cache):
    sent = pickle.dumps(image_files(root, cache))
    (root / "a" / "0.png").write_bytes(b"new")
    image_files(root, cache)
    with pytest.raises(DataError, match="changed while the images were read"):
        pickle.loads(sent)


def test_an_index_in_use_stays_as_it_is_when_the_folder_changes(root, cache):
    index = image_files(root, cache)
    before = content(index)
    (root / "a" / "0.png").write_bytes(b"new")
    assert len(image_files(root, cache)) == len(before) + 1
    assert content(index) == before


def test_names_are_made_when_they_are_asked_for_and_can_be_cut(root, cache):
    listing = arrange(image_files(root, cache), 0.5)
    names = listing.names
    assert sorted(names) == [os.fsdecode(path) for path in image_files(root).paths()]
    assert list(names[1:3]) == [names[1], names[2]]
    assert names[-1] == list(names)[-1]
    with pytest.raises(IndexError):
        names[len(names)]


def test_the_hashes_decide_alone_what_is_held_out_of_a_large_folder(cache, tmp_path):
    root = tmp_path / "images"
    root.mkdir()
    for number in range(100):
        (root / f"{number}.png").write_bytes(b"")
    mapped, fresh = arrange(image_files(root, cache), 0.3), arrange(image_files(root), 0.3)
    assert np.array_equal(mapped.rows, fresh.rows)
    assert mapped.num_train == 70
