"""The loss under test: it is made anew, called under a time limit, and its results are checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sslcore.testing.limits import OutOfTime, within
from sslcore.testing.losses.convention import find_reference
from sslcore.testing.losses.engine_values import engine_values
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.family import Family, Reference, family_of
from sslcore.testing.losses.making import made_alike
from sslcore.testing.losses.pasted import calling_code
from sslcore.testing.losses.signature import is_plain, parameters_of
from sslcore.testing.losses.spec import DTYPE, LossSpec, check_spec
from sslcore.testing.losses.supplied import OF_A_RUN, supplied
from sslcore.testing.search import Meter
from sslcore.testing.violation import Hung, Violation, said

#: Errors are measured in units of this many roundings.
_ROUNDINGS = 8
#: After a call that hung, later calls get this part of the time limit.
_AFTER_HANGING = 0.2


class LossSubject:
    """A loss, as the properties see it.

    Args:
        spec: the author's statements about the loss.

    Raises:
        UsageError: the spec names an unknown family, convention or constant.
    """

    def __init__(self, spec: LossSpec) -> None:
        self.spec = spec
        self.family: Family = family_of(spec)
        self.meter = Meter()
        self._seconds = spec.seconds
        check_spec(spec, self.family)
        self._accepted = parameters_of(spec.make)

    # Making and calling

    @property
    def takes(self) -> frozenset[str]:
        """The hyperparameters of the family that `make` takes."""
        if self._accepted is None:
            return frozenset(self.family.hyper)
        return frozenset(name for name in self.family.hyper if name in self._accepted)

    def accepts(self, name: str) -> bool:
        """Whether `make` takes a parameter of that name."""
        return self._accepted is not None and name in self._accepted

    def adapt(self, example: Example) -> Example:
        """Return the example with the loss's own values of the hyperparameters it fixes."""
        hyper = {
            name: (
                example.hyper.get(name, item.default)
                if name in self.takes
                else self.spec.constants.get(name, item.default)
            )
            for name, item in self.family.hyper.items()
        }
        return replace(example, hyper=hyper)

    def arguments(self, example: Example) -> dict[str, Any]:
        """Return the arguments of `make`: hyperparameters and what the engine would supply."""
        known = {**OF_A_RUN, **supplied(example.inputs)}
        return {
            **{name: value for name, value in known.items() if self.accepts(name)},
            **{name: example.hyper[name] for name in self.family.hyper if name in self.takes},
        }

    def make(self, example: Example, **further: Any) -> Any:
        """Return a new loss with the example's hyperparameters."""
        arguments = self.arguments(example)
        code = f"make({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"
        cast = self.family.cast

        def made() -> Any:
            return made_alike(lambda: self.spec.make(**arguments, **further), example, cast=cast)

        try:
            return within(self._seconds, made)
        except OutOfTime:
            raise self._hung(f"{code} did not return in {self._seconds:g} s", code) from None
        except (Exception, SystemExit) as error:
            raise Violation(f"{code} raised {said(error)}", code) from error

    def is_plain(self, loss: Any) -> bool:
        """Whether the loss is a plain function of tensors, not one of the contract's signals.

        Raises:
            Violation: the loss is neither.
        """
        return self.spec.signals is not None or is_plain(loss, self.family)

    def call(self, loss: Any, example: Example, **further: Any) -> Tensor:
        """Return the loss of an example, a scalar tensor.

        Raises:
            Violation: the call raised an error, or did not return a scalar tensor.
            Hung: the call did not return.
        """
        if self.is_plain(loss):
            assert self.family.plain is not None
            calls = self.family.plain(example.inputs)
            scores = [self._scalar(self._raw(loss, example, *each), example) for each in calls]
            return scores[0] if len(scores) == 1 else torch.stack(scores).mean()
        return self._scalar(self._raw(loss, example, **example.inputs, **further), example)

    def call_plain(self, loss: Any, example: Example, *arguments: Tensor) -> Tensor:
        """Return the result of a plain function, a scalar tensor.

        Raises:
            Violation: the call raised an error, or did not return a scalar tensor.
            Hung: the call did not return.
        """
        return self._scalar(self._raw(loss, example, *arguments), example)

    def raw(self, loss: Any, example: Example, *arguments: Tensor, **keywords: Any) -> Any:
        """Call the loss directly; its errors are not caught."""
        try:
            given = self.given(loss, keywords)
            if keywords:
                now = example.with_inputs(
                    **{name: keywords[name] for name in example.inputs if name in keywords}
                )
                given = {**self.given(loss, engine_values(self.family, now)), **given}
            return within(self._seconds, lambda: loss(*arguments, **given))
        except OutOfTime:
            code = self.code(example)
            raise self._hung(f"the call did not return in {self._seconds:g} s", code) from None
        except SystemExit as error:
            raise RuntimeError(f"SystemExit({error})") from error

    def given(self, loss: Any, keywords: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keywords of a call of the loss: the signals that it takes."""
        if not keywords:
            return {}
        taken = parameters_of(loss.forward if isinstance(loss, torch.nn.Module) else loss)
        if taken is None:
            return dict(keywords)
        signals = {name: item for name, item in keywords.items() if name in self.family.signals}
        further = {name: item for name, item in keywords.items() if name not in signals}
        return {**self.family.given(signals, taken), **further}

    def _raw(self, loss: Any, example: Example, *arguments: Tensor, **keywords: Any) -> Any:
        try:
            return self.raw(loss, example, *arguments, **keywords)
        except Exception as error:
            raise self.violation(f"it raised {said(error)}", example) from error

    def _scalar(self, returned: Any, example: Example) -> Tensor:
        value = returned.get("loss") if isinstance(returned, Mapping) else returned
        if not isinstance(value, Tensor):
            what = "None" if value is None else f"{value!r}, a {type(value).__name__}"
            raise self.violation(f"it returned {what}, expected a scalar tensor", example)
        if value.dim() != 0:
            raise self.violation(
                f"it returned a tensor of shape {tuple(value.shape)}, expected a scalar", example
            )
        return value

    def _hung(self, message: str, code: str) -> Hung:
        self._seconds = max(0.2, self.spec.seconds * _AFTER_HANGING)
        return Hung(message, code)

    # Values for properties

    def value(self, example: Example, dtype: str = "float64", **further: Any) -> float:
        """Return the value of a new loss for an example in a type, as a number."""
        example = example.to(DTYPE[dtype])
        with torch.no_grad():
            return float(self.call(self.make(example), example, **further))

    def gradients(
        self, example: Example, dtype: str = "float64", **further: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and its gradient by signal (zero where none arrives), in float64."""
        example = example.to(DTYPE[dtype])
        return self.gradients_of(self.make(example), example, **further)

    def gradients_of(
        self, loss: Any, example: Example, **further: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return a loss of an example, and its gradient by signal, in float64."""
        example = _leaves(example, self.family.trainable)
        score = self.call(loss, example, **further)
        return score.detach(), self.backward(score, example)

    def targets(self, example: Example) -> set[str]:
        """Return the signals at which a loss outside all families stops the gradient."""
        if not self.family.cast:
            return set()
        found = self.gradients(example)[1]
        return {name for name, gradient in found.items() if not bool(gradient.any())}

    def backward(self, score: Tensor, example: Example) -> dict[str, Tensor]:
        """Return the gradient of a score by signal, in float64; zero where none arrives."""
        leaves = {name: example.inputs[name] for name in self.family.trainable}
        if not score.requires_grad:
            raise self.violation("the loss has no graph: no gradient reaches any input", example)
        try:
            found = within(
                self._seconds,
                lambda: torch.autograd.grad(score, list(leaves.values()), allow_unused=True),
            )
        except OutOfTime:
            raise self._hung("computing its gradient did not finish", self.code(example)) from None
        except RuntimeError as error:
            raise self.violation(f"its gradient raised {said(error)}", example) from error
        return {
            name: torch.zeros_like(leaf).double() if gradient is None else gradient.double()
            for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
        }

    def reference(self, example: Example, dtype: str = "float64") -> float:
        """Return the reference's value in float64; weights of the loss are rounded to a type."""
        if self.family.formula is not None:
            return self.family.formula.value(example, rounded=DTYPE[dtype])
        with torch.no_grad():
            return float(self._reference(example.to(torch.float64).inputs, example.hyper))

    def reference_gradients(self, example: Example, dtype: str = "float64") -> dict[str, Tensor]:
        """Return the reference's gradient by signal, in float64."""
        if self.family.formula is not None:
            names = self.family.trainable
            return self.family.formula.gradients(example, names, rounded=DTYPE[dtype])
        example = _leaves(example.to(torch.float64), self.family.trainable)
        score = self._reference(example.inputs, example.hyper)
        leaves = [example.inputs[name] for name in self.family.trainable]
        found = torch.autograd.grad(score, leaves, allow_unused=True)
        return {
            name: torch.zeros_like(leaf) if gradient is None else gradient
            for name, leaf, gradient in zip(self.family.trainable, leaves, found, strict=True)
        }

    @property
    def has_reference(self) -> bool:
        """Whether the value of the loss is known for any example."""
        stated = self.family.formula or self.family.reference or self.spec.reference
        return stated is not None

    @cached_property
    def _reference(self) -> Reference:
        return find_reference(self)

    def tolerance(self, example: Example, value: float, dtype: str = "float64") -> float:
        """Return the tolerance of a value: eight roundings of the numbers behind it."""
        scale = self.family.scale(example.inputs, example.hyper)
        if self.family.formula is not None:
            scale += self.family.formula.scale(example, self.family.trainable)
        return _ROUNDINGS * torch.finfo(DTYPE[dtype]).eps * (1 + scale + abs(value))

    def compare(
        self,
        got: float,
        expected: float,
        tolerance: float,
        example: Example,
        what: str,
    ) -> None:
        """Raise a violation if two numbers differ by more than the tolerance."""
        error = abs(got - expected)
        if tolerance > 0 and error == error:
            self.meter.see(error / tolerance)
        if not error <= tolerance:
            raise self.violation(
                f"{what}: got {got:.10g}, expected {expected:.10g} (tolerance {tolerance:.2g})",
                example,
            )

    def at_most(
        self, got: float, bound: float, tolerance: float, example: Example, what: str
    ) -> None:
        """Raise a violation if a number is above its bound by more than the tolerance."""
        if tolerance > 0 and got == got:
            self.meter.see(max(0.0, (got - bound) / tolerance))
        if not got <= bound + tolerance:
            raise self.violation(
                f"{what}: got {got:.10g}, which must be at most {bound:.10g} "
                f"(tolerance {tolerance:.2g})",
                example,
            )

    def violation(self, message: str, example: Example) -> Violation:
        """Return a violation that shows this example."""
        return Violation(message, self.code(example), example.size)

    def code(self, example: Example) -> str:
        """Return Python code that calls the loss on the example."""
        return calling_code(self, example)


def _leaves(example: Example, names: tuple[str, ...]) -> Example:
    """Return the example with some inputs as leaves that require a gradient."""
    return example.with_inputs(
        **{name: example.inputs[name].detach().clone().requires_grad_() for name in names}
    )
