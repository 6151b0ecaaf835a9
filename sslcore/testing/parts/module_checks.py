"""Checks of every module of the pipeline: rows, state, copies, gradients, weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from sslcore.testing.parts.module_subject import ModuleSubject
from sslcore.testing.parts.subject import (
    PartExample,
    Untouched,
    copied,
    same_bits,
    with_global_seed,
)
from sslcore.testing.violation import Violation, said

#: How far weights are moved before gradients that were zero are computed again.
_MOVED = 0.05

#: Outputs that a loss may read; each must carry a gradient.
_CARRIERS = {
    "features",
    "feature_maps",
    "projections",
    "predictions",
    "step_predictions",
    "reconstructions",
    "logits",
}


def any_batch(subject: ModuleSubject, example: PartExample) -> None:
    """An image gets the same outputs alone, in part of a batch and in a reversed batch."""
    module = subject.module(example)
    inputs = subject.asked(module, example)
    count = example.batch
    with torch.no_grad():
        whole = subject.run(module, inputs, example)
        for what, index in (
            ("an image alone", torch.tensor([1])),
            ("a part of the batch", torch.arange(count - 1)),
            ("the batch reversed", torch.arange(count).flip(0)),
            ("the batch twice", torch.arange(count).repeat(2)),
        ):
            part = subject.run(module, subject.rows(inputs, index), example)
            subject.same(part, subject.rows(whole, index), what, example)
        # The other images of the batch may have any values, also huge ones.
        others = {
            name: _with_other_rows(item, subject.batch_of(name))
            if isinstance(item, Tensor) and item.is_floating_point()
            else item
            for name, item in inputs.items()
        }
        first = torch.tensor([0])
        changed = subject.run(module, others, example)
        subject.same(
            subject.rows(changed, first),
            subject.rows(whole, first),
            "with other images around it",
            example,
        )


def _with_other_rows(item: Tensor, dim: int) -> Tensor:
    changed = item.clone()
    changed.narrow(dim, 1, item.shape[dim] - 1).mul_(-20).add_(3)
    return changed


def leaves_state(subject: ModuleSubject, example: PartExample) -> None:
    """In eval mode nothing changes; in training mode buffers may, weights may not."""
    for train in (False, True):
        module = subject.module(example, train=train)
        inputs = subject.asked(module, example)
        state: Mapping[str, Tensor] = dict(module.named_parameters())
        if not train:
            state = module.state_dict()
        held = Untouched(state)
        given = Untouched(inputs)
        with torch.no_grad():
            subject.run(module, inputs, example)
        code = subject.code(example, inputs, train=train)
        mode = "training" if train else "eval"
        for name, item in held.tensors.items():
            if not same_bits(item.detach(), held.copies[name]):
                raise Violation(f"a call in {mode} mode changed {name}", code)
        given.check(code)


def repeats(subject: ModuleSubject, example: PartExample) -> None:
    module = subject.module(example)
    inputs = subject.asked(module, example)
    code = subject.code(example, inputs)
    with torch.no_grad():
        first = subject.run(module, inputs, example)
        with subject.leaving_global_state(code):
            again = subject.run(module, inputs, example)
        seeded = with_global_seed(3, lambda: subject.run(module, inputs, example))
    for what, other in (("a second call", again), ("another global seed", seeded)):
        for name in first:
            if not same_bits(first[name], other[name]):
                raise Violation(f"other {name} in eval mode after {what}", code)


def round_trip(subject: ModuleSubject, example: PartExample) -> None:
    """A new module with the weights and buffers from a file gives the same outputs."""
    module = subject.module(example, train=True)
    inputs = subject.asked(module, example)
    with torch.no_grad():
        subject.run(module, inputs, example)
        # Move every weight, so that a weight outside the state shows.
        for number, parameter in enumerate(module.parameters()):
            parameter.add_(0.01 * (number % 3 + 1))
    code = subject.code(example, inputs)
    state = {name: item.detach().contiguous().clone() for name, item in module.state_dict().items()}
    try:
        stored = load(save(state))
    except Exception as error:
        raise Violation(f"its state can't be stored as safetensors: {said(error)}", code) from error
    fresh = subject.module(example, seed=1)
    try:
        fresh.load_state_dict(stored)
    except Exception as error:
        raise Violation(f"a new module refuses its state: {said(error)}", code) from error
    with torch.no_grad():
        wanted = subject.run(module.eval(), inputs, example)
        got = subject.run(fresh, inputs, example)
    for name in wanted:
        if not same_bits(got[name], wanted[name]):
            raise Violation(f"a new module with the same state gives other {name}", code)


def copy_is_its_own(subject: ModuleSubject, example: PartExample) -> None:
    """A copy gives the same outputs, and shares no weights with the original."""
    module = subject.module(example)
    code = subject.code(example)
    try:
        twin = copied(module)
    except Exception as error:
        raise Violation(f"it can't be copied, as a teacher is: {said(error)}", code) from error
    before = subject.outputs(example, module)
    subject.same(before, subject.outputs(example, twin), "of a copy", example)
    for moved, other, what in (
        (twin, module, "moving the weights of a copy changes the original's"),
        (module, copied(module), "moving the weights of the original changes a copy's"),
    ):
        with torch.no_grad():
            for parameter in moved.parameters():
                parameter.add_(0.1)
        after = subject.outputs(example, other)
        for name in before:
            if not same_bits(before[name], after[name]):
                raise Violation(f"{what} {name}", code)


def gradients(subject: ModuleSubject, example: PartExample) -> None:
    """A gradient reaches every weight and every input, and is finite."""
    module = subject.module(example, train=True)
    inputs = subject.asked(module, example)
    leaves = {
        name: item.detach().clone().requires_grad_()
        for name, item in inputs.items()
        if isinstance(item, Tensor)
        and item.is_floating_point()
        and name not in subject.without_gradient
    }
    code = subject.code(example, inputs, train=True)
    silent = _silent(subject, module, {**inputs, **leaves}, leaves, example, code)
    if silent:
        # A weight that starts at zero may block gradients of other weights.
        moved(module)
        silent &= _silent(subject, module, {**inputs, **leaves}, leaves, example, code)
    if silent:
        raise Violation(f"no gradient reaches {', '.join(sorted(silent))}", code)


@torch.no_grad()
def moved(module: nn.Module) -> None:
    """Move every weight a little, the same way each time."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        parameter.add_(_MOVED * noise)


def _silent(
    subject: ModuleSubject,
    module: nn.Module,
    inputs: dict[str, Any],
    leaves: dict[str, Tensor],
    example: PartExample,
    code: str,
) -> set[str]:
    """Return the names of weights and inputs that no gradient reaches."""
    made = subject.run(module, inputs, example)
    generator = torch.Generator().manual_seed(1)
    scores = [
        (item * torch.randn(item.shape, generator=generator).to(item.dtype)).sum()
        for item in made.values()
        if item.is_floating_point()
    ]
    score = torch.stack(scores).sum()
    trained = any(item.requires_grad for item in module.parameters())
    for name in sorted(_CARRIERS & made.keys()):
        if trained and not made[name].requires_grad:
            raise Violation(f"its {name} carry no gradient", code)
    wanted: dict[str, Tensor] = {
        name: item for name, item in module.named_parameters() if item.requires_grad
    }
    wanted |= {f"its input {name}": item for name, item in leaves.items()}
    if not score.requires_grad:
        return set(wanted)
    try:
        found = torch.autograd.grad(score, list(wanted.values()), allow_unused=True)
    except RuntimeError as error:
        raise Violation(f"its gradient raised {said(error)}", code) from error
    silent = set()
    for name, gradient in zip(wanted, found, strict=True):
        if gradient is not None and not bool(gradient.isfinite().all()):
            raise Violation(f"the gradient of {name} is not finite", code)
        if gradient is None or not bool((gradient != 0).any()):
            silent.add(name)
    return silent


def seeded(subject: ModuleSubject, example: PartExample) -> None:
    first = subject.module(example).state_dict()
    code = subject.code(example)
    again = with_global_seed(11, lambda: subject.module(example)).state_dict()
    for name, item in first.items():
        if name not in again or not same_bits(item, again[name]):
            raise Violation(
                f"{name} differs between two modules made after the same torch.manual_seed", code
            )
