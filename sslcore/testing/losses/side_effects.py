"""Properties of any loss: it has no side effects, and depends on its inputs only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from sslcore.testing.losses.example import Example
from sslcore.testing.losses.making import state_of
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, first_anchors
from sslcore.testing.property import declare
from sslcore.testing.switches import changes, shared_state


@declare(
    "leaves-inputs-alone",
    "G3",
    formula="inputs and their version counters are the same after the call",
    kills="an in-place normalisation, a mask filled in place, a hidden backward",
    anchors=first_anchors,
)
def leaves_inputs_alone(subject: LossSubject, example: Example) -> None:
    for prepare in (_as_given, _not_leaves, _leaves_with_gradients):
        copies = prepare(subject, example)
        loss, given = subject.make(example), example.with_inputs(**copies)
        if subject.is_plain(loss):
            assert subject.family.plain is not None
            for arguments in subject.family.plain(copies):
                named = dict(zip(subject.family.plain_names, arguments, strict=False))
                if prepare is _leaves_with_gradients:
                    named = {name: _with_gradient(item) for name, item in named.items()}
                with _untouched(subject, example, named):
                    subject.call_plain(loss, example, *named.values())
        else:
            with _untouched(subject, example, copies):
                subject.call(loss, given)


def _as_given(subject: LossSubject, example: Example) -> dict[str, Tensor]:
    return {name: item.clone() for name, item in example.inputs.items()}


def _not_leaves(subject: LossSubject, example: Example) -> dict[str, Tensor]:
    # Not the leaf itself: for a leaf, autograd itself refuses a change in place.
    return {
        name: item.clone().requires_grad_() * 1.0 if name in subject.family.trainable else item
        for name, item in _as_given(subject, example).items()
    }


def _leaves_with_gradients(subject: LossSubject, example: Example) -> dict[str, Tensor]:
    return {
        name: _with_gradient(item) if name in subject.family.trainable else item
        for name, item in _as_given(subject, example).items()
    }


def _with_gradient(item: Tensor) -> Tensor:
    """Return a leaf that already holds the gradient of another loss."""
    if not item.is_floating_point():
        return item
    leaf = item.detach().clone().requires_grad_()
    leaf.grad = torch.full_like(item, 0.5)
    return leaf


@contextmanager
def _untouched(
    subject: LossSubject, example: Example, tensors: Mapping[str, Tensor]
) -> Iterator[None]:
    """Raise a violation if the body changes one of the tensors."""
    before = {
        name: (item.detach().clone(), item._version, item.requires_grad)
        for name, item in tensors.items()
    }
    gradients = {name: _gradient_in(item) for name, item in tensors.items()}
    yield
    for name, item in tensors.items():
        values, version, wanted = before[name]
        if item._version != version or not torch.equal(item.detach(), values):
            raise subject.violation(f"{name} was changed in place", example)
        if item.requires_grad != wanted:
            raise subject.violation(f"requires_grad of {name} was changed", example)
        if _gradient_in(item) != gradients[name]:
            raise subject.violation(f"the gradient that {name} held was changed", example)


def _gradient_in(item: Tensor) -> list[float] | None:
    held = item.is_leaf and item.grad is not None
    return item.grad.flatten().tolist() if held else None  # type: ignore[union-attr]


@declare(
    "repeatable",
    "G4",
    formula="the same inputs give the same bits, and the global random state does not change",
    kills="dropout, sampled negatives, a call that sets a seed or a global switch",
    anchors=anchors,
)
def repeatable(subject: LossSubject, example: Example) -> None:
    torch.rand(3)  # Draw in between, so that a seed set by the loss would show.
    changed = ""
    for wanted in (True, False):
        with torch.set_grad_enabled(wanted):
            before = shared_state()
            subject.call(subject.make(example), example)
            changed = changed or changes(before)
    first = subject.value(example)
    torch.rand(3)
    again = subject.value(example)
    if first != again and not (first != first and again != again):
        raise subject.violation(f"first {first!r}, then {again!r}", example)
    if changed:
        raise subject.violation(f"it changed {changed}", example)


@declare(
    "remembers-nothing",
    "G4",
    formula="a loss gives the same result after other batches as a new loss",
    kills="a mask or labels kept from another size or type, a running mean",
    anchors=first_anchors,
    applies=lambda subject: _declared_state(subject),
)
def remembers_nothing(subject: LossSubject, example: Example) -> None:
    loss = subject.make(example)
    others = [subject.adapt(item) for item in subject.family.anchors()[:6]]
    others = [item.with_hyper(**example.hyper) for item in others]
    # What the engine supplies, such as the length of a projection, stays what it was.
    made = subject.arguments(example)
    others = [item for item in others if subject.arguments(item) == made]
    # Weights have one type.
    singles = [] if state_of(loss) else [item.to(torch.float32) for item in others[:2]]
    with torch.no_grad():
        for other in (*others, *singles):
            subject.call(loss, other)
        used = float(subject.call(loss, example))
    expected = subject.value(example)
    tolerance = subject.tolerance(example, expected)
    subject.compare(used, expected, tolerance, example, "after other batches")
    _not_cached(subject, example)
    _, once = subject.gradients(example)
    loss = subject.make(example)
    for _ in range(3):
        leaves = {
            name: example.inputs[name].clone().requires_grad_() for name in subject.family.trainable
        }
        given = example.with_inputs(**leaves)
        score = subject.call(loss, given)
        # Call this loss and another one before computing the first gradient.
        for later in (loss, subject.make(example)):
            subject.gradients_of(later, other_numbers(example))
        again = subject.backward(score, given)
        for name, gradient in again.items():
            if not torch.allclose(gradient, once[name], rtol=1e-9, atol=1e-12):
                raise subject.violation(f"∂L/∂{name} differs in a later call", example)


def _declared_state(subject: LossSubject) -> str:
    if subject.spec.stateful:
        return "its state is declared"
    if subject.family.stateful:
        loss = subject.make(first_anchors(subject)[0])
        if isinstance(loss, torch.nn.Module):
            return "a module of this family may keep a state"
    if subject.family.cast:
        loss = subject.make(first_anchors(subject)[0])
        if isinstance(loss, torch.nn.Module) and any(True for _ in loss.buffers()):
            return "the loss may keep a state in its buffers"
    return ""


def other_numbers(example: Example) -> Example:
    """Return other numbers of the same shapes."""

    def other(item: Tensor) -> Tensor:
        if item.is_floating_point():
            return item.roll(1, 0) * 0.5 + 0.25
        # A mask must still hide something; labels must stay labels.
        return item | item.roll(1, -1) if item.dtype == torch.bool else item.roll(1, -1)

    return example.with_inputs(**{name: other(item) for name, item in example.inputs.items()})


def _reordered(example: Example) -> Example:
    """Return the same numbers, those of the last view in another order."""
    moved = {name: item.clone() for name, item in example.inputs.items()}
    for item in moved.values():
        if item.is_floating_point() and item.dim() > 1:
            item[-1] = item[-1].roll(1, 0)
    return example.with_inputs(**moved)


def _not_cached(subject: LossSubject, example: Example) -> None:
    """Call one loss with other numbers in tensors of the same shape, and in the same tensors."""
    for other in (other_numbers(example), _reordered(example)):
        expected = subject.value(other)
        tolerance = subject.tolerance(other, expected)
        for wanted, training in ((False, True), (True, True), (False, False)):
            with torch.set_grad_enabled(wanted):
                loss = _in_mode(subject.make(example), training)
                subject.call(loss, example)
                shown = subject.call(loss, other)
                here = {name: item.clone() for name, item in example.inputs.items()}
                loss = _in_mode(subject.make(example), training)
                subject.call(loss, example.with_inputs(**here))
                for name, item in here.items():
                    item.copy_(other.inputs[name])
                rewritten = subject.call(loss, example.with_inputs(**here))
            said = "other numbers of the same shape"
            subject.compare(float(shown.detach()), expected, tolerance, other, said)
            said = "other numbers in the same tensor"
            subject.compare(float(rewritten.detach()), expected, tolerance, other, said)


def _in_mode(loss: Any, training: bool) -> Any:
    return loss.train(training) if isinstance(loss, torch.nn.Module) else loss


@declare(
    "layout-does-not-matter",
    "G4",
    formula="strides change nothing",
    kills="view and as_strided on tensors that are not contiguous",
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
    repeated = {
        name: item[:, :1].expand_as(item) if item.is_floating_point() and item.dim() > 2 else item
        for name, item in example.inputs.items()
    }
    copied = example.with_inputs(**{name: item.clone() for name, item in repeated.items()})
    expected = subject.value(copied)
    given = example.with_inputs(**repeated)
    tolerance = subject.tolerance(copied, expected)
    if expected == expected:
        said = "one sample expanded to all"
        subject.compare(subject.value(given), expected, tolerance, given, said)


@declare(
    "same-in-every-mode",
    "G4",
    formula="L is the same in train and eval mode, with and without gradient",
    kills="a term that exists in one mode only",
    anchors=first_anchors,
)
def same_in_every_mode(subject: LossSubject, example: Example) -> None:
    expected, _ = subject.gradients(example)
    tolerance = subject.tolerance(example, float(expected))
    subject.compare(subject.value(example), float(expected), tolerance, example, "without gradient")
    found = float(subject.call(subject.make(example), example).detach())
    subject.compare(found, float(expected), tolerance, example, "if no input requires a gradient")
    loss = subject.make(example)
    if isinstance(loss, torch.nn.Module):
        with torch.no_grad():
            found = float(subject.call(loss.eval(), example))
        subject.compare(found, float(expected), tolerance, example, "in eval mode")
