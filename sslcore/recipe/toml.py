"""Sections of settings as TOML, written and read."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sslcore.contract.settings import NONE_TEXT
from sslcore.errors import UsageError
from sslcore.system.files import user_path


def to_toml(tables: Mapping[str, Any]) -> str:
    """Return sections as TOML; None, which TOML has not, is written as the text "none".

    Reading leaves it as text: whether None is meant depends on the setting.
    """
    import tomli_w

    return tomli_w.dumps(_without_none(tables))


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items()}
    return NONE_TEXT if value is None else value


def read_config(path: str | Path) -> dict[str, Any]:
    """Read a TOML file of recipe sections that a user named.

    Raises:
        UsageError: the file can't be read or is not TOML.
    """
    try:
        return read_tables(user_path(path, "--config"))
    except ValueError as error:
        raise UsageError(f"--config {path}: {error}") from error


def read_tables(path: Path) -> dict[str, Any]:
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
