"""The report of a check: the result of each property, including those that do not apply."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["pass", "fail", "n/a", "expected failure", "unexpected pass", "vacuous"]

#: Statuses that make a report fail.
BAD: tuple[Status, ...] = ("fail", "unexpected pass", "vacuous")


@dataclass(frozen=True)
class Row:
    """One property of one subject.

    Attributes:
        property: its name.
        code: its number in the documentation.
        status: the result.
        reason: why the property does not apply, failed or is expected to fail; else empty.
        counterexample: Python code that reproduces a failure; else empty.
        examples: number of examples tried.
        error: the largest error found, as a multiple of the tolerance; None if not measured.
        formula: the property as a formula.
    """

    property: str
    code: str
    status: Status
    reason: str = ""
    counterexample: str = ""
    examples: int = 0
    error: float | None = None
    formula: str = ""


@dataclass(frozen=True)
class MutationScore:
    """How many deliberately broken variants of the loss the checks detect.

    Attributes:
        killed: names of the variants that at least one check detects.
        survived: names of the variants that no check detects.
    """

    killed: tuple[str, ...] = ()
    survived: tuple[str, ...] = ()

    def __str__(self) -> str:
        total = len(self.killed) + len(self.survived)
        said = f"{len(self.killed)} of {total} broken variants are detected"
        return said + (f"; not detected: {', '.join(self.survived)}" if self.survived else "")


@dataclass(frozen=True)
class Report:
    """The results for one part, and how many faults the checks can detect.

    Attributes:
        subject: name of the part that was checked.
        rows: one for each declared property.
        mutation: how many broken variants the checks detect; None if there are no variants.
        notes: further remarks, a sentence each.
        suite: the version of the checks.
        certified: whether the part was compared with a definition, if its kind has one.
    """

    subject: str
    rows: tuple[Row, ...]
    mutation: MutationScore | None = None
    notes: tuple[str, ...] = ()
    suite: str = ""
    certified: bool = True

    @property
    def passed(self) -> bool:
        """Whether a property applied, and none failed, passed unexpectedly or was vacuous."""
        return self.checked and not self.failures

    @property
    def checked(self) -> bool:
        """Whether any property applied."""
        return any(row.status != "n/a" for row in self.rows)

    @property
    def failures(self) -> list[Row]:
        """The rows that keep the report from passing."""
        return [row for row in self.rows if row.status in BAD]

    @property
    def counts(self) -> dict[str, int]:
        """The number of declared properties, and the number of each status."""
        found = Counter(row.status for row in self.rows)
        return {"declared": len(self.rows), **dict(found.most_common())}

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "subject": self.subject,
            "suite": self.suite,
            "passed": self.passed,
            "certified": self.certified,
            "counts": self.counts,
            "mutation": None if self.mutation is None else asdict(self.mutation),
            "notes": list(self.notes),
            "properties": [asdict(row) for row in self.rows],
        }

    def __str__(self) -> str:
        width = max((len(row.property) for row in self.rows), default=8)
        lines = [f"{self.subject} (suite {self.suite})"]
        said: dict[str, str] = {}
        for row in self.rows:
            error = "" if row.error is None else f"  error/tolerance {row.error:.2g}"
            tried = f"  {row.examples} examples" if row.examples else ""
            lines.append(f"  {row.property:<{width}}  {row.status}{tried}{error}")
            first = said.setdefault(row.reason, row.property)
            if row.reason and first != row.property:
                lines.append(f"      same reason as {first}")
                continue
            lines += [f"      {line}" for line in row.reason.splitlines()]
            if row.counterexample:
                lines += [f"      {line}" for line in row.counterexample.splitlines()]
        lines.append(self.summary())
        return "\n".join(lines)

    def summary(self) -> str:
        """Return the verdict in a line or two."""
        counts = ", ".join(f"{number} {status}" for status, number in self.counts.items())
        lines = [f"{'passed' if self.passed else 'FAILED'}: {counts}"]
        if self.mutation is not None:
            lines.append(str(self.mutation))
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)
