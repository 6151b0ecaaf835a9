"""Faulty pieces of NT-Xent, and the loss made of pieces of which one may be faulty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.functional import unit_rows
from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Hyper


def _rows(pair: Tensor) -> Tensor:
    return unit_rows(pair).flatten(0, 1)


def _positions(count: int) -> Tensor:
    return torch.arange(2 * count).roll(count)


def nt_xent(
    pair: Tensor,
    temperature: float,
    *,
    rows: Callable[[Tensor], Tensor] = _rows,
    mask: Callable[[Tensor, int], Tensor] | None = None,
    labels: Callable[[int], Tensor] = _positions,
    logits: Callable[[Tensor, float], Tensor] = lambda similar, temperature: similar / temperature,
    reduction: str = "mean",
) -> Tensor:
    """Return NT-Xent with one of its pieces replaced; by default it is correct in any type."""
    count = pair.shape[1]
    unit = rows(pair.to(torch.promote_types(pair.dtype, torch.float32)))
    similar = logits(unit @ unit.T, temperature)
    hidden = mask(similar, count) if mask is not None else _without_itself(similar, count)
    return F.cross_entropy(hidden, labels(count), reduction=reduction).to(pair.dtype)


def _without_itself(similar: Tensor, count: int) -> Tensor:
    return similar.masked_fill(torch.eye(len(similar), dtype=torch.bool), -torch.inf)


def with_pieces(**pieces: Any) -> Callable[[Inputs, Hyper], Tensor]:
    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        return nt_xent(inputs["projections"], hyper["temperature"], **pieces)

    return loss


def function_of(function: Callable[[Tensor, float], Tensor]) -> Callable[[Inputs, Hyper], Tensor]:
    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        pair = inputs["projections"]
        return function(pair, hyper["temperature"]).to(pair.dtype)

    return loss


def numerator_and_denominator(pair: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return log of the numerator and of the denominator for each row."""
    unit = _rows(pair)
    similar = _without_itself(unit @ unit.T / temperature, pair.shape[1])
    own = similar.gather(1, _positions(pair.shape[1])[:, None])[:, 0]
    return own, similar.logsumexp(1)


def only_negatives(pair: Tensor, temperature: float) -> Tensor:
    own, _ = numerator_and_denominator(pair, temperature)
    unit = _rows(pair)
    similar = _without_itself(unit @ unit.T / temperature, pair.shape[1])
    return (
        similar.scatter(1, _positions(pair.shape[1])[:, None], -torch.inf).logsumexp(1) - own
    ).mean()


def similarity_of_inputs(pair: Tensor, temperature: float) -> Tensor:
    """Cross-entropy whose target is a row's most similar other row, not its pair."""
    unit = _rows(pair)
    similar = _without_itself(unit @ unit.T / temperature, pair.shape[1])
    return F.cross_entropy(similar, similar.argmax(1))


def hidden_in_place(pair: Tensor, temperature: float) -> Tensor:
    with torch.no_grad():
        pair /= pair.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return nt_xent(pair, temperature)


def naive_exponentials(pair: Tensor, temperature: float) -> Tensor:
    unit = _rows(pair)
    weights = (unit @ unit.T / temperature).exp()
    weights = weights * (1 - torch.eye(len(unit), dtype=unit.dtype))
    own = weights.gather(1, _positions(pair.shape[1])[:, None])[:, 0]
    return -(own / weights.sum(1)).log().mean()


def tenth_of_digits(pair: Tensor, temperature: float) -> Tensor:
    return nt_xent(pair.half() if pair.dtype == torch.float32 else pair, temperature).to(pair.dtype)


def dropped_chunk(size: int) -> Callable[[Tensor, float], Tensor]:
    def loss(pair: Tensor, temperature: float) -> Tensor:
        own, whole = numerator_and_denominator(pair, temperature)
        kept = max(size, len(own) // size * size)
        return (whole - own)[:kept].mean()

    return loss


def subsampled(pair: Tensor, temperature: float) -> Tensor:
    own, whole = numerator_and_denominator(pair, temperature)
    kept = torch.rand(len(own)) < 0.9
    kept[0] = True
    return (whole - own)[kept].mean()


def jittered(pair: Tensor, temperature: float) -> Tensor:
    torch.rand(1)
    return nt_xent(pair, temperature)


class Remembering:
    """Keeps its first batch, and mixes it into later ones."""

    def __init__(self, *, temperature: float) -> None:
        self.temperature = temperature
        self.seen: Tensor | None = None

    def __call__(self, *, projections: Tensor) -> Tensor:
        """Return the loss of projections mixed with the first batch."""
        if self.seen is not None:
            projections = 0.9 * projections + 0.1 * self.seen.mean((0, 1)).mean()
        else:
            self.seen = projections.detach().clone()
        return nt_xent(projections, self.temperature)


class OnlyInTraining(torch.nn.Module):
    """Returns half the loss in eval mode."""

    def __init__(self, *, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, projections: Tensor) -> Tensor:
        """Return the loss, halved in eval mode."""
        loss = nt_xent(projections, self.temperature)
        return loss if self.training else loss * 0.5


_SHARED = OnlyInTraining(temperature=0.5)


def shared(*, temperature: float) -> torch.nn.Module:
    _SHARED.temperature = temperature
    return _SHARED.train()


def chunked_wrongly(*, temperature: float, chunk_size: int = 1000) -> Callable[..., Tensor]:
    def loss(*, projections: Tensor) -> Tensor:
        own, whole = numerator_and_denominator(projections, temperature)
        chunks = torch.split(whole - own, chunk_size)
        return torch.stack([chunk.mean() for chunk in chunks]).mean().to(projections.dtype)

    return loss


def rank_without_offset(*, temperature: float) -> Callable[..., Tensor]:
    def loss(projections: Tensor, rows: slice | None = None) -> Tensor:
        own, whole = numerator_and_denominator(projections, temperature)
        if rows is None:
            return (whole - own).mean().to(projections.dtype)
        here = slice(0, rows.stop - rows.start)
        return (whole - own).view(2, -1)[:, here].mean().to(projections.dtype)

    return loss


def returns(what: Callable[[Tensor], object]) -> Callable[[Inputs, Hyper], object]:
    return lambda inputs, hyper: what(nt_xent(inputs["projections"], hyper["temperature"]))


def broadcasting(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(first: Tensor, second: Tensor) -> Tensor:
        return nt_xent(torch.stack([first, second.expand_as(first)]), hyper["temperature"])

    return loss


def concatenating(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(first: Tensor, second: Tensor) -> Tensor:
        unit = F.normalize(torch.cat([first, second]), dim=-1)
        similar = _without_itself(unit @ unit.T / hyper["temperature"], len(first))
        labels = torch.arange(len(unit)).roll(len(first))
        return F.cross_entropy(similar, labels)

    return loss


def interleaved(count: int) -> Tensor:
    return torch.arange(2 * count) ^ 1


def filled(value: float) -> Callable[[Tensor, int], Tensor]:
    def mask(similar: Tensor, count: int) -> Tensor:
        return similar.masked_fill(torch.eye(len(similar), dtype=torch.bool), value)

    return mask


def filled_in_its_own_type(pair: Tensor, temperature: float) -> Tensor:
    unit = _rows(pair).to(pair.dtype)
    similar = unit @ unit.T / temperature
    similar = similar.masked_fill(torch.eye(len(unit), dtype=torch.bool), -1e9)
    return F.cross_entropy(similar, _positions(pair.shape[1]))


def first_view_only(pair: Tensor, temperature: float) -> Tensor:
    own, whole = numerator_and_denominator(pair, temperature)
    return (whole - own)[: pair.shape[1]].mean()


def detached(part: int) -> Callable[[Tensor, float], Tensor]:
    def loss(pair: Tensor, temperature: float) -> Tensor:
        own, whole = numerator_and_denominator(pair, temperature)
        return ((whole.detach() if part else whole) - (own if part else own.detach())).mean()

    return loss


def weak_in_low_precision(pair: Tensor, temperature: float) -> Tensor:
    loss = nt_xent(pair, temperature)
    if pair.dtype in (torch.bfloat16, torch.float16):
        return loss.detach() + 0 * pair.sum()
    return loss


def blind_copy(pair: Tensor, temperature: float) -> Tensor:
    unit = _rows(pair)
    similar = unit @ unit.T / temperature
    # All rows equal to a row are excluded as if they were that row.
    return F.cross_entropy(
        similar.masked_fill(
            (unit @ unit.T > 1 - 1e-9)
            & (torch.arange(len(unit)) != _positions(pair.shape[1])[:, None]),
            -torch.inf,
        ),
        _positions(pair.shape[1]),
    )
