"""Tables of results are honest, and the project's metadata is consistent."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import sslcore
from sslcore.evaluation.table import is_best
from sslcore.registry.registry import default_registry

ROOT = Path(__file__).parents[2]
RESULTS = ["README.md", "docs/results.md"]


def rows(page: str) -> list[list[str]]:
    """Return the cells of the rows of tables whose second column is `trained`."""
    found, inside = [], False
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[1:4] == ["trained", "untrained", "pixels"]:
            inside = True
        elif inside and "---" not in line:
            found.append(cells)
    return found


@pytest.mark.parametrize("page", RESULTS)
def test_a_score_is_bold_exactly_where_it_beats_both_baselines_beyond_the_spread(page):
    assert rows(page)
    for name, *cells in rows(page):
        table = {}
        for column, cell in zip(("encoder", "random_init", "pixels"), cells, strict=True):
            value, _, deviation = cell.strip("*").partition(" ±")
            table[column] = {"top1": float(value)}
            if deviation:
                table[column]["top1_std"] = float(deviation)
        # The digits have 450 test images, and CIFAR-10 has 10,000.
        images = 450 if name.startswith("`") else 10_000
        assert cells[0].startswith("**") == is_best(table, "top1", images), name


def test_the_readme_quotes_the_results_as_they_are():
    everything = rows("docs/results.md")
    assert all(row in everything for row in rows("README.md"))


def test_every_method_without_labels_has_its_row():
    methods = default_registry().entries("method")
    shipped = [entry for entry in methods if entry.origin.shipped]
    # Training on labels is compared with other trainings on the same labels.
    names = {entry.name for entry in shipped if not entry.record.fine_tunes}
    assert names <= {row[0].strip("`") for row in rows("docs/results.md")}


def test_the_newest_release_in_the_changelog_is_the_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## \[?([^\]\s]+)", text, re.MULTILINE)
    assert releases[0] == "Unreleased"
    assert releases[1] == sslcore.__version__


def test_the_version_is_written_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "sslcore/_version.py"
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert not re.search(r"^version:", citation, re.MULTILINE)


def test_the_licence_of_the_project_is_the_one_in_the_file():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "$" not in text
    assert "license: Apache-2.0" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
