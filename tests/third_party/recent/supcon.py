"""Supervised contrastive learning (Khosla et al. 2020) in one file."""

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F

import sslcore


@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(
        name="recent-supcon",
        summary="Identify all views of all images of a class",
        reference="Khosla et al. 2020, arXiv:2004.11362, equation (2)",
        build="supcon:SupCon",
        supervised=True,
    )


@sslcore.hookimpl
def sslcore_methods():
    yield sslcore.Method(
        name="recent-supcon",
        summary="Attract all images of a class",
        augmentation="two-views",
        encoder="small-cnn",
        head="projection",
        loss="recent-supcon",
    )


class SupCon(nn.Module):
    def __init__(self, *, temperature: Annotated[float, Gt(0)] = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, projections: Tensor, labels: Tensor) -> Tensor:
        rows = F.normalize(projections, dim=-1).flatten(0, 1)
        classes = labels.repeat(len(projections))
        itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
        scores = (rows @ rows.T / self.temperature).masked_fill(itself, -torch.inf)
        alike = (classes[:, None] == classes) & ~itself
        losses = scores.logsumexp(1, keepdim=True) - scores
        return (losses.masked_fill(~alike, 0).sum(1) / alike.sum(1)).mean()
