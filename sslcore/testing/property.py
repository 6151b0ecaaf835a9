"""A property: one mathematical statement, with the code that searches for a counterexample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

#: The result of `applies` for a property that can be checked.
APPLIES = ""


def _everywhere(subject: Any) -> str:
    return APPLIES


def _nothing(subject: Any) -> Sequence[Any]:
    return ()


@dataclass(frozen=True)
class Property:
    """One property of a kind of part.

    Attributes:
        name: kebab-case; the pytest id.
        code: its number in the documentation, such as C8.
        formula: the statement, in mathematics.
        kills: the bugs that break it.
        check: `check(subject, example)` raises `Violation` if the property does not hold.
        precondition: the condition under which it must hold; empty means always.
        examples: a Hypothesis strategy for a subject, or None if there are only anchors.
        anchors: fixed examples, small ones first, that are always tried.
        applies: `APPLIES`, or the reason why a subject can't be checked for it.
        max_examples: how many examples are drawn.
    """

    name: str
    code: str
    formula: str
    kills: str
    check: Callable[[Any, Any], None]
    precondition: str = ""
    examples: Callable[[Any], SearchStrategy[Any]] | None = None
    anchors: Callable[[Any], Sequence[Any]] = _nothing
    applies: Callable[[Any], str] = _everywhere
    max_examples: int = 25

    def documentation(self) -> dict[str, str]:
        """Return name, code, formula, precondition and what it catches."""
        fields = ("name", "code", "formula", "precondition", "kills")
        return {field: getattr(self, field) for field in fields}

    def named(self, name: str, **changes: Any) -> Property:
        """Return the same property under another name, with some attributes changed."""
        return replace(self, name=name, **changes)


def declare(
    name: str, code: str, *, formula: str, kills: str, **rest: Any
) -> Callable[[Callable[[Any, Any], None]], Property]:
    """Make a property of the function below; the arguments are those of `Property`."""

    def made(check: Callable[[Any, Any], None]) -> Property:
        return Property(name, code, formula, kills, check, **rest)

    return made
