"""Shards in object stores are indexed and read by requests for parts of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from shard_files import samples, value_of, write_shard

import sslcore
from sslcore.contract.reading import Reading
from sslcore.data.prepare import prepared
from sslcore.errors import DataError, SourceError, TrainingError
from sslcore.system import addresses
from sslcore_webdataset.shards import shards


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    """An object store in memory with two shards of twenty samples each."""
    monkeypatch.setenv("SSLCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(addresses, "PAUSES", (0.0, 0.0))
    system = MemoryFileSystem()
    for number in range(2):
        values = range(20 * number, 20 * number + 20)
        path = write_shard(tmp_path / "local" / f"train-{number}.tar", samples(values))
        system.pipe(f"/bucket/train-{number}.tar", path.read_bytes())
    yield system
    system.rm("/bucket", recursive=True)


@pytest.fixture
def requests(monkeypatch) -> list[tuple[str, int, int]]:
    """The parts of files that are asked for."""
    asked: list[tuple[str, int, int]] = []
    usual = MemoryFileSystem.cat_file

    def cat_file(self, path, start=None, end=None, **kwargs):
        asked.append((path, start, end))
        return usual(self, path, start=start, end=end, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    return asked


def values(split) -> list[int]:
    return [value_of(split.images.fetch(row)) for row in range(len(split))]


@pytest.mark.parametrize("pattern", ["train-{0..1}.tar", "train-*.tar", "*.tar", ""])
def test_an_address_holds_the_same_data_as_a_folder(tmp_path, pattern):
    ours = shards(path=f"memory://bucket/{pattern}")
    theirs = shards(path=str(tmp_path / "local"))
    for name in ("train", "test"):
        own, other = getattr(ours, name), getattr(theirs, name)
        assert values(own) == values(other)
        assert own.labels.tolist() == other.labels.tolist()
        assert list(own.names) == list(other.names)


def test_a_shard_is_indexed_once_and_an_image_is_one_request(requests):
    data = shards(path="memory://bucket/*.tar")
    assert len(requests) == 2
    requests.clear()
    again = shards(path="memory://bucket/*.tar")
    assert not requests
    again.train.images.fetch(0)
    ((_, start, end),) = requests
    assert 0 < end - start < 200
    assert again.train.images.fingerprint == data.train.images.fingerprint


def test_a_shard_that_is_replaced_is_indexed_anew(store, tmp_path):
    before = shards(path="memory://bucket/*.tar").train.images.fingerprint
    path = write_shard(tmp_path / "new.tar", samples(range(50, 60)))
    store.pipe("/bucket/train-1.tar", path.read_bytes())
    data = shards(path="memory://bucket/*.tar")
    assert sorted(values(data.train) + values(data.test)) == [*range(20), *range(50, 60)]
    assert data.train.images.fingerprint != before


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("memory://bucket/none.tar", "memory://bucket/none.tar does not exist"),
        ("memory://bucket/none-*.tar", "matches no file; expected .tar files"),
        ("memory://bucket/x.tar.gz", "x.tar.gz is compressed"),
        ("nosuch://bucket/x.tar", "nosuch://bucket/x.tar can't be read: Protocol not known"),
    ],
)
def test_addresses_that_name_no_shards_are_errors(path, said):
    with pytest.raises(DataError) as caught:
        shards(path=path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def fail(*args, **kwargs):
    raise ConnectionError("connection reset")


def test_a_store_that_fails_while_images_are_prepared_is_named_and_no_image_is_left_out(
    monkeypatch,
):
    data = shards(path="memory://bucket/*.tar")
    with monkeypatch.context() as broken:
        broken.setattr(MemoryFileSystem, "cat_file", fail)
        with pytest.raises(SourceError, match="connection reset"):
            prepared(data, Reading(cache="none"))
    prepared(data, Reading(cache="none"))  # the headers of images are kept from here on
    with monkeypatch.context() as broken:
        broken.setattr(MemoryFileSystem, "cat_file", fail)
        for _ in range(2):
            with pytest.raises(
                SourceError, match=r"train-0\.tar can't be read, after 3 tries: conn"
            ):
                prepared(data, Reading(cache="decoded"))
    ready, _ = prepared(data, Reading(cache="decoded"))
    assert ready.train.images[:, 0, 0, 0].tolist() == values(data.train)


@pytest.mark.parametrize("cache", ["decoded", "none"])
def test_a_shard_that_vanishes_from_its_store_is_an_error_and_no_image_is_left_out(
    monkeypatch, cache
):
    data = shards(path="memory://bucket/train-{0..1}.tar")

    def gone(self, path, **kwargs):
        raise FileNotFoundError(path)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", gone)
    said = r"train-0\.tar does not exist any more; restore it$"
    with pytest.raises(SourceError, match=said):
        prepared(data, Reading(cache=cache))


def test_a_run_whose_store_stops_answering_is_saved_and_goes_on(tmp_path, monkeypatch):
    def train(output: Path):
        return sslcore.train(
            "simclr",
            data="memory://bucket/train-{0..1}.tar",
            encoder="small-cnn",
            settings={"training": {"epochs": 2, "batch_size": 8}, "data": {"cache": "none"}},
            output=output,
            evaluate=False,
            workers=0,
        )

    whole = train(tmp_path / "whole")
    usual, read = MemoryFileSystem.cat_file, []

    def stops(self, path, **kwargs):
        read.append(path)
        # Headers and values are looked at before the first step.
        return usual(self, path, **kwargs) if len(read) < 40 else fail()

    with monkeypatch.context() as broken:
        broken.setattr(MemoryFileSystem, "cat_file", stops)
        with pytest.raises(TrainingError, match="connection reset") as caught:
            train(tmp_path / "stopped")
    assert "\n" not in str(caught.value)
    resumed = sslcore.train(resume=tmp_path / "stopped", evaluate=False)
    one, other = (sslcore.load_encoder(run.path).state_dict() for run in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
