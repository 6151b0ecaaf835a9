"""From images to classes: a run's encoder with the head that was trained on labels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sslcore.evaluation.extractor import FeatureExtractor
from sslcore.pipeline.pipeline import augment, encode, project


class Classifier(nn.Module):
    """Images to logits: the views for evaluators, encoded and classified, averaged over views.

    Args:
        extractor: augmentation and encoder.
        head: gives `logits`.
        classes: names of the classes; logit i belongs to `classes[i]`.
    """

    def __init__(
        self, extractor: FeatureExtractor, head: nn.Module, classes: Sequence[str]
    ) -> None:
        super().__init__()
        self.extractor, self.head, self.classes = extractor, head, tuple(classes)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, K) of images (B, C, H, W), uint8 or float in [0, 1].

        Raises:
            ValueError: it is no such tensor, its values are not in [0, 1], or the encoder was made
                for images of another form.
        """
        signals = augment(self.extractor.augmentation, self.extractor.checked(images))
        signals |= encode(self.extractor.encoder, signals)
        logits: Tensor = project(self.head, signals)["logits"].mean(0)
        return logits
