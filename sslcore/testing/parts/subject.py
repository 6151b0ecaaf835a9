"""The part under test: made by its spec, called under a time limit, checked for side effects."""

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
from sslcore.testing.parts.settings import settings_at_bounds
from sslcore.testing.parts.spec import PartSpec
from sslcore.testing.search import Meter
from sslcore.testing.switches import changes, shared_state
from sslcore.testing.violation import Hung, Violation, said

T = TypeVar("T")

#: A seed that no other code is likely to use.
_OWN_SEED = 74_153_286


@dataclass(frozen=True)
class PartExample:
    """An example that a part is checked on.

    Attributes:
        settings: the settings that differ from the defaults.
        channels: of the images.
        batch: number of images.
        pictures: the kind of images, see `sslcore.testing.parts.pictures`.
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
    """A part refused drawn settings, so the example shows nothing."""


class PartSubject:
    """A part, as the properties see it.

    Args:
        spec: the author's specification.
    """

    spec: PartSpec

    def __init__(self, spec: PartSpec) -> None:
        self.spec = spec
        self.meter = Meter()
        self.interface = interface_of_maker(spec.make)

    @property
    def name(self) -> str:
        """The name of the part in code."""
        return getattr(self.spec.make, "__name__", type(self.spec.make).__name__)

    def arguments(self, supplied: Mapping[str, Any], example: PartExample) -> dict[str, Any]:
        """Return the arguments of `make`: what it asks for of `supplied`, and the settings."""
        known = {name: supplied[name] for name in self.interface.supplied if name in supplied}
        return known | dict(self.spec.settings) | dict(example.settings)

    def build(self, supplied: Mapping[str, Any], example: PartExample) -> Any:
        """Return a new part.

        Raises:
            Refused: it refused settings that were drawn, with a ValueError.
            Violation: it raised another error.
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
        """Return Python code that makes the part."""
        return f"{self.name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"

    def limited(self, function: Callable[[], T], code: str) -> T:
        """Return the result of a function.

        Raises:
            Hung: the function exceeded the spec's time limit.
        """
        try:
            return within(self.spec.seconds, function)
        except OutOfTime:
            raise Hung(f"a call did not return in {self.spec.seconds:g} s", code) from None

    def guarded(self, function: Callable[[], T], code: str, example: PartExample) -> T:
        """Return the result of a function of the part; an error becomes a violation.

        Raises:
            Refused: it refused settings that were drawn, with a ValueError.
            Violation: it raised another error.
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
        """Raise a violation if two tensors differ by more than a fraction of the largest entry."""
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
        """Raise a violation if the body changes random states or torch's switches."""
        # Start from the check's own state: a seed set by an earlier call could hide a change.
        with global_seed(_OWN_SEED):
            before = shared_state()
            yield
            changed = changes(before)
        if changed:
            raise Violation(f"it changed {changed}", code)


def once(subject: PartSubject) -> list[PartExample]:
    """Return a single example, with the default settings."""
    return [PartExample()]


def states_bounds(subject: PartSubject) -> str:
    """One of its settings states a bound."""
    stated = settings_at_bounds(subject.interface, fixed=subject.spec.settings)
    return "" if stated else "no setting states a bound"


def interface_of_maker(make: Callable[..., Any]) -> Interface:
    """Return the interface of a part's constructor: a class, or a function with its parameters."""
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
    """Seed every global generator for the body, and restore them."""
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
    """Return the result of a function with every global generator seeded, and restore them."""
    with global_seed(seed):
        return function()


class Untouched:
    """Remembers tensors, to find out whether a call changed them."""

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        self.tensors = {name: item for name, item in tensors.items() if isinstance(item, Tensor)}
        self.copies = {name: item.detach().clone() for name, item in self.tensors.items()}
        self._versions = {name: item._version for name, item in self.tensors.items()}

    def check(self, code: str) -> None:
        """Raise a violation if one has changed."""
        for name, item in self.tensors.items():
            if not same_bits(item.detach(), self.copies[name]):
                raise Violation(f"it changed its input {name}", code)
            if item._version != self._versions[name]:
                raise Violation(f"it wrote into its input {name} and restored it", code)


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
