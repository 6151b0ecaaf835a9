"""Parts that act between steps: prototypes of unit length, and centres that each epoch renews."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional

import sslcore
from sslcore.signals import Projections


@sslcore.hookimpl
def sslcore_heads():
    yield sslcore.Head(
        name="unit-prototypes",
        summary="Similarities to prototypes that each step brings back to length 1",
        build="moments_plugin:UnitPrototypes",
    )


@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(
        name="nearest-centre",
        summary="Squared distance to the nearest of some features of the epoch's beginning",
        build="moments_plugin:NearestCentre",
    )


@sslcore.hookimpl
def sslcore_methods():
    yield sslcore.Method(
        name="centres",
        summary="Pull features to centres that are drawn anew in each epoch",
        augmentation="two-views",
        encoder="small-cnn",
        head="unit-prototypes",
        loss="nearest-centre",
        settings={"optimizer": {"name": "AdamW", "lr": 1e-2}},
    )


class UnitPrototypes(nn.Module):
    def __init__(self, feature_dim: int, *, count: Annotated[int, Ge(1)] = 8) -> None:
        super().__init__()
        self.prototypes = nn.Linear(feature_dim, count, bias=False)
        self.after_step(progress=0.0)

    def forward(self, features: Tensor) -> Projections:
        return {"projections": self.prototypes(functional.normalize(features, dim=-1))}

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        assert 0 <= progress < 1
        self.prototypes.weight.copy_(functional.normalize(self.prototypes.weight, dim=1))


class NearestCentre(nn.Module):
    centres: Tensor
    epoch: Tensor

    def __init__(self, feature_dim: int, *, count: Annotated[int, Ge(1)] = 4) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(count, feature_dim))
        self.register_buffer("epoch", torch.tensor(-1))

    def forward(self, features: Tensor, projections: Tensor) -> Tensor:
        distances = torch.cdist(features.flatten(0, 1), self.centres)
        return distances.min(dim=1).values.square().mean() - projections.max(dim=-1).values.mean()

    def epoch_started(
        self, epoch: int, features: Callable[[], Tensor], random: sslcore.BatchRandom
    ) -> None:
        rows = random.uniform().argsort()[: len(self.centres)]
        self.centres.copy_(features()[rows])
        self.epoch.fill_(epoch)
