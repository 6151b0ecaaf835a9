"""Encoded images are read from where their bytes lie, and problems are one line each."""

from __future__ import annotations

import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

import sslcore
from sslcore.errors import DataError, SourceError
from sslcore_huggingface._files import hub_files
from sslcore_huggingface.dataset import huggingface

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
#: Contents that begin alike, as the headers of JPEG files do; some are of the same length.
CONTENTS = [b"head" * 20 + np.random.default_rng(row).bytes(500 + row // 3) for row in range(60)]


def table(path, rows=range(60), **settings):
    contents = [{"bytes": CONTENTS[row], "path": f"{row}.jpg"} for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": pa.array(contents, STRUCT)}), path, **settings)
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "huggingface"


def contents_of(split):
    return [split.images.fetch(row) for row in range(len(split))]


KINDS = {
    "in place": {"compression": "none"},
    "copied": {"compression": "snappy"},
    "in groups": {"compression": "snappy"},
}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def split(kind, tmp_path, cache):
    """A split of 60 images in groups of 7 rows, none of them held out."""
    table(tmp_path / "data" / "train.parquet", row_group_size=7, **KINDS[kind])
    table(tmp_path / "data" / "test.parquet", range(2), **KINDS[kind])
    limit = 0.0 if kind == "in groups" else 1.0
    return huggingface(path=str(tmp_path / "data"), copy_limit=limit).train


def test_threads_read_any_order_of_rows_at_once(split):
    order = np.random.default_rng(0).permutation(60).tolist()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(split.images.fetch, order)) == [CONTENTS[row] for row in order]


def test_a_reading_process_gets_what_reads_them(split):
    again = pickle.loads(pickle.dumps(split.images))
    assert again.fetch(59) == CONTENTS[59]
    assert again.fingerprint == split.images.fingerprint


def test_the_fingerprint_changes_with_the_content_and_the_rows(split, tmp_path, kind):
    limit = 0.0 if kind == "in groups" else 1.0
    path = tmp_path / "data" / "train.parquet"

    def fingerprint():
        return huggingface(path=str(path.parent), copy_limit=limit).train.images.fingerprint

    assert fingerprint() == split.images.fingerprint
    turned = split.subset(torch.arange(60).flip(0))
    assert turned.images.fingerprint != split.images.fingerprint
    assert turned.images.fetch(0) == CONTENTS[59]
    table(path, range(1, 60), row_group_size=7, **KINDS[kind])
    os.utime(path, ns=(1, 1))
    assert fingerprint() != split.images.fingerprint


def test_a_limit_on_copies_is_kept_and_noted(tmp_path, cache):
    path = str(table(tmp_path / "train.parquet", compression="snappy"))
    data = huggingface(path=path, copy_limit=1e-6, test_fraction=0.2)
    assert "can't be copied (they need over" in data.notes[0]
    assert not list(cache.glob("*.bin"))
    assert sorted(contents_of(data.train) + contents_of(data.test)) == sorted(CONTENTS)


def test_files_that_were_prepared_before_a_stop_are_not_prepared_again(
    tmp_path, cache, monkeypatch
):
    for number in range(3):
        rows = range(20 * number, 20 * (number + 1))
        path = tmp_path / f"train-{number:05}-of-00003.parquet"
        table(path, rows, compression="snappy")
    from sslcore_huggingface import _places

    copied, whole = [], _places.groups

    def stopped_at_the_third(column):
        if len(copied) == 2:
            raise KeyboardInterrupt
        copied.append(column.table.name)
        return whole(column)

    monkeypatch.setattr(_places, "groups", stopped_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        huggingface(path=str(tmp_path))
    before = {file: file.stat().st_mtime_ns for file in cache.glob("*.bin")}
    assert len(before) == 2
    monkeypatch.setattr(_places, "groups", whole)
    data = huggingface(path=str(tmp_path), test_fraction=0.2)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert sorted(contents_of(data.train) + contents_of(data.test)) == sorted(CONTENTS)


@pytest.mark.parametrize("compression", ["none", "snappy"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_cache_is_made_again(tmp_path, cache, compression, damage):
    path = str(table(tmp_path / "train.parquet", compression=compression))
    huggingface(path=path)
    for file in (*cache.glob("*.npy"), *cache.glob("*.bin")):
        if damage == "gone":
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[:-9])
    data = huggingface(path=path, test_fraction=0.2)
    assert sorted(contents_of(data.train) + contents_of(data.test)) == sorted(CONTENTS)


def test_what_was_kept_of_a_file_goes_when_the_file_changes(tmp_path, cache):
    path = table(tmp_path / "train.parquet", compression="snappy")
    huggingface(path=str(path))
    table(path, range(30), compression="snappy")
    data = huggingface(path=str(path), test_fraction=0.2)
    assert len(data.train) + len(data.test) == 30
    assert len(list(cache.glob("*.bin"))) == 1


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_without_a_place_for_the_cache_images_are_read_all_the_same(
    tmp_path, monkeypatch, compression
):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("SSLCORE_CACHE", str(tmp_path / "cache"))
    data = huggingface(
        path=str(table(tmp_path / "train.parquet", compression=compression)), test_fraction=0.2
    )
    assert sorted(contents_of(data.train) + contents_of(data.test)) == sorted(CONTENTS)
    assert (len(data.notes) == 1) == (compression == "snappy")


def test_a_file_that_shrinks_or_vanishes_is_named(tmp_path, cache):
    path = table(tmp_path / "data" / "train.parquet", compression="none")
    table(tmp_path / "data" / "test.parquet", range(2))
    data = huggingface(path=str(path.parent), test_fraction=0.2)
    fresh = pickle.loads(pickle.dumps(data.train.images))
    assert data.train.images.fetch(0) == CONTENTS[0]
    os.truncate(path, 600)
    with pytest.raises(
        SourceError, match=r"train.parquet ends before byte .* changed or truncated"
    ):
        data.train.images.fetch(50)
    path.unlink()
    with pytest.raises(SourceError, match=r"train.parquet can't be read: No such file"):
        fresh.fetch(0)


def test_a_data_set_that_the_library_loads_is_read_from_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    table(tmp_path / "data" / "train-00000-of-00001.parquet")
    table(tmp_path / "data" / "test-00000-of-00001.parquet", range(5))
    files = hub_files(str(tmp_path / "data"), "")
    assert sorted(files) == ["test", "train"]
    assert {path.suffix for paths in files.values() for path in paths} == {".arrow"}
    assert contents_of(huggingface(path=str(files["test"][0]), test_fraction=0.01).train)


def test_without_the_hub_a_name_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"the hub has no data set.* 'made-up/name'") as refused:
        huggingface(path="made-up/name")
    assert len(str(refused.value).splitlines()) == 1


def test_without_the_library_a_name_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'sslcore\[huggingface\]'"):
        huggingface(path="made-up/name")


def test_a_run_from_parquet_ends_as_a_run_from_a_folder(tmp_path, photos, registry, tiny):
    root = photos({"train/cat": 20, "train/dog": 20, "test/cat": 4, "test/dog": 4}, size=16)
    for split in ("train", "test"):
        files = sorted((root / split).rglob("*.png"))
        rows = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
        columns = {"image": pa.array(rows, STRUCT), "label": [file.parent.name for file in files]}
        pq.write_table(pa.table(columns), tmp_path / f"{split}.parquet", row_group_size=7)
    ends = []
    for data, settings in (
        (str(root), {}),
        ("huggingface", {"data": {"path": str(tmp_path)}}),
    ):
        run = sslcore.train(
            "infonce",
            data=data,
            encoder="small-cnn",
            settings={**tiny, **settings},
            output=tmp_path / f"run{len(ends)}",
            registry=registry,
        )
        ends.append(load_file(run.path / "encoder.safetensors"))
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
