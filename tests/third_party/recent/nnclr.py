"""NNCLR (Dwibedi et al. 2021) in one file: the positive is the nearest neighbour in a queue."""

from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.nn import functional as F

import sslcore


@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(
        name="recent-nnclr",
        summary="Identify an image by the nearest neighbour of its other view",
        reference="Dwibedi et al. 2021, arXiv:2104.14548, equations (2) to (4)",
        build="nnclr:Neighbours",
    )


@sslcore.hookimpl
def sslcore_methods():
    yield sslcore.Method(
        name="recent-nnclr",
        summary="Identify an image by the nearest neighbour of its other view",
        augmentation="two-views",
        encoder="small-cnn",
        head="prediction",
        loss="recent-nnclr",
    )


class Neighbours(nn.Module):
    def __init__(
        self,
        projection_dim: int,
        *,
        temperature: Annotated[float, Gt(0)] = 0.1,
        queue_size: Annotated[int, Ge(1)] = 256,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        first = torch.randn(queue_size, projection_dim, generator=torch.Generator().manual_seed(0))
        self.register_buffer("queue", F.normalize(first, dim=-1))

    def forward(self, projections: Tensor, predictions: Tensor) -> Tensor:
        found = F.normalize(projections.detach(), dim=-1)
        wanted = F.normalize(predictions, dim=-1)
        queue = self.queue.to(found.dtype)
        near = queue[(found @ queue.T).argmax(-1)]
        scores = near @ wanted.flip(0).mT / self.temperature
        own = torch.arange(scores.shape[-1], device=scores.device).repeat(2)
        if self.training:
            self.queue = torch.cat([queue, found[0]])[-len(queue) :].to(self.queue.dtype)
        return F.cross_entropy(scores.flatten(0, 1), own)
