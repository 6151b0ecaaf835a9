"""The modules behind `moco_plugin`."""

from __future__ import annotations

from typing import Annotated, TypedDict

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize


class Scored(TypedDict):
    loss: Tensor
    queue_filled: Tensor


class QueueNCE(nn.Module):
    queue: Tensor
    written: Tensor

    def __init__(
        self,
        projection_dim: int,
        *,
        size: Annotated[int, Ge(1)] = 256,
        temperature: Annotated[float, Gt(0)] = 0.2,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.register_buffer("queue", torch.zeros(size, projection_dim))
        self.register_buffer("written", torch.zeros((), dtype=torch.int64))

    def forward(self, projections: Tensor, teacher_projections: Tensor) -> Scored:
        query = normalize(projections[0], dim=-1)
        key = normalize(teacher_projections[1], dim=-1)
        positive = (query * key).sum(-1, keepdim=True)
        scores = torch.cat([positive, query @ self.queue.clone().T], 1) / self.temperature
        places = (self.written + torch.arange(len(key))) % len(self.queue)
        self.queue[places] = key
        self.written += len(key)
        filled = self.written.clamp_max(len(self.queue)) / len(self.queue)
        target = torch.zeros(len(query), dtype=torch.int64)
        return {"loss": cross_entropy(scores, target), "queue_filled": filled}
