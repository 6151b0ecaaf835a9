"""Whether an evaluator can run on data: whether there are test images, labels, and how many."""

from __future__ import annotations

import inspect
from typing import Any

from sslcore.data import Data, Split
from sslcore.data.labels import are_known
from sslcore.recipe.held_out import needs_labels, needs_test

NO_LABELS = "there are no labels"
NO_TEST = "no test images are held out"
ONE_LABEL = "the images have several labels each"

#: What a user can do.
REMEDIES = {
    NO_LABELS: "class folders are labels, and --eval-data names labelled images elsewhere",
    NO_TEST: "--eval-data names images to evaluate on, and data.test_fraction holds out a part",
    ONE_LABEL: "an evaluator whose class has several_labels = True takes them",
}


def obstacle(evaluator: Any, data: Data) -> str:
    """Return why an evaluator can't run on data: a key of `REMEDIES`; empty if it can.

    Args:
        evaluator: the instance, or its class.
        data: the images.
    """
    asked = _asked(evaluator)
    splits = {"train": data.fit, "test": data.test}
    labelled = [splits[name.partition("_")[0]] for name in asked if name.endswith("_labels")]
    if any(split is not None and split.labels is None for split in labelled):
        return NO_LABELS
    if needs_test(asked) and data.test is None:
        return NO_TEST
    several = getattr(evaluator, "several_labels", False)
    if needs_labels(asked) and data.several_labels and not several:
        return ONE_LABEL
    return ""


def images_used(evaluator: Any, data: Data) -> dict[str, int]:
    """Return how many images an evaluator that can run fits on and scores.

    Args:
        evaluator: the instance, or its class.
        data: the images.
    """
    labelled = needs_labels(_asked(evaluator))
    splits = {"train_images": data.fit, "test_images": data.test}
    return {name: _count(split, labelled=labelled) for name, split in splits.items()}


def _count(split: Split | None, *, labelled: bool) -> int:
    if split is None:
        return 0
    if not labelled or split.labels is None:
        return len(split)
    return int(are_known(split.labels).sum())


def _asked(evaluator: Any) -> tuple[str, ...]:
    call = evaluator.__call__ if inspect.isclass(evaluator) else evaluator
    return tuple(inspect.signature(call).parameters)
