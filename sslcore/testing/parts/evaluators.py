"""Properties of evaluators: their metrics, side effects and invariances."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import torch
from hypothesis import strategies as st

from sslcore.testing.parts.evaluator_subject import EvaluatorSubject
from sslcore.testing.parts.scenes import Scene
from sslcore.testing.parts.settings import settings_at_bounds, settings_strategy
from sslcore.testing.parts.subject import (
    PartExample,
    Refused,
    Untouched,
    states_bounds,
    with_global_seed,
)
from sslcore.testing.property import declare
from sslcore.testing.violation import Violation

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
#: Seeds over which the metrics of a random evaluator are averaged.
_SEEDS = 6


def kinds(*names: str) -> Any:
    """Return anchors that are scenes of these kinds."""

    def anchors(subject: EvaluatorSubject) -> Sequence[Scene]:
        return [subject.scene(name) for name in names]

    return anchors


def at_defaults(subject: EvaluatorSubject) -> Sequence[PartExample]:
    """Return one example at the spec's settings."""
    return [PartExample()]


def drawn(subject: EvaluatorSubject) -> SearchStrategy[PartExample]:
    """Return examples with drawn settings."""
    return st.builds(
        PartExample,
        settings=settings_strategy(subject.interface, fixed=subject.spec.settings),
        drawn=st.just(True),
    )


def check_metrics(found: dict[str, float], code: str) -> None:
    """Raise a violation if metrics are not finite floats with names in snake_case."""
    if not found:
        raise Violation("it returned no metric", code)
    for name, value in found.items():
        if not isinstance(name, str) or not _SNAKE_CASE.fullmatch(name):
            raise Violation(f"a metric is called {name!r}, expected snake_case", code)
        if not isinstance(value, Real) or isinstance(value, bool):
            raise Violation(f"{name} is a {type(value).__name__}, expected a float", code)
        if not math.isfinite(float(value)):
            raise Violation(f"{name} is {value}", code)
        if name.endswith(("_std", "_mse")) and value < 0:
            raise Violation(f"{name} is {value}, but can't be negative", code)
        if name.endswith("_std") and name.removesuffix("_std") not in found:
            raise Violation(f"{name} is the spread of a metric that does not exist", code)


def _follows(subject: EvaluatorSubject, shown: Scene, example: PartExample) -> None:
    found = subject.scores(shown, example)
    code = subject.code(shown, example)
    check_metrics(found, code)
    for name, value in subject.accuracies(found).items():
        if not 0 <= value <= 1:
            raise Violation(f"{name} is {value}, expected a number from 0 to 1", code)
    for name in subject.spec.accuracies or ():
        if name not in found:
            raise Violation(f"the spec calls {name} an accuracy, but there is no such metric", code)


@declare(
    "metrics-follow-the-contract",
    "V1",
    formula="a dict of finite floats with names in snake_case; accuracies in [0, 1]; NAME_std "
    "only with NAME; also for collapsed or tied features",
    kills="a tensor instead of a number, NaN for a constant feature, a count instead of a rate",
    anchors=kinds("perfect", "overlapping", "tied", "collapsed"),
)
def metrics_follow_the_contract(subject: EvaluatorSubject, shown: Scene) -> None:
    _follows(subject, shown, PartExample())


@declare(
    "settings-at-their-bounds-work",
    "V2",
    formula="at each bound that a setting's annotation states, V1 holds or ValueError is raised",
    kills="one neighbour, no hidden layer, no draws",
    anchors=at_defaults,
    applies=states_bounds,
)
def settings_at_their_bounds_work(subject: EvaluatorSubject, example: PartExample) -> None:
    shown = subject.scene("overlapping", train=8, test=6)
    for settings in settings_at_bounds(subject.interface, fixed=subject.spec.settings):
        try:
            _follows(subject, shown, replace(example, settings=settings, drawn=True))
        except Refused:
            continue


@declare(
    "drawn-settings-work",
    "V3",
    formula="at settings within their annotations (any number, if no bound is stated), V1 holds "
    "or ValueError is raised",
    kills="combinations of settings that the author did not consider",
    examples=drawn,
    max_examples=8,
    applies=lambda subject: "" if subject.interface.settings else "it has no settings",
)
def drawn_settings_work(subject: EvaluatorSubject, example: PartExample) -> None:
    _follows(subject, subject.scene("overlapping", train=8, test=6), example)


@declare(
    "leaves-inputs-alone",
    "V4",
    formula="inputs and their version counters are the same after the call",
    kills="features that are standardised in place",
    anchors=kinds("overlapping"),
)
def leaves_inputs_alone(subject: EvaluatorSubject, shown: Scene) -> None:
    held = Untouched(shown.given())
    subject.scores(shown)
    held.check(subject.code(shown, PartExample()))


@declare(
    "a-seed-decides",
    "V5",
    formula="metrics are a function of inputs and seed; the global generators do not change",
    kills="torch.randperm without a generator, a missing random_state, a manual_seed",
    anchors=kinds("overlapping"),
)
def a_seed_decides(subject: EvaluatorSubject, shown: Scene) -> None:
    code = subject.code(shown, PartExample())
    evaluator = subject.evaluator()
    with subject.leaving_global_state(code):
        first = subject.scores(shown, evaluator=evaluator)
    others = {
        "in a second call": subject.scores(shown, evaluator=evaluator),
        "by a new evaluator": subject.scores(shown),
        "with the global generators in another state": with_global_seed(
            9, lambda: subject.scores(shown)
        ),
    }
    for what, found in others.items():
        if found != first:
            raise Violation(f"{found} {what}, {first} at first", code)


@declare(
    "order-of-test-images-does-not-matter",
    "V6",
    formula="metrics are the same for any order of the test images",
    kills="ties broken by order, labels separated from their features",
    anchors=kinds("overlapping", "tied"),
)
def order_of_test_images_does_not_matter(subject: EvaluatorSubject, shown: Scene) -> None:
    first = subject.scores(shown)
    for order in _orders(shown.test_labels):
        same(subject, first, subject.scores(shown.with_test(order)), shown, "order")


@declare(
    "order-of-training-images-does-not-matter",
    "V7",
    formula="metrics are the same for any order of the training images; for an evaluator with a "
    "seed, on average over seeds",
    kills="a use of the first images only, ties broken by order",
    anchors=kinds("overlapping", "tied"),
    applies=lambda subject: (
        ""
        if any(name.startswith("train_") for name in subject.asks())
        else "it asks for no training images"
    ),
)
def order_of_training_images_does_not_matter(subject: EvaluatorSubject, shown: Scene) -> None:
    for order in _orders(shown.train_labels):
        _same_on_average(subject, shown, shown.with_train(order), "order of the training images")


def _orders(labels: torch.Tensor) -> list[torch.Tensor]:
    """Return orders that break faulty evaluators: sorted by class, ascending and descending."""
    return [labels.argsort(stable=True), labels.argsort(stable=True, descending=True)]


@declare(
    "names-of-classes-do-not-matter",
    "V8",
    formula="metrics are the same if classes are renumbered in training labels, test labels and "
    "logits",
    kills="labels used as numbers, ties broken towards the lowest class, classes left out",
    anchors=kinds("overlapping"),
    applies=lambda subject: (
        "" if any(name.endswith("_labels") for name in subject.asks()) else "it asks for no labels"
    ),
)
def names_of_classes_do_not_matter(subject: EvaluatorSubject, shown: Scene) -> None:
    renamed = (torch.arange(shown.num_classes) * 2 + 1) % shown.num_classes
    if shown.num_classes % 2 == 0:
        renamed = torch.arange(shown.num_classes).flip(0)
    other = replace(
        shown,
        train_labels=renamed[shown.train_labels],
        test_labels=renamed[shown.test_labels],
        test_logits=shown.test_logits[:, renamed.argsort()],
    )
    _same_on_average(subject, shown, other, "numbers of the classes")


def same(
    subject: EvaluatorSubject,
    first: dict[str, float],
    other: dict[str, float],
    shown: Scene,
    what: str,
) -> None:
    """Raise a violation if metrics differ by more than the class of one image."""
    # Rounding may change the class of one image if its votes are tied.
    tolerance = 1.5 / len(shown.test_labels)
    for name in first:
        allowed = 1e-4 * (1 + abs(first[name]))
        if not name.endswith("_mse"):
            allowed = tolerance
        subject.meter.see(abs(other[name] - first[name]) / allowed)
        if not abs(other[name] - first[name]) <= allowed:
            raise Violation(
                f"{name} is {first[name]:.4g}, but {other[name]:.4g} with another {what}",
                subject.code(shown, PartExample()),
            )


def _same_on_average(subject: EvaluatorSubject, shown: Scene, other: Scene, what: str) -> None:
    if "seed" not in subject.asks():
        return same(subject, subject.scores(shown), subject.scores(other), shown, what)
    tables: list[dict[str, torch.Tensor]] = []
    for each in (shown, other):
        found = [subject.scores(replace(each, seed=seed)) for seed in range(_SEEDS)]
        tables.append(
            {name: torch.tensor([float(row[name]) for row in found]) for name in found[0]}
        )
    for name in tables[0]:
        one, two = tables[0][name], tables[1][name]
        error = float(((one.var() + two.var()) / _SEEDS).sqrt())
        allowed = 5 * error + 1.5 / len(shown.test_labels)
        difference = abs(float(one.mean() - two.mean()))
        subject.meter.see(difference / allowed)
        if not difference <= allowed:
            raise Violation(
                f"{name} is {float(one.mean()):.4g} on average over {_SEEDS} seeds, and "
                f"{float(two.mean()):.4g} with another {what} (tolerance {allowed:.2g})",
                subject.code(shown, PartExample()),
            )
    return None


EVALUATOR = (
    metrics_follow_the_contract,
    settings_at_their_bounds_work,
    drawn_settings_work,
    leaves_inputs_alone,
    a_seed_decides,
    order_of_test_images_does_not_matter,
    order_of_training_images_does_not_matter,
    names_of_classes_do_not_matter,
)
