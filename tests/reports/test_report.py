"""The report of a run: one file, without a request, that never costs the run."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import sslcore
import sslcore.cli
from sslcore.errors import UsageError
from sslcore.evaluation.table import cell
from sslcore.evaluation.table import test_images as count
from sslcore.reports import report as report_module
from sslcore.reports.maps import MAPS, in_two_dimensions
from sslcore.reports.sections import SECTIONS, Section
from sslcore.runs.folder import Run


def test_the_report_makes_no_request(trained, requests_of):
    assert requests_of((trained / "report.html").read_text()) == []
    # The check itself finds requests of each kind.
    for bad in ('<img src="https://a/b">', "<script>1</script>", "<style>a{b:url(c)}</style>"):
        assert requests_of(bad)


def test_the_report_shows_every_picture_that_there_is_and_keeps_it_as_a_file(trained):
    text = (trained / "report.html").read_text()
    shown = re.findall(r'<section id="(\w+)">.*?(?=</section>)', text, re.DOTALL)
    expected = {section.key for section in SECTIONS} - {"reconstructions"}
    assert expected <= set(shown)
    assert {path.stem for path in (trained / "figures").iterdir()} == expected
    assert text.count("data:image/png;base64,") == len(expected)
    assert "Left out" not in text


def test_the_report_marks_what_differs_from_the_methods_defaults(trained):
    marked = re.findall("<mark>(.*?)</mark>", (trained / "report.html").read_text())
    assert "temperature = 0.3" in marked
    assert not any(line.startswith(("flip", "[")) for line in marked)


def test_the_report_says_what_the_evaluation_says(trained):
    text = (trained / "report.html").read_text()
    run = Run(trained)
    table, details = run.read_evaluation(), run.read_details()
    for name in table["encoder"]:
        if not name.endswith("_std"):
            assert f"<td>{name}</td>" in text
            assert cell(table["encoder"], name, count(details, name)) in text


def test_text_of_users_is_escaped(trained):
    text = (trained / "report.html").read_text()
    assert "<b>" not in text
    assert "run &lt;b&gt;" in text


def test_the_command_that_repeats_the_run_is_quoted(trained):
    assert f"sslcore train --config &#x27;{str(trained).replace('<', '&lt;')[:-3]}" in (
        (trained / "report.html").read_text()
    )


def test_a_report_is_written_anew_and_is_the_same(trained, capsys):
    before = {path.name: path.read_bytes() for path in (trained / "figures").iterdir()}
    (trained / "figures" / "views.png").unlink()
    assert sslcore.cli.run(["report", str(trained)]) == 0
    assert capsys.readouterr().out.strip() == str(trained / "report.html")
    after = {path.name: path.read_bytes() for path in (trained / "figures").iterdir()}
    assert after == before


def _train(folder, method="simclr", **options):
    console = Console(file=io.StringIO(), width=200)
    settings = {"training": {"epochs": 1, "batch_size": 8, "precision": "fp32"}}
    settings["training"] |= options.pop("training", {})
    settings |= options.pop("settings", {})
    sslcore.train(method=method, output=folder, settings=settings, console=console, **options)
    return console.file.getvalue()


def test_a_picture_that_fails_costs_itself(monkeypatch, photos):
    def broken(material):
        raise RuntimeError("no ink")

    sections = (Section("broken", "Broken", "It fails.", broken), SECTIONS[1])
    monkeypatch.setattr(report_module, "SECTIONS", sections)
    _train("run", data=str(photos({"": 12})), report=True)
    text = Path("run/report.html").read_text()
    assert "it could not be drawn (RuntimeError: no ink)" in text
    assert [path.name for path in Path("run/figures").iterdir()] == ["training.png"]


def test_a_report_that_fails_never_costs_the_run(monkeypatch, photos):
    monkeypatch.setattr(report_module.page, "page", lambda *parts: 1 / 0)
    said = _train("run", data=str(photos({"": 12})), report=True)
    assert "the report could not be written: division by zero" in " ".join(said.split())
    assert Path("run/encoder.safetensors").exists()


def test_no_report_leaves_it_out(photos, monkeypatch):
    data = str(photos({"": 12}))
    _train("a", data=data, report=False)
    _train("b", data=data)
    monkeypatch.delenv("SSLCORE_REPORT")
    _train("c", data=data)
    assert [Path(run, "report.html").exists() for run in "abc"] == [False, False, True]


@pytest.mark.parametrize(("classes", "mapped"), [({"": 8}, False), ({"cat": 40}, True)])
def test_images_without_classes_have_a_report(photos, classes, mapped):
    _train("run", data=str(photos(classes)), report=True)
    text = Path("run/report.html").read_text()
    assert "Left out: there are no labels" in text
    assert "could not be drawn" not in text
    # Four images make no map.
    assert Path("run/figures/map.png").exists() == mapped
    assert Path("run/figures/neighbours.png").exists()


@pytest.mark.parametrize("classes", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_classes_have_a_report(photos, classes):
    folder = photos({f"class {number}": 3 for number in range(classes)}, size=8)
    _train("run", data=str(folder), report=True, training={"batch_size": 32})
    text = Path("run/report.html").read_text()
    assert "could not be drawn" not in text
    assert "Left out" not in text
    assert Path("run/figures/confusion.png").exists()


@pytest.mark.parametrize("method", ["autoencoder", "mae", "denoising-autoencoder"])
def test_reconstructions_are_shown_where_there_are_any(photos, method):
    _train("run", method, data=str(photos({"a": 8, "b": 8}, size=16)), report=True)
    text = Path("run/report.html").read_text()
    assert "could not be drawn" not in text
    assert Path("run/figures/reconstructions.png").exists()
    assert "For the 768 numbers of a view, the decoder receives" in text
    # A sixteenth of 768 numbers is 48.
    assert ("the decoder receives 48: 16.0 times fewer." in text) == (method != "mae")


def test_a_decoder_that_could_copy_is_said_to_compress_nothing(photos):
    folder = photos({"a": 8, "b": 8}, size=16)
    settings = {"encoder": {"compression": None}}
    _train(
        "run", "autoencoder", data=str(folder), head="conv-decoder", report=True, settings=settings
    )
    assert "receives 2,048, which is no compression" in Path("run/report.html").read_text()


def test_a_run_that_has_not_been_evaluated_says_so(photos):
    _train("run", data=str(photos({"a": 8, "b": 8})), evaluate=False, report=True)
    assert "This run has not been evaluated" in Path("run/report.html").read_text()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: None, "is not there"),
        (lambda run: run.mkdir(), "has no recipe.toml, so it is not a run"),
    ],
)
def test_what_is_no_run_is_refused(capsys, spoil, said):
    spoil(Path("run"))
    assert sslcore.cli.run(["report", "run"]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("name", MAPS)
def test_every_map_places_groups_apart_and_the_same_way_each_time(name):
    if name == "umap":
        pytest.importorskip("umap", reason="needs the extra umap")
    centres = np.array([[0.0] * 8, [9.0] * 8])
    features = np.repeat(centres, 20, axis=0) + np.random.default_rng(0).normal(size=(40, 8))
    places = in_two_dimensions(features, 0, name)
    assert places.shape == (40, 2)
    assert np.array_equal(places, in_two_dimensions(features, 0, name))
    means = places[:20].mean(0), places[20:].mean(0)
    within = max(places[:20].std(), places[20:].std())
    assert np.linalg.norm(means[0] - means[1]) > 2 * within


@pytest.mark.parametrize("name", ["t-sne", "pca"])
@pytest.mark.parametrize("shape", [(5, 1), (6, 3), (4, 3)])
def test_few_or_short_or_collapsed_features_have_a_place_each(name, shape):
    drawn = np.random.default_rng(0).normal(size=shape)
    assert in_two_dimensions(drawn, 0, name).shape == (shape[0], 2)
    assert not in_two_dimensions(np.ones(shape), 0, name).any()


def test_the_map_that_is_asked_for_is_named_in_the_report(photos, monkeypatch):
    _train("run", data=str(photos({"a": 40, "b": 40})), report=True)
    assert "Placed by t-SNE" in Path("run/report.html").read_text()
    assert sslcore.cli.run(["report", "run", "--map", "pca"]) == 0
    assert "Placed by the first two principal components" in Path("run/report.html").read_text()


def test_a_map_whose_library_is_missing_is_one_clear_line(photos, monkeypatch, capsys):
    _train("run", data=str(photos({"a": 8, "b": 8})))
    monkeypatch.setitem(sys.modules, "umap", None)
    assert sslcore.cli.run(["report", "run", "--map", "umap"]) == 2
    said = capsys.readouterr().err
    assert "pip install 'sslcore[umap]'" in said
    assert "Traceback" not in said
    with pytest.raises(UsageError, match=r"there is no map 'tsne'; nearest: t-sne"):
        sslcore.report("run", map="tsne")


def test_the_speed_is_there_where_the_last_line_is_a_score(photos):
    training = {"evaluate_every": 1.0, "log_every": 1}
    _train("run", data=str(photos({"a": 8, "b": 8})), report=True, training=training)
    last = Run("run").path.joinpath("metrics.jsonl").read_text().splitlines()[-1]
    assert "images_per_second" not in last
    assert re.search(r"images per second</th><td>[1-9]", Path("run/report.html").read_text())


def test_the_command_offers_every_map():
    from sslcore.cli.report import report

    (option,) = (each for each in report.params if each.name == "map")
    assert list(option.type.choices) == list(MAPS)
    assert option.default == next(iter(MAPS))


def test_the_report_of_a_fine_tuned_run_has_all_trainings_and_its_own_predictions(
    tmp_path, monkeypatch
):
    console = Console(file=io.StringIO())
    settings = {"training": {"epochs": 1, "batch_size": 512}}
    parent = sslcore.train(
        method="simclr",
        settings=settings,
        evaluate=False,
        report=False,
        output="parent",
        console=console,
    )
    made = sslcore.finetune(
        parent.path,
        seeds=2,
        settings={"training": {"epochs": 2}},
        output="tuned",
        report=True,
        console=console,
    )
    text = Path("tuned/report.html").read_text()
    for row in made.scores.rows()[1]:
        assert f"<td>{row[0]}</td><td>{row[1]}</td>" in re.sub(r"\s*class=\"\w+\"", "", text)
    for sentence in made.scores.conclusions():
        assert sentence[1:] in text
    assert "better than both baselines on every metric" not in text
    assert "those of the run's own classifier" in text.replace("&#x27;", "'").replace("&#39;", "'")
    right = made.run.evaluation["encoder"]["accuracy"]
    shown = []
    monkeypatch.setattr(
        report_module,
        "SECTIONS",
        [Section("x", "X", "", lambda material: shown.append(material.probabilities))],
    )
    sslcore.report("tuned", console=console)
    labels = sslcore.build("dataset", "digits").test.labels.numpy()
    assert (shown[0].argmax(1) == labels).mean() == pytest.approx(right)
