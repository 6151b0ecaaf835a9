"""Broken losses over keys of the batch, from equation 1; each is named after its fault."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing import Mutant
from sslcore.testing.losses.common_mutants import (
    Loss,
    careful,
    common_mutants,
    exact,
    unit_rows,
)
from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Hyper
from sslcore_moco.conformance.examples import norm_detached

SIGNALS = ("predictions", "teacher_projections")

#: From queries and the keys of the other view, (2, B, D) each, and τ, to a scalar.
Score = Callable[[Tensor, Tensor, float], Tensor]


def _refuse(inputs: Inputs) -> None:
    queries, keys = (inputs[name] for name in SIGNALS)
    if queries.dim() != 3 or queries.shape != keys.shape or len(queries) != 2:
        raise ValueError("predictions and teacher projections must be (2, B, D)")
    if queries.numel() == 0 or queries.shape[1] < 2:
        raise ValueError("two images, please")


def _of(score: Score, *, stop: bool = True) -> Loss:
    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        keys = inputs[SIGNALS[1]].flip(0)
        keys = keys.detach() if stop else keys
        return score(inputs[SIGNALS[0]], keys, hyper["temperature"])

    return careful(loss, _refuse)


def _cosines(q: Tensor, k: Tensor) -> Tensor:
    return unit_rows(q) @ unit_rows(k).mT


def _own(cosines: Tensor) -> Tensor:
    return cosines.diagonal(dim1=-2, dim2=-1)


def _losses(cosines: Tensor, temperature: float) -> Tensor:
    """Return the loss of each query, (2, B)."""
    return (cosines / temperature).logsumexp(-1) - _own(cosines) / temperature


def _correct(q: Tensor, k: Tensor, t: float) -> Tensor:
    return 4 * t * _losses(_cosines(q, k), t).mean()


def _by(unit: Callable[[Tensor], Tensor]) -> Loss:
    """Return the loss with another normalisation of the rows."""
    return _of(lambda q, k, t: 4 * t * _losses(unit(q) @ unit(k).mT, t).mean())


def _from_losses(function: Callable[[Tensor, float], Tensor]) -> Loss:
    """Return a loss with another reduction of the losses of the queries, (2, B)."""
    return _of(lambda q, k, t: function(_losses(_cosines(q, k), t), t))


def _from_cosines(function: Callable[[Tensor, float], Tensor]) -> Loss:
    """Return a loss with another function of the cosines (2, B, B)."""
    return _of(lambda q, k, t: 4 * t * function(_cosines(q, k), t))


def _off_diagonal(cosines: Tensor) -> Tensor:
    itself = torch.eye(cosines.shape[-1], dtype=torch.bool)
    return cosines.masked_fill(itself, -torch.inf)


def _positive_left_out(cosines: Tensor, t: float) -> Tensor:
    return ((_off_diagonal(cosines) / t).logsumexp(-1) - _own(cosines) / t).mean()


def _hardest_negative(cosines: Tensor, t: float) -> Tensor:
    hardest = torch.stack([_own(cosines), _off_diagonal(cosines).amax(-1)], -1)
    return ((hardest / t).logsumexp(-1) - _own(cosines) / t).mean()


def _positive_twice(cosines: Tensor, t: float) -> Tensor:
    scores = torch.cat([cosines, _own(cosines)[..., None]], -1) / t
    return (scores.logsumexp(-1) - _own(cosines) / t).mean()


def _keys_of_both_views(q: Tensor, k: Tensor, t: float) -> Tensor:
    cosines = torch.cat([_cosines(q, k), _off_diagonal(_cosines(q, k.flip(0)))], -1)
    return 4 * t * ((cosines / t).logsumexp(-1) - _own(_cosines(q, k)) / t).mean()


def _other_queries_as_negatives(q: Tensor, k: Tensor, t: float) -> Tensor:
    cosines = torch.cat([_own(_cosines(q, k))[..., None], _off_diagonal(_cosines(q, q))], -1)
    return 4 * t * ((cosines / t).logsumexp(-1) - cosines[..., 0] / t).mean()


def _roles_swapped(q: Tensor, k: Tensor, t: float) -> Tensor:
    return _correct(k, q.detach(), t) + 0 * q.sum()


def _second_view_detached(q: Tensor, k: Tensor, t: float) -> Tensor:
    return _correct(torch.stack([q[0], q[1].detach()]), k, t)


def _in_the_type_given(inputs: Inputs, hyper: Hyper) -> Tensor:
    _refuse(inputs)
    q, k = inputs[SIGNALS[0]], inputs[SIGNALS[1]].flip(0).detach()
    unit = [rows / (rows * rows).sum(-1, keepdim=True).sqrt().clamp_min(1e-6) for rows in (q, k)]
    t = hyper["temperature"]
    return 4 * t * _losses(unit[0] @ unit[1].mT, t).mean()


def _plain_exponential(cosines: Tensor, t: float) -> Tensor:
    powers = (exact(cosines) / t).exp()
    return -(_own(powers) / powers.sum(-1)).log().mean()


def _transposed(q: Tensor, k: Tensor, t: float) -> Tensor:
    return 4 * t * _losses(_cosines(q, k).mT, t).mean()


def _a_tenth_of_the_same_view(q: Tensor, k: Tensor, t: float) -> Tensor:
    return 0.9 * _correct(q, k, t) + 0.1 * _correct(q, k.flip(0), t)


def _rank_without_offset(*, temperature: float) -> Callable[..., Tensor]:
    def loss(predictions: Tensor, teacher_projections: Tensor, rows: slice | None = None) -> Tensor:
        inputs = dict(zip(SIGNALS, (predictions, teacher_projections), strict=True))
        counted = None if rows is None else rows.stop - rows.start
        of_rank = _from_losses(lambda x, t: 4 * t * x[:, :counted].mean())
        return of_rank(inputs, {"temperature": temperature})

    return loss


_CORRECT = _of(_correct)
#: The correct loss; every variant adds a fault to it.
CONTROL = Mutant("no-fault", _CORRECT)

MUTANTS: tuple[Mutant, ...] = (
    *common_mutants(_CORRECT, SIGNALS, "predictions"),
    Mutant("view-against-itself", _of(lambda q, k, t: _correct(q, k.flip(0), t))),
    Mutant("a-tenth-of-the-same-view", _of(_a_tenth_of_the_same_view)),
    Mutant("one-direction", _of(lambda q, k, t: _correct(q[:1], k[:1], t))),
    Mutant(
        "directions-weighted-otherwise",
        _from_losses(lambda x, t: 4 * t * (0.6 * x[0] + 0.4 * x[1]).mean()),
    ),
    Mutant("keys-query-the-queries", _of(_transposed)),
    Mutant("keys-of-both-views-as-negatives", _of(_keys_of_both_views)),
    Mutant("other-queries-as-negatives", _of(_other_queries_as_negatives)),
    Mutant("keys-of-other-images", _of(lambda q, k, t: _correct(q, k.roll(1, 1), t))),
    Mutant("positive-left-out-of-the-denominator", _from_cosines(_positive_left_out)),
    Mutant("positive-twice", _from_cosines(_positive_twice)),
    Mutant("hardest-negative-only", _from_cosines(_hardest_negative)),
    Mutant("cosines-without-their-sign", _from_cosines(lambda c, t: _losses(c.abs(), t).mean())),
    Mutant("cosines-squared", _from_cosines(lambda c, t: _losses(c.square(), t).mean())),
    Mutant("plain-exponential", _from_cosines(_plain_exponential)),
    Mutant("temperature-missing", _from_cosines(lambda c, t: _losses(c, 1.0).mean())),
    Mutant("temperature-multiplied", _from_cosines(lambda c, t: _losses(c, 1 / t).mean())),
    Mutant("temperature-twice", _from_cosines(lambda c, t: _losses(c, t * t).mean())),
    Mutant("temperature-clamped", _from_cosines(lambda c, t: _losses(c, max(t, 0.1)).mean())),
    Mutant("factor-of-its-square", _from_losses(lambda x, t: 4 * t * t * x.mean())),
    Mutant("factor-fixed", _from_losses(lambda x, t: 0.8 * x.mean())),
    Mutant("divided-by-the-temperature", _from_losses(lambda x, t: x.mean() / t)),
    Mutant("sum-over-images", _from_losses(lambda x, t: 4 * t * x.sum(-1).mean())),
    Mutant("hardest-image-only", _from_losses(lambda x, t: 4 * t * x.amax(-1).mean())),
    Mutant("last-image-dropped", _from_losses(lambda x, t: 4 * t * x[:, :-1].mean())),
    Mutant("first-hundred-images-only", _from_losses(lambda x, t: 4 * t * x[:, :100].mean())),
    Mutant("not-normalised", _by(lambda rows: rows)),
    Mutant("normalised-over-the-batch", _by(lambda rows: F.normalize(rows, dim=1))),
    Mutant("normalised-over-views", _by(lambda rows: F.normalize(rows, dim=0))),
    Mutant("normalised-by-one-norm", _by(lambda rows: F.normalize(rows, p=1, dim=-1))),
    Mutant("centred-first", _by(lambda rows: unit_rows(rows - rows.mean(1, keepdim=True)))),
    Mutant(
        "norm-with-large-epsilon",
        _by(lambda rows: rows / (rows.norm(dim=-1, keepdim=True) + 1e-3)),
    ),
    Mutant("not-a-number-at-zero-rows", _by(lambda rows: rows / rows.norm(dim=-1, keepdim=True))),
    Mutant("norm-detached", _by(norm_detached)),
    Mutant("queries-detached", _of(lambda q, k, t: _correct(q.detach(), k, t))),
    Mutant("teacher-trained", _of(_correct, stop=False)),
    Mutant("roles-swapped", _of(_roles_swapped, stop=False)),
    Mutant("second-view-detached", _of(_second_view_detached)),
    Mutant("computed-in-the-type-given", _in_the_type_given),
    Mutant("rank-offset-missing", make=_rank_without_offset, needs="ranks-agree"),
)
