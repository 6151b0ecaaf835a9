"""A table and its images may be in an object store."""

from __future__ import annotations

import io
import pickle

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

import sslcore.cli
from sslcore.errors import DataError
from sslcore_tables.table import table


@pytest.fixture
def store():
    """An object store in memory with images `0.png` to `39.png`."""
    system = MemoryFileSystem()
    for number in range(40):
        png = io.BytesIO()
        Image.new("L", (8, 8), number * 5).save(png, format="png")
        system.pipe(f"/bucket/images/{number}.png", png.getvalue())
    yield system
    system.rm("/bucket", recursive=True)


PATHS = [f"images/{number}.png" for number in range(40)]


def csv_of(paths, prefix="") -> bytes:
    rows = (f"{prefix}{path},{'ab'[row % 2]}\n" for row, path in enumerate(paths))
    return ("path,label\n" + "".join(rows)).encode()


def contents(data) -> dict[str, bytes]:
    return {
        split.name_of(row): pickle.loads(pickle.dumps(split.images)).fetch(row)
        for split in (data.train, data.test)
        for row in range(len(split))
    }


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_relative_paths_of_a_table_in_a_store_begin_beside_it(store, name, tmp_path):
    if name == "t.parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(
            pyarrow.table({"path": PATHS, "label": ["a", "b"] * 20}), tmp_path / name
        )
        store.put_file(str(tmp_path / name), f"/bucket/{name}")
    else:
        store.pipe(f"/bucket/{name}", csv_of(PATHS))
    data = table(path=f"memory://bucket/{name}")
    assert data.classes == ("a", "b")
    assert contents(data) == {path: store.cat(f"/bucket/{path}") for path in PATHS}


def test_a_table_here_may_name_images_in_a_store(store, tmp_path):
    (tmp_path / "t.csv").write_bytes(csv_of(PATHS, "memory://bucket/"))
    assert len(contents(table(path=str(tmp_path / "t.csv")))) == 40
    (tmp_path / "t.csv").write_bytes(csv_of(PATHS))
    data = table(path=str(tmp_path / "t.csv"), root="memory://bucket/")
    assert contents(data) == {path: store.cat(f"/bucket/{path}") for path in PATHS}


def test_a_table_in_a_store_may_name_images_here(store, tmp_path):
    paths = []
    for number in range(20):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.new("L", (8, 8), number).save(paths[-1])
    store.pipe("/bucket/t.csv", csv_of(paths))
    assert set(contents(table(path="memory://bucket/t.csv"))) == set(paths)
    store.pipe("/bucket/t.csv", csv_of(["/nowhere.png", *paths]))
    with pytest.raises(DataError, match=r"memory://bucket/t.csv: line 2, '/nowhere.png'"):
        table(path="memory://bucket/t.csv")


def test_the_fingerprint_of_images_in_a_store_changes_with_the_table(store):
    def fingerprint():
        return table(path="memory://bucket/t.csv").train.images.fingerprint

    store.pipe("/bucket/t.csv", csv_of(PATHS))
    first = fingerprint()
    assert fingerprint() == first
    store.pipe("/bucket/t.csv", csv_of(PATHS) + b"\n")
    assert fingerprint() != first


def test_a_missing_table_and_a_missing_image_are_named(store):
    with pytest.raises(DataError, match=r"^memory://bucket/none.csv does not exist$"):
        table(path="memory://bucket/none.csv")
    store.pipe("/bucket/t.csv", csv_of(["images/0.png", "images/none.png", "images/none2.png"]))
    split = table(path="memory://bucket/t.csv", split="", label="").train
    row = next(row for row in range(2) if "none" in split.name_of(row))
    with pytest.raises(DataError, match=r"^memory://bucket/images/none2?.png does not exist$"):
        split.images.fetch(row)


def test_an_address_that_can_not_be_opened_is_named_once():
    with pytest.raises(DataError, match=r"^foo://x/a\.csv can't be read: Protocol not known: foo$"):
        table(path="foo://x/a.csv")


def test_a_run_from_an_address(store, tmp_path, capsys):
    store.pipe("/bucket/t.csv", csv_of(PATHS))
    arguments = ["--method", "simclr", "--data", "memory://bucket/t.csv", "--batch-size", "8"]
    arguments += ["--epochs", "1", "--no-evaluate", "--output", str(tmp_path / "run")]
    assert sslcore.cli.run(["train", *arguments], debug=False) == 0, capsys.readouterr().err
