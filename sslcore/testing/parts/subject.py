"""A part under examination: made by its spec, called under a time limit, what it leaves alone."""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy
import torch
from hypothesis.errors import UnsatisfiedAssumption
from torch import Tensor

from sslcore.contract.interface import SUPPLIED, Interface, interface_of
from sslcore.contract.settings import settings_of
from sslcore.testing.limits import OutOfTime, within
from sslcore.testing.parts.spec import PartSpec
from sslcore.testing.search import Meter
from sslcore.testing.switches import changes, shared_state
from sslcore.testing.violation import Hung, Violation, said

T = TypeVar("T")

#: A seed that nobody else will think of.
_OWN_SEED = 74_153_286


@dataclass(frozen=True)
class PartExample:
    """What a part is tried on.

    Attributes:
        settings: besides the defaults.
        channels: of the images.
        batch: how many there are.
        pictures: what they show, see `sslcore.testing.parts.pictures`.
        seed, step: of the random numbers.
        drawn: whether the settings were drawn, so that the part may refuse them.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    channels: int = 1
    batch: int = 4
    pictures: str = "smooth"
    seed: int = 0
    step: int = 0
    drawn: bool = False


class Refused(UnsatisfiedAssumption):
    """A part refused settings that were drawn: such an example says nothing."""


class PartSubject:
    """A part, as the properties see it.

    Args:
        spec: what its author states.
    """

    spec: PartSpec

    def __init__(self, spec: PartSpec) -> None:
        self.spec = spec
        self.meter = Meter()
        self.interface = interface_of_maker(spec.make)

    @property
    def name(self) -> str:
        """What the part is called in code."""
        return getattr(self.spec.make, "__name__", type(self.spec.make).__name__)

    def arguments(self, supplied: Mapping[str, Any], example: PartExample) -> dict[str, Any]:
        """Return what `make` is called with: of `supplied` what it asks for, and the settings."""
        known = {name: supplied[name] for name in self.interface.supplied if name in supplied}
        return known | dict(self.spec.settings) | dict(example.settings)

    def build(self, supplied: Mapping[str, Any], example: PartExample) -> Any:
        """Return a new part.

        Raises:
            Refused: it refused settings that were drawn, with a ValueError.
            Violation: it raised something else.
        """
        arguments = self.arguments(supplied, example)
        code = self.made(arguments)
        missing = [
            name
            for name, needed in self.interface.supplied.items()
            if needed and name not in arguments
        ]
        if missing:
            raise Violation(f"it asks for {', '.join(missing)}, which the spec does not give")
        try:
            return self.limited(lambda: self.spec.make(**arguments), code)
        except ValueError as error:
            if example.drawn:
                raise Refused(said(error)) from error
            raise Violation(f"{code} raised {said(error)}", code) from error
        except (Exception, SystemExit) as error:
            raise Violation(f"{code} raised {said(error)}", code) from error

    def made(self, arguments: Mapping[str, Any]) -> str:
        """Return Python that makes the part."""
        return f"{self.name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"

    def limited(self, function: Callable[[], T], code: str) -> T:
        """Return what a function returns.

        Raises:
            Hung: it did not in the time that the spec gives it.
        """
        try:
            return within(self.spec.seconds, function)
        except OutOfTime:
            raise Hung(f"a call did not return in {self.spec.seconds:g} s", code) from None

    def guarded(self, function: Callable[[], T], code: str, example: PartExample) -> T:
        """Return what a function of the part returns; what it raises is a violation.

        Raises:
            Refused: it refused settings that were drawn, with a ValueError.
            Violation: it raised something else.
        """
        try:
            return self.limited(function, code)
        except (Violation, Refused):
            raise
        except ValueError as error:
            if example.drawn:
                raise Refused(said(error)) from error
            raise Violation(f"it raised {said(error)}", code) from error
        except (Exception, SystemExit) as error:
            raise Violation(f"it raised {said(error)}", code) from error

    def near(
        self, got: Tensor, wanted: Tensor, what: str, code: str, tolerance: float = 1e-4
    ) -> None:
        """Raise a violation where two tensors differ by more than a part of the largest entry."""
        if got.shape != wanted.shape:
            raise Violation(f"{what}: {tuple(got.shape)} became {tuple(wanted.shape)}", code)
        scale = float(wanted.double().abs().max()) if wanted.numel() else 0.0
        error = float((got.double() - wanted.double()).abs().max()) if got.numel() else 0.0
        allowed = tolerance * (scale + 1e-3)
        self.meter.see(error / allowed)
        if not error <= allowed:
            raise Violation(f"{what}: off by {error:.3g} (tolerance {allowed:.2g})", code)

    @contextmanager
    def leaving_global_state(self, code: str) -> Iterator[None]:
        """Raise a violation where the body changes random states or torch's switches."""
        # In a state of the check's own: what an earlier call may have seeded is no excuse.
        with global_seed(_OWN_SEED):
            before = shared_state()
            yield
            changed = changes(before)
        if changed:
            raise Violation(f"it changed {changed}", code)


def interface_of_maker(make: Callable[..., Any]) -> Interface:
    """Return the interface of what makes a part: a class, or a function of what a class takes."""
    if inspect.isclass(make):
        return interface_of(make)
    parameters = settings_of(make)
    supplied = {
        name: item.default is inspect.Parameter.empty
        for name, item in parameters.items()
        if name in SUPPLIED
    }
    return Interface({k: v for k, v in parameters.items() if k not in SUPPLIED}, supplied)


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed every global generator for the body, and put them back."""
    held = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    try:
        random.seed(seed)
        numpy.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        random.setstate(held[0])
        numpy.random.set_state(held[1])
        torch.set_rng_state(held[2])


def with_global_seed(seed: int, function: Callable[[], T]) -> T:
    """Return what a function returns with every global generator seeded, and put them back."""
    with global_seed(seed):
        return function()


class Untouched:
    """Remembers tensors, to tell whether a call changed them."""

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        self.tensors = {name: item for name, item in tensors.items() if isinstance(item, Tensor)}
        self.copies = {name: item.detach().clone() for name, item in self.tensors.items()}
        self._versions = {name: item._version for name, item in self.tensors.items()}

    def check(self, code: str) -> None:
        """Raise a violation where one is no longer what it was."""
        for name, item in self.tensors.items():
            if not same_bits(item.detach(), self.copies[name]):
                raise Violation(f"it changed its input {name}", code)
            if item._version != self._versions[name]:
                raise Violation(f"it wrote into its input {name} and put it back", code)


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal, NaN being equal to NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not one.is_floating_point():
        return torch.equal(one, other)
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


def copied(module: T) -> T:
    """Return a deep copy, as the engine makes one for a teacher."""
    return copy.deepcopy(module)
