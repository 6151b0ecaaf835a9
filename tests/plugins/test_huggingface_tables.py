"""Parquet and Arrow files as Hugging Face writes them become splits, labels and names."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from sslcore.contract.reading import Reading
from sslcore.data.prepare import prepared
from sslcore.errors import DataError
from sslcore.recipe.opening import opener
from sslcore_huggingface._labels import labels_of
from sslcore_huggingface.dataset import huggingface

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(value):
    """A grey image of 4 px with one value, which identifies it."""
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def values(split):
    """The value of each image of a split."""
    contents = [split.images.fetch(row) for row in range(len(split))]
    return [int(np.asarray(Image.open(io.BytesIO(content)))[0, 0]) for content in contents]


def structs(numbers):
    return pa.array([{"bytes": png(each), "path": f"{each}.png"} for each in numbers], STRUCT)


def write(path, columns, features=None, **settings):
    """Write a Parquet file, with features in the schema's metadata if they are given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if features:
        described = {"huggingface": json.dumps({"info": {"features": features}})}
        table = table.replace_schema_metadata(described)
    pq.write_table(table, path, **settings)
    return path


CLASSES = {"_type": "ClassLabel", "names": ["cat", "dog"]}
FEATURES = {"image": {"_type": "Image"}, "label": CLASSES}


def written(folder, **splits):
    """Write Parquet files of splits, by the numbers of their images, as the library names them."""
    for split, numbers in splits.items():
        columns = {"image": structs(numbers), "label": [each % 2 for each in numbers]}
        write(folder / f"{split}-00000-of-00001.parquet", columns, FEATURES)
    return str(folder)


def of_library(numbers):
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=["cat", "dog"])})
    images = [{"bytes": png(each), "path": f"{each}.png"} for each in numbers]
    labels = [each % 2 for each in numbers]
    return Dataset.from_dict({"image": images, "label": labels}, features=features)


def test_splits_classes_and_names_are_those_of_the_files(tmp_path):
    data = huggingface(path=written(tmp_path, train=range(10), test=range(20, 24)))
    assert values(data.train) == list(range(10))
    assert values(data.test) == [20, 21, 22, 23]
    assert data.train.labels.tolist() == [0, 1] * 5
    assert data.classes == ("cat", "dog")
    assert data.train.name_of(3) == "3.png"
    assert data.notes == ()


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_images_are_the_same_in_every_compression_and_encoding(tmp_path, compression, dictionary):
    numbers = [1, 2, 2, 3, 1, 4, 5, 5]
    path = write(
        tmp_path / "photos.parquet",
        {"image": structs(numbers), "label": numbers},
        compression=compression,
        use_dictionary=dictionary,
        row_group_size=3,
    )
    data = huggingface(path=str(path), test_fraction=0.01, label="none")
    found = sorted(values(data.train) + values(data.test))
    assert found == sorted(numbers)


@pytest.mark.parametrize("chosen", ["many", "one"])
def test_a_folder_written_by_save_to_disk_is_read(tmp_path, chosen):
    if chosen == "many":
        parts = DatasetDict({"train": of_library(range(8)), "validation": of_library([9, 8])})
        parts.save_to_disk(tmp_path / "saved")
    else:
        # Shuffled rows are written in their order.
        of_library(range(10)).shuffle(seed=1).save_to_disk(tmp_path / "saved", num_shards=2)
    data = huggingface(path=str(tmp_path / "saved"))
    if chosen == "many":
        assert values(data.test) == [9, 8]
    assert sorted(values(data.train) + values(data.test)) == list(range(10))
    for split in (data.train, data.test):
        assert split.labels.tolist() == [value % 2 for value in values(split)]
        assert [split.name_of(row) for row in range(len(split))] == [
            f"{value}.png" for value in values(split)
        ]


def test_images_of_arrow_and_uncompressed_parquet_are_not_copied(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("SSLCORE_CACHE", str(cache))
    of_library(range(10)).save_to_disk(tmp_path / "saved")
    of_library(range(10)).to_parquet(tmp_path / "photos.parquet")
    # Equal images stand once in a dictionary.
    repeated = {"image": structs([1, 2, 2, 3, 1, 3])}
    write(tmp_path / "repeated.parquet", repeated, compression="none", use_dictionary=True)
    for path in ("saved", "photos.parquet", "repeated.parquet"):
        huggingface(path=str(tmp_path / path))
    assert len(list(cache.rglob("*.npy"))) == 3
    assert not list(cache.rglob("*.bin"))
    huggingface(path=written(tmp_path / "compressed", train=range(10)))
    assert len(list(cache.rglob("*.bin"))) == 1


def test_files_are_grouped_by_the_split_in_their_name_or_folder(tmp_path):
    for name in ("a/train/0.parquet", "a/train/1.parquet", "a/val/0.parquet", "a/README.parquet"):
        write(tmp_path / name, {"image": structs([len(name)])})
    data = huggingface(path=str(tmp_path / "a"))
    assert (len(data.train), len(data.test)) == (2, 1)
    assert "1 files whose names name no split are left out, such as README.parquet" in data.notes


def test_without_a_split_to_test_on_a_part_of_each_class_is_held_out(tmp_path):
    path = written(tmp_path, train=range(20))
    data = huggingface(path=path)
    assert sorted(values(data.train) + values(data.test)) == list(range(20))
    assert data.test.labels.bincount().tolist() == [2, 2]
    assert values(huggingface(path=path).test) == values(data.test)
    assert len(huggingface(path=path, test_fraction=0.5).test) == 10


def test_an_unlabelled_test_split_yields_to_a_labelled_validation_split(tmp_path):
    written(tmp_path, train=range(6), validation=range(10, 14))
    columns = {"image": structs([20, 21]), "label": [-1, -1]}
    write(tmp_path / "test-00000-of-00001.parquet", columns, FEATURES)
    data = huggingface(path=str(tmp_path))
    assert values(data.test) == [10, 11, 12, 13]
    chosen = huggingface(path=str(tmp_path), test="test")
    assert values(chosen.test) == [20, 21]
    assert chosen.test.labels is None
    assert "the split test has no labels in the column label" in chosen.notes


def test_splits_and_columns_are_chosen_by_settings(tmp_path):
    for split in ("supervised", "unsupervised"):
        columns = {
            "photo": structs([1, 2]),
            "other": structs([7, 8]),
            "kind": ["b", "a"],
            "label": [0, 1],
        }
        write(tmp_path / f"{split}-00000-of-00001.parquet", columns)
    data = huggingface(
        path=str(tmp_path), train="supervised", test="unsupervised", images="other", label="kind"
    )
    assert values(data.train) == [7, 8]
    assert data.classes == ("a", "b")
    assert data.train.labels.tolist() == [1, 0]
    auto = huggingface(path=str(tmp_path), train="supervised", test="unsupervised")
    assert values(auto.train) == [1, 2]
    assert "data.images is the column photo; others that fit are other" in auto.notes


def test_a_configuration_is_a_folder(tmp_path):
    written(tmp_path / "small", train=range(4))
    written(tmp_path / "large", train=range(50))
    assert len(huggingface(path=str(tmp_path), config="small").train) < 4


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        ([7, 3, 7, 5], ("3", "5", "7"), [2, 0, 2, 1]),
        (["b", "a", "b", "c"], ("a", "b", "c"), [1, 0, 1, 2]),
        ([True, False, True, True], ("False", "True"), [1, 0, 1, 1]),
        (pa.array(["b", "a", "b", "c"]).dictionary_encode(), ("a", "b", "c"), [1, 0, 1, 2]),
        ([-1, None, -1, -1], (), None),
    ],
    ids=["integers", "text", "booleans", "dictionary", "none"],
)
def test_labels_without_names_are_numbered_in_order(tmp_path, labels, classes, numbers):
    columns = {"image": structs(range(4)), "label": labels}
    path = write(tmp_path / "train.parquet", columns)
    write(tmp_path / "test.parquet", columns)
    data = huggingface(path=str(path.parent), test_fraction=0.2)
    assert data.classes == classes
    assert (None if data.train.labels is None else data.train.labels.tolist()) == numbers


def test_binary_columns_and_rows_without_an_image(tmp_path):
    contents = [png(0), None, png(2), png(3)]
    for kind, name in ((pa.binary(), "train"), (pa.large_binary(), "test")):
        folder = tmp_path / name
        write(folder / "train.parquet", {"png": pa.array(contents, kind), "label": [0, 1, 1, 0]})
        write(folder / "test.parquet", {"png": pa.array(contents, kind), "label": [0, 1, 1, 0]})
        data = huggingface(path=str(folder))
        assert values(data.train) == [0, 2, 3]
        assert data.train.labels.tolist() == [0, 1, 0]
        assert data.train.name_of(1) == "train.parquet row 2"
        assert data.notes == ("1 of 4 rows have no image and are left out",)


def test_images_named_by_their_path_alone_are_read_from_there(tmp_path):
    (tmp_path / "files").mkdir()
    for each in range(3):
        (tmp_path / "files" / f"{each}.png").write_bytes(png(each))
    rows = [{"bytes": None, "path": f"files/{each}.png"} for each in range(3)]
    rows += [{"bytes": png(3), "path": None}, None]
    path = write(tmp_path / "photos.parquet", {"image": pa.array(rows, STRUCT)})
    data = huggingface(path=str(path), test_fraction=0.2)
    assert sorted(values(data.train) + values(data.test)) == [0, 1, 2, 3]
    assert data.notes == ("1 of 5 rows have no image and are left out",)


def test_lists_of_labels_become_indicators():
    lists = [pa.chunked_array([pa.array([[0], [], [1, 0]])]), pa.chunked_array([pa.array([[1]])])]
    labels, classes = labels_of(lists, "labels", ("cat", "dog"))
    assert classes == ("cat", "dog")
    assert labels[0].dtype == torch.bool
    assert labels[0].tolist() == [[True, False], [False, False], [True, True]]
    assert labels[1].tolist() == [[False, True]]
    texts, names = labels_of([pa.chunked_array([pa.array([["x"], ["z", "x"]])])], "tags", ())
    assert names == ("x", "z")
    assert texts[0].tolist() == [[True, False], [True, True]]


BAD = {
    "no images": ({"label": [0, 1]}, {}, "no column holds encoded images.*label \\(int64\\)"),
    "no such column": (
        {"image": structs([0, 1])},
        {"images": "imag"},
        "data.images: there is no column 'imag'; nearest: image",
    ),
    "column of numbers": (
        {"image": structs([0, 1]), "size": [1, 2]},
        {"images": "size"},
        "the column size holds int64, expected encoded images",
    ),
    "label out of range": (
        {"image": structs([0, 1]), "label": [0, 2]},
        {},
        "has the label 2, and there are 2 classes",
    ),
    "label missing": (
        {"image": structs([0, 1]), "label": [0, None]},
        {},
        "1 of 2 images have no label in the column label, the first in row 1",
    ),
    "labels of floats": (
        {"image": structs([0, 1]), "score": [0.5, 1.0]},
        {"label": "score"},
        "the column score holds double, expected integers or text",
    ),
    "no such split": (
        {"image": structs([0, 1])},
        {"test": "tset"},
        "data.test: there is no split 'tset'; there are train",
    ),
    "no such config": (
        {"image": structs([0, 1])},
        {"config": "small"},
        "data.config: .* has no folder 'small'",
    ),
    "no rows": ({"image": structs([])}, {}, "the split train has no rows"),
    "one row": (
        {"image": structs([1])},
        {"test_fraction": 0.2},
        "there are 1 images; at least 2 are needed",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_table_is_one_line(tmp_path, bad):
    columns, settings, said = BAD[bad]
    features = FEATURES if bad == "label out of range" else None
    write(tmp_path / "data" / "train-00000-of-00001.parquet", columns, features)
    with pytest.raises(DataError, match=said) as refused:
        huggingface(path=str(tmp_path / "data"), **settings)
    assert len(str(refused.value).splitlines()) == 1


def test_files_of_one_data_set_must_have_the_same_columns(tmp_path):
    write(tmp_path / "train-00000-of-00002.parquet", {"image": structs([0, 1]), "label": [0, 1]})
    other = write(tmp_path / "train-00001-of-00002.parquet", {"image": structs([0, 1])})
    with pytest.raises(DataError, match=r"train-00001-of-00002.parquet has no column 'label'"):
        huggingface(path=str(tmp_path))
    write(other, {"image": structs([0, 1]), "label": ["a", "b"]})
    with pytest.raises(DataError, match=r"the column label holds string, and that of .* int64"):
        huggingface(path=str(tmp_path))


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "train.parquet"
    write(path, {"image": structs(range(9))})
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-20], "text": b"no table", "empty": b""}[damage])
    with pytest.raises(DataError, match=r"train.parquet can't be read") as refused:
        huggingface(path=str(tmp_path))
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "names no splits"), ("{", "can't be read"), ('{"splits": ["train"]}', "state.json")],
)
def test_a_damaged_folder_of_save_to_disk_is_named(tmp_path, content, said):
    (tmp_path / "dataset_dict.json").write_text("{}" if content is None else content)
    with pytest.raises(DataError, match=said):
        huggingface(path=str(tmp_path))


@pytest.mark.parametrize("path", ["", "./nothing", "/nothing/here", "a/b/c"])
def test_a_path_that_does_not_exist_is_not_looked_up_on_the_hub(path, monkeypatch):
    monkeypatch.setattr("datasets.load_dataset", lambda *_: pytest.fail("asked the hub"))
    with pytest.raises(DataError, match=r"does not exist|is empty"):
        huggingface(path=path)


def test_other_columns_may_be_of_any_type(tmp_path):
    features = Features({"image": ImageFeature(), "text": Value("string")})
    rows = {"image": [{"bytes": png(each), "path": None} for each in range(4)], "text": ["x"] * 4}
    Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "saved")
    data = huggingface(path=str(tmp_path / "saved"))
    assert data.train.labels is None
    assert data.train.name_of(0).startswith("data-00000-of-00001.arrow row ")


@pytest.mark.parametrize(
    ("name", "columns", "expected"),
    [
        ("photos.parquet", {"image": structs(range(4))}, "huggingface"),
        ("photos.parquet", {"path": ["a.png", "b.png"]}, "table"),
        ("folder/train-00000-of-00001.parquet", {"image": structs(range(4))}, "huggingface"),
    ],
)
def test_what_a_file_holds_decides_which_data_set_opens_it(
    tmp_path, registry, name, columns, expected
):
    path = write(tmp_path / name, columns)
    named = path.parent if path.parent != tmp_path else path
    entry, _ = opener(str(named), registry)
    assert entry.name == expected


def test_both_halves_of_a_table_stay_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLCORE_CACHE", str(tmp_path / "cache"))
    path = written(tmp_path / "data", train=range(8))
    prepared(huggingface(path=path, test_fraction=0.5), Reading())
    assert len(list((tmp_path / "cache" / "images").iterdir())) == 2


def test_an_image_at_its_path_is_read_again_once_it_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLCORE_CACHE", str(tmp_path / "cache"))
    images = [{"bytes": None, "path": f"{each}.png"} for each in range(4)]
    path = write(tmp_path / "data" / "train.parquet", {"image": pa.array(images, STRUCT)})
    for each in range(4):
        (path.parent / f"{each}.png").write_bytes(png(each))
    first = prepared(huggingface(path=str(path)), Reading())[0].train
    (path.parent / "2.png").write_bytes(png(200))
    again = prepared(huggingface(path=str(path)), Reading())[0].train
    assert first.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert again.images[:, 0, 0, 0].tolist() == [0, 1, 200, 3]
