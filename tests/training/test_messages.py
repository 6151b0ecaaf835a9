"""Messages when memory does not suffice: the part, and a size that would fit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import sslcore
from sslcore.compute.device import pick_device
from sslcore.errors import TrainingError, UsageError
from sslcore.signals import Features, Projections, Views


def _too_much() -> Tensor:
    return torch.empty(2**55, dtype=torch.uint8)


class _Greedy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, item):
        return item.clone()

    @staticmethod
    def backward(ctx, gradient):
        return _too_much()


class GreedyViews(nn.Module):
    """Requests too much memory in training only, when its random numbers are a step's."""

    def forward(self, images: Tensor, random: sslcore.BatchRandom | None = None) -> Views:
        if random is not None and len(images) > 4:
            _too_much()
        return {"views": torch.stack((images, images))}


class GreedyEncoder(nn.Module):
    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.layer = nn.Linear(channels, 8)

    def forward(self, views: Tensor) -> Features:
        if len(views) > 8:
            _too_much()
        return {"features": self.layer(views.mean((-2, -1)))}


class GreedyHead(nn.Module):
    def __init__(self, *, feature_dim: int) -> None:
        super().__init__()
        self.layer = nn.Linear(feature_dim, 8)

    def forward(self, features: Tensor) -> Projections:
        if features.shape[1] > 4:
            _too_much()
        return {"projections": self.layer(features)}


class GreedyLoss(nn.Module):
    def forward(self, projections: Tensor) -> Tensor:
        if projections.shape[1] > 4:
            _too_much()
        return projections.square().mean()


class GreedyBackwards(nn.Module):
    def forward(self, projections: Tensor) -> Tensor:
        return _Greedy.apply(projections).square().mean()


@pytest.mark.parametrize(
    ("kind", "part", "where", "splits"),
    [
        ("augmentation", GreedyViews, "augmentation made-up", True),
        ("encoder", GreedyEncoder, "encoder made-up", True),
        ("head", GreedyHead, "head made-up", True),
        ("loss", GreedyLoss, "loss made-up", False),
        ("loss", GreedyBackwards, "gradient", True),
    ],
)
def test_out_of_memory_names_the_part_and_what_would_fit(
    kind, part, where, splits, registry, add, tiny, console
):
    add(registry, kind, part)
    with pytest.raises(TrainingError) as caught:
        sslcore.train(
            "agreement",
            data="noise",
            settings=tiny,
            output="run",
            registry=registry,
            console=console,
            **{kind: "made-up"},
        )
    said = str(caught.value)
    assert f"cpu ran out of memory at step 1 with batches of 16, for the {where};" in said
    assert "--batch-size 8" in said
    assert ("--micro-batch 4" in said) == splits
    assert "nothing is saved yet" in said


class TestDevicesOfSeveralProcesses:
    """Each process uses the CUDA device of its local rank."""

    @pytest.fixture(autouse=True)
    def _two_devices(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    @pytest.mark.parametrize("name", ["auto", "cuda"])
    def test_each_takes_its_own(self, name):
        assert pick_device(name, local_rank=1) == torch.device("cuda", 1)

    def test_more_processes_than_devices_are_refused(self):
        with pytest.raises(UsageError, match="more processes on this machine than its 2"):
            pick_device("auto", local_rank=2)

    def test_a_device_for_all_of_them_is_refused(self):
        with pytest.raises(UsageError, match="use --device cuda"):
            pick_device("cuda:1", local_rank=0)

    def test_the_processor_is_for_all_of_them(self):
        assert pick_device("cpu", local_rank=3) == torch.device("cpu")
