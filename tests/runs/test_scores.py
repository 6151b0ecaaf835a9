"""Every figure of a run says how it was measured, and none replaces another that differs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import sslcore
from sslcore.errors import RunFolderError
from sslcore.runs.scores import add_scores, read_scores

QUICK = {"training": {"epochs": 1, "batch_size": 512, "precision": "fp32", "seed": 3}}


@pytest.fixture
def run(console):
    return sslcore.train(
        method="simclr", settings=QUICK, evaluators=["knn"], output="run", console=console
    )


def test_a_figure_says_how_it_was_measured(run):
    (details,) = run.read_details().values()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", details.pop("date"))
    assert details == {
        "evaluator": "knn",
        "settings": {"k": 20, "temperature": 0.1},
        "train_images": 1347,
        "test_images": 450,
        "data": "digits",
        "seed": 3,
        "step": 2,
    }


def test_a_figure_with_other_settings_is_kept_beside(run, console):
    before = run.read_evaluation()
    settings = {"evaluator": {"k": 1}}
    found = sslcore.evaluate("run", settings=settings, console=console)
    after = run.read_evaluation()
    assert after["encoder"] == {
        "knn_top1": before["encoder"]["knn_top1"],
        "knn_top1 [k=1]": found["encoder"]["knn_top1"],
    }
    assert run.read_details()["knn_top1 [k=1]"]["settings"]["k"] == 1
    # The same again replaces it.
    sslcore.evaluate("run", settings=settings, console=console)
    sslcore.evaluate("run", console=console)
    assert run.read_evaluation() == after


def test_a_spread_goes_with_its_figure(tmp_path):
    file = tmp_path / "evaluation.json"

    def add(value, **settings):
        details = {name: {"settings": settings} for name in ("a", "a_std")}
        add_scores(file, {"encoder": {"a": value, "a_std": 0.1}}, details)

    add(0.5, repeats=10)
    add(0.6, repeats=20)
    add(0.7, repeats=20)
    assert read_scores(file)[0]["encoder"] == {
        "a": 0.5,
        "a_std": 0.1,
        "a [repeats=20]": 0.7,
        "a [repeats=20]_std": 0.1,
    }


def test_settings_that_are_lists_are_compared_as_json_has_them(tmp_path):
    file = tmp_path / "evaluation.json"
    for value in (0.5, 0.6):
        add_scores(file, {"encoder": {"a": value}}, {"a": {"settings": {"sizes": (1, 2)}}})
    assert read_scores(file)[0] == {"encoder": {"a": 0.6}}


def test_figures_on_other_data_have_a_file_of_their_own(run, console, tmp_path):
    from PIL import Image

    before = Path("run/evaluation.json").read_bytes()
    for name in ("a", "b"):
        for number in range(6):
            path = tmp_path / "my photos" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (16, 16), 40 * number).save(path)
    found = sslcore.evaluate("run", data=str(tmp_path / "my photos"), console=console)
    kept = json.loads(Path("run/evaluation-my-photos.json").read_text())
    assert kept["encoder"] == found["encoder"]
    assert kept["details"]["knn_top1"]["data"] == str(tmp_path / "my photos")
    assert kept["details"]["knn_top1"]["test_images"] == 2
    assert Path("run/evaluation.json").read_bytes() == before


def test_a_file_of_an_earlier_version_is_read(tmp_path):
    file = tmp_path / "evaluation.json"
    file.write_text(json.dumps({"encoder": {"a": 0.5}}))
    assert read_scores(file) == ({"encoder": {"a": 0.5}}, {})
    assert add_scores(file, {"encoder": {"b": 0.6}}, {"b": {"settings": {}}}) == ""
    assert read_scores(file)[0] == {"encoder": {"a": 0.5, "b": 0.6}}


@pytest.mark.parametrize(
    "text", ["[]", '{"encoder": 1}', '{"details": 1}', "{", '{"a": {"b": "c"}}']
)
def test_what_is_no_table_is_refused(tmp_path, text):
    file = tmp_path / "evaluation.json"
    file.write_text(text)
    with pytest.raises(RunFolderError, match="is not a table of numbers"):
        read_scores(file)
    assert "has been replaced" in add_scores(file, {"encoder": {"a": 1.0}}, {})
