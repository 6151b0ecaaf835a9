"""Runs side by side: repetitions together, differences held against the spread."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import statistics
from pathlib import Path

import pytest
from rich.console import Console

import sslcore.cli
from sslcore.reports.compare import Comparison
from sslcore.reports.compare_page import rows_of
from sslcore.runs.summary import RunSummary
from sslcore.system.locks import locked

RECIPE = """
method = "{method}"
[data]
name = "digits"
[augmentation]
name = "two-views"
[encoder]
name = "small-cnn"
[head]
name = "projection"
dim = 128
[loss]
name = "nt-xent"
temperature = {temperature}
[optimizer]
name = "SGD"
[training]
seed = {seed}
log_every = {log_every}
"""


def write_run(
    name,
    *,
    method="simclr",
    temperature=0.5,
    seed=0,
    log_every=10,
    test_images=None,
    untrained=None,
    **scores,
):
    """Write a finished run by hand, with these scores of the trained encoder."""
    folder = Path(name)
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(
        RECIPE.format(method=method, temperature=temperature, seed=seed, log_every=log_every)
    )
    lines = [{"step": step, "loss": 1 / step, "learning_rate": 0.1} for step in (10, 20)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "encoder.safetensors").write_bytes(b"")
    if scores:
        details = {name: {"test_images": test_images} for name in scores if test_images}
        table = {"encoder": scores, "details": details}
        if untrained is not None:
            table["random_init"] = dict.fromkeys(scores, untrained)
        (folder / "evaluation.json").write_text(json.dumps(table))
    return RunSummary.of(folder)


def test_runs_that_differ_by_the_seed_are_one_group():
    runs = [write_run(f"a{seed}", seed=seed, knn_top1=0.5 + seed / 10) for seed in range(3)]
    runs.append(write_run("b", temperature=0.1, knn_top1=0.9))
    # How often a run logs does not change its result.
    runs.append(write_run("a3", seed=3, log_every=1, knn_top1=0.8))
    groups = Comparison.of(runs).groups
    assert [len(group.runs) for group in groups] == [4, 1]
    values = [0.5, 0.6, 0.7, 0.8]
    score = groups[0].scores["knn_top1"]
    assert math.isclose(score.mean, statistics.fmean(values))
    assert score.spread is not None
    assert math.isclose(score.spread, statistics.stdev(values))
    assert groups[1].scores["knn_top1"].spread is None


def test_the_lead_over_a_baseline_is_measured_seed_by_seed():
    # The seeds differ by more than the gain, which is the same for each of them.
    runs = [
        write_run(f"a{seed}", seed=seed, knn_top1=0.5 + seed / 10, untrained=0.4 + seed / 10)
        for seed in range(3)
    ]
    runs += [
        write_run(f"b{seed}", seed=seed, temperature=0.1, knn_top1=0.4, untrained=0.4 + seed / 10)
        for seed in range(3)
    ]
    found = Comparison.of(runs)
    lead = found.groups[0].leads["random_init"]["knn_top1"]
    assert math.isclose(lead.mean, 0.1)
    assert lead.spread is not None
    assert lead.spread < 1e-9
    assert found.without_gain() == [
        "temperature 0.1: the trained encoder is not clearly better than the untrained one on "
        "knn_top1"
    ]
    rows = rows_of(found)[1]
    assert [row[0] for row in rows] == [
        *("temperature 0.5", "  over untrained", "temperature 0.1", "  over untrained"),
    ]


def test_methods_are_compared_with_a_caution():
    runs = [write_run("a", knn_top1=0.5), write_run("b", method="moco", knn_top1=0.6)]
    # These two share all other settings.
    assert Comparison.of(runs).caution() == ""
    recipe = runs[1].run.recipe_path
    recipe.write_text(recipe.read_text().replace("[optimizer]\n", "[optimizer]\ndampening = 3.0\n"))
    found = Comparison.of([runs[0], RunSummary.of("b")])
    assert "besides the method, optimizer.dampening differ" in found.caution()


def test_a_single_group_of_seeds_is_called_by_its_method():
    runs = [write_run(f"runs/seed={seed}", seed=seed) for seed in range(2)]
    assert [group.label for group in Comparison.of(runs).groups] == ["simclr"]


def test_copies_of_a_run_tell_nothing_of_the_spread():
    runs = [write_run(name, seed=1, knn_top1=0.5) for name in ("a", "copy")]
    (group,) = Comparison.of(runs).groups
    assert group.seeds == "1"
    assert group.scores["knn_top1"].spread is None
    assert group.scores["knn_top1"].count == 1


def test_what_differs_is_named_and_labels_are_as_short_as_they_can_be():
    runs = [
        write_run("a", temperature=0.5),
        write_run("b", temperature=0.1),
        write_run("c", method="moco"),
    ]
    found = Comparison.of(runs)
    assert dict(found.differing) == {
        "method": ("simclr", "simclr", "moco"),
        "loss.temperature": (0.5, 0.1, 0.5),
    }
    assert [group.label for group in found.groups] == [
        "simclr, temperature 0.5",
        "simclr, temperature 0.1",
        "moco, temperature 0.5",
    ]


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ((0.90, 0.91), (0.70, 0.71), "by 0.2000, more than the spread (0.0100 over 2 seeds each)"),
        (
            (0.90, 0.80),
            (0.84, 0.76),
            "0.050, which is within the spread (0.091 over 2 seeds each)",
        ),
        ((0.90,), (0.70,), "the spread over seeds is not known"),
        ((0.90,), (0.90,), "are equal"),
    ],
)
def test_a_difference_is_held_against_the_spread(first, second, said):
    runs = [
        write_run(f"{name}{seed}", temperature=temperature, seed=seed, knn_top1=score)
        for name, temperature, scores in (("a", 0.5, first), ("b", 0.1, second))
        for seed, score in enumerate(scores)
    ]
    (verdict,) = Comparison.of(runs).verdicts()
    assert said in verdict
    assert ("no difference is established" in verdict) == ("within" in said)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (41, "within the spread (0.098 of a single run): no difference"),
        (10_000, "more than the spread (0.0062 of a single run); with one seed"),
    ],
)
def test_of_single_seeds_the_number_of_test_images_gives_the_spread(images, said):
    runs = [
        write_run("a", knn_top1=0.78, test_images=images),
        write_run("b", temperature=0.1, knn_top1=0.70, test_images=images),
    ]
    found = Comparison.of(runs)
    (verdict,) = found.verdicts()
    assert said in verdict
    assert "the spread over seeds is not known" in verdict
    digits = {41: "0.78", 10_000: "0.780"}[images]
    assert str(found.groups[0].scores["knn_top1"]) == digits


def test_of_an_error_the_lower_is_the_better():
    runs = [write_run("a", x_mse=0.2), write_run("b", temperature=0.1, x_mse=0.1)]
    found = Comparison.of(runs)
    assert found.best("x_mse") == 1
    assert found.verdicts()[0].startswith("x_mse: temperature 0.1 is ahead of")


def test_a_score_that_is_no_number_is_neither_first_nor_second():
    runs = [
        write_run("a", knn_top1=None),
        write_run("b", temperature=0.1, knn_top1=0.5),
        write_run("c", temperature=0.2, knn_top1=0.25),
    ]
    found = Comparison.of(runs)
    assert found.best("knn_top1") == 1
    (verdict,) = found.verdicts()
    assert "temperature 0.1 is ahead of temperature 0.2 by 0.2500" in verdict


def test_bold_is_the_best_beyond_the_spread_and_a_star_the_best_within_it():
    runs = [
        write_run("a", knn_top1=0.9, linear_top1=0.70, x_mse=0.5, test_images=1000),
        write_run(
            "b", temperature=0.1, knn_top1=0.7, linear_top1=0.71, x_mse=0.5, test_images=1000
        ),
    ]
    heads, rows, bold = rows_of(Comparison.of(runs))
    cells = {(rows[row][0], heads[column]) for row, column in bold}
    assert cells == {("temperature 0.5", "knn_top1")}
    starred = {
        (row[0], head)
        for row in rows
        for head, cell in zip(heads, row, strict=True)
        if cell.endswith(" *")
    }
    # Of two equal scores none is the best.
    assert starred == {("temperature 0.1", "linear_top1")}


def test_a_run_that_lacks_a_metric_is_not_the_best_of_it():
    runs = [write_run("a"), write_run("b", temperature=0.1, knn_top1=0.5)]
    found = Comparison.of(runs)
    assert found.metrics == ("knn_top1",)
    assert found.best("knn_top1") is None
    assert found.verdicts() == []


@pytest.fixture
def cli(capsys):
    def run(*arguments):
        code = sslcore.cli.run(list(map(str, arguments)))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_compare_prints_both_tables_and_writes_a_page_without_requests(cli, requests_of):
    for seed in range(2):
        write_run(f"runs/a{seed}", seed=seed, knn_top1=0.5 + seed / 10)
    write_run("runs/<b>", temperature=0.1, knn_top1=0.5)
    code, out, err = cli("compare", "runs/*")
    assert (code, err) == (0, "")
    assert "0.55 ±0.07" in out
    assert "loss.temperature" in out
    assert out.endswith("compare.html\n")
    page = Path("compare.html").read_text()
    assert requests_of(page) == []
    assert "runs/&lt;b&gt;" in page
    assert page.count("data:image/png") == 2


def test_compare_prints_json_and_csv_for_programs(cli):
    write_run("runs/a", knn_top1=0.5)
    write_run("runs/b", temperature=0.1, knn_top1=0.25)
    rows = json.loads(cli("compare", "runs/a", "runs/b", "--json")[1])
    lines = list(csv.DictReader(io.StringIO(cli("compare", "runs/*", "--csv")[1])))
    assert [row["encoder.knn_top1"] for row in rows] == [0.5, 0.25]
    assert [line["loss.temperature"] for line in lines] == ["0.5", "0.1"]
    assert not Path("compare.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no runs are given"),
        (["nowhere"], "nowhere: there is no such run"),
        (["runs/no-*"], "there is no such run"),
        (["empty"], "has no recipe.toml"),
        (["damaged"], "not TOML"),
        (["runs/a", "-o", "no/page.html"], "must be a file in a folder that exists"),
    ],
)
def test_bad_input_is_one_line(cli, arguments, said):
    write_run("runs/a", knn_top1=0.5)
    Path("empty").mkdir()
    Path("damaged").mkdir()
    Path("damaged/recipe.toml").write_text("[[[")
    code, _, err = cli("compare", *arguments)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_pattern_passes_over_what_is_no_run(cli):
    write_run("runs/a", knn_top1=0.5)
    Path("runs/notes").mkdir()
    code, out, err = cli("compare", "runs/*")
    assert code == 0
    assert "note: runs/notes has no recipe.toml" in err
    assert "a" in out


def test_a_folder_of_runs_stands_for_them(cli):
    for seed in range(2):
        write_run(f"runs/a/seed={seed}", seed=seed, knn_top1=0.5)
        write_run(f"runs/b/seed={seed}", seed=seed, temperature=0.1, knn_top1=0.25)
    Path("runs/a/compare.html").write_text("")
    folders = json.loads(cli("compare", "runs/a", "runs/b", "--json")[1])
    patterns = json.loads(cli("compare", "runs/a/*", "runs/b/*", "--json")[1])
    assert len(folders) == 4
    assert folders == patterns
    # A page of an earlier comparison is no run, and nothing to tell.
    assert cli("compare", "runs/a/*")[2] == ""


@pytest.mark.parametrize(("width", "dropped"), [(200, 0), (80, 5), (36, 8)])
def test_runs_on_a_narrow_screen_breaks_no_folder(width, dropped, monkeypatch, capsys):
    name = "runs/a-long-name-of-a-run"
    write_run(name, knn_top1=0.5, linear_top1=0.5, linear_top1_5_per_class=0.5)
    console = Console(width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr("sslcore.cli.runs.stdout_console", lambda **options: console)
    assert sslcore.cli.run(["runs"]) == 0
    said = capsys.readouterr()
    assert name in said.out
    assert "finished" in said.out
    told = said.err.partition("no room for ")[2].partition(";")[0]
    assert len(told.split(", ")) * bool(told) == dropped


def test_runs_lists_runs_with_their_state(cli):
    write_run("runs/done", knn_top1=0.5)
    stopped = write_run("runs/stopped").run.path
    (stopped / "encoder.safetensors").unlink()
    failed = write_run("runs/failed").run.path
    (failed / "status.json").write_text(
        json.dumps({"state": "failed", "reason": "the loss is nan", "started": "", "seconds": 2.5})
    )
    odd = write_run("runs/odd").run.path
    (odd / "status.json").write_text("[1]")
    write_run("runs/group/one", knn_top1=0.25)
    for number, name in enumerate(("done", "stopped", "failed", "odd", "group/one")):
        os.utime(f"runs/{name}/recipe.toml", (number, number))
    code, out, err = cli("runs")
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert list(rows) == [
        f"runs/{name}" for name in ("done", "stopped", "failed", "odd", "group/one")
    ]
    assert "0.5000" in rows["runs/done"]
    assert rows["runs/done"].rstrip().endswith("finished")
    assert "stopped at step 20" in rows["runs/stopped"]
    assert "2.5" in rows["runs/failed"]
    assert "failed at step 20: the loss is nan" in rows["runs/failed"]
    assert rows["runs/odd"].rstrip().endswith("finished")
    states = {row["run"]: row["state"] for row in json.loads(cli("runs", "--json")[1])}
    assert states["runs/failed"] == "failed"


def test_a_run_that_says_it_trains_does_so_only_under_its_lock():
    folder = write_run("run").run.path
    (folder / "encoder.safetensors").unlink()
    (folder / "status.json").write_text(
        json.dumps({"state": "training", "reason": "", "started": "", "seconds": 0})
    )
    assert RunSummary.of(folder).state == "stopped at step 20"
    with locked(folder):
        assert RunSummary.of(folder).state == "training, step 20"


def test_a_run_without_its_encoder_has_not_finished():
    folder = write_run("run").run.path
    (folder / "status.json").write_text(
        json.dumps({"state": "finished", "reason": "", "started": "", "seconds": 1})
    )
    assert RunSummary.of(folder).state == "finished"
    (folder / "encoder.safetensors").unlink()
    assert RunSummary.of(folder).state == "stopped at step 20"


def test_runs_without_a_folder_or_without_runs_says_so(cli):
    assert cli("runs")[0] == 2
    Path("runs").mkdir()
    assert cli("runs") == (0, "", "note: there are no runs in runs\n")
    write_run("runs/a")
    (Path("runs/a") / "evaluation.json").write_text("{")
    write_run("runs/b")
    code, out, err = cli("runs")
    assert code == 0
    assert "runs/a/evaluation.json is not a table of numbers" in err
    assert "runs/b" in out
    shutil.rmtree("runs")
