"""Broken InfoNCEs, one-directional or symmetric, of cosines or dot products.

Each is named after its fault. They measure the checks, not the losses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Hyper, Mutant
from sslcore.testing.losses.infonce_faults import (
    FAULTS_OF_COSINES,
    FAULTS_OF_DOT_PRODUCTS,
    FAULTS_OF_ONE_DIRECTION,
    FAULTS_OF_TWO_DIRECTIONS,
    FAULTS_OF_VIEWS,
    IN_EACH_DIRECTION,
    OF_THE_RESULT,
    OF_THE_SIMILARITY,
    Direction,
    Kind,
    cross_entropy,
    without_gradient_in_half,
)


@dataclass(frozen=True)
class _Variant:
    """InfoNCE with one of its pieces replaced."""

    kind: Kind
    each: Direction = cross_entropy
    logits: Callable[[Tensor, float], Tensor] = lambda similar, temperature: similar / temperature

    def __call__(self, pair: Tensor, temperature: float) -> Tensor:
        first, second = self.kind.rows(pair)
        logits = self.logits(first @ second.T, temperature)
        losses = [self.each(item) for item in self.kind.directions(logits)]
        return torch.stack(losses).mean()


def _over(function: Callable[[Tensor, float], object]) -> Callable[[Inputs, Hyper], object]:
    return lambda inputs, hyper: function(inputs["projections"], hyper["temperature"])


class _Remembering:
    """Adds a little of its first batch to later ones."""

    def __init__(self, correct: _Variant, *, temperature: float) -> None:
        self.correct, self.temperature = correct, temperature
        self.seen: Tensor | None = None

    def __call__(self, *, projections: Tensor) -> Tensor:
        if self.seen is None:
            self.seen = projections.detach().clone()
        else:
            projections = 0.9 * projections + 0.1 * self.seen.mean()
        return self.correct(projections, self.temperature)


class _OnlyInTraining(torch.nn.Module):
    """Returns half the loss in eval mode."""

    def __init__(self, correct: _Variant, *, temperature: float) -> None:
        super().__init__()
        self.correct, self.temperature = correct, temperature

    def forward(self, projections: Tensor) -> Tensor:
        loss = self.correct(projections, self.temperature)
        return loss if self.training else loss * 0.5


def _with_state(correct: _Variant) -> tuple[Mutant, ...]:
    shared = _OnlyInTraining(correct, temperature=0.5)

    def one_object(*, temperature: float) -> torch.nn.Module:
        shared.temperature = temperature
        return shared.train()

    def in_chunks(*, temperature: float, chunk_size: int = 1000) -> Callable[..., Tensor]:
        def each(logits: Tensor) -> Tensor:
            losses = F.cross_entropy(logits, torch.arange(len(logits)), reduction="none")
            return torch.stack([part.mean() for part in losses.split(chunk_size)]).mean()

        chunked = _Variant(correct.kind, each)
        return lambda *, projections: chunked(projections, temperature)

    def by_rank(*, temperature: float) -> Callable[..., Tensor]:
        def loss(projections: Tensor, rows: slice | None = None) -> Tensor:
            here = slice(None) if rows is None else slice(0, rows.stop - rows.start)

            def each(logits: Tensor) -> Tensor:
                labels = torch.arange(len(logits))
                return F.cross_entropy(logits, labels, reduction="none")[here].mean()

            return _Variant(correct.kind, each)(projections, temperature)

        return loss

    return (
        Mutant(
            "remembers-the-first-batch",
            make=lambda *, temperature: _Remembering(correct, temperature=temperature),
        ),
        Mutant(
            "other-in-eval-mode",
            make=lambda *, temperature: _OnlyInTraining(correct, temperature=temperature),
        ),
        Mutant("shared-object", make=one_object),
        Mutant("takes-no-temperature", make=lambda: lambda *, projections: correct(projections, 1)),
        Mutant("chunks-averaged-unweighted", make=in_chunks, needs="chunks-agree"),
        Mutant("rank-offset-missing", make=by_rank, needs="ranks-agree"),
    )


def _plain(correct: _Variant) -> tuple[Mutant, ...]:
    def broadcasting(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
        def loss(first: Tensor, second: Tensor) -> Tensor:
            both = torch.stack([first, second.expand_as(first)])
            return correct(both, hyper["temperature"])

        return loss

    def more_keys(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
        def loss(first: Tensor, second: Tensor) -> Tensor:
            (queries,), (keys,) = correct.kind.rows(first[None]), correct.kind.rows(second[None])
            logits = queries @ keys.T / hyper["temperature"]
            return F.cross_entropy(logits, torch.arange(len(logits)))

        return loss

    found = (Mutant("broadcasts", plain=broadcasting),)
    if correct.kind.symmetric:
        return found
    return (*found, Mutant("takes-fewer-queries-than-keys", plain=more_keys))


def infonce_mutants(*, symmetric: bool, cosine: bool) -> tuple[Mutant, ...]:
    """Return broken variants of a kind of InfoNCE."""
    kind = Kind(symmetric=symmetric, cosine=cosine)
    correct = _Variant(kind)
    found: list[Mutant] = []

    def add(faults: dict[str, Any], variant: Callable[[Any], Callable[..., object]]) -> None:
        found.extend(Mutant(name, _over(variant(fault))) for name, fault in faults.items())

    add(IN_EACH_DIRECTION, lambda fault: _Variant(kind, each=fault))
    add(OF_THE_SIMILARITY, lambda fault: _Variant(kind, logits=fault))
    if cosine:
        add(FAULTS_OF_COSINES, lambda fault: _Variant(kind.with_rows(fault)))
    else:
        add(FAULTS_OF_DOT_PRODUCTS, lambda fault: _Variant(kind.with_rows(fault)))
    add(FAULTS_OF_VIEWS, lambda fault: lambda pair, t: fault(correct, pair, t))
    add(OF_THE_RESULT, lambda fault: lambda pair, t: fault(correct(pair, t), pair, t))
    found.append(
        Mutant(
            "gradient-lost-in-low-precision",
            _over(lambda pair, t: without_gradient_in_half(correct(pair, t), pair)),
            needs="gradient-points-as-reference-bfloat16",
        )
    )
    add(
        FAULTS_OF_TWO_DIRECTIONS if symmetric else FAULTS_OF_ONE_DIRECTION,
        lambda fault: lambda pair, t: fault(kind.logits(pair, t)),
    )
    return (*found, *_with_state(correct), *_plain(correct))
