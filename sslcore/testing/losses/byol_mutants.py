"""Broken BYOL losses, from equation 2; each is named after its fault."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing.losses.common_mutants import Loss, careful, common_mutants, exact, unit_rows
from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Hyper, Mutant

SIGNALS = ("predictions", "teacher_projections")


def _refuse(inputs: Inputs) -> None:
    predictions, teacher = inputs["predictions"], inputs["teacher_projections"]
    if predictions.dim() != 3 or predictions.shape != teacher.shape or predictions.numel() == 0:
        raise ValueError("predictions and teacher projections must both be (2, B, D)")


def _of(function: Callable[[Tensor, Tensor], Tensor], *, stop: bool = True) -> Loss:
    """Return a loss of predictions and the teacher's projections of the other view, (2, B, D)."""

    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        teacher = inputs["teacher_projections"].flip(0)
        return function(inputs["predictions"], teacher.detach() if stop else teacher)

    return careful(loss, _refuse)


def _cosines(p: Tensor, t: Tensor) -> Tensor:
    return (unit_rows(p) * unit_rows(t)).sum(-1)


def _correct(p: Tensor, t: Tensor) -> Tensor:
    return 2 - 2 * _cosines(p, t).mean()


def _by(unit: Callable[[Tensor], Tensor]) -> Loss:
    """Return the loss with another normalisation of the rows."""
    return _of(lambda p, t: (unit(p) - unit(t)).square().sum(-1).mean())


def _from_cosines(function: Callable[[Tensor], Tensor]) -> Loss:
    """Return a loss of the cosines (2, B)."""
    return _of(lambda p, t: function(_cosines(p, t)))


def _norm_detached(p: Tensor, t: Tensor) -> Tensor:
    unit = p / p.norm(dim=-1, keepdim=True).detach().clamp_min(1e-12)
    result: Tensor = 2 - 2 * (unit * unit_rows(t)).sum(-1).mean()
    return result


def _every_pair(p: Tensor, t: Tensor) -> Tensor:
    return (_correct(p, t) + _correct(p, t.flip(0))) / 2


def _a_little_of_the_same_view(p: Tensor, t: Tensor) -> Tensor:
    return 0.95 * _correct(p, t) + 0.05 * _correct(p, t.flip(0))


def _dropped_last_chunk(cosines: Tensor) -> Tensor:
    count = cosines.shape[1]
    return 2 - 2 * cosines[:, : max(4, count // 4 * 4)].mean()


def _chunks_averaged(cosines: Tensor) -> Tensor:
    return 2 - 2 * torch.stack([part.mean() for part in cosines.split(4, 1)]).mean()


def _roles_swapped(p: Tensor, t: Tensor) -> Tensor:
    return 2 - 2 * _cosines(p.detach(), t).mean() + 0 * p.sum()


def _in_the_type_given(inputs: Inputs, hyper: Hyper) -> Tensor:
    _refuse(inputs)
    p, t = inputs["predictions"], inputs["teacher_projections"].flip(0).detach()
    lengths = (p * p).sum(-1).sqrt() * (t * t).sum(-1).sqrt()
    return 2 - 2 * ((p * t).sum(-1) / lengths.clamp_min(1e-12)).mean()


def _broadcasting(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(p: Tensor, t: Tensor) -> Tensor:
        if p.dim() != 2 or not p.numel():
            raise ValueError("nothing to compare")
        return _correct(exact(p), exact(t.detach())).to(p.dtype)

    return loss


def _all_against_all(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(p: Tensor, t: Tensor) -> Tensor:
        unit, target = unit_rows(exact(p)), unit_rows(exact(t.detach()))
        return 2 - 2 * (unit @ target.T).mean().to(p.dtype)

    return loss


_CORRECT = _of(_correct)
#: The correct loss; every variant but the plain ones adds a fault to it.
CONTROL = Mutant("no-fault", _CORRECT)

MUTANTS: tuple[Mutant, ...] = (
    *common_mutants(_CORRECT, SIGNALS, "predictions"),
    Mutant("view-against-itself", _of(lambda p, t: _correct(p, t.flip(0)))),
    Mutant("every-prediction-against-both-views", _of(_every_pair)),
    Mutant("a-little-of-the-same-view", _of(_a_little_of_the_same_view)),
    Mutant("one-direction-only", _of(lambda p, t: _correct(p[:1], t[:1]))),
    Mutant(
        "directions-weighted-otherwise",
        _from_cosines(lambda c: 2 - 2 * (0.6 * c[0] + 0.4 * c[1]).mean()),
    ),
    Mutant("teacher-of-the-next-image", _of(lambda p, t: _correct(p, t.roll(1, 1)))),
    Mutant("teacher-of-the-first-image", _of(lambda p, t: _correct(p, t[:, :1].expand_as(t)))),
    Mutant("sum-over-images", _from_cosines(lambda c: (2 - 2 * c).mean(0).sum())),
    Mutant("sum-over-images-and-directions", _from_cosines(lambda c: (2 - 2 * c).sum())),
    Mutant("mean-over-dimensions", _of(lambda p, t: (unit_rows(p) - unit_rows(t)).square().mean())),
    Mutant("half-of-it", _from_cosines(lambda c: 1 - c.mean())),
    Mutant("negative-cosine", _from_cosines(lambda c: -c.mean())),
    Mutant("twice-negative-cosine", _from_cosines(lambda c: -2 * c.mean())),
    Mutant("four-too-many", _from_cosines(lambda c: 4 - 2 * c.mean())),
    Mutant("cosine-squared", _from_cosines(lambda c: 2 - 2 * c.square().mean())),
    Mutant("cosine-without-its-sign", _from_cosines(lambda c: 2 - 2 * c.abs().mean())),
    Mutant("cosine-clamped-at-zero", _from_cosines(lambda c: 2 - 2 * c.relu().mean())),
    Mutant(
        "cosine-clamped-near-one", _from_cosines(lambda c: 2 - 2 * c.clamp(-0.999, 0.999).mean())
    ),
    Mutant(
        "distance-not-squared", _from_cosines(lambda c: (2 - 2 * c).clamp_min(1e-12).sqrt().mean())
    ),
    Mutant("logarithm", _from_cosines(lambda c: -((1.001 + c) / 2.001).log().mean() * 2)),
    Mutant("hardest-image-only", _from_cosines(lambda c: (2 - 2 * c).amax(1).mean())),
    Mutant("last-chunk-dropped", _from_cosines(_dropped_last_chunk)),
    Mutant("chunks-averaged-unweighted", _from_cosines(_chunks_averaged)),
    Mutant("not-normalised", _by(lambda rows: rows)),
    Mutant("not-normalised-dot-product", _of(lambda p, t: 2 - 2 * (p * t).sum(-1).mean())),
    Mutant("teacher-not-normalised", _of(lambda p, t: (unit_rows(p) - t).square().sum(-1).mean())),
    Mutant(
        "predictions-not-normalised", _of(lambda p, t: (p - unit_rows(t)).square().sum(-1).mean())
    ),
    Mutant("normalised-over-the-batch", _by(lambda rows: F.normalize(rows, dim=1))),
    Mutant("normalised-over-views", _by(lambda rows: F.normalize(rows, dim=0))),
    Mutant("normalised-as-one", _by(lambda rows: rows / rows.norm().clamp_min(1e-12))),
    Mutant("normalised-by-one-norm", _by(lambda rows: F.normalize(rows, p=1, dim=-1))),
    Mutant("centred-first", _by(lambda rows: unit_rows(rows - rows.mean(1, keepdim=True)))),
    Mutant("softmax-for-normalisation", _by(lambda rows: rows.softmax(-1))),
    Mutant(
        "norm-with-large-epsilon",
        _by(lambda rows: rows / (rows.norm(dim=-1, keepdim=True) + 1e-3)),
    ),
    Mutant("norm-detached", _of(_norm_detached)),
    Mutant(
        "one-cosine-of-everything",
        _of(lambda p, t: 2 - 2 * F.cosine_similarity(p.flatten(), t.flatten(), dim=0)),
    ),
    Mutant("mean-image-only", _of(lambda p, t: _correct(p.mean(1), t.mean(1)))),
    Mutant("predictions-detached", _of(lambda p, t: _correct(p.detach(), t))),
    Mutant("teacher-trained", _of(_correct, stop=False)),
    Mutant("roles-swapped", _of(_roles_swapped, stop=False)),
    Mutant(
        "second-view-detached", _of(lambda p, t: _correct(torch.stack([p[0], p[1].detach()]), t))
    ),
    Mutant("not-a-number-at-zero-rows", _by(lambda rows: rows / rows.norm(dim=-1, keepdim=True))),
    Mutant("squared-in-half", _in_the_type_given),
    Mutant("broadcasts", plain=_broadcasting),
    Mutant("all-against-all", plain=_all_against_all),
)
