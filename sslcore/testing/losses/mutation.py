"""How many broken variants the checks that ran on a loss detect."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from sslcore.testing.losses.common_mutants import taking
from sslcore.testing.losses.family import Mutant
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.property import Property
from sslcore.testing.report import MutationScore
from sslcore.testing.search import run_property


def mutant_subject(subject: LossSubject, mutant: Mutant) -> LossSubject:
    """Return the spec with a mutant in place of its loss."""
    signals = subject.family.signals
    spec = replace(
        subject.spec,
        # As it is, since a family that depends on the spec would be made for the mutant.
        family=replace(subject.family, for_spec=None),
        signals=None,
        constants={},
        convention=None,
        stateful=False,
        expected_failures={},
        seconds=2.0,
    )
    dims = {name: item.dim() for name, item in subject.family.anchors()[0].inputs.items()}
    if mutant.make is not None:
        made = mutant.make
        # A mutant's own `make` states its parameters in its signature.
        return LossSubject(
            replace(
                spec, make=_with_signature_of(made, lambda **hyper: _guarded(made(**hyper), dims))
            )
        )
    if mutant.plain is not None:
        plain = mutant.plain
        names = ",".join(subject.family.plain_names)
        return LossSubject(replace(spec, make=lambda **hyper: plain(hyper), signals=names))

    def make(**hyper: float) -> Any:
        assert mutant.loss is not None
        broken = mutant.loss

        loss = taking(signals, lambda inputs: broken(inputs, hyper))
        return _guarded(loss, dims) if mutant.checks_shapes else loss

    return LossSubject(replace(spec, make=make))


def _guarded(loss: Any, dims: Mapping[str, int]) -> Any:
    """Return a loss that refuses empty inputs and inputs with another number of dimensions."""

    def check(inputs: Mapping[str, Any]) -> None:
        for name, count in dims.items():
            item = inputs.get(name)
            if item is not None and (item.dim() != count or item.numel() == 0):
                raise ValueError(f"{name} has shape {tuple(item.shape)}")

    if isinstance(loss, nn.Module):
        loss.register_forward_pre_hook(
            lambda module, positional, named: check(named), with_kwargs=True
        )
        return loss

    def guarded(*arguments: Any, **inputs: Any) -> object:
        check(inputs)
        return loss(*arguments, **inputs)

    return _with_signature_of(loss, guarded)


def _with_signature_of(
    source: Callable[..., Any], target: Callable[..., Any]
) -> Callable[..., Any]:
    target.__signature__ = inspect.signature(source)  # type: ignore[attr-defined]
    return target


def caught_by(subject: LossSubject, mutant: Mutant, properties: Iterable[Property]) -> str:
    """Return the first property that a mutant breaks, or an empty string."""
    broken, items = mutant_subject(subject, mutant), list(properties)
    # The fixed examples of all properties take less time than the drawn examples of one.
    for draw in (False, True):
        for item in items:
            if run_property(item, broken, draw=draw, shrink=False).status == "fail":
                return item.name
    return ""


def mutation_score(
    subject: LossSubject, properties: Iterable[Property], *, plain: bool
) -> MutationScore:
    """Return how many mutants of the family the properties catch.

    Args:
        subject: the loss that was checked.
        properties: the properties that applied to the loss.
        plain: whether the loss is a plain function, so that the variants of that form count as
            well.
    """
    killed: list[str] = []
    survived: list[str] = []
    # Comparisons with the reference detect most variants, so they come first.
    ordered = sorted(properties, key=lambda item: "reference" not in item.name)
    checked = {"", *(item.name for item in ordered)}
    applicable = [
        mutant
        for mutant in subject.family.mutants
        if (mutant.plain is None or plain) and mutant.needs in checked and not mutant.equivalent()
    ]
    for mutant in applicable:
        (killed if caught_by(subject, mutant, ordered) else survived).append(mutant.name)
    return MutationScore(tuple(killed), tuple(survived))
