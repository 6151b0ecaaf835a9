"""The labelled images that a supervised loss trains on: all of them, or a few of each class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sslcore.data import Data, Split
from sslcore.data.labels import UNKNOWN, are_known, are_several, renumbered
from sslcore.errors import UsageError, nearest
from sslcore.random import generator_for


def labelled(
    data: Data,
    *,
    per_class: int | None = None,
    fraction: float | None = None,
    seed: int = 0,
    optional: bool = False,
) -> Data:
    """Return a data set whose training images are the labelled ones, or some of them.

    They are drawn by the seed, of each class the same number, or the same fraction. Evaluators fit
    on the same images. With `optional`, the other training images stay, and their label is -1.

    Args:
        data: the data set.
        per_class: images of each class; a class with fewer keeps all of its images.
        fraction: of the images of each class, at least one of each.
        seed: of the draw.
        optional: whether to train on images without a label, too.

    Raises:
        UsageError: no training image has a label though one is needed, or both numbers are given.
    """
    if per_class is not None and fraction is not None:
        raise UsageError(
            "training.labels_per_class and training.label_fraction both choose the labelled "
            "images; give one of them"
        )
    split = data.train if optional or data.train.labels is not None else data.fit
    labels = split.labels
    if labels is None and optional and per_class is None and fraction is None:
        return data
    if labels is None:
        raise UsageError("the loss needs labels, and the data has none; class folders are labels")
    if are_several(labels):
        raise UsageError(
            "the loss needs one label for each image, and these images have several each; give "
            "data with one label for each image, or choose a loss that needs no labels"
        )
    known = are_known(labels)
    if per_class is None and fraction is None:
        if not optional and not bool(known.all()):
            split = split.subset(known.nonzero()[:, 0])
        return data if split is data.train else replace(data, train=split, probe=None)
    kept, notes = [], []
    for label in range(int(labels.max()) + 1):
        rows = (labels == label).nonzero()[:, 0]
        if per_class is not None and 0 < len(rows) < per_class:
            name = data.classes[label] if label < len(data.classes) else str(label)
            notes.append(
                f"the class {name} has {len(rows)} labelled images, fewer than {per_class}"
            )
        count = per_class if fraction is None else math.ceil(fraction * len(rows))
        order = torch.randperm(len(rows), generator=generator_for(seed, "labels", label))
        kept.append(rows[order[:count]])
    drawn = torch.cat(kept).sort().values
    train = _without_other_labels(split, drawn) if optional else split.subset(drawn)
    return replace(data, train=train, probe=None, notes=(*data.notes, *notes))


def _without_other_labels(split: Split, rows: Tensor) -> Split:
    """Return a split in which only some images, (N,), have a label."""
    assert split.labels is not None
    labels = torch.full_like(split.labels, UNKNOWN)
    labels[rows] = split.labels[rows]
    return replace(split, labels=labels)


def with_classes(data: Data, classes: Sequence[str]) -> Data:
    """Return a data set with its labels numbered as a classifier numbers its classes.

    Args:
        data: the data set; data without classes is returned as it is.
        classes: names of all classes of the classifier.

    Raises:
        UsageError: the data has a class that the classifier does not know.
    """
    if not data.classes or data.classes == tuple(classes):
        return data
    unknown = [name for name in data.classes if name not in classes]
    if unknown:
        raise UsageError(
            f"the classifier does not know the class {unknown[0]}{nearest(unknown[0], classes)}; "
            f"it tells apart {', '.join(classes)}"
        )
    number = torch.tensor([list(classes).index(name) for name in data.classes])

    def of(_name: str, split: Split) -> Split:
        if split.labels is None:
            return split
        return replace(split, labels=renumbered(split.labels, number, len(classes)))

    return replace(data.with_splits(of), classes=tuple(classes))
