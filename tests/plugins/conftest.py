"""What tests of several methods share."""

from __future__ import annotations

import pytest
import torch

import sslcore
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.training.trainer import Trainer


class _Killed(BaseException):
    pass


@pytest.fixture
def resumes_with_the_same_bits(registry, console, monkeypatch):
    """Return a function: train a method whole, and killed in the middle and resumed; compare.

    It returns the tensors of the last checkpoint.
    """

    def check(method, settings, *, step=3):
        options = {"registry": registry, "console": console, "evaluate": False}
        whole = sslcore.train(method, settings=settings, output="whole", **options)
        train_step = Trainer.train_step

        def killed(self, batch):
            if batch.step == step:
                raise _Killed
            return train_step(self, batch)

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "train_step", killed)
            with pytest.raises(_Killed):
                sslcore.train(method, settings=settings, output="killed", **options)
        # Earlier runs in this process must not matter.
        torch.rand(1000)
        resumed = sslcore.train(resume="killed", **options)
        first, second = load_checkpoint(whole.checkpoints), load_checkpoint(resumed.checkpoints)
        assert first.step == second.step > step
        assert first.tensors.keys() == second.tensors.keys()
        for name, tensor in first.tensors.items():
            assert torch.equal(tensor, second.tensors[name]), name
        return first.tensors

    return check
