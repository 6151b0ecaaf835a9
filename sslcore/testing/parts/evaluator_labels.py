"""Properties of evaluators that take several labels an image."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing.parts.evaluator_subject import EvaluatorSubject
from sslcore.testing.parts.evaluators import check_metrics, kinds, same
from sslcore.testing.parts.scenes import Scene
from sslcore.testing.parts.subject import PartExample
from sslcore.testing.property import declare
from sslcore.testing.violation import Violation


def takes_several(subject: EvaluatorSubject) -> str:
    """Its class has `several_labels = True`."""
    claims = getattr(subject.evaluator(), "several_labels", False)
    return "" if claims else "its class does not have several_labels = True"


def _several(shown: Scene, *, second: bool) -> Scene:
    """Return a scene whose labels are bool (N, K); with `second`, two classes for some images."""

    def columns(labels: Tensor) -> Tensor:
        found = F.one_hot(labels, shown.num_classes).bool()
        also = F.one_hot((labels + 1) % shown.num_classes, shown.num_classes).bool()
        some = (torch.arange(len(labels)) % 3 == 0)[:, None] & second
        return found | (also & some)

    return replace(
        shown, train_labels=columns(shown.train_labels), test_labels=columns(shown.test_labels)
    )


@declare(
    "several-labels-are-scored",
    "V20",
    formula="with bool labels (N, K), metrics are finite floats as in V1; a metric named …_map is "
    "in [0, 1], and 1 for features that are the unit vector of their only class",
    kills="labels (N, K) taken for classes, an inverted ranking",
    precondition="its class has several_labels = True",
    anchors=kinds("perfect", "overlapping", "tied", "collapsed"),
    applies=takes_several,
)
def several_labels_are_scored(subject: EvaluatorSubject, shown: Scene) -> None:
    code = subject.code(shown, PartExample())
    for second in (False, True):
        found = subject.scores(_several(shown, second=second))
        check_metrics(found, code)
        for name, value in found.items():
            if not name.endswith("_map"):
                continue
            if not 0 <= value <= 1:
                raise Violation(f"{name} is {value}, expected a number from 0 to 1", code)
            if shown.kind == "perfect" and not second and not value > 1 - 1e-6:
                raise Violation(f"{name} of perfect features is {value:.4g}", code)


@declare(
    "order-of-several-labels-does-not-matter",
    "V21",
    formula="with bool labels (N, K), metrics are the same for any order of the classes and of the "
    "test images",
    kills="the first class of an image taken for its only one, ties broken by order",
    precondition="its class has several_labels = True",
    anchors=kinds("overlapping", "tied"),
    applies=takes_several,
)
def order_of_several_labels_does_not_matter(subject: EvaluatorSubject, shown: Scene) -> None:
    several = _several(shown, second=True)
    first = subject.scores(several)
    turned = replace(
        several,
        train_labels=several.train_labels.flip(1),
        test_labels=several.test_labels.flip(1),
        test_logits=several.test_logits.flip(1),
    )
    same(subject, first, subject.scores(turned), shown, "order of the classes")
    by_class = shown.test_labels.argsort(stable=True, descending=True)
    same(subject, first, subject.scores(several.with_test(by_class)), shown, "order")


EVALUATOR_LABELS = (several_labels_are_scored, order_of_several_labels_does_not_matter)
