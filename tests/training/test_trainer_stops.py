"""When training ends between two steps, the last step is saved."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch

import sslcore
from sslcore.api import make_recipe
from sslcore.data.batches import Batches
from sslcore.errors import InterruptedRun, TrainingError, UsageError
from sslcore.runs.checkpoint import has_checkpoint, load_checkpoint
from sslcore.runs.folder import Run
from sslcore.training.progress import ProgressDisplay
from sslcore.training.trainer import Trainer

STEPS = 9


@pytest.fixture
def options(tiny, registry, console):
    """Nine steps without a checkpoint on the way."""
    tiny["training"] |= {"epochs": 3, "checkpoint_every": 100}
    return {"settings": tiny, "registry": registry, "console": console, "evaluate": False}


def _train(output, options, **more):
    return sslcore.train("agreement", data="noise", output=output, **options, **more)


def _resume(output, options):
    more = {key: value for key, value in options.items() if key != "settings"}
    return sslcore.train(resume=output, **more)


def _same(one, other):
    first, second = load_checkpoint(one.checkpoints), load_checkpoint(other.checkpoints)
    assert first.step == second.step == STEPS
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, second.tensors[name]), name


def _images_fail(monkeypatch, step, error):
    between = Batches.between

    def failing(self, start, stop):
        for batch in between(self, start, stop):
            if batch.step == step:
                raise error
            yield batch

    monkeypatch.setattr(Batches, "between", failing)


def _display_fails(monkeypatch, step, error):
    advanced = ProgressDisplay.advanced

    def failing(self, done):
        advanced(self, done)
        if done == step:
            raise error

    monkeypatch.setattr(ProgressDisplay, "advanced", failing)


@pytest.mark.parametrize("fail", [_images_fail, _display_fails])
@pytest.mark.parametrize("error", [RuntimeError("bad luck"), SystemExit(3), KeyError("lost")])
def test_whatever_strikes_between_two_steps_finds_the_last_one_saved(
    fail, error, options, monkeypatch
):
    whole = _train("whole", options)
    with monkeypatch.context() as patch:
        fail(patch, 4, error)
        with pytest.raises(type(error)):
            _train("struck", options)
    assert load_checkpoint(Run("struck").checkpoints).step == 4
    _same(whole, _resume("struck", options))


def test_an_error_before_the_first_step_saves_the_beginning(options, monkeypatch):
    _images_fail(monkeypatch, 0, RuntimeError("bad luck"))
    with pytest.raises(RuntimeError):
        _train("run", options)
    assert load_checkpoint(Run("run").checkpoints).step == 0


def test_images_that_cannot_be_read_are_one_clear_line(options, monkeypatch):
    _images_fail(monkeypatch, 4, OSError(5, "Input/output error"))
    said = r"images of step 5 can't be read: .*Input/output error; restore the file; "
    said += "step 4 is saved, go on with: sslcore train --resume run$"
    with pytest.raises(TrainingError, match=said):
        _train("run", options)


def test_a_reader_process_that_dies_is_one_clear_line_and_the_run_can_go_on(options, monkeypatch):
    whole = _train("whole", options)
    advanced = ProgressDisplay.advanced

    def killing(self, done):
        advanced(self, done)
        for reader in multiprocessing.active_children():
            reader.kill()
            reader.join()

    with monkeypatch.context() as patch:
        patch.setattr(ProgressDisplay, "advanced", killing)
        with pytest.raises(TrainingError, match=r"can't be read: .*--resume struck --workers 0$"):
            _train("struck", options, workers=1)
    _same(whole, _resume("struck", options))


def test_a_second_ctrl_c_does_not_wait_for_saving(options, monkeypatch):
    _display_fails(monkeypatch, 4, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        _train("run", options)
    assert not has_checkpoint(Run("run").checkpoints)


def test_an_error_within_a_step_saves_no_half_step(options, monkeypatch):
    train_step = Trainer.train_step

    def failing(self, batch):
        if batch.step == 4:
            raise RuntimeError("half of a step")
        return train_step(self, batch)

    monkeypatch.setattr(Trainer, "train_step", failing)
    with pytest.raises(RuntimeError, match="half of a step"):
        _train("run", options)
    assert not has_checkpoint(Run("run").checkpoints)


def test_what_ended_training_surfaces_even_if_saving_fails(options, monkeypatch):
    _images_fail(monkeypatch, 4, RuntimeError("bad luck"))
    monkeypatch.setattr("sslcore.runs.checkpoint.save", lambda *tensors: 1 / 0)
    with pytest.raises(RuntimeError, match="bad luck"):
        _train("run", options)


def _signalled(monkeypatch, number):
    def send(self, done):
        if done == 4:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(ProgressDisplay, "advanced", send)


def test_a_terminal_that_has_gone_is_a_request_to_stop(options, monkeypatch):
    _signalled(monkeypatch, signal.SIGHUP)
    with pytest.raises(InterruptedRun, match="saved after step 4 of 9"):
        _train("run", options)
    assert load_checkpoint(Run("run").checkpoints).step == 4


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_that_the_process_ignores_stays_ignored(number, options, monkeypatch):
    _signalled(monkeypatch, number)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        assert _train("run", options).finished
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        ("RMSprop", r"optimizer rmsprop failed at step 1: .*'lr': 1e\+300"),
        # The fused optimizer moves the weights to infinity, and the next loss is not finite.
        ("SGD", "loss is not finite at step 2"),
    ],
)
def test_a_rate_that_no_weight_can_hold_is_one_clear_line(optimizer, said, options):
    options["settings"]["optimizer"] = {"name": optimizer, "lr": 1e300}
    with pytest.raises(TrainingError, match=said):
        _train("run", options)


@pytest.mark.parametrize(
    "setting",
    [
        ("training", "epochs", 10**30),
        ("training", "batch_size", 10**30),
        ("training", "warmup_epochs", 1e300),
        ("training", "warmup_epochs", 10**400),
        ("training", "seed", 2**63),
        ("training", "clip_grad_norm", float("inf")),
        ("optimizer", "lr", 10**400),
        ("optimizer", "weight_decay", "heavy"),
        ("optimizer", "betas", [0.9]),
        ("optimizer", "betas", [2, 3]),
        ("optimizer", "momentum", 0.9),
    ],
    ids=lambda setting: str(setting)[:40],
)
def test_a_setting_out_of_range_is_refused_before_a_folder_is_made(setting, options):
    section, name, value = setting
    options["settings"].setdefault(section, {})[name] = value
    with pytest.raises(UsageError, match=name.removesuffix("s")):
        _train("run", options)
    assert list(Path().iterdir()) == []


def test_an_optimizer_whose_eps_is_a_pair_takes_a_pair():
    settings = {"optimizer": {"name": "Adafactor", "eps": [1e-30, 1e-3]}}
    recipe, _ = make_recipe("autoencoder", settings=settings)
    assert recipe.optimizer.settings["eps"] == (1e-30, 1e-3)
