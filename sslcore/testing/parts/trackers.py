"""Properties of trackers."""

from __future__ import annotations

import math
from dataclasses import replace

from sslcore.testing.parts.settings import settings_at_bounds
from sslcore.testing.parts.subject import PartExample, Refused, once, states_bounds
from sslcore.testing.parts.tracker_subject import (
    METHODS,
    NUMBERS,
    TABLE,
    Life,
    TrackerSubject,
    can_be_made,
)
from sslcore.testing.property import declare
from sslcore.testing.violation import Violation

#: A run with everything that a tracker may be told of.
_WHOLE = Life(table=TABLE, pictures=True)

#: Runs that lack something, by what they lack or have.
_OTHERS = {
    "a run that is stopped before its first line": Life(numbers=(), state="stopped"),
    "a run that fails": Life(state="failed"),
    "a run that is not evaluated and has no report": Life(),
}

#: Names and values that a plugin or an evaluation may have.
_UNUSUAL = Life(
    numbers=({**NUMBERS, "trained.knn_top1": 0.5, "loss/part [a=1]": 1e30, "größe": -0.0},),
    table={"encoder": {"knn_top1 [k=1]": math.nan, "reconstruction_mse": 0.0}},
)


@declare(
    "a-run-is-followed",
    "T1",
    formula="it has at least one of started, logged, evaluated, drew and ended; each accepts what "
    "the engine passes, and raises nothing",
    kills="a misspelt method, an argument too few",
    anchors=once,
    applies=can_be_made,
)
def a_run_is_followed(subject: TrackerSubject, example: PartExample) -> None:
    with subject.folder() as folder:
        tracker = subject.tracker(example)
        if not any(callable(getattr(tracker, name, None)) for name in METHODS):
            raise Violation(f"it has none of the methods {', '.join(METHODS)}, so it does nothing")
        subject.live(_WHOLE, folder, example)


@declare(
    "any-run-may-end",
    "T2",
    formula="T1 holds for a run without log lines, evaluation or pictures, stopped or failed",
    kills="a mean over no lines, a file that only a log line opens",
    anchors=once,
    applies=can_be_made,
)
def any_run_may_end(subject: TrackerSubject, example: PartExample) -> None:
    for what, life in _OTHERS.items():
        with subject.folder() as folder:
            try:
                subject.live(life, folder, example)
            except Violation as error:
                raise Violation(f"{what}: {error}", error.code) from error


@declare(
    "a-run-goes-on",
    "T3",
    formula="a new instance follows the same run from a later step",
    kills="a folder that must not exist yet, a run that is started twice",
    anchors=once,
    applies=can_be_made,
)
def a_run_goes_on(subject: TrackerSubject, example: PartExample) -> None:
    with subject.folder() as folder:
        subject.live(Life(state="stopped"), folder, example)
        subject.live(replace(_WHOLE, step=2), folder, example)


@declare(
    "unusual-numbers-are-followed",
    "T4",
    formula="names may have any characters, and scores may be NaN",
    kills="names that its library refuses, JSON that has no NaN",
    anchors=once,
    applies=can_be_made,
)
def unusual_numbers_are_followed(subject: TrackerSubject, example: PartExample) -> None:
    with subject.folder() as folder:
        subject.live(_UNUSUAL, folder, example)


@declare(
    "the-run-stays-as-it-is",
    "T5",
    formula="the files of the run keep their bytes, and random states and torch's switches stay",
    kills="a metrics.jsonl that is written again, torch.set_default_dtype",
    anchors=once,
    applies=can_be_made,
)
def the_run_stays_as_it_is(subject: TrackerSubject, example: PartExample) -> None:
    with subject.folder() as folder:
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        code = f"tracker = {subject.made(subject.arguments({}, example))}"
        with subject.leaving_global_state(code):
            subject.live(_WHOLE, folder, example)
        for path, content in before.items():
            if not path.is_file():
                raise Violation(f"it deleted {path.name} of the run", code)
            if path.read_bytes() != content:
                raise Violation(f"it changed {path.name} of the run", code)


@declare(
    "settings-at-their-bounds-work",
    "T6",
    formula="at each bound that a setting's annotation states, T1 holds or a ValueError is raised",
    kills="a period of 0 steps",
    anchors=once,
    applies=lambda subject: can_be_made(subject) or states_bounds(subject),
)
def settings_at_their_bounds_work(subject: TrackerSubject, example: PartExample) -> None:
    for settings in settings_at_bounds(subject.interface, fixed=subject.spec.settings):
        with subject.folder() as folder:
            try:
                subject.live(_WHOLE, folder, replace(example, settings=settings, drawn=True))
            except Refused:
                continue


TRACKER = (
    a_run_is_followed,
    any_run_may_end,
    a_run_goes_on,
    unusual_numbers_are_followed,
    the_run_stays_as_it_is,
    settings_at_their_bounds_work,
)
