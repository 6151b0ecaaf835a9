"""Broken variants of a loss, made from its author's formula: would the checks catch them?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from sslcore.testing.losses.common_mutants import common_mutants, exact, taking
from sslcore.testing.losses.engine_values import engine_values
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.family import Family, Hyper, Mutant

Loss = Callable[[Inputs, Hyper], Tensor]
Change = Callable[[Inputs], Inputs]

#: A fault changes the value or the gradient of an example by more than this.
_SHOWS = 1e-7
#: On so many fixed examples, a variant that changes nothing is no fault of this loss.
_TRIED = 5


def control_of(family: Family) -> Mutant:
    """Return the formula as a loss without a fault."""
    return Mutant("control", _computed(family))


def mutants_of(family: Family) -> tuple[Mutant, ...]:
    """Return the formula with one fault each."""
    loss = _computed(family)
    if not family.trainable:
        return ()
    common = [
        replace(mutant, needs="remembers-nothing") if "remembers" in mutant.name else mutant
        for mutant in common_mutants(loss, family.signals, family.trainable[0])
    ]
    own = [
        Mutant(name, broken, equivalent=_equivalence(family, loss, broken))
        for name, broken in _variants(family, loss)
    ]
    return (*common, *own, _own_rows_only(family, loss))


def _computed(family: Family) -> Loss:
    """Return the formula as a careful loss: it refuses unequal batches and keeps its precision."""
    formula = family.formula
    assert formula is not None

    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        tensors = {name: item for name, item in inputs.items() if isinstance(item, Tensor)}
        further = {name: item for name, item in inputs.items() if name not in tensors}
        batches = {item.shape[axis] for _, item, axis in _imaged(family, tensors)}
        if len(batches) != 1 or 0 in batches:
            raise ValueError(f"expected as many images in each signal, got {sorted(batches)}")
        dtype = next(item.dtype for item in tensors.values() if item.is_floating_point())
        example = Example({name: exact(item) for name, item in tensors.items()}, hyper)
        return formula(example, further=further).to(dtype)

    return loss


def _imaged(family: Family, inputs: Inputs) -> Iterator[tuple[str, Tensor, int]]:
    """Yield the signals that have images, with the axis of the images."""
    for name, item in inputs.items():
        axis = family.axis_of(name)
        if axis is not None and isinstance(item, Tensor):
            yield name, item, axis


def _variants(family: Family, loss: Loss) -> Iterator[tuple[str, Loss]]:
    def of(change: Change) -> Loss:
        return lambda inputs, hyper: loss({**inputs, **change(inputs)}, hyper)

    def in_place_of(name: str, change: Callable[[Tensor], Tensor]) -> Loss:
        return of(lambda inputs: {name: change(inputs[name])})

    def sums(inputs: Inputs, hyper: Hyper) -> Tensor:
        return loss(inputs, hyper) * family.batch_of(inputs)

    def left_out(inputs: Inputs) -> Inputs:
        return {
            name: item.narrow(axis, 0, max(1, family.batch_of(inputs) - 1))
            for name, item, axis in _imaged(family, inputs)
        }

    yield "sum-for-mean", sums
    yield "last-image-left-out", of(left_out)
    for name in family.hyper:
        yield f"{name}-ignored", _at_default(family, loss, name)
    example = family.anchors()[0]
    for name, item in example.inputs.items():
        axis = family.axes.get(name, 1)
        if name in family.trainable:
            yield f"{name}-detached", in_place_of(name, Tensor.detach)
        elif not item.is_floating_point():
            yield f"{name}-ignored", in_place_of(name, torch.zeros_like)
        if len(example.inputs) > 1 and (name in family.axes):
            yield f"{name}-of-another-image", in_place_of(name, _rolled(axis))
        if axis == 1 and len(item) > 1:
            yield f"views-of-{name}-mispaired", in_place_of(name, _mispaired)
            yield f"last-view-of-{name}-ignored", in_place_of(name, _first_view_last)


def _at_default(family: Family, loss: Loss, name: str) -> Loss:
    default = family.hyper[name].default
    return lambda inputs, hyper: loss(inputs, {**hyper, name: default})


def _rolled(axis: int) -> Callable[[Tensor], Tensor]:
    return lambda item: item.roll(1, axis)


def _mispaired(item: Tensor) -> Tensor:
    return torch.cat([item[:1], item[1:].roll(1, 1)])


def _first_view_last(item: Tensor) -> Tensor:
    return torch.cat([item[:-1], item[:1]])


def _own_rows_only(family: Family, loss: Loss) -> Mutant:
    """Return a loss that compares the images of a process with each other alone."""

    def alone(inputs: Inputs, hyper: Hyper) -> Tensor:
        rows = inputs.pop("rows", None)
        if not isinstance(rows, slice):
            return loss(inputs, hyper)
        own = {
            name: item.narrow(axis, rows.start, rows.stop - rows.start)
            for name, item, axis in _imaged(family, inputs)
        }
        return loss({**inputs, **own}, hyper)

    def halves(inputs: Inputs, hyper: Hyper) -> Tensor:
        count = family.batch_of(inputs)
        cuts = (slice(0, count // 2), slice(count // 2, count))
        parts = [
            alone({**inputs, "rows": rows}, hyper) * (rows.stop - rows.start)  # type: ignore[dict-item]
            for rows in cuts
            if rows.stop > rows.start
        ]
        return torch.stack(parts).sum() / count

    signals = [name for name in family.signals if name != "rows"]
    return Mutant(
        "compares-the-rows-of-a-process-alone",
        make=lambda **hyper: taking(
            signals, lambda inputs: alone(inputs, hyper), optional=("rows",)
        ),
        needs="ranks-agree",
        equivalent=_equivalence(family, loss, halves),
    )


def _equivalence(family: Family, loss: Loss, broken: Loss) -> Callable[[], bool]:
    """Return whether a variant is the loss itself on the fixed examples."""

    def same() -> bool:
        return not any(_differs(family, loss, broken, each) for each in family.anchors()[:_TRIED])

    return same


def _differs(family: Family, loss: Loss, broken: Loss, example: Example) -> bool:
    hyper = {
        **{name: item.values[-1] for name, item in family.hyper.items()},
        **example.hyper,
    }
    found = []
    for each in (loss, broken):
        leaves = {name: example.inputs[name].clone().requires_grad_() for name in family.trainable}
        given = replace(example, inputs={**example.inputs, **leaves}, hyper=hyper)
        try:
            score = each({**given.inputs, **engine_values(family, given)}, hyper)  # type: ignore[dict-item]
        except (RuntimeError, ValueError, IndexError):
            return True
        gradients = (
            torch.autograd.grad(score, list(leaves.values()), allow_unused=True)
            if score.requires_grad
            else [None] * len(leaves)
        )
        found.append(
            [score.detach().flatten()]
            + [
                torch.zeros(leaf.numel(), dtype=leaf.dtype)
                if gradient is None
                else gradient.flatten()
                for leaf, gradient in zip(leaves.values(), gradients, strict=True)
            ]
        )
    one, other = (torch.cat([item.double() for item in each]) for each in found)
    return bool((one - other).abs().max() > _SHOWS * (1 + one.abs().max()))
