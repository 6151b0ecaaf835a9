"""Classification by text: an image is of the class whose text is most similar to it."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor


class ZeroShot:
    """Accuracy of choosing, for each test image, the class with the most similar text.

    The head has a text for each class (its setting `prompts`), and compares the images with them
    (Radford et al. 2021, section 3.1.2). The baselines know no texts, and so have no figures.

    Raises:
        ValueError: (when called) the texts are not as many as the classes.
    """

    fast: ClassVar[bool] = True

    def __call__(
        self, test_labels: Tensor, num_classes: int, test_logits: Tensor | None = None
    ) -> dict[str, float]:
        """Score logits (M, K) against labels (M,); without logits there are no figures."""
        if test_logits is None:
            return {}
        if test_logits.shape[1] != num_classes:
            raise ValueError(
                f"there are {test_logits.shape[1]} prompts and {num_classes} classes; give a text "
                "for each class, in their order: head.prompts"
            )
        right = (test_logits.argmax(1) == test_labels).double()
        return {"zero_shot_accuracy": float(right.mean())}
