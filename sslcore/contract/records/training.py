"""The records of what training runs with: optimizers, schedules and trackers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from sslcore.contract.records.base import Component


@dataclass(frozen=True, kw_only=True)
class Optimizer(Component):
    """Moves the weights; `build` is a class, or a function that returns an instance of one.

    The class is a subclass of `torch.optim.Optimizer`. It is called with the groups of parameters
    and with its settings. Beside `params`, a group has `names` and `roles`: for each parameter its
    name, and its roles as a tuple of text. Each setting that is a default of the class may differ
    by group.

    Attributes:
        fused: whether it takes `fused=True` on the CPU and on CUDA, to move all weights in one
            pass.
        default: whether a method that names no optimizer gets this one.
    """

    kind: ClassVar[str] = "optimizer"

    fused: bool = False
    default: bool = False


@dataclass(frozen=True, kw_only=True)
class Schedule(Component):
    """The way of a number from its first value to its last one; `build` is a pure function.

    The function returns the part of the way that is left: 1 at the first value, 0 at the last one.
    The engine supplies the parameters that it names of `done` (the part of the steps after the
    warm-up that is done, in [0, 1]), `step`, `total_steps` and `steps_per_epoch`; its other
    parameters are settings.

    Attributes:
        default: whether a recipe that names no schedule gets this one.
    """

    kind: ClassVar[str] = "schedule"

    default: bool = False


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
