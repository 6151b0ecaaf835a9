"""The samples of shards as splits with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from sslcore.contract.holding_out import fraction_held_out
from sslcore.data import Data, Split
from sslcore.data.holding_out import NOTHING_HELD_OUT, held_out_by_hash
from sslcore.data.labels import UNKNOWN
from sslcore.data.names import NamesOfRows
from sslcore.errors import DataError
from sslcore.system.printable import one_line
from sslcore_webdataset._images import Samples, ShardImages

if TYPE_CHECKING:
    from sslcore_webdataset._labels import Labels
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

    def data(
        self, groups: Mapping[str, Sequence[int]], fraction: float | None, notes: list[str]
    ) -> Data:
        """Return the splits.

        Args:
            groups: the numbers of the shards of `train`, and of `test` or `val` or both.
            fraction: of each class, to hold out if there is only `train`; 0 joins test images
                without labels to those to train on. None holds out a fifth where there are labels.
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
        if fraction == 0 and self.labels is None:
            return self._of(np.concatenate([rows["train"], rows[test]]), None, notes)
        self._check_classes(rows["train"], rows[test], test)
        return self._of(rows["train"], rows[test], notes)

    def _known(self, rows: np.ndarray) -> np.ndarray:
        """Return which of some samples have a label, bool, (N,)."""
        if self.labels is None:
            return np.zeros(len(rows), dtype=bool)
        known: np.ndarray = self.labels.known[rows]
        return known

    def _held_out(self, fraction: float | None, notes: list[str]) -> Data:
        if fraction is None and self.labels is None:
            notes.append(NOTHING_HELD_OUT)
        fraction = fraction_held_out(fraction, labelled=self.labels is not None)
        rows, groups = np.arange(len(self.samples)), None
        if fraction == 0:
            return self._of(rows, None, notes)
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
        if unknown - {UNKNOWN}:
            label = one_line(self.labels.classes[min(unknown - {UNKNOWN})])
            raise DataError(
                f"the {name} shards of {self.path} have the class {label!r}, which no train shard "
                "has; both need the same classes"
            )

    def _of(self, train: np.ndarray, test: np.ndarray | None, notes: list[str]) -> Data:
        labels = self.labels
        if labels is not None:
            for name, rows in (("train", train), ("test", test)):
                known = 0 if rows is None else int(self._known(rows).sum())
                if rows is not None and known < len(rows):
                    notes.append(f"{known} of {len(rows)} {name} samples have a label")
        return Data(
            train=self._split("train", train),
            test=None if test is None else self._split("test", test),
            classes=() if labels is None else tuple(map(one_line, labels.classes)),
            notes=tuple(notes),
        )

    def _split(self, name: str, rows: np.ndarray) -> Split:
        labels = self.labels
        return Split(
            ShardImages.of(self.samples, self.storage, rows, f"{self.path} {name}"),
            None if labels is None else torch.from_numpy(labels.values[rows]),
            names=NamesOfRows(self.samples.name, rows),
        )
