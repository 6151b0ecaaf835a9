"""SwAV (Caron et al. 2020) in one file: predict the cluster of one view from another view."""

from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.nn import functional as F

import sslcore
from sslcore.signals import Projections


@sslcore.hookimpl
def sslcore_heads():
    yield sslcore.Head(
        name="recent-swav", summary="Cosines with prototypes of unit length", build="swav:Head"
    )


@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(
        name="recent-swav",
        summary="Cross-entropy to balanced clusters of the other global view",
        reference="Caron et al. 2020, arXiv:2006.09882, equations (1) to (5)",
        build="swav:Swapped",
    )


@sslcore.hookimpl
def sslcore_methods():
    yield sslcore.Method(
        name="recent-swav",
        summary="Predict the cluster of one view from another view",
        augmentation="multi-crop",
        encoder="small-cnn",
        head="recent-swav",
        loss="recent-swav",
    )


class Head(nn.Module):
    def __init__(
        self,
        feature_dim: int,
        *,
        hidden: Annotated[int, Ge(1)] = 256,
        dim: Annotated[int, Ge(1)] = 128,
        prototypes: Annotated[int, Ge(2)] = 30,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(feature_dim, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, dim),
        )
        self.prototypes = nn.Linear(dim, prototypes, bias=False)
        self.after_step(0.0)

    def forward(self, features: Tensor) -> Projections:
        made = F.normalize(self.layers(features.flatten(0, 1)), dim=-1)
        return {"projections": self.prototypes(made).unflatten(0, features.shape[:2])}

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        self.prototypes.weight.copy_(F.normalize(self.prototypes.weight, dim=1))


class Swapped(nn.Module):
    def __init__(
        self,
        *,
        temperature: Annotated[float, Gt(0)] = 0.1,
        epsilon: Annotated[float, Gt(0)] = 0.05,
        iterations: Annotated[int, Ge(1)] = 3,
    ) -> None:
        super().__init__()
        self.temperature, self.epsilon, self.iterations = temperature, epsilon, iterations

    def forward(self, projections: Tensor) -> Tensor:
        found = (projections / self.temperature).log_softmax(-1)
        losses = []
        for own in (0, 1):
            codes = self.codes(projections[own].detach())
            for other in range(len(projections)):
                if other != own:
                    losses.append(-(codes * found[other]).sum(-1).mean())
        return torch.stack(losses).mean()

    def codes(self, scores: Tensor) -> Tensor:
        """Return soft clusters (B, K) of cosines (B, K), equally many images in each."""
        logs = scores / self.epsilon
        for _ in range(self.iterations):
            logs = logs - logs.logsumexp(0)
            logs = logs - logs.logsumexp(1, keepdim=True)
        return logs.exp()
