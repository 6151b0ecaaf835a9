"""Several labels an image: in one column with separators, as lists, or a column each."""

from __future__ import annotations

import pytest

from sslcore.errors import DataError
from sslcore_tables._labels import labels_of
from sslcore_tables._reading import read_table


@pytest.fixture
def read(tmp_path):
    """Return the labels of a table given as text."""

    def labels(text: str, *columns: str, name: str = "t.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return labels_of(read_table(str(tmp_path / name)), columns)

    return labels


def rows_of(labels) -> list[set[str]]:
    return [
        {name for name, is_there in zip(labels.classes, row, strict=True) if is_there}
        for row in labels.values.tolist()
    ]


@pytest.mark.parametrize("separator", ["|", ";"])
def test_one_column_may_hold_several_labels(read, separator):
    text = 'label\ncat | dog\nsun\n""\ncat|sun|\n'.replace("|", separator)
    labels = read("x," + text.replace("\n", "\nx,").removesuffix("x,"), "label")
    assert labels.classes == ("cat", "dog", "sun")
    assert rows_of(labels) == [{"cat", "dog"}, {"sun"}, set(), {"cat", "sun"}]
    assert labels.known.tolist() == [True, True, False, True]
    assert labels.notes == (f"an image may have several of 3 labels (separated by '{separator}')",)


def test_a_list_is_several_labels_and_an_empty_one_is_none_of_them(read):
    text = '{"tags": ["b", "a"]}\n{"tags": []}\n{"tags": null}\n{"tags": ["a"]}\n'
    labels = read(text, "tags", name="t.jsonl")
    assert rows_of(labels) == [{"a", "b"}, set(), set(), {"a"}]
    assert labels.known.tolist() == [True, True, False, True]


def test_lists_of_parquet_are_several_labels(tmp_path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"tags": [["b", "a"], None, []]}), tmp_path / "t.parquet")
    labels = labels_of(read_table(str(tmp_path / "t.parquet")), ["tags"])
    assert rows_of(labels) == [{"a", "b"}, set(), set()]
    assert labels.known.tolist() == [True, False, True]


def test_each_column_of_yes_and_no_is_a_label_in_the_order_given(read):
    text = "x,dog,cat\n1,1,0\n2,True,false\n3,no,YES\n4,1.0,0.0\n5,,\n"
    labels = read(text, "cat", "dog")
    assert labels.classes == ("cat", "dog")
    assert rows_of(labels) == [{"dog"}, {"dog"}, {"cat"}, {"dog"}, set()]
    assert labels.known.tolist() == [True, True, True, True, False]
    assert labels.notes == ()


def test_an_empty_cell_beside_a_given_one_is_a_no_and_counted(read):
    labels = read("a,b\n1,\n0,1\n,1\n", "a", "b")
    assert rows_of(labels) == [{"a"}, {"b"}, {"b"}]
    assert labels.notes == ("2 empty cells of labels count as no",)


def test_another_word_than_yes_or_no_is_refused_with_its_place(read):
    with pytest.raises(DataError, match=r"line 3: '-1' in the column 'b' is neither yes nor no"):
        read("a,b\n1,0\n0,-1\n", "a", "b")


def test_a_fraction_or_a_table_is_no_label(read):
    for value, shown in (("0.5", "0.5"), ('{"a": 1}', "{'a': 1}"), ("[[1]]", r"\[1\]")):
        with pytest.raises(DataError, match=rf"line 1: {shown} in the column 'label' is no label"):
            read(f'{{"label": {value}}}\n', "label", name="t.jsonl")
