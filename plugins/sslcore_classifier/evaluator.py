"""The accuracy of a classifier that was trained with the encoder."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor


class Classification:
    """Accuracy of the run's own classifier on the test images.

    `accuracy` is the fraction of the test images whose most likely class is theirs, and
    `balanced_accuracy` the mean of that fraction over the classes, each class counted alike. The
    baselines have no trained classifier, and so no figures.
    """

    fast: ClassVar[bool] = True

    def __call__(self, test_labels: Tensor, test_logits: Tensor | None = None) -> dict[str, float]:
        """Score logits (M, K) against labels (M,); without logits there are no figures."""
        if test_logits is None:
            return {}
        right = (test_logits.argmax(1) == test_labels).double()
        by_class = [right[test_labels == label].mean() for label in test_labels.unique()]
        return {
            "accuracy": float(right.mean()),
            "balanced_accuracy": float(sum(by_class) / len(by_class)),
        }
