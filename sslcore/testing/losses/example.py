"""An example that a loss is checked on, and its form as Python code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class Example:
    """Inputs of a loss, by signal, and its hyperparameters.

    Attributes:
        inputs: by signal; floating-point ones in float64.
        hyper: by name.
        geometry: what is special about the inputs, in words; may be empty.
        case: further numbers that a property needs.
        engine: what the engine gives beside tensors, by name: `progress`, `step`, and the seed of
            `random`.
    """

    inputs: Inputs
    hyper: Mapping[str, float] = field(default_factory=dict)
    geometry: str = ""
    case: Mapping[str, float] = field(default_factory=dict)
    engine: Mapping[str, float] = field(default_factory=dict)

    def to(self, dtype: torch.dtype) -> Example:
        """Return the example with floating-point inputs in another type."""
        moved = {
            name: item.to(dtype) if item.is_floating_point() else item
            for name, item in self.inputs.items()
        }
        return replace(self, inputs=moved)

    def with_inputs(self, **inputs: Tensor) -> Example:
        """Return the example with some inputs replaced."""
        return replace(self, inputs={**self.inputs, **inputs})

    def with_hyper(self, **hyper: float) -> Example:
        """Return the example with some hyperparameters replaced."""
        return replace(self, hyper={**self.hyper, **hyper})

    @property
    def size(self) -> int:
        """The number of entries in all inputs."""
        return sum(item.numel() for item in self.inputs.values())

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(item.shape)}" for name, item in self.inputs.items())
        return f"Example({shapes}, {dict(self.hyper)})"


#: A tensor with more entries than this is written as its shape, not as its values.
_WRITTEN = 400


def as_code(tensor: Tensor) -> str:
    """Return a tensor as Python."""
    if tensor.numel() > _WRITTEN:
        return f"torch.empty({list(tensor.shape)}, dtype={tensor.dtype})  # values left out"
    values = tensor.detach().cpu()
    listed = values.tolist() if values.dtype != torch.bfloat16 else values.float().tolist()
    return f"torch.tensor({_rounded(listed)}, dtype={tensor.dtype})"


def _rounded(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_rounded(item) for item in value) + "]"
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return f'float("{value}")'
        return repr(value)
    return repr(value)
