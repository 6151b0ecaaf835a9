"""The images of a step depend on (seed, step) only."""

from __future__ import annotations

import os
import pickle
import threading
import time

import numpy as np
import pytest
import torch

from sslcore.data import Data, Split
from sslcore.data.batches import Batches
from sslcore.data.reader import MappedFile, Rows
from sslcore.errors import DataError, UsageError
from sslcore.random import epoch_order

CPU = torch.device("cpu")
#: No reading ahead, reading ahead in threads, in one process, in two.
WORKERS = [0, None, 1, 2]


def _split(size=23):
    images = torch.arange(size, dtype=torch.uint8).reshape(size, 1, 1, 1).expand(-1, 3, 2, 2)
    return Split(images.contiguous(), torch.arange(size))


def _in_file(path, size=23):
    """Return a split whose images are mapped from a file, at an offset of 7 bytes."""
    images = _split(size).images
    path.write_bytes(b"header!" + images.numpy().tobytes())
    shape = tuple(images.shape)
    mapped = torch.from_numpy(np.memmap(path, np.uint8, mode="c", offset=7, shape=shape))
    return Split(mapped, torch.arange(size), MappedFile(path, 7, mapped))


def _readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("sslcore-reader")]


def _seen(batches, start, stop):
    return [batch.images[:, 0, 0, 0].tolist() for batch in batches.between(start, stop)]


def test_an_epoch_sees_each_image_at_most_once_in_whole_batches():
    batches = Batches(_split(), 5, 0, CPU)
    assert batches.steps_per_epoch == 4
    seen = [row for batch in _seen(batches, 0, 4) for row in batch]
    assert len(seen) == len(set(seen)) == 20


def test_starting_at_a_step_sees_what_coming_there_sees():
    whole = _seen(Batches(_split(), 5, 3, CPU), 0, 12)
    assert _seen(Batches(_split(), 5, 3, CPU), 7, 12) == whole[7:]


def test_the_rows_of_a_large_split_follow_the_order_of_the_epoch():
    size, batch_size = 150_000, 300
    batches = Batches(Split(torch.zeros(size, 1, 1, 1, dtype=torch.uint8)), batch_size, 2, CPU)
    assert batches.steps_per_epoch == 500
    for epoch in range(2):
        steps = range(500 * epoch, 500 * epoch + 500)
        rows = torch.cat([batches.rows(step) for step in steps])
        assert torch.equal(rows, epoch_order(2, epoch, size))
    assert torch.equal(batches.rows(3), epoch_order(2, 0, size, 900, 1200))


def test_another_seed_gives_another_order():
    assert _seen(Batches(_split(), 5, 0, CPU), 0, 4) != _seen(Batches(_split(), 5, 1, CPU), 0, 4)


@pytest.mark.parametrize("workers", WORKERS)
def test_streaming_gives_the_same_batches_however_it_reads(workers, tmp_path):
    state = torch.get_rng_state()
    resident = _seen(Batches(_split(), 5, 0, CPU), 2, 9)
    split = _in_file(tmp_path / "images")
    assert _seen(Batches(split, 5, 0, CPU, workers=workers), 2, 9) == resident
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("workers", WORKERS)
def test_streaming_begins_at_once_however_long_the_run_is(workers, tmp_path):
    split = _in_file(tmp_path / "images")
    batches = Batches(split, 5, 0, CPU, labels=True, workers=workers)
    first = next(batches.between(0, 10**12))
    assert torch.equal(first.labels, first.images[:, 0, 0, 0].long())


def test_images_that_do_not_fit_are_streamed(monkeypatch):
    monkeypatch.setattr("sslcore.data.batches.free_memory", lambda device: 100)
    batches = Batches(_split(), 5, 0, CPU)
    assert not batches.resident
    streamed = _seen(batches, 0, 4)
    monkeypatch.setattr("sslcore.data.batches.free_memory", lambda device: 2**30)
    assert Batches(_split(), 5, 0, CPU).resident
    assert not Batches(_split(), 5, 0, CPU, workers=1).resident
    assert _seen(Batches(_split(), 5, 0, CPU), 0, 4) == streamed


def test_images_of_a_file_are_brought_into_memory_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr("sslcore.data.batches._BLOCK", 50)
    batches = Batches(_in_file(tmp_path / "images"), 5, 0, CPU)
    # The system caches file contents in main memory; other devices have their own memory.
    assert not batches.resident
    batches.resident = True
    assert _seen(batches, 0, 9) == _seen(Batches(_split(), 5, 0, CPU), 0, 9)
    os.truncate(tmp_path / "images", 0)
    assert _seen(batches, 0, 9) == _seen(Batches(_split(), 5, 0, CPU), 0, 9)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("resident", [True, False])
def test_the_parts_of_all_processes_are_the_global_batch(workers, resident, tmp_path):
    split = _split() if resident else _in_file(tmp_path / "images")
    whole = list(Batches(split, 6, 4, CPU, labels=True, workers=workers).between(1, 8))
    parts = [
        Batches(split, 6, 4, CPU, labels=True, workers=workers, share=slice(2 * rank, 2 * rank + 2))
        for rank in range(3)
    ]
    for batch, *taken in zip(whole, *(part.between(1, 8) for part in parts), strict=True):
        assert [part.step for part in taken] == [batch.step] * 3
        assert [part.size for part in taken] == [batch.size] * 3 == [6, 6, 6]
        assert torch.equal(torch.cat([part.images for part in taken]), batch.images)
        assert torch.equal(torch.cat([part.labels for part in taken]), batch.labels)
    assert torch.equal(parts[1].rows(5), Batches(split, 6, 4, CPU).rows(5))


def test_a_batch_is_read_before_it_is_asked_for(tmp_path, monkeypatch):
    read = Rows.read
    rows = []

    def noted(self, asked, device=None):
        rows.append(asked)
        return read(self, asked, device)

    monkeypatch.setattr(Rows, "read", noted)
    stream = Batches(_in_file(tmp_path / "images"), 5, 0, CPU).between(0, 100)
    next(stream)
    deadline = time.monotonic() + 30
    while len(rows) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    # The batch in use and three that wait, and never more, however long it takes.
    assert len(rows) == 4
    stream.close()


@pytest.mark.parametrize("workers", WORKERS)
def test_a_file_that_is_cut_off_is_an_error_that_says_so(workers, tmp_path):
    batches = Batches(_in_file(tmp_path / "images"), 5, 0, CPU, workers=workers)
    stream = batches.between(0, 10**6)
    next(stream)
    os.truncate(tmp_path / "images", 20)
    with pytest.raises(OSError, match="images ends before byte"):
        list(stream)
    assert _readers() == []


@pytest.mark.parametrize("workers", [0, None])
def test_what_was_read_before_an_error_is_given_first(workers, tmp_path, monkeypatch):
    read = Rows.read
    batches = Batches(_in_file(tmp_path / "images"), 5, 0, CPU, workers=workers)
    broken = batches.rows(2).tolist()

    def fails_at_step_2(self, asked, device=None):
        if asked.tolist() == broken:
            raise OSError(5, "Input/output error")
        return read(self, asked, device)

    monkeypatch.setattr(Rows, "read", fails_at_step_2)
    stream = batches.between(0, 9)
    assert [next(stream).step, next(stream).step] == [0, 1]
    with pytest.raises(OSError, match="Input/output error"):
        next(stream)
    assert _readers() == []


@pytest.mark.parametrize("workers", [0, None])
def test_a_file_whose_name_is_gone_is_read_on(workers, tmp_path):
    batches = Batches(_in_file(tmp_path / "images"), 5, 0, CPU, workers=workers)
    (tmp_path / "images").unlink()
    (tmp_path / "images").write_bytes(bytes(1000))
    assert _seen(batches, 0, 9) == _seen(Batches(_split(), 5, 0, CPU), 0, 9)


def test_threads_end_with_the_iterator(tmp_path):
    stream = Batches(_in_file(tmp_path / "images"), 5, 0, CPU).between(0, 10**6)
    next(stream)
    assert _readers() != []
    stream.close()
    assert _readers() == []
    stream = Batches(_in_file(tmp_path / "images"), 5, 0, CPU).between(0, 3)
    assert len(list(stream)) == 3
    assert _readers() == []


@pytest.mark.parametrize(
    "view",
    [
        lambda images: images,
        lambda images: images[3:],
        lambda images: images[::2],
        lambda images: images.transpose(-1, -2),
        lambda images: images[:, 1:],
        lambda images: images[..., :1],
        lambda images: images[:, [2, 0]],
    ],
)
def test_any_view_of_a_file_is_read_as_it_is(view, tmp_path):
    (tmp_path / "images").write_bytes(np.random.default_rng(0).bytes(7 + 12 * 3 * 4 * 4))
    array = np.memmap(tmp_path / "images", np.uint8, mode="c", offset=7, shape=(12, 3, 4, 4))
    images = torch.from_numpy(array)
    file = MappedFile(tmp_path / "images", 7, images)
    seen = view(images)
    rows = torch.tensor([4, 0, 5, 4])
    assert torch.equal(Rows(seen, file).read(rows), seen[rows])
    # So a new process reads it as well.
    assert torch.equal(pickle.loads(pickle.dumps(Rows(seen, file))).read(rows), seen[rows])


def test_a_process_is_given_the_name_of_a_file_and_not_its_images(tmp_path):
    split = _in_file(tmp_path / "images", size=200)
    assert len(pickle.dumps(Rows(split.images, split.file))) < 1000 < split.images.nbytes


def test_what_is_written_to_a_mapping_is_what_is_trained_on(tmp_path):
    split = _in_file(tmp_path / "images")
    split.images[3:].add_(100)
    batch = next(Batches(split, 23, 0, CPU).between(0, 1))
    assert sorted(batch.images[:, 0, 0, 0].tolist()) == [0, 1, 2, *range(103, 123)]


def test_labels_come_with_their_images_and_only_when_asked_for():
    for batch in Batches(_split(), 5, 0, CPU, labels=True).between(0, 4):
        assert torch.equal(batch.labels, batch.images[:, 0, 0, 0].long())
    assert next(Batches(_split(), 5, 0, CPU).between(0, 1)).labels is None


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(UsageError, match="24 is larger than the 23 training images"):
        Batches(_split(), 24, 0, CPU)
    assert Batches(_split(), 23, 0, CPU).steps_per_epoch == 1


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (torch.zeros(2, 1, 4, 4, dtype=torch.float64), None, "must be uint8, uint16"),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), None, "of shape"),
        ([1, 2], None, "must be a tensor, or an object"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3).long(), "2 images but labels"),
    ],
)
def test_a_split_of_another_form_is_refused(images, labels, said):
    with pytest.raises(DataError, match=said):
        Split(images, labels)


def test_evaluators_fit_on_the_labelled_split_where_there_is_one():
    labelled, unlabelled = _split(), Split(_split().images)
    assert Data(unlabelled, labelled).labelled is False
    assert Data(unlabelled, labelled, probe=labelled).labelled is True
    assert Data(unlabelled, labelled, probe=labelled).fit is labelled
