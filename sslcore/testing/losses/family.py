"""A family of losses: arguments, reference, properties and broken variants."""

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

    from sslcore.testing.losses.formula import Formula
    from sslcore.testing.losses.spec import LossSpec

Hyper = Mapping[str, float]
Reference = Callable[[Inputs, Hyper], Tensor]
#: Positional arguments of the calls whose mean is the loss, for a plain function of tensors.
PlainCalls = Callable[[Inputs], Sequence[tuple[Tensor, ...]]]


@dataclass(frozen=True)
class HyperRange:
    """A hyperparameter that a property may vary.

    Attributes:
        default: the value used if nothing else is stated.
        values: the values to draw, ordinary ones first.
        low, high: other numbers are drawn between these bounds.
        required: whether a member must take it, unless the spec states it as a constant.
        listed: whether only the listed values are drawn.
    """

    default: float
    values: tuple[float, ...]
    low: float
    high: float
    required: bool = False
    listed: bool = False

    def strategy(self) -> SearchStrategy[float]:
        """Return a strategy over the values and the range."""
        if self.listed:
            return st.sampled_from(self.values)
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
        make: used instead of `loss` for a fault in the state or the signature: `make(**hyper)`
            returns a new loss that takes the signals as keywords.
        plain: used instead of `loss` for a fault of plain functions: `plain(hyper)` returns a plain
            function of tensors.
        needs: the property that the fault needs to show, for a fault in something that not every
            loss has; if that property is not checked, the variant does not count.
        equivalent: whether the variant is no fault of this loss, so that it does not count.
        checks_shapes: whether the kit refuses malformed inputs for the variant, so that the checks
            find its own fault only; False if accepting them is the fault.
    """

    name: str
    loss: Callable[[Inputs, Hyper], object] | None = None
    make: Callable[..., object] | None = None
    plain: Callable[[Hyper], Callable[..., object]] | None = None
    needs: str = ""
    equivalent: Callable[[], bool] = lambda: False
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
        signals: the signals that a member takes, in order.
        reference: the loss in float64, differentiable; None if the spec must give one.
        conventions: further references, by name, for a factor in which papers differ.
        hyper: hyperparameters, by name.
        examples: a strategy of ordinary examples, inputs in float64.
        anchors: ordinary examples that are always tried, small ones first.
        degenerate: examples, by description, at which the value must be finite in a type.
        degenerate_gradient: those of them at which the gradient must be finite as well.
        single: the example of one sample, if one sample is a special case.
        malformed: makes, of valid inputs, invalid ones that must be refused, by description.
        trainable: signals that must get a gradient.
        stop_gradient: signals that must not get a gradient.
        given: selects the signals for a member that takes some of them only.
        plain: the calls of a plain function of tensors; None if the family has no such form.
        plain_names: the arguments of such a function, for messages and code.
        plain_malformed: positional arguments that the function must refuse, by description.
        scale: the size of the numbers whose difference is the loss; an error is measured in units
            of eps·(1 + scale + |L|).
        gradient_scale: the size that an entry of the gradient can have, by trainable signal.
        properties: the properties of this family, besides those of any loss.
        mutants: broken variants.
        control: the variants without their faults; it must pass every property, since otherwise a
            property might reject a variant for another reason than its fault.
        stateful: whether modules may keep a state (a centre); they are compared on the first call
            of a new module.
        batch_of: returns the number of samples in inputs.
        facts: constants that shared properties need (`negatives`, …); under `constant`, what is
            made of a trainable signal and gets no gradient, such as "codes".
        for_spec: makes the family for a spec, if the family depends on the spec.
        formula: the loss by its author's formula, in place of a reference.
        cast: whether the buffers of a loss get the type of its inputs, as its weights do.
        axes: the axis of the images, by signal, of those that have images; empty means that all
            signals have them along the second axis.
        supplied: the parameters of `make` that inputs determine, beside those that all families
            have.
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
    formula: Formula | None = None
    cast: bool = False
    axes: Mapping[str, int] = field(default_factory=dict)
    supplied: Callable[[Inputs], Mapping[str, int]] = lambda inputs: {}

    def axis_of(self, name: str) -> int | None:
        """Return the axis of the images in a signal; None where it has no images."""
        return self.axes.get(name) if self.axes else 1


_FAMILIES: dict[str, Family] = {}


def register_family(family: Family) -> Family:
    """Register a family, so that specs can name it.

    Raises:
        ValueError: another family of that name is registered.
    """
    if _FAMILIES.setdefault(family.name, family) is not family:
        raise ValueError(f"a family called {family.name!r} is registered already")
    return family


def family_called(name: str | Family) -> Family:
    """Return a family by name; a `Family` is returned as it is.

    Raises:
        UnknownNameError: no family has that name; the message lists the nearest names.
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
    """Return the family that a spec names, adapted to the spec if necessary.

    Raises:
        UnknownNameError: no family has that name.
    """
    family = family_called(spec.family)
    return family if family.for_spec is None else family.for_spec(spec)


def families() -> tuple[Family, ...]:
    """Return every registered family."""
    return tuple(_FAMILIES.values())
