"""The entry points for authors: one test for each property, or one report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from sslcore.errors import UsageError
from sslcore.testing.kinds import checker_of
from sslcore.testing.property import Property
from sslcore.testing.report import Report, Row
from sslcore.testing.search import run_property
from sslcore.testing.switches import plain_process

#: Versions of the checks; a spec may name an older version, whose properties don't change.
SUITES = ("2026.1",)


@dataclass(frozen=True, repr=False)
class Case:
    """One property of one spec.

    Attributes:
        spec: the part to check.
        what: the property to check.
        shared: the subject, once it exists; all cases of the spec share it, so that after one call
            that hangs, later calls get less time.
    """

    spec: Any
    what: Property
    shared: list[Any] = field(default_factory=list, compare=False)

    def __repr__(self) -> str:
        return f"Case({checker_of(self.spec).name(self.spec)}: {self.id})"

    @property
    def id(self) -> str:
        """The name of the test."""
        return self.what.name

    def row(self) -> Row:
        """Check the property and return the result; a failure is not raised."""
        if not self.shared:
            self.shared.append(checker_of(self.spec).subject(self.spec))
        row = _run(self.what, self.shared[0])
        expected = self.spec.expected_failures.get(self.what.name)
        if expected is None:
            return row
        if row.status == "fail":
            return replace(row, status="expected failure", reason=f"{expected}: {row.reason}")
        if row.status == "pass":
            return replace(
                row,
                status="unexpected pass",
                reason=f"it was expected to fail ({expected}) and holds; "
                "remove it from expected_failures",
            )
        return row

    def run(self) -> None:
        """Check the property as a pytest test: pass, fail, skip or xfail.

        Raises:
            AssertionError: the property does not hold; the message has the counterexample.
        """
        # The traceback through the kit would hide the counterexample.
        __tracebackhide__ = True
        row = self.row()
        if row.status == "pass":
            return
        if row.status == "n/a":
            _outcome("skip", f"not applicable: {row.reason}")
        elif row.status == "expected failure":
            _outcome("xfail", row.reason)
        raise AssertionError(
            f"{row.property} ({row.code}): {row.formula}\n{row.reason}"
            + (f"\n\n{row.counterexample}" if row.counterexample else "")
        )


def _outcome(name: str, reason: str) -> None:
    import pytest

    getattr(pytest, name)(reason)


def _run(item: Property, subject: Any) -> Row:
    with plain_process():
        return run_property(item, subject)


def cases(*specs: Any) -> list[Case]:
    """Return a case for each property of each spec.

    Raises:
        UsageError: a spec names an unknown family, property or suite.
    """
    found: list[Case] = []
    for spec in specs:
        if spec.suite not in SUITES:
            raise UsageError(f"suite {spec.suite!r} is not known; known are {', '.join(SUITES)}")
        shared: list[Any] = []
        found += [Case(spec, item, shared) for item in checker_of(spec).properties(spec)]
    return found


def conformance(*specs: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a test function with a parameter `case` for each property of the specs.

    Example:
        @conformance(LossSpec(make=lambda temperature=0.5: NTXent(temperature), family="nt-xent"))
        def test_nt_xent(case):
            case.run()
    """
    import pytest

    found = cases(*specs)
    several = len(specs) > 1
    ids = [
        f"{checker_of(item.spec).name(item.spec)}-{item.id}" if several else item.id
        for item in found
    ]
    return pytest.mark.parametrize("case", found, ids=ids)


def check(spec: Any, *, mutation: bool = True) -> Report:
    """Check a spec and return the report.

    Args:
        spec: a `LossSpec`, or the spec of another kind of part.
        mutation: whether to run the checks on broken variants of the loss too, if there are any.

    Raises:
        UsageError: the spec names an unknown family, property or suite.
    """
    checker = checker_of(spec)
    rows = [case.row() for case in cases(spec)]
    with plain_process():
        score = checker.score(spec, rows) if mutation else None
        certified = checker.certified(spec)
    return Report(
        checker.name(spec), tuple(rows), score, checker.notes(spec), spec.suite, certified
    )
