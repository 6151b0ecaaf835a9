"""The evaluator under test: called with the inputs that it asks for."""

from __future__ import annotations

import inspect
import re
from typing import Any

from sslcore.evaluation.spread import is_accuracy
from sslcore.testing.parts.scenes import Scene, scene
from sslcore.testing.parts.spec import EvaluatorSpec
from sslcore.testing.parts.subject import PartExample, PartSubject
from sslcore.testing.violation import Violation

_TOP = re.compile(r"top_?(\d+)")


class EvaluatorSubject(PartSubject):
    """An evaluator, as the properties see it."""

    spec: EvaluatorSpec

    def evaluator(self, example: PartExample | None = None) -> Any:
        """Return a new evaluator."""
        example = example or PartExample()
        made = self.build(self._supplied(), example)
        if not callable(made):
            raise Violation(f"make returned {type(made).__name__}, which can't be called")
        return made

    def _supplied(self) -> dict[str, int]:
        features = self.scene("perfect").train_features
        return {"num_classes": self.spec.num_classes, "feature_dim": features.shape[1]}

    def asks(self) -> dict[str, bool]:
        """Return its inputs by name, each with whether it is required."""
        parameters = inspect.signature(self.evaluator()).parameters
        return {name: item.default is inspect.Parameter.empty for name, item in parameters.items()}

    def scene(self, kind: str, **sizes: int) -> Scene:
        """Return a scene with as many classes as the spec says."""
        return scene(kind, self.spec.num_classes, **sizes)

    def scores(
        self,
        shown: Scene,
        example: PartExample | None = None,
        *,
        evaluator: Any = None,
        leave_out: str = "",
    ) -> dict[str, float]:
        """Return its metrics for a scene.

        Args:
            shown: the scene.
            example: its settings.
            evaluator: instead of a new one.
            leave_out: the input to leave out, although it asks for it.
        """
        example = example or PartExample()
        evaluator = self.evaluator(example) if evaluator is None else evaluator
        given, code = shown.given(), self.code(shown, example)
        arguments = {}
        for name, item in inspect.signature(evaluator).parameters.items():
            if name == leave_out:
                continue
            if name in given:
                arguments[name] = given[name]
            elif item.default is inspect.Parameter.empty:
                raise Violation(f"it asks for {name}, which is not an input of evaluators", code)
        found = self.guarded(lambda: evaluator(**arguments), code, example)
        if not isinstance(found, dict):
            raise Violation(f"it returned a {type(found).__name__}, expected a dict", code)
        return found

    def accuracies(self, found: dict[str, float]) -> dict[str, float]:
        """Return the metrics that are accuracies."""
        if self.spec.accuracies is not None:
            return {name: found[name] for name in self.spec.accuracies if name in found}
        return {name: value for name, value in found.items() if is_accuracy(name)}

    def code(self, shown: Scene, example: PartExample) -> str:
        """Return Python code that reproduces a call."""
        supplied = self._supplied()
        each = (len(shown.train_labels), len(shown.test_labels))
        sizes = tuple(count // self.spec.num_classes for count in each)
        arguments = (shown.kind, self.spec.num_classes, *sizes)
        return "\n".join(
            [
                "import inspect",
                "from sslcore.testing.parts import scene",
                f"evaluator = {self.made(self.arguments(supplied, example))}",
                f"given = scene{arguments!r}.given()  # labels or order may have been changed",
                "evaluator(**{name: given[name] for name in inspect.signature(evaluator)"
                ".parameters})",
            ]
        )


def rank(metric: str) -> int:
    """Return k of a metric that counts hits among the k best; 1 if its name states no k."""
    found = _TOP.search(metric)
    return int(found.group(1)) if found else 1


def is_balanced(metric: str) -> bool:
    """Whether a metric is a mean over the classes, and not over the images."""
    return "balanced" in metric


# Requirements of properties: each returns the reason why a property does not apply.


def scores_accuracy(subject: EvaluatorSubject) -> str:
    """It has a metric that is an accuracy."""
    found = subject.scores(subject.scene("perfect"))
    if subject.accuracies(found):
        return ""
    return (
        f"none of {', '.join(found)} is named like an accuracy (name one in the spec: accuracies=…)"
    )


def fits_classes(subject: EvaluatorSubject) -> str:
    """It learns from labelled training images or takes logits, and scores predictions."""
    if not {"train_labels", "test_logits"} & subject.asks().keys():
        return "it learns from no labelled training images, and asks for no logits"
    return scores_accuracy(subject)


def searches_test_images(subject: EvaluatorSubject) -> str:
    """It compares the test images with each other."""
    asked = subject.asks()
    others = {"train_features", "train_views", "test_logits"}
    if "test_labels" not in asked or others & asked.keys():
        return "it does not compare test images with each other"
    return scores_accuracy(subject)


def scores_balanced(subject: EvaluatorSubject) -> str:
    """It has an accuracy that is a mean over the classes."""
    lacking = scores_accuracy(subject)
    found = subject.accuracies(subject.scores(subject.scene("perfect")))
    return lacking or ("" if any(map(is_balanced, found)) else "it has no balanced accuracy")


def takes_logits(subject: EvaluatorSubject) -> str:
    """It scores logits."""
    return "" if "test_logits" in subject.asks() else "it asks for no logits"


def rebuilds(subject: EvaluatorSubject) -> str:
    """It scores reconstructions."""
    return "" if "reconstructions" in subject.asks() else "it asks for no reconstructions"
