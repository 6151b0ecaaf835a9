"""The records of what a tensor passes: augmentation, encoder, head, loss, and the evaluators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sslcore.contract.records.base import Component, check_reference
from sslcore.system.printable import is_one_printable_line


@dataclass(frozen=True, kw_only=True)
class Augmentation(Component):
    """Makes `views` of `images`; `build` is an `nn.Module`."""

    kind: ClassVar[str] = "augmentation"


@dataclass(frozen=True, kw_only=True)
class Encoder(Component):
    """Turns `views` into `features`; `build` is an `nn.Module`."""

    kind: ClassVar[str] = "encoder"


@dataclass(frozen=True, kw_only=True)
class Head(Component):
    """Turns `features` into what the objective compares; `build` is an `nn.Module`."""

    kind: ClassVar[str] = "head"


@dataclass(frozen=True, kw_only=True)
class Loss(Component):
    """Scores what the stages before it made; `build` is an `nn.Module`.

    Attributes:
        supervised: whether it may ask for `labels`; no other training stage sees them.
        family: what `sslcore check` holds it against: a family of `sslcore.testing`, or one of the
            plugin's own as `"package.module:attribute"`; empty where there is none.
        formula: of a loss without a family, the function that computes it by its definition, as
            `"package.module:attribute"`. The parameters of the function are signals and settings
            of the loss, and its weights and buffers, by name.
        points: of a loss without a family, the function that returns known cases, as
            `"package.module:attribute"`: a list of signals by name, each with the expected loss.
    """

    kind: ClassVar[str] = "loss"

    supervised: bool = False
    family: str = ""
    formula: str = ""
    points: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_one_printable_line(self.family):
            raise ValueError(
                f"{self.kind} {self.name!r}: the family must be a name or a reference, got "
                f"{self.family!r}"
            )
        for name in ("formula", "points"):
            check_reference(f"{self.kind} {self.name!r}: {name}", getattr(self, name))
        if self.family and (self.formula or self.points):
            raise ValueError(
                f"{self.kind} {self.name!r}: a loss of a family has the family's formula; leave "
                "out family, or formula and points"
            )


@dataclass(frozen=True, kw_only=True)
class Evaluator(Component):
    """Tells what features are worth; `build` is a class whose instances are callable.

    Attributes:
        default: whether a method that names no evaluator gets this one.
    """

    kind: ClassVar[str] = "evaluator"

    default: bool = False
