"""Unit rows that are compared in both directions, one block of similarities at a time.

Both the rows and the columns of a block are queries, so each block serves both directions. A block
is computed twice: in the forward pass for the denominators, and in the backward pass for the
gradient. For M rows that are queries and keys at once, that takes 4·M²·D operations; computing the
gradient row by row takes 6·M²·D.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sslcore.contrastive.rows import contrast, positions
from sslcore.functional import without_autocast

#: The sides of a block of similarities: the shortest that is worth its calls, and the longest. On
#: the CPU a block and its weights fit in a cache; the sides for an accelerator are a guess that was
#: not measured.
SIDES = {"cpu": (256, 1024), "cuda": (4096, 8192)}
#: Of rows that are compared among themselves, a block on the diagonal holds each pair twice. So
#: there are at least so many blocks along it, unless they would be too short.
_ALONG_DIAGONAL = 8


def contrast_views(
    views: Tensor, temperature: float, *, rows: slice | None = None, chunk_size: int | None = None
) -> Tensor:
    """Return the mean over all views of the cross-entropy of identifying the other view.

    With the 2N views z, s(i, k) = z_i·z_k, and p(i) the other view of the same image as view i, the
    result is the mean over i of log Σ_{k ≠ i} exp(s(i, k) / τ) − s(i, p(i)) / τ. Precision and
    repeatability are those of `contrast`.

    Args:
        views: (2, N, D), rows of unit length or of zeros, float32 or wider.
        temperature: τ > 0.
        rows: the images whose views are queries; None means all of them.
        chunk_size: rows of similarities in memory at a time; None means the fastest number.

    Raises:
        ValueError: `rows` is not a range of positions in N.
    """
    count = views.shape[1]
    here, unit = positions(rows, count), views.flatten(0, 1)
    whole = here == slice(0, count)
    if whole and _wants_blocks(unit, unit, temperature, chunk_size):
        return _apply(unit, None, temperature, chunk_size)
    itself = torch.arange(2 * count, device=views.device).unflatten(0, (2, count))[:, here]
    return contrast(
        unit if whole else views[:, here].flatten(0, 1),
        unit,
        (itself.flatten() + count) % (2 * count),
        temperature,
        left_out=itself.flatten(),
        chunk_size=chunk_size,
    )


def contrast_both_ways(
    first: Tensor,
    second: Tensor,
    temperature: float,
    *,
    rows: slice | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    """Return the mean of `contrast` in both directions: first to second rows, second to first.

    Args:
        first: (N, D), rows of unit length or of zeros, float32 or wider.
        second: (N, D), the same; row i is the positive of row i of `first`.
        temperature: τ > 0.
        rows: the positions whose rows are queries; None means all of them.
        chunk_size: rows of similarities in memory at a time; None means the fastest number.

    Raises:
        ValueError: `rows` is not a range of positions in N.
    """
    here = positions(rows, len(first))
    whole = here == slice(0, len(first))
    if whole and _wants_blocks(first, second, temperature, chunk_size):
        return _apply(first, second, temperature, chunk_size)
    own = torch.arange(here.start, here.stop, device=first.device)
    forth, back = (
        contrast(queries[here], keys, own, temperature, chunk_size=chunk_size)
        for queries, keys in ((first, second), (second, first))
    )
    return (forth + back) / 2


def _wants_blocks(
    queries: Tensor, keys: Tensor, temperature: float, chunk_size: int | None
) -> bool:
    """Whether blocks are exact for these, and faster than all similarities at once."""
    # exp(s / τ) is not shifted, so all sums of it and their inverses must be ordinary numbers.
    largest = 1 / temperature + math.log(len(keys))
    if largest > -math.log(torch.finfo(queries.dtype).tiny) - 2:
        return False
    if chunk_size is not None:
        return chunk_size < len(queries)
    # Fewer than four blocks save less than their calls take.
    shortest, _ = _sides(queries)
    return len(queries) * len(keys) > 4 * shortest**2


def _sides(queries: Tensor) -> tuple[int, int]:
    return SIDES.get(queries.device.type, SIDES["cuda"])


def _apply(
    queries: Tensor, others: Tensor | None, temperature: float, chunk_size: int | None
) -> Tensor:
    shortest, longest = _sides(queries)
    if chunk_size is not None:
        tall = chunk_size
    elif others is None:
        tall = min(longest, max(shortest, len(queries) // _ALONG_DIAGONAL))
    else:
        tall = longest
    wide = max(tall, longest**2 // tall)
    with without_autocast(queries.device):
        result: Tensor = BothWays.apply(queries, others, 1 / temperature, tall, wide)
        return result


class _Blocks:
    """Powers exp(q·k / τ) of the products of all queries and keys, by block, in a fixed order.

    Args:
        queries: (M, D).
        keys: (N, D); the queries themselves: each pair comes once, and none with itself.
        scale: 1/τ.
        shape: rows and columns of a block, at most.
    """

    def __init__(self, queries: Tensor, keys: Tensor, scale: float, shape: tuple[int, int]) -> None:
        self.queries, self.keys = queries, keys
        self.scale, self.shape = scale, shape
        tall, wide = (
            min(side, len(rows)) for side, rows in zip(shape, (queries, keys), strict=True)
        )
        self.held = queries.new_empty(tall * wide)

    def __iter__(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yield rows, columns and the powers, which the next block overwrites.

        Rows and columns are the same where a block holds each of its pairs twice.
        """
        tall, wide = self.shape
        count, once = len(self.keys), self.keys is self.queries
        for start in range(0, len(self.queries), tall):
            rows = slice(start, min(start + tall, len(self.queries)))
            # Powers of two are several times as fast as those of e.
            scaled = self.queries[rows] * (self.scale / math.log(2))
            if once:
                yield rows, rows, self._powers(scaled, rows).fill_diagonal_(0)
            for left in range(rows.stop if once else 0, count, wide):
                columns = slice(left, min(left + wide, count))
                yield rows, columns, self._powers(scaled, columns)

    def _powers(self, scaled: Tensor, columns: slice) -> Tensor:
        keys = self.keys[columns]
        block = self.held[: len(scaled) * len(keys)].view(len(scaled), len(keys))
        return torch.mm(scaled, keys.mT, out=block).exp2_()


class BothWays(torch.autograd.Function):
    """The mean over rows and columns of the log of their sum, less the pairs' similarity."""

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, others: Tensor | None, scale: float, tall: int, wide: int
    ) -> Tensor:
        """Return the mean, a scalar, in blocks of `tall` rows and `wide` columns."""
        keys = queries if others is None else others
        sums = queries.new_zeros(len(queries))
        across = sums if others is None else sums.new_zeros(len(keys))
        for rows, columns, powers in _Blocks(queries, keys, scale, (tall, wide)):
            sums[rows] += powers.sum(1)
            if rows is not columns:
                across[columns] += powers.sum(0)
        ctx.save_for_backward(queries, others, sums, across)
        ctx.scale, ctx.shape = scale, (tall, wide)
        first, second = queries.chunk(2) if others is None else (queries, others)
        positive = (first * second).sum(1).mean() * scale
        return (sums.log().mean() + across.log().mean()) / 2 - positive

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of queries and keys, from the similarities made once more."""
        queries, others, sums, across = ctx.saved_tensors
        keys = queries if others is None else others
        to_queries, to_keys = _own_parts(queries, others, ctx.needs_input_grad)
        shares, shares_across = sums.reciprocal(), across.reciprocal()
        blocks = _Blocks(queries, keys, ctx.scale, ctx.shape)
        held = torch.empty_like(blocks.held)
        with without_autocast(queries.device):
            for rows, columns, powers in blocks:
                weights = held[: powers.numel()].view_as(powers)
                torch.add(shares[rows, None], shares_across[columns], out=weights).mul_(powers)
                if to_queries is not None:
                    to_queries[rows].addmm_(weights, keys[columns])
                if to_keys is not None and rows is not columns:
                    to_keys[columns].addmm_(weights.mT, queries[rows])
        # Each row's and each column's loss counts alike.
        factor = gradient * (ctx.scale / (len(queries) if others is None else 2 * len(queries)))
        if to_queries is not None:
            to_queries.mul_(factor)
        if others is None:
            return to_queries, None, None, None, None
        return to_queries, None if to_keys is None else to_keys.mul_(factor), None, None, None


def _own_parts(
    queries: Tensor, others: Tensor | None, wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Return where gradients are added up, with the part of the row that each one belongs to.

    That row counts twice, once for each direction. Rows that are both have one gradient.
    """
    if others is None:
        found = queries.roll(len(queries) // 2, 0).mul_(-2)
        return found, found
    return (
        others * -2 if wanted[0] else None,
        queries * -2 if wanted[1] else None,
    )
