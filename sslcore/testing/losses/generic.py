"""Properties of any loss: what it returns, what it leaves alone, what it refuses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis.strategies import SearchStrategy

from sslcore.testing.losses.example import Example
from sslcore.testing.losses.subject import DTYPE, LossSubject, random_states
from sslcore.testing.property import Property, declare
from sslcore.testing.violation import Violation


def anchors(subject: LossSubject) -> Sequence[Example]:
    """Return the family's fixed examples."""
    return [subject.adapt(example) for example in subject.family.anchors()]


def first_anchors(subject: LossSubject) -> Sequence[Example]:
    """Return the few smallest of them."""
    return anchors(subject)[:4]


def examples(subject: LossSubject) -> SearchStrategy[Example]:
    """Return the family's ordinary examples."""
    ranges = {name: subject.family.hyper[name] for name in sorted(subject.takes)}
    return subject.family.examples(ranges).map(subject.adapt)


@declare(
    "make-gives-a-new-loss",
    "G0",
    formula="make(…) is callable, takes the family's hyperparameters, and shares no state",
    kills="a loss object that is shared, a hyperparameter that can't be set",
    anchors=lambda subject: first_anchors(subject)[:1],
)
def make_gives_a_new_loss(subject: LossSubject, example: Example) -> None:
    for name, item in subject.family.hyper.items():
        if item.required and name not in subject.takes and name not in subject.spec.constants:
            raise Violation(
                f"make takes no {name}: give it a parameter of that name, or say what is built "
                f"in: LossSpec(..., constants={{{name!r}: …}})"
            )
    first, second = subject.make(example), subject.make(example)
    subject.is_plain(first)
    if first is second and isinstance(first, torch.nn.Module):
        raise Violation(
            "make returned the same object twice: what one example leaves in it would be seen "
            "by the next; make a new one in each call"
        )


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
    formula="∂L/∂x is the same whether or not the other inputs want a gradient",
    kills="a branch on requires_grad, an input detached where it is alone",
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
            raise subject.violation(f"no gradient where only {name} wants one", example)
        (found,) = torch.autograd.grad(score, leaf)
        if not torch.allclose(found, together[name], rtol=1e-9, atol=1e-12):
            raise subject.violation(f"another gradient where only {name} wants one", example)


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


def _keeps_dtype(dtype: str) -> Property:
    @declare(
        f"keeps-type-{dtype}",
        "G2",
        formula="L has the type and device of its inputs",
        kills="a result in another precision",
        anchors=lambda subject: first_anchors(subject)[:2],
        applies=lambda subject: _supports(subject, dtype),
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
    "leaves-inputs-alone",
    "G3",
    formula="inputs, and their version counters, are after the call as before",
    kills="in-place normalisation, a mask filled in place, a hidden backward",
    anchors=first_anchors,
)
def leaves_inputs_alone(subject: LossSubject, example: Example) -> None:
    for wanted in (False, True):
        copies = {name: item.clone() for name, item in example.inputs.items()}
        if wanted:
            # One step away from the leaf, where autograd itself would not object.
            copies = {
                name: item.requires_grad_() * 1.0 if name in subject.family.trainable else item
                for name, item in copies.items()
            }
        given = example.with_inputs(**copies)
        versions = {name: item._version for name, item in copies.items()}
        subject.call(subject.make(given), given)
        for name, item in copies.items():
            changed = not torch.equal(item.detach(), example.inputs[name])
            if changed or item._version != versions[name]:
                raise subject.violation(f"{name} was changed in place", example)
            if item.is_leaf and item.grad is not None:
                raise subject.violation(f"a gradient was left in {name}", example)


@declare(
    "repeatable",
    "G4",
    formula="the same inputs give the same bits, and the global random state stays as it was",
    kills="dropout, sampled negatives, a seed that is set, a global switch that is turned",
    anchors=anchors,
)
def repeatable(subject: LossSubject, example: Example) -> None:
    before = random_states()
    first = subject.value(example)
    changed = random_states() != before
    torch.rand(3)  # Somebody else draws in between.
    again = subject.value(example)
    if first != again and not (first != first and again != again):
        raise subject.violation(f"first {first!r}, then {again!r}", example)
    if changed:
        raise subject.violation("the global random state or a switch of torch changed", example)


@declare(
    "remembers-nothing",
    "G4",
    formula="a loss that has seen other batches gives what a new one gives",
    kills="a mask or labels kept from another size or type, a running mean",
    anchors=first_anchors,
    applies=lambda subject: "its state is declared" if subject.spec.stateful else "",
)
def remembers_nothing(subject: LossSubject, example: Example) -> None:
    loss = subject.make(example)
    others = [subject.adapt(item) for item in subject.family.anchors()[:6]]
    others = [item.with_hyper(**example.hyper) for item in others]
    with torch.no_grad():
        for other in (*others, *(item.to(torch.float32) for item in others[:2])):
            subject.call(loss, other)
        used = float(subject.call(loss, example))
    expected = subject.value(example)
    tolerance = subject.tolerance(example, expected)
    subject.compare(used, expected, tolerance, example, "after other batches")


@declare(
    "refuses-malformed-shapes",
    "G5",
    formula="unequal N or D (1 included), rows that are no vectors, or N = 0 raise an error",
    kills="silent broadcasting, the NaN of an empty mean",
    anchors=lambda subject: first_anchors(subject)[-1:],
)
def refuses_malformed_shapes(subject: LossSubject, example: Example) -> None:
    if subject.is_plain(subject.make(example)):
        for what, arguments in subject.family.plain_malformed(example.inputs).items():
            try:
                returned = subject.raw(subject.make(example), example, *arguments)
            except Exception:
                continue
            shapes = " and ".join(str(tuple(item.shape)) for item in arguments)
            drawn = ", ".join(f"torch.ones{tuple(item.shape)}" for item in arguments)
            raise Violation(
                f"{what}: inputs of shape {shapes} gave {_shown(returned)}; raise a ValueError",
                f"import torch\nmake()({drawn})",
            )
        return
    for what, inputs in subject.family.malformed(example.inputs).items():
        try:
            returned = subject.raw(subject.make(example), example, **inputs)
        except Exception:
            continue
        shapes = ", ".join(f"{name} {tuple(item.shape)}" for name, item in inputs.items())
        drawn = ", ".join(f"{name}=torch.ones{tuple(item.shape)}" for name, item in inputs.items())
        raise Violation(
            f"{what}: {shapes} gave {_shown(returned)}; raise a ValueError",
            f"import torch\nmake()({drawn})",
        )


@declare(
    "gradient-matches-finite-differences",
    "G6",
    formula="∂L/∂x = (L(x + h) − L(x − h)) / 2h in float64",
    kills="a term that is detached, a hand-written backward that is off",
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
    applies=lambda subject: "" if subject.family.trainable else "no input is trainable",
)
def gradient_matches_finite_differences(subject: LossSubject, example: Example) -> None:
    _, found = subject.gradients(example)
    step = 1e-6
    for name in subject.family.trainable:
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


@declare(
    "layout-does-not-matter",
    "G4",
    formula="strides change nothing",
    kills="view and as_strided on what is not contiguous",
    anchors=first_anchors,
)
def layout_does_not_matter(subject: LossSubject, example: Example) -> None:
    expected = subject.value(example)
    tolerance = subject.tolerance(example, expected)
    strided = {
        name: torch.stack([item, item + 1], -1)[..., 0] if item.is_floating_point() else item
        for name, item in example.inputs.items()
    }
    turned = {
        name: item.transpose(-1, -2).contiguous().transpose(-1, -2) if item.dim() > 1 else item
        for name, item in example.inputs.items()
    }
    for inputs in (strided, turned):
        given = example.with_inputs(**inputs)
        subject.compare(subject.value(given), expected, tolerance, given, "not contiguous")


@declare(
    "same-in-every-mode",
    "G4",
    formula="L is the same in train and eval mode, with and without gradient",
    kills="a term that is there in one mode only",
    anchors=first_anchors,
)
def same_in_every_mode(subject: LossSubject, example: Example) -> None:
    expected, _ = subject.gradients(example)
    tolerance = subject.tolerance(example, float(expected))
    subject.compare(subject.value(example), float(expected), tolerance, example, "without gradient")
    loss = subject.make(example)
    if isinstance(loss, torch.nn.Module):
        with torch.no_grad():
            found = float(subject.call(loss.eval(), example))
        subject.compare(found, float(expected), tolerance, example, "in eval mode")


def _finite_value(dtype: str) -> Property:
    @declare(
        f"finite-value-{dtype}",
        "G7",
        formula="L is finite for zero, huge and tiny rows",
        kills="overflowing exp, −1e9 or 1e-12 in a type that has them not, 0/0",
        anchors=lambda subject: _degenerate(subject, dtype),
        applies=lambda subject: (
            _supports(subject, dtype)
            or ("" if _degenerate(subject, dtype) else "no example is degenerate")
        ),
    )
    def finite_value(subject: LossSubject, example: Example) -> None:
        given = example.to(DTYPE[dtype])
        value = float(subject.call(subject.make(given), given))
        if not abs(value) < float("inf"):
            raise subject.violation(f"{example.geometry} in {dtype} gave {value}", given)

    return finite_value


def _finite_gradient(dtype: str) -> Property:
    @declare(
        f"finite-gradient-{dtype}",
        "G7",
        formula="∂L/∂x is finite",
        kills="a norm or a root differentiated at zero",
        precondition="rows of moderate length, or exactly zero",
        anchors=lambda subject: [
            item
            for item in _degenerate(subject, dtype)
            if item.geometry in subject.family.degenerate_gradient
        ],
        applies=lambda subject: (
            _supports(subject, dtype)
            or ("" if subject.family.degenerate_gradient else "no example is degenerate")
        ),
    )
    def finite_gradient(subject: LossSubject, example: Example) -> None:
        given = example.to(DTYPE[dtype])
        _, found = subject.gradients(given, dtype)
        for name, gradient in found.items():
            if not bool(torch.isfinite(gradient).all()):
                raise subject.violation(f"{example.geometry}: ∂L/∂{name} is not finite", given)

    return finite_gradient


@declare(
    "single-sample",
    "G8",
    formula="N = 1 raises an error or gives the exact value, never NaN",
    kills="the NaN of an empty denominator or a variance of one",
    anchors=lambda subject: [subject.adapt(subject.family.single())],
    applies=lambda subject: "" if subject.family.single else "one sample is no case of its own",
)
def single_sample(subject: LossSubject, example: Example) -> None:
    loss = subject.make(example)
    plain = subject.is_plain(loss)
    try:
        if plain:
            value = float("nan")
            for arguments in subject.family.plain(example.inputs):  # type: ignore[misc]
                value = float(subject.raw(loss, example, *arguments))
        else:
            returned = subject.raw(loss, example, **example.inputs)
            value = float(returned["loss"] if isinstance(returned, dict) else returned)
    except Exception:
        return
    expected = subject.reference(example)
    tolerance = subject.tolerance(example, 0.0)
    subject.compare(value, expected, tolerance, example, "one sample")


def _degenerate(subject: LossSubject, dtype: str) -> list[Example]:
    found = subject.family.degenerate(dtype)
    return [
        subject.adapt(Example(item.inputs, item.hyper, geometry))
        for geometry, item in found.items()
    ]


def _supports(subject: LossSubject, dtype: str) -> str:
    return "" if dtype in subject.spec.dtypes else f"{dtype} is not among the spec's types"


def _shown(returned: object) -> str:
    if isinstance(returned, torch.Tensor):
        shape = tuple(returned.shape)
        return f"{float(returned):.4g}" if not shape else f"a tensor of shape {shape}"
    return repr(returned)


GENERIC: tuple[Property, ...] = (
    make_gives_a_new_loss,
    returns_a_scalar_with_graph,
    gradient_reaches_each_input_alone,
    stops_gradient,
    *(_keeps_dtype(dtype) for dtype in DTYPE),
    leaves_inputs_alone,
    repeatable,
    remembers_nothing,
    layout_does_not_matter,
    same_in_every_mode,
    refuses_malformed_shapes,
    gradient_matches_finite_differences,
    *(_finite_value(dtype) for dtype in DTYPE),
    *(_finite_gradient(dtype) for dtype in DTYPE),
    single_sample,
)
