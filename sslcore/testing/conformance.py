"""One test per property, or one report: what authors call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from sslcore.errors import UsageError
from sslcore.testing.kinds import checker_of
from sslcore.testing.property import Property
from sslcore.testing.report import Report, Row
from sslcore.testing.search import run_property

#: Versions of the checks; a spec may ask for an older one, whose properties don't change.
SUITES = ("2026.1",)


@dataclass(frozen=True)
class Case:
    """One property of one spec.

    Attributes:
        spec: what is checked.
        property: what for.
    """

    spec: Any
    property: Property

    @property
    def id(self) -> str:
        """The name of the test."""
        return self.property.name

    def row(self) -> Row:
        """Check it and return what came of it; nothing is raised."""
        row = _run(self.property, checker_of(self.spec).subject(self.spec))
        expected = self.spec.expected_failures.get(self.property.name)
        if expected is None:
            return row
        if row.status == "fail":
            return replace(row, status="expected failure", reason=f"{expected}: {row.reason}")
        if row.status == "pass":
            return replace(
                row,
                status="unexpected pass",
                reason=f"it holds, and was expected to fail ({expected}); remove the expectation",
            )
        return row

    def run(self) -> None:
        """Check it as a pytest test: fail, skip with the reason, or expect the failure.

        Raises:
            AssertionError: the property does not hold; the message has the counterexample.
        """
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
    # One thread: sums must not depend on how many there are, and small tensors want no more.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return run_property(item, subject)
    finally:
        torch.set_num_threads(threads)


def cases(*specs: Any) -> list[Case]:
    """Return a case for each property of each spec.

    Raises:
        UsageError: a spec names an unknown family, property or suite.
    """
    found: list[Case] = []
    for spec in specs:
        if spec.suite not in SUITES:
            raise UsageError(f"suite {spec.suite!r} is not known; known are {', '.join(SUITES)}")
        found += [Case(spec, item) for item in checker_of(spec).properties(spec)]
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
        mutation: whether to measure the checks on broken variants as well, where there are some.

    Raises:
        UsageError: the spec names an unknown family, property or suite.
    """
    checker = checker_of(spec)
    rows = [case.row() for case in cases(spec)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        score = checker.score(spec, rows) if mutation else None
    finally:
        torch.set_num_threads(threads)
    return Report(checker.name(spec), tuple(rows), score, checker.notes(spec), spec.suite)
