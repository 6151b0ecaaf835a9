"""The record of a data set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from sslcore.contract.records.base import (
    KEBAB_CASE,
    Component,
    Sections,
    check_address,
    check_reference,
    check_sections,
)
from sslcore.contract.stages import PART_SECTIONS, RECORD_SECTIONS

#: A file ending; or a folder, and what it must hold.
_OPENS = re.compile(r"\.[^\s/*?]+|/|/[^\s/][^\s]*")


@dataclass(frozen=True, kw_only=True)
class Dataset(Component):
    """Images in two splits; `build` is a function that returns `sslcore.data.Data`.

    Attributes:
        clips: whether a sample is a clip (T, C, H, W) instead of an image (C, H, W).
        default: whether a run that names no data uses this one.
        opens: which paths given as data are opened with it, as its setting `path`: `".csv"`, files
            that end so, in any case, and addresses such as `s3://bucket/table.csv`; `"/"`, folders;
            `"/*.parquet"`, folders in which this glob pattern finds something.
        recognizes: the function that decides where other data sets open the same paths, as
            `"package.module:attribute"`: from a path to whether this data set should open it.
        example: the function that writes a small example of what `opens` names, for checks, as
            `"package.module:attribute"`: from an empty folder to the path to open. A data set that
            opens any folder is checked on class folders of images where there is none.
        opens_images: the function that opens single images, as `"package.module:attribute"`: from
            paths of files and folders to a `sslcore.data.Split`, whose names are the paths of the
            images; empty where there is none.
        provides: names of the extras of its images (`sslcore.data.Split`), which are signals in
            training.
        image_size: side of the images, px, where all have this one; None where it is not known
            before they are opened.
        preset: name of the presets of methods that suit these images; empty where their size
            decides.
        defaults: settings that suit these images, `{"head:my-head": {"dim": 64}, "training":
            {"epochs": 10}}`: those of a part under its kind and name, and those of
            training. They apply where the part is chosen, and yield to the method's own.
    """

    kind: ClassVar[str] = "dataset"

    clips: bool = False
    default: bool = False
    opens: tuple[str, ...] = ()
    recognizes: str = ""
    example: str = ""
    opens_images: str = ""
    provides: tuple[str, ...] = ()
    image_size: int | None = None
    preset: str = ""
    defaults: Sections = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        whose = f"{self.kind} {self.name!r}"
        for name in ("clips", "default"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(
                    f"{whose}: {name} must be True or False, got {getattr(self, name)!r}"
                )
        if not isinstance(self.opens, tuple) or not all(
            isinstance(pattern, str) and _OPENS.fullmatch(pattern) for pattern in self.opens
        ):
            raise ValueError(
                f"{whose}: opens must be a tuple of file endings ('.csv'), '/' for folders, or '/' "
                f"and what a folder must hold ('/*.parquet'), got {self.opens!r}"
            )
        for name in ("opens_images", "example", "recognizes"):
            check_reference(f"{whose}: {name}", getattr(self, name))
        if not isinstance(self.provides, tuple) or not all(
            isinstance(name, str) and name.isidentifier() for name in self.provides
        ):
            raise ValueError(
                f"{whose}: provides must be a tuple of names of signals, got {self.provides!r}"
            )
        if self.image_size is not None and (
            type(self.image_size) is not int or self.image_size < 1
        ):
            raise ValueError(f"{whose}: image_size must be a number of px, got {self.image_size!r}")
        if not isinstance(self.preset, str) or (
            self.preset and not KEBAB_CASE.fullmatch(self.preset)
        ):
            raise ValueError(f"{whose}: preset must be the name of a preset, got {self.preset!r}")
        _check_suggestions(f"{whose}: defaults", self.defaults)


def _check_suggestions(whose: str, suggestions: object) -> None:
    """Check that settings of parts stand under their names, and other settings in sections."""
    if not isinstance(suggestions, Mapping):
        raise ValueError(f"{whose} must be a dict of sections, got {suggestions!r}")
    others = [section for section in RECORD_SECTIONS if section not in PART_SECTIONS]
    for key, values in suggestions.items():
        kind, colon, name = str(key).partition(":")
        if kind not in PART_SECTIONS:
            known = [*(f"{part}:NAME" for part in PART_SECTIONS), *others]
            check_sections(whose, {key: values}, known)
            continue
        if not colon:
            raise ValueError(
                f"{whose}: {key!r} must name the {kind} that the settings are for: write "
                f"'{kind}:NAME', once for each"
            )
        check_address(f"{whose}: {key!r}", name)
        check_sections(whose, {key: values}, (key,))
