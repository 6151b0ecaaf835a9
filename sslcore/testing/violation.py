"""The exceptions that a check raises: a property does not hold, or a call hung."""

from __future__ import annotations


class Violation(AssertionError):
    """A property does not hold.

    Attributes:
        code: Python code that reproduces it; may be empty.
        size: numbers in the example; the smaller of two counterexamples is reported.
    """

    def __init__(self, message: str, code: str = "", size: int = 0) -> None:
        super().__init__(message)
        self.code, self.size = code, size


class Hung(BaseException):
    """A call did not return in time.

    It is not an `Exception`, so that Hypothesis does not go on to shrink an example that hangs.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code, self.size = code, 0


def said(error: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
