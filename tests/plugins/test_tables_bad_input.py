"""A table that can't be used is refused in one line, which names the place and what to do."""

from __future__ import annotations

import sys

import pytest
from PIL import Image

import sslcore.cli
from sslcore.errors import DataError
from sslcore_tables.table import table


@pytest.fixture
def refused(tmp_path):
    """Write a table beside images `a.png` to `d.png`; return what is said of it."""
    for name in "abcd":
        Image.new("L", (4, 4)).save(tmp_path / f"{name}.png")

    def of(content: str | bytes | None, name: str = "t.csv", **settings) -> str:
        if content is not None:
            data = content if isinstance(content, bytes) else content.encode()
            (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError) as caught:
            table(path=str(tmp_path / name), **settings)
        said = str(caught.value)
        assert "\n" not in said
        return said.replace(str(tmp_path), "HERE")

    return of


def test_a_missing_table_a_folder_and_another_file(refused, tmp_path):
    expected = "expected a table: a .csv, .tsv, .jsonl, .parquet file"
    assert refused(None) == f"HERE/t.csv does not exist; {expected}"
    (tmp_path / "folder.csv").mkdir()
    assert refused(None, "folder.csv") == f"HERE/folder.csv is a folder; {expected}"
    assert "HERE/t.txt is no table; expected a .csv" in refused("path\na.png\n", "t.txt")


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
def test_an_empty_file_and_one_row(refused, name):
    assert refused("", name) in (
        f"HERE/{name} is empty; expected a line with the names of the columns",
        f"HERE/{name} has no rows; expected a row for each image",
    )
    one = '{"path": "a.png"}' if name == "t.jsonl" else "path\na.png\n"
    assert "has 1 row; at least 2 are needed, one of them to test on" in refused(one, name)


def test_a_header_alone(refused):
    assert refused("path,label\n") == "HERE/t.csv has no rows; expected a row for each image"


def test_no_column_with_images(refused):
    assert refused("name,label\na.png,x\nb.png,y\n") == (
        "HERE/t.csv: no column is called path, file, filename, image or alike; --set "
        "data.images=COLUMN names the one with the paths of the images, of name, label"
    )


@pytest.mark.parametrize("setting", ["images", "label", "split"])
def test_a_missing_column_with_the_nearest(refused, setting):
    assert refused("path,kind\na.png,x\nb.png,y\n", **{setting: "kin"}) == (
        f"data.{setting}: HERE/t.csv has no column 'kin'; nearest: kind; its columns are path, kind"
    )


def test_two_columns_of_one_name_only_if_they_are_used(refused, tmp_path):
    said = refused("path,label,x,x,label\na.png,1,2,3,4\nb.png,1,2,3,4\n")
    assert said == "HERE/t.csv has 2 columns called 'label'; give each a name of its own"
    assert len(table(path=str(tmp_path / "t.csv"), label="", test_fraction=0.2).train) == 1


def test_a_path_that_names_no_file(refused):
    where = "relative paths begin in the folder of the table, or in --set data.root=FOLDER"
    assert refused("path\na.png\n\nx.png\n") == (
        f"HERE/t.csv: line 4, 'x.png': HERE/x.png does not exist; {where}"
    )
    assert refused("path\nx.png\na.png\ny.png\n") == (
        "HERE/t.csv: 2 of 3 paths name no file; the first, line 2, 'x.png': HERE/x.png does not "
        f"exist; {where}"
    )
    assert "HERE/. is a folder" in refused("path\na.png\n.\n")


def test_a_missing_file_among_many(refused, tmp_path):
    for number in range(30):
        Image.new("L", (4, 4)).save(tmp_path / f"{number}.png")
    (tmp_path / "31.png").mkdir()
    rows = [f"{number}.png" for number in range(32)]
    assert "2 of 32 paths name no file; the first, line 32, '30.png'" in refused(
        "path\n" + "\n".join(rows)
    )


@pytest.mark.parametrize("again", ["a.png", "./a.png", "c/../a.png"])
def test_duplicate_paths(refused, again, tmp_path):
    (tmp_path / "c").mkdir()
    assert refused(f"path\na.png\nb.png\n{again}\n").startswith(
        "HERE/t.csv, line 4: 'a.png' is also in line 2; each image needs one row"
    )
    assert "2 rows are such duplicates" in refused(f"path\na.png\n{again}\nb.png\nb.png\n")


@pytest.mark.parametrize(
    ("rows", "lacks"),
    [("a.png,train\nb.png,train", "test or val"), ("a.png,test\nb.png,val", "train")],
)
def test_an_empty_split(refused, rows, lacks):
    assert refused(f"path,split\n{rows}\n") == (
        f"HERE/t.csv: no row of the column 'split' is {lacks}; --set data.split= splits the images "
        "without it"
    )


@pytest.mark.parametrize(("cell", "got"), [("", "nothing"), ("fold1", "'fold1'")])
def test_a_cell_that_is_no_split(refused, cell, got):
    assert refused(f"path,split\na.png,train\nb.png,{cell}\n") == (
        "HERE/t.csv, line 3: the column 'split' must hold train, test or val, got "
        f"{got}; --set data.split= splits the images without it"
    )


@pytest.mark.parametrize("other", ["z", "x;z"])
def test_a_test_class_that_train_lacks(refused, other):
    rows = f"a.png,x,train\nb.png,y;x,train\nc.png,{other},test\nd.png,y,test\n"
    rows = rows if ";" in other else rows.replace(";x", "")
    assert refused(f"path,label,split\n{rows}").startswith(
        "HERE/t.csv: the test rows have the label 'z', which no train row has"
    )


@pytest.mark.parametrize("value", ["3", "null", '{"bytes": "x"}', '""', '"a\\u0000"', '["a.png"]'])
def test_a_value_that_is_no_path(refused, value):
    said = refused(f'{{"path": "a.png"}}\n{{"path": {value}}}\n', "t.jsonl")
    assert said.startswith("HERE/t.jsonl, line 2: the column 'path' must hold the path of an image")
    assert said.endswith("--set data.images=COLUMN takes another column")


def test_rows_of_other_lengths_and_open_quotes(refused):
    assert refused("path,x\na.png,1\nb.png,1,2\n") == (
        "HERE/t.csv, line 3: 3 cells, but 2 columns; put a cell with a comma into quotes"
    )
    assert "line 3: 1 cells, but 2 columns" in refused("path,x\na.png,1\nb.png")
    assert refused('path,x\na.png,"1\nb.png,2\n').startswith("HERE/t.csv, line 3: unexpected end")


def test_text_in_another_encoding(refused):
    assert refused("path\nKäse.png\n".encode("latin-1")) == (
        "HERE/t.csv is not UTF-8 text; save it with that encoding"
    )


def test_damaged_json(refused):
    assert refused('{"path": "a.png"}\n{"path"\n', "t.jsonl").startswith("HERE/t.jsonl, line 2: ")
    assert "line 1: expected an object" in refused("[1]\n", "t.jsonl")
    assert "line 1: there are two values of 'path'" in refused(
        '{"path": "a.png", "path": "b.png"}', "t.jsonl"
    )


def test_damaged_parquet_and_columns_without_text(refused, tmp_path):
    import pyarrow
    from pyarrow import parquet

    assert "HERE/t.parquet can't be read as Parquet" in refused(b"PAR1 no", "t.parquet")
    parquet.write_table(pyarrow.table({"image": [b"\x89PNG", b"\x89PNG"]}), tmp_path / "t.parquet")
    assert "the column 'image' holds binary, and no text; a table lists images by" in refused(
        None, "t.parquet"
    )


def test_parquet_without_its_library(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    said = refused(b"PAR1", "t.parquet")
    assert "pip install 'sslcore[parquet]'; .csv, .tsv and .jsonl need none" in said


def test_a_file_that_vanishes_later_is_named(refused, tmp_path):
    (tmp_path / "t.csv").write_text("path\na.png\nb.png\n", encoding="utf-8")
    split = table(path=str(tmp_path / "t.csv")).train
    (tmp_path / split.name_of(0)).unlink()
    with pytest.raises(FileNotFoundError, match=split.name_of(0)):
        split.images.fetch(0)
    assert split.images.fingerprint


def test_the_command_line_says_it_in_one_line(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("path\nnowhere.png\nb.png\n", encoding="utf-8")
    arguments = ["train", "--method", "simclr", "--data", str(tmp_path / "t.csv")]
    assert sslcore.cli.run([*arguments, "--output", str(tmp_path / "run")], debug=False) == 2
    said = capsys.readouterr().err
    assert "2 of 2 paths name no file; the first, line 2, 'nowhere.png'" in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()
