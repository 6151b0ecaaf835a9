"""A loss that is not finite stops the run, also if the check is read a step later."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import sslcore
from sslcore.errors import TrainingError
from sslcore.training.finiteness import FiniteCheck
from sslcore.training.trainer import Trainer


def _complaint(what):
    return TrainingError(f"the {what}")


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_a_step_that_is_not_finite_leaves_the_weights_and_is_told_at_the_next(name):
    weight = torch.nn.Parameter(torch.ones(3))
    settings = {"momentum": 0.9} if name == "SGD" else {}
    optimizer = getattr(torch.optim, name)([weight], lr=0.1, fused=True, **settings)
    finite = FiniteCheck(optimizer, later=True)

    def step(gradient, loss=1.0):
        weight.grad = torch.full((3,), gradient)
        watched = weight.grad.sum() + loss
        finite(watched, torch.tensor(loss), _complaint)
        optimizer.step()
        return weight.detach().clone()

    moved = step(1.0)
    assert not torch.equal(moved, torch.ones(3))
    assert torch.equal(step(float("nan")), moved)
    with pytest.raises(TrainingError, match="the gradient"):
        step(1.0)
    assert torch.equal(weight, moved)


def test_it_tells_a_loss_from_a_gradient():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    finite = FiniteCheck(optimizer, later=False)
    nan = torch.tensor(float("nan"))
    with pytest.raises(TrainingError, match="the gradient"):
        finite(nan, torch.tensor(1.0), _complaint)
    with pytest.raises(TrainingError, match="the loss"):
        finite(nan, nan, _complaint)


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_run_that_asks_later_saves_nothing_that_is_not_finite(
    bad, registry, tiny, console, monkeypatch
):
    tiny["training"] |= {"checkpoint_every": 1, "log_every": 100}
    tiny["optimizer"] = {"name": "SGD", "lr": 0.1}
    build = Trainer.__init__

    def asks_later(self, *arguments, **keywords):
        build(self, *arguments, **keywords)
        assert self.optimizer.defaults["fused"]
        self.finite.later = True
        score = self.gradients

        def spoilt(batch, progress):
            signals = score(batch, progress)
            if batch.step == bad:
                self.parameters[0].grad.fill_(float("inf"))
            return signals

        self.gradients = spoilt

    monkeypatch.setattr(Trainer, "__init__", asks_later)
    with pytest.raises(TrainingError, match=f"gradient is not finite at step {bad + 1}"):
        sslcore.train(
            "simclr",
            data="noise",
            settings=tiny,
            output="run",
            registry=registry,
            console=console,
            evaluate=False,
        )
    saved = sorted(path.name for path in Path("run/checkpoint").iterdir())
    # Two checkpoints are kept; the newer is of the last step with a finite loss.
    expected = [f"step-{step:09d}.safetensors" for step in range(1, bad + 1)][-2:]
    assert saved == expected
