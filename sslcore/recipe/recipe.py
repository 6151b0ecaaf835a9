"""A recipe: the parts of a run and every setting, resolved.

It can be written as TOML and read back: a run's `recipe.toml` is also a valid `--config`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from sslcore.contract.records import Teacher
from sslcore.contract.records.preset import AUTO
from sslcore.contract.stages import EVAL_DATA, section_of
from sslcore.recipe.toml import plain, to_toml
from sslcore.registry.loading import Entry
from sslcore.registry.origin import Origin

#: The key of the distribution and version that a part comes from.
FROM = "from"

#: Tables that a run adds to its recipe: facts about the run, and no settings.
RUN_TABLES = ("images", "train_images", "classes", "versions")

#: Beyond any run, and far below where a count of steps stops being exact.
_MOST_EPOCHS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Training:
    """The settings of the training loop, section `training`.

    Args:
        preset: preset of the method, settings for some images; auto takes the one that the data set
            suggests, or one by the size of the images, and none takes none.
        epochs: passes over the training images.
        batch_size: global batch size: images in a batch, over all devices.
        micro_batch: images (over all devices) that encoder and head process at a time, for a
            batch that does not fit into memory; the result is that of the whole batch.
        batch_statistics: the images over which batch norm normalises: the batch, or each
            micro-batch (Hoffer et al. 2017), which changes the result.
        warmup_epochs: epochs in which the learning rate grows linearly from 0.
        cooldown_epochs: last epochs, in which the learning rate falls linearly to its final value.
        final_rate: the learning rate at the end, as a part of the largest one.
        final_weight_decay: what the weight decay has changed to at the end; none keeps it constant.
            Parameters without weight decay stay without.
        weight_decay_schedule: the schedule on which the weight decay changes; empty is the default
            schedule.
        clip_grad_norm: maximum norm of the gradient; none does not clip.
        freeze: "encoder" keeps the weights of the encoder as they began, its batch norm in
            evaluation mode, and trains the rest; none trains everything.
        layer_decay: factor of the learning rate from a layer of the encoder to the one before it,
            the last layer first (Clark et al. 2020, section 3.5); 1 is the same rate everywhere.
        labels_per_class: labelled images of each class that a supervised loss trains on, drawn by
            the seed; none takes all.
        label_fraction: the fraction of the labelled images of each class that a supervised loss
            trains on, drawn by the seed, at least one; none takes all.
        precision: precision of encoder and head; auto is bf16 where the device computes it
            natively, else fp32.
        seed: seed of the initial weights, the order and the views.
        evaluate_every: epochs between two evaluations during training, by the evaluators that are
            fast; none does not evaluate during training. 0.5 is every half epoch.
        keep: weights that the encoder has at the end: the last ones, or the best ones by the
            figures during training.
        monitor: metric that decides which weights are best; none means the first one measured.
        patience: evaluations without improvement after which training stops early; none trains
            to the last epoch.
        log_every: steps between two lines of metrics.jsonl.
        checkpoint_every: steps between two checkpoints.
    """

    preset: str = AUTO
    epochs: Annotated[int, Ge(1), Le(_MOST_EPOCHS)] = 100
    batch_size: Annotated[int, Ge(1)] = 256
    micro_batch: Annotated[int, Ge(1)] | None = None
    batch_statistics: Literal["batch", "micro-batch"] = "batch"
    warmup_epochs: Annotated[float, Ge(0), Le(_MOST_EPOCHS)] = 0.0
    cooldown_epochs: Annotated[float, Ge(0), Le(_MOST_EPOCHS)] = 0.0
    final_rate: Annotated[float, Ge(0), Le(1)] = 0.0
    final_weight_decay: Annotated[float, Ge(0)] | None = None
    weight_decay_schedule: str = ""
    clip_grad_norm: Annotated[float, Gt(0)] | None = None
    freeze: Literal["encoder"] | None = None
    layer_decay: Annotated[float, Gt(0), Le(1)] = 1.0
    labels_per_class: Annotated[int, Ge(1)] | None = None
    label_fraction: Annotated[float, Gt(0), Le(1)] | None = None
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    seed: Annotated[int, Ge(0), Lt(2**63)] = 0
    evaluate_every: Annotated[float, Gt(0)] | None = None
    keep: Literal["last", "best"] = "last"
    monitor: str | None = None
    patience: Annotated[int, Ge(1)] | None = None
    log_every: Annotated[int, Ge(1)] = 10
    checkpoint_every: Annotated[int, Ge(1)] = 500


@dataclass(frozen=True)
class Part:
    """One component of a recipe, with its settings resolved and its provenance."""

    kind: str
    name: str
    origin: Origin
    build: str
    settings: Mapping[str, object]

    @classmethod
    def of(cls, entry: Entry, settings: Mapping[str, object]) -> Part:
        """Return the component of an entry, with settings that have been validated."""
        return cls(entry.kind, entry.name, entry.origin, entry.build, settings)

    def __str__(self) -> str:
        return f"{self.kind} {self.name} (from {self.origin})"

    @property
    def address(self) -> str:
        """The name that finds it again whatever else is installed."""
        return self.origin.address(self.name)


#: What `Init.part` is where all that a file holds is looked through, and of a run the encoder.
ENCODER_PART = "encoder"
#: What it is for the teacher of a run.
TEACHER_PART = "teacher"
#: What it is where a run goes on from another one, with the weights of all its parts.
RUN_PART = "run"
#: What it is where a part is a Python object with weights of its own.
OBJECT_PART = "object"


@dataclass(frozen=True)
class Init:
    """The weights that the encoder begins with, section `init`.

    Attributes:
        path: a run, or a file of weights; for objects, the names of their classes.
        part: "encoder"; "teacher" for the teacher of a run, and "run" for all of its parts; of a
            file, a part of the names; "object" for the weights of all parts, where some are
            Python objects.
        sha256: of the tensors that the encoder takes; empty until they have been read.
    """

    path: str
    part: str = ENCODER_PART
    sha256: str = ""

    @property
    def whole(self) -> bool:
        """Whether these are the weights of all parts."""
        return self.part in (RUN_PART, OBJECT_PART)


@dataclass(frozen=True)
class Groups:
    """How an optimizer treats the parameters of each role: the engine's settings for it.

    Attributes:
        lr_per: batch size that the learning rate is stated for, to which it is proportional; None
            takes the learning rate as it is.
        roles: by role, the settings that differ for its parameters; `schedule` and `frozen_epochs`
            among them.
        schedules: the schedules, by name, that tables, weight decay and teacher follow.
        fused: whether the optimizer takes `fused=True`.
    """

    lr_per: int | None = None
    roles: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    schedules: Mapping[str, Part] = field(default_factory=dict, compare=False)
    fused: bool = field(default=False, compare=False)

    def table(self) -> dict[str, object]:
        """Return them as the section `optimizer` of a recipe has them."""
        return ({} if self.lr_per is None else {"lr_per": self.lr_per}) | dict(self.roles)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result of a run, except the device.

    Attributes:
        method: the method's name.
        data: the data set.
        augmentation: makes the views.
        encoder: turns views into features.
        head: turns features into the inputs of the loss; None where the loss reads features.
        loss: scores them.
        evaluators: run at the end.
        optimizer: moves the weights; its settings are those that were given.
        schedule: of the learning rate.
        training: settings of the training loop.
        teacher: settings of the teacher; None without one.
        teacher_encoder: the encoder of the teacher, where it is not the student's.
        groups: how the optimizer treats the parameters of each role.
        init: where the encoder's first weights are from; None draws them.
        method_origin: distribution and version that the method comes from.
        by_data: by section, the settings whose values the data set suggests.
        eval_data: the images that evaluators use; None for those of `data`.
    """

    method: str
    data: Part
    augmentation: Part
    encoder: Part
    head: Part | None
    loss: Part
    evaluators: tuple[Part, ...]
    optimizer: Part
    schedule: Part
    training: Training
    teacher: Teacher | None = None
    init: Init | None = None
    method_origin: str = ""
    by_data: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)
    eval_data: Part | None = None
    teacher_encoder: Part | None = None
    groups: Groups = field(default_factory=Groups)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every component, in the order in which a tensor passes them, data first."""
        stages = (self.data, self.augmentation, self.encoder, self.head, self.loss)
        return (*(part for part in stages if part is not None), *self.evaluators)

    def to_dict(self) -> dict[str, object]:
        """Return the recipe as nested plain values, sections of settings."""
        tables: dict[str, object] = {"method": self.method}
        if self.method_origin:
            tables[FROM] = self.method_origin
        tables["data"] = _table(self.data)
        if self.eval_data is not None:
            tables[EVAL_DATA] = _table(self.eval_data)
        for part in (self.augmentation, self.encoder, self.head, self.loss):
            if part is not None:
                tables[section_of(part.kind)] = _table(part)
        if self.head is None:
            tables["head"] = {"name": "none"}
        tables["evaluators"] = {part.address: _table(part, named=False) for part in self.evaluators}
        tables["optimizer"] = {**_table(self.optimizer), **self.groups.table()}
        tables["schedule"] = _table(self.schedule)
        tables["training"] = dataclasses.asdict(self.training)
        if self.teacher is not None:
            origin = self.teacher_encoder and {FROM: str(self.teacher_encoder.origin)}
            tables["teacher"] = self.teacher.table() | (origin or {})
        if self.init is not None:
            tables["init"] = dataclasses.asdict(self.init)
        return plain(tables)

    def differences(self, other: Recipe) -> list[str]:
        """Return how the other recipe differs, as `"loss.temperature: 0.5 → 0.2"`."""
        mine, theirs = _flat(self.to_dict()), _flat(other.to_dict())
        return [
            f"{key}: {mine.get(key, 'none')} → {theirs.get(key, 'none')}"
            for key in dict.fromkeys([*mine, *theirs])
            if mine.get(key) != theirs.get(key)
        ]

    def to_toml(self) -> str:
        """Return the recipe as TOML, as `--config` takes it."""
        return to_toml(self.to_dict())

    def annotated(self) -> str:
        """Return the recipe as TOML, with a comment at each setting that the data set suggests."""
        lines, section = [], ""
        for line in self.to_toml().splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            name = line.partition(" = ")[0]
            said = name in self.by_data.get(section, ()) and " = " in line
            lines.append(f"{line}  # as {self.data.name} suggests" if said else line)
        return "\n".join(lines) + "\n"


def settings_by_name(tables: Mapping[str, object]) -> dict[str, object]:
    """Return the settings of a recipe by name, `{"loss": "nt-xent", "loss.temperature": 0.5}`.

    Args:
        tables: the recipe as `to_dict` returns it, or as its file has it.
    """
    sections = {
        section: table
        for section, table in tables.items()
        if isinstance(table, Mapping) and section not in RUN_TABLES
    }
    return {"method": tables.get("method")} | {
        name.removesuffix(".name"): value
        for name, value in _flat(sections).items()
        if not name.endswith(f".{FROM}")
    }


def _flat(tables: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in tables.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _table(part: Part, *, named: bool = True) -> dict[str, object]:
    provenance = {FROM: str(part.origin)}
    return ({"name": part.address} if named else {}) | provenance | dict(part.settings)
