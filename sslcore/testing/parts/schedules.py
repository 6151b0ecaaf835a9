"""The schedule under test, and properties of schedules."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace

from sslcore.contract.training_parts import SUPPLIED_TO, own_interface
from sslcore.testing.parts.settings import settings_at_bounds
from sslcore.testing.parts.spec import ScheduleSpec
from sslcore.testing.parts.subject import PartExample, PartSubject, Refused, once, states_bounds
from sslcore.testing.property import declare
from sslcore.testing.violation import Violation

#: Steps of runs, one of them of a single step, and steps of an epoch.
_RUNS = ((1, 1), (7, 3), (100, 10))


class ScheduleSubject(PartSubject):
    """A schedule, as the properties see it."""

    spec: ScheduleSpec

    def __init__(self, spec: ScheduleSpec) -> None:
        super().__init__(spec)
        self.asked = set(inspect.signature(spec.make).parameters) & set(SUPPLIED_TO["schedule"])
        self.interface = own_interface("schedule", self.interface)

    def left(
        self, step: int, total: int, per_epoch: int, example: PartExample
    ) -> tuple[float, str]:
        """Return the part that is left at a step, with the call.

        Raises:
            Refused: it refused settings that were drawn.
            Violation: it raised an error, or returned no finite number.
        """
        supplied = {
            "done": step / total,
            "step": step,
            "total_steps": total,
            "steps_per_epoch": per_epoch,
        }
        asked = {name: supplied[name] for name in supplied if name in self.asked}
        arguments = {**asked, **self.arguments({}, example)}
        code = self.made(arguments)
        found = self.guarded(lambda: self.spec.make(**arguments), code, example)
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise Violation(f"it returned a {type(found).__name__}, and no number", code)
        if not math.isfinite(found):
            raise Violation(f"it returned {found}", code)
        return float(found), code


@declare(
    "it-begins-at-the-first-value",
    "E1",
    formula="it returns 1 at step 0",
    kills="a schedule of what is done in place of what is left, a warm-up of its own",
    anchors=once,
)
def it_begins_at_the_first_value(subject: ScheduleSubject, example: PartExample) -> None:
    for total, per_epoch in _RUNS:
        found, code = subject.left(0, total, per_epoch, example)
        if not math.isclose(found, 1, abs_tol=1e-9):
            raise Violation(f"it returned {found:g} at the beginning", code)


@declare(
    "it-stays-between-first-and-last",
    "E2",
    formula="it returns a number in [0, 1] at every step of a run, the end included",
    kills="a cosine past its end, a division by zero in a run of one step",
    anchors=once,
)
def it_stays_between(subject: ScheduleSubject, example: PartExample) -> None:
    for total, per_epoch in _RUNS:
        for step in range(total + 1):
            found, code = subject.left(step, total, per_epoch, example)
            if not -1e-9 <= found <= 1 + 1e-9:
                raise Violation(f"it returned {found:g}", code)


@declare(
    "it-is-a-pure-function",
    "E3",
    formula="the same arguments give the same number, in any order of steps; global random states "
    "stay as they are",
    kills="a counter of calls, so that a resumed run has other rates",
    anchors=once,
)
def it_is_a_pure_function(subject: ScheduleSubject, example: PartExample) -> None:
    total, per_epoch = _RUNS[-1]
    steps = list(range(total + 1))
    with subject.leaving_global_state(subject.made(subject.arguments({}, example))):
        forwards = {step: subject.left(step, total, per_epoch, example) for step in steps}
        backwards = {step: subject.left(step, total, per_epoch, example) for step in steps[::-1]}
    for step, (found, code) in forwards.items():
        if found != backwards[step][0]:
            raise Violation(f"it returned {found:g}, and then {backwards[step][0]:g}", code)


@declare(
    "settings-at-their-bounds-work",
    "E4",
    formula="E2 holds at each bound that a setting's annotation states, or a ValueError is raised",
    kills="a period of 0 steps",
    anchors=once,
    applies=states_bounds,
)
def settings_at_their_bounds_work(subject: ScheduleSubject, example: PartExample) -> None:
    for settings in settings_at_bounds(subject.interface, fixed=subject.spec.settings):
        try:
            it_stays_between.check(subject, replace(example, settings=settings, drawn=True))
        except Refused:
            continue


SCHEDULE = (
    it_begins_at_the_first_value,
    it_stays_between,
    it_is_a_pure_function,
    settings_at_their_bounds_work,
)
