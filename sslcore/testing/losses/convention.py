"""Which of a family's conventions a loss follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslcore.testing.losses.family import Reference
from sslcore.testing.losses.signature import parameters_of
from sslcore.testing.violation import Violation

if TYPE_CHECKING:
    from sslcore.testing.losses.subject import LossSubject

#: Fixed examples of at most this many numbers decide which convention a loss follows.
_TOLD_APART = 2000


def find_reference(subject: LossSubject) -> Reference:
    """Return the reference in the loss's convention, where papers differ."""
    spec, family = subject.spec, subject.family
    if spec.reference is not None:
        stated, taken = spec.reference, parameters_of(spec.reference)
        return lambda inputs, hyper: stated(
            **inputs, **{name: hyper[name] for name in hyper if taken and name in taken}
        )
    assert family.reference is not None
    if spec.convention is not None:
        return family.conventions[spec.convention]
    candidates = [family.reference, *family.conventions.values()]
    if len(candidates) == 1:
        return candidates[0]
    tried = [subject.adapt(item) for item in family.anchors() if item.size <= _TOLD_APART]
    try:
        values = [subject.value(example) for example in tried]
    except Violation:
        return candidates[0]

    def off(reference: Reference) -> float:
        found = [float(reference(example.inputs, example.hyper)) for example in tried]
        return sum(abs(one - other) for one, other in zip(found, values, strict=True))

    return min(candidates, key=off)
