"""`sslcore watch`: a run's numbers as curves of text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sslcore
import sslcore.cli
from sslcore.cli.watch import curve, screen
from sslcore.errors import UsageError
from sslcore.evaluation.table import cell
from sslcore.runs.summary import RunSummary


@pytest.fixture
def run(console):
    return sslcore.train(
        method="simclr",
        settings={
            "training": {"epochs": 3, "batch_size": 512, "precision": "fp32", "log_every": 1}
        },
        evaluators=["knn"],
        output="run",
        console=console,
    )


def test_a_curve_rises_and_falls_with_the_numbers():
    assert curve([0, 1, 2, 3, 4, 5, 6, 7], 20) == "▁▂▃▄▅▆▇█"
    assert curve([7, 0], 20) == "█▁"
    assert curve([3, 3, 3], 20) == "▁▁▁"
    assert curve([1], 20) == "▁"


def test_a_long_curve_is_averaged_to_its_width():
    assert curve(list(range(1000)), 8) == "▁▂▃▄▅▆▇█"
    assert len(curve(list(range(999)), 60)) == 60


def test_watch_shows_every_number_and_the_state(run, capsys):
    assert sslcore.cli.run(["watch", "run", "--once"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("run: finished, ")
    last = json.loads((run.path / "metrics.jsonl").read_text().splitlines()[-1])
    (loss,) = (line for line in out.splitlines() if line.startswith("loss"))
    assert f"{last['loss']:.4g}" in loss
    assert any(line.startswith("effective_rank") for line in out.splitlines())
    # It fits into the usual width.
    assert max(map(len, screen(RunSummary.of("run"), 80).splitlines())) <= 80


def test_a_run_without_numbers_says_so(run, capsys):
    (run.path / "metrics.jsonl").unlink()
    assert sslcore.cli.run(["watch", "run", "--once"]) == 0
    assert "nothing is logged yet" in capsys.readouterr().out


def test_what_is_no_run_is_refused(capsys):
    assert sslcore.cli.run(["watch", "nowhere"]) == 2
    assert "nowhere is not there" in capsys.readouterr().err


def test_a_run_has_its_numbers_in_python_and_in_a_notebook(run):
    opened = sslcore.open_run("run")
    assert opened.metrics == run.metrics
    assert [line["step"] for line in opened.metrics] == [1, 2, 3, 4, 5, 6]
    assert opened.evaluation["encoder"].keys() == {"knn_top1"}
    (axis,) = opened.figure("loss").axes
    (line,) = axis.get_lines()
    assert list(line.get_ydata()) == [each["loss"] for each in opened.metrics]
    shown = opened._repr_html_()
    assert cell(opened.evaluation["encoder"], "knn_top1", 450) in shown
    assert "data:image/png;base64," in shown
    with pytest.raises(UsageError, match="has logged no 'los'; nearest: loss"):
        opened.figure("los")
    Path("run/metrics.jsonl").unlink()
    with pytest.raises(UsageError, match="has logged no numbers yet"):
        opened.figure()
