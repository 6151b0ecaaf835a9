"""The documentation of families and their properties, as data."""

from __future__ import annotations

from sslcore.testing.losses.checking import properties_of
from sslcore.testing.losses.family import families, family_called
from sslcore.testing.losses.spec import LossSpec


def summaries() -> dict[str, str]:
    """Return the families of losses, each with its loss in a line."""
    return {family.name: family.summary for family in families()}


def catalogue(name: str) -> list[dict[str, str]]:
    """Return the properties of a family: name, code, formula, precondition, what each catches.

    Raises:
        UnknownNameError: there is no such family.
    """
    spec = LossSpec(make=lambda: None, family=family_called(name))
    return [item.documentation() for item in properties_of(spec)]
