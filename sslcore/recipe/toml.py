"""Settings as text: what a user types after `--set`, and sections written and read as TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePath

from sslcore.contract.settings import NONE_TEXT
from sslcore.errors import UsageError
from sslcore.system.files import user_path


def to_toml(tables: Mapping[str, object]) -> str:
    """Return sections as TOML; None, which TOML has not, is written as the text "none".

    Reading leaves it as text: whether None is meant depends on the setting.
    """
    import tomli_w

    return tomli_w.dumps(_without_none(tables))


def _without_none(tables: Mapping[str, object]) -> dict[str, object]:
    return {
        key: _without_none(item)
        if isinstance(item, Mapping)
        else NONE_TEXT
        if item is None
        else item
        for key, item in tables.items()
    }


def read_config(path: str | Path) -> dict[str, object]:
    """Read a TOML file of recipe sections that a user named.

    Raises:
        UsageError: the file can't be read or is not TOML.
    """
    try:
        return read_tables(user_path(path, "--config"))
    except ValueError as error:
        raise UsageError(f"--config {path}: {error}") from error


def read_tables(path: Path) -> dict[str, object]:
    """Read a TOML file; None is the text "none" in it.

    Raises:
        ValueError: the file can't be read or is not TOML; the message does not name it.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not TOML: {error}") from error


def parse_assignment(text: str) -> tuple[str, str, object]:
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


def parse_value(text: str) -> object:
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


def plain(tables: Mapping[str, object]) -> dict[str, object]:
    """Return tables as what TOML and JSON can hold: a tuple becomes a list, a path becomes text."""
    return {str(key): _plain(item) for key, item in tables.items()}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, PurePath) else value
