"""The samples of shards as splits with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from sslcore.data import Data, Split
from sslcore.data.holding_out import held_out_by_hash
from sslcore.errors import DataError
from sslcore.system.printable import one_line
from sslcore_webdataset._images import Names, Samples, ShardImages
from sslcore_webdataset._labels import WITHOUT, Labels

if TYPE_CHECKING:
    from sslcore_webdataset._storage import Storage


class Parts:
    """The samples of some shards, of which each split has some.

    Args:
        samples: all of them.
        labels: theirs, or None.
        storage: reads the shards.
        path: names the data set.
    """

    def __init__(
        self, samples: Samples, labels: Labels | None, storage: Storage, path: str
    ) -> None:
        self.samples, self.labels, self.storage, self.path = samples, labels, storage, path

    def data(self, groups: Mapping[str, Sequence[int]], fraction: float, notes: list[str]) -> Data:
        """Return the splits.

        Args:
            groups: the numbers of the shards of `train`, and of `test` or `val` or both.
            fraction: of each class, to hold out if there is only `train`.
            notes: for the user.

        Raises:
            DataError: a split has no images, or the test images have a class that training lacks.
        """
        if len(groups) == 1:
            return self._held_out(fraction, notes)
        rows = {
            name: np.flatnonzero(np.isin(self.samples.shards, numbers))
            for name, numbers in groups.items()
        }
        tests = [name for name in ("test", "val") if name in groups]
        # A test split without labels is of little use where another one has them.
        tests.sort(key=lambda name: self.labels is not None and not self._known(rows[name]).any())
        test, *others = tests
        for name in others:
            notes.append(
                f"only train and {test} are used; {len(rows[name])} samples of {name} are left out"
            )
        for name in ("train", test):
            if not len(rows[name]):
                raise DataError(f"the {name} shards of {self.path} hold no images")
        self._check_classes(rows["train"], rows[test], test)
        return self._of(rows["train"], rows[test], notes)

    def _known(self, rows: np.ndarray) -> np.ndarray:
        """Return which of some samples have a label, bool, (N,)."""
        if self.labels is None:
            return np.zeros(len(rows), dtype=bool)
        known: np.ndarray = self.labels.known[rows]
        return known

    def _held_out(self, fraction: float, notes: list[str]) -> Data:
        rows = np.arange(len(self.samples))
        groups = None
        if self.labels is not None:
            # All samples without a label are trained on.
            rows = np.flatnonzero(self.labels.known)
            groups = self.labels.values[rows]
        held_out = rows[held_out_by_hash(self.samples.hashes[rows], groups, fraction)]
        train = np.ones(len(self.samples), dtype=bool)
        train[held_out] = False
        return self._of(np.flatnonzero(train), held_out, notes)

    def _check_classes(self, train: np.ndarray, test: np.ndarray, name: str) -> None:
        if self.labels is None or not self._known(train).any():
            return
        unknown = set(self.labels.values[test].tolist()) - set(self.labels.values[train].tolist())
        if unknown - {-1}:
            label = one_line(self.labels.classes[min(unknown - {-1})])
            raise DataError(
                f"the {name} shards of {self.path} have the class {label!r}, which no train shard "
                "has; both need the same classes"
            )

    def _of(self, train: np.ndarray, test: np.ndarray, notes: list[str]) -> Data:
        labels = self.labels
        fit, scored = train[self._known(train)], test[self._known(test)]
        if labels is None or not len(fit) or not len(scored):
            if labels is not None:
                which = "test" if len(fit) else "train"
                notes.append(f"no {which} sample has a label, {WITHOUT}")
            return Data(self._split("train", train), self._split("test", test), notes=tuple(notes))
        probe = None
        if len(fit) < len(train):
            probe = self._split("probe", fit, labels)
            notes.append(f"{len(train)} images are trained on, of which {len(fit)} have a label")
        if len(scored) < len(test):
            notes.append(f"{len(test) - len(scored)} test samples without a label are left out")
        return Data(
            train=self._split("train", train, None if probe else labels),
            test=self._split("test", scored, labels),
            probe=probe,
            classes=tuple(map(one_line, labels.classes)),
            notes=tuple(notes),
        )

    def _split(self, name: str, rows: np.ndarray, labels: Labels | None = None) -> Split:
        return Split(
            ShardImages.of(self.samples, self.storage, rows, f"{self.path} {name}"),
            None if labels is None else torch.from_numpy(labels.values[rows]),
            names=Names(self.samples, rows),
        )
