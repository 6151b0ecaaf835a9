"""The optimizer of a run: its groups of parameters, and what each of them follows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from sslcore.contract.interface import load_reference
from sslcore.errors import UsageError
from sslcore.pipeline.pipeline import Pipeline
from sslcore.recipe.recipe import Recipe
from sslcore.training.layers import rate_groups
from sslcore.training.roles import roles_of
from sslcore.training.schedules import Way, between, learning_rate_factor, way_of

#: Where a fused optimizer moves all weights in one pass.
_FUSED_ON = {"cpu", "cuda"}

#: What the engine needs to know of a group, and the optimizer does not.
_RATE_FACTOR, _SCHEDULE, _FROZEN_EPOCHS = "rate_factor", "schedule", "frozen_epochs"
#: What an optimizer may read of a group, beside its settings.
DESCRIPTIONS = ("names", "roles")

Group = dict[str, Any]


def parameter_groups(pipeline: Pipeline, recipe: Recipe) -> list[Group]:
    """Return the trainable parameters in groups, each with the settings that differ for it.

    Parameters that are treated alike are one group.
    """
    names = {id(weight): name for name, weight in pipeline.named_parameters()}
    roles = roles_of(pipeline)
    tables = recipe.groups.roles
    lr_per = recipe.groups.lr_per
    scale = 1.0 if lr_per is None else recipe.training.batch_size / lr_per
    groups: list[Group] = []
    for weights, factor in rate_groups(pipeline, recipe.training.layer_decay):
        found: dict[tuple[tuple[str, object], ...], Group] = {}
        for weight in weights:
            name = names[id(weight)]
            own: dict[str, Any] = {}
            for role in roles[name]:
                own |= tables.get(role, {})
            group = found.setdefault(
                tuple(sorted((key, repr(value)) for key, value in own.items())),
                {"params": [], "names": [], "roles": [], _RATE_FACTOR: factor * scale, **own},
            )
            group["params"].append(weight)
            group["names"].append(name)
            group["roles"].append(roles[name])
        groups += found.values()
    return groups


@dataclass(frozen=True)
class _Follows:
    """What the values of a group follow.

    Attributes:
        rate: the largest learning rate; None where the optimizer has none.
        decay: the first weight decay.
        way: the schedule of the learning rate.
        frozen: steps in which its parameters do not move.
    """

    rate: float | None
    decay: float
    way: Way
    frozen: int


class ScheduledOptimizer:
    """Builds the optimizer of a recipe, and sets the values of its groups before each step.

    Args:
        recipe: the recipe.
        pipeline: the stages, on the device.
        total: steps of the run.
        per_epoch: steps of an epoch.

    Attributes:
        optimizer: the optimizer; it is the fused form of it where there is one for these
            parameters.

    Raises:
        UsageError: the optimizer refuses its settings.
    """

    def __init__(self, recipe: Recipe, pipeline: Pipeline, *, total: int, per_epoch: int) -> None:
        training, self.total = recipe.training, total
        self.warmup = round(training.warmup_epochs * per_epoch)
        self.cooldown = round(training.cooldown_epochs * per_epoch)
        self.final_rate, self.final_decay = training.final_rate, training.final_weight_decay
        ways = {
            name: way_of(part, total=total, per_epoch=per_epoch)
            for name, part in recipe.groups.schedules.items()
        }
        self.decay_way = ways.get(training.weight_decay_schedule)
        teacher = recipe.teacher
        #: The schedule of the teacher's momentum.
        self.momentum_way = None if teacher is None else ways.get(teacher.schedule)
        way = way_of(recipe.schedule, total=total, per_epoch=per_epoch)
        self.optimizer = _built(recipe, parameter_groups(pipeline, recipe))
        self._follows = []
        for group in self.optimizer.param_groups:
            factor, named = group.pop(_RATE_FACTOR), group.pop(_SCHEDULE, "")
            if "lr" in group:
                group["lr"] = group["lr"] * factor
            self._follows.append(
                _Follows(
                    group.get("lr"),
                    float(group.get("weight_decay") or 0),
                    ways[named] if named else way,
                    round(group.pop(_FROZEN_EPOCHS, 0) * per_epoch),
                )
            )

    @property
    def rate(self) -> float:
        """The learning rate of the first group; NaN where the optimizer has none."""
        return float(self.optimizer.param_groups[0].get("lr", math.nan))

    def set_rates(self, step: int) -> None:
        """Set the learning rate and the weight decay of each group for a step, counted from 0."""
        for group, follows in self._groups():
            if follows.rate is not None:
                group["lr"] = follows.rate * learning_rate_factor(
                    step,
                    total=self.total,
                    warmup=self.warmup,
                    cooldown=self.cooldown,
                    final=self.final_rate,
                    way=follows.way,
                )
            if self.final_decay is not None and self.decay_way is not None and follows.decay:
                left = self.decay_way(step / self.total, step)
                group["weight_decay"] = between(follows.decay, self.final_decay, left)

    def drop_frozen(self, step: int) -> None:
        """Drop the gradients of the parameters that do not move yet, after they were clipped."""
        for group, follows in self._groups():
            if step < follows.frozen:
                for weight in group["params"]:
                    weight.grad = None

    def for_training(self) -> None:
        """Give the weights the values that are trained, where the optimizer has others too."""
        _call(self.optimizer, "train")

    def for_evaluation(self) -> bool:
        """Give the weights the values that count, and return whether the optimizer has others."""
        return _call(self.optimizer, "eval")

    def _groups(self) -> Iterator[tuple[Group, _Follows]]:
        return zip(self.optimizer.param_groups, self._follows, strict=True)


def _call(optimizer: torch.optim.Optimizer, name: str) -> bool:
    method = getattr(optimizer, name, None)
    if not callable(method):
        return False
    method()
    return True


def _built(recipe: Recipe, groups: list[Group]) -> torch.optim.Optimizer:
    part = recipe.optimizer
    devices = {weight.device.type for group in groups for weight in group["params"]}
    fused: Mapping[str, Any] = (
        {"fused": True} if recipe.groups.fused and devices <= _FUSED_ON else {}
    )
    build = load_reference(part.build)
    own = {name for group in groups for name in group}
    try:
        built = build(groups, **part.settings, **fused)
    except Exception as error:
        raise UsageError(f"optimizer {part.name}: {error}") from error
    if not isinstance(built, torch.optim.Optimizer):
        raise UsageError(f"{part} is no torch.optim.Optimizer but a {type(built).__name__}")
    engines = {"params", *DESCRIPTIONS, _RATE_FACTOR, _SCHEDULE, _FROZEN_EPOCHS}
    for name in own - engines - set(built.defaults):
        raise UsageError(f"optimizer: {part.name} has one {name} for all parameters")
    return built
