"""A path given as data is opened by the data set whose record matches it best."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslcore.api import make_recipe
from sslcore.errors import UnknownNameError, UsageError
from sslcore.recipe.opening import opener


def opens(*, path: str) -> None:
    """Stand for a data set that opens paths."""


@pytest.fixture
def opened(registry, add):
    """Return the name of the data set that opens a path, beside the shipped data sets."""
    add(registry, "dataset", opens, name="rows", distribution="one", opens=(".rows",))
    add(registry, "dataset", opens, name="packed", distribution="two", opens=(".rows.gz", ".gz"))
    add(registry, "dataset", opens, name="holds", distribution="three", opens=("/*.rows",))

    def of(named):
        found = opener(str(named), registry)
        return found and found[0].name

    return of


def test_a_folder_given_as_data_becomes_the_setting_path(registry, tmp_path):
    recipe, _ = make_recipe("simclr", data=str(tmp_path), registry=registry)
    assert (recipe.data.name, recipe.data.settings["path"]) == ("folder", str(tmp_path))


def test_a_file_is_opened_by_its_ending_in_any_case(opened, tmp_path):
    for name, data in {"a.rows": "rows", "A.ROWS": "rows", "a.rows.gz": "packed"}.items():
        (tmp_path / name).touch()
        assert opened(tmp_path / name) == data


def test_a_relative_path_becomes_absolute_and_an_address_stays(opened, registry):
    Path("here.rows").touch()
    found = opener("here.rows", registry)
    assert found is not None
    assert found[1] == str(Path.cwd() / "here.rows")
    found = opener("s3://bucket//here.rows", registry)
    assert found is not None
    assert (found[0].name, found[1]) == ("rows", "s3://bucket//here.rows")


def test_a_folder_is_opened_by_what_it_holds_else_as_any_folder(opened, tmp_path):
    folder = tmp_path / "folder.rows"
    folder.mkdir()
    assert opened(folder) == "folder"
    (folder / "part.rows").touch()
    assert opened(folder) == "holds"


def test_a_file_that_does_not_exist_is_its_data_sets_to_report(opened):
    assert opened("nowhere.rows") == "rows"
    assert opened("./nowhere") == "folder"
    assert opened("nowhere") is None


def test_a_file_or_address_that_no_data_set_opens(opened):
    Path("photos.zip").touch()
    for named in ("photos.zip", "s3://bucket/photos.zip"):
        with pytest.raises(UsageError, match=r"no data set opens it; data sets open folders and"):
            opened(named)


def test_two_data_sets_for_one_ending_are_named_and_one_that_ships_comes_first(
    opened, registry, add, tmp_path
):
    add(registry, "dataset", opens, name="rows", distribution="four", opens=(".rows",))
    with pytest.raises(UsageError, match=r"2 data sets open it; use --data .*:rows or --data"):
        opened("a.rows")
    add(registry, "dataset", opens, name="any", distribution="five", opens=("/",))
    assert opened(tmp_path) == "folder"


def test_the_nearest_file_is_proposed_for_a_slip(registry):
    Path("photos").mkdir()
    with pytest.raises(UnknownNameError, match=r"no file or folder 'fotos'; nearest: photos"):
        make_recipe("simclr", data="fotos", registry=registry)
