"""How a check says that a property does not hold."""

from __future__ import annotations


class Violation(AssertionError):
    """A property does not hold.

    Attributes:
        code: Python that shows it, to be pasted; may be empty.
        size: how much there is to read in the example, for choosing the smaller of two.
    """

    def __init__(self, message: str, code: str = "", size: int = 0) -> None:
        super().__init__(message)
        self.code, self.size = code, size


class Hung(BaseException):
    """A call did not come back in time.

    Not an `Exception`, so that no search goes on to shrink what takes seconds a call.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code, self.size = code, 0


def said(error: BaseException) -> str:
    """Return what an error is and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
