"""Broken losses against a queue, from equation 1; each is named after its fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing import Mutant
from sslcore.testing.losses.common_mutants import unit_rows
from sslcore_moco.conformance.examples import norm_detached
from sslcore_moco.conformance.queue_loss import (
    RANK_FAULTS,
    Parts,
    made_of,
    on_ranks,
    score_of,
    scores_of,
    shared,
    write_keys,
)
from sslcore_moco.queue import first_queue


def _without_positive(scores: Tensor, temperature: float) -> Tensor:
    return (scores[..., 1:] / temperature).logsumexp(-1) - scores[..., 0] / temperature


def _with_batch(q: Tensor, k: Tensor, queue: Tensor) -> Tensor:
    others = (q @ k.mT).masked_fill(torch.eye(q.shape[1], dtype=torch.bool), -torch.inf)
    return torch.cat([scores_of(q, k, queue), others], -1)


def _normalised_in_half(rows: Tensor) -> Tensor:
    return (
        unit_rows(rows).bfloat16().to(rows.dtype) + 0 * rows
        if rows.dtype == torch.float32
        else (unit_rows(rows))
    )


def _last_in_first_out(queue: Tensor, oldest: int, keys: Tensor) -> int:
    write_keys(queue, 0, keys)
    return 0


def _without_wrapping(queue: Tensor, oldest: int, keys: Tensor) -> int:
    room = len(queue) - oldest
    write_keys(queue, oldest, keys[:room])
    return oldest + min(room, len(keys))


def _whole_batches_only(queue: Tensor, oldest: int, keys: Tensor) -> int:
    return oldest if len(queue) % len(keys) else write_keys(queue, oldest, keys)


def _first_ones_of_large_batches(queue: Tensor, oldest: int, keys: Tensor) -> int:
    return write_keys(queue, oldest, keys[: len(queue)])


def _one_place_a_batch(queue: Tensor, oldest: int, keys: Tensor) -> int:
    write_keys(queue, oldest, keys)
    return oldest + 1


def _skipping_a_place(queue: Tensor, oldest: int, keys: Tensor) -> int:
    return write_keys(queue, oldest, keys) + 1


def _newest_replaced(queue: Tensor, oldest: int, keys: Tensor) -> int:
    for key in keys:
        queue[(oldest - 1) % len(queue)] = key
        oldest -= 1
    return oldest % len(queue)


def _nothing_written(queue: Tensor, oldest: int, keys: Tensor) -> int:
    return oldest


def _mean_key_only(queue: Tensor, oldest: int, keys: Tensor) -> int:
    return write_keys(queue, oldest, F.normalize(keys.mean(0, keepdim=True), dim=-1))


def _at_cosines_only(function: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    return {"scores": lambda q, k, queue: function(scores_of(q, k, queue))}


#: Changed parts of the loss, by the name of the fault.
_FAULTS: dict[str, dict[str, Any]] = {
    "positive-left-out-of-the-denominator": {"score": _without_positive},
    "temperature-missing": {"score": lambda s, t: score_of(s, 1.0)},
    "temperature-multiplied": {"score": lambda s, t: score_of(s, 1 / t)},
    "temperature-twice": {"score": lambda s, t: score_of(s, t * t)},
    "temperature-not-for-the-positive": {
        "score": lambda s, t: torch.cat([s[..., :1], s[..., 1:] / t], -1).logsumexp(-1) - s[..., 0]
    },
    "factor-of-the-temperature": {"score": lambda s, t: 2 * t * score_of(s, t)},
    "a-negative-for-the-positive": {"scores": lambda q, k, queue: scores_of(q, k, queue).flip(-1)},
    "last-key-of-the-queue-left-out": {
        "scores": lambda q, k, queue: scores_of(q, k, queue[: max(1, len(queue) - 1)])
    },
    "last-key-of-the-queue-twice": {
        "scores": lambda q, k, queue: scores_of(q, k, torch.cat([queue, queue[-1:]]))
    },
    "keys-of-the-batch-as-negatives": {"scores": _with_batch},
    "cosines-without-their-sign": _at_cosines_only(torch.abs),
    "cosines-squared": _at_cosines_only(torch.square),
    "distances-for-cosines": _at_cosines_only(lambda s: 2 * s - 2),
    "hardest-negative-only": {
        "score": lambda s, t: score_of(torch.stack([s[..., 0], s[..., 1:].amax(-1)], -1), t)
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
    "queued-in-reverse": {
        "write": lambda queue, oldest, keys: write_keys(queue, oldest, keys.flip(0))
    },
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
    return Mutant("no-fault", make=made_of(_sound(symmetric)))


def queue_mutants(*, symmetric: bool) -> tuple[Mutant, ...]:
    """Return broken variants of the loss in one direction, or in both."""
    sound = _sound(symmetric)
    faults = {**_FAULTS, **(_OF_BOTH_DIRECTIONS if symmetric else _OF_ONE_DIRECTION)}
    return (
        *(Mutant(name, make=made_of(replace(sound, **fault))) for name, fault in faults.items()),
        Mutant("shared-object", make=shared(sound)),
        *(
            Mutant(name, make=on_ranks(sound, share), needs="ranks-agree")
            for name, share in RANK_FAULTS.items()
        ),
    )
