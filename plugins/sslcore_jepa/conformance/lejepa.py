"""The family of LeJEPA's loss, for the conformance kit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sslcore.testing import Example, Family, HyperRange, Mutant, declare, register_family
from sslcore.testing.losses.common_mutants import careful, common_mutants
from sslcore.testing.losses.draws import fixed, pairs
from sslcore.testing.losses.extremes import TINY
from sslcore.testing.losses.invariances import sample_permutation, unchanged, view_swap
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples
from sslcore_jepa.regularizer import directions

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Inputs = dict[str, Tensor]
Hyper = Mapping[str, float]

#: Settings that the examples keep: directions, points, and the end of the integral.
_SLICES, _POINTS, _LARGEST = 256, 17, 3.0
#: (N, D), small ones first.
_SIZES = ((2, 2), (2, 3), (3, 4), (5, 8), (9, 1), (33, 5))


def statistic(rows: Tensor) -> Tensor:
    """Return the mean over directions of N ∫ |φ(t) − e^(−t²/2)|² e^(−t²/2) dt of rows (N, D).

    By complex exponentials and torch's trapezoidal rule on [−3, 3], so that it shares no formula
    with the loss.
    """
    at = torch.linspace(-_LARGEST, _LARGEST, 2 * _POINTS - 1, dtype=torch.float64)
    window = (-at.square() / 2).exp()
    found = []
    for direction in directions(rows.shape[-1], _SLICES).double().unbind(1):
        phi = (1j * (rows @ direction)[:, None] * at).exp().mean(0)
        found.append(torch.trapezoid((phi - window).abs().square() * window, at))
    return len(rows) * torch.stack(found).mean()


def terms(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Return the distance from the means of images, and SIGReg."""
    rows = inputs["projections"]
    near = torch.stack([(view - sum(rows) / len(rows)).square().mean() for view in rows]).mean()
    return near, torch.stack([statistic(view) for view in rows]).mean()


def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return (1 − λ) times the first term and λ times the second."""
    near, sigreg = terms(inputs)
    return (1 - hyper["weight"]) * near + hyper["weight"] * sigreg


# Examples


def drawn_examples(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
    """Return a strategy of ordinary examples."""
    return pairs(ranges)


def _example(rows: Tensor, weight: float = 0.05, geometry: str = "") -> Example:
    return Example({"projections": rows}, {"weight": weight}, geometry)


def fixed_examples() -> Sequence[Example]:
    """Return fixed examples, small ones first."""
    return [
        _example(fixed("lejepa", 2, *size), (0.05, 0.5, 0.0, 1.0)[position % 4])
        for position, size in enumerate(_SIZES)
    ]


def degenerate(dtype: str) -> Mapping[str, Example]:
    """Return rows that are zero, tiny or alike."""
    rows = fixed("lejepa", 2, 4, 5)
    return {
        "all rows zero": _example(rows * 0),
        "all rows alike": _example(rows[:1, :1].expand_as(rows).clone()),
        "tiny rows": _example(rows * (TINY[dtype] / rows.abs().max())),
    }


def malformed(inputs: Inputs) -> Mapping[str, Inputs]:
    """Return projections of other shapes."""
    rows = inputs["projections"]
    return {
        "no dimension of views": {"projections": rows[0]},
        "one view": {"projections": rows[:1]},
        "one image": {"projections": rows[:, :1]},
        "an empty batch": {"projections": rows[:, :0]},
        "projections of length 0": {"projections": rows[..., :0]},
    }


# Properties


@declare(
    "collapse-costs-its-integral",
    "LJ1",
    formula="all projections 0: L = λ N ∫ (1 − e^(−t²/2))² e^(−t²/2) dt over |t| ≤ 3",
    kills="a factor N left out, a mean for the integral, the normal's characteristic function "
    "or the window left out",
    anchors=anchors,
)
def collapse(subject: LossSubject, example: Example) -> None:
    rows = example.inputs["projections"]
    at = torch.linspace(-_LARGEST, _LARGEST, 2 * _POINTS - 1, dtype=torch.float64)
    window = (-at.square() / 2).exp()
    integral = float(torch.trapezoid((1 - window).square() * window, at))
    given = example.with_inputs(projections=torch.zeros_like(rows))
    expected = example.hyper["weight"] * rows.shape[1] * integral
    tolerance = 4 * subject.tolerance(given, expected)
    subject.compare(subject.value(given), expected, tolerance, given, "L at a collapse")


@declare(
    "the-weight-mixes-two-terms",
    "LJ2",
    formula="L_λ = (1 − λ) L_0 + λ L_1",
    kills="a weight that is fixed, ignored, or of one term alone",
    precondition="make takes weight",
    anchors=anchors,
    applies=lambda subject: "" if "weight" in subject.takes else "make takes no weight",
)
def weight_mixes(subject: LossSubject, example: Example) -> None:
    ends = [subject.value(example.with_hyper(weight=weight)) for weight in (0.0, 1.0)]
    for weight in (0.02, 0.5):
        given = example.with_hyper(weight=weight)
        expected = (1 - weight) * ends[0] + weight * ends[1]
        tolerance = 2 * subject.tolerance(given, max(ends))
        subject.compare(subject.value(given), expected, tolerance, given, f"λ = {weight}")


@declare(
    "views-alike-leave-sigreg",
    "LJ3",
    formula="both views alike: L = λ L_1, and L_0 = 0",
    kills="a distance from other images, a mean over all images",
    anchors=anchors,
    examples=examples,
    max_examples=8,
)
def views_alike(subject: LossSubject, example: Example) -> None:
    rows = example.inputs["projections"]
    alike = example.with_inputs(projections=rows[:1].expand_as(rows).clone())
    expected = example.hyper["weight"] * float(statistic(rows[0]))
    tolerance = 4 * subject.tolerance(alike, expected)
    subject.compare(subject.value(alike), expected, tolerance, alike, "with both views alike")


def _signs(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    yield "with all signs changed", example.with_inputs(projections=-example.inputs["projections"])


# Broken variants

#: From projections (V, N, D) and their products with directions (V, N, M), to both terms.
Terms = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _refuse(inputs: Inputs) -> None:
    rows = inputs["projections"]
    if rows.dim() != 3 or min(rows.shape[:2]) < 2 or not rows.numel():
        raise ValueError("projections must be (V, N, D)")


def _near(rows: Tensor) -> Tensor:
    return (rows - rows.mean(0)).square().mean()


def _sigreg(
    sliced: Tensor, sine: bool = True, phi: bool = True, window: bool = True, whole: bool = True
) -> Tensor:
    at = torch.linspace(0, _LARGEST, _POINTS, dtype=sliced.dtype)
    normal = (-at.square() / 2).exp()
    angles = sliced[..., None] * at
    off = (angles.cos().mean(1) - normal * phi).square()
    if sine:
        off = off + angles.sin().mean(1).square()
    areas = 2 * torch.trapezoid(off * (normal if window else 1), at)
    return areas.mean() * (sliced.shape[1] if whole else 1)


def _of(
    make: Terms = lambda rows, sliced: (_near(rows), _sigreg(sliced)),
    mix: Callable[[Tensor, Tensor, float], Tensor] = lambda near, sigreg, weight: (
        (1 - weight) * near + weight * sigreg
    ),
    sketch: Callable[[Tensor], Tensor] = lambda drawn: drawn,
) -> Callable[[Inputs, Hyper], Tensor]:
    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        rows = inputs["projections"]
        drawn = sketch(directions(rows.shape[-1], _SLICES).to(rows.dtype))
        near, sigreg = make(rows, rows @ drawn)
        return mix(near, sigreg, hyper["weight"])

    return careful(loss, _refuse)


def _by_rows(near: Callable[[Tensor], Tensor]) -> Callable[[Inputs, Hyper], Tensor]:
    return _of(lambda rows, sliced: (near(rows), _sigreg(sliced)))


def _by_slices(sigreg: Callable[[Tensor], Tensor]) -> Callable[[Inputs, Hyper], Tensor]:
    return _of(lambda rows, sliced: (_near(rows), sigreg(sliced)))


_CORRECT = _of()
_CONTROL = Mutant("no-fault", _CORRECT)
_MUTANTS = (
    *common_mutants(_CORRECT, ("projections",), "projections"),
    Mutant("sum-over-dimensions", _by_rows(lambda rows: _near(rows) * rows.shape[-1])),
    Mutant("distance-of-two-views", _by_rows(lambda rows: (rows[0] - rows[1]).square().mean())),
    Mutant("mean-of-all-images", _by_rows(lambda rows: (rows - rows.mean((0, 1))).square().mean())),
    Mutant(
        "mean-of-the-next-image",
        _by_rows(lambda rows: (rows - rows.mean(0).roll(1, 0)).square().mean()),
    ),
    Mutant("first-view-is-the-mean", _by_rows(lambda rows: (rows - rows[0]).square().mean())),
    Mutant(
        "last-image-dropped",
        _of(lambda rows, sliced: (_near(rows[:, :-1]), _sigreg(sliced[:, :-1]))),
    ),
    Mutant("sine-left-out", _by_slices(lambda sliced: _sigreg(sliced, sine=False))),
    Mutant("normal-left-out", _by_slices(lambda sliced: _sigreg(sliced, phi=False))),
    Mutant("window-left-out", _by_slices(lambda sliced: _sigreg(sliced, window=False))),
    Mutant("number-of-images-left-out", _by_slices(lambda sliced: _sigreg(sliced, whole=False))),
    Mutant("half-the-integral", _by_slices(lambda sliced: _sigreg(sliced) / 2)),
    Mutant("views-tested-together", _by_slices(lambda sliced: _sigreg(sliced.flatten(0, 1)[None]))),
    Mutant("first-view-tested-only", _by_slices(lambda sliced: _sigreg(sliced[:1]))),
    Mutant(
        "standardised-first",
        _by_slices(
            lambda sliced: _sigreg(
                (sliced - sliced.mean(1, keepdim=True)) / (sliced.std(1, keepdim=True) + 1e-4)
            )
        ),
    ),
    Mutant("tested-without-gradient", _by_slices(lambda sliced: _sigreg(sliced.detach()))),
    Mutant("directions-not-unit", _of(sketch=lambda drawn: 1.1 * drawn)),
    Mutant(
        "axes-for-directions", _of(sketch=lambda drawn: torch.eye(len(drawn), dtype=drawn.dtype))
    ),
    Mutant(
        "weights-swapped",
        _of(mix=lambda near, sigreg, weight: weight * near + (1 - weight) * sigreg),
    ),
    Mutant("weight-added", _of(mix=lambda near, sigreg, weight: near + weight * sigreg)),
    Mutant("weight-ignored", _of(mix=lambda near, sigreg, weight: 0.95 * near + 0.05 * sigreg)),
)

LEJEPA = register_family(
    Family(
        name="lejepa",
        summary="Distance of views from their mean, and SIGReg along fixed directions",
        signals=("projections",),
        reference=reference,
        hyper={"weight": HyperRange(0.05, (0.05, 0.5, 0.02, 1.0, 0.0), 0.0, 1.0)},
        examples=drawn_examples,
        anchors=fixed_examples,
        degenerate=degenerate,
        degenerate_gradient=("all rows zero", "all rows alike"),
        malformed=malformed,
        trainable=("projections",),
        scale=lambda inputs, hyper: float(
            inputs["projections"].abs().max().square() + inputs["projections"].shape[1]
        ),
        gradient_scale=lambda inputs, hyper: {
            "projections": 1 + inputs["projections"].abs().max().expand_as(inputs["projections"])
        },
        properties=(
            collapse,
            weight_mixes,
            views_alike,
            sample_permutation("LJ4"),
            view_swap("LJ5"),
            unchanged(
                "signs-do-not-matter",
                "LJ6",
                formula="L(−z) = L(z)",
                kills="a sine that is not squared, another reference distribution",
                moves=_signs,
            ),
        ),
        mutants=_MUTANTS,
        control=_CONTROL,
        facts={"symmetric": True},
    )
)
