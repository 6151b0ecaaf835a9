"""Modules as parts: an adapter around an `nn.Module`, or around a class or function that makes one.

A module whose `forward` names signals and returns a TypedDict is called as it is. Otherwise the
adapter of its kind passes it one tensor and names the result.
"""

from __future__ import annotations

import copy
import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from torch import Tensor, nn

from sslcore.contract.interface import SUPPLIED, provided_by
from sslcore.errors import CompositionError
from sslcore.objects.names import qualified_name
from sslcore.signals import Projections

Forward = Callable[..., Any]

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
#: Defaults that a recipe can hold.
_PLAIN = (bool, int, float, str, type(None))


class FeaturesAndPerhapsMaps(TypedDict):
    """`features`: (N, F), and `feature_maps`: (N, F, h', w') where the encoder returns maps."""

    features: Tensor
    feature_maps: NotRequired[Tensor]


@dataclass(frozen=True)
class Source:
    """How a module is made of what the user gave.

    Attributes:
        kind: the kind of part.
        given: an instance, or a class or function that makes one.
    """

    kind: str
    given: object

    @property
    def is_instance(self) -> bool:
        """Whether it is a module already, so that its weights are its own."""
        return isinstance(self.given, nn.Module)

    @property
    def type(self) -> type | None:
        """The class of the module; None where only calling a function would show it."""
        if self.is_instance:
            return type(self.given)
        made_by = _unbound(self.given)
        made = made_by if inspect.isclass(made_by) else _hints(made_by).get("return")
        return made if inspect.isclass(made) else None

    @property
    def follows_contract(self) -> bool:
        """Whether the module says what it provides, as parts of plugins do."""
        return bool(provided_by(getattr(self.type, "forward", None)))

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """The parameters of the constructor that are settings or that the engine supplies.

        What a part of a plugin gets by name, such as `num_classes`, may mean something else in
        other code, where it is supplied only if it has no default.
        """
        if self.is_instance:
            return []
        made_by = _unbound(self.given)
        hints = _hints(made_by.__init__ if inspect.isclass(made_by) else made_by)
        bound = self.given.keywords if isinstance(self.given, functools.partial) else {}
        return [
            each.replace(
                annotation=hints.get(each.name, each.annotation),
                kind=inspect.Parameter.KEYWORD_ONLY,
            )
            for each in signature_of(self.kind, self.given).parameters.values()
            if each.kind in _NAMED and each.name not in bound and self._is_given(each)
        ]

    def _is_given(self, parameter: inspect.Parameter) -> bool:
        if parameter.default is inspect.Parameter.empty:
            return True
        if parameter.name in SUPPLIED:
            return self.follows_contract
        # A recipe reserves `name`, and can't hold other values; these keep their defaults.
        return parameter.name != "name" and _is_plain(parameter.default)

    def make(self, settings: Mapping[str, object]) -> nn.Module:
        """Return a module: a copy of the instance, or one with new weights.

        Raises:
            TypeError: what was called made no module.
        """
        if isinstance(self.given, nn.Module):
            # The object of the user keeps its weights; the parts of a run are built on the CPU.
            return copy.deepcopy(self.given).cpu()
        assert callable(self.given)
        made = self.given(**settings)
        if not isinstance(made, nn.Module):
            raise TypeError(
                f"{qualified_name(self.given)} made {type(made).__name__}, expected an nn.Module"
            )
        return made


def module_part(source: Source, forward: Forward) -> type[nn.Module]:
    """Return the class of a part: built from the settings of the source, run by `forward`."""

    def build(self: Any, **settings: object) -> None:
        nn.Module.__init__(self)
        self.module = source.make(settings)
        # Evaluation then compares with the encoder as it began.
        own = source.is_instance or getattr(self.module, "pretrained", False)
        self.pretrained = bool(own)

    parameters = source.parameters
    build.__annotations__ = {each.name: each.annotation for each in parameters}
    return type(
        "ModulePart",
        (nn.Module,),
        {
            "__doc__": "" if source.is_instance else inspect.getdoc(source.given),
            "__init__": build,
            "__signature__": inspect.Signature(parameters),
            "forward": forward,
        },
    )


def encoder_part(source: Source) -> type[nn.Module]:
    """Return the class of an encoder."""
    return module_part(source, as_it_is(source) or _encode)


def head_part(source: Source) -> type[nn.Module]:
    """Return the class of a head."""
    return module_part(source, as_it_is(source) or _project)


def as_it_is(source: Source) -> Forward | None:
    """Return a `forward` with the signals of the module's own one; None if that names none.

    Raises:
        CompositionError: it takes several tensors and does not say what it returns.
    """
    own = getattr(source.type, "forward", None)
    if own is None:
        return None
    if source.follows_contract:
        return passing_on(own)
    needed = [
        each.name
        for each in list(signature_of(source.kind, own).parameters.values())[1:]
        if each.kind in _NAMED and each.default is inspect.Parameter.empty
    ]
    if len(needed) > 1:
        raise CompositionError(
            f"{source.kind}: forward of {qualified_name(source.given)} takes {', '.join(needed)}; "
            "expected one tensor, or names of signals and a TypedDict as the return annotation "
            "(sslcore.signals)"
        )
    return None


def passing_on(function: Forward) -> Forward:
    """Return a `forward` with the signature of another one, which it calls."""

    @functools.wraps(function)
    def forward(self: Any, **signals: object) -> object:
        return self.module(**signals)

    return forward


def signature_of(kind: str, given: object) -> inspect.Signature:
    """Return the signature of what the user gave.

    Raises:
        CompositionError: it has none that can be read.
    """
    try:
        return inspect.signature(given)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise CompositionError(
            f"{kind}: the parameters of {qualified_name(given)} can't be read; wrap it in a "
            "function of your own"
        ) from error


def _encode(self: Any, views: Tensor) -> FeaturesAndPerhapsMaps:
    """Return the features of views (N, C, h, w); of maps (N, F, h', w'), their means."""
    made = self.module(views)
    if isinstance(made, Mapping) and isinstance(made.get("features"), Tensor):
        kept: FeaturesAndPerhapsMaps = {"features": made["features"]}
        if "feature_maps" in made:
            kept["feature_maps"] = made["feature_maps"]
        return kept
    if not isinstance(made, Tensor):
        raise ValueError(
            f"forward returned {type(made).__name__}, expected a tensor: features (N, F), or maps "
            "(N, F, h', w')"
        )
    if made.dim() not in (2, 4) or len(made) != len(views):
        raise ValueError(
            f"forward returned shape {tuple(made.shape)} for {len(views)} views, expected features "
            "(N, F), or maps (N, F, h', w')"
        )
    if made.dim() == 2:
        return {"features": made}
    return {"features": made.mean((-2, -1)), "feature_maps": made}


def _project(self: Any, features: Tensor) -> Projections:
    """Return the projections (V, B, D) of features (V, B, F), computed as one batch (V·B, F)."""
    made = self.module(features.flatten(0, 1))
    if not isinstance(made, Tensor):
        raise ValueError(
            f"forward returned {type(made).__name__}, expected a tensor of projections (N, D)"
        )
    if made.dim() != 2 or len(made) != features.shape[0] * features.shape[1]:
        raise ValueError(
            f"forward returned shape {tuple(made.shape)} for features "
            f"{tuple(features.flatten(0, 1).shape)}, expected projections (N, D)"
        )
    return {"projections": made.unflatten(0, features.shape[:2])}


def _is_plain(value: object) -> bool:
    items = value if isinstance(value, (tuple, list)) else (value,)
    return all(type(item) in _PLAIN for item in items)


def _unbound(given: object) -> Any:
    """Return the class or function behind a partial one."""
    return _unbound(given.func) if isinstance(given, functools.partial) else given


def _hints(function: object) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}
