"""From a spec of a loss to its properties and a report."""

from __future__ import annotations

from sslcore.errors import UsageError, nearest
from sslcore.testing.losses.against_reference import REFERENCE
from sslcore.testing.losses.contrastive import INVARIANCES
from sslcore.testing.losses.custom import CUSTOM, numbers_of, varied
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
        UsageError: it names an unknown family or property.
    """
    family = LossSubject(spec).family
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


def is_plain(subject: LossSubject) -> bool:
    """Whether the loss is a plain function; False where it can't even be made."""
    try:
        return subject.is_plain(subject.make(subject.adapt(subject.family.anchors()[0])))
    except (Violation, Hung):
        return False


def notes_on(spec: LossSpec) -> tuple[str, ...]:
    """Return notes for the reader of a report."""
    subject = LossSubject(spec)
    if subject.family.name != CUSTOM.name:
        return ()
    notes = []
    if spec.reference is None and not spec.points:
        notes.append(
            "invariances alone can't certify a loss: a constant loss has them all. In your own "
            "test, give a reference (LossSpec(..., reference=…)) or a value at a named point "
            "(points=…)"
        )
    still = [name for name in numbers_of(spec) if name not in varied(spec)]
    if still:
        notes.append(
            f"{', '.join(still)}: checked at the default only, so a loss that ignores it passes; "
            "give a reference that takes it as well"
        )
    return tuple(notes)
