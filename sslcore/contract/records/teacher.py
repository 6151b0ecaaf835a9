"""The record of a method's teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated

from annotated_types import Ge, Le

from sslcore.contract.records.base import check_address


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A second encoder, and a second head, whose outputs are signals without gradient.

    By default it is an exponential moving average of the student. With a momentum of 1 it is
    frozen, if it has weights of its own: those in `path`, or those that the settings of another
    encoder load.

    Attributes:
        momentum: weight of the old teacher in one update, in [0, 1].
        final_momentum: what it has grown to at the end, along `schedule`; None keeps it constant.
        schedule: the schedule of the momentum; empty is the default schedule.
        encoder: the name of another encoder, for a frozen teacher; None for the student's.
        settings: the settings of that encoder.
        path: a run or a file with the weights that it begins with; empty for those of the student.
            A frozen teacher has the encoder of the run.
        part: of a run, "encoder", or "teacher" for its teacher; of a file, a part of the names.
        head: whether it has a copy of the student's head, too; a frozen teacher has none.
        without: signals that it does not get, such as `"mask"` for a teacher that sees everything.
        shuffle: whether, with the batch statistics of micro-batches, those of the teacher are of
            other images than the student's: its micro-batches are drawn from the whole batch (He
            et al. 2020, section 3.3).
        pretrained: whether it must have weights of its own, so that a user has to give `path`, or
            an encoder that loads weights.
        sha256: the hash of these weights, where no others will do; empty admits any.
    """

    momentum: Annotated[float, Ge(0), Le(1)] = 0.996
    final_momentum: Annotated[float, Ge(0), Le(1)] | None = None
    schedule: str = ""
    encoder: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    path: str = ""
    part: str = "encoder"
    head: bool = True
    without: tuple[str, ...] = ()
    shuffle: bool = False
    pretrained: bool = False
    sha256: str = ""

    def __post_init__(self) -> None:
        for name in ("momentum", "final_momentum"):
            value = getattr(self, name)
            if name == "final_momentum" and value is None:
                continue
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not 0 <= value <= 1:
                raise ValueError(f"teacher: {name} must be a number from 0 to 1, got {value!r}")
        if self.encoder is not None:
            check_address("teacher: encoder", self.encoder)
        for name, kind in _TYPES.items():
            if not isinstance(getattr(self, name), kind):
                raise ValueError(
                    f"teacher: {name} must be {_IN_WORDS[kind]}, got {getattr(self, name)!r}"
                )
        if not all(isinstance(name, str) and name.isidentifier() for name in self.without):
            raise ValueError(
                f"teacher: without must be a tuple of names of signals, got {self.without!r}"
            )
        if problems := self.problems():
            raise ValueError(f"teacher: {'; '.join(problems)}")

    @property
    def constant(self) -> bool:
        """Whether its weights never move: a momentum of 1 from beginning to end."""
        return self.momentum == 1 and self.final_momentum in (None, 1)

    @property
    def frozen(self) -> bool:
        """Whether it has weights of its own, or is to have, which never move."""
        own = self.encoder is not None or bool(self.path) or self.pretrained
        return own and self.constant

    def problems(self) -> list[str]:
        """Return what does not go together, in sentences."""
        found = []
        if self.settings and self.encoder is None:
            found.append("settings belong to another encoder: name it (teacher.encoder)")
        if (self.encoder is not None or self.pretrained) and not self.constant:
            found.append(
                "a teacher with another encoder, or with weights that must be its own, can't "
                "follow the student (teacher.momentum = 1)"
            )
        if self.frozen and self.head:
            found.append("a frozen teacher has no head (teacher.head = false)")
        return found

    def table(self) -> dict[str, object]:
        """Return the settings of the teacher as a recipe has them."""
        found = asdict(self)
        del found["pretrained"]
        for name in ("settings", "sha256"):
            if not found[name]:
                del found[name]
        return found


_TYPES: dict[str, type] = {
    "schedule": str,
    "settings": Mapping,
    "path": str,
    "part": str,
    "head": bool,
    "without": tuple,
    "shuffle": bool,
    "pretrained": bool,
    "sha256": str,
}
_IN_WORDS: dict[type, str] = {
    str: "text",
    bool: "True or False",
    Mapping: "a dict of settings by name",
    tuple: "a tuple of names of signals",
}
