"""How to call a loss, from its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch

from sslcore.testing.losses.family import Family
from sslcore.testing.violation import Violation


def parameters_of(make: Callable[..., object]) -> frozenset[str] | None:
    """Return the names of the parameters that `make` takes; None where it takes any."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(item.kind is item.VAR_KEYWORD for item in parameters):
        return None
    return frozenset(item.name for item in parameters)


def is_plain(loss: Callable[..., object], family: Family) -> bool:
    """Whether the loss is a plain function of tensors, not one of the contract's signals.

    Raises:
        Violation: the loss is neither.
    """
    function = loss.forward if isinstance(loss, torch.nn.Module) else loss
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise Violation(
            f"make returned {type(loss).__name__}, which can't be called with tensors"
        ) from None
    needed = [
        item.name
        for item in parameters
        if item.default is item.empty and item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)
    ]
    if needed and set(needed) <= {*family.signals, "rows"}:
        return False
    several = any(item.kind is item.VAR_POSITIONAL for item in parameters)
    if family.plain is not None and (
        len(needed) == len(family.plain_names) or (several and not needed)
    ):
        return True
    names = ", ".join(needed) or "nothing"
    raise Violation(
        f"the loss takes {names}; a loss of the family {family.name} takes "
        f"{', '.join(family.signals)}"
        + (f", or as a plain function {', '.join(family.plain_names)}" * bool(family.plain))
    )
