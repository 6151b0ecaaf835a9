"""Which checks belong to which kind of spec."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sslcore.errors import UsageError
from sslcore.testing.losses import checking as losses
from sslcore.testing.losses.family import family_called
from sslcore.testing.losses.spec import LossSpec
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.parts import checking as parts
from sslcore.testing.property import Property
from sslcore.testing.report import MutationScore, Row


@dataclass(frozen=True)
class Checker:
    """How specs of a kind are checked.

    Attributes:
        subject: makes the subject of the properties from a spec.
        properties: returns the properties that a spec is checked for.
        name: returns the name in a report.
        score: returns, from the rows, how many broken variants the checks detect; None if there are
            no variants.
        notes: returns notes for the reader of a report.
        certified: returns whether the checks compare the part with a definition.
    """

    subject: Callable[[Any], Any]
    properties: Callable[[Any], tuple[Property, ...]]
    name: Callable[[Any], str]
    score: Callable[[Any, list[Row]], MutationScore | None] = lambda spec, rows: None
    notes: Callable[[Any], tuple[str, ...]] = lambda spec: ()
    certified: Callable[[Any], bool] = lambda spec: True


_CHECKERS: dict[type, Checker] = {
    LossSpec: Checker(
        LossSubject,
        losses.properties_of,
        lambda spec: spec.name or family_called(spec.family).name,
        losses.scored,
        losses.notes_on,
        losses.is_certified,
    ),
    **{
        kind: Checker(known.subject, parts.properties_of, parts.name_of)
        for kind, known in parts.KINDS.items()
    },
}


def checker_of(spec: Any) -> Checker:
    """Return how a spec is checked.

    Raises:
        UsageError: the value is not a spec.
    """
    found = _CHECKERS.get(type(spec))
    if found is None:
        known = ", ".join(kind.__name__ for kind in _CHECKERS)
        raise UsageError(f"expected a spec ({known}), got {type(spec).__name__}")
    return found
