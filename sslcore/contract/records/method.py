"""The record of a method."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from sslcore.contract.records.base import Record, Sections, check_address, check_sections
from sslcore.contract.records.preset import Preset
from sslcore.contract.records.teacher import Teacher
from sslcore.contract.stages import METHOD_DEFAULTS


@dataclass(frozen=True, kw_only=True)
class Method(Record):
    """A recipe: one part of each kind, by name, with settings.

    Attributes:
        augmentation: a name, or several of which the first that takes the data is used (one for
            images and one for clips, say).
        encoder: a name.
        head: a name, or None where the loss reads features.
        loss: a name.
        data: the data set that a run uses which names none, for a method that not every data set
            suits; empty means the default one.
        evaluators: names; empty means the evaluators that are on by default.
        settings: by section: a kind of part, `"optimizer"` or `"training"`.
        defaults: settings of its own parts and of training that yield to a data set's defaults:
            widths of the paper, say, that small images do without.
        teacher: given where the loss reads `teacher_…` signals.
        presets: settings for some images, such as those of the paper for photographs; by the size
            of the images, the first that admits it is taken.
        fine_tunes: whether `sslcore finetune` uses this method by default: it trains an encoder,
            and a head that gives `logits`, on labels.
    """

    kind: ClassVar[str] = "method"

    augmentation: str | tuple[str, ...]
    encoder: str
    head: str | None
    loss: str
    data: str = ""
    evaluators: tuple[str, ...] = ()
    settings: Sections = field(default_factory=dict)
    defaults: Sections = field(default_factory=dict)
    teacher: Teacher | None = None
    presets: tuple[Preset, ...] = ()
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
                check_address(f"{whose}: {name}", each)
        for name in ("encoder", "loss"):
            check_address(f"{whose}: {name}", getattr(self, name))
        if self.head is not None:
            check_address(f"{whose}: head", self.head)
        if self.data != "":
            check_address(f"{whose}: data", self.data)
        check_sections(f"{whose}: settings", self.settings)
        check_sections(f"{whose}: defaults", self.defaults, METHOD_DEFAULTS)
        if self.teacher is not None and not isinstance(self.teacher, Teacher):
            raise ValueError(f"{whose}: teacher must be a sslcore.Teacher, got {self.teacher!r}")
        presets = self.presets
        if not isinstance(presets, tuple) or not all(isinstance(each, Preset) for each in presets):
            raise ValueError(f"{whose}: presets must be a tuple of sslcore.Preset, got {presets!r}")
        known = [preset.name for preset in presets]
        if len(set(known)) < len(known):
            raise ValueError(f"{whose}: two presets have one name: {', '.join(known)}")
