"""Properties of any loss: its return value and its gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from sslcore.testing.losses.example import Example
from sslcore.testing.losses.spec import DTYPE
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import first_anchors, unsupported
from sslcore.testing.property import Property, declare
from sslcore.testing.violation import Violation


@declare(
    "make-gives-a-new-loss",
    "G0",
    formula="make(…) is callable, takes the family's hyperparameters, and shares no state",
    kills="a shared loss object, a hyperparameter that can't be set",
    anchors=lambda subject: first_anchors(subject)[:1],
)
def make_gives_a_new_loss(subject: LossSubject, example: Example) -> None:
    for name, item in subject.family.hyper.items():
        if item.required and name not in subject.takes and name not in subject.spec.constants:
            raise Violation(
                f"make takes no {name}: add a parameter of that name, or state the built-in value: "
                f"LossSpec(..., constants={{{name!r}: …}})"
            )
    first, second = subject.make(example), subject.make(example)
    subject.is_plain(first)
    if first is second and isinstance(first, torch.nn.Module):
        raise Violation(
            "make returned the same object twice, so one example could affect the next; return a "
            "new object from each call"
        )
    if not subject.takes:
        return
    expected = subject.value(example)
    others = {name: subject.family.hyper[name].values[-1] for name in subject.takes}
    loss = subject.make(example)
    subject.value(example.with_hyper(**others))
    with torch.no_grad():
        found = float(subject.call(loss, example))
    tolerance = subject.tolerance(example, expected)
    said = f"after another loss was made with {others}"
    subject.compare(found, expected, tolerance, example, said)


@declare(
    "returns-a-scalar-with-graph",
    "G1",
    formula="L is a 0-d tensor with a graph",
    kills="a Python number, a vector, a detached tensor",
    anchors=first_anchors,
)
def returns_a_scalar_with_graph(subject: LossSubject, example: Example) -> None:
    subject.gradients(example)


@declare(
    "gradient-reaches-each-input-alone",
    "G1",
    formula="∂L/∂x is the same whether or not the other inputs require a gradient",
    kills="a branch on requires_grad, an input detached if it alone requires a gradient",
    anchors=first_anchors,
    applies=lambda subject: "" if subject.family.trainable else "no input is trainable",
)
def gradient_reaches_each_input_alone(subject: LossSubject, example: Example) -> None:
    _, together = subject.gradients(example)
    for name in subject.family.trainable:
        leaf = example.inputs[name].clone().requires_grad_()
        alone = example.with_inputs(**{name: leaf})
        score = subject.call(subject.make(alone), alone)
        if not bool(together[name].any()):
            continue
        if not score.requires_grad:
            raise subject.violation(f"no gradient if only {name} requires one", example)
        (found,) = torch.autograd.grad(score, leaf)
        if not torch.allclose(found, together[name], rtol=1e-9, atol=1e-12):
            raise subject.violation(f"another gradient if only {name} requires one", example)
    _each_argument_alone(subject, example)


def _each_argument_alone(subject: LossSubject, example: Example) -> None:
    """Check the same for each argument of a plain function."""
    family = subject.family
    if family.plain is None or not subject.is_plain(subject.make(example)):
        return
    leaves = {name: example.inputs[name].clone().requires_grad_() for name in family.trainable}
    for arguments in family.plain({**example.inputs, **leaves}):
        wanted = [position for position, item in enumerate(arguments) if item.requires_grad]
        together = [item.detach().clone() for item in arguments]
        for position in wanted:
            together[position].requires_grad_()
        score = subject.call_plain(subject.make(example), example, *together)
        if len(wanted) == 2 and together[0].shape == together[1].shape:
            _one_tensor_twice(subject, example, together[0].detach())
        for position in wanted:
            alone = [item.detach().clone() for item in arguments]
            alone[position].requires_grad_()
            (expected,) = torch.autograd.grad(
                score, together[position], retain_graph=True, allow_unused=True
            )
            if expected is None or not bool(expected.any()):
                continue
            which = f"argument {position + 1}"
            only = subject.call_plain(subject.make(example), example, *alone)
            if not only.requires_grad:
                raise subject.violation(f"no gradient if only {which} requires one", example)
            (found,) = torch.autograd.grad(only, alone[position])
            if not torch.allclose(found, expected, rtol=1e-9, atol=1e-12):
                raise subject.violation(f"another gradient if only {which} requires one", example)


def _one_tensor_twice(subject: LossSubject, example: Example, rows: Tensor) -> None:
    once = rows.clone().requires_grad_()
    first, second = rows.clone().requires_grad_(), rows.clone().requires_grad_()
    score = subject.call_plain(subject.make(example), example, once, once)
    apart = subject.call_plain(subject.make(example), example, first, second)
    if not score.requires_grad or not apart.requires_grad:
        raise subject.violation("no gradient if both arguments are the same tensor", example)
    (found,) = torch.autograd.grad(score, once)
    expected = sum(torch.autograd.grad(apart, [first, second]))
    if not torch.allclose(found, expected, rtol=1e-9, atol=1e-12):  # type: ignore[arg-type]
        raise subject.violation("another gradient if both arguments are the same tensor", example)


@declare(
    "gradient-follows-what-comes-after",
    "G1",
    formula="∂(3L)/∂x = 3 ∂L/∂x",
    kills="a custom backward that ignores the incoming gradient",
    anchors=lambda subject: first_anchors(subject)[:2],
    applies=lambda subject: "" if subject.family.trainable else "no input is trainable",
)
def gradient_follows_what_comes_after(subject: LossSubject, example: Example) -> None:
    _, once = subject.gradients(example)
    names = subject.family.trainable
    leaves = {name: example.inputs[name].clone().requires_grad_() for name in names}
    given = example.with_inputs(**leaves)
    thrice = subject.backward(3 * subject.call(subject.make(given), given), given)
    for name in names:
        if not torch.allclose(thrice[name], 3 * once[name], rtol=1e-9, atol=1e-12):
            raise subject.violation(f"∂(3L)/∂{name} is not three times ∂L/∂{name}", example)


@declare(
    "stops-gradient",
    "G1",
    formula="∂L/∂(target) = 0",
    kills="a target that is trained",
    anchors=first_anchors,
    applies=lambda subject: "" if subject.family.stop_gradient else "no input is a target",
)
def stops_gradient(subject: LossSubject, example: Example) -> None:
    names = subject.family.stop_gradient
    leaves = {name: example.inputs[name].clone().requires_grad_() for name in names}
    others = {
        name: example.inputs[name].clone().requires_grad_() for name in subject.family.trainable
    }
    moved = example.with_inputs(**others, **leaves)
    score = subject.call(subject.make(moved), moved)
    if not score.requires_grad:
        return
    found = torch.autograd.grad(score, list(leaves.values()), allow_unused=True)
    for name, gradient in zip(names, found, strict=True):
        if gradient is not None and bool((gradient != 0).any()):
            raise subject.violation(f"gradient reaches the target {name}", example)


def keeps_dtype(dtype: str) -> Property:
    @declare(
        f"keeps-type-{dtype}",
        "G2",
        formula="L has the dtype and device of its inputs",
        kills="a result in another precision",
        anchors=lambda subject: first_anchors(subject)[:2],
        applies=lambda subject: unsupported(subject, dtype),
    )
    def keeps_type(subject: LossSubject, example: Example) -> None:
        given = example.to(DTYPE[dtype])
        score = subject.call(subject.make(given), given)
        if score.dtype != DTYPE[dtype]:
            raise subject.violation(f"{DTYPE[dtype]} became {score.dtype}", given)
        if score.device.type != "cpu":
            raise subject.violation(f"inputs on the cpu, the loss on {score.device}", given)

    return keeps_type


@declare(
    "gradient-matches-finite-differences",
    "G6",
    formula="∂L/∂x = (L(x + h) − L(x − h)) / 2h in float64",
    kills="a detached term, an incorrect hand-written backward",
    precondition="τ ≥ 0.5, no zero rows",
    anchors=lambda subject: [
        item.with_hyper(
            **{
                name: max(value, 0.5)
                for name, value in item.hyper.items()
                if name == "temperature" and name in subject.takes
            }
        )
        for item in first_anchors(subject)
    ],
    applies=lambda subject: (
        "the gradient of the formula, which may stop at a target, is compared instead"
        if subject.family.formula is not None
        else ""
        if subject.family.trainable
        else "no input is trainable"
    ),
)
def gradient_matches_finite_differences(subject: LossSubject, example: Example) -> None:
    _, found = subject.gradients(example)
    step = 1e-6
    targets = subject.targets(example)
    for name in subject.family.trainable:
        if name in targets:
            continue
        centre = example.inputs[name]
        for index in range(min(centre.numel(), 24)):
            moved = torch.zeros(centre.numel(), dtype=torch.float64)
            moved[index] = step
            moved = moved.view_as(centre)
            above = subject.value(example.with_inputs(**{name: centre + moved}))
            below = subject.value(example.with_inputs(**{name: centre - moved}))
            slope, gradient = (above - below) / (2 * step), float(found[name].flatten()[index])
            tolerance = (
                1e-6 * (1 + abs(slope)) * (1 + subject.family.scale(example.inputs, example.hyper))
            )
            subject.compare(gradient, slope, tolerance, example, f"∂L/∂{name}[{index}]")
