"""The cache of decoded images: when it is used, renewed or skipped."""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sslcore
from sslcore.contract.reading import Reading
from sslcore.data import Data
from sslcore.data.batches import Batches
from sslcore.data.cache import Entry
from sslcore.data.form import Form
from sslcore.data.prepare import prepared
from sslcore.errors import DataError, TrainingError
from sslcore.system.cache import cache_directory
from sslcore.training.progress import ProgressDisplay
from sslcore_torchvision.folder import folder

FORM = Form(image_size=5, channels=1)


def opened(path: Path | str, *, test_fraction: float = 0.2, **reading) -> Data:
    """Return the images of a folder as a run reads them."""
    return prepared(folder(path=str(path), test_fraction=test_fraction), Reading(**reading))[0]


@pytest.fixture
def images(tmp_path) -> Path:
    path = tmp_path / "images"
    for value in range(10):
        (path / "ab"[value % 2]).mkdir(parents=True, exist_ok=True)
        save(path / "ab"[value % 2] / f"{value}.png", value)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SSLCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


def save(path: Path, value: int) -> None:
    Image.fromarray(np.full((5, 5), value, dtype=np.uint8)).save(path)


def values(data) -> list[int]:
    splits = [split for split in (data.train, data.test) if split is not None]
    return [value for split in splits for value in split.images[:, 0, 0, 0].tolist()]


def test_a_second_call_reads_the_same_from_the_cache(images, cache):
    first = opened(images)
    entries = list(cache.iterdir())
    assert len(entries) == 2  # one for each split
    before = [(entry / "images.npy").stat().st_mtime_ns for entry in entries]
    second = opened(images)
    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(first.test.images, second.test.images)
    assert torch.equal(first.train.labels, second.train.labels)
    assert [(entry / "images.npy").stat().st_mtime_ns for entry in entries] == before
    # A change in the cache file shows, so the images do come from it.
    for entry in entries:
        stored = np.load(entry / "images.npy", allow_pickle=False)
        (entry / "images.npy").unlink()
        np.save(entry / "images.npy", stored + 100, allow_pickle=False)
    assert values(opened(images)) == [value + 100 for value in values(first)]


def test_the_cached_file_is_a_plain_npy_file_of_the_readable_images(images, cache):
    (images / "a" / "0.png").write_bytes(b"broken")
    data = opened(images)
    stored = [np.load(entry / "images.npy", allow_pickle=False) for entry in cache.iterdir()]
    assert sorted(map(len, stored)) == [2, 7]
    assert all(images.shape[1:] == (1, 5, 5) for images in stored)
    assert sorted(np.concatenate(stored)[:, 0, 0, 0].tolist()) == sorted(values(data))


def test_nothing_is_written_to_the_folder(images):
    before = {path: path.stat().st_mtime_ns for path in [images, *images.rglob("*")]}
    opened(images)
    assert {path: path.stat().st_mtime_ns for path in [images, *images.rglob("*")]} == before


def test_a_changed_file_a_new_one_and_a_removed_one_renew_the_cache(images, cache):
    opened(images)
    save(images / "a" / "0.png", 77)
    assert sorted(values(opened(images))) == [*range(1, 10), 77]
    save(images / "b" / "new.png", 78)
    assert sorted(values(opened(images))) == [*range(1, 10), 77, 78]
    (images / "a" / "2.png").unlink()
    assert sorted(values(opened(images))) == [1, *range(3, 10), 77, 78]
    # No earlier state is kept.
    assert len(list(cache.iterdir())) == 2


def test_a_file_changed_in_its_time_or_in_its_size_alone_renews_the_cache(tmp_path):
    for value in range(4):
        (tmp_path / "images").mkdir(exist_ok=True)
        save(tmp_path / "images" / f"{value}.bmp", value)
    opened(tmp_path / "images")
    file = tmp_path / "images" / "0.bmp"
    before = file.stat()
    save(file, 50)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert file.stat().st_size == before.st_size
    assert 50 in values(opened(tmp_path / "images"))
    Image.fromarray(np.full((5, 5, 3), 60, dtype=np.uint8)).save(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert file.stat().st_size != before.st_size
    assert 60 in values(opened(tmp_path / "images"))


def test_each_size_channels_and_test_fraction_is_cached_apart(images, cache):
    chosen = ({}, {"image_size": 3}, {"channels": 3}, {"test_fraction": 0.5})
    for settings in chosen:
        opened(images, **settings)
    # The last one has other images in each split, and so took the place of all others.
    assert len(list(cache.iterdir())) == 2
    assert opened(images, image_size=3).train.image_size == 3
    assert opened(images, channels=3).train.channels == 3
    assert len(opened(images, test_fraction=0.5).test) == 4
    assert len(opened(images).test) == 2


def test_files_in_another_order_are_another_entry(images):
    # Rows of one must never be read with labels of the other.
    data = folder(path=str(images))
    again = Data(data.train.subset(torch.arange(len(data.train)).flip(0)), data.test)
    (first, _), (second, _) = prepared(data, Reading()), prepared(again, Reading())
    assert torch.equal(first.train.images, second.train.images.flip(0))


def test_two_folders_with_the_same_names_sizes_and_times_do_not_meet(tmp_path):
    for name, start in (("one", 0), ("two", 100)):
        (tmp_path / name).mkdir()
        for value in range(4):
            save(tmp_path / name / f"{value}.bmp", start + value)
            os.utime(tmp_path / name / f"{value}.bmp", ns=(0, 0))
    assert max(values(opened(tmp_path / "one"))) < 100
    assert min(values(opened(tmp_path / "two"))) >= 100


@pytest.mark.parametrize("file", ["images.npy", "about.json"])
@pytest.mark.parametrize("damage", ["cut", "empty", "gone"])
def test_a_damaged_entry_is_made_anew(images, cache, file, damage):
    expected = values(opened(images))
    victim = next(cache.iterdir()) / file
    if damage == "gone":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:-1] if damage == "cut" else b"")
    assert values(opened(images)) == expected
    assert victim.stat().st_size > 0


def test_a_cached_pickle_is_not_loaded(images, cache, tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    expected = values(opened(images))
    victim = next(cache.iterdir()) / "images.npy"
    victim.write_bytes(pickle.dumps(Payload()))
    assert values(opened(images)) == expected
    assert not (tmp_path / "executed").exists()


def test_without_a_writable_cache_images_are_kept_in_memory_and_that_is_said(
    images, tmp_path, monkeypatch
):
    expected = values(opened(images))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SSLCORE_CACHE", str(tmp_path / "file"))
    data = opened(images)
    assert values(data) == expected
    note = data.notes[0]
    assert note.startswith("resized images are kept in memory because they can't be cached")
    assert "SSLCORE_CACHE" in note


@contextmanager
def no_file_over_100_bytes():
    """Simulate a full disk: the first bytes can be written, the others can't.

    Use it around as little code as possible: the limit also applies to pytest's report.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_where_the_disk_is_full_images_are_kept_in_memory_and_nothing_is_left_behind(images, cache):
    with no_file_over_100_bytes():
        data = opened(images)
    assert sorted(values(data)) == list(range(10))
    assert data.train.labels.tolist() == [value % 2 for value in values(data)[: len(data.train)]]
    assert "File too large" in data.notes[0]
    assert list(cache.iterdir()) == []


def test_a_run_that_is_stopped_leaves_nothing_behind(images, cache):
    def until_stopped(first):
        yield np.zeros((1, 5, 5), dtype=np.uint8)
        raise KeyboardInterrupt

    entry = Entry.of(cache, "place", "content", FORM)
    with pytest.raises(KeyboardInterrupt):
        entry.store(until_stopped, FORM)
    assert list(cache.iterdir()) == []


def test_of_two_processes_that_decode_at_once_the_first_one_stays(images, cache):
    entry = Entry.of(cache, "place", "content", FORM)

    def while_another_finishes(first):
        yield np.full((1, 5, 5), 1, dtype=np.uint8)
        entry.store(lambda first: [np.full((1, 5, 5), 2, dtype=np.uint8)], FORM)

    entry.store(while_another_finishes, FORM)
    loaded = entry.load()
    assert loaded is not None
    assert loaded.images[0, 0, 0, 0] == 2
    assert len(list(cache.iterdir())) == 1


def test_what_a_killed_run_left_is_removed_after_a_day(images, cache):
    for name, age in (("partial-old", 2 * 24 * 3600), ("partial-new", 60)):
        (cache / name).mkdir(parents=True)
        (cache / name / "images.npy").write_bytes(b"half")
        then = time.time() - age
        os.utime(cache / name / "images.npy", (then, then))
    opened(images)
    assert not (cache / "partial-old").exists()
    assert (cache / "partial-new").exists()


def test_writing_to_cached_images_changes_neither_the_file_nor_the_next_call(images):
    first = opened(images)
    expected = values(first)
    first.train.images.zero_()
    assert values(opened(images)) == expected


def test_nothing_is_cached_for_a_folder_that_is_an_error(images, cache):
    for path in images.rglob("*.png"):
        path.write_bytes(b"broken")
    with pytest.raises(DataError):
        opened(images)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_the_cache_directory_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SSLCORE_CACHE", "~/mine")
    assert cache_directory() == tmp_path / "home" / "mine"
    monkeypatch.delenv("SSLCORE_CACHE")
    assert cache_directory() == tmp_path / "xdg" / "sslcore"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_directory() == tmp_path / "home" / ".cache" / "sslcore"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory() == tmp_path / "home" / ".cache" / "sslcore"


def test_a_cache_cut_off_while_training_is_one_clear_line(images, cache, monkeypatch):
    advanced = ProgressDisplay.advanced

    def cutting(self, step):
        advanced(self, step)
        if step == 2:
            os.truncate(max(cache.rglob("images.npy"), key=lambda file: file.stat().st_size), 200)

    monkeypatch.setattr(ProgressDisplay, "advanced", cutting)
    settings = {"training": {"batch_size": 4, "epochs": 50, "precision": "fp32"}}
    with pytest.raises(TrainingError, match=r"can't be read: .*images\.npy ends before byte \d+"):
        sslcore.train(
            "simclr",
            data=str(images),
            settings=settings | {"data": {"image_size": 8, "cache": "decoded"}},
            output="run",
            device="cpu",
            evaluate=False,
        )


def test_images_removed_from_the_cache_are_trained_on_to_the_end(images, cache):
    data = opened(images)
    expected = values(data)
    batches = Batches(data.train, len(data.train), 0, torch.device("cpu"))
    shutil.rmtree(cache)
    batch = next(batches.between(0, 1))
    assert sorted(batch.images[:, 0, 0, 0].tolist()) == sorted(expected[: len(data.train)])
    assert batches.reader.file is not None
