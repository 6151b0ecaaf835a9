"""From a spec of a loss to its properties and a report."""

from __future__ import annotations

from contextlib import suppress

from sslcore.errors import UsageError, nearest
from sslcore.testing.losses.against_reference import REFERENCE
from sslcore.testing.losses.contrastive import INVARIANCES
from sslcore.testing.losses.custom import CUSTOM
from sslcore.testing.losses.custom_settings import settings_to_vary, varied
from sslcore.testing.losses.family import family_called
from sslcore.testing.losses.generic import GENERIC
from sslcore.testing.losses.mutation import mutation_score
from sslcore.testing.losses.spec import LossSpec
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.property import Property
from sslcore.testing.report import MutationScore, Row
from sslcore.testing.violation import Hung, Violation


def properties_of(spec: LossSpec) -> tuple[Property, ...]:
    """Return the properties that a spec is checked for.

    Raises:
        UsageError: it names an unknown family or property, or its formula asks for an unknown name.
    """
    subject = LossSubject(spec)
    family = subject.family
    if family.formula is not None:
        with suppress(Violation, Hung):
            # A formula that asks for what there is not is a mistake of the spec, not of the loss.
            family.formula.arguments(subject.adapt(family.anchors()[0]))
    found = (*GENERIC, *REFERENCE, *family.properties, *_claimed(spec))
    names = [item.name for item in found]
    for name in spec.expected_failures:
        if name not in names:
            raise UsageError(
                f"expected_failures: {family.name} has no property {name!r}{nearest(name, names)}"
            )
    return found


def _claimed(spec: LossSpec) -> list[Property]:
    """Return the invariances that the spec claims."""
    known = {item.name: item for item in INVARIANCES}
    for name in spec.invariances:
        if name not in known:
            raise UsageError(
                f"invariances: there is no {name!r}{nearest(name, known)}; there are "
                f"{', '.join(known)}"
            )
    return [known[name] for name in spec.invariances]


def scored(spec: LossSpec, rows: list[Row]) -> MutationScore | None:
    """Return how many broken variants the checks that ran detect; None if there are no variants."""
    subject = LossSubject(spec)
    if not subject.family.mutants:
        return None
    ran = {row.property for row in rows if row.status not in ("n/a", "vacuous")}
    properties = [item for item in properties_of(spec) if item.name in ran]
    return mutation_score(subject, properties, plain=is_plain(subject))


def is_certified(spec: LossSpec) -> bool:
    """Whether the value of the loss is compared with anything."""
    known = spec.reference is not None or family_called(spec.family).reference is not None
    return known or any(value is not None for _, value in spec.points)


def is_plain(subject: LossSubject) -> bool:
    """Whether the loss is a plain function; False where it can't even be made."""
    try:
        return subject.is_plain(subject.make(subject.adapt(subject.family.anchors()[0])))
    except (Violation, Hung):
        return False


def notes_on(spec: LossSpec) -> tuple[str, ...]:
    """Return notes for the reader of a report."""
    if family_called(spec.family).name != CUSTOM.name:
        return ()
    notes = []
    if not is_certified(spec):
        notes.append(
            "nothing certified the loss: a constant has all of these properties. Give its formula "
            "or known points: Loss(formula=…, points=…), or LossSpec(reference=…, points=…) in a "
            "test"
        )
    still = [name for name in settings_to_vary(spec) if name not in varied(spec)]
    if still:
        notes.append(
            f"{', '.join(still)}: checked at the default only, so a loss that ignores it passes; "
            "give a reference that takes it as well"
        )
    return tuple(notes)
