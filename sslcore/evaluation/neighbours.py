"""The images of a data set whose features are nearest to those of one image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from sslcore.data import Split
from sslcore.evaluation.embedding import item
from sslcore.evaluation.evaluate import batches, in_batches

if TYPE_CHECKING:
    from sslcore.evaluation.extractor import FeatureExtractor


@dataclass(frozen=True)
class Neighbour:
    """An image near to another one.

    Attributes:
        similarity: cosine similarity of the features, in [-1, 1].
        split: "train" or "test".
        row: its place in the split.
        name: of the image.
        label: name of its class, or empty.
        same: whether its pixels are those of the image that was searched for.
    """

    similarity: float
    split: str
    row: int
    name: str
    label: str
    same: bool


@torch.no_grad()
def nearest_images(
    extract: FeatureExtractor,
    image: Split,
    splits: Mapping[str, Split],
    classes: Sequence[str],
    *,
    top: int,
    device: torch.device,
    progress: Callable[[int], object] = lambda count: None,
) -> list[Neighbour]:
    """Return the images nearest to one image, the nearest first.

    Images and features are in memory for one batch at a time. Of equally near images, the first
    in the data set comes first.

    Args:
        extract: from images to features (B, F).
        image: a split of one image.
        splits: by name, in the shape of the image.
        classes: names of the classes.
        top: how many images to return, at most.
        device: where to compute.
        progress: receives the number of images done.
    """
    query = nn.functional.normalize(in_batches(extract, image, device))[0]
    pixels = image.read(torch.tensor([0]))[0].to(device)
    found: list[Neighbour] = []
    done = 0
    for which, split in splits.items():
        for rows, images in batches(split, device):
            similarities = nn.functional.normalize(extract(images).float()) @ query
            best = similarities.argsort(descending=True, stable=True)[:top]
            for place in best.tolist():
                row, same = int(rows[place]), torch.equal(images[place], pixels)
                _, name, label = item(which, split, row, classes)
                near = float(similarities[place])
                found.append(Neighbour(near, which, row, name, label, same))
            # Sorting is stable too.
            found = sorted(found, key=lambda near: -near.similarity)[:top]
            done += len(rows)
            progress(done)
    return found
