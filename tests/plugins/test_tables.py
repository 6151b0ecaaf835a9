"""A table of images becomes splits with labels, whatever kind of file it is."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sslcore_tables.table import table
from sslcore_torchvision.folder import folder

ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")


def save(path: Path, value: int = 0) -> None:
    """Write a grey image of 4 px with one value, which identifies it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), value, dtype=np.uint8)).save(path)


def write(path: Path, columns: dict[str, list[object]]) -> Path:
    """Write a table in the kind of file that the name ends with."""
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table(columns), path)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(
                file, list(columns), delimiter="\t" if path.suffix == ".tsv" else ","
            )
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.fixture
def images(tmp_path):
    """Write images `0.png`, `1.png`, … and return their names."""

    def make(count: int, under: str = "") -> list[str]:
        names = [f"{under}{number}.png" for number in range(count)]
        for number, name in enumerate(names):
            save(tmp_path / name, number)
        return names

    return make


def names(split) -> list[str]:
    return [split.name_of(row) for row in range(len(split))]


def label_of(data, split) -> dict[str, str]:
    """Return the class of each image by name."""
    return {
        name: data.classes[label]
        for name, label in zip(names(split), split.labels.tolist(), strict=True)
    }


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_kind_of_file_gives_the_same_images_and_labels(images, tmp_path, ending):
    paths = images(10)
    columns = {"path": paths, "label": ["cat", "dog"] * 5, "split": ["train"] * 6 + ["val"] * 4}
    data = table(path=str(write(tmp_path / f"t{ending}", columns)))
    assert (names(data.train), names(data.test)) == (paths[:6], paths[6:])
    assert data.classes == ("cat", "dog")
    assert data.train.labels.tolist() == [0, 1] * 3
    assert data.test.labels.dtype == torch.int64
    assert data.notes == ()


def test_images_are_the_content_of_their_files(images, tmp_path):
    paths = images(4, "below/")
    data = table(path=str(write(tmp_path / "t.csv", {"file": paths, "class": [*"abab"]})))
    for split in (data.train, data.test):
        for row, name in enumerate(names(split)):
            assert split.images.fetch(row) == (tmp_path / name).read_bytes()
            assert pickle.loads(pickle.dumps(split.images)).fetch(row) == split.images.fetch(row)


def test_a_table_holds_out_the_same_images_as_the_folder_does(tmp_path):
    for number in range(40):
        save(tmp_path / "all" / "ab"[number % 2] / f"{number}.png", number)
    expected = folder(path=str(tmp_path / "all"))
    paths = [path for split in (expected.train, expected.test) for path in names(split)]
    for prefix, below in (("all/", ""), ("", "all"), (f"{tmp_path}/all/", "")):
        columns = {"path": [prefix + path for path in paths], "label": [path[0] for path in paths]}
        data = table(path=str(write(tmp_path / below / "t.csv", columns)))
        for name in ("train", "test"):
            of_table, of_folder = getattr(data, name), getattr(expected, name)
            assert names(of_table) == [prefix + path for path in names(of_folder)]
            assert of_table.labels.tolist() == of_folder.labels.tolist()


def test_what_is_held_out_does_not_depend_on_the_order_of_rows(images, tmp_path):
    paths = images(30)
    for order in (paths, paths[::-1]):
        data = table(path=str(write(tmp_path / "t.csv", {"path": order})), test_fraction=0.3)
        assert len(data.test) == 9
        held_out = set(names(data.test))
        assert held_out == set(names(table(path=str(tmp_path / "t.csv"), test_fraction=0.3).test))
        assert names(data.train) == [path for path in order if path not in held_out]


def test_a_part_of_each_class_is_held_out(images, tmp_path):
    columns = {"path": images(36), "label": ["often"] * 30 + ["rare"] * 6}
    data = table(path=str(write(tmp_path / "t.csv", columns)), test_fraction=0.5)
    assert data.test.labels.bincount().tolist() == [15, 3]


@pytest.mark.parametrize("ending", ENDINGS)
def test_rows_without_a_label_are_trained_on_and_the_others_are_the_probe(images, tmp_path, ending):
    paths = images(40)
    given = [None if number >= 20 else "ab"[number % 2] for number in range(40)]
    data = table(path=str(write(tmp_path / f"t{ending}", {"path": paths, "label": given})))
    assert data.train.labels is None
    assert data.labelled
    assert len(data.test) == 4
    assert sorted(names(data.train) + names(data.test)) == sorted(paths)
    assert set(paths[20:]) <= set(names(data.train))
    assert data.probe is not None
    assert sorted(names(data.probe) + names(data.test)) == sorted(paths[:20])
    for split in (data.probe, data.test):
        assert label_of(data, split) == {
            name: "ab"[int(name.removesuffix(".png")) % 2] for name in names(split)
        }
    assert data.notes == ("36 images are trained on, of which 16 have a label",)


def test_test_rows_without_a_label_are_left_out_and_counted(images, tmp_path):
    columns = {
        "path": images(8),
        "label": ["a", "b", "a", "b", "a", "b", "", ""],
        "split": ["train"] * 4 + ["test"] * 4,
    }
    data = table(path=str(write(tmp_path / "t.csv", columns)))
    assert names(data.test) == ["4.png", "5.png"]
    assert data.probe is None
    assert data.notes == ("2 test rows without a label are left out",)


def test_columns_are_found_by_name_and_settable(images, tmp_path):
    paths = images(6)
    columns = {
        "id": ["x"] * 6,
        "Image": paths,
        "species": [*"abacab"],
        "Subset": ["Train"] * 4 + ["TEST", "val"],
    }
    written = str(write(tmp_path / "t.csv", columns))
    data = table(path=written)
    assert (data.train.labels, data.classes) == (None, ())
    assert data.notes == (
        "no column is called label, class, category or target, so the images are used without "
        "labels; --set data.label=COLUMN names one of id, Image, species, Subset",
        "only train and test are used; 1 rows of val are left out",
    )
    data = table(path=written, images="Image", label="species", split="Subset")
    assert label_of(data, data.train) == dict(zip(paths[:4], "abac", strict=True))
    data = table(path=written, label="", split="", test_fraction=0.5)
    assert (len(data.train), len(data.test), data.notes) == (3, 3, ())


def test_relative_paths_begin_in_the_folder_of_the_table_or_in_the_root(images, tmp_path):
    images(4, "photos/")
    bare = [f"{number}.png" for number in range(4)]
    (tmp_path / "lists").mkdir()
    written = str(write(tmp_path / "lists" / "t.csv", {"path": bare}))
    data = table(path=written, root=str(tmp_path / "photos"))
    assert data.train.images.fetch(0) == (tmp_path / "photos" / names(data.train)[0]).read_bytes()


def test_whole_numbers_are_classes_in_their_order_however_they_are_written(images, tmp_path):
    paths = images(6)
    for given in ([10, 9, 2, 10, 9, 2], [10.0, 9.0, 2.0, 10.0, 9.0, 2.0]):
        for ending in (".jsonl", ".parquet"):
            columns = {"path": paths, "label": given, "split": ["train"] * 3 + ["test"] * 3}
            data = table(path=str(write(tmp_path / f"t{ending}", columns)))
            assert data.classes == ("2", "9", "10")
            assert data.train.labels.tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["", "", "", ""], "no row has a label"),
        (["a", "", "", ""], "only one row has a label"),
        (["a", "a", "a", ""], "all labels are 'a'"),
        (["a", "b", "c", "d"], "no two rows have the same label"),
    ],
)
def test_labels_that_tell_nothing_apart_are_left_out_and_that_is_said(images, tmp_path, given, why):
    data = table(path=str(write(tmp_path / "t.csv", {"path": images(4), "label": given})))
    assert not data.labelled
    assert (len(data.train), data.test) == (4, None)
    assert data.notes == (f"{why} in the column label, so the images are used without labels",)


def test_labels_of_one_split_alone_are_left_out_and_that_is_said(images, tmp_path):
    splits = ["train"] * 4 + ["test"] * 2 + ["val"]
    columns = {"path": images(7), "label": [*"abab", "", "", ""], "split": splits}
    data = table(path=str(write(tmp_path / "t.csv", columns)))
    assert (data.labelled, len(data.test)) == (False, 2)
    assert data.notes == (
        "only train and test are used; 1 rows of val are left out",
        "no test row has a label, so the images are used without labels",
    )


def test_the_fingerprint_changes_with_the_files_and_their_list(images, tmp_path):
    paths = images(10)

    def fingerprint(rows):
        return table(path=str(write(tmp_path / "t.csv", {"path": rows}))).train.images.fingerprint

    first = fingerprint(paths)
    assert fingerprint(paths) == first
    assert fingerprint(paths[::-1]) != first
    for path in paths:
        save(tmp_path / path, 200)
    (tmp_path / paths[0]).write_bytes(b"longer than it was before" * 9)
    assert fingerprint(paths) != first
