"""What every record states, and what stands behind a component."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from sslcore.contract.stages import RECORD_SECTIONS
from sslcore.system.printable import is_one_printable_line

#: What names look like.
KEBAB_CASE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ADDRESS = re.compile(rf"([^\s:]+:)?{KEBAB_CASE.pattern}")
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

#: Settings by section: `{"loss": {"temperature": 0.5}, "training": {"epochs": 20}}`.
Sections = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What every record states.

    Attributes:
        name: kebab-case, what a user types.
        summary: one line.
        reference: the paper, with the equation where there is one; may be empty.
    """

    kind: ClassVar[str]

    name: str
    summary: str
    reference: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not KEBAB_CASE.fullmatch(self.name):
            raise ValueError(
                f"{self.kind} name {self.name!r} is not kebab-case (a-z, 0-9, hyphens)"
            )
        if not self.summary or not is_one_printable_line(self.summary):
            raise ValueError(
                f"{self.kind} {self.name!r}: the summary must be one line of text, without "
                f"control characters, got {self.summary!r}"
            )
        if not is_one_printable_line(self.reference):
            raise ValueError(
                f"{self.kind} {self.name!r}: the reference must be one line of text, without "
                f"control characters, got {self.reference!r}"
            )


@dataclass(frozen=True, kw_only=True)
class Component(Record):
    """A record with code behind it, at `build` (`"package.module:attribute"`).

    Attributes:
        build: what is imported on first use.
        variant: the setting that may be given after the name and a colon; with
            `variant="model"`, `--encoder backbones:tiny` means `backbones` with the model `tiny`.
            Empty where there is none.
    """

    build: str
    variant: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.variant, str) or not (self.variant + "_").isidentifier():
            raise ValueError(
                f"{self.kind} {self.name!r}: the variant must be the name of a setting, got "
                f"{self.variant!r}"
            )
        check_reference(f"{self.kind} {self.name!r}: build", self.build or ":")


def check_reference(whose: str, reference: object) -> None:
    """Check that a reference is empty or `"package.module:attribute"`."""
    if not isinstance(reference, str) or (reference and not _REFERENCE.fullmatch(reference)):
        raise ValueError(f"{whose} {reference!r} is not of the form 'package.module:attribute'")


def check_sections(whose: str, sections: object, known: Sequence[str] = RECORD_SECTIONS) -> None:
    """Check that sections are settings by name, in sections that are known."""
    if not isinstance(sections, Mapping):
        raise ValueError(f"{whose} must be a dict of sections, got {sections!r}")
    for section, values in sections.items():
        if section not in known:
            raise ValueError(f"{whose}: no section {section!r}; there are {', '.join(known)}")
        if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
            raise ValueError(
                f"{whose}: section {section!r} must be a dict of settings by name, got {values!r}"
            )


def check_address(whose: str, name: object) -> None:
    """Check that a name of a part is kebab-case, or distribution:name."""
    if not isinstance(name, str) or not _ADDRESS.fullmatch(name):
        raise ValueError(
            f"{whose}: {name!r} is no name of a part: expected kebab-case, or distribution:name"
        )
