"""The family of SimSiam's loss, for the conformance kit (Chen & He 2021, equation 4).

It takes the same examples as the family `byol`, with the student's projections in place of a
teacher's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

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

_BYOL = next(family for family in families() if family.name == "byol")
_SIGNALS = ("predictions", "projections")


def _inputs(given: Mapping[str, Tensor]) -> Inputs:
    return {"predictions": given["predictions"], "projections": given["teacher_projections"]}


def _of_byol(inputs: Mapping[str, Tensor]) -> Inputs:
    return {"predictions": inputs["predictions"], "teacher_projections": inputs["projections"]}


def _renamed(example: Example) -> Example:
    return replace(example, inputs=_inputs(example.inputs))


def _unit(rows: Tensor) -> Tensor:
    result: Tensor = rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return result


def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the mean over both directions and all samples of −cos(p, z), pair by pair."""
    predictions, projections = inputs["predictions"], inputs["projections"]
    found = [
        -_unit(prediction) @ _unit(target.detach())
        for view in (0, 1)
        for prediction, target in zip(predictions[view], projections[1 - view], strict=True)
    ]
    return torch.stack(found).mean()


def _gradient_scale(inputs: Inputs, hyper: Hyper) -> Mapping[str, Tensor]:
    """Return 1/(2B‖p‖) for each row, a bound on the entries of its gradient."""
    return {name: size / 2 for name, size in _BYOL.gradient_scale(_of_byol(inputs), hyper).items()}


# Examples


def _drawn(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
    return _BYOL.examples({}).map(_renamed)


def at_cosine(cosine: float, count: int) -> Example:
    """Return predictions (2, B, 2) with a given cosine to the other view's projections."""
    angle = torch.arange(2 * count, dtype=torch.float64).view(2, count)
    length = 1 + angle % 3
    turned = angle + torch.tensor(cosine, dtype=torch.float64).acos()

    def directed(angle: Tensor) -> Tensor:
        return torch.stack([angle.cos(), angle.sin()], -1)

    return Example(
        {
            "predictions": length[..., None] * directed(turned.flip(0)),
            "projections": directed(angle),
        },
        case={"cosine": cosine},
    )


# Properties


@declare(
    "closed-form",
    "N1",
    formula="all cosines s: L = −s",
    kills="views paired with themselves, a wrong sign, a factor, a distance instead of a cosine",
    anchors=lambda subject: [
        at_cosine(cosine, count) for count in (1, 4) for cosine in (1.0, 0.0, -1.0, 0.5, -0.25)
    ],
)
def closed_form(subject: LossSubject, example: Example) -> None:
    expected = -example.case["cosine"]
    tolerance = 2 * subject.tolerance(example, expected)
    subject.compare(subject.value(example), expected, tolerance, example, "L")


@declare(
    "bounds",
    "N2",
    formula="−1 ≤ L ≤ 1",
    kills="a sum over samples or directions, rows that are not normalised",
    anchors=anchors,
    examples=examples,
    max_examples=15,
)
def bounds(subject: LossSubject, example: Example) -> None:
    value = subject.value(example)
    subject.at_most(abs(value), 1.0, subject.tolerance(example, 1.0), example, "|L|")


@declare(
    "gradient-points-to-the-other-view",
    "N3",
    formula="∂L/∂p_i = −(z̄_i − s p̄_i) / (2B‖p_i‖), z_i of the other view, s their cosine",
    kills="a view paired with itself, a detached norm, a scaled gradient",
    anchors=anchors,
    examples=examples,
    max_examples=15,
)
def gradient_points_to_the_other_view(subject: LossSubject, example: Example) -> None:
    unit = _unit(example.inputs["predictions"])
    target = _unit(example.inputs["projections"].flip(0))
    size = _gradient_scale(example.inputs, {})["predictions"]
    wanted = -size * (target - (unit * target).sum(-1, keepdim=True) * unit)
    score, found = subject.gradients(example)
    off = float(((found["predictions"] - wanted).abs() / size).max())
    tolerance = 8 * subject.tolerance(example, float(score))
    subject.at_most(off, 0.0, tolerance, example, "|∂L/∂p − …| · 2B‖p‖")


# Broken variants


def _of(
    score: Callable[[Tensor, Tensor], Tensor],
    *,
    stop: bool = True,
    cross: bool = True,
    low: bool = False,
) -> Callable[[Inputs, Hyper], Tensor]:
    """Return a loss of predictions and the projections of the other view, (2, B, D) each."""

    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        p, z = inputs["predictions"], inputs["projections"]
        if p.shape != z.shape or p.dim() != 3 or not p.numel():
            raise ValueError("predictions and projections must have the same shape (2, B, D)")
        dtype = p.dtype
        exact = dtype if low else torch.promote_types(dtype, torch.float32)
        z = z.detach() if stop else z
        return score(p.to(exact), (z.flip(0) if cross else z).to(exact)).to(dtype)

    return loss


def _cosines(p: Tensor, z: Tensor) -> Tensor:
    return (unit_rows(p) * unit_rows(z)).sum(-1)


def _correct(p: Tensor, z: Tensor) -> Tensor:
    return -_cosines(p, z).mean()


def _from_cosines(score: Callable[[Tensor], Tensor]) -> Callable[[Inputs, Hyper], Tensor]:
    return _of(lambda p, z: score(_cosines(p, z)))


def _norm_detached(p: Tensor, z: Tensor) -> Tensor:
    lengths = p.norm(dim=-1, keepdim=True).detach().clamp_min(1e-30)
    result: Tensor = -(p / lengths * unit_rows(z)).sum(-1).mean()
    return result


_CONTROL = Mutant("no-fault", _of(_correct))
_MUTANTS = (
    Mutant("no-stop-gradient", _of(_correct, stop=False)),
    Mutant("roles-swapped", _of(lambda p, z: _correct(p.detach(), z) + 0 * p.sum(), stop=False)),
    Mutant("predictions-detached", _of(lambda p, z: _correct(p.detach(), z))),
    Mutant("view-against-itself", _of(_correct, cross=False)),
    Mutant("both-views", _of(lambda p, z: (_correct(p, z) + _correct(p, z.flip(0))) / 2)),
    Mutant("one-direction-only", _of(lambda p, z: _correct(p[:1], z[:1]))),
    Mutant("directions-weighted", _from_cosines(lambda s: -(0.6 * s[0] + 0.4 * s[1]).mean())),
    Mutant("sum-of-directions", _from_cosines(lambda s: -s.mean(1).sum())),
    Mutant("sum-over-images", _from_cosines(lambda s: -s.mean(0).sum())),
    Mutant("projections-of-the-next-image", _of(lambda p, z: _correct(p, z.roll(1, 1)))),
    Mutant("positive-cosine", _from_cosines(lambda s: s.mean())),
    Mutant("one-minus-cosine", _from_cosines(lambda s: 1 - s.mean())),
    Mutant("distance-of-unit-rows", _from_cosines(lambda s: 2 - 2 * s.mean())),
    Mutant("cosine-squared", _from_cosines(lambda s: -s.square().mean())),
    Mutant("cosine-clamped-at-zero", _from_cosines(lambda s: -s.relu().mean())),
    Mutant("hardest-image-only", _from_cosines(lambda s: -s.amin(1).mean())),
    Mutant("last-image-dropped", _from_cosines(lambda s: -s[:, : max(1, s.shape[1] - 1)].mean())),
    Mutant("not-normalised", _of(lambda p, z: -(p * z).sum(-1).mean())),
    Mutant("predictions-not-normalised", _of(lambda p, z: -(p * unit_rows(z)).sum(-1).mean())),
    Mutant("projections-not-normalised", _of(lambda p, z: -(unit_rows(p) * z).sum(-1).mean())),
    Mutant("mean-over-dimensions", _of(lambda p, z: -(unit_rows(p) * unit_rows(z)).mean())),
    Mutant(
        "normalised-over-the-batch",
        _of(lambda p, z: -(F.normalize(p, dim=1) * F.normalize(z, dim=1)).sum(-1).mean()),
    ),
    Mutant("centred-first", _of(lambda p, z: _correct(p - p.mean(1, keepdim=True), z))),
    Mutant("norm-detached", _of(_norm_detached)),
    Mutant("gradient-halved", _from_cosines(lambda s: -(s + s.detach()).mean() / 2)),
    Mutant("squared-in-half", _of(lambda p, z: -F.cosine_similarity(p, z, -1).mean(), low=True)),
    Mutant(
        "not-a-number-at-zero-rows",
        _of(lambda p, z: -(p / p.norm(dim=-1, keepdim=True) * unit_rows(z)).sum(-1).mean()),
    ),
)

NEGATIVE_COSINE = register_family(
    Family(
        name="negative-cosine",
        summary="Negative cosine of predictions and the detached projections of the other view",
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
        trainable=("predictions",),
        stop_gradient=("projections",),
        plain=lambda inputs: [] if _BYOL.plain is None else _BYOL.plain(_of_byol(inputs)),
        plain_names=_BYOL.plain_names,
        plain_malformed=lambda inputs: _BYOL.plain_malformed(_of_byol(inputs)),
        scale=lambda inputs, hyper: 1.0,
        gradient_scale=_gradient_scale,
        properties=(
            closed_form,
            bounds,
            gradient_points_to_the_other_view,
            scale_of_each_row("N4"),
            view_swap("N5"),
            decomposes_over_samples("N6"),
        ),
        mutants=_MUTANTS,
        control=_CONTROL,
    )
)
