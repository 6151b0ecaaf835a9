"""Faults of an InfoNCE, piece by piece, from the equation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

#: From the logits (N, M) of one direction, query i in row i and its key in column i, to a scalar.
Direction = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True)
class Kind:
    """Which InfoNCE: both directions or one, of cosines or of dot products."""

    symmetric: bool
    cosine: bool
    _rows: Callable[[Tensor], Tensor] | None = None

    def rows(self, pair: Tensor) -> Tensor:
        """Return the vectors whose products are the scores.

        Raises:
            ValueError: there are no rows; without this error a mutant would have two faults.
        """
        if pair.dim() != 3 or pair.numel() == 0:
            raise ValueError(f"expected (2, N, D), got {tuple(pair.shape)}")
        if self._rows is not None:
            return self._rows(pair)
        return F.normalize(pair, dim=-1) if self.cosine else pair

    def with_rows(self, rows: Callable[[Tensor], Tensor]) -> Kind:
        """Return the kind with other rows."""
        return replace(self, _rows=rows)

    def logits(self, pair: Tensor, temperature: float) -> Tensor:
        """Return the logits (N, N) from the first view to the second."""
        first, second = self.rows(pair)
        result: Tensor = first @ second.T / temperature
        return result

    def directions(self, logits: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of each direction."""
        return (logits, logits.T) if self.symmetric else (logits,)


def _own(logits: Tensor) -> Tensor:
    return torch.arange(len(logits))


def _others(logits: Tensor) -> Tensor:
    return ~torch.eye(*logits.shape, dtype=torch.bool)


def cross_entropy(logits: Tensor) -> Tensor:
    """Return the correct loss."""
    return F.cross_entropy(logits, _own(logits))


def _per_query(logits: Tensor) -> Tensor:
    return F.cross_entropy(logits, _own(logits), reduction="none")


def _first_only(logits: Tensor, size: int) -> Tensor:
    return _per_query(logits)[: max(size, len(logits) // size * size)].mean()


def _subsampled(logits: Tensor) -> Tensor:
    kept = torch.rand(len(logits)) < 0.9
    kept[0] = True
    return _per_query(logits)[kept].mean()


def _naive_exponentials(logits: Tensor) -> Tensor:
    weights = logits.exp()
    return -(weights.diagonal() / weights.sum(1)).log().mean()


def _logistic(logits: Tensor) -> Tensor:
    signs = 2 * torch.eye(*logits.shape, dtype=logits.dtype) - 1
    return F.softplus(-signs * logits).sum(1).mean()


def _hardest(logits: Tensor) -> Tensor:
    hardest = logits.masked_fill(~_others(logits), -torch.inf).amax(1)
    return F.softplus(hardest - logits.diagonal()).mean()


def _focal(logits: Tensor) -> Tensor:
    losses = _per_query(logits)
    return ((1 - (-losses).exp()) * losses).mean()


def _equal_counted_once(logits: Tensor) -> Tensor:
    # A candidate that scores as high as the positive is taken for the positive.
    twin = (logits >= logits.diagonal()[:, None] - 1e-9) & _others(logits)
    return cross_entropy(logits.masked_fill(twin, -torch.inf))


def _with_both(logits: Tensor) -> Tensor:
    """The keys of the other direction count as negatives too: 2N − 2 of them."""
    return F.cross_entropy(
        torch.cat([logits, logits.T.masked_fill(~_others(logits), -torch.inf)], 1), _own(logits)
    )


def _without_positive(logits: Tensor) -> Tensor:
    rest = logits.masked_fill(~_others(logits), -torch.inf)
    return (rest.logsumexp(1) - logits.diagonal()).mean()


def _plus_diagonal(logits: Tensor, value: float) -> Tensor:
    return logits + value * torch.eye(*logits.shape, dtype=logits.dtype)


IN_EACH_DIRECTION: dict[str, Direction] = {
    "no-positive-term": lambda s: s.logsumexp(1).mean(),
    "no-negative-term": lambda s: -s.diagonal().mean(),
    "positives-left-out-of-denominator": _without_positive,
    "positive-twice-in-denominator": lambda s: (
        torch.cat([s, s.diagonal()[:, None]], 1).logsumexp(1) - s.diagonal()
    ).mean(),
    "mean-for-sum-in-denominator": lambda s: cross_entropy(s) - math.log(s.shape[1]),
    "divided-by-all-pairs": lambda s: cross_entropy(s) / len(s),
    "sum-for-mean": lambda s: _per_query(s).sum(),
    "median-for-mean": lambda s: _per_query(s).median(),
    "highest-for-mean": lambda s: _per_query(s).amax(),
    "sign": lambda s: -cross_entropy(s),
    "labels-off-by-one": lambda s: F.cross_entropy(s, _own(s).roll(1)),
    "labels-reversed": lambda s: F.cross_entropy(s, _own(s).flip(0)),
    "labels-all-the-first": lambda s: F.cross_entropy(s, torch.zeros_like(_own(s))),
    "most-similar-key-as-target": lambda s: F.cross_entropy(s, s.argmax(1)),
    "one-softmax-over-all-pairs": lambda s: (s.flatten().logsumexp(0) - s.diagonal()).mean(),
    "softmax-over-both-dimensions": lambda s: cross_entropy(s + s.log_softmax(0)),
    "positive-detached": lambda s: (s.logsumexp(1) - s.diagonal().detach()).mean(),
    "denominator-detached": lambda s: (s.logsumexp(1).detach() - s.diagonal()).mean(),
    "negatives-detached": lambda s: cross_entropy(torch.where(_others(s), s.detach(), s)),
    "positive-detached-in-denominator": lambda s: (
        torch.where(_others(s), s, s.detach()).logsumexp(1) - s.diagonal()
    ).mean(),
    "masked-logit-zero": lambda s: (s.masked_fill(~_others(s), 0.0).logsumexp(1)).mean(),
    "naive-exponentials": _naive_exponentials,
    "epsilon-in-the-logarithm": lambda s: -((-_per_query(s)).exp() + 1e-6).log().mean(),
    "logistic-for-softmax": _logistic,
    "only-the-hardest-negative": _hardest,
    "focal-weights": _focal,
    "label-smoothing": lambda s: F.cross_entropy(s, _own(s), label_smoothing=0.1),
    "margin-of-the-positive": lambda s: cross_entropy(_plus_diagonal(s, -0.1)),
    "negatives-weighted-twice": lambda s: cross_entropy(_plus_diagonal(s, -0.6931)),
    "equal-keys-taken-for-the-positive": _equal_counted_once,
    "last-chunk-dropped": lambda s: _first_only(s, 4),
    "last-large-chunk-dropped": lambda s: _first_only(s, 64),
    "negatives-capped-at-a-hundred": lambda s: cross_entropy(
        s.masked_fill(torch.arange(s.shape[1]) - _own(s)[:, None] > 100, -torch.inf)
    ),
    "queries-subsampled": _subsampled,
    "clamped-at-zero": lambda s: (_per_query(s) - 0.05).clamp_min(0).mean(),
}

OF_THE_SIMILARITY: dict[str, Callable[[Tensor, float], Tensor]] = {
    "temperature-missing": lambda s, t: s,
    "temperature-inverted": lambda s, t: s * t,
    "temperature-twice": lambda s, t: s / t / t,
    "temperature-square-root": lambda s, t: s / t**0.5,
    "temperature-fixed": lambda s, t: s / 0.5,
    "temperature-clamped": lambda s, t: s / max(t, 0.1),
    "temperature-of-the-positive-only": lambda s, t: torch.where(_others(s), s, s / t),
    "negative-distance-for-similarity": lambda s, t: -(2 - 2 * s).clamp_min(0).sqrt() / t,
    "absolute-similarity": lambda s, t: s.abs() / t,
    "only-non-negative-similarities": lambda s, t: s.relu() / t,
    "similarity-clamped": lambda s, t: s.clamp(-0.999, 0.999) / t,
    "similarity-saturates": lambda s, t: s.tanh() / t,
    "divided-by-samples": lambda s, t: s / t / len(s) ** 0.5,
}

FAULTS_OF_COSINES: dict[str, Callable[[Tensor], Tensor]] = {
    "not-normalised": lambda p: p,
    "queries-not-normalised": lambda p: torch.stack([p[0], F.normalize(p[1], dim=-1)]),
    "keys-not-normalised": lambda p: torch.stack([F.normalize(p[0], dim=-1), p[1]]),
    "normalised-over-the-batch": lambda p: F.normalize(p, dim=1),
    "normalised-by-one-norm": lambda p: F.normalize(p, p=1, dim=-1),
    "norm-detached": lambda p: p / p.norm(dim=-1, keepdim=True).detach().clamp_min(1e-12),
    "norm-with-large-epsilon": lambda p: p / (p.norm(dim=-1, keepdim=True) + 1e-3),
    "not-a-number-at-zero-rows": lambda p: p / p.norm(dim=-1, keepdim=True),
    "centred-before": lambda p: F.normalize(p - p.mean(1, keepdim=True), dim=-1),
}

FAULTS_OF_DOT_PRODUCTS: dict[str, Callable[[Tensor], Tensor]] = {
    "normalised": lambda p: F.normalize(p, dim=-1),
    "queries-normalised": lambda p: torch.stack([F.normalize(p[0], dim=-1), p[1]]),
    "keys-normalised": lambda p: torch.stack([p[0], F.normalize(p[1], dim=-1)]),
    "divided-by-the-dimension": lambda p: p / p.shape[-1] ** 0.5,
    "divided-by-its-root": lambda p: p / p.shape[-1] ** 0.25,
    "queries-centred": lambda p: torch.stack([p[0] - p[0].mean(0), p[1]]),
    "rows-clipped": lambda p: p / p.norm(dim=-1, keepdim=True).clamp_min(2.0) * 2.0,
}


def _in_place(correct: Loss, pair: Tensor, temperature: float) -> Tensor:
    loss = correct(pair, temperature)
    with torch.no_grad():
        pair /= pair.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return loss


def _drawing(correct: Loss, pair: Tensor, temperature: float) -> Tensor:
    torch.rand(1)
    return correct(pair, temperature)


FAULTS_OF_VIEWS: dict[str, Callable[[Loss, Tensor, float], Tensor]] = {
    "both-views-one-tensor": lambda loss, p, t: loss(p[:1].expand(2, -1, -1), t),
    "keys-detached": lambda loss, p, t: loss(torch.stack([p[0], p[1].detach()]), t),
    "queries-detached": lambda loss, p, t: loss(torch.stack([p[0].detach(), p[1]]), t),
    "samples-interleaved": lambda loss, p, t: loss(p.transpose(0, 1).reshape_as(p), t),
    "last-dimension-dropped": lambda loss, p, t: loss(p[..., : max(1, p.shape[-1] - 1)], t),
    "noise-on-the-views": lambda loss, p, t: loss(p + 1e-4 * torch.randn_like(p), t),
    "computed-in-half": lambda loss, p, t: loss(p.half() if p.dtype == torch.float32 else p, t).to(
        p.dtype
    ),
    "computed-in-single": lambda loss, p, t: loss(p.float(), t).to(p.dtype),
    "normalises-in-place": _in_place,
    "draws-from-the-global-generator": _drawing,
}


def without_gradient_in_half(loss: Tensor, pair: Tensor) -> Tensor:
    """Return the loss, without its gradient in the types of 16 bits."""
    if pair.dtype in (torch.bfloat16, torch.float16):
        return loss.detach() + 0 * pair.sum()
    return loss


OF_THE_RESULT: dict[str, Callable[[Tensor, Tensor, float], object]] = {
    "a-constant-added": lambda loss, p, t: loss + 0.01,
    "norm-penalty-added": lambda loss, p, t: loss + 1e-3 * p.square().mean(),
    "temperature-times-loss": lambda loss, p, t: t * loss,
    "gradient-halved": lambda loss, p, t: 0.5 * loss + 0.5 * loss.detach(),
    "returns-float32": lambda loss, p, t: loss.float(),
    "returns-a-number": lambda loss, p, t: float(loss),
    "returns-a-vector": lambda loss, p, t: loss[None],
    "returns-detached": lambda loss, p, t: loss.detach(),
}

FAULTS_OF_ONE_DIRECTION: dict[str, Direction] = {
    "negatives-of-both-directions": _with_both,
    "from-keys-to-queries": lambda s: cross_entropy(s.T),
    "both-directions": lambda s: (cross_entropy(s) + cross_entropy(s.T)) / 2,
}

FAULTS_OF_TWO_DIRECTIONS: dict[str, Direction] = {
    "one-direction-only": cross_entropy,
    "the-other-direction-only": lambda s: cross_entropy(s.T),
    "sum-of-directions": lambda s: cross_entropy(s) + cross_entropy(s.T),
    "directions-weighted-unequally": lambda s: 0.6 * cross_entropy(s) + 0.4 * cross_entropy(s.T),
    "second-direction-detached": lambda s: (cross_entropy(s) + cross_entropy(s.T).detach()) / 2,
    "higher-of-directions": lambda s: torch.maximum(cross_entropy(s), cross_entropy(s.T)),
    "second-direction-without-positive": lambda s: (cross_entropy(s) + s.T.logsumexp(1).mean()) / 2,
    "mean-of-logits": lambda s: cross_entropy((s + s.T) / 2),
}
