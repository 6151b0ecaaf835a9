"""The labels of all samples, from those of each shard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sslcore.system.printable import one_line

if TYPE_CHECKING:
    from sslcore_webdataset._index import ShardIndex

#: What follows from labels that can't be used.
WITHOUT = "so the images are used without labels"
#: What a number that is no class means by convention.
_UNKNOWN = "-1"


@dataclass(frozen=True)
class Labels:
    """Labels of samples.

    Attributes:
        values: the number of the class, int64, (N,); -1 where it is not known.
        classes: names of the classes; numbers are sorted by their value, other names as text.
    """

    values: np.ndarray
    classes: tuple[str, ...]

    @property
    def known(self) -> np.ndarray:
        """Which samples have a label, bool, (N,)."""
        return self.values >= 0

    @property
    def problem(self) -> str:
        """What makes the labels useless; empty if nothing does."""
        count = int(self.known.sum())
        if count < 2:
            return "only one sample has a label" if count else "no sample has a label"
        if len(self.classes) == 1:
            return f"all labels are {one_line(self.classes[0])!r}"
        return "no two samples have the same label" if len(self.classes) == count else ""


def labels_of(indexes: Sequence[ShardIndex]) -> Labels:
    """Return the labels of the samples of shards, in order."""
    texts = {text for index in indexes for text in index.texts}
    if all(text.isascii() and text.isdigit() for text in texts - {_UNKNOWN}):
        texts.discard(_UNKNOWN)
        key: Callable[[str], tuple[int, str]] = lambda text: (int(text), text)  # noqa: E731
    else:
        key = lambda text: (0, text)  # noqa: E731
    classes = sorted(texts, key=key)
    number = {text: place for place, text in enumerate(classes)}
    parts = []
    for index in indexes:
        # The last one is that of samples without a label, whose number is -1.
        table = np.array([*(number.get(text, -1) for text in index.texts), -1], dtype=np.int64)
        parts.append(table[index.labels])
    return Labels(np.concatenate(parts), tuple(classes))
