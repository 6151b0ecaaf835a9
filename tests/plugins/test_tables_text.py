"""Tables as other programs write them: encodings, quotes, separators and spellings of paths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslcore_tables.table import table


@pytest.fixture
def opened(tmp_path):
    """Write a table as text beside images with these names, and open it."""

    def open_(text: str | bytes, *files: str, name: str = "t.csv", **settings):
        for number, file in enumerate(files):
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((4, 4), number, dtype=np.uint8)).save(path, format="png")
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / name).write_bytes(content)
        return table(path=str(tmp_path / name), split="", label="", test_fraction=0.2, **settings)

    return open_


def names(data) -> set[str]:
    return {*data.train.names, *data.test.names}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(opened, encoding, line_end):
    text = line_end.join(["path", "Käse.png", "ß.png", ""])
    assert names(opened(text.encode(encoding), "Käse.png", "ß.png")) == {"Käse.png", "ß.png"}


@pytest.mark.parametrize(
    "text", ["path,x\n{},1\n{},2\n", "x;path\n1;{}\n2;{}\n", "x\tpath\n1\t{}\n2\t{}\n"]
)
def test_cells_are_separated_as_in_the_first_line(opened, text):
    assert names(opened(text.format("a b.png", "b.png"), "a b.png", "b.png")) == {
        "a b.png",
        "b.png",
    }


def test_quotes_keep_separators_line_breaks_and_quotes_in_a_cell(opened):
    text = 'path,text\n"a, b.png","two\nlines"\n"c ""d"".png",""\n'
    files = ("a, b.png", 'c "d".png')
    assert names(opened(text, *files)) == set(files)


def test_empty_lines_and_rows_of_empty_cells_are_skipped(opened):
    text = "\npath,x\n\na.png,1\n,\n\nb.png,2\n\n"
    assert names(opened(text, "a.png", "b.png")) == {"a.png", "b.png"}


def test_empty_lines_of_json_are_skipped_and_columns_may_be_missing_in_a_row(opened):
    text = '\n{"path": "a.png", "x": 1}\n  \n{"path": "b.png"}\n'
    assert names(opened(text, "a.png", "b.png", name="t.jsonl")) == {"a.png", "b.png"}


def test_backslashes_and_spaces_around_a_path_are_corrected_where_no_file_is_called_so(opened):
    text = "path\nbelow\\a.png\n b.png \nwith\\backslash.png\n"
    data = opened(text, "below/a.png", "b.png", "with\\backslash.png")
    assert names(data) == {"below/a.png", "b.png", "with\\backslash.png"}


def test_many_files_of_a_folder_are_found_by_their_names(opened, tmp_path):
    files = [f"many/{number}.png" for number in range(40)]
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "linked.png").symlink_to(tmp_path / "many" / "0.png")
    rows = [*files, "many/linked.png", "many\\40.png"]
    data = opened("path\n" + "\n".join(rows), *files, "many/40.png")
    assert names(data) == {*files, "many/40.png", "many/linked.png"}


def test_a_relative_table_is_found_from_the_working_folder(tmp_path, monkeypatch):
    for name in ("a.png", "b.png"):
        Image.new("L", (4, 4)).save(tmp_path / name)
    Path(tmp_path / "t.csv").write_text("path\na.png\nb.png\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    data = table(path="t.csv", test_fraction=0.2)
    monkeypatch.chdir("/")
    assert data.train.images.fetch(0)
