"""The author's formula of a loss: its arguments by name, and how exactly it can be computed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sslcore.contract.interface import SUPPLIED
from sslcore.contract.settings import settings_of
from sslcore.errors import UsageError, nearest
from sslcore.testing.losses.draws import fixed
from sslcore.testing.losses.engine_values import engine_values
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.making import state_of
from sslcore.testing.losses.signal_shapes import target_of

if TYPE_CHECKING:
    from sslcore.testing.losses.spec import LossSpec
    from sslcore.testing.losses.subject import LossSubject

#: Rounding errors are estimated near the inputs as well, where they don't cancel by symmetry.
_NEARBY = (0.0, 0.1, 0.2)


class Formula:
    """The formula of a loss, as a function of an example.

    Args:
        spec: the author's statements; `spec.reference` is the formula.
        subject: makes the subject of the spec, whose loss has the weights.
    """

    def __init__(self, spec: LossSpec, subject: Callable[[], LossSubject]) -> None:
        assert spec.reference is not None
        self.function, self.spec, self._make_subject = spec.reference, spec, subject
        self._scales: dict[tuple[object, ...], float] = {}

    @cached_property
    def _subject(self) -> LossSubject:
        return self._make_subject()

    @cached_property
    def _parameters(self) -> Mapping[str, bool] | None:
        """The parameters, with whether each is needed; None where the formula takes any."""
        parameters = inspect.signature(self.function).parameters.values()
        if any(item.kind is item.VAR_KEYWORD for item in parameters):
            return None
        return {item.name: item.default is item.empty for item in parameters}

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        try:
            settings = settings_of(target_of(self.spec.make), skip=frozenset(SUPPLIED))
        except (TypeError, ValueError):
            return {}
        stated = getattr(self.spec.make, "keywords", {})
        known = {name: item.default for name, item in settings.items()}
        return {
            name: value
            for name, value in {**known, **stated}.items()
            if value is not inspect.Parameter.empty
        }

    def state(self, example: Example) -> dict[str, Tensor]:
        """Return the weights and buffers of a new loss that the formula takes, by name."""
        inputs = {*example.inputs, *example.hyper, *self._defaults}
        if self._parameters is None or not set(self._parameters) - inputs:
            return {}
        found = state_of(self._subject.make(example))
        return {name: item.detach() for name, item in found.items() if name in self._parameters}

    def __call__(
        self,
        example: Example,
        state: Mapping[str, Tensor] | None = None,
        further: Mapping[str, object] | None = None,
    ) -> Tensor:
        """Return the loss of an example by the formula, a scalar.

        Args:
            example: the inputs, in any type.
            state: weights and buffers to use; those of a new loss by default.
            further: what the engine gives; the values of the example by default.

        Raises:
            UsageError: the formula asks for a name that the loss doesn't have.
        """
        return self.function(**self.arguments(example, state, further))

    def arguments(
        self,
        example: Example,
        state: Mapping[str, Tensor] | None = None,
        further: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        """Return the arguments of the formula for an example; as for a call."""
        state = self.state(example) if state is None else state
        known: dict[str, Any] = {
            **self._defaults,
            **example.hyper,
            **state,
            **(engine_values(self._subject.family, example) if further is None else further),
            **example.inputs,
        }
        if self._parameters is None:
            return dict(example.inputs)
        for name, needed in self._parameters.items():
            if needed and name not in known:
                raise UsageError(
                    f"the formula asks for {name!r}, which is no signal, setting, weight or buffer "
                    f"of the loss{nearest(name, known)}; there are {', '.join(known)}"
                )
        return {name: known[name] for name in self._parameters if name in known}

    def takes(self, name: str) -> bool:
        """Whether the formula takes a parameter of that name."""
        return self._parameters is not None and name in self._parameters

    def value(
        self,
        example: Example,
        state: Mapping[str, Tensor] | None = None,
        *,
        rounded: torch.dtype = torch.float64,
    ) -> float:
        """Return the value in float64, of weights that are rounded to a type."""
        state = self.rounded_state(example, rounded) if state is None else state
        with torch.no_grad():
            return float(self(example.to(torch.float64), state))

    def rounded_state(self, example: Example, dtype: torch.dtype) -> dict[str, Tensor]:
        """Return weights and buffers in float64, once they had a type."""
        state = self.state(example.to(dtype))
        return {
            name: item.double() if item.is_floating_point() else item
            for name, item in state.items()
        }

    def gradients(
        self, example: Example, names: tuple[str, ...], *, rounded: torch.dtype = torch.float64
    ) -> dict[str, Tensor]:
        """Return the gradient by some signals in float64; zero where none arrives."""
        example = example.to(torch.float64)
        state = self.rounded_state(example, rounded)
        leaves = {name: example.inputs[name].detach().clone().requires_grad_() for name in names}
        score = self(example.with_inputs(**leaves), state)
        if not score.requires_grad:
            return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
        found = torch.autograd.grad(score, list(leaves.values()), allow_unused=True)
        return {
            name: torch.zeros_like(leaf) if gradient is None else gradient
            for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
        }

    def scale(self, example: Example, names: tuple[str, ...]) -> float:
        """Return the size of the numbers whose differences are the loss, estimated.

        It is how far the loss moves if each input is rounded, and how far the formula itself is off
        in float32, each in units of one rounding; the largest of the inputs and of two near them.
        """
        given = {name: item.detach().double() for name, item in example.inputs.items()}
        key = (
            *example.hyper.items(),
            *example.engine.items(),
            *((name, item.shape, item.numpy().tobytes()) for name, item in given.items()),
        )
        if key not in self._scales:
            found = [self._scale_near(example, names, part) for part in _NEARBY]
            self._scales[key] = max((item for item in found if item < float("inf")), default=0.0)
        return self._scales[key]

    def _scale_near(self, example: Example, names: tuple[str, ...], part: float) -> float:
        moved = {
            name: item.double() * (1 + part * fixed(f"{name} {part}", *item.shape))
            for name, item in example.inputs.items()
            if item.is_floating_point()
        }
        example = replace(example, inputs={**example.inputs, **moved})
        try:
            by_input = self.gradients(example, names)
            rounded = sum(
                float((by_input[name] * example.inputs[name]).abs().sum()) for name in names
            )
            return max(rounded, self._roundings(example))
        except UsageError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError):
            return 0.0

    def _roundings(self, example: Example) -> float:
        single = example.to(torch.float32)
        try:
            with torch.no_grad():
                found = float(self(single))
        except (RuntimeError, TypeError):
            # A formula may be written for float64 alone.
            return 0.0
        return 2 * abs(found - self.value(single)) / torch.finfo(torch.float32).eps
