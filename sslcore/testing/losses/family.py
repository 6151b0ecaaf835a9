"""A family of losses: what its members take, what they must equal, and how they break."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from torch import Tensor

from sslcore.errors import UnknownNameError, nearest
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.property import Property

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from sslcore.testing.losses.spec import LossSpec

Hyper = Mapping[str, float]
Reference = Callable[[Inputs, Hyper], Tensor]
#: Positional arguments of the calls whose mean is the loss, for a plain function of tensors.
PlainCalls = Callable[[Inputs], Sequence[tuple[Tensor, ...]]]


@dataclass(frozen=True)
class HyperRange:
    """A hyperparameter that a property may vary.

    Attributes:
        default: what is used where nothing else is said.
        values: what to draw from, plain ones first.
        low, high: between which other numbers may be drawn.
        required: whether a member must take it (or the spec state it as a constant).
    """

    default: float
    values: tuple[float, ...]
    low: float
    high: float
    required: bool = False

    def strategy(self) -> SearchStrategy[float]:
        """Return a strategy over the values and the range."""
        return st.one_of(
            st.sampled_from(self.values),
            st.floats(self.low, self.high, allow_subnormal=False).map(lambda x: round(x, 3)),
        )


@dataclass(frozen=True)
class Mutant:
    """A broken variant of a family's loss.

    Attributes:
        name: what is wrong with it, kebab-case.
        loss: `loss(inputs, hyper)` over the family's signals, a scalar.
        make: `make(**hyper)` is called for each new loss instead, where the fault is in its state
            or its signature; what it returns takes the signals as keywords.
        plain: `plain(hyper)` returns a plain function of tensors instead, where the fault is
            seen in that form only.
        needs: the property without which the fault can't show, since it is in something that not
            every loss has; where that is not checked, the variant does not count.
        checks_shapes: whether malformed inputs are refused for it, so that its own fault is all
            there is to find; False where not refusing them is the fault.
    """

    name: str
    loss: Callable[[Inputs, Hyper], object] | None = None
    make: Callable[..., object] | None = None
    plain: Callable[[Hyper], Callable[..., object]] | None = None
    needs: str = ""
    checks_shapes: bool = True


def _those_taken(signals: Inputs, taken: frozenset[str]) -> Inputs:
    return {name: item for name, item in signals.items() if name in taken}


def _second_dimension(inputs: Inputs) -> int:
    return next(iter(inputs.values())).shape[1]


@dataclass(frozen=True, kw_only=True)
class Family:
    """What a family of losses has in common.

    Attributes:
        name: kebab-case.
        summary: the loss in one line.
        signals: what members of the contract take, in order.
        reference: the loss in float64, differentiable; None where the spec must give one.
        conventions: further references that differ in a factor the papers leave open, by name.
        hyper: hyperparameters, by name.
        examples: a strategy of ordinary examples, inputs in float64.
        anchors: ordinary examples that are always tried, small ones first.
        degenerate: examples at which the value must be finite in a type, by what they are.
        degenerate_gradient: of these, the ones at which the gradient must be finite as well.
        single: the example of one sample, where that is a case of its own.
        malformed: inputs made of good ones that must be refused, by what is wrong.
        trainable: signals that gradient must reach.
        stop_gradient: signals that no gradient may reach.
        given: of an example's signals, what a member is called with that takes some signals only.
        plain: how a plain function of tensors is called on these inputs; None: it can't be.
        plain_names: its arguments, for messages and code.
        plain_malformed: positional arguments that it must refuse, by what is wrong.
        scale: how large the numbers are that the loss is the difference of; an error is measured
            in units of eps·(1 + scale + |L|).
        gradient_scale: for each trainable signal how large an entry of the gradient can be.
        properties: what holds for this family besides what holds for any loss.
        mutants: broken variants.
        control: what the variants are without their faults; it must pass every property, or what
            catches a variant would say nothing of its fault.
        stateful: whether modules may keep a state (a centre); they are compared on the
            first call of a new one.
        batch_of: how many samples inputs hold.
        facts: constants that shared properties need (`negatives`, …).
        for_spec: makes the family of a spec, where it depends on what the spec says.
    """

    name: str
    summary: str
    signals: tuple[str, ...]
    examples: Callable[[Mapping[str, HyperRange]], SearchStrategy[Example]]
    anchors: Callable[[], Sequence[Example]]
    reference: Reference | None = None
    conventions: Mapping[str, Reference] = field(default_factory=dict)
    hyper: Mapping[str, HyperRange] = field(default_factory=dict)
    degenerate: Callable[[str], Mapping[str, Example]] = lambda dtype: {}
    degenerate_gradient: tuple[str, ...] = ()
    single: Callable[[], Example] | None = None
    malformed: Callable[[Inputs], Mapping[str, Inputs]] = lambda inputs: {}
    trainable: tuple[str, ...] = ()
    stop_gradient: tuple[str, ...] = ()
    given: Callable[[Inputs, frozenset[str]], Inputs] = _those_taken
    plain: PlainCalls | None = None
    plain_names: tuple[str, ...] = ()
    plain_malformed: Callable[[Inputs], Mapping[str, tuple[Tensor, ...]]] = lambda inputs: {}
    scale: Callable[[Inputs, Hyper], float] = lambda inputs, hyper: 0.0
    gradient_scale: Callable[[Inputs, Hyper], Mapping[str, Tensor]] = lambda inputs, hyper: {}
    properties: tuple[Property, ...] = ()
    mutants: tuple[Mutant, ...] = ()
    control: Mutant | None = None
    stateful: bool = False
    batch_of: Callable[[Inputs], int] = _second_dimension
    facts: Mapping[str, object] = field(default_factory=dict)
    for_spec: Callable[[LossSpec], Family] | None = None


_FAMILIES: dict[str, Family] = {}


def register_family(family: Family) -> Family:
    """Make a family known by its name, for specs that name it.

    Raises:
        ValueError: another one of that name is registered.
    """
    if _FAMILIES.setdefault(family.name, family) is not family:
        raise ValueError(f"a family called {family.name!r} is registered already")
    return family


def family_called(name: str | Family) -> Family:
    """Return a family by name; a `Family` is returned as it is.

    Raises:
        UnknownNameError: none is called so; the message has the nearest names.
    """
    if isinstance(name, Family):
        return name
    if name not in _FAMILIES:
        raise UnknownNameError(
            f"no family of losses is called {name!r}{nearest(name, _FAMILIES)}; "
            f"families are {', '.join(_FAMILIES)}"
        )
    return _FAMILIES[name]


def family_of(spec: LossSpec) -> Family:
    """Return the family that a spec names, made for the spec where it depends on it.

    Raises:
        UnknownNameError: none is called so.
    """
    family = family_called(spec.family)
    return family if family.for_spec is None else family.for_spec(spec)


def families() -> tuple[Family, ...]:
    """Return every registered family."""
    return tuple(_FAMILIES.values())
