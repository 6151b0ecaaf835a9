"""A part built from its settings and the parameters that the engine supplies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sslcore.contract.interface import interface_of, load_reference
from sslcore.contract.moments import moment_problems
from sslcore.contract.stages import STAGES
from sslcore.errors import CompositionError, SslcoreError, first_line
from sslcore.recipe.recipe import Part


def build_part(part: Part, supplied: Mapping[str, object]) -> Any:
    """Build a component from its settings and the supplied parameters that it names.

    Raises:
        CompositionError: it needs a parameter that this recipe does not have, or refuses its
            settings.
    """
    try:
        target = load_reference(part.build)
    except SslcoreError as error:
        raise CompositionError(f"{part}: {error}") from error
    if part.kind in STAGES and (problems := moment_problems(target)):
        raise CompositionError(f"{part}: {problems[0]}")
    arguments = dict(part.settings)
    for name, needed in interface_of(target).supplied.items():
        if supplied.get(name) is not None:
            arguments[name] = supplied[name]
        elif needed and name in supplied:
            # Known to be absent (an encoder without maps): the component says what that means.
            arguments[name] = None
        elif needed:
            raise CompositionError(f"{part} needs {name}, which this recipe does not have")
    try:
        return target(**arguments)
    except SslcoreError:
        raise
    except Exception as error:
        raise CompositionError(f"{part}: {first_line(error)}") from error
