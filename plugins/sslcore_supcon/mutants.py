"""Broken supervised contrastive losses; each is named after its fault."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing import Mutant
from sslcore.testing.losses.common_mutants import Loss, careful, common_mutants, unit_rows
from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Hyper

SIGNALS = ("projections", "labels")

#: From similarities (V·N, V·N) / τ, with −∞ on the diagonal, and positives (V·N, V·N), to losses.
Score = Callable[[Tensor, Tensor], Tensor]


def _refuse(inputs: Inputs) -> None:
    projections, labels = inputs["projections"], inputs["labels"]
    if projections.dim() != 3 or len(projections) < 2 or not projections.numel():
        raise ValueError("projections must be (V, N, D)")
    if labels.shape != projections.shape[1:2] or labels.is_floating_point():
        raise ValueError("labels must be integers (N,)")


def _own_classes(labels: Tensor) -> Tensor:
    return torch.where(labels < 0, -2 - torch.arange(len(labels)), labels)


def _positives(classes: Tensor, views: int) -> Tensor:
    every = classes.repeat(views)
    return (every[:, None] == every) & ~torch.eye(len(every), dtype=torch.bool)


def _surprise(logits: Tensor, positive: Tensor) -> Tensor:
    """Return the mean over positives of each view, (V·N,)."""
    each = logits.logsumexp(1, keepdim=True) - logits
    return each.masked_fill(~positive, 0).sum(1) / positive.sum(1)


def _of(
    score: Callable[[Tensor, Tensor], Tensor] = lambda logits, positive: _surprise(
        logits, positive
    ).mean(),
    classes: Callable[[Tensor], Tensor] = _own_classes,
    normalise: Callable[[Tensor], Tensor] = unit_rows,
    divide: Callable[[Tensor, float], Tensor] = lambda similar, temperature: similar / temperature,
    refuse: Callable[[Inputs], None] = _refuse,
) -> Loss:
    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        projections, labels = inputs["projections"], inputs["labels"]
        flat = normalise(projections).flatten(0, 1)
        itself = torch.eye(len(flat), dtype=torch.bool)
        logits = divide(flat @ flat.mT, hyper["temperature"]).masked_fill(itself, -torch.inf)
        return score(logits, _positives(classes(labels), len(projections)))

    return careful(loss, refuse)


def _by_losses(change: Callable[[Tensor], Tensor]) -> Loss:
    return _of(lambda logits, positive: change(_surprise(logits, positive)))


def _inside(logits: Tensor, positive: Tensor) -> Tensor:
    """Return equation (3), where the mean over positives is inside the logarithm."""
    shares = logits.masked_fill(~positive, -torch.inf).logsumexp(1) - positive.sum(1).log()
    return (logits.logsumexp(1) - shares).mean()


def _denominator_of_negatives(logits: Tensor, positive: Tensor) -> Tensor:
    others = logits.masked_fill(positive, -1e4).logsumexp(1, keepdim=True)
    return ((others - logits).masked_fill(~positive, 0).sum(1) / positive.sum(1)).mean()


def _sum_over_positives(logits: Tensor, positive: Tensor) -> Tensor:
    each = logits.logsumexp(1, keepdim=True) - logits
    return each.masked_fill(~positive, 0).sum(1).mean()


def _pairs_averaged(logits: Tensor, positive: Tensor) -> Tensor:
    each = logits.logsumexp(1, keepdim=True) - logits
    return each.masked_fill(~positive, 0).sum() / positive.sum()


def _denominator_detached(logits: Tensor, positive: Tensor) -> Tensor:
    each = logits.detach().logsumexp(1, keepdim=True) - logits
    return (each.masked_fill(~positive, 0).sum(1) / positive.sum(1)).mean()


def _with_itself(logits: Tensor, positive: Tensor) -> Tensor:
    itself = torch.eye(len(logits), dtype=torch.bool)
    full = logits.masked_fill(itself, float(logits[~itself].detach().max()))
    return _surprise(full, positive).mean()


def _rank_without_offset(*, temperature: float) -> Callable[..., Tensor]:
    def loss(projections: Tensor, labels: Tensor, rows: slice | None = None) -> Tensor:
        counted = None if rows is None else rows.stop - rows.start
        shape = projections.shape[:2]
        of_rank = _by_losses(lambda each: each.view(shape)[:, :counted].mean())
        return of_rank({"projections": projections, "labels": labels}, {"temperature": temperature})

    return loss


_CORRECT = _of()
#: The correct loss; every variant adds a fault to it.
CONTROL = Mutant("no-fault", _CORRECT)

MUTANTS: tuple[Mutant, ...] = (
    *common_mutants(_CORRECT, SIGNALS, "projections"),
    Mutant("mean-inside-the-logarithm", _of(_inside)),
    Mutant("positives-left-out-of-the-denominator", _of(_denominator_of_negatives)),
    Mutant("the-view-itself-in-the-denominator", _of(_with_itself)),
    Mutant("sum-over-positives", _of(_sum_over_positives)),
    Mutant("mean-over-pairs", _of(_pairs_averaged)),
    Mutant("denominator-detached", _of(_denominator_detached)),
    Mutant("labels-ignored", _of(classes=lambda labels: torch.arange(len(labels)))),
    Mutant("labels-of-the-next-image", _of(classes=lambda labels: _own_classes(labels).roll(1))),
    Mutant("no-label-is-one-class", _of(classes=lambda labels: labels)),
    Mutant("no-label-is-class-0", _of(classes=lambda labels: labels.clamp_min(0))),
    Mutant(
        "last-class-left-out", _of(classes=lambda y: _own_classes(torch.where(y == y.max(), -1, y)))
    ),
    Mutant("sum-over-views", _by_losses(lambda each: each.sum())),
    Mutant("first-view-only", _by_losses(lambda each: each[: len(each) // 2].mean())),
    Mutant("last-view-dropped", _by_losses(lambda each: each[:-1].mean())),
    Mutant("hardest-view-only", _by_losses(lambda each: each.amax())),
    Mutant("temperature-missing", _of(divide=lambda similar, t: similar)),
    Mutant("temperature-multiplied", _of(divide=lambda similar, t: similar * t)),
    Mutant("temperature-twice", _of(divide=lambda similar, t: similar / t**2)),
    Mutant("cosines-without-their-sign", _of(divide=lambda similar, t: similar.abs() / t)),
    Mutant("not-normalised", _of(normalise=lambda rows: rows)),
    Mutant("normalised-over-the-batch", _of(normalise=lambda rows: F.normalize(rows, dim=1))),
    Mutant(
        "centred-first", _of(normalise=lambda rows: unit_rows(rows - rows.mean(1, keepdim=True)))
    ),
    Mutant(
        "not-a-number-at-zero-rows",
        _of(normalise=lambda rows: rows / rows.norm(dim=-1, keepdim=True)),
    ),
    Mutant("rank-offset-missing", make=_rank_without_offset, needs="ranks-agree"),
)
