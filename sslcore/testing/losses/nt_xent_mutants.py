"""Broken NT-Xents, written from the equation: what each gets wrong is its name.

They measure the checks, not the losses: a check suite that lets one of them pass is worth less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.functional import unit_rows
from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Hyper, Mutant


def _rows(pair: Tensor) -> Tensor:
    return unit_rows(pair).flatten(0, 1)


def _positions(count: int) -> Tensor:
    return torch.arange(2 * count).roll(count)


def _loss(
    pair: Tensor,
    temperature: float,
    *,
    rows: Callable[[Tensor], Tensor] = _rows,
    mask: Callable[[Tensor, int], Tensor] | None = None,
    labels: Callable[[int], Tensor] = _positions,
    logits: Callable[[Tensor, float], Tensor] = lambda similar, temperature: similar / temperature,
    reduction: str = "mean",
) -> Tensor:
    """Return NT-Xent with one of its pieces replaced; right in every type where none is."""
    count = pair.shape[1]
    unit = rows(pair.to(torch.promote_types(pair.dtype, torch.float32)))
    similar = logits(unit @ unit.T, temperature)
    hidden = mask(similar, count) if mask is not None else _without_itself(similar, count)
    return F.cross_entropy(hidden, labels(count), reduction=reduction).to(pair.dtype)


def _without_itself(similar: Tensor, count: int) -> Tensor:
    return similar.masked_fill(torch.eye(len(similar), dtype=torch.bool), -torch.inf)


def _with(**pieces: Any) -> Callable[[Inputs, Hyper], Tensor]:
    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        return _loss(inputs["projections"], hyper["temperature"], **pieces)

    return loss


def _of(function: Callable[[Tensor, float], Tensor]) -> Callable[[Inputs, Hyper], Tensor]:
    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        pair = inputs["projections"]
        return function(pair, hyper["temperature"]).to(pair.dtype)

    return loss


def _numerator_and_denominator(pair: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return log of the numerator and of the denominator for each row."""
    unit = _rows(pair)
    similar = _without_itself(unit @ unit.T / temperature, pair.shape[1])
    own = similar.gather(1, _positions(pair.shape[1])[:, None])[:, 0]
    return own, similar.logsumexp(1)


def _only_negatives(pair: Tensor, temperature: float) -> Tensor:
    own, _ = _numerator_and_denominator(pair, temperature)
    unit = _rows(pair)
    similar = _without_itself(unit @ unit.T / temperature, pair.shape[1])
    return (
        similar.scatter(1, _positions(pair.shape[1])[:, None], -torch.inf).logsumexp(1) - own
    ).mean()


def _similarity_of_inputs(pair: Tensor, temperature: float) -> Tensor:
    """Cross-entropy towards where a row is most similar to another: no pair is known."""
    unit = _rows(pair)
    similar = _without_itself(unit @ unit.T / temperature, pair.shape[1])
    return F.cross_entropy(similar, similar.argmax(1))


def _hidden_in_place(pair: Tensor, temperature: float) -> Tensor:
    with torch.no_grad():
        pair /= pair.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return _loss(pair, temperature)


def _naive_exponentials(pair: Tensor, temperature: float) -> Tensor:
    unit = _rows(pair)
    weights = (unit @ unit.T / temperature).exp()
    weights = weights * (1 - torch.eye(len(unit), dtype=unit.dtype))
    own = weights.gather(1, _positions(pair.shape[1])[:, None])[:, 0]
    return -(own / weights.sum(1)).log().mean()


def _tenth_of_digits(pair: Tensor, temperature: float) -> Tensor:
    return _loss(pair.half() if pair.dtype == torch.float32 else pair, temperature).to(pair.dtype)


def _dropped_chunk(size: int) -> Callable[[Tensor, float], Tensor]:
    def loss(pair: Tensor, temperature: float) -> Tensor:
        own, whole = _numerator_and_denominator(pair, temperature)
        kept = max(size, len(own) // size * size)
        return (whole - own)[:kept].mean()

    return loss


def _subsampled(pair: Tensor, temperature: float) -> Tensor:
    own, whole = _numerator_and_denominator(pair, temperature)
    kept = torch.rand(len(own)) < 0.9
    kept[0] = True
    return (whole - own)[kept].mean()


def _jittered(pair: Tensor, temperature: float) -> Tensor:
    torch.rand(1)
    return _loss(pair, temperature)


class _Remembering:
    """Keeps the mask of the first batch it saw."""

    def __init__(self, *, temperature: float) -> None:
        self.temperature = temperature
        self.seen: Tensor | None = None

    def __call__(self, *, projections: Tensor) -> Tensor:
        if self.seen is not None:
            projections = 0.9 * projections + 0.1 * self.seen.mean((0, 1)).mean()
        else:
            self.seen = projections.detach().clone()
        return _loss(projections, self.temperature)


class _OnlyInTraining(torch.nn.Module):
    """Leaves the negatives out in eval mode."""

    def __init__(self, *, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, projections: Tensor) -> Tensor:
        loss = _loss(projections, self.temperature)
        return loss if self.training else loss * 0.5


_SHARED = _OnlyInTraining(temperature=0.5)


def _shared(*, temperature: float) -> torch.nn.Module:
    _SHARED.temperature = temperature
    return _SHARED.train()


def _chunked_wrongly(*, temperature: float, chunk_size: int = 1000) -> Callable[..., Tensor]:
    def loss(*, projections: Tensor) -> Tensor:
        own, whole = _numerator_and_denominator(projections, temperature)
        chunks = torch.split(whole - own, chunk_size)
        return torch.stack([chunk.mean() for chunk in chunks]).mean().to(projections.dtype)

    return loss


def _rank_without_offset(*, temperature: float) -> Callable[..., Tensor]:
    def loss(projections: Tensor, rows: slice | None = None) -> Tensor:
        own, whole = _numerator_and_denominator(projections, temperature)
        if rows is None:
            return (whole - own).mean().to(projections.dtype)
        here = slice(0, rows.stop - rows.start)
        return (whole - own).view(2, -1)[:, here].mean().to(projections.dtype)

    return loss


def _returns(what: Callable[[Tensor], object]) -> Callable[[Inputs, Hyper], object]:
    return lambda inputs, hyper: what(_loss(inputs["projections"], hyper["temperature"]))


def _broadcasting(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(first: Tensor, second: Tensor) -> Tensor:
        return _loss(torch.stack([first, second.expand_as(first)]), hyper["temperature"])

    return loss


def _concatenating(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(first: Tensor, second: Tensor) -> Tensor:
        unit = F.normalize(torch.cat([first, second]), dim=-1)
        similar = _without_itself(unit @ unit.T / hyper["temperature"], len(first))
        labels = torch.arange(len(unit)).roll(len(first))
        return F.cross_entropy(similar, labels)

    return loss


def _interleaved(count: int) -> Tensor:
    return torch.arange(2 * count) ^ 1


def _filled(value: float) -> Callable[[Tensor, int], Tensor]:
    def mask(similar: Tensor, count: int) -> Tensor:
        return similar.masked_fill(torch.eye(len(similar), dtype=torch.bool), value)

    return mask


def _filled_in_its_own_type(pair: Tensor, temperature: float) -> Tensor:
    unit = _rows(pair).to(pair.dtype)
    similar = unit @ unit.T / temperature
    similar = similar.masked_fill(torch.eye(len(unit), dtype=torch.bool), -1e9)
    return F.cross_entropy(similar, _positions(pair.shape[1]))


def _first_view_only(pair: Tensor, temperature: float) -> Tensor:
    own, whole = _numerator_and_denominator(pair, temperature)
    return (whole - own)[: pair.shape[1]].mean()


def _detached(part: int) -> Callable[[Tensor, float], Tensor]:
    def loss(pair: Tensor, temperature: float) -> Tensor:
        own, whole = _numerator_and_denominator(pair, temperature)
        return ((whole.detach() if part else whole) - (own if part else own.detach())).mean()

    return loss


def _weak_in_low_precision(pair: Tensor, temperature: float) -> Tensor:
    loss = _loss(pair, temperature)
    if pair.dtype in (torch.bfloat16, torch.float16):
        return loss.detach() + 0 * pair.sum()
    return loss


def _blind_copy(pair: Tensor, temperature: float) -> Tensor:
    unit = _rows(pair)
    similar = unit @ unit.T / temperature
    # Whatever equals a row counts as the row itself.
    return F.cross_entropy(
        similar.masked_fill(
            (unit @ unit.T > 1 - 1e-9)
            & (torch.arange(len(unit)) != _positions(pair.shape[1])[:, None]),
            -torch.inf,
        ),
        _positions(pair.shape[1]),
    )


CONTROL = Mutant("none", _with())

MUTANTS: tuple[Mutant, ...] = (
    Mutant("no-positive-term", _of(lambda p, t: _numerator_and_denominator(p, t)[1].mean())),
    Mutant("no-negative-term", _of(lambda p, t: -_numerator_and_denominator(p, t)[0].mean())),
    Mutant(
        "the-sample-itself-as-positive",
        _with(mask=lambda s, n: s, labels=lambda n: torch.arange(2 * n)),
    ),
    Mutant("both-views-one-tensor", _of(lambda p, t: _loss(p[:1].expand(2, -1, -1), t))),
    Mutant("self-similarity-as-target", _of(_similarity_of_inputs)),
    Mutant("self-similarity-in-denominator", _with(mask=lambda s, n: s)),
    Mutant(
        "mask-of-half-the-rows",
        _with(
            mask=lambda s, n: s.masked_fill(
                F.pad(torch.eye(n, dtype=torch.bool), (0, n, 0, n)), -torch.inf
            )
        ),
    ),
    Mutant("masked-logit-zero", _with(mask=_filled(0.0))),
    Mutant("masked-logit-minus-ten", _with(mask=_filled(-10.0))),
    Mutant("temperature-missing", _with(logits=lambda s, t: s)),
    Mutant("temperature-inverted", _with(logits=lambda s, t: s * t)),
    Mutant("temperature-twice", _with(logits=lambda s, t: s / t / t)),
    Mutant("temperature-square-root", _with(logits=lambda s, t: s / t**0.5)),
    Mutant("temperature-fixed", _with(logits=lambda s, t: s / 0.5)),
    Mutant("temperature-times-loss", _of(lambda p, t: t * _loss(p, t))),
    Mutant("temperature-clamped", _with(logits=lambda s, t: s / max(t, 0.1))),
    Mutant("not-normalised", _with(rows=lambda p: p.flatten(0, 1))),
    Mutant("normalised-over-the-batch", _with(rows=lambda p: F.normalize(p, dim=1).flatten(0, 1))),
    Mutant(
        "normalised-by-one-norm", _with(rows=lambda p: F.normalize(p, p=1, dim=-1).flatten(0, 1))
    ),
    Mutant(
        "norm-detached",
        _with(
            rows=lambda p: (p / p.norm(dim=-1, keepdim=True).detach().clamp_min(1e-12)).flatten(
                0, 1
            )
        ),
    ),
    Mutant(
        "norm-with-large-epsilon",
        _with(rows=lambda p: (p / (p.norm(dim=-1, keepdim=True) + 1e-3)).flatten(0, 1)),
    ),
    Mutant(
        "norm-of-one-view-only", _with(rows=lambda p: torch.cat([F.normalize(p[0], dim=-1), p[1]]))
    ),
    Mutant(
        "negative-distance-for-similarity",
        _with(logits=lambda s, t: -(2 - 2 * s).clamp_min(0).sqrt() / t),
    ),
    Mutant("sum-for-mean", _with(reduction="sum")),
    Mutant("mean-over-pairs-of-the-sum", _of(lambda p, t: 2 * _loss(p, t))),
    Mutant("positives-left-out-of-denominator", _of(_only_negatives)),
    Mutant("positive-detached", _of(_detached(0))),
    Mutant("denominator-detached", _of(_detached(1))),
    Mutant("one-direction-only", _of(_first_view_only)),
    Mutant("second-view-detached", _of(lambda p, t: _loss(torch.stack([p[0], p[1].detach()]), t))),
    Mutant(
        "negatives-of-the-other-view-only",
        _of(
            lambda p, t: F.cross_entropy(
                F.normalize(p[0], dim=-1) @ F.normalize(p[1], dim=-1).T / t,
                torch.arange(p.shape[1]),
            )
        ),
    ),
    Mutant("labels-off-by-one", _with(labels=lambda n: (torch.arange(2 * n) + n + 1) % (2 * n))),
    Mutant("labels-interleaved", _with(labels=_interleaved)),
    Mutant("sign", _of(lambda p, t: -_loss(p, t))),
    Mutant("naive-exponentials", _of(_naive_exponentials)),
    Mutant("fill-that-half-has-not", _of(_filled_in_its_own_type)),
    Mutant("computed-in-half", _of(_tenth_of_digits)),
    Mutant("last-chunk-dropped", _of(_dropped_chunk(4))),
    Mutant("last-large-chunk-dropped", _of(_dropped_chunk(64))),
    Mutant("rows-subsampled", _of(_subsampled)),
    Mutant("draws-from-the-global-generator", _of(_jittered)),
    Mutant("normalises-in-place", _of(_hidden_in_place)),
    Mutant("equal-rows-taken-for-itself", _of(_blind_copy)),
    Mutant("similarity-clamped", _with(logits=lambda s, t: s.clamp(-0.999, 0.999) / t)),
    Mutant("only-non-negative-similarities", _with(logits=lambda s, t: s.relu() / t)),
    Mutant("divided-by-dimensions", _with(logits=lambda s, t: s / t / s.shape[0] ** 0.5)),
    Mutant("a-constant-added", _of(lambda p, t: _loss(p, t) + 0.01)),
    Mutant("norm-penalty-added", _of(lambda p, t: _loss(p, t) + 1e-3 * p.square().mean())),
    Mutant("gradient-halved", _of(lambda p, t: 0.5 * _loss(p, t) + 0.5 * _loss(p, t).detach())),
    Mutant("gradient-lost-in-low-precision", _of(_weak_in_low_precision)),
    Mutant("returns-float32", _returns(lambda loss: loss.float())),
    Mutant("returns-a-number", _returns(lambda loss: loss.item())),
    Mutant("returns-a-vector", _returns(lambda loss: loss[None])),
    Mutant("hides-what-is-not-a-number", _returns(lambda loss: loss.nan_to_num())),
    Mutant("returns-detached", _returns(lambda loss: loss.detach())),
    Mutant(
        "returns-not-a-number-at-zero-rows",
        _with(rows=lambda p: (p / p.norm(dim=-1, keepdim=True)).flatten(0, 1)),
    ),
    Mutant("remembers-the-first-batch", make=_Remembering),
    Mutant("other-in-eval-mode", make=_OnlyInTraining),
    Mutant("shared-object", make=_shared),
    Mutant("takes-no-temperature", make=lambda: lambda *, projections: _loss(projections, 0.5)),
    Mutant("chunks-averaged-unweighted", make=_chunked_wrongly, needs="chunks-agree"),
    Mutant("rank-offset-missing", make=_rank_without_offset, needs="ranks-agree"),
    Mutant("malformed-shapes-taken", _with(), checks_shapes=False),
    Mutant("broadcasts", plain=_broadcasting),
    Mutant("concatenates-unequal-batches", plain=_concatenating),
)
