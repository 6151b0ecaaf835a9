"""The trackers that ship, with their real libraries in local mode."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sslcore

SETTINGS = {"training": {"epochs": 2, "batch_size": 512, "precision": "fp32", "log_every": 1}}


@pytest.fixture
def run(console):
    """Train with a tracker."""

    def train(name, **options):
        made = sslcore.train(
            method="simclr",
            settings=SETTINGS,
            evaluators=["knn"],
            output="run",
            console=console,
            track=[name],
            report=True,
            **options,
        )
        assert "failed and is left out" not in console.file.getvalue(), console.file.getvalue()
        return made

    return train


def losses_of(run):
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines}


def test_tensorboard_has_the_numbers_the_scores_and_the_pictures(run):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard"
    )
    made = run("tensorboard")
    events = accumulator.EventAccumulator(str(made.path / "tensorboard"))
    events.Reload()
    logged = {event.step: event.value for event in events.Scalars("loss")}
    assert logged == pytest.approx(losses_of(made))
    (score,) = events.Scalars("final/encoder.knn_top1")
    assert score.value == pytest.approx(made.read_evaluation()["encoder"]["knn_top1"])
    assert "training" in events.Tags()["images"]


def test_wandb_writes_an_offline_run_with_the_numbers():
    pytest.importorskip("wandb", reason="needs wandb")
    # In a process of its own: a process that ends waits until its service has written all.
    command = [
        *(sys.executable, "-m", "sslcore", "train", "--method", "simclr", "--epochs", "2"),
        *("--batch-size", "512", "--precision", "fp32", "--set", "training.log_every=1"),
        *("--evaluator", "knn", "--track", "wandb", "--report", "--output", "run"),
    ]
    done = subprocess.run(
        command,
        env={**os.environ, "WANDB_MODE": "offline"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "failed and is left out" not in done.stderr
    made = sslcore.open_run("run")
    (file,) = (made.path / "wandb").glob("offline-run-*/run-*.wandb")
    # The file holds records with each number as the text of JSON.
    written = file.read_bytes()
    assert b"effective_rank" in written
    assert all(json.dumps(loss).encode() in written for loss in losses_of(made).values())
    score = made.read_evaluation()["encoder"]["knn_top1"]
    assert b"final/encoder.knn_top1" in written
    assert json.dumps(score).encode() in written
    assert (made.path / ".wandb-run").read_text()


def test_mlflow_has_the_numbers_and_a_resumed_run_is_the_same_run(run, console, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", Path("mlruns").absolute().as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with pytest.raises(sslcore.SslcoreError, match="stopped and saved"):
        run("mlflow", time_limit=1e-9)
    made = sslcore.train(resume="run", console=console, track=["mlflow"], evaluate=False)
    client = mlflow.MlflowClient()
    (experiment,) = (each for each in client.search_experiments() if each.name == "sslcore")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params["loss.temperature"] == "0.5"
    history = client.get_metric_history(found.info.run_id, "loss")
    assert {each.step: each.value for each in history} == pytest.approx(losses_of(made))
