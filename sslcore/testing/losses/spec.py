"""The specification of a loss to check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sslcore.errors import UsageError
from sslcore.testing.losses.family import Family

DTYPES = ("float64", "float32", "bfloat16", "float16")
DTYPE = {name: getattr(torch, name) for name in DTYPES}


@dataclass(frozen=True)
class LossSpec:
    """A loss to check.

    Attributes:
        make: constructs the loss; called for each example with those hyperparameters of the family
            that are among its parameters (`temperature`). The loss takes the signals of its
            family as keywords, or is a plain function of tensors.
        family: a family's name, or a `Family`.
        signals: the arguments of a plain function, such as `"z1,z2"`; by default, the names of its
            parameters.
        name: for the report; the family's name by default.
        constants: fixed hyperparameters of the loss, such as `{"temperature": 0.07}`.
        convention: the convention of the family that the loss follows; detected by default.
        dtypes: the dtypes that the loss supports.
        expected_failures: properties that are known to fail, each with the reason. One that
            passes is reported as an error.
        reference: for the family `custom`: the loss in float64, as a function of the same
            signals as keywords. Settings of the loss that are numbers, and that the reference
            takes under the same names, are varied.
        points: for the family `custom`: inputs by signal, each with the expected loss.
        invariances: for the family `custom`: names of properties of other families that hold.
        stateful: whether a call changes the loss by design (a queue, a centre).
        suite: the version of the checks.
        seconds: time limit of a call, s.
    """

    make: Callable[..., Any]
    family: str | Family
    signals: str | None = None
    name: str = ""
    constants: Mapping[str, float] = field(default_factory=dict)
    convention: str | None = None
    dtypes: Sequence[str] = DTYPES
    expected_failures: Mapping[str, str] = field(default_factory=dict)
    reference: Callable[..., Tensor] | None = None
    points: Sequence[tuple[Mapping[str, Tensor | float], float]] = ()
    invariances: Sequence[str] = ()
    stateful: bool = False
    suite: str = "2026.1"
    seconds: float = 10.0


def check_spec(spec: LossSpec, family: Family) -> None:
    """Check that the family has what the spec names.

    Raises:
        UsageError: `make` can't be called, or a constant, the convention or a type is unknown.
    """
    if not callable(spec.make):
        raise UsageError(f"make must be callable, got {type(spec.make).__name__}")
    unknown = [name for name in spec.constants if name not in family.hyper]
    if unknown:
        known = ", ".join(family.hyper) or "none"
        raise UsageError(
            f"constants: the family {family.name} has no {', '.join(unknown)}; it has {known}"
        )
    if spec.convention is not None and spec.convention not in family.conventions:
        known = ", ".join(family.conventions) or "none"
        raise UsageError(
            f"convention: the family {family.name} has no {spec.convention!r}; it has {known}"
        )
    wrong = [name for name in spec.dtypes if name not in DTYPE]
    if wrong:
        raise UsageError(f"dtypes: unknown {', '.join(wrong)}; known are {', '.join(DTYPE)}")
