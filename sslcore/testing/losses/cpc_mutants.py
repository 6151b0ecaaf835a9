"""Broken variants of contrastive predictive coding; each is named after its fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing.losses.family import Hyper, Mutant
from sslcore.testing.losses.infonce_faults import (
    IN_EACH_DIRECTION,
    OF_THE_RESULT,
    OF_THE_SIMILARITY,
    Direction,
    cross_entropy,
    without_gradient_in_half,
)
from sslcore.testing.losses.prediction_faults import (
    OF_THE_MEAN,
    OF_THE_SIGNALS,
    OF_THE_VIEWS,
    Compared,
    Reduction,
    compare,
    over_pairs,
    over_signals,
    right_views,
    with_state,
)

#: From features (V, B, F), the view that is predicted and the predictions (B, F) to the candidates
#: (N, F), the right ones first.
Candidates = Callable[[Tensor, int, Tensor], Tensor]
#: From predictions (B, F) and candidates (N, F) to the factors of the scores.
Rows = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _of_the_view(features: Tensor, target: int, predictions: Tensor) -> Tensor:
    return features[target]


def _of_all_views(features: Tensor, target: int, predictions: Tensor) -> Tensor:
    others = [index for index in range(len(features)) if index != target]
    return torch.cat([features[target], features[others].flatten(0, 1)])


def _unchanged(predictions: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    return predictions, candidates


def _unit(rows: Tensor) -> Tensor:
    return F.normalize(rows, dim=-1)


@dataclass(frozen=True)
class _Variant:
    """The loss with one of its pieces replaced."""

    candidates: Candidates
    rows: Rows
    each: Direction = cross_entropy
    logits: Callable[[Tensor, float], Tensor] = lambda scores, temperature: scores / temperature
    views: Compared = right_views
    mean: Reduction = over_pairs

    def __call__(self, predictions: Tensor, features: Tensor, temperature: float) -> Tensor:
        def loss(ahead: Tensor, target: int) -> Tensor:
            queries, keys = self.rows(ahead, self.candidates(features, target, ahead))
            return self.each(self.logits(queries @ keys.T, temperature))

        return compare(predictions, features, loss, views=self.views, mean=self.mean)


_OF_THE_ROWS: dict[str, Rows] = {
    "both-centred": lambda p, x: (p - p.mean(0), x - x.mean(0)),
    "divided-by-the-dimension": lambda p, x: (p / p.shape[-1], x),
    "candidates-detached": lambda p, x: (p, x.detach()),
    "right-ones-detached": lambda p, x: (p, torch.cat([x[: len(p)].detach(), x[len(p) :]])),
}

_OF_COSINES: dict[str, Rows] = {
    "not-normalised": lambda p, x: (p, x),
    "predictions-not-normalised": lambda p, x: (p, _unit(x)),
    "features-not-normalised": lambda p, x: (_unit(p), x),
    "normalised-over-the-batch": lambda p, x: (F.normalize(p, dim=0), F.normalize(x, dim=0)),
    "normalised-by-one-norm": lambda p, x: (F.normalize(p, 1, -1), F.normalize(x, 1, -1)),
    "norm-detached": lambda p, x: (
        p / p.norm(dim=-1, keepdim=True).detach().clamp_min(1e-12),
        _unit(x),
    ),
    "norm-with-large-epsilon": lambda p, x: (p / (p.norm(dim=-1, keepdim=True) + 1e-3), _unit(x)),
}

_OF_DOT_PRODUCTS: dict[str, Rows] = {
    "normalised": lambda p, x: (_unit(p), _unit(x)),
    "predictions-normalised": lambda p, x: (_unit(p), x),
    "features-normalised": lambda p, x: (p, _unit(x)),
    "divided-by-the-root-of-the-dimension": lambda p, x: (p / p.shape[-1] ** 0.5, x),
    "squashed": lambda p, x: (p.tanh(), x),
}


def _instead_of_negatives(others: Callable[[Tensor, int, Tensor], Tensor]) -> Candidates:
    """Return the right candidates followed by other negatives, N in all."""

    def candidates(features: Tensor, target: int, predictions: Tensor) -> Tensor:
        return torch.cat([features[target], others(features, target, predictions)])

    return candidates


_OF_THE_CANDIDATES: dict[str, Candidates] = {
    "predictions-as-further-negatives": _instead_of_negatives(lambda x, target, p: p),
    "view-before-as-further-negatives": _instead_of_negatives(
        lambda x, target, p: x[max(target - 1, 0)]
    ),
    "first-view-as-further-negatives": _instead_of_negatives(lambda x, target, p: x[0]),
    "zeros-as-further-negatives": _instead_of_negatives(lambda x, target, p: torch.zeros_like(p)),
    "mean-as-a-further-negative": _instead_of_negatives(
        lambda x, target, p: x[target].mean(0, keepdim=True)
    ),
    "past-views-as-further-negatives": _instead_of_negatives(
        lambda x, target, p: x[:target].flatten(0, 1)
    ),
}


def _plain(correct: _Variant) -> tuple[Mutant, ...]:
    def broadcasting(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
        def loss(predictions: Tensor, targets: Tensor) -> Tensor:
            targets = targets.expand_as(predictions)
            given = predictions.expand(1, 2, *predictions.shape), targets.expand(2, *targets.shape)
            return correct(*given, hyper["temperature"])

        return loss

    def fewer(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
        def loss(predictions: Tensor, targets: Tensor) -> Tensor:
            queries, keys = correct.rows(predictions, targets)
            return cross_entropy(queries @ keys.T / hyper["temperature"])

        return loss

    return (
        Mutant("broadcasts", plain=broadcasting),
        Mutant("takes-fewer-predictions-than-targets", plain=fewer),
    )


def cpc_mutants(*, cosine: bool, everywhere: bool) -> tuple[Mutant, ...]:
    """Return broken variants of a kind of contrastive predictive coding."""

    def cosines(predictions: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        return _unit(predictions), _unit(candidates)

    among = _of_all_views if everywhere else _of_the_view
    rows = cosines if cosine else _unchanged
    correct = _Variant(among, rows)
    found: list[Mutant] = []

    def add(faults: dict[str, Any], variant: Callable[[Any], Callable[..., object]]) -> None:
        found.extend(Mutant(name, over_signals(variant(fault))) for name, fault in faults.items())

    add(OF_THE_VIEWS, lambda fault: _Variant(among, rows, views=fault))
    add(OF_THE_MEAN, lambda fault: _Variant(among, rows, mean=fault))
    add(IN_EACH_DIRECTION, lambda fault: _Variant(among, rows, each=fault))
    add(OF_THE_SIMILARITY, lambda fault: _Variant(among, rows, logits=fault))
    add(_OF_COSINES if cosine else _OF_DOT_PRODUCTS, lambda fault: _Variant(among, fault))
    add(_OF_THE_ROWS, lambda fault: _Variant(among, lambda p, x: fault(*rows(p, x))))
    add(OF_THE_SIGNALS, lambda fault: lambda p, x, t: fault(correct, p, x, t))
    add(OF_THE_RESULT, lambda fault: lambda p, x, t: fault(correct(p, x, t), x, t))
    if everywhere:
        add({"negatives-at-the-view-only": _of_the_view}, lambda fault: _Variant(fault, rows))
    else:
        add(
            {**_OF_THE_CANDIDATES, "negatives-of-all-views": _of_all_views},
            lambda fault: _Variant(fault, rows),
        )
        found += _plain(correct)
    found.append(
        Mutant(
            "gradient-lost-in-low-precision",
            over_signals(lambda p, x, t: without_gradient_in_half(correct(p, x, t), x)),
            needs="gradient-points-as-reference-bfloat16",
        )
    )
    return (*found, *with_state(correct, {"temperature": 1.0}))
