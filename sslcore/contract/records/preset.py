"""The record of a preset: settings of a method for some images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from sslcore.contract.records.base import (
    Record,
    Sections,
    check_address,
    check_sections,
)
from sslcore.contract.records.teacher import Teacher
from sslcore.contract.stages import METHOD_DEFAULTS

#: The names that stand for no preset, and for the preset that suits the images.
NO_PRESET, AUTO = "none", "auto"


@dataclass(frozen=True, kw_only=True)
class Preset(Record):
    """Settings of a method for some images, such as those of its paper for photographs.

    A preset belongs to a method (`Method.presets`). Its settings come in addition to those of the
    method and take precedence over them. Where the user names none, a preset that the data set
    suggests is taken, else one by the size of the images.

    Attributes:
        up_to: largest side of the images, px, for which the preset is taken by their size; None
            for images of any size, and 0 for none: such a preset is taken by name only.
        encoder: in place of the method's; None keeps it.
        settings: by section, as those of a method.
        defaults: settings that yield to a data set's defaults, as those of a method.
        teacher: in place of the method's; None keeps it.
    """

    kind: ClassVar[str] = "preset"

    up_to: int | None = None
    encoder: str | None = None
    settings: Sections = field(default_factory=dict)
    defaults: Sections = field(default_factory=dict)
    teacher: Teacher | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        whose = f"{self.kind} {self.name!r}"
        if self.name in (NO_PRESET, AUTO):
            raise ValueError(f"{whose}: the name has a meaning of its own; choose another")
        if self.up_to is not None and (type(self.up_to) is not int or self.up_to < 0):
            raise ValueError(f"{whose}: up_to must be a number of px or None, got {self.up_to!r}")
        if self.encoder is not None:
            check_address(f"{whose}: encoder", self.encoder)
        check_sections(f"{whose}: settings", self.settings)
        check_sections(f"{whose}: defaults", self.defaults, METHOD_DEFAULTS)
        if self.teacher is not None and not isinstance(self.teacher, Teacher):
            raise ValueError(f"{whose}: teacher must be a sslcore.Teacher, got {self.teacher!r}")
