"""Broken optimizers and schedules; the conformance tests detect each of them."""

from __future__ import annotations

import math
from typing import Annotated

import pytest
import torch
from annotated_types import Ge, Gt, Le

from sslcore.testing import OptimizerSpec, ScheduleSpec, check


class Good(torch.optim.Optimizer):
    def __init__(
        self,
        params,
        *,
        lr: Annotated[float, Gt(0)] = 0.1,
        momentum: Annotated[float, Ge(0), Le(0.99)] = 0.5,
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    def change(self, weight, group):
        state = self.state[weight]
        before = state.get("buffer", torch.zeros_like(weight))
        state["buffer"] = group["momentum"] * before + weight.grad
        return state["buffer"]

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight -= group["lr"] * self.change(weight, group)


class Uphill(Good):
    def change(self, weight, group):
        return -super().change(weight, group)


class NeedsEveryGradient(Good):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                weight -= group["lr"] * weight.grad


class FirstGroupForAll(Good):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["lr"] = self.param_groups[0]["lr"]
        super().step()


class KeepsItsRate(Good):
    def __init__(self, params, *, lr: float = 0.1, momentum: float = 0.5):
        super().__init__(params, lr=lr, momentum=momentum)
        self.rates = [group["lr"] for group in self.param_groups]

    @torch.no_grad()
    def step(self, closure=None):
        for group, rate in zip(self.param_groups, self.rates, strict=True):
            group["lr"] = rate
        super().step()


class CountsBesideTheState(Good):
    steps = 0

    def change(self, weight, group):
        self.steps += 1
        return super().change(weight, group) / self.steps**0.1


class KeepsAList(Good):
    def change(self, weight, group):
        self.state[weight]["seen"] = [1]
        return super().change(weight, group)


class Noisy(Good):
    def change(self, weight, group):
        return super().change(weight, group) + 1e-3 * torch.randn_like(weight)


class AnyMomentum(Good):
    def __init__(self, params, *, lr: float = 0.1, momentum: Annotated[float, Ge(0), Le(1)] = 0.5):
        super().__init__(params, lr=lr, momentum=momentum)

    def change(self, weight, group):
        return super().change(weight, group) / (1 - group["momentum"])


@pytest.mark.parametrize(
    ("make", "broken"),
    [
        (Good, None),
        (Uphill, "a-quadratic-is-minimised"),
        (NeedsEveryGradient, "weights-without-gradient-stay"),
        (FirstGroupForAll, "groups-are-apart"),
        (KeepsItsRate, "the-rate-is-read-at-each-step"),
        (CountsBesideTheState, "a-saved-state-goes-on"),
        (KeepsAList, "a-saved-state-goes-on"),
        (Noisy, "steps-are-deterministic"),
        (AnyMomentum, "settings-at-their-bounds-work"),
    ],
)
def test_each_broken_optimizer_is_detected(make, broken):
    failed = {row.property for row in check(OptimizerSpec(make=make)).failures}
    assert broken in failed if broken else not failed


def good(done: float, *, power: Annotated[float, Gt(0), Le(10)] = 2.0) -> float:
    return (1 - done) ** power


def what_is_done(done: float) -> float:
    return done


def past_its_end(step: int, steps_per_epoch: int) -> float:
    return math.cos(step / steps_per_epoch)


def counter():
    calls = []

    def counts(done: float) -> float:
        calls.append(done)
        return 1.0 if done == 0 else 1 / len(calls)

    return counts


def any_power(done: float, *, power: Annotated[float, Ge(-1), Le(2)] = 2.0) -> float:
    return float("inf") if done == 1 and power < 0 else min(1e3, (1.0001 - done) ** power)


def none_at_the_end(done: float) -> float:
    return None if done == 1 else 1 - done


@pytest.mark.parametrize(
    ("make", "broken"),
    [
        (good, None),
        (what_is_done, "it-begins-at-the-first-value"),
        (past_its_end, "it-stays-between-first-and-last"),
        (none_at_the_end, "it-stays-between-first-and-last"),
        (counter(), "it-is-a-pure-function"),
        (any_power, "settings-at-their-bounds-work"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_each_broken_schedule_is_detected(make, broken):
    failed = {row.property for row in check(ScheduleSpec(make=make)).failures}
    assert broken in failed if broken else not failed
