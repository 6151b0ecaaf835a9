"""The shapes of signals, by name, and what of them a loss asks for."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from sslcore.errors import UsageError
from sslcore.signals import Shape

#: The signals of the contract. T views of a teacher, H side of an image, M side of a feature map.
_KNOWN: Mapping[str, Shape] = {
    "images": Shape("B", "C", "H", "H", trained=False),
    "views": Shape("V", "B", "C", "H", "H", trained=False),
    "targets": Shape("V", "B", "C", "H", "H", trained=False),
    "mask": Shape("V", "B", "L", mask=True),
    "features": Shape("V", "B", "F"),
    "feature_maps": Shape("V", "B", "F", "M", "M"),
    "projections": Shape("V", "B", "D"),
    "predictions": Shape("V", "B", "D"),
    "logits": Shape("V", "B", "K"),
    "reconstructions": Shape("V", "B", "C", "H", "H"),
    "step_predictions": Shape("S", "V", "B", "F"),
    "labels": Shape("B", below="K"),
    "indices": Shape("B", below="N"),
}

#: What the engine gives beside tensors, with the values that the checks try: of `random` the seeds.
ENGINE: Mapping[str, tuple[float, ...]] = {
    "progress": (0.25, 0.0, 0.5, 1.0),
    "step": (3, 0, 1, 100),
    "random": (0, 1, 2),
    "rows": (0,),
}

_TEACHER = "teacher_"


@dataclass(frozen=True)
class Asked:
    """What a loss asks for.

    Attributes:
        shapes: of the tensors, by name.
        engine: names of `ENGINE`.
        unknown: signals of unknown shape.
    """

    shapes: Mapping[str, Shape]
    engine: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def axes(self) -> dict[str, int]:
        """The axis of the images, by signal; only of signals that have one."""
        return {
            name: shape.dims.index("B") for name, shape in self.shapes.items() if "B" in shape.dims
        }

    @property
    def trained(self) -> tuple[str, ...]:
        """The signals by which the gradient matters."""
        return tuple(name for name, shape in self.shapes.items() if shape.trained)


def target_of(make: Any) -> Any:
    """Return the class or function behind partial applications of it."""
    while isinstance(make, functools.partial):
        make = make.func
    return make


def asked_by(make: Callable[..., Any], wanted: frozenset[str] = frozenset()) -> Asked | None:
    """Return what a class of losses asks for in `forward`; None where `make` is no such class.

    Args:
        make: the class, or a partial application of it.
        wanted: optional signals to draw as well.

    Raises:
        UsageError: an annotated shape is on a parameter that the engine gives.
    """
    target = target_of(make)
    if not inspect.isclass(target) or not issubclass(target, torch.nn.Module):
        return None
    try:
        parameters = inspect.signature(target.forward).parameters
        hints = typing.get_type_hints(target.forward, include_extras=True)
    except (NameError, TypeError, ValueError):
        parameters, hints = inspect.signature(target.forward).parameters, {}
    shapes, engine, unknown = {}, [], []
    for name, parameter in list(parameters.items())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.default is not parameter.empty and name not in wanted:
            continue
        if name in ENGINE:
            engine.append(name)
            continue
        shape = _annotated(hints.get(name)) or shape_of(name)
        if shape is None:
            unknown.append(name)
        else:
            shapes[name] = shape
    return Asked(shapes, tuple(engine), tuple(unknown))


def _annotated(hint: Any) -> Shape | None:
    found = [item for item in getattr(hint, "__metadata__", ()) if isinstance(item, Shape)]
    if any("B" not in item.dims for item in found):
        raise UsageError('Shape: one dimension must be "B", the images of the batch')
    return found[0] if found else None


def shape_of(name: str) -> Shape | None:
    """Return the shape of a signal of the contract; None for any other name."""
    known = _KNOWN.get(name.removeprefix(_TEACHER))
    if known is None or not name.startswith(_TEACHER):
        return known
    # A teacher may see fewer views than the student.
    dims = ("T" if dim == "V" else dim for dim in known.dims)
    return Shape(*dims, below=known.below, mask=known.mask, trained=False)
