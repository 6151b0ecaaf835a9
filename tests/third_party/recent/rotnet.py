"""RotNet (Gidaris et al. 2018) in one file: by how many quarter turns is an image rotated?"""

from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import sslcore
from sslcore.signals import Views


@sslcore.hookimpl
def sslcore_augmentations():
    yield sslcore.Augmentation(
        name="recent-quarter-turns",
        summary="Each image, rotated by 0, 1, 2 and 3 quarter turns",
        reference="Gidaris et al. 2018, arXiv:1803.07728, section 2",
        build="rotnet:QuarterTurns",
    )


@sslcore.hookimpl
def sslcore_heads():
    yield sslcore.Head(
        name="recent-rotnet", summary="A number for each of four turns", build="rotnet:Turns"
    )


@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(
        name="recent-rotnet",
        summary="Cross-entropy of the quarter turns",
        reference="Gidaris et al. 2018, arXiv:1803.07728, equation (3)",
        build="rotnet:TurnEntropy",
    )


@sslcore.hookimpl
def sslcore_methods():
    yield sslcore.Method(
        name="recent-rotnet",
        summary="Predict by how many quarter turns an image is rotated",
        augmentation="recent-quarter-turns",
        encoder="small-cnn",
        head="recent-rotnet",
        loss="recent-rotnet",
    )


class QuarterTurns(nn.Module):
    def __init__(self, *, mean: float = 0.5, std: float = 0.25) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, images: Tensor) -> Views:
        turns = range(4 if self.training else 1)
        views = [images.rot90(turn, (-2, -1)) for turn in turns]
        return {"views": (torch.stack(views) - self.mean) / self.std}


class TurnLogits(TypedDict):
    """`turns`: (V, B, 4)."""

    turns: Tensor


class Turns(nn.Module):
    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_dim, 4)

    def forward(self, features: Tensor) -> TurnLogits:
        return {"turns": self.linear(features)}


class TurnEntropy(nn.Module):
    def __init__(self, num_views: int = 4) -> None:
        super().__init__()
        if num_views != 4:
            raise ValueError(f"each image has 4 quarter turns, and there are {num_views} views")

    def forward(self, turns: Tensor) -> Tensor:
        wanted = torch.arange(len(turns), device=turns.device).repeat_interleave(turns.shape[1])
        return F.cross_entropy(turns.flatten(0, 1), wanted)
