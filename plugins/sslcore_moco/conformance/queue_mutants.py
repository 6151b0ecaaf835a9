"""Broken losses against a queue, written from equation 1: what each gets wrong is its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcore.testing import Mutant
from sslcore.testing.losses.common_mutants import exact, unit_rows
from sslcore_moco.conformance.examples import norm_detached
from sslcore_moco.queue import first_queue


def _scores(q: Tensor, k: Tensor, queue: Tensor) -> Tensor:
    return torch.cat([(q * k).sum(-1, keepdim=True), q @ queue.T], -1)


def _score(scores: Tensor, temperature: float) -> Tensor:
    return (scores / temperature).logsumexp(-1) - scores[..., 0] / temperature


def _write(queue: Tensor, oldest: int, keys: Tensor) -> int:
    """Write keys to a queue from a place on, and return the place after them."""
    for key in keys:
        queue[oldest % len(queue)] = key
        oldest += 1
    return oldest % len(queue)


@dataclass(frozen=True)
class Parts:
    """What the loss is made of, each of which may be at fault.

    Attributes:
        first: the queue's first rows, of (K, D).
        directions: (view of the queries, view of the keys) of each direction.
        prepared: queries and keys, from those given.
        unit: makes rows comparable.
        scores: (…, 1 + K) similarities with the own key and the queue, the own key's first.
        score: a loss for each query, from these and τ.
        mean: a scalar, from these; (directions, B).
        queued: the rows to queue, from queries and keys (directions, B, D).
        write: writes them into the queue at a place, and returns the next place.
        result: what is returned, from the value and the projections.
        stops: whether the keys get no gradient.
        early: whether keys are queued before they are scored.
        evaluates: whether keys are queued in eval mode too.
        persistent: whether queue, and place, are in the state.
        copies: whether what is scored against is a copy of the queue.
    """

    first: Callable[[int, int], Tensor] = first_queue
    directions: tuple[tuple[int, int], ...] = ((0, 1),)
    prepared: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda q, k: (q, k)
    unit: Callable[[Tensor], Tensor] = unit_rows
    scores: Callable[[Tensor, Tensor, Tensor], Tensor] = _scores
    score: Callable[[Tensor, float], Tensor] = _score
    mean: Callable[[Tensor], Tensor] = torch.mean
    queued: Callable[[Tensor, Tensor], Tensor] = lambda q, k: k.flatten(0, 1)
    write: Callable[[Tensor, int, Tensor], int] = _write
    result: Callable[[Tensor, Tensor], Any] = lambda value, projections: value
    stops: bool = True
    early: bool = False
    evaluates: bool = False
    persistent: tuple[bool, bool] = (True, True)


class _Queued(nn.Module):
    """The loss, made of parts, one of which may be at fault."""

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
            raise ValueError(f"projections and teacher projections of {wanted}, please")
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
        # A new queue each time: that of a batch may still be needed for its gradient.
        queue = self.queue.clone()
        place = self.parts.write(queue, int(self.oldest), rows.to(queue.dtype))
        self.queue = queue if queue.requires_grad else queue.detach()
        self.oldest = torch.tensor(place % len(queue))


#: The parts of a loss that scores these rows of a batch only.
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


_OF_RANKS = {"rank-offset-missing": _offset_missing, "keys-of-a-rank-queued": _own_rows_queued}


def _on_ranks(parts: Parts, share: Share) -> Callable[..., nn.Module]:
    def make(projection_dim: int, queue_size: float, temperature: float) -> nn.Module:
        return _OnRanks(share, parts, projection_dim, int(queue_size), temperature)

    return make


def _made(parts: Parts) -> Callable[..., nn.Module]:
    def make(projection_dim: int, queue_size: float, temperature: float) -> nn.Module:
        return _Queued(parts, projection_dim, int(queue_size), temperature)

    return make


def _shared(parts: Parts) -> Callable[..., nn.Module]:
    kept: dict[tuple[float, ...], nn.Module] = {}

    def make(projection_dim: int, queue_size: float, temperature: float) -> nn.Module:
        key = (projection_dim, queue_size, temperature)
        return kept.setdefault(key, _made(parts)(*key)).train()

    return make


# Faulty pieces


def _without_positive(scores: Tensor, temperature: float) -> Tensor:
    return (scores[..., 1:] / temperature).logsumexp(-1) - scores[..., 0] / temperature


def _with_batch(q: Tensor, k: Tensor, queue: Tensor) -> Tensor:
    others = (q @ k.mT).masked_fill(torch.eye(q.shape[1], dtype=torch.bool), -torch.inf)
    return torch.cat([_scores(q, k, queue), others], -1)


def _normalised_in_half(rows: Tensor) -> Tensor:
    return (
        unit_rows(rows).bfloat16().to(rows.dtype) + 0 * rows
        if rows.dtype == torch.float32
        else (unit_rows(rows))
    )


def _last_in_first_out(queue: Tensor, oldest: int, keys: Tensor) -> int:
    _write(queue, 0, keys)
    return 0


def _without_wrapping(queue: Tensor, oldest: int, keys: Tensor) -> int:
    room = len(queue) - oldest
    _write(queue, oldest, keys[:room])
    return oldest + min(room, len(keys))


def _whole_batches_only(queue: Tensor, oldest: int, keys: Tensor) -> int:
    return oldest if len(queue) % len(keys) else _write(queue, oldest, keys)


def _first_ones_of_large_batches(queue: Tensor, oldest: int, keys: Tensor) -> int:
    return _write(queue, oldest, keys[: len(queue)])


def _one_place_a_batch(queue: Tensor, oldest: int, keys: Tensor) -> int:
    _write(queue, oldest, keys)
    return oldest + 1


def _skipping_a_place(queue: Tensor, oldest: int, keys: Tensor) -> int:
    return _write(queue, oldest, keys) + 1


def _newest_replaced(queue: Tensor, oldest: int, keys: Tensor) -> int:
    for key in keys:
        queue[(oldest - 1) % len(queue)] = key
        oldest -= 1
    return oldest % len(queue)


def _nothing_written(queue: Tensor, oldest: int, keys: Tensor) -> int:
    return oldest


def _mean_key_only(queue: Tensor, oldest: int, keys: Tensor) -> int:
    return _write(queue, oldest, F.normalize(keys.mean(0, keepdim=True), dim=-1))


def _at_cosines_only(function: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    return {"scores": lambda q, k, queue: function(_scores(q, k, queue))}


#: What is changed of the loss, by what is wrong with it then.
_FAULTS: dict[str, dict[str, Any]] = {
    "positive-left-out-of-the-denominator": {"score": _without_positive},
    "temperature-missing": {"score": lambda s, t: _score(s, 1.0)},
    "temperature-multiplied": {"score": lambda s, t: _score(s, 1 / t)},
    "temperature-twice": {"score": lambda s, t: _score(s, t * t)},
    "temperature-not-for-the-positive": {
        "score": lambda s, t: torch.cat([s[..., :1], s[..., 1:] / t], -1).logsumexp(-1) - s[..., 0]
    },
    "factor-of-the-temperature": {"score": lambda s, t: 2 * t * _score(s, t)},
    "a-negative-for-the-positive": {"scores": lambda q, k, queue: _scores(q, k, queue).flip(-1)},
    "last-key-of-the-queue-left-out": {
        "scores": lambda q, k, queue: _scores(q, k, queue[: max(1, len(queue) - 1)])
    },
    "last-key-of-the-queue-twice": {
        "scores": lambda q, k, queue: _scores(q, k, torch.cat([queue, queue[-1:]]))
    },
    "keys-of-the-batch-as-negatives": {"scores": _with_batch},
    "cosines-without-their-sign": _at_cosines_only(torch.abs),
    "cosines-squared": _at_cosines_only(torch.square),
    "distances-for-cosines": _at_cosines_only(lambda s: 2 * s - 2),
    "hardest-negative-only": {
        "score": lambda s, t: _score(torch.stack([s[..., 0], s[..., 1:].amax(-1)], -1), t)
    },
    "sum-over-images": {"mean": torch.sum},
    "last-image-dropped": {
        "mean": lambda losses: losses[..., : max(1, losses.shape[-1] - 1)].mean()
    },
    "hardest-image-only": {"mean": torch.amax},
    "keys-of-other-images": {"prepared": lambda q, k: (q, k.roll(1, 1))},
    "student-for-teacher": {"prepared": lambda q, k: (q, q.detach() + 0 * k)},
    "roles-swapped": {"prepared": lambda q, k: (k + 0 * q, q.detach()), "stops": False},
    "a-view-against-itself": {"prepared": lambda q, k: (q, k.flip(0))},
    "queries-detached": {"prepared": lambda q, k: (q.detach() + 0 * q, k)},
    "teacher-trained": {"stops": False},
    "not-normalised": {"unit": lambda rows: rows},
    "normalised-over-the-batch": {"unit": lambda rows: F.normalize(rows, dim=1)},
    "normalised-by-one-norm": {"unit": lambda rows: F.normalize(rows, p=1, dim=-1)},
    "norm-with-large-epsilon": {
        "unit": lambda rows: rows / (rows.norm(dim=-1, keepdim=True) + 1e-3)
    },
    "not-a-number-at-zero-rows": {"unit": lambda rows: rows / rows.norm(dim=-1, keepdim=True)},
    "norm-detached": {"unit": norm_detached},
    "low-precision": {"unit": _normalised_in_half},
    "queue-starts-at-zero": {"first": lambda size, dim: torch.zeros(size, dim)},
    "queue-starts-anew-each-time": {
        "first": lambda size, dim: F.normalize(torch.randn(size, dim), dim=-1)
    },
    "queue-starts-long": {"first": lambda size, dim: 2 * first_queue(size, dim)},
    "nothing-queued": {"write": _nothing_written},
    "queued-too-early": {"early": True},
    "queries-queued": {"queued": lambda q, k: q.detach().flatten(0, 1)},
    "queued-keys-halved": {"queued": lambda q, k: k.flatten(0, 1) / 2},
    "queued-with-their-graph": {"stops": False, "queued": lambda q, k: k.flatten(0, 1) + 0},
    "mean-key-queued": {"write": _mean_key_only},
    "queued-in-reverse": {"write": lambda queue, oldest, keys: _write(queue, oldest, keys.flip(0))},
    "last-in-first-out": {"write": _last_in_first_out},
    "newest-replaced": {"write": _newest_replaced},
    "keys-beyond-the-end-dropped": {"write": _without_wrapping},
    "whole-batches-only": {"write": _whole_batches_only},
    "first-keys-of-large-batches-kept": {"write": _first_ones_of_large_batches},
    "one-place-a-batch": {"write": _one_place_a_batch},
    "a-place-skipped": {"write": _skipping_a_place},
    "queued-in-eval-mode": {"evaluates": True},
    "queue-not-in-the-state": {"persistent": (False, True)},
    "place-not-in-the-state": {"persistent": (True, False)},
    "sign": {"result": lambda value, p: -value},
    "a-constant-added": {"result": lambda value, p: value + 0.01},
    "norm-penalty-added": {"result": lambda value, p: value + 1e-3 * p.square().mean()},
    "gradient-halved": {"result": lambda value, p: 0.5 * value + 0.5 * value.detach()},
    "returns-a-number": {"result": lambda value, p: float(value.detach())},
    "returns-detached": {"result": lambda value, p: value.detach()},
    "returns-float32": {"result": lambda value, p: value.float()},
    "draws-from-the-global-generator": {"result": lambda value, p: (torch.rand(1), value)[1]},
}

_BOTH = ((0, 1), (1, 0))
_OF_ONE_DIRECTION: dict[str, dict[str, Any]] = {
    "both-directions": {"directions": _BOTH},
    "the-other-direction": {"directions": ((1, 0),)},
    "both-views-queued": {
        "directions": _BOTH,
        "mean": lambda losses: losses[0].mean(),
        "queued": lambda q, k: k.flip(0).flatten(0, 1),
    },
    "queries-queued-too": {"queued": lambda q, k: torch.cat([q.detach()[0], k[0]])},
}
_OF_BOTH_DIRECTIONS: dict[str, dict[str, Any]] = {
    "one-direction": {"directions": _BOTH[:1]},
    "sum-of-directions": {"mean": lambda losses: losses.mean(-1).sum()},
    "directions-weighted-otherwise": {
        "mean": lambda losses: 0.6 * losses[0].mean() + 0.4 * losses[1].mean()
    },
    "keys-of-one-view-queued": {"queued": lambda q, k: k[0]},
}


def _sound(symmetric: bool) -> Parts:
    if not symmetric:
        return Parts()
    # The keys of the first view before those of the second.
    return Parts(directions=_BOTH, queued=lambda q, k: k.flip(0).flatten(0, 1))


def queue_control(*, symmetric: bool) -> Mutant:
    """Return the loss without a fault."""
    return Mutant("no-fault", make=_made(_sound(symmetric)))


def queue_mutants(*, symmetric: bool) -> tuple[Mutant, ...]:
    """Return broken variants of the loss in one direction, or in both."""
    sound = _sound(symmetric)
    faults = {**_FAULTS, **(_OF_BOTH_DIRECTIONS if symmetric else _OF_ONE_DIRECTION)}
    return (
        *(Mutant(name, make=_made(replace(sound, **fault))) for name, fault in faults.items()),
        Mutant("shared-object", make=_shared(sound)),
        *(
            Mutant(name, make=_on_ranks(sound, share), needs="ranks-agree")
            for name, share in _OF_RANKS.items()
        ),
    )
