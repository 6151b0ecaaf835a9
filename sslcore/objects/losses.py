"""Losses from Python: a function of signals, or a module."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from sslcore import signals as stages
from sslcore.contract.interface import ENGINE_SIGNALS
from sslcore.errors import nearest
from sslcore.objects.modules import Source, module_part, passing_on, signature_of

#: Signals that parts commonly provide.
KNOWN = {
    *ENGINE_SIGNALS,
    "labels",
    *(
        name
        for kind in vars(stages).values()
        if typing.is_typeddict(kind)
        for name in kind.__annotations__
    ),
}

#: What numbered parameters are called that mean two views.
_OF_VIEWS = ("views", "projections")

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def loss_part(given: object) -> type[nn.Module]:
    """Return the class of a loss.

    Args:
        given: a module, its class, or a function. Parameters are signals; two tensors of other
            names are the projections of two views, or their features without a head.

    Raises:
        CompositionError: its parameters can't be read.
    """
    is_module = isinstance(given, nn.Module)
    if is_module or (inspect.isclass(given) and issubclass(given, nn.Module)):
        source = Source("loss", given)
        own: Any = getattr(source.type, "forward", None)
        two = _takes_two_views(list(signature_of("loss", own).parameters.values())[1:])
        return module_part(source, _of_two_views if two else passing_on(own))
    assert callable(given)
    return _function_part(given)


def asks_for_labels(part: type[nn.Module]) -> bool:
    """Whether a loss is supervised."""
    return "labels" in inspect.signature(part.forward).parameters


def _function_part(function: Callable[..., Tensor]) -> type[nn.Module]:
    own = signature_of("loss", function)
    parameters = [each for each in own.parameters.values() if each.kind in _SIGNALS]

    def named(self: nn.Module, **signals: object) -> object:
        return function(**signals)

    def of_two_views(
        self: nn.Module, projections: Tensor | None = None, features: Tensor | None = None
    ) -> object:
        return function(*two_views(projections, features))

    forward: Callable[..., object] = named
    if _takes_two_views(list(own.parameters.values())):
        forward = of_two_views
    else:
        first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        keywords = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
        named.__signature__ = own.replace(  # type: ignore[attr-defined]
            parameters=[first, *keywords], return_annotation=Tensor
        )
    return type("FunctionLoss", (nn.Module,), {"__doc__": "", "forward": forward})


_SIGNALS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _of_two_views(
    self: Any, projections: Tensor | None = None, features: Tensor | None = None
) -> object:
    return self.module(*two_views(projections, features))


def two_views(projections: Tensor | None, features: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the projections (B, D) of each of two views; without a head, their features.

    Raises:
        ValueError: there are not two views.
    """
    compared = features if projections is None else projections
    if compared is None or len(compared) != 2:
        count = 0 if compared is None else len(compared)
        raise ValueError(
            f"a loss of two tensors compares two views, and there are {count}; let the loss ask "
            "for `projections`, (V, B, D)"
        )
    first, second = compared
    return first, second


def _takes_two_views(parameters: list[inspect.Parameter]) -> bool:
    """Whether two tensors are needed whose names are neither signals nor slips of their names."""
    needed = [
        each
        for each in parameters
        if each.default is inspect.Parameter.empty
        and each.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]
    names = [each.name for each in needed]
    if len(names) != 2 or not all(each.kind in _POSITIONAL for each in needed):
        return False
    # Of names such as `view_1` and `view_2`, what stands before the number counts.
    stems = {name[:-1].rstrip("_").removesuffix("s") + "s" for name in names}
    if len(stems) == 1 and stems <= {*_OF_VIEWS}:
        return True
    return not any(name in KNOWN or nearest(name, KNOWN) for name in names)
