"""A loss against a queue, made of parts that can each be replaced by a faulty one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from sslcore.testing.losses.common_mutants import exact, unit_rows
from sslcore_moco.queue import first_queue


def scores_of(q: Tensor, k: Tensor, queue: Tensor) -> Tensor:
    return torch.cat([(q * k).sum(-1, keepdim=True), q @ queue.T], -1)


def score_of(scores: Tensor, temperature: float) -> Tensor:
    return (scores / temperature).logsumexp(-1) - scores[..., 0] / temperature


def write_keys(queue: Tensor, oldest: int, keys: Tensor) -> int:
    """Write keys to a queue at a position, and return the next position."""
    for key in keys:
        queue[oldest % len(queue)] = key
        oldest += 1
    return oldest % len(queue)


@dataclass(frozen=True)
class Parts:
    """The parts of the loss, each of which may be faulty.

    Attributes:
        first: the queue's first rows, of (K, D).
        directions: (view of the queries, view of the keys) of each direction.
        prepared: queries and keys, from the given ones.
        unit: normalises rows.
        scores: (…, 1 + K) similarities with the query's own key, first, and with the queue.
        score: a loss for each query, from the similarities and τ.
        mean: a scalar, from the losses of the queries, (directions, B).
        queued: the rows to queue, from queries and keys (directions, B, D).
        write: writes rows into the queue at a position, and returns the next position.
        result: the returned value, from the loss and the projections.
        stops: whether the keys get no gradient.
        early: whether keys are queued before they are scored.
        evaluates: whether keys are queued in eval mode too.
        persistent: whether the queue and the position are in the state.
        copies: whether queries are scored against a copy of the queue.
    """

    first: Callable[[int, int], Tensor] = first_queue
    directions: tuple[tuple[int, int], ...] = ((0, 1),)
    prepared: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda q, k: (q, k)
    unit: Callable[[Tensor], Tensor] = unit_rows
    scores: Callable[[Tensor, Tensor, Tensor], Tensor] = scores_of
    score: Callable[[Tensor, float], Tensor] = score_of
    mean: Callable[[Tensor], Tensor] = torch.mean
    queued: Callable[[Tensor, Tensor], Tensor] = lambda q, k: k.flatten(0, 1)
    write: Callable[[Tensor, int, Tensor], int] = write_keys
    result: Callable[[Tensor, Tensor], Any] = lambda value, projections: value
    stops: bool = True
    early: bool = False
    evaluates: bool = False
    persistent: tuple[bool, bool] = (True, True)


class _Queued(nn.Module):
    """The loss, made of parts, one of which may be faulty."""

    queue: Tensor
    oldest: Tensor

    def __init__(self, parts: Parts, dim: int, size: int, temperature: float) -> None:
        super().__init__()
        self.parts, self.temperature = parts, temperature
        first, second = parts.persistent
        self.register_buffer("queue", parts.first(size, dim), persistent=first)
        place = torch.zeros((), dtype=torch.int64)
        self.register_buffer("oldest", place, persistent=second)

    def forward(self, projections: Tensor, teacher_projections: Tensor) -> Any:
        parts = self.parts
        wanted = (2, projections.shape[1], self.queue.shape[1])
        if projections.shape != wanted or teacher_projections.shape != wanted:
            raise ValueError(f"projections and teacher projections must be {wanted}")
        given = exact(projections), exact(teacher_projections)
        q, k = parts.prepared(given[0], given[1].detach() if parts.stops else given[1])
        own, other = (list(views) for views in zip(*parts.directions, strict=True))
        q, k = parts.unit(q[own]), parts.unit(k[other])
        rows = parts.queued(q, k)
        if parts.early:
            self._enqueue(rows)
        scores = parts.scores(q, k, self.queue.to(q.dtype))
        value = parts.mean(parts.score(scores, self.temperature))
        if not parts.early:
            self._enqueue(rows)
        return parts.result(value.to(projections.dtype), projections)

    def _enqueue(self, rows: Tensor) -> None:
        if not (self.training or self.parts.evaluates):
            return
        # A new queue each time: the gradient of a batch may still need its queue.
        queue = self.queue.clone()
        place = self.parts.write(queue, int(self.oldest), rows.to(queue.dtype))
        self.queue = queue if queue.requires_grad else queue.detach()
        self.oldest = torch.tensor(place % len(queue))


#: Makes the parts of a loss that scores only these rows of a batch.
Share = Callable[[Parts, slice], Parts]


class _OnRanks(_Queued):
    """The loss of a batch that several processes share."""

    def __init__(self, share: Share, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.share = share

    def forward(
        self, projections: Tensor, teacher_projections: Tensor, rows: slice | None = None
    ) -> Any:
        whole = self.parts
        self.parts = whole if rows is None else self.share(whole, rows)
        try:
            return super().forward(projections, teacher_projections)
        finally:
            self.parts = whole


def _offset_missing(whole: Parts, rows: slice) -> Parts:
    return replace(whole, mean=lambda losses: whole.mean(losses[:, : rows.stop - rows.start]))


def _own_rows_queued(whole: Parts, rows: slice) -> Parts:
    return replace(
        whole,
        mean=lambda losses: whole.mean(losses[:, rows]),
        queued=lambda q, k: whole.queued(q[:, rows], k[:, rows]),
    )


RANK_FAULTS = {"rank-offset-missing": _offset_missing, "keys-of-a-rank-queued": _own_rows_queued}


def on_ranks(parts: Parts, share: Share) -> Callable[..., nn.Module]:
    def make(projection_dim: int, queue_size: float, temperature: float) -> nn.Module:
        return _OnRanks(share, parts, projection_dim, int(queue_size), temperature)

    return make


def made_of(parts: Parts) -> Callable[..., nn.Module]:
    def make(projection_dim: int, queue_size: float, temperature: float) -> nn.Module:
        return _Queued(parts, projection_dim, int(queue_size), temperature)

    return make


def shared(parts: Parts) -> Callable[..., nn.Module]:
    kept: dict[tuple[float, ...], nn.Module] = {}

    def make(projection_dim: int, queue_size: float, temperature: float) -> nn.Module:
        key = (projection_dim, queue_size, temperature)
        return kept.setdefault(key, made_of(parts)(*key)).train()

    return make
