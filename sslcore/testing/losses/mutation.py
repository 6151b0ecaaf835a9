"""What the checks that ran on a loss are worth: how many broken variants they would catch."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sslcore.testing.losses.family import Mutant
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.property import Property
from sslcore.testing.report import MutationScore
from sslcore.testing.search import run_property


def mutant_subject(subject: LossSubject, mutant: Mutant) -> LossSubject:
    """Return a mutant in the place of a loss, with the spec's other statements."""
    signals = subject.family.signals
    spec = replace(
        subject.spec,
        signals=None,
        constants={},
        convention=None,
        stateful=False,
        expected_failures={},
        seconds=2.0,
    )
    if mutant.make is not None:
        return LossSubject(replace(spec, make=mutant.make))
    if mutant.plain is not None:
        plain = mutant.plain
        return LossSubject(
            replace(
                spec,
                make=lambda **hyper: plain(hyper),
                signals=",".join(subject.family.plain_names),
            )
        )

    def make(**hyper: float) -> Any:
        assert mutant.loss is not None
        broken = mutant.loss

        def loss(**inputs: Any) -> object:
            return broken(inputs, hyper)

        loss.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in signals]
        )
        return loss

    return LossSubject(replace(spec, make=make))


def caught_by(subject: LossSubject, mutant: Mutant, properties: Iterable[Property]) -> str:
    """Return the first property that a mutant breaks, or an empty string."""
    broken = mutant_subject(subject, mutant)
    for item in properties:
        if run_property(item, broken, shrink=False).status == "fail":
            return item.name
    return ""


def mutation_score(
    subject: LossSubject, properties: Iterable[Property], *, plain: bool
) -> MutationScore:
    """Return how many mutants of the family the properties catch.

    Args:
        subject: the loss that was checked.
        properties: those that applied to it.
        plain: whether it is a plain function, so that faults of that form count as well.
    """
    killed: list[str] = []
    survived: list[str] = []
    # What compares with the reference catches most, and so it comes first.
    ordered = sorted(properties, key=lambda item: "reference" not in item.name)
    applicable = [mutant for mutant in subject.family.mutants if mutant.plain is None or plain]
    for mutant in applicable:
        (killed if caught_by(subject, mutant, ordered) else survived).append(mutant.name)
    return MutationScore(tuple(killed), tuple(survived))
