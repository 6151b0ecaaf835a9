"""Properties of optimizers."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import torch
from torch import Tensor

from sslcore.testing.parts.optimizer_subject import OptimizerSubject, Problem, can_be_made
from sslcore.testing.parts.settings import settings_at_bounds
from sslcore.testing.parts.subject import PartExample, Refused, once, same_bits, states_bounds
from sslcore.testing.property import declare
from sslcore.testing.violation import Violation

#: Rates of which one must suffice, and steps in which the loss must fall to a part of itself.
_RATES = (10.0, 1.0, 0.1, 0.01, 0.001)
_STEPS, _PART = 200, 0.1
#: What a step may move at a rate of 0, as a part of what it moves otherwise.
_NOTHING = 1e-3
_FEW = 3


@declare(
    "a-quadratic-is-minimised",
    "O1",
    formula=f"f(w) = ½ Σ a (w − t)² falls to {_PART} f(w₀) in {_STEPS} steps, at one of the rates "
    f"{', '.join(f'{rate:g}' for rate in _RATES)}, which falls along half a cosine",
    kills="a step uphill, a momentum that never decays",
    anchors=once,
    applies=can_be_made,
)
def a_quadratic_is_minimised(subject: OptimizerSubject, example: PartExample) -> None:
    rates = _RATES if "lr" in subject.interface.settings else (None,)
    plain = {"weight_decay": 0.0} if "weight_decay" in subject.interface.settings else {}
    reached = []
    for rate in rates:
        problem = Problem()
        own = plain if rate is None else {**plain, "lr": rate}
        optimizer = subject.optimizer(problem.groups(), example, **own)
        first = problem.loss()
        for step in range(_STEPS):
            for group in optimizer.param_groups:
                if rate is not None:
                    group["lr"] = rate * (1 + math.cos(math.pi * step / _STEPS)) / 2
            subject.step(optimizer, problem, example)
        if callable(evaluated := getattr(optimizer, "eval", None)):
            evaluated()
        part = problem.loss() / first
        if part <= _PART:
            return
        reached.append(part)
    best = min(reached, key=lambda part: math.inf if math.isnan(part) else part)
    raise Violation(f"the loss fell to {best:.3g} of its first value", subject.code(plain))


@declare(
    "weights-without-gradient-stay",
    "O2",
    formula="a weight whose gradient is None keeps its bits, decay or not; the others move",
    kills="an error for a frozen weight, a decay that ignores missing gradients",
    anchors=once,
    applies=can_be_made,
)
def weights_without_gradient_stay(subject: OptimizerSubject, example: PartExample) -> None:
    problem = Problem()
    optimizer = subject.optimizer(problem.groups(), example)
    before = problem.values()
    still, *others = problem.weights
    for _ in range(_FEW):
        problem.loss()
        problem.weights[still].grad = None
        subject.guarded(optimizer.step, f"{subject.name}.step()", example)
    after = problem.values()
    if not same_bits(before[still], after[still]):
        raise Violation("it moved a weight without a gradient", subject.code({}))
    for name in others:
        if same_bits(before[name], after[name]):
            raise Violation(f"it did not move {name}, which has a gradient", subject.code({}))


@declare(
    "groups-are-apart",
    "O3",
    formula="one optimizer with two groups of other rates moves the weights as two optimizers do",
    kills="settings of the first group for all, a state that groups share",
    anchors=once,
    applies=can_be_made,
)
def groups_are_apart(subject: OptimizerSubject, example: PartExample) -> None:
    together, apart = Problem(), Problem()
    names = tuple(together.weights)
    halves = (names[:2], names[2:])
    rates = (0.01, 0.001)
    groups = together.groups(*halves)
    own = [{"lr": rate} if "lr" in subject.interface.settings else {} for rate in rates]
    for group, settings in zip(groups, own, strict=True):
        group |= settings
    one = subject.optimizer(groups, example)
    two = [
        subject.optimizer(apart.groups(half), example, **settings)
        for half, settings in zip(halves, own, strict=True)
    ]
    for _ in range(_FEW):
        subject.step(one, together, example)
        for optimizer in two:
            subject.step(optimizer, apart, example)
    found = apart.values()
    for name, item in together.values().items():
        subject.near(item, found[name], f"{name}, in one optimizer or two", subject.code({}), 1e-6)


@declare(
    "the-rate-is-read-at-each-step",
    "O4",
    formula="with lr = 0 in its groups, a step moves nothing",
    kills="a rate that is kept from the constructor, so that no schedule reaches it",
    anchors=once,
    applies=lambda subject: can_be_made(subject) or _has_rate(subject),
)
def the_rate_is_read_at_each_step(subject: OptimizerSubject, example: PartExample) -> None:
    moved = []
    for still in (False, True):
        problem = Problem()
        optimizer = subject.optimizer(problem.groups(), example)
        for group in optimizer.param_groups:
            if "lr" not in group:
                raise Violation("a group of it has no lr, which a schedule sets", subject.code({}))
            if still:
                group["lr"] = 0.0
        before = problem.values()
        subject.step(optimizer, problem, example)
        after = problem.values()
        moved.append(max(float((after[name] - before[name]).abs().max()) for name in before))
    if not moved[1] <= _NOTHING * moved[0]:
        raise Violation(f"a step with lr = 0 moved a weight by {moved[1]:.3g}", subject.code({}))


def _has_rate(subject: OptimizerSubject) -> str:
    return "" if "lr" in subject.interface.settings else "it has no setting lr"


@declare(
    "a-saved-state-goes-on",
    "O5",
    formula="steps from a state that was saved and loaded give the bits of steps without a pause; "
    "the state is tensors and numbers by name, and groups are values that JSON holds",
    kills="a counter beside the state, a state that a checkpoint can't hold",
    anchors=once,
    applies=can_be_made,
)
def a_saved_state_goes_on(subject: OptimizerSubject, example: PartExample) -> None:
    problem, resumed = Problem(), Problem()
    optimizer = subject.optimizer(problem.groups(), example)
    for _ in range(_FEW):
        subject.step(optimizer, problem, example)
    with torch.no_grad():
        for name, value in problem.values().items():
            resumed.weights[name].copy_(value)
    again = subject.optimizer(resumed.groups(), example)
    saved = optimizer.state_dict()
    for key, values in saved["state"].items():
        for name, value in values.items():
            if not isinstance(value, (Tensor, int, float, bool)):
                raise Violation(
                    f"its state holds {name} of weight {key}, a {type(value).__name__}, which a "
                    "checkpoint can't",
                    subject.code({}),
                )
    state = {
        key: {n: v.clone() if isinstance(v, Tensor) else v for n, v in values.items()}
        for key, values in saved["state"].items()
    }
    try:
        groups = json.loads(json.dumps(saved["param_groups"]))
    except (TypeError, ValueError) as error:
        raise Violation(f"a checkpoint can't hold its groups: {error}", subject.code({})) from error
    again.load_state_dict({"state": state, "param_groups": groups})
    for _ in range(_FEW):
        subject.step(optimizer, problem, example)
        subject.step(again, resumed, example)
    found = resumed.values()
    for name, item in problem.values().items():
        if not same_bits(item, found[name]):
            raise Violation(f"{name} differs after the state was loaded", subject.code({}))


@declare(
    "steps-are-deterministic",
    "O6",
    formula="the same gradients give the same bits, and global random states stay as they are",
    kills="noise from a global generator",
    anchors=once,
    applies=can_be_made,
)
def steps_are_deterministic(subject: OptimizerSubject, example: PartExample) -> None:
    ends = []
    with subject.leaving_global_state(subject.code({})):
        for _ in range(2):
            problem = Problem()
            optimizer = subject.optimizer(problem.groups(), example)
            for _ in range(_FEW):
                subject.step(optimizer, problem, example)
            ends.append(problem.values())
    for name, item in ends[0].items():
        if not same_bits(item, ends[1][name]):
            raise Violation(f"{name} differs between two equal runs", subject.code({}))


@declare(
    "settings-at-their-bounds-work",
    "O7",
    formula="at each bound that a setting's annotation states, a step is finite or a ValueError is "
    "raised",
    kills="a momentum of 1, a division by an eps of 0",
    anchors=once,
    applies=lambda subject: can_be_made(subject) or states_bounds(subject),
)
def settings_at_their_bounds_work(subject: OptimizerSubject, example: PartExample) -> None:
    for settings in settings_at_bounds(subject.interface, fixed=subject.spec.settings):
        problem, drawn = Problem(), replace(example, settings=settings, drawn=True)
        try:
            optimizer = subject.optimizer(problem.groups(), drawn)
            for _ in range(_FEW):
                subject.step(optimizer, problem, drawn)
        except Refused:
            continue
        for name, item in problem.values().items():
            if not bool(item.isfinite().all()):
                raise Violation(f"{name} is not finite", subject.code(settings))


OPTIMIZER = (
    a_quadratic_is_minimised,
    weights_without_gradient_stay,
    groups_are_apart,
    the_rate_is_read_at_each_step,
    a_saved_state_goes_on,
    steps_are_deterministic,
    settings_at_their_bounds_work,
)
