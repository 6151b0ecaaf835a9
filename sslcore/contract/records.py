"""The records that a plugin yields.

A record is pure data: making one imports nothing and runs nothing. `build` names the code that
stands behind it as `"package.module:attribute"`, imported on first use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from sslcore.contract.stages import METHOD_DEFAULTS, RECORD_SECTIONS
from sslcore.system.printable import is_one_printable_line

#: What names look like.
KEBAB_CASE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ADDRESS = re.compile(rf"([^\s:]+:)?{KEBAB_CASE.pattern}")
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
#: A file ending; or a folder, and what it must hold.
_OPENS = re.compile(r"\.[^\s/*?]+|/|/[^\s/][^\s]*")

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
        if not isinstance(self.build, str) or not _REFERENCE.fullmatch(self.build):
            raise ValueError(
                f"{self.kind} {self.name!r}: build {self.build!r} is not of the form "
                "'package.module:attribute'"
            )


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
    """

    kind: ClassVar[str] = "loss"

    supervised: bool = False
    family: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_one_printable_line(self.family):
            raise ValueError(
                f"{self.kind} {self.name!r}: the family must be a name or a reference, got "
                f"{self.family!r}"
            )


@dataclass(frozen=True, kw_only=True)
class Evaluator(Component):
    """Tells what features are worth; `build` is a class whose instances are callable.

    Attributes:
        default: whether a method that names no evaluator gets this one.
    """

    kind: ClassVar[str] = "evaluator"

    default: bool = False


def _check_sections(whose: str, sections: object, known: Sequence[str] = RECORD_SECTIONS) -> None:
    if not isinstance(sections, Mapping):
        raise ValueError(f"{whose} must be a dict of sections, got {sections!r}")
    for section, values in sections.items():
        if section not in known:
            raise ValueError(f"{whose}: no section {section!r}; there are {', '.join(known)}")
        if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
            raise ValueError(
                f"{whose}: section {section!r} must be a dict of settings by name, got {values!r}"
            )


def _check_address(whose: str, name: object) -> None:
    if not isinstance(name, str) or not _ADDRESS.fullmatch(name):
        raise ValueError(
            f"{whose}: {name!r} is no name of a part: expected kebab-case, or distribution:name"
        )


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
        defaults: settings of other sections that suit these images; each applies only where the
            chosen component has that setting, and yields to the method's own.
    """

    kind: ClassVar[str] = "dataset"

    clips: bool = False
    default: bool = False
    opens: tuple[str, ...] = ()
    recognizes: str = ""
    example: str = ""
    opens_images: str = ""
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
            reference = getattr(self, name)
            if not isinstance(reference, str) or not _REFERENCE.fullmatch(reference or "a:b"):
                raise ValueError(
                    f"{whose}: {name} {reference!r} is not of the form 'package.module:attribute'"
                )
        _check_sections(f"{whose}: defaults", self.defaults)


@dataclass(frozen=True, kw_only=True)
class Tracker(Component):
    """Is told what happens in a run; `build` is a class, whose instances are told by methods.

    Every method is optional: `started(folder, settings, step)`, `logged(step, numbers)`,
    `evaluated(table)`, `drew(name, path)` and `ended(state)`. A tracker can't change a run.

    Attributes:
        offline: environment variables under which it sends nothing to another machine, for checks:
            `{"WANDB_MODE": "offline"}`.
    """

    kind: ClassVar[str] = "tracker"
    offline: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.offline, Mapping) or not all(
            isinstance(each, str) for pair in self.offline.items() for each in pair
        ):
            raise ValueError(
                f"tracker {self.name!r}: offline must map names of variables to text, got "
                f"{self.offline!r}"
            )


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """An exponential moving average of encoder and head, run on the same views without gradient.

    Attributes:
        momentum: weight of the old teacher in one update, in [0, 1].
        final_momentum: what it has grown to at the end, along a cosine; None keeps it constant.
    """

    momentum: float = 0.996
    final_momentum: float | None = None

    def __post_init__(self) -> None:
        for name in ("momentum", "final_momentum"):
            value = getattr(self, name)
            if name == "final_momentum" and value is None:
                continue
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not 0 <= value <= 1:
                raise ValueError(f"teacher: {name} must be a number from 0 to 1, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class Method(Record):
    """A recipe: one part of each kind, by name, with settings.

    Attributes:
        augmentation: a name, or several of which the first that takes the data is used (one for
            images and one for clips, say).
        encoder: a name.
        head: a name, or None where the loss reads features.
        loss: a name.
        evaluators: names; empty means the evaluators that are on by default.
        settings: by section: a kind of part, `"optimizer"` or `"training"`.
        defaults: settings of its own parts and of training that yield to a data set's defaults:
            widths of the paper, say, that small images do without.
        teacher: given where the loss reads `teacher_…` signals.
        fine_tunes: whether `sslcore finetune` uses this method by default: it trains an encoder,
            and a head that gives `logits`, on labels.
    """

    kind: ClassVar[str] = "method"

    augmentation: str | tuple[str, ...]
    encoder: str
    head: str | None
    loss: str
    evaluators: tuple[str, ...] = ()
    settings: Sections = field(default_factory=dict)
    defaults: Sections = field(default_factory=dict)
    teacher: Teacher | None = None
    fine_tunes: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        whose = f"{self.kind} {self.name!r}"
        if not isinstance(self.fine_tunes, bool):
            raise ValueError(f"{whose}: fine_tunes must be True or False, got {self.fine_tunes!r}")
        several = {"augmentation": self.augmentation, "evaluators": self.evaluators}
        for name, names in several.items():
            single = name == "augmentation" and isinstance(names, str)
            listed = (names,) if single else names
            if not isinstance(listed, (tuple, list)) or (name == "augmentation" and not listed):
                raise ValueError(f"{whose}: {name} must be a tuple of names, got {names!r}")
            for each in listed:
                _check_address(f"{whose}: {name}", each)
        for name in ("encoder", "loss"):
            _check_address(f"{whose}: {name}", getattr(self, name))
        if self.head is not None:
            _check_address(f"{whose}: head", self.head)
        _check_sections(f"{whose}: settings", self.settings)
        _check_sections(f"{whose}: defaults", self.defaults, METHOD_DEFAULTS)
        if self.teacher is not None and not isinstance(self.teacher, Teacher):
            raise ValueError(f"{whose}: teacher must be a sslcore.Teacher, got {self.teacher!r}")


#: Every kind of record, in the order in which a tensor meets them.
KINDS: Mapping[str, type[Record]] = {
    record.kind: record
    for record in (Augmentation, Encoder, Head, Loss, Evaluator, Dataset, Tracker, Method)
}
