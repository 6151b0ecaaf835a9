"""Optimizers and schedules in whole runs: resumed, evaluated, from a third party."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

import sslcore
from sslcore.errors import TrainingError, UsageError
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.runs.folder import ENCODER
from sslcore.training.trainer import Trainer

LARS = {
    "name": "lars",
    "lr": 0.3,
    "lr_per": 64,
    "weight_decay": 1e-4,
    "bias": {"weight_decay": 0.0, "trust_ratio": False},
    "norm": {"weight_decay": 0.0, "trust_ratio": False},
    "predictor": {"schedule": "constant"},
}


class Averages(torch.optim.Optimizer):
    """SGD whose weights in evaluation mode are the mean of all steps."""

    calls: list[str] = []  # noqa: RUF012

    def __init__(self, params, *, lr: float = 1e-2):
        super().__init__(params, {"lr": lr, "training": False})

    def train(self):
        self._swap(True)

    def eval(self):
        self._swap(False)

    @torch.no_grad()
    def _swap(self, training):
        self.calls.append("train" if training else "eval")
        for group in self.param_groups:
            if group["training"] != training:
                for weight in group["params"]:
                    state = self.state[weight]
                    if state:
                        other = weight.clone()
                        weight.copy_(state["other"])
                        state["other"] = other
            group["training"] = training

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            assert group["training"]
            for weight in group["params"]:
                if weight.grad is not None:
                    state = self.state[weight]
                    weight -= group["lr"] * weight.grad
                    state["steps"] = state.get("steps", 0) + 1
                    state.setdefault("other", weight.clone())
                    state["other"].lerp_(weight, 1 / state["steps"])


def steps_left(step: int, total_steps: int, *, power: float = 1.0) -> float:
    return (1 - step / total_steps) ** power


def falls_to_nothing(done: float) -> float:
    return float("nan") if done > 0.4 else 1.0


class _Killed(BaseException):
    pass


@pytest.fixture
def train(registry, add, console, tiny):
    """Train for six steps, with checkpoints after two and four."""
    add(registry, "optimizer", Averages, name="averages")
    add(registry, "schedule", steps_left, name="steps-left", distribution="other")
    add(registry, "schedule", falls_to_nothing, name="falls", distribution="third")

    def run(output, **sections):
        training = {"epochs": 2, "checkpoint_every": 2, **sections.pop("training", {})}
        return sslcore.train(
            "byol",
            data="noise",
            settings={**tiny, **sections, "training": {**tiny["training"], **training}},
            evaluators=["knn"],
            evaluate=False,
            output=output,
            console=console,
            registry=registry,
        )

    return run


def _same(one, other):
    first, second = load_checkpoint(one.checkpoints), load_checkpoint(other.checkpoints)
    assert first.step == second.step == 6
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, second.tensors[name]), name
    for name, tensor in load_file(one.path / ENCODER).items():
        assert torch.equal(tensor, load_file(other.path / ENCODER)[name]), name


@pytest.mark.parametrize(
    "optimizer",
    [LARS, {"name": "muon", "lr": 1e-3}, {"name": "averages"}],
    ids=lambda optimizer: optimizer["name"],
)
def test_a_killed_run_ends_bit_identical(optimizer, train, registry, console, monkeypatch):
    training = {"cooldown_epochs": 1, "final_weight_decay": 0.1}
    sections = {"optimizer": optimizer, "schedule": {"name": "steps-left", "power": 2.0}}
    whole = train("whole", training=training, **sections)
    train_step = Trainer.train_step

    def killed(self, batch):
        if batch.step == 3:
            raise _Killed
        return train_step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", killed)
        with pytest.raises(_Killed):
            train("killed", training=training, **sections)
    _same(whole, sslcore.train(resume="killed", registry=registry, console=console, evaluate=False))


def test_weights_are_those_for_evaluation_whenever_they_are_evaluated_and_at_the_end(train):
    Averages.calls.clear()
    run = train("run", optimizer={"name": "averages"}, training={"evaluate_every": 1})
    assert Averages.calls == ["train", "eval", "train", "eval", "train", "eval"]
    plain = train("plain", optimizer={"name": "averages"})
    _same(run, plain)
    kept = load_checkpoint(run.checkpoints).section("model")
    for name, tensor in load_file(run.path / ENCODER).items():
        assert torch.equal(tensor, kept[f"encoder.{name}"]), name


def test_a_recipe_of_before_is_that_of_today(train):
    before = train("before", optimizer={"name": "AdamW"}, training={"schedule": "linear"})
    today = train("today", optimizer={"name": "adamw"}, schedule={"name": "linear"})
    _same(before, today)


def test_a_rate_is_stated_for_a_batch_size(train):
    stated = train("stated", optimizer={"name": "sgd", "lr": 0.4, "lr_per": 64})
    plain = train("plain", optimizer={"name": "sgd", "lr": 0.1})
    _same(stated, plain)


def test_a_schedule_that_is_not_finite_ends_the_run_with_its_name(train):
    with pytest.raises(TrainingError, match=r"schedule falls .* returned nan at step 6"):
        train("run", schedule={"name": "falls"})


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"optimizer": {"name": "adamm"}}, "no optimizer is called 'adamm'; nearest: adam"),
        ({"schedule": {"name": "cosin"}}, "no schedule is called 'cosin'"),
        ({"schedule": {"power": 2}}, "schedule.power: no such setting"),
        ({"optimizer": {"bias": {"schedule": "cosin"}}}, "optimizer.bias.schedule: no schedule"),
        ({"optimizer": {"lr_per": 0}}, "optimizer.lr_per: expected an integer ≥ 1"),
        ({"training": {"final_rate": 2}}, "training.final_rate: expected a number from 0 to 1"),
        ({"optimizer": {"name": "averages", "bias": {"lr": "x"}}}, "optimizer.bias.lr: expected"),
    ],
)
def test_a_wrong_request_is_one_clear_line_and_no_folder(sections, said, train, tmp_path):
    with pytest.raises(UsageError, match=said):
        train(tmp_path / "run", **sections)
    assert not (tmp_path / "run").exists()
