"""Which image files a folder holds, and which of them are for training and for testing."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from sslcore.data.holding_out import held_out_by_name
from sslcore.errors import DataError

#: What an image file's name may end with, in any case.
EXTENSIONS = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".npy"),
)
#: Folders that hold the test images beside `train`, in order of preference.
_TEST_FOLDERS = ("test", "val", "valid", "validation")
#: The part of each class that is held out by default.
_HELD_OUT = 0.2
_NOTHING_HELD_OUT = (
    "The images have no classes, so none is held out for testing; data.test_fraction=0.2 holds "
    "out a fifth."
)


class ImageFile(NamedTuple):
    """An image file below the folder opened.

    Attributes:
        parts: the folders on the way and the file's name.
        state: changes with the file's content: size, time of modification (ns), permissions.
    """

    parts: tuple[str, ...]
    state: tuple[int, int, int]

    @property
    def path(self) -> str:
        """The path relative to the folder opened, with slashes."""
        return "/".join(self.parts)


@dataclass(frozen=True)
class Listing:
    """The files of both splits, in an order that depends on their paths only.

    Attributes:
        files: first those to train on, then those to test.
        num_train: how many are to train on.
        classes: for each file the name of its class; None where the images have no classes.
        held_out: whether the test files were held out of a folder that has no test part.
        notes: sentences about what was left out.
    """

    files: tuple[ImageFile, ...]
    num_train: int
    classes: tuple[str, ...] | None
    held_out: bool
    notes: tuple[str, ...] = ()


def image_files(root: Path) -> list[ImageFile]:
    """Return the image files at any depth, sorted by path; hidden ones and others are skipped.

    Raises:
        DataError: a folder can't be listed.
    """
    found: list[ImageFile] = []
    _collect(root, (), frozenset(), found)
    return sorted(found)


def _collect(
    folder: Path, parts: tuple[str, ...], above: frozenset[tuple[int, int]], found: list[ImageFile]
) -> None:
    try:
        here = folder.stat()
        identity = (here.st_dev, here.st_ino)
        if identity in above:  # a symbolic link to a folder that this one is in
            return
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(
            f"{folder} can't be listed ({error.strerror}); make it readable or move it elsewhere"
        ) from error
    for entry in visible:
        if entry.is_dir():
            _collect(folder / entry.name, (*parts, entry.name), above | {identity}, found)
        elif entry.name.lower().endswith(EXTENSIONS):
            state = _state(entry)
            if state is not None:
                found.append(ImageFile((*parts, entry.name), state))


def _state(entry: os.DirEntry[str]) -> tuple[int, int, int] | None:
    """Return what identifies a file's content; None for pipes and other things without any."""
    try:
        status = entry.stat()
    except OSError:  # a broken link: listed, so that it is counted among what can't be read
        return (0, 0, 0)
    if not stat.S_ISREG(status.st_mode):
        return None
    return (status.st_size, status.st_mtime_ns, status.st_mode)


def arrange(files: list[ImageFile], test_fraction: float | None) -> Listing:
    """Sort files into splits and classes by the folders that they are in.

    Folders on top that hold nothing but one folder are passed over. Then, `train` with `test` (or
    `val`) beside it are the splits; otherwise a part is held out for testing. A split's first
    level of folders are the classes, unless images lie directly in it.

    Args:
        files: sorted by path; at least one.
        test_fraction: part of each class that is held out where there is no test folder; 0 joins
            a test folder without classes to the images to train on. None holds out a fifth of
            images with classes, and nothing of others.

    Raises:
        DataError: the test folder has a class that the train folder lacks.
    """
    depth = _common_depth(files)
    by_top: dict[str, list[ImageFile]] = defaultdict(list)
    for file in files:
        top = file.parts[depth] if len(file.parts) > depth + 1 else ""
        by_top[top.casefold()].append(file)
    tests = [name for name in _TEST_FOLDERS if name in by_top]
    if "train" in by_top and tests:
        found = _with_test_folder(by_top, tests, depth + 1)
        everything = test_fraction == 0 and found.classes is None
        return replace(found, num_train=len(found.files)) if everything else found
    classes = _classes(files, depth)
    names = ["/".join(file.parts[depth:]) for file in files]
    notes: tuple[str, ...] = ()
    if test_fraction is None:
        test_fraction = _HELD_OUT if classes else 0
        notes = () if classes else (_NOTHING_HELD_OUT,)
    test = frozenset(held_out_by_name(names, classes, test_fraction) if test_fraction else ())
    order = sorted(range(len(files)), key=lambda row: (row in test, row))
    beside = sum(len(file.parts) == depth + 1 for file in files)
    if 0 < beside < len(files):
        notes += (
            f"{beside} of {len(files)} images lie beside the folders of the others, "
            "so the folders are not taken for classes.",
        )
    return Listing(
        files=tuple(files[row] for row in order),
        num_train=len(files) - len(test),
        classes=tuple(classes[row] for row in order) if classes else None,
        held_out=True,
        notes=notes,
    )


def _common_depth(files: list[ImageFile]) -> int:
    # Of sorted paths, the first and the last differ earliest.
    first, last = files[0].parts[:-1], files[-1].parts[:-1]
    depth = 0
    for one, other in zip(first, last, strict=False):
        if one != other:
            break
        depth += 1
    return depth


def _classes(files: Iterable[ImageFile], depth: int) -> list[str] | None:
    names: list[str] = []
    for file in files:
        if len(file.parts) == depth + 1:
            return None
        names.append(file.parts[depth])
    return names


def _with_test_folder(by_top: dict[str, list[ImageFile]], tests: list[str], depth: int) -> Listing:
    train = by_top["train"]
    train_classes = _classes(train, depth)
    # A test part without classes is of little use where another one has them.
    tests = sorted(
        tests, key=lambda name: (_classes(by_top[name], depth) is None) != (train_classes is None)
    )
    test = by_top[tests[0]]
    test_classes = _classes(test, depth)
    notes: list[str] = []
    others = sum(map(len, by_top.values())) - len(train) - len(test)
    if others:
        notes.append(
            f"Only train/ and {tests[0]}/ are used; {others} images elsewhere are left out."
        )
    classes: tuple[str, ...] | None = None
    if train_classes is not None and test_classes is not None:
        unknown = sorted(set(test_classes) - set(train_classes))
        if unknown:
            raise DataError(
                f"{tests[0]}/ has the class {printable(unknown[0])!r} that train/ lacks; both "
                "need the same class folders (or open train/ alone to hold out a part of it)"
            )
        classes = (*train_classes, *test_classes)
    elif train_classes is not None or test_classes is not None:
        without = "train" if train_classes is None else tests[0]
        notes.append(f"{without}/ has no class folders, so the images are used without classes.")
    return Listing((*train, *test), len(train), classes, held_out=False, notes=tuple(notes))


def printable(name: str) -> str:
    """Return a file's name with what is no text in it escaped."""
    return os.fsencode(name).decode(errors="backslashreplace")
