"""Text from plugins without the characters that control a terminal.

Names, summaries and errors of plugins may hold sequences that move the cursor, or hide or reorder
text.
"""

from __future__ import annotations

import re
import unicodedata

#: Escape sequences of terminals: with parameters; titles and links; short ones.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
#: Characters that reorder the text around them.
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    """Return text without escape sequences and control characters except line breaks and tabs."""
    if text.isprintable():
        return text
    kept = _SEQUENCES.sub("", text).replace("\r\n", "\n")
    return "".join(each for each in kept if each in "\n\t" or not _is_control(each))


def one_line(text: str) -> str:
    """Return the first line of the printable text."""
    lines = printable(text).strip().splitlines()
    return lines[0].replace("\t", " ") if lines else ""


def is_one_printable_line(text: object) -> bool:
    """Whether a value is one line of text without control characters."""
    return isinstance(text, str) and not any(_is_control(each) for each in text)


def _is_control(character: str) -> bool:
    # Cc: control; Cs: surrogate; Zl, Zp: line and paragraph separators.
    return character in _REORDERING or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
