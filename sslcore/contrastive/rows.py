"""Queries against keys, a chunk of queries at a time."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from sslcore.functional import without_autocast

#: Bytes of similarities that are held at a time: what fits in a cache near the cores, or, on an
#: accelerator, what keeps all of it busy. The latter is a guess that was not measured.
_BYTES = {"cpu": 2**22, "cuda": 2**28}
#: With fewer rows at a time, reading all keys and adding to their gradient takes longer than the
#: arithmetic. So with many keys more is held than fits in the cache.
_FEWEST_ROWS = 128
#: Rows whose distance in memory is a power of two get in each other's way in a cache.
_PADDING = 16


def contrast(
    queries: Tensor,
    keys: Tensor,
    own: Tensor,
    temperature: float,
    *,
    left_out: Tensor | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    """Return the mean over i of log Σ_k exp(q_i·k_k / τ) − q_i·k_own(i) / τ, a scalar.

    The computation is in the dtype of the queries, also under autocast; use float32 or wider. Value
    and gradient equal those of the dense form up to rounding, and are the same in every run. In
    chunks, the result can be differentiated only once.

    Args:
        queries: (M, D); rows of unit length make the products cosines.
        keys: (N, D), of the same dtype.
        own: (M,) int64, the index of the positive key of each query.
        temperature: τ > 0.
        left_out: (M,) int64, the index of a key that is excluded for each query, such as the query
            itself; None means no key.
        chunk_size: queries whose similarities are in memory at a time; None means all of them where
            they take little memory, else the fastest number.
    """
    if chunk_size is None:
        chunk_size = _chunk_size(queries, keys)
    with without_autocast(queries.device):
        if chunk_size >= len(queries):
            return _dense(queries, keys, own, temperature, left_out)
        # Rows that are queries and keys at once have one gradient, and are kept once.
        others = None if keys is queries else keys
        result: Tensor = _Chunked.apply(queries, others, own, left_out, 1 / temperature, chunk_size)
        return result


def _dense(
    queries: Tensor, keys: Tensor, own: Tensor, temperature: float, left_out: Tensor | None
) -> Tensor:
    logits = queries @ keys.mT / temperature
    if left_out is not None:
        logits = logits.scatter(1, left_out[:, None], -torch.inf)
    return F.cross_entropy(logits, own)


def _chunk_size(queries: Tensor, keys: Tensor) -> int:
    held = _BYTES.get(queries.device.type, _BYTES["cuda"])
    return max(_FEWEST_ROWS, held // ((len(keys) + _PADDING) * queries.element_size()))


def positions(rows: slice | None, count: int) -> slice:
    """Return `rows` of a batch of `count` images with its bounds as numbers; None means all.

    Raises:
        ValueError: `rows` is empty, or its step is not 1.
    """
    if rows is None:
        return slice(0, count)
    start, stop, step = rows.indices(count)
    if step != 1 or start >= stop:
        raise ValueError(
            f"rows must be one or more neighbouring positions among the {count} images of the "
            f"batch, got {rows}"
        )
    return slice(start, stop)


class _Chunked(torch.autograd.Function):
    """`contrast` in chunks; the forward pass computes the gradient too."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        others: Tensor | None,
        own: Tensor,
        left_out: Tensor | None,
        scale: float,
        chunk_size: int,
    ) -> Tensor:
        count, keys = len(queries), queries if others is None else others
        losses = queries.new_empty(count)
        to_queries = torch.zeros_like(queries) if ctx.needs_input_grad[0] else None
        if others is None:
            to_keys = to_queries
        else:
            to_keys = torch.zeros_like(keys) if ctx.needs_input_grad[1] else None
        held = queries.new_empty(min(chunk_size, count), len(keys) + _PADDING)[:, : len(keys)]
        for start in range(0, count, chunk_size):
            rows = slice(start, min(start + chunk_size, count))
            # Powers of two are several times as fast as those of e.
            scaled = queries[rows] * (scale / math.log(2))
            logits = torch.mm(scaled, keys.mT, out=held[: len(scaled)])
            if left_out is not None:
                logits.scatter_(1, left_out[rows, None], -torch.inf)
            itself = own[rows, None]
            positive = logits.gather(1, itself)
            largest = logits.amax(1, keepdim=True)
            powers = logits.sub_(largest).exp2_()
            total = powers.sum(1, keepdim=True)
            losses[rows] = (total.log2() + (largest - positive)).squeeze(1)
            # Probabilities minus one-hot targets, times the total: the gradient of the logits.
            powers.scatter_add_(1, itself, -total)
            if to_queries is not None:
                step = torch.mm(powers, keys)
                to_queries[rows].addcdiv_(step, total, value=scale / count)
            if to_keys is not None:
                to_keys.addmm_(powers.mT, scaled / total, alpha=math.log(2) / count)
        ctx.save_for_backward(to_queries, None if others is None else to_keys)
        return losses.mean() * math.log(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        found = (None if item is None else gradient * item for item in ctx.saved_tensors)
        return *found, None, None, None, None
