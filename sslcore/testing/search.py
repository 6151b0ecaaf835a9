"""Search for a counterexample: fixed examples first, then drawn ones, which are shrunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.errors import Flaky, Unsatisfiable

from sslcore.testing.property import Property
from sslcore.testing.report import Row
from sslcore.testing.violation import Hung, Violation, said

#: A check is vacuous if it accepts less than this fraction of the draws.
_ACCEPTED = 0.1


class Meter:
    """Counts examples and keeps the largest error, as a multiple of the tolerance."""

    def __init__(self) -> None:
        self.examples = 0
        self.error: float | None = None

    def see(self, ratio: float) -> None:
        """Record an error."""
        self.error = ratio if self.error is None else max(self.error, ratio)


def run_property(item: Property, subject: Any, *, draw: bool = True, shrink: bool = True) -> Row:
    """Check one property of a subject.

    Args:
        item: the property.
        subject: the part to check; its `meter` records the errors.
        draw: whether to draw examples in addition to the fixed ones.
        shrink: whether to search for the smallest counterexample once one is found.

    Returns:
        A row with status pass, fail, n/a or vacuous. Exceptions of the subject are not raised.
    """
    reason = _told(lambda: item.applies(subject))
    if reason:
        return Row(item.name, item.code, "n/a", reason, formula=item.formula)
    meter = subject.meter = Meter()
    found: Violation | Hung | None = None
    try:
        for example in item.anchors(subject):
            meter.examples += 1
            try:
                item.check(subject, example)
            except Violation as violation:
                found = violation
                break
        if item.examples is not None and draw and (found is None or shrink):
            smaller = _searched(item, subject, meter, shrink=shrink)
            if isinstance(smaller, Row):
                if found is None:
                    return smaller
            elif smaller is not None and (
                found is None or not found.size or smaller.size <= found.size
            ):
                found = smaller
    except (Hung, Violation) as violation:
        found = violation
    except Exception as error:  # noqa: BLE001 - the checked code may raise anything
        # Any error of foreign code must become a row of the report.
        found = Violation(f"the check raised {said(error)}")
    if found is None and meter.examples == 0:
        reason = f"no example meets its precondition ({item.precondition or 'see its anchors'})"
        return Row(item.name, item.code, "n/a", reason, formula=item.formula)
    return Row(
        item.name,
        item.code,
        "pass" if found is None else "fail",
        "" if found is None else str(found),
        "" if found is None else found.code,
        meter.examples,
        meter.error,
        item.formula,
    )


def _searched(
    item: Property, subject: Any, meter: Meter, *, shrink: bool
) -> Violation | Row | None:
    """Draw examples, and return the violation found, or a row with status vacuous."""
    assert item.examples is not None
    drawn = accepted = 0

    @settings(
        max_examples=item.max_examples,
        deadline=None,
        # The verdict is the same in every run, and no file is written.
        derandomize=True,
        database=None,
        verbosity=Verbosity.quiet,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(item.examples(subject))
    def search(example: Any) -> None:
        nonlocal drawn, accepted
        drawn += 1
        item.check(subject, example)
        accepted += 1

    before = meter.error
    try:
        search()
    except Violation as violation:
        meter.examples += drawn
        return violation
    except Flaky:
        meter.examples += drawn
        return Violation("flaky: the same example fails in one call and passes in the next")
    except Unsatisfiable:
        accepted = 0
    meter.examples += accepted
    if accepted < _ACCEPTED * item.max_examples and accepted < drawn:
        meter.error = before
        return Row(
            item.name,
            item.code,
            "vacuous",
            f"{drawn - accepted} of {drawn} draws were rejected",
            examples=accepted,
            formula=item.formula,
        )
    return None


def _told(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except (Exception, Hung):  # noqa: BLE001 - the checked code may raise anything
        # An error here does not exempt the part: the check itself will report it.
        return ""
