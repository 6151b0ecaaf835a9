"""Classes of images, with probabilities."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sslcore.api.images import open_images
from sslcore.api.loading import load_classifier
from sslcore.compute.device import pick_device
from sslcore.errors import UsageError
from sslcore.evaluation.evaluate import in_batches
from sslcore.registry.registry import Registry, default_registry


@dataclass(frozen=True)
class Predictions:
    """The predictions of a classifier.

    Attributes:
        names: of the images, N.
        classes: names of the classes, K.
        probabilities: (N, K), float32; the rows sum to 1.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: np.ndarray[tuple[int, ...], np.dtype[np.float32]]

    def top(self, count: int) -> list[tuple[str, list[tuple[str, float]]]]:
        """Return for each image its name and its most likely classes, the likeliest first."""
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :count]
        return [
            (name, [(self.classes[label], float(row[label])) for label in likeliest])
            for name, row, likeliest in zip(self.names, self.probabilities, order, strict=True)
        ]

    def records(self) -> list[dict[str, object]]:
        """Return for each image a dict: image, class, probability, and that of each class."""
        return [
            {
                "image": name,
                "class": best[0][0],
                "probability": round(best[0][1], 6),
                "probabilities": {
                    known: round(float(value), 6)
                    for known, value in zip(self.classes, row, strict=True)
                },
            }
            for (name, best), row in zip(self.top(1), self.probabilities, strict=True)
        ]

    def to_csv(self) -> str:
        """Return the predictions as CSV: image, class, probability, and a column for each class."""
        file = io.StringIO()
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["image", "class", "probability", *self.classes])
        for (name, best), row in zip(self.top(1), self.probabilities, strict=True):
            rows.writerow([name, best[0][0], *(f"{value:.6g}" for value in (best[0][1], *row))])
        return file.getvalue()


def predict(
    run: str | Path,
    images: str | Path | Sequence[str | Path],
    *,
    device: str = "auto",
    registry: Registry | None = None,
) -> Predictions:
    """Classify images with a run's classifier.

    Args:
        run: the folder of a run that was trained on labels, as `finetune` makes one.
        images: image files, and folders of images at any depth.
        device: where to compute.
        registry: where to look for parts; everything installed by default.

    Raises:
        UsageError: there is no such run, it has no classifier, or an image can't be read.
    """
    registry, where = registry or default_registry(), pick_device(device)
    classifier = load_classifier(run, device=device, registry=registry)
    paths = [images] if isinstance(images, (str, Path)) else list(images)
    names: list[str] = []
    parts = []
    for split in open_images(run, paths, registry):
        names += [split.name_of(row) for row in range(len(split))]
        logits = in_batches(classifier, split, where)
        parts.append(logits.softmax(1).cpu().numpy())
    if not parts:
        raise UsageError("none of the images can be read")
    return Predictions(tuple(names), classifier.classes, np.concatenate(parts))
