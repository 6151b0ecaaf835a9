"""Tar shards become splits with labels, and images are read out of them one by one."""

from __future__ import annotations

import io
import json
import multiprocessing
import pickle
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shard_files import png, samples, value_of, write_shard

import sslcore
from sslcore.contract.reading import Reading
from sslcore.data.prepare import prepared
from sslcore_torchvision.folder import folder
from sslcore_webdataset.shards import shards


def opened(path: Path | str, **settings):
    return shards(path=str(path), **settings)


def values(split) -> list[int]:
    """Return the values of the images of a split; none if nothing is held out."""
    rows = [] if split is None else range(len(split))
    return [value_of(split.images.fetch(row)) for row in rows]


def names(split) -> list[str]:
    return [] if split is None else [split.name_of(row) for row in range(len(split))]


def test_the_files_of_a_sample_share_the_name_up_to_the_first_dot(tmp_path):
    files = [
        ("a/0001.cls", b"cat\n"),
        ("a/0001.png", png(1)),
        ("a/0001.caption.txt", b"a cat"),
        ("b.c/0001.json", b"{}"),
        ("b.c/0001.PNG", png(2)),
        ("b.c/0001.cls", b"dog"),
        ("./0003.png", png(3)),
        ("./0003.cls", b" cat "),
        ("0004.cls", b"dog"),
        ("0005.png", png(5)),
        ("0004.png", png(4)),
        ("0005.cls", b"cat"),
    ]
    data = opened(write_shard(tmp_path / "x.tar", files))
    assert data.classes == ("cat", "dog")
    found = {}
    for split in (data.train, data.test):
        labelled = zip(values(split), split.labels.tolist(), strict=True)
        found |= dict(zip(names(split), labelled, strict=True))
    assert found == {
        "x.tar/a/0001.png": (1, 0),
        "x.tar/b.c/0001.PNG": (2, 1),
        "x.tar/0003.png": (3, 0),
        "x.tar/0004.png": (4, 1),
        "x.tar/0005.png": (5, 0),
    }
    assert data.notes == ()


def test_samples_are_in_the_order_of_the_shards_and_of_each_archive(tmp_path):
    write_shard(tmp_path / "train-1.tar", samples([3, 1, 2]))
    write_shard(tmp_path / "train-0.tar", samples([9, 8]))
    write_shard(tmp_path / "test-0.tar", samples([5, 4]))
    data = opened(tmp_path)
    assert values(data.train) == [9, 8, 3, 1, 2]
    assert values(data.test) == [5, 4]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train-0.tar", "test-0.tar"),
        ("train-0.tar", "val-0.tar"),
        ("imagenet-train-000.tar", "imagenet-validation-000.tar"),
        ("train/0.tar", "test/0.tar"),
        ("train/0.tar", "val/0.tar"),
        ("Train_0.tar", "Valid_0.tar"),
    ],
)
def test_names_of_files_and_folders_are_the_splits(tmp_path, train, test):
    write_shard(tmp_path / "train" / train, samples(range(6)))
    write_shard(tmp_path / "train" / test, samples(range(6, 9)))
    # The folder that all shards are in names no split.
    data = opened(tmp_path / "train")
    assert values(data.train) == list(range(6))
    assert values(data.test) == [6, 7, 8]


def test_val_is_left_out_beside_test_and_so_is_a_shard_without_a_split(tmp_path):
    for start, name in enumerate(("train", "test", "val", "more")):
        write_shard(tmp_path / f"{name}.tar", samples(range(4 * start, 4 * start + 4)))
    data = opened(tmp_path)
    assert values(data.test) == [4, 5, 6, 7]
    assert data.notes == (
        "1 shards whose names name no split are left out; the first is more.tar",
        "only train and test are used; 4 samples of val are left out",
    )


def test_a_test_split_without_labels_gives_way_to_one_with_labels(tmp_path):
    write_shard(tmp_path / "train.tar", samples(range(4)))
    write_shard(tmp_path / "test.tar", samples(range(4, 8), labels=None))
    write_shard(tmp_path / "val.tar", samples(range(8, 12)))
    assert values(opened(tmp_path).test) == [8, 9, 10, 11]


def test_without_splits_the_same_images_are_held_out_as_of_a_folder(tmp_path):
    files = []
    for value in range(40):
        name = f"{'ab'[value % 2]}/{value}"
        path = tmp_path / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(value))
        files += [(f"{name}.png", png(value)), (f"{name}.cls", name[:1].encode())]
    files.sort()
    write_shard(tmp_path / "0.tar", files[:40])
    write_shard(tmp_path / "1.tar", files[40:])
    for fraction in (0.2, 0.5):
        ours = opened(tmp_path / "*.tar", test_fraction=fraction)
        theirs = folder(path=str(tmp_path / "images"), test_fraction=fraction)
        for name in ("train", "test"):
            own, other = getattr(ours, name), getattr(theirs, name)
            assert values(own) == values(other)
            assert own.labels.tolist() == other.labels.tolist()
            assert [each.partition("/")[2] for each in names(own)] == names(other)


def test_numbers_are_sorted_by_value_and_minus_one_is_no_label(tmp_path):
    files = []
    for value, label in enumerate(("10", "9", "-1", "10", "9", "-1")):
        files += [(f"{value}.png", png(value)), (f"{value}.cls", label.encode())]
    data = opened(write_shard(tmp_path / "x.tar", files))
    assert data.classes == ("9", "10")
    labels = {}
    for split in (data.train, data.test):
        labels |= dict(zip(values(split), split.labels.tolist(), strict=True))
    assert labels == {0: 1, 1: 0, 2: -1, 3: 1, 4: 0, 5: -1}


def test_samples_without_a_label_are_trained_on(tmp_path):
    files = samples(range(20)) + samples(range(20, 50), labels=None)
    data = opened(write_shard(tmp_path / "x.tar", files))
    known = data.train.labels >= 0
    assert {*range(20, 50)} == {
        value for value, has in zip(values(data.train), known, strict=True) if not has
    }
    assert {*values(data.test)} < {*range(20)}
    assert data.notes == ("16 of 46 train samples have a label",)


def test_test_samples_without_a_label_are_kept_and_counted(tmp_path):
    write_shard(tmp_path / "train.tar", samples(range(6)))
    write_shard(tmp_path / "test.tar", samples(range(6, 10)) + samples(range(10, 12), None))
    data = opened(tmp_path)
    assert data.test.labels.tolist() == [0, 1, 0, 1, -1, -1]
    assert data.notes == ("4 of 6 test samples have a label",)


@pytest.mark.parametrize("labels", ["ab", None])
def test_a_fraction_of_0_holds_nothing_out(tmp_path, labels):
    path = write_shard(tmp_path / "x.tar", samples(range(10), labels))
    data = opened(path, test_fraction=0)
    assert values(data.train) == [*range(10)]
    assert data.test is None
    assert (data.train.labels is None) == (labels is None)


def test_without_labels_a_part_is_held_out_if_asked_for(tmp_path):
    path = write_shard(tmp_path / "x.tar", samples(range(10), None))
    data = opened(path)
    assert data.test is None
    assert data.notes[-1].startswith("the images have no labels, so none is held out for testing")
    data = opened(path, test_fraction=0.2)
    assert len(data.test) == 2
    assert sorted(values(data.train) + values(data.test)) == [*range(10)]


@pytest.mark.parametrize("labels", ["ab", None])
def test_a_fraction_of_0_joins_test_images_without_labels(tmp_path, labels):
    write_shard(tmp_path / "train.tar", samples(range(6), labels))
    write_shard(tmp_path / "test.tar", samples(range(6, 10), labels))
    data = opened(tmp_path, test_fraction=0)
    assert values(data.train) == [*range(6 if labels else 10)]
    assert values(data.test) == ([6, 7, 8, 9] if labels else [])


def test_a_label_may_be_a_key_of_json(tmp_path):
    files = []
    for value in range(6):
        described = {"class": ["cat", "dog", 3.0][value % 3], "other": None}
        files += [(f"{value}.png", png(value)), (f"{value}.json", json.dumps(described).encode())]
    path = write_shard(tmp_path / "x.tar", files)
    assert opened(path, label="class").classes == ("3", "cat", "dog")
    data = opened(path)
    assert data.classes == ()
    assert data.train.labels is None
    assert data.notes[:-1] == (
        "no sample has a .cls, so the images are used without labels; --set data.label=KEY takes "
        "a key of the .json files: class, other",
    )


def test_an_empty_label_takes_no_labels(tmp_path):
    data = opened(write_shard(tmp_path / "x.tar", samples(range(6))), label="")
    assert data.train.labels is None
    assert data.classes == ()


def test_the_ending_of_images_can_be_chosen(tmp_path):
    files = []
    for value in range(4):
        files += [(f"{value}.png", png(value)), (f"{value}.seg.png", png(100 + value))]
    path = write_shard(tmp_path / "x.tar", files)
    for image, start in (("png", 0), ("seg.png", 100), (".png", 0)):
        data = opened(path, image=image)
        assert sorted(values(data.train) + values(data.test)) == [*range(start, start + 4)]


def test_an_array_is_an_image_where_there_is_no_other(tmp_path):
    array = io.BytesIO()
    np.save(array, np.zeros((2, 2), dtype=np.uint8))
    files = [(f"{value}.npy", array.getvalue()) for value in range(3)]
    files += [("3.npy", array.getvalue()), ("3.png", png(3)), ("4.png", png(4)), ("4.npy", b"")]
    data = opened(write_shard(tmp_path / "x.tar", files))
    found = sorted(names(data.train) + names(data.test))
    assert found == [f"x.tar/{name}" for name in ("0.npy", "1.npy", "2.npy", "3.png", "4.png")]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("long", [0, 120])
def test_each_format_of_tar_and_long_names_are_read(tmp_path, format, long):
    above = "d" * long + "/ö" if long else ""
    files = [(above + name, content) for name, content in samples(range(10))]
    path = write_shard(tmp_path / "x.tar", files, format)
    data = opened(path)
    assert sorted(values(data.train) + values(data.test)) == [*range(10)]
    assert names(data.train)[0].startswith(f"x.tar/{above}00")


def test_sizes_in_binary_are_read(tmp_path):
    path = write_shard(tmp_path / "x.tar", samples(range(4), None))
    raw = bytearray(path.read_bytes())
    place = raw.index(b"0002.png\0")
    raw[place + 124 : place + 136] = b"\x80" + len(png(2)).to_bytes(11, "big")
    raw[place + 148 : place + 156] = b" " * 8
    raw[place + 148 : place + 156] = b"%06o\0 " % sum(raw[place : place + 512])
    path.write_bytes(raw)
    data = opened(path)
    assert sorted(values(data.train) + values(data.test)) == [*range(4)]


def test_sizes_in_extended_headers_are_read(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as shard:
        for value in range(4):
            member = tarfile.TarInfo(f"{value}.png")
            member.size, content = len(png(value)), png(value)
            member.pax_headers = {"size": str(len(content)), "comment": "größe"}
            shard.addfile(member, io.BytesIO(content))
    raw = bytearray(path.read_bytes())
    # The extended header counts where both state a size.
    for name, size in ((b"2.png\0", b"0" * 11 + b"\0"), (b"3.png\0", b"\x80" + bytes(11))):
        place = raw.rindex(name)
        raw[place + 124 : place + 136] = size
        raw[place + 148 : place + 156] = b" " * 8
        raw[place + 148 : place + 156] = b"%06o\0 " % sum(raw[place : place + 512])
    path.write_bytes(raw)
    data = opened(path)
    assert sorted(values(data.train) + values(data.test)) == [*range(4)]


def test_hidden_files_folders_and_files_without_an_ending_are_skipped(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as shard:
        folder = tarfile.TarInfo("a")
        folder.type = tarfile.DIRTYPE
        shard.addfile(folder)
        extra = [("a/._0001.png", b"mac"), ("a/.hidden.png", b"x"), ("a/README", b"x")]
        for name, content in [*extra, *((f"a/{n}", c) for n, c in samples(range(4)))]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    data = opened(path)
    assert sorted(values(data.train) + values(data.test)) == [0, 1, 2, 3]
    assert data.notes == ()


def test_archives_joined_one_behind_the_other_are_read_to_the_end(tmp_path):
    one = write_shard(tmp_path / "one", samples(range(3))).read_bytes()
    two = write_shard(tmp_path / "two", samples(range(3, 6))).read_bytes()
    (tmp_path / "x.tar").write_bytes(one + two)
    data = opened(tmp_path / "x.tar")
    assert sorted(values(data.train) + values(data.test)) == [*range(6)]


def test_large_images_are_skipped_over_and_small_ones_are_not(tmp_path):
    large = [(f"{value}.png", png(value) + bytes(300_000)) for value in range(9)]
    files = [
        file for pair in zip(large, samples(range(20, 29), None), strict=True) for file in pair
    ]
    data = opened(write_shard(tmp_path / "x.tar", files))
    for split in (data.train, data.test):
        assert [int(name[6:-4]) for name in names(split)] == values(split)


@pytest.mark.parametrize(
    "pattern",
    [
        "{a,b}-{00..02}.tar",
        "{a-00,a-01,a-02,b-0{0..2}}.tar",
        "[ab]-0?.tar",
        "*.tar",
        "",
    ],
)
def test_braces_and_stars_name_several_shards(tmp_path, pattern):
    for number in range(6):
        name = f"{'ab'[number // 3]}-{number % 3:02}.tar"
        write_shard(tmp_path / name, samples(range(4 * number, 4 * number + 4)))
    data = opened(tmp_path / pattern)
    assert sorted(values(data.train) + values(data.test)) == [*range(24)]
    assert values(data.train) == sorted(values(data.train))


def test_a_name_with_braces_is_a_name_where_there_is_such_a_file(tmp_path):
    path = write_shard(tmp_path / "{0..3}.tar", samples(range(4)))
    assert len(opened(path).train) == 2


def test_a_pickled_split_and_threads_read_the_same(tmp_path):
    path = write_shard(tmp_path / "x.tar", samples(range(60)))
    split = opened(path).train
    expected = values(split)
    again = pickle.loads(pickle.dumps(split))
    assert values(again) == expected
    assert again.images.fingerprint == split.images.fingerprint
    fresh = pickle.loads(pickle.dumps(split)).images
    with ThreadPoolExecutor(8) as pool:
        read = pool.map(lambda row: value_of(fresh.fetch(row)), [*range(len(split))] * 5)
        assert list(read) == expected * 5


def _send(images, connection) -> None:
    connection.send([value_of(images.fetch(row)) for row in range(len(images))])


def test_a_forked_process_reads_beside_its_parent(tmp_path):
    images = opened(write_shard(tmp_path / "x.tar", samples(range(60)))).train.images
    expected = [value_of(images.fetch(row)) for row in range(len(images))]
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_send, args=(images, there))
    child.start()
    assert [value_of(images.fetch(row)) for row in range(len(images))] == expected
    assert here.recv() == expected
    child.join()


def test_the_fingerprint_changes_with_the_shards_and_with_the_rows(tmp_path):
    path = write_shard(tmp_path / "x.tar", samples(range(10)))
    first = opened(path)
    assert opened(path).train.images.fingerprint == first.train.images.fingerprint
    assert first.train.images.fingerprint != first.test.images.fingerprint
    other = opened(path, test_fraction=0.5).train.images.fingerprint
    assert other != first.train.images.fingerprint
    write_shard(path, samples(range(1, 11)))
    assert opened(path).train.images.fingerprint != first.train.images.fingerprint


def test_a_run_on_shards_and_on_a_folder_of_the_same_images_has_the_same_weights(tmp_path):
    generator = np.random.default_rng(0)
    files = []
    for value in range(24):
        path = tmp_path / "images" / "ab"[value % 2] / f"{value:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
        key = f"{path.parent.name}/{path.stem}"
        files += [(f"{key}.png", path.read_bytes()), (f"{key}.cls", path.parent.name.encode())]
    write_shard(tmp_path / "x.tar", sorted(files))
    weights = []
    for data in (tmp_path / "images", tmp_path / "x.tar"):
        run = sslcore.train(
            "simclr",
            data=str(data),
            encoder="small-cnn",
            settings={"training": {"epochs": 2, "batch_size": 8}},
            output=tmp_path / f"run{len(weights)}",
            evaluate=False,
        )
        weights.append(sslcore.load_encoder(run.path).state_dict())
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_all_images_of_shards_are_prepared_for_training(tmp_path):
    path = write_shard(tmp_path / "x.tar", samples(range(10)))
    data, _ = prepared(opened(path), Reading(cache="none"))
    rows = torch.arange(len(data.train))
    assert data.train.read(rows)[:, 0, 0, 0].tolist() == values(opened(path).train)
