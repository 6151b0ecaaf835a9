"""Options that several commands share."""

from __future__ import annotations

from typing import Any

import click

from sslcore.errors import SettingsError
from sslcore.settings import parse_assignment

settings_option = click.option(
    "--set",
    "-s",
    metavar="SECTION.NAME=VALUE",
    multiple=True,
    help="A setting, as in loss.temperature=0.2; may be repeated.",
)

device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps."
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def assignments(texts: tuple[str, ...]) -> list[tuple[str, str, Any]]:
    """Return what the `--set` options say, or report all that are malformed at once."""
    parsed: list[tuple[str, str, Any]] = []
    problems: list[str] = []
    for text in texts:
        try:
            parsed.append(parse_assignment(text))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise SettingsError(problems)
    return parsed
