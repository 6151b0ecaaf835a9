"""Evaluation during training: it changes nothing, keeps the best weights, and may stop early."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import sslcore
from sslcore.errors import InterruptedRun, UsageError
from sslcore.runs.folder import Run
from sslcore.runs.summary import RunSummary

QUICK = {"epochs": 4, "batch_size": 512, "precision": "fp32", "log_every": 1}


class Scripted:
    """Returns the next of some scores at each call of the encoder being trained."""

    fast = True
    scores: tuple[float, ...] = ()
    calls = 0

    def __call__(self, test_features, test_labels):
        # A part that draws random numbers must not change training.
        torch.rand(3)
        value = type(self).scores[min(type(self).calls, len(self.scores) - 1)]
        type(self).calls += 1
        return {"scripted": value}


@pytest.fixture
def scripted(registry, add):
    """Make an evaluator that returns these scores: the first is that of the untrained encoder."""

    def make(*scores):
        Scripted.scores, Scripted.calls = scores, 0
        return registry

    add(registry, "evaluator", Scripted, name="scripted")
    return make


def train(output, console, registry=None, **training):
    return sslcore.train(
        method="simclr",
        settings={"training": QUICK | training},
        evaluators=["scripted"] if registry else ["knn"],
        output=output,
        console=console,
        registry=registry,
        evaluate=False,
    )


def figures(run):
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if any(name.startswith("trained.") for name in line)]


def encoder_of(run):
    return load_file(run.path / "encoder.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_evaluation_changes_no_bit_of_training(console, scripted):
    plain = train("plain", console)
    watched = train("watched", console, evaluate_every=0.5)
    drawing = train("drawing", console, scripted(0.1, 0.2), evaluate_every=1)
    assert same(encoder_of(plain), encoder_of(watched))
    assert same(encoder_of(plain), encoder_of(drawing))


def test_random_generators_are_left_as_they_were(console, scripted, monkeypatch):
    from sslcore.training.monitor import Monitor

    whole, states = Monitor.__call__, []

    def watched(self, step):
        before = torch.get_rng_state()
        stop = whole(self, step)
        states.append(torch.equal(before, torch.get_rng_state()))
        return stop

    monkeypatch.setattr(Monitor, "__call__", watched)
    train("run", console, scripted(0.1, 0.2), evaluate_every=1)
    assert states == [True] * 4


def test_figures_are_those_of_an_evaluation_of_that_step(console):
    run = train("run", console, evaluate_every=2)
    table = sslcore.evaluate("run", console=console)
    lines = figures(run)
    assert [line["step"] for line in lines] == [4, 8]
    assert lines[-1]["trained.knn_top1"] == table["encoder"]["knn_top1"]
    assert lines[-1]["untrained.knn_top1"] == table["random_init"]["knn_top1"]
    assert "step 8/8: knn_top1" in console.file.getvalue()


def test_the_best_weights_are_kept(console, scripted):
    scores = (0.5, 0.6, 0.9, 0.7, 0.8)
    last = train("last", console, scripted(*scores), evaluate_every=1)
    best = train("best", console, scripted(*scores), evaluate_every=1, keep="best")
    half = train("half", console, epochs=2, schedule="constant", warmup_epochs=0)
    assert not same(encoder_of(best), encoder_of(last))
    assert same(
        encoder_of(best),
        {
            name.removeprefix("encoder."): item
            for name, item in load_file("best/best.safetensors").items()
            if name.startswith("encoder.")
        },
    )
    assert "the encoder has the best weights, those of step 4" in console.file.getvalue()
    # An evaluation of the run is one of these weights.
    images = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        kept = sslcore.load_encoder(best.path)(images)
    assert not torch.equal(kept, sslcore.load_encoder(half.path)(images))
    table = sslcore.evaluate("best", evaluators=["knn"], console=console)
    assert (
        table["encoder"] != sslcore.evaluate("last", evaluators=["knn"], console=console)["encoder"]
    )


def test_the_best_step_is_that_of_the_highest_figure(console, scripted):
    run = train("run", console, scripted(0.5, 0.6, 0.9, 0.7, 0.8), evaluate_every=1, keep="best")
    assert [line["trained.scripted"] for line in figures(run)] == [0.6, 0.9, 0.7, 0.8]
    # The same training, stopped after the best step, has the same weights.
    stopped = train(
        "stopped", console, scripted(0.5, 0.6, 0.9, 0.7), evaluate_every=1, keep="best", patience=1
    )
    assert len(figures(stopped)) == 3
    assert same(encoder_of(run), encoder_of(stopped))


def test_training_stops_early_and_stays_finished(console, scripted):
    registry = scripted(0.5, 0.6, 0.5, 0.4, 0.9)
    run = train("run", console, registry, evaluate_every=1, patience=2)
    assert [line["step"] for line in figures(run)] == [2, 4, 6]
    assert "stopped early after step 6 of 8" in console.file.getvalue()
    assert RunSummary.of(run.path).state == "finished"
    weights = encoder_of(run)
    sslcore.train(resume="run", console=console, registry=registry, evaluate=False)
    assert len(figures(run)) == 3
    assert same(encoder_of(run), weights)


def test_a_resumed_run_counts_on_from_the_figures_before(console, scripted, monkeypatch):
    from sslcore.training.monitor import Monitor

    whole = Monitor.__call__

    def interrupted(self, step):
        stop = whole(self, step)
        if step == 4:
            raise InterruptedRun("pulled the plug")
        return stop

    registry = scripted(0.5, 0.6, 0.5, 0.5, 0.4, 0.9)
    with monkeypatch.context() as patch:
        patch.setattr(Monitor, "__call__", interrupted)
        with pytest.raises(InterruptedRun):
            train("run", console, registry, evaluate_every=1, patience=2)
    # Once the run is resumed, the untrained encoder is measured again.
    Scripted.scores, Scripted.calls = (0.5, 0.55), 0
    run = sslcore.train(resume="run", console=console, registry=registry, evaluate=False)
    assert [line["trained.scripted"] for line in figures(run)] == [0.6, 0.5, 0.55]


def test_an_encoder_that_becomes_worse_is_warned_of_once(console, scripted):
    train("run", console, scripted(0.9, 0.5, 0.4, 0.95, 0.3), evaluate_every=1)
    said = console.file.getvalue()
    assert said.count("the encoder is worse than before training") == 2
    assert (
        "step 2: the encoder is worse than before training: scripted 0.500 (untrained 0.900)"
        in (said)
    )


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"keep": "best"}, "training.keep: it needs figures during training"),
        ({"patience": 2}, "training.patience: it needs figures during training"),
        ({"evaluate_every": 0}, "training.evaluate_every: expected a number > 0"),
        ({"evaluate_every": 1, "keep": "worst"}, "training.keep: expected one of 'last', 'best'"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused_before_training(console, training, said):
    with pytest.raises(UsageError, match=said):
        train("run", console, **training)
    assert not Path("run").exists()


def test_no_fast_evaluator_is_refused_before_training(console):
    with pytest.raises(UsageError, match="linear-probe can't run during training"):
        sslcore.train(
            method="simclr",
            settings={"training": QUICK | {"evaluate_every": 1}},
            evaluators=["linear-probe"],
            output="run",
            console=console,
        )
    assert not Path("run").exists()


def test_an_unknown_metric_is_named_with_the_nearest(console):
    with pytest.raises(UsageError, match=r"no evaluator measures 'knn'.*nearest: knn_top1"):
        train("run", console, evaluate_every=1, monitor="knn")


def test_a_time_limit_stops_and_saves_and_the_run_goes_on_to_the_same_weights(console):
    whole = train("whole", console)
    with pytest.raises(InterruptedRun, match="go on with: sslcore train --resume run"):
        sslcore.train(
            method="simclr",
            settings={"training": QUICK},
            evaluators=["knn"],
            output="run",
            console=console,
            time_limit=1e-9,
        )
    assert RunSummary.of("run").status.state == "stopped"
    resumed = sslcore.train(resume="run", console=console, evaluate=False)
    assert same(encoder_of(resumed), encoder_of(whole))
    assert RunSummary.of(Run("run").path).state == "finished"


def test_the_report_shows_the_figures_during_training(console):
    from sslcore.reports.curves import draw_curves
    from sslcore.runs.metrics import read_metrics

    run = train("run", console, evaluate_every=1)
    figure = draw_curves({"run": [read_metrics(run.path / "metrics.jsonl")]})
    assert figure is not None
    (axis,) = (each for each in figure.axes if each.get_title(loc="left") == "knn_top1")
    trained, untrained = axis.get_lines()
    assert list(trained.get_ydata()) == [line["trained.knn_top1"] for line in figures(run)]
    assert set(untrained.get_ydata()) == {figures(run)[0]["untrained.knn_top1"]}
