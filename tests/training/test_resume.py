"""A run that is stopped at any step and resumed gives the same result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

import sslcore
from sslcore.errors import InterruptedRun, RunFolderError
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.runs.folder import ENCODER, METRICS, Run
from sslcore.runs.metrics import read_metrics
from sslcore.training.trainer import Trainer

STEPS = 9


@pytest.fixture
def settings(tiny):
    # 3 steps an epoch, a checkpoint every 2: some kills lose a step, some lose none.
    tiny["training"] |= {"epochs": 3, "checkpoint_every": 2}
    tiny["optimizer"] = {"name": "AdamW", "lr": 1e-2}
    return tiny


def _train(**options):
    return sslcore.train("agreement", data="noise", evaluate=False, **options)


def _same(one, other):
    first, second = load_checkpoint(one.checkpoints), load_checkpoint(other.checkpoints)
    assert first.step == second.step == STEPS
    assert first.tensors.keys() == second.tensors.keys()
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, second.tensors[name]), name
    for name, tensor in load_file(one.path / ENCODER).items():
        assert torch.equal(tensor, load_file(other.path / ENCODER)[name]), name


class _Killed(BaseException):
    pass


def _steps():
    """Every step; the first, one in the middle and the last by default."""
    usual = (0, STEPS // 2, STEPS - 1)
    return [
        pytest.param(step, marks=() if step in usual else pytest.mark.slow) for step in range(STEPS)
    ]


@pytest.mark.parametrize("step", _steps())
def test_killed_at_any_step_and_resumed_a_run_ends_bit_identical(
    step, settings, registry, console, monkeypatch
):
    options = {"settings": settings, "registry": registry, "console": console}
    whole = _train(output="whole", **options)

    train_step = Trainer.train_step

    def killed(self, batch):
        if batch.step == step:
            raise _Killed
        return train_step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", killed)
        with pytest.raises(_Killed):
            _train(output="killed", **options)
    resumed = sslcore.train(resume="killed", registry=registry, console=console, evaluate=False)
    _same(whole, resumed)
    lines = [read_metrics(run.path / METRICS) for run in (whole, resumed)]
    for line in (*lines[0], *lines[1]):
        del line["images_per_second"], line["time"]
    assert lines[0] == lines[1]


def test_a_stateful_method_resumes_bit_identical_too(settings, registry, console, monkeypatch):
    # A teacher, batch norm, a queue in the loss, momentum, and random views.
    settings["optimizer"] = {"name": "SGD", "lr": 0.1, "momentum": 0.9}
    settings["loss"] = {"queue_size": 64}
    options = {"settings": settings, "registry": registry, "console": console}
    whole = sslcore.train("moco", data="noise", output="whole", evaluate=False, **options)
    train_step = Trainer.train_step

    def killed(self, batch):
        if batch.step == 5:
            raise _Killed
        return train_step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", killed)
        with pytest.raises(_Killed):
            sslcore.train("moco", data="noise", output="killed", evaluate=False, **options)
    # Earlier runs in this process must not matter.
    torch.rand(1000)
    _same(whole, sslcore.train(resume="killed", registry=registry, console=console, evaluate=False))


@pytest.mark.parametrize("own", [{"layer_decay": 0.7}, {"freeze": "encoder"}], ids=str)
def test_a_classifier_resumes_bit_identical_too(own, settings, registry, console, monkeypatch):
    settings["training"] |= own
    # Momentum for each group of parameters.
    settings["optimizer"] = {"name": "SGD", "lr": 0.1, "momentum": 0.9}
    options = {"settings": settings, "registry": registry, "console": console, "evaluate": False}
    whole = sslcore.train("classification", data="noise", output="whole", **options)
    train_step = Trainer.train_step

    def killed(self, batch):
        if batch.step == 5:
            raise _Killed
        return train_step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", killed)
        with pytest.raises(_Killed):
            sslcore.train("classification", data="noise", output="killed", **options)
    torch.rand(1000)
    _same(whole, sslcore.train(resume="killed", registry=registry, console=console, evaluate=False))


def test_a_finished_run_can_be_resumed_and_stays_as_it_is(settings, registry, console):
    options = {"registry": registry, "console": console}
    run = _train(output="done", settings=settings, **options)
    before = (run.path / ENCODER).read_bytes()
    sslcore.train(resume="done", evaluate=False, **options)
    assert (run.path / ENCODER).read_bytes() == before


def test_a_truncated_checkpoint_falls_back_to_the_one_before_and_says_so(
    settings, registry, console
):
    options = {"registry": registry, "console": console}
    whole = _train(output="whole", settings=settings, **options)
    run = _train(output="damaged", settings=settings, **options)
    newest = sorted(run.checkpoints.iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    resumed = sslcore.train(resume="damaged", evaluate=False, **options)
    said = console.file.getvalue()
    assert "step-000000009.safetensors is damaged" in said
    assert "going on from step 8" in said
    _same(whole, resumed)


def test_a_flipped_bit_in_a_checkpoint_is_noticed(settings, registry, console):
    run = _train(output="run", settings=settings, registry=registry, console=console)
    newest = sorted(run.checkpoints.iterdir())[-1]
    content = bytearray(newest.read_bytes())
    content[-5] ^= 1
    newest.write_bytes(content)
    checkpoint = load_checkpoint(run.checkpoints)
    assert checkpoint.step == 8
    assert "checksum" in checkpoint.skipped[0]


def test_two_checkpoints_are_kept(settings, registry, console):
    run = _train(output="run", settings=settings, registry=registry, console=console)
    assert sorted(path.name for path in run.checkpoints.iterdir()) == [
        "step-000000008.safetensors",
        "step-000000009.safetensors",
    ]


def test_resuming_with_another_recipe_is_refused_and_says_what_differs(settings, registry, console):
    options = {"registry": registry, "console": console}
    _train(output="run", settings=settings, **options)
    with pytest.raises(RunFolderError, match=r"training\.epochs: 3 → 5"):
        sslcore.train(resume="run", settings={"training": {"epochs": 5}}, **options)
    with pytest.raises(RunFolderError, match="head"):
        sslcore.train(resume="run", head="prediction", **options)
    same = {"training": {"epochs": 3}}
    sslcore.train(resume="run", settings=same, evaluate=False, **options)


def test_a_stop_request_saves_and_says_how_to_go_on(settings, registry, console, monkeypatch):
    train_step = Trainer.train_step

    def asked(self, batch):
        if batch.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return train_step(self, batch)

    options = {"registry": registry, "console": console}
    whole = _train(output="whole", settings=settings, **options)
    said = r"step 5 of 9; go on with: sslcore train --resume"
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", asked)
        with pytest.raises(InterruptedRun, match=said):
            _train(output="asked", settings=settings, **options)
    assert load_checkpoint(Run("asked").checkpoints).step == 5
    _same(whole, sslcore.train(resume="asked", evaluate=False, **options))


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 130, marks=pytest.mark.slow),
        (signal.SIGKILL, -9),
    ],
)
def test_a_real_process_stopped_by_a_signal_can_be_resumed(number, code):
    command = [sys.executable, "-m", "sslcore", "train", "--method", "autoencoder"]
    command += ["--output", "run", "--epochs", "50", "--no-evaluate"]
    command += ["--set", "training.checkpoint_every=3", "--set", "encoder.widths=4,8"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    checkpoints = Run("run").checkpoints
    while process.poll() is None and not list(checkpoints.glob("step-*")):
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=600)
    assert process.returncode == code, said
    if number != signal.SIGKILL:
        assert "sslcore train --resume run" in said
        assert "Traceback" not in said
    assert load_checkpoint(checkpoints).step > 0


def test_a_run_without_a_whole_checkpoint_says_so_instead_of_starting_over(
    settings, registry, console
):
    options = {"registry": registry, "console": console}
    run = _train(output="run", settings=settings, **options)
    for path in run.checkpoints.iterdir():
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(RunFolderError, match="every checkpoint is damaged"):
        sslcore.train(resume="run", evaluate=False, **options)


def test_fp16_resumes_bit_identical_with_its_scale(settings, registry, console, monkeypatch):
    settings["training"]["precision"] = "fp16"
    options = {"settings": settings, "registry": registry, "console": console}
    whole = _train(output="whole", **options)
    train_step = Trainer.train_step

    def killed(self, batch):
        if batch.step == 5:
            raise _Killed
        return train_step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", killed)
        with pytest.raises(_Killed):
            _train(output="killed", **options)
    resumed = sslcore.train(resume="killed", registry=registry, console=console, evaluate=False)
    _same(whole, resumed)
    scales = [load_checkpoint(run.checkpoints).scalars["scaler"] for run in (whole, resumed)]
    assert scales[0] == scales[1]
    assert scales[0]["_growth_tracker"] == STEPS


def test_figures_of_an_earlier_step_do_not_outlive_further_training(settings, registry, console):
    options = {"registry": registry, "console": console}
    run = _train(output="run", settings=settings, **options)
    sorted(run.checkpoints.iterdir())[-1].unlink()
    sslcore.evaluate(run.path, evaluators=["knn"], **options)
    assert run.read_evaluation()
    sslcore.train(resume="run", evaluate=False, **options)
    assert run.read_evaluation() == {}


def test_a_finished_run_without_checkpoints_is_not_started_over(settings, registry, console):
    options = {"registry": registry, "console": console}
    run = _train(output="run", settings=settings, **options)
    for path in run.checkpoints.iterdir():
        path.unlink()
    with pytest.raises(RunFolderError, match="has no checkpoints: there is nothing"):
        sslcore.train(resume="run", evaluate=False, **options)
    assert read_metrics(run.path / METRICS)


def test_data_that_has_changed_in_number_is_refused(settings, registry, console):
    options = {"registry": registry, "console": console}
    run = _train(output="run", settings=settings, **options)
    recipe = run.path / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("count = 48", "count = 47"))
    with pytest.raises(RunFolderError, match="started on 47 training images, and there are 48"):
        sslcore.train(resume="run", evaluate=False, **options)
