"""Objects as a user has them in a notebook."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

import sslcore


class Photos(torch.utils.data.Dataset):
    """PIL images of 16 px, of two classes in turn; the dark one comes first."""

    classes = ("dark", "light")

    def __init__(self, count=40, side=16):
        self.count, self.side = count, side

    def __len__(self):
        return self.count

    def __getitem__(self, row):
        generator = torch.Generator().manual_seed(row)
        pixels = torch.rand(self.side, self.side, 3, generator=generator) / 2 + row % 2 / 2
        return Image.fromarray((pixels * 255).byte().numpy()), row % 2


class Net(nn.Module):
    """Images to maps of 8 channels."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def agreement(z1, z2):
    return (z1 - z2).square().mean() - z1.std(0).mean()


SETTINGS = {"training": {"epochs": 2, "batch_size": 8, "precision": "fp32", "log_every": 1}}


@pytest.fixture
def objects():
    """One object of each kind."""
    torch.manual_seed(1)
    return {
        "data": Photos(),
        "augmentation": v2.Compose(
            [
                v2.RandomResizedCrop(12, scale=(0.3, 1)),
                v2.RandomHorizontalFlip(),
                v2.Normalize([0.5] * 3, [0.25] * 3),
            ]
        ),
        "encoder": Net(),
        "head": nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)),
        "loss": agreement,
    }


@pytest.fixture
def train(objects, console):
    """Train with the objects for ten steps: `train(output, encoder=another)`; None leaves one out.

    The sections of `settings` are added to those of the run.
    """

    def call(output, settings=None, **changed):
        given = {name: item for name, item in {**objects, **changed}.items() if item is not None}
        more = {**SETTINGS, **(settings or {})}
        own = {} if "resume" in changed else {"settings": more, "output": output}
        return sslcore.train(**given, **own, device="cpu", console=console)

    return call
