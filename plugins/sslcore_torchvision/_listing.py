"""Which image files of a folder are for training and for testing, and what their classes are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sslcore.contract.holding_out import fraction_held_out
from sslcore.data.holding_out import NOTHING_HELD_OUT, held_out_by_hash
from sslcore.data.names import NamesOfRows
from sslcore.errors import DataError
from sslcore_torchvision._file_index import FileIndex, printable

#: Folders that hold the test images beside `train`, in order of preference.
_TEST_FOLDERS = (b"test", b"val", b"valid", b"validation")


@dataclass(frozen=True, eq=False)
class Listing:
    """The files of both splits, in an order that depends on their paths only.

    Attributes:
        index: the files of the folder.
        rows: rows of the index, first those to train on, then those to test, int64, (N,).
        num_train: how many are to train on.
        classes: names of the classes, sorted; empty where the images have none.
        labels: for each file the number of its class, int64, (N,); None without classes.
        held_out: whether the test files were held out of a folder that has no test part.
        notes: sentences about what was left out.
    """

    index: FileIndex
    rows: np.ndarray
    num_train: int
    classes: tuple[str, ...]
    labels: np.ndarray | None
    held_out: bool
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> NamesOfRows:
        """The paths of the files, relative to the folder, as text."""
        return NamesOfRows(self.index.text, self.rows)


def arrange(index: FileIndex, test_fraction: float | None) -> Listing:
    """Sort files into splits and classes by the folders that they are in.

    Folders on top that hold nothing but one folder are passed over. Then, `train` with `test` (or
    `val`) beside it are the splits; otherwise a part is held out for testing. A split's first
    level of folders are the classes, unless images lie directly in it.

    Args:
        index: the files; at least one.
        test_fraction: part of each class that is held out where there is no test folder; 0 joins
            a test folder without classes to the images to train on. None holds out a fifth of
            images with classes, and nothing of others.

    Raises:
        DataError: the test folder has a class that the train folder lacks, or all images are in it.
    """
    depth = index.depth
    folders = [path.split(b"/") if path else [] for path in index.folder_paths]
    tops = [_folded(parts[depth]) if len(parts) > depth else b"" for parts in folders]
    used = np.bincount(index.folders, minlength=len(folders)) > 0
    present = {top for top, in_use in zip(tops, used, strict=True) if in_use}
    tests = [name for name in _TEST_FOLDERS if name in present]
    if b"train" in present and tests:
        found = _with_test_folder(index, folders, tops, tests)
        everything = test_fraction == 0 and not found.classes
        return replace(found, num_train=len(found)) if everything else found
    rows = np.arange(len(index))
    parts = _Part(index, folders, rows, depth)
    notes = _empty_splits(index, folders)
    if test_fraction is None and not parts.classes:
        notes += (NOTHING_HELD_OUT,)
    test_fraction = fraction_held_out(test_fraction, labelled=bool(parts.classes))
    held_out = np.zeros(len(rows), dtype=bool)
    if test_fraction:
        held_out = held_out_by_hash(index.hashes, parts.numbers, test_fraction)
    order = np.concatenate([rows[~held_out], rows[held_out]])
    if 0 < parts.beside < len(rows):
        notes += (
            f"{parts.beside} of {len(rows)} images lie beside the folders of the others, "
            "so the folders are not taken for classes",
        )
    return Listing(
        index=index,
        rows=order,
        num_train=len(rows) - int(held_out.sum()),
        classes=parts.classes,
        labels=None if parts.numbers is None else parts.numbers[order],
        held_out=True,
        notes=notes,
    )


def _empty_splits(index: FileIndex, folders: list[list[bytes]]) -> tuple[str, ...]:
    """Return a note if the test folder holds no images.

    Raises:
        DataError: the train folder holds none, and the test folder does.
    """
    passed = index.path(0).split(b"/")[: index.depth]
    for level, name in enumerate(passed):
        beside = {
            _folded(parts[level])
            for parts in folders
            if len(parts) == level + 1 and parts[:level] == passed[:level]
        }
        own = _folded(name)
        if own in _TEST_FOLDERS and b"train" in beside:
            raise DataError(
                f"train/ holds no images, and {own.decode()}/ does; put the images to train on "
                f"into train/, or open {own.decode()}/ alone"
            )
        if own == b"train" and (empty := [each for each in _TEST_FOLDERS if each in beside]):
            return (f"{empty[0].decode()}/ holds no images, so train/ is split.",)
    return ()


class _Part:
    """Some files of an index, and the classes that their folders at a depth stand for.

    Attributes:
        rows: rows of the index.
        beside: how many of them lie in no folder at that depth.
        classes: names of the classes, sorted; empty if some files lie in no folder.
        numbers: the class of each row, int64; None without classes.
    """

    def __init__(
        self, index: FileIndex, folders: list[list[bytes]], rows: np.ndarray, depth: int
    ) -> None:
        self.rows = rows
        own = index.folders[rows]
        counts = np.bincount(own, minlength=len(folders)).tolist()
        used = [number for number, count in enumerate(counts) if count]
        self.beside = sum(counts[number] for number in used if len(folders[number]) <= depth)
        self.classes: tuple[str, ...] = ()
        self.numbers: np.ndarray | None = None
        if not self.beside:
            by_folder = {number: _text(folders[number][depth]) for number in used}
            self.classes = tuple(sorted(set(by_folder.values())))
            number_of = {name: number for number, name in enumerate(self.classes)}
            table = np.zeros(len(folders), dtype=np.int64)
            for number, name in by_folder.items():
                table[number] = number_of[name]
            self.numbers = table[own]


def _with_test_folder(
    index: FileIndex, folders: list[list[bytes]], tops: list[bytes], tests: list[bytes]
) -> Listing:
    def part(name: bytes) -> _Part:
        of_folder = np.array([top == name for top in tops])
        rows = np.flatnonzero(of_folder[index.folders])
        return _Part(index, folders, rows, index.depth + 1)

    train, candidates = part(b"train"), {name: part(name) for name in tests}
    # A test part without classes is of little use where another one has them.
    chosen = min(tests, key=lambda name: bool(candidates[name].classes) != bool(train.classes))
    test, name = candidates[chosen], chosen.decode()
    notes: list[str] = []
    others = len(index) - len(train.rows) - len(test.rows)
    if others:
        notes.append(f"only train/ and {name}/ are used; {others} images elsewhere are left out")
    labels: np.ndarray | None = None
    if train.numbers is not None and test.numbers is not None:
        unknown = sorted(set(test.classes) - set(train.classes))
        if unknown:
            raise DataError(
                f"{name}/ has the class {printable(unknown[0])!r} that train/ lacks; both "
                "need the same class folders (or open train/ alone to hold out a part of it)"
            )
        number_in_train = np.array([train.classes.index(each) for each in test.classes])
        labels = np.concatenate([train.numbers, number_in_train[test.numbers]])
    elif train.classes or test.classes:
        without = name if train.classes else "train"
        notes.append(f"{without}/ has no class folders, so the images are used without classes")
    return Listing(
        index=index,
        rows=np.concatenate([train.rows, test.rows]),
        num_train=len(train.rows),
        classes=() if labels is None else train.classes,
        labels=labels,
        held_out=False,
        notes=tuple(notes),
    )


def _text(name: bytes) -> str:
    return name.decode(errors="surrogateescape")


def _folded(name: bytes) -> bytes:
    return _text(name).casefold().encode(errors="surrogateescape")
