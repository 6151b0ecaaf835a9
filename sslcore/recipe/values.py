"""Values as text and as plain data: what a user types, and what TOML and JSON can hold."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from sslcore.contract.settings import NONE_TEXT


def parse_assignment(text: str) -> tuple[str, str, Any]:
    """Split `section.name=value`; the value is read as TOML where it is TOML, else as text.

    `1,2` is a list as well as `[1, 2]`; `none` is None where the setting admits that.

    Raises:
        ValueError: the text is not of that form.
    """
    key, equals, value = text.partition("=")
    section, dot, name = key.strip().partition(".")
    if not equals or not dot or not section or not name:
        raise ValueError(f"--set {text}: expected SECTION.NAME=VALUE, as in loss.temperature=0.2")
    # A part may be called none, and none of the names is a number.
    return section, name, value.strip() if name == "name" else parse_value(value.strip())


def parse_value(text: str) -> Any:
    """Read a value as TOML where it is TOML, else as text."""
    if text.casefold() in (NONE_TEXT, "null"):
        return NONE_TEXT
    if text.casefold() in ("true", "false"):
        return text.casefold() == "true"
    for candidate in (text, f"[{text}]") if "," in text else (text,):
        try:
            found = tomllib.loads(f"value = {candidate}")
        except (ValueError, RecursionError):
            continue
        # A line break in the text could start another key.
        if found.keys() == {"value"}:
            return found["value"]
    return text


def plain(value: Any) -> Any:
    """Return `value` as what TOML and JSON can hold (a tuple becomes a list)."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, PurePath) else value
