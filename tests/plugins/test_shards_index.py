"""The index of shards is made once, kept for each shard, and made anew for one that changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from shard_files import png, samples, value_of, write_shard

from sslcore.errors import DataError
from sslcore_webdataset.shards import shards


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SSLCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "shards"


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder of three shards of ten samples."""
    for number in range(3):
        values = range(10 * number, 10 * number + 10)
        write_shard(tmp_path / "images" / f"{number}.tar", samples(values))
    return tmp_path / "images"


def opened(path: Path, **settings):
    return shards(path=str(path), **settings)


def values(data) -> list[int]:
    splits = [split for split in (data.train, data.test) if split is not None]
    return sorted(value_of(each.images.fetch(row)) for each in splits for row in range(len(each)))


def times(cache: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in cache.iterdir()}


def overwrite(path: Path) -> None:
    """Replace the content of a file, but not its size and time."""
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_second_start_does_not_read_the_shards(place, cache):
    first = opened(place)
    assert len(times(cache)) == 3
    for path in place.iterdir():
        overwrite(path)
    second = opened(place)
    for name in ("train", "test"):
        one, other = getattr(first, name), getattr(second, name)
        assert list(one.names) == list(other.names)
        assert one.labels.tolist() == other.labels.tolist()
        assert one.images.fingerprint == other.images.fingerprint
    assert second.classes == first.classes


@pytest.mark.parametrize("change", ["content", "time"])
def test_a_shard_that_changed_is_indexed_anew_alone(place, cache, change):
    opened(place)
    before = times(cache)
    if change == "content":
        write_shard(place / "1.tar", samples(range(50, 55)))
    else:
        os.utime(place / "1.tar", ns=(0, 0))
    found = values(opened(place))
    assert found == [*range(10), *(range(20, 30) if change == "content" else range(10, 30))] + (
        [*range(50, 55)] if change == "content" else []
    )
    after = times(cache)
    assert after.keys() == before.keys()
    assert sum(after[name] != before[name] for name in before) == 1


def test_shards_indexed_before_a_failure_are_not_indexed_again(place, cache):
    whole = (place / "2.tar").read_bytes()
    (place / "2.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(DataError):
        opened(place)
    before = times(cache)
    assert len(before) == 2
    (place / "2.tar").write_bytes(whole)
    assert values(opened(place)) == [*range(30)]
    after = times(cache)
    assert len(after) == 3
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("content", [b"", b"damaged", None])
def test_a_damaged_index_is_made_anew(place, cache, content):
    opened(place)
    for file in cache.iterdir():
        file.write_bytes(file.read_bytes()[:-40] if content is None else content)
    assert values(opened(place)) == [*range(30)]
    sizes = {file.stat().st_size for file in cache.iterdir()}
    assert values(opened(place)) == [*range(30)]
    assert {file.stat().st_size for file in cache.iterdir()} == sizes


def test_other_settings_of_labels_and_images_have_an_index_of_their_own(place, cache):
    assert opened(place).classes == ("a", "b")
    assert opened(place, label="").classes == ()
    assert opened(place, image="png").classes == ("a", "b")
    assert opened(place).classes == ("a", "b")
    assert len(times(cache)) == 9


def test_what_is_left_out_is_reported_at_each_start(tmp_path, place):
    write_shard(place / "3.tar", [*samples(range(30, 34)), ("x.cls", b"a")])
    path = place / "4.tar"
    write_shard(path, samples(range(40, 44)))
    path.write_bytes(path.read_bytes()[:-2048])
    notes = opened(place).notes
    assert len(notes) == 2
    assert opened(place).notes == notes


def test_a_cache_that_can_not_be_written_is_named_and_the_images_are_used(place, cache):
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")
    data = opened(place)
    assert values(data) == [*range(30)]
    assert data.notes[0].startswith("the index of the shards can't be kept (")
    assert data.notes[0].endswith("and is made at each start")


def test_nothing_is_written_beside_the_shards(place):
    before = {path: path.stat().st_mtime_ns for path in [place, *place.iterdir()]}
    opened(place)
    assert {path: path.stat().st_mtime_ns for path in [place, *place.iterdir()]} == before


def test_more_shards_than_files_that_may_be_open(tmp_path):
    import resource

    for number in range(80):
        write_shard(tmp_path / "many" / f"{number:03}.tar", [(f"{number}.png", png(number))])
    data = opened(tmp_path / "many")
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = len([*Path("/proc/self/fd").iterdir()])
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 20, allowed[1]))
    try:
        again = opened(tmp_path / "many")
        assert values(again) == values(again) == [*range(80)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
    assert values(data) == [*range(80)]
