"""The documentation of families and their properties, as data."""

from __future__ import annotations

from sslcore.testing.losses.checking import properties_of
from sslcore.testing.losses.contrastive import INVARIANCES
from sslcore.testing.losses.custom import CUSTOM
from sslcore.testing.losses.family import families, family_called
from sslcore.testing.losses.spec import LossSpec


def summaries() -> dict[str, str]:
    """Return the families of losses, each with a summary in one line."""
    return {family.name: family.summary for family in families()}


def catalogue(name: str) -> list[dict[str, str]]:
    """Return the properties of a family: name, code, formula, precondition, what each catches.

    Raises:
        UnknownNameError: there is no such family.
    """
    family = family_called(name)
    found = [
        item.documentation() for item in properties_of(LossSpec(make=lambda: None, family=family))
    ]
    if family is not CUSTOM:
        return found
    claimed = [item.documentation() for item in INVARIANCES]
    for item in claimed:
        item["precondition"] = f'the spec claims it: invariances=["{item["name"]}"]'
    return [*found, *claimed]
