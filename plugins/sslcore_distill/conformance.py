"""The family of the cosine distance from a teacher's features, for the conformance kit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sslcore.testing import (
    Example,
    Family,
    HyperRange,
    Mutant,
    declare,
    families,
    register_family,
)
from sslcore.testing.losses.common_mutants import unit_rows
from sslcore.testing.losses.invariances import (
    decomposes_over_samples,
    scale_of_each_row,
    view_swap,
)
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Inputs = dict[str, Tensor]
Hyper = Mapping[str, float]

# Its examples have the shapes of these signals, under other names.
_BYOL = next(family for family in families() if family.name == "byol")
_SIGNALS = ("projections", "teacher_features")


def _inputs(given: Mapping[str, Tensor]) -> Inputs:
    return {
        "projections": given["predictions"],
        "teacher_features": given["teacher_projections"],
    }


def _of_byol(inputs: Mapping[str, Tensor]) -> Inputs:
    return {
        "predictions": inputs["projections"],
        "teacher_projections": inputs["teacher_features"],
    }


def _renamed(example: Example) -> Example:
    return replace(example, inputs=_inputs(example.inputs))


def _unit(rows: Tensor) -> Tensor:
    result: Tensor = rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return result


def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the mean over views and images of 1 − cos(p, t), pair by pair."""
    found = [
        1 - _unit(projection) @ _unit(target.detach())
        for view, others in zip(inputs["projections"], inputs["teacher_features"], strict=True)
        for projection, target in zip(view, others, strict=True)
    ]
    return torch.stack(found).mean()


def _gradient_scale(inputs: Inputs, hyper: Hyper) -> Mapping[str, Tensor]:
    """Return 1/(V B ‖p‖) for each row, a bound on the entries of its gradient."""
    rows = inputs["projections"].detach().double()
    lengths = rows.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return {"projections": 1 / (rows.shape[0] * rows.shape[1] * lengths)}


def _drawn(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
    return _BYOL.examples({}).map(_renamed)


def at_cosine(cosine: float, count: int) -> Example:
    """Return projections (2, B, 2) with a given cosine to the teacher's features of their view."""
    angle = torch.arange(2 * count, dtype=torch.float64).view(2, count)
    turned = angle + torch.tensor(cosine, dtype=torch.float64).acos()
    length = 1 + angle % 3

    def directed(angle: Tensor) -> Tensor:
        return torch.stack([angle.cos(), angle.sin()], -1)

    return Example(
        {
            "projections": length[..., None] * directed(turned),
            "teacher_features": directed(angle),
        },
        case={"cosine": cosine},
    )


@declare(
    "closed-form",
    "T1",
    formula="all cosines s: L = 1 − s",
    kills="views paired with the other view, a wrong sign, a factor, no constant",
    anchors=lambda subject: [
        at_cosine(cosine, count) for count in (1, 4) for cosine in (1.0, 0.0, -1.0, 0.5, -0.25)
    ],
)
def closed_form(subject: LossSubject, example: Example) -> None:
    expected = 1 - example.case["cosine"]
    tolerance = 2 * subject.tolerance(example, 2.0)
    subject.compare(subject.value(example), expected, tolerance, example, "L")


@declare(
    "bounds",
    "T2",
    formula="0 ≤ L ≤ 2",
    kills="a sum over samples or views, rows that are not normalised",
    anchors=anchors,
    examples=examples,
    max_examples=15,
)
def bounds(subject: LossSubject, example: Example) -> None:
    value = subject.value(example)
    subject.at_most(abs(value - 1), 1.0, subject.tolerance(example, 2.0), example, "|L − 1|")


@declare(
    "gradient-points-to-the-teacher",
    "T3",
    formula="∂L/∂p = −(t̄ − s p̄) / (V B ‖p‖), s the cosine of p and t of the same view",
    kills="a view paired with another one, a detached norm, a scaled gradient",
    anchors=anchors,
    examples=examples,
    max_examples=15,
)
def gradient_points_to_the_teacher(subject: LossSubject, example: Example) -> None:
    unit = _unit(example.inputs["projections"])
    target = _unit(example.inputs["teacher_features"])
    size = _gradient_scale(example.inputs, {})["projections"]
    wanted = -size * (target - (unit * target).sum(-1, keepdim=True) * unit)
    score, found = subject.gradients(example)
    off = float(((found["projections"] - wanted).abs() / size).max())
    tolerance = 8 * subject.tolerance(example, max(1.0, float(score)))
    subject.at_most(off, 0.0, tolerance, example, "|∂L/∂p − …| · V B ‖p‖")


def _of(
    score: Callable[[Tensor, Tensor], Tensor], *, stop: bool = True, low: bool = False
) -> Callable[[Inputs, Hyper], Tensor]:
    """Return a loss of projections and the teacher's features, (V, B, D) each."""

    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        p, t = inputs["projections"], inputs["teacher_features"]
        if p.shape != t.shape or p.dim() != 3 or not p.numel():
            raise ValueError("projections and teacher_features must be of one shape (V, B, D)")
        exact = p.dtype if low else torch.promote_types(p.dtype, torch.float32)
        t = t.detach() if stop else t
        return score(p.to(exact), t.to(exact)).to(p.dtype)

    return loss


def _correct(p: Tensor, t: Tensor) -> Tensor:
    return 1 - (unit_rows(p) * unit_rows(t)).sum(-1).mean()


def _from_cosines(score: Callable[[Tensor], Tensor]) -> Callable[[Inputs, Hyper], Tensor]:
    return _of(lambda p, t: score((unit_rows(p) * unit_rows(t)).sum(-1)))


def _norm_detached(p: Tensor, t: Tensor) -> Tensor:
    lengths = p.norm(dim=-1, keepdim=True).detach().clamp_min(1e-30)
    result: Tensor = 1 - (p / lengths * unit_rows(t)).sum(-1).mean()
    return result


_MUTANTS = (
    Mutant("teacher-trained", _of(_correct, stop=False)),
    Mutant("projections-detached", _of(lambda p, t: _correct(p.detach(), t))),
    Mutant("other-view", _of(lambda p, t: _correct(p, t.roll(1, 0)))),
    Mutant("next-image", _of(lambda p, t: _correct(p, t.roll(1, 1)))),
    Mutant("first-view-only", _of(lambda p, t: _correct(p[:1], t[:1]))),
    Mutant("sum-over-views", _from_cosines(lambda s: (1 - s).mean(1).sum())),
    Mutant("sum-over-images", _from_cosines(lambda s: (1 - s).mean(0).sum())),
    Mutant("no-constant", _from_cosines(lambda s: -s.mean())),
    Mutant("wrong-sign", _from_cosines(lambda s: 1 + s.mean())),
    Mutant("squared-distance", _from_cosines(lambda s: 2 - 2 * s.mean())),
    Mutant("cosine-squared", _from_cosines(lambda s: 1 - s.square().mean())),
    Mutant("hardest-image-only", _from_cosines(lambda s: 1 - s.amin(1).mean())),
    Mutant("not-normalised", _of(lambda p, t: 1 - (p * t).sum(-1).mean())),
    Mutant("teacher-not-normalised", _of(lambda p, t: 1 - (unit_rows(p) * t).sum(-1).mean())),
    Mutant("projections-not-normalised", _of(lambda p, t: 1 - (p * unit_rows(t)).sum(-1).mean())),
    Mutant("centred-first", _of(lambda p, t: _correct(p, t - t.mean(1, keepdim=True)))),
    Mutant("norm-detached", _of(_norm_detached)),
    Mutant("gradient-halved", _from_cosines(lambda s: 1 - (s + s.detach()).mean() / 2)),
    Mutant(
        "not-a-number-at-zero-rows",
        _of(lambda p, t: 1 - (p / p.norm(dim=-1, keepdim=True) * unit_rows(t)).sum(-1).mean()),
    ),
)

TEACHER_COSINE = register_family(
    Family(
        name="teacher-cosine",
        summary="Cosine distance of projections from a teacher's features of the same view",
        signals=_SIGNALS,
        reference=reference,
        examples=_drawn,
        anchors=lambda: [_renamed(example) for example in _BYOL.anchors()],
        degenerate=lambda dtype: {
            what: _renamed(example) for what, example in _BYOL.degenerate(dtype).items()
        },
        degenerate_gradient=_BYOL.degenerate_gradient,
        malformed=lambda inputs: {
            what: _inputs(wrong) for what, wrong in _BYOL.malformed(_of_byol(inputs)).items()
        },
        trainable=("projections",),
        stop_gradient=("teacher_features",),
        scale=lambda inputs, hyper: 2.0,
        gradient_scale=_gradient_scale,
        properties=(
            closed_form,
            bounds,
            gradient_points_to_the_teacher,
            scale_of_each_row("T4"),
            view_swap("T5"),
            decomposes_over_samples("T6"),
        ),
        mutants=_MUTANTS,
        control=Mutant("no-fault", _of(_correct)),
    )
)
